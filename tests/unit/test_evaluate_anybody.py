"""``liverstiff evaluate``: the statistics of anybody's table."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_predictions import NAMED, table
from typer.testing import CliRunner

from liverstiff.cli import app
from liverstiff.config import EvaluateConfig, TargetConfig
from liverstiff.errors import ConfigError, DataError
from liverstiff.evaluate import Columns, evaluate_predictions

QUICK = ["--resamples", "100", "--no-page"]


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
    tables = evaluate_predictions(
        tmp_path / "own.csv", tmp_path / "out", columns, EvaluateConfig(resamples=100), TargetConfig()
    )
    flow = pd.read_csv(tables["flow"], keep_default_na=False)
    assert list(flow.step + flow.reason + flow.partition) == ["catalogued", "excludedmissing_value", "analysedall"]
    assert list(flow.exams) == [60, 2, 58]
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    assert summary["partitions"]["all"]["exams"] == summary["partitions"]["all"]["patients"] == 58
    assert summary["gaps"][:3] == [
        "rows without an estimate or a reference, left out: 2",
        "no column of the patient: every row counts as a patient of its own",
        "no second model, so there are no comparisons",
    ]


def of_development(exams: int = 90) -> pd.DataFrame:
    """Rows with our names of the columns, in three folds."""
    rows = table(exams).rename(columns={"network": "estimate", "truth": "reference", "hospital": "site"})
    return rows.drop(columns=["id", "fib4", "model", "Alter"]).assign(
        **{"exam": np.arange(exams), "patient": np.arange(exams), "fold": np.arange(exams) % 3},
        partition="cross-validation",
    )


def statistics_of(rows: pd.DataFrame, folder: Path) -> Path:
    """The folder of tables of these rows."""
    folder.mkdir()
    rows.to_csv(folder / "own.csv", index=False)
    settings = EvaluateConfig(resamples=100)
    columns = Columns.found_in(folder / "own.csv")
    evaluate_predictions(folder / "own.csv", folder / "out", columns, settings, TargetConfig())
    return folder / "out"


def test_a_missing_fold_does_not_let_a_fold_decide_for_itself(tmp_path):
    rows = of_development()
    rows["fold"] = rows.fold.astype(float).mask(rows.index == 4)  # so 0.0, 1.0, 2.0 in the file
    poisoned = rows.assign(estimate=rows.estimate.mask(rows.fold == 0, 9 - rows.estimate))
    cuts, again = (
        pd.read_csv(statistics_of(one, tmp_path / name) / "cutpoints.csv", dtype={"fold": str}).query("threshold == 3")
        for one, name in ((rows, "one"), (poisoned, "two"))
    )
    assert dict(zip(cuts.fold, cuts.source, strict=True)) == {
        **dict.fromkeys("012", "out-of-fold estimates of the other folds"),
        "none": "out-of-fold estimates of the development exams",
    }
    assert dict(zip(cuts.fold, cuts.exams, strict=True)) == {"0": 59, "1": 60, "2": 59, "none": 89}
    assert cuts.cut_point.nunique() > 1
    same = cuts.set_index("fold").cut_point == again.set_index("fold").cut_point
    assert same["0"]
    assert not same["1"]


def test_what_is_missing_is_nobody_s(tmp_path):
    rows = of_development().astype({"patient": str, "site": float})
    rows.loc[:3, "patient"] = np.nan
    rows.loc[[4, 5], "patient"] = ["007", "7"]
    rows.loc[7, "patient"] = "007"
    rows.loc[10:14, "site"] = np.nan
    rows.loc[20, "partition"] = np.nan
    out = statistics_of(rows, tmp_path / "one")
    analysed = pd.read_csv(out / "analysed.csv", dtype=str, keep_default_na=False)
    assert len(analysed) == 89
    assert analysed.patient.nunique() == 88  # 007 twice; 7 is another
    assert not {"nan", ""} & set(analysed.patient)
    assert analysed.site.value_counts().to_dict() == {"1.0": 41, "2.0": 43, "": 5}
    metrics = pd.read_csv(out / "metrics.csv")
    assert {name for name in metrics.group if name.startswith("site")} == {"site=1.0", "site=2.0"}
    summary = json.loads((out / "summary.json").read_text())
    assert summary["partitions"]["cross-validation"]["patients"] == 88
    assert summary["gaps"][:3] == [
        "rows without a partition, left out: 1",
        "rows without a patient, each a patient of its own: 4",
        "rows without a site, in no group of a site: 5",
    ]


@pytest.mark.parametrize("rows", [of_development().assign(partition=np.nan), of_development()[:0]])
def test_a_table_without_a_partition_or_a_row_is_a_mistake(tmp_path, rows):
    with pytest.raises(DataError, match="no row, or none with a partition"):
        statistics_of(rows, tmp_path / "one")


def test_a_sex_in_other_words_is_told(tmp_path):
    out = statistics_of(of_development().replace({"male": "M", "female": "F"}), tmp_path / "one")
    gaps = json.loads((out / "summary.json").read_text())["gaps"]
    assert "cross-validation: sex: no value is male or female" in gaps


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
        ([*NAMED, "--column", "second=model"], DataError, "second model's column is called model"),
        ([*NAMED, "--interval", "90"], ConfigError, "options of evaluate"),
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
