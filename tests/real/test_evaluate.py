"""Statistics against published worked examples and other software, to four decimals."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from public_data import DATA, needs

from liverstiff.evaluate.agreement import BlandAltman, icc_a1, lin_ccc, pearson
from liverstiff.evaluate.bootstrap import bca_interval, intervals_of, resampled
from liverstiff.evaluate.correlations import dependent_tests
from liverstiff.evaluate.discrimination import auroc, delong_interval, delong_test
from liverstiff.evaluate.sample import Sample, Terms

FOLDER = DATA / "stats_examples"
FOUR_DECIMALS = {"abs": 5e-5}

pytestmark = needs("stats_examples")


def expected(case: str) -> dict:
    return json.loads((FOLDER / "expected.json").read_text())[case]


def peak_flow() -> tuple[np.ndarray, np.ndarray]:
    table = pd.read_csv(FOLDER / "pefr_bland_altman_1986.csv")
    return table["bigger.first"].to_numpy(float), table["smaller.first"].to_numpy(float)


@pytest.mark.parametrize(
    ("statistic", "answer"),
    [
        (pearson, lambda case: case["pearson"]),
        (lin_ccc, lambda case: case["lin_ccc"]),
        (icc_a1, lambda case: case["icc"]["ICC2"]),
    ],
)
def test_agreement_of_peak_flow(statistic, answer):
    assert statistic(*peak_flow()) == pytest.approx(answer(expected("pefr_bland_altman_1986")), **FOUR_DECIMALS)


def test_bland_altman_of_peak_flow():
    found, answer = BlandAltman.of(*peak_flow()), expected("pefr_bland_altman_1986")
    assert found.bias == pytest.approx(answer["mean_diff"], **FOUR_DECIMALS)
    assert found.sd == pytest.approx(answer["sd_diff"], **FOUR_DECIMALS)
    assert found.limits == pytest.approx(answer["loa_1.96"], **FOUR_DECIMALS)
    assert found.bias_ci == pytest.approx(answer["ci95_bias_t"], **FOUR_DECIMALS)
    assert found.limit_error == pytest.approx(answer["se_loa"], **FOUR_DECIMALS)


def haemorrhage() -> tuple[dict[str, np.ndarray], np.ndarray]:
    table = pd.read_csv(FOLDER / "aSAH_pROC.csv")
    return {name: table[name].to_numpy(float) for name in ("wfns", "s100b")}, (table.outcome == "Poor").to_numpy()


@pytest.mark.parametrize("marker", ["wfns", "s100b"])
def test_auroc_and_its_interval(marker):
    markers, poor = haemorrhage()
    answer = expected("delong_aSAH")[f"auc_{marker}"]
    assert delong_interval(markers[marker], poor) == pytest.approx(answer, **FOUR_DECIMALS)
    assert auroc(markers[marker], poor.astype(float), 1.0) == pytest.approx(answer[0], **FOUR_DECIMALS)


def test_delong_of_two_markers():
    markers, poor = haemorrhage()
    _, _, z, p = delong_test(markers["wfns"], markers["s100b"], poor)
    answer = expected("delong_aSAH")["wfns_vs_s100b"]
    assert (z, p) == pytest.approx((answer["Z"], answer["p"]), **FOUR_DECIMALS)


@pytest.mark.parametrize(
    ("case", "test"),
    [
        ("steiger1980", "Steiger 1980"),
        ("meng1992", "Meng 1992"),
        ("hittner2003", "Hittner 2003"),
        ("williams1959", "Williams 1959"),
        ("dunn1969", "Dunn and Clark 1969"),
    ],
)
def test_dependent_correlations(case, test):
    answer = next(found for name, found in expected("dependent_correlations")["cases"] if name.startswith(case))
    statistic, p = dependent_tests(0.4, 0.3, 0.5, 100)[test]
    printed = answer.get("z", answer.get("t"))
    assert (-statistic, p) == pytest.approx((printed, answer["p"]), **FOUR_DECIMALS)


def test_bootstrap_intervals_of_a_mean():
    """Our resamples of patients, as the bias of estimates against 0; R's figures are of a million resamples."""
    case = expected("bootstrap")
    x = np.array(case["x"], dtype=float)
    nothing = np.zeros_like(x)
    sample = Sample(x, nothing, nothing, nothing, np.arange(len(x)))
    percentile = intervals_of(sample, Terms(), 200_000, 1)["bias"]
    assert percentile[:2] == pytest.approx(case["percentile95"], rel=case["rtol"])
    values = resampled(sample, Terms(), 200_000, 1, studentised=False)["bias"]
    without = [np.delete(x, one).mean() for one in range(len(x))]
    assert bca_interval(values, x.mean(), without)[:2] == pytest.approx(case["bca95"], rel=case["rtol"])
