"""Agreement against published worked examples (Bland and Altman 1986; DeLong on aSAH)."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from public_data import DATA, needs

from liverstiff.evaluate.agreement import auroc, bias, icc_a1, limit_high, limit_low, lin_ccc, pearson

FOLDER = DATA / "stats_examples"

pytestmark = needs("stats_examples")


def expected(case: str) -> dict:
    return json.loads((FOLDER / "expected.json").read_text())[case]


@pytest.mark.parametrize(
    ("statistic", "answer"),
    [
        (pearson, lambda case: case["pearson"]),
        (bias, lambda case: case["mean_diff"]),
        (limit_low, lambda case: case["loa_1.96"][0]),
        (limit_high, lambda case: case["loa_1.96"][1]),
        (lin_ccc, lambda case: case["lin_ccc"]),
        (icc_a1, lambda case: case["icc"]["ICC2"]),
    ],
)
def test_peak_flow_of_bland_and_altman(statistic, answer):
    table = pd.read_csv(FOLDER / "pefr_bland_altman_1986.csv")
    wright, mini = table["bigger.first"].to_numpy(float), table["smaller.first"].to_numpy(float)
    assert statistic(wright, mini) == pytest.approx(answer(expected("pefr_bland_altman_1986")), abs=5e-5)


@pytest.mark.parametrize("marker", ["wfns", "s100b"])
def test_auroc_of_subarachnoid_haemorrhage(marker):
    table = pd.read_csv(FOLDER / "aSAH_pROC.csv")
    poor = np.where(table.outcome == "Poor", 5.0, 1.0)
    assert auroc(table[marker].to_numpy(float), poor, 4.0) == pytest.approx(expected("delong_aSAH")[f"auc_{marker}"][0])
