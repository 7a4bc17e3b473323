"""``liverstiff evaluate``: the statistics of anybody's table."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from liverstiff.cli import app
from liverstiff.config import EvaluateConfig, TargetConfig
from liverstiff.errors import ConfigError, DataError
from liverstiff.evaluate import Columns, evaluate_predictions

QUICK = ["--resamples", "100"]


def table(exams: int = 60) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    y = 1.9 + rng.gamma(1.3, 1.1, exams)
    return pd.DataFrame(
        {
            **{"id": np.arange(exams) // 2, "truth": y, "network": y + rng.normal(0, 0.5, exams)},
            **{"fib4": rng.normal(0, 1, exams), "Alter": rng.normal(50, 9, exams)},
            **{"sex": np.resize(["male", "female"], exams), "hospital": np.resize([1, 2], exams)},
        }
    )


NAMED = [
    *("--column", "estimate=network", "--column", "reference=truth", "--column", "patient=id"),
    *("--column", "age=Alter", "--column", "second=fib4", "--column", "site=hospital"),
]


def test_a_table_with_names_of_its_own(tmp_path):
    table().to_csv(tmp_path / "own.csv", index=False)
    run = CliRunner().invoke(
        app, ["evaluate", str(tmp_path / "own.csv"), "--out", str(tmp_path / "out"), *NAMED, *QUICK]
    )
    assert run.exit_code == 0, run.output
    assert "pearson_r" in run.output
    metrics = pd.read_csv(tmp_path / "out/metrics.csv")
    r = metrics[(metrics.group == "all") & (metrics.metric == "pearson_r")].iloc[0]
    assert r.value == pytest.approx(np.corrcoef(table().network, table().truth)[0, 1])
    assert (r.n, r.patients, r.partition) == (60, 30, "all")
    assert {"site=1", "site=2"} <= set(metrics.group)
    compared = pd.read_csv(tmp_path / "out/comparisons.csv")
    assert set(compared.baseline) == {"fib4"}
    assert "slope, kPa per year" in set(pd.read_csv(tmp_path / "out/residuals.csv").effect)
    thresholds = pd.read_csv(tmp_path / "out/thresholds.csv")
    assert set(thresholds.cut_source) == {"the threshold itself: no development exams"}
    gaps = json.loads((tmp_path / "out/summary.json").read_text())["gaps"]
    assert "all: bmi: body mass index is not recorded" in gaps


def test_what_is_missing_is_left_out_and_told(tmp_path):
    rows = table().rename(columns={"network": "estimate", "truth": "reference"}).drop(columns="id")
    rows.loc[3, "estimate"] = np.nan
    rows.loc[7, "reference"] = np.inf
    rows.to_csv(tmp_path / "own.csv", index=False)
    columns = Columns.found_in(tmp_path / "own.csv")
    out = evaluate_predictions(
        tmp_path / "own.csv", tmp_path / "out", columns, EvaluateConfig(resamples=100), TargetConfig()
    )
    summary = json.loads((out / "summary.json").read_text())
    assert summary["partitions"]["all"]["exams"] == summary["partitions"]["all"]["patients"] == 58
    assert summary["gaps"][:3] == [
        "2 rows have no estimate or no reference and are left out",
        "no column of the patient: every row counts as a patient of its own",
        "no second model, so there are no comparisons",
    ]


def test_its_own_table_gives_the_same_metrics_again(tmp_path):
    table().to_csv(tmp_path / "own.csv", index=False)
    for source, out, options in (("own.csv", "one", NAMED), ("one/analysed.csv", "two", [])):
        run = CliRunner().invoke(
            app, ["evaluate", str(tmp_path / source), "--out", str(tmp_path / out), *options, *QUICK]
        )
        assert run.exit_code == 0, run.output
    for name in ("metrics", "residuals", "subgroups", "calibration"):
        assert (tmp_path / f"one/{name}.csv").read_text() == (tmp_path / f"two/{name}.csv").read_text(), name


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (["--column", "estimate=nothing"], DataError, "no column nothing, reference; it has id, truth"),
        ([*NAMED, "--column", "low=sex"], DataError, "column sex holds text"),
        ([*NAMED, "--column", "exam=id"], DataError, "30 rows name an exam again"),
        ([*NAMED, "--column", "weight=id"], DataError, "covariate weight; expected one of site"),
        ([*NAMED, "--column", "age"], ConfigError, "options of evaluate"),
        ([*NAMED, "--threshold", "4", "--threshold", "3"], ConfigError, "options of evaluate"),
    ],
)
def test_a_mistake_is_one_line(tmp_path, options, error, message):
    table().to_csv(tmp_path / "own.csv", index=False)
    run = CliRunner().invoke(app, ["evaluate", str(tmp_path / "own.csv"), "--out", str(tmp_path / "out"), *options])
    assert isinstance(run.exception, error)
    assert message in str(run.exception)
    assert len(str(run.exception).splitlines()) == 1
