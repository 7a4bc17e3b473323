"""The stage ``evaluate``: hand-computed agreement, intervals against literal resampling, the balance of the flow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_study import evaluated, write_inputs
from sklearn.metrics import roc_auc_score

from liverstiff.config import EvaluateConfig, TargetConfig
from liverstiff.errors import DataError
from liverstiff.evaluate import evaluate_study
from liverstiff.evaluate.accounting import check_balance, flow_of
from liverstiff.evaluate.agreement import (
    Sample,
    UndefinedError,
    auroc,
    bias,
    calibration_intercept,
    calibration_slope,
    coverage,
    icc_a1,
    limit_high,
    limit_low,
    lin_ccc,
    mae,
    pearson,
    r2,
    rmse,
    spearman,
    statistics_of,
)
from liverstiff.evaluate.bootstrap import (
    bootstrap_t_interval,
    draw_counts,
    intervals_of,
    moment_metrics,
    patient_sums,
    percentile_interval,
    rank_metrics,
    weighted_ranks,
)
from liverstiff.evaluate.tables import groups_of, metrics_of, residual_effect, table1_of, yes_or_no

X, Y = np.array([2.0, 3.0, 4.0, 5.0]), np.array([1.0, 3.0, 3.0, 7.0])
"""Estimate and reference with round moments: means 3.5 and 3.5, SSE 1 + 0 + 1 + 4 = 6, SST 19."""
THRESHOLDS = (2.5, 4.0)


def sample(exams: int = 60, patients: int = 45, seed: int = 3) -> Sample:
    """Exams of which some share a patient, with ties."""
    rng = np.random.default_rng(seed)
    y = np.round(1.8 + rng.gamma(1.5, 1.0, exams), 1)
    x = np.round(0.7 * y + 0.9 + rng.normal(0, 0.5, exams), 1)
    patient = np.r_[np.arange(patients), rng.integers(patients, size=exams - patients)]
    return Sample(x, y, x - 1.0, x + 1.0, patient)


@pytest.mark.parametrize(
    ("statistic", "expected"),
    [
        (pearson, 9 / np.sqrt(5 * 19)),
        (spearman, 4.5 / np.sqrt(5 * 4.5)),
        (mae, 1.0),
        (rmse, np.sqrt(6 / 4)),
        (r2, 1 - 6 / 19),
        (bias, 0.0),
        (limit_low, -1.96 * np.sqrt(2)),
        (limit_high, 1.96 * np.sqrt(2)),
        (lin_ccc, 2 * 9 / (5 + 19)),
        (calibration_slope, 9 / 5),
        (calibration_intercept, 3.5 - 9 / 5 * 3.5),
        # exams 7, measurements 0 (no bias), rest 1: mean squares worked out from the row means 1.5, 3, 3.5, 6
        (icc_a1, (7 - 1) / (7 + 1 + 2 / 4 * (0 - 1))),
    ],
)
def test_a_hand_computed_case(statistic, expected):
    assert statistic(X, Y) == pytest.approx(expected, abs=1e-12)


def test_auroc_counts_pairs():
    # cases (>= 3): 3, 4, 5; control 2: all pairs right. At 7 kPa the one case, estimated 5, is above the three others
    assert auroc(X, Y, 3.0) == 1.0
    # cases 2, 2 and controls 1, 2, 3: pairs 1 + 1/2 + 0, twice, of 6
    assert auroc(np.array([2.0, 2.0, 1.0, 2.0, 3.0]), np.array([5.0, 5.0, 1.0, 1.0, 1.0]), 4.0) == pytest.approx(0.5)


def test_coverage_is_of_the_exams_with_an_interval():
    low, high = np.array([0.0, 4.0, np.nan, 6.0]), np.array([2.0, 5.0, np.nan, 7.0])
    assert coverage(Sample(X, Y, low, high, np.arange(4))) == pytest.approx(2 / 3)


def test_every_moment_metric_equals_its_plain_form():
    exams = sample()
    by_moments = moment_metrics(patient_sums(exams).sum(axis=0))
    plain = statistics_of(exams, THRESHOLDS)
    for name, value in by_moments.items():
        assert float(value) == pytest.approx(plain[name](), abs=1e-10), name


def test_resamples_equal_literal_resampling():
    exams, thresholds = sample(), (2.5, 3.0)
    counts = next(draw_counts(exams.patients, 12, np.random.default_rng(0)))
    moments = moment_metrics(counts @ patient_sums(exams))
    ranks = rank_metrics(exams, counts[:, exams.patient], thresholds)
    for row, times in enumerate(counts.astype(int)):
        drawn = np.repeat(np.arange(exams.exams), times[exams.patient])
        columns = (column[drawn] for column in (exams.estimate, exams.reference, exams.low, exams.high, exams.patient))
        plain = statistics_of(Sample(*columns), thresholds)
        for name, values in {**moments, **ranks}.items():
            assert values[row] == pytest.approx(plain[name](), abs=1e-10), name


def test_every_resample_draws_as_many_patients():
    parts = list(draw_counts(7, 500, np.random.default_rng(1)))
    counts = np.concatenate(parts)
    assert counts.shape == (500, 7)
    assert (counts.sum(axis=1) == 7).all()
    assert counts.mean() == 1


def test_weighted_ranks_are_those_of_repeated_values():
    values, weights = np.array([3.0, 1.0, 3.0, 2.0]), np.array([[2.0, 1.0, 1.0, 0.0]])
    # 1, 3, 3, 3 has mid-ranks 1, 3, 3, 3; the value drawn zero times is not looked at
    assert weighted_ranks(values, weights)[0, :3] == pytest.approx([3, 1, 3])


def test_weighted_auroc_is_that_of_scikit_learn():
    exams = sample()
    ours = rank_metrics(exams, np.ones((1, exams.exams)), (3.0,))["auroc_3"][0]
    assert ours == pytest.approx(roc_auc_score(exams.reference >= 3.0, exams.estimate), abs=1e-12)


def test_bootstrap_t_equals_a_literal_loop():
    exams = sample(24, 18)
    sums = patient_sums(exams)
    counts = next(draw_counts(exams.patients, 40, np.random.default_rng(5)))

    def z_of(patients):
        rows = np.concatenate([np.flatnonzero(exams.patient == one) for one in patients])
        return np.arctanh(np.corrcoef(exams.estimate[rows], exams.reference[rows])[0, 1])

    def z_and_error(patients):
        without = np.array([z_of(np.delete(patients, one)) for one in range(len(patients))])
        share = (len(patients) - 1) / len(patients)
        return z_of(patients), np.sqrt(share * np.sum((without - without.mean()) ** 2))

    z, error = z_and_error(np.arange(exams.patients))
    drawn = [z_and_error(np.repeat(np.arange(exams.patients), times.astype(int))) for times in counts]
    t_low, t_high = np.quantile([(one - z) / spread for one, spread in drawn], [0.025, 0.975])
    expected = np.tanh([z - t_high * error, z - t_low * error])
    interval = bootstrap_t_interval(sums, [counts])
    assert (interval.low, interval.high) == pytest.approx(tuple(expected), abs=1e-10)


def test_repeat_exams_widen_the_interval():
    """The same exams told as one patient each give the narrower, wrong interval."""
    once = sample(40, 40)
    twice = Sample(*(np.tile(part, 2) for part in (once.estimate, once.reference, once.low, once.high, once.patient)))
    as_exams = Sample(twice.estimate, twice.reference, twice.low, twice.high, np.arange(80))

    def width(exams):
        interval = intervals_of(exams, (), 400, np.random.default_rng(2))["mae"]
        return interval.high - interval.low

    assert width(twice) > 1.2 * width(as_exams)
    assert width(twice) == pytest.approx(width(once), abs=1e-12)


@pytest.mark.parametrize(
    ("values", "defined"), [([1.0] * 20, False), ([np.nan] * 2 + [1.0, 2.0] * 9, False), ([1.0, 2.0] * 10, True)]
)
def test_no_interval_without_values(values, defined):
    interval = percentile_interval(np.array(values))
    assert np.isfinite([interval.low, interval.high]).all() == defined
    assert bool(interval.note) != defined


@pytest.mark.parametrize(
    ("x", "y", "statistic", "why"),
    [
        ([], [], mae, "no exam analysed"),
        ([1.0, 2.0], [1.0, 2.0], pearson, "needs 3 exams, has 2"),
        ([2.0, 2.0, 2.0], [1.0, 2.0, 3.0], pearson, "the estimate is constant"),
        ([2.0, 2.0, 2.0], [1.0, 2.0, 3.0], calibration_slope, "the estimate is constant"),
        ([1.0, 2.0, 3.0], [2.0, 2.0, 2.0], r2, "the reference is constant"),
    ],
)
def test_an_undefined_statistic_says_why(x, y, statistic, why):
    with pytest.raises(UndefinedError, match=why):
        statistic(np.array(x), np.array(y))


def test_one_class_has_no_auroc():
    with pytest.raises(UndefinedError, match="every exam has 1 kPa or more"):
        auroc(X, Y, 1.0)


def rows_of(exams: int, estimate: float | None = None) -> pd.DataFrame:
    """Rows of ``analysed.csv`` of one partition; ``estimate`` makes the estimate constant."""
    y = np.linspace(2, 6, exams)
    return pd.DataFrame(
        {
            "patient": [f"p{row}" for row in range(exams)],
            "partition": "temporal",
            "reference": y,
            "estimate": y + np.resize([0.3, -0.2, 0.1], exams) if estimate is None else estimate,
            "low": np.nan,
            "high": np.nan,
            **{"site": "alba", "vendor": "GE", "steatosis": np.resize(["yes", "no", ""], exams)},
        }
    )


@pytest.mark.parametrize(
    ("rows", "metric", "value", "note"),
    [
        (rows_of(0), "pearson_r", None, "no exam analysed"),
        (rows_of(2), "pearson_r", None, "needs 3 exams, has 2"),
        (rows_of(2), "mae", 0.25, "no interval: needs 10 patients"),
        (rows_of(20, estimate=3.0), "pearson_r", None, "the estimate is constant"),
        (rows_of(20, estimate=3.0), "auroc_4", 0.5, "no interval: every resample gives the same value"),
        (rows_of(20), "interval_coverage", None, "no exam has an interval"),
    ],
)
def test_small_and_constant_groups_have_notes(rows, metric, value, note):
    table = metrics_of(rows, ["temporal"], EvaluateConfig(resamples=100), TargetConfig())
    row = table[(table.group == "all") & (table.metric == metric)].iloc[0]
    assert pd.isna(row.value) if value is None else row.value == pytest.approx(value), row
    assert row.note == note
    assert pd.isna(row.low)


def test_groups_leave_out_what_is_unknown():
    groups = groups_of(rows_of(9))
    assert {name: len(rows) for name, rows in groups.items()} == {
        **{"all": 9, "site=alba": 9, "steatosis=yes": 3, "steatosis=no": 3, "vendor=GE": 9}
    }


def test_residual_effect_of_a_planted_slope():
    age = np.arange(20.0, 60.0)
    noise = np.resize([0.01, -0.01, -0.01, 0.01], 40)
    rows = pd.DataFrame({"patient": [f"p{row}" for row in range(40)], "age": age, "residual": 0.05 * age + noise})
    effect = residual_effect(rows, "age")
    assert effect["value"] == pytest.approx(0.05, abs=1e-4)
    assert effect["low"] < 0.05 < effect["high"]
    assert effect["p"] < 1e-6


def test_residual_difference_between_the_sexes():
    rows = pd.DataFrame({"patient": [f"p{row}" for row in range(12)], "sex": ["male", "female"] * 6})
    rows["residual"] = np.where(rows.sex == "male", 0.5, 0.2) + np.repeat([0.1, -0.1], 6)
    assert residual_effect(rows, "sex")["value"] == pytest.approx(0.3)
    assert "does not vary" in residual_effect(rows.assign(sex="male"), "sex")["note"]


def test_yes_or_no_refuses_anything_else():
    assert list(yes_or_no(pd.Series([True, "0", 1.0, None]))) == ["yes", "no", "yes", ""]
    with pytest.raises(DataError, match="'perhaps'"):
        yes_or_no(pd.Series(["perhaps"], name="steatosis"))


def test_table1_by_hand():
    cohort = pd.DataFrame({"exam": list("abcd"), "patient": list("ppqr"), "age": [40, 50, 60, np.nan]})
    cohort = cohort.assign(reference=[2.0, 3.0, 4.0, 9.0], sex=["male", "female", "male", "male"])
    analysed = pd.DataFrame({"exam": list("abcd"), "partition": ["temporal"] * 3 + ["external"]})
    table = (
        table1_of(analysed, cohort, ["temporal", "external"]).set_index(["partition", "variable", "level"]).sort_index()
    )
    assert table.loc[("temporal", "patients"), "exams"].item() == 2
    age = table.loc[("temporal", "age")].iloc[0]
    assert (age["mean"], age["sd"], age["median"], age["q1"], age["missing"]) == (50, 10, 50, 45, 0)
    assert table.loc[("temporal", "sex", "male"), "share"] == pytest.approx(2 / 3)
    assert table.loc[("external", "sex", "female"), "exams"] == 0
    assert table.loc[("external", "age")].iloc[0]["missing"] == 1


EXAMS = pd.DataFrame({"exam": ["e1", "e2", "e3"], "patient": ["p1", "p1", "p2"], "site": "alba"})
FATES = pd.DataFrame(
    {
        "exam": ["e1", "e2", "e3"],
        "step": ["analysed", "excluded", "analysed"],
        "stage": ["", "cohort", ""],
        "reason": ["", "no_record", ""],
        "partition": ["temporal", "", "external"],
    }
)


def test_a_balanced_flow_adds_up():
    check_balance(EXAMS, FATES)
    flow = flow_of(FATES.merge(EXAMS), ["temporal", "external"])
    assert list(flow.exams) == [3, 1, 1, 1]
    assert list(flow.patients) == [2, 1, 1, 1]


@pytest.mark.parametrize(
    ("exams", "fates", "message"),
    [
        (EXAMS, FATES[1:], "neither excluded nor analysed: e1"),
        (EXAMS[1:], FATES, "not catalogued: e1"),
        (EXAMS, pd.concat([FATES, FATES[1:2].assign(step="analysed", partition="temporal")]), "two fates .* e2"),
        (pd.concat([EXAMS, EXAMS[:1]]), FATES, "e1 catalogued twice"),
    ],
)
def test_an_imbalance_stops_the_study(exams, fates, message):
    with pytest.raises(DataError, match=message):
        check_balance(exams, fates)


def test_the_stage_stops_on_a_lost_exam(tmp_path: Path):
    arguments = write_inputs(tmp_path)
    gone = pd.read_csv(arguments["exclusions"])
    gone[1:].to_csv(arguments["exclusions"], index=False)
    with pytest.raises(DataError, match=f"neither excluded nor analysed: {gone.exam[0]}"):
        evaluate_study(**arguments)


def test_the_stage_stops_on_an_estimate_of_another_partition(tmp_path: Path):
    arguments = write_inputs(tmp_path)
    paths = arguments["predictions"]
    arguments["predictions"] = {**paths, "temporal": paths["external"], "external": paths["temporal"]}
    with pytest.raises(DataError, match="outside their partition"):
        evaluate_study(**arguments)


def test_the_stage_writes_every_table_twice_the_same(tmp_path: Path):
    first, second = evaluated(tmp_path / "a"), evaluated(tmp_path / "b")
    for name, path in first.items():
        assert path.read_bytes() == second[name].read_bytes(), name
    metrics = pd.read_csv(first["metrics"])
    r = metrics[(metrics.group == "all") & (metrics.metric == "pearson_r")].set_index("partition")
    analysed = pd.read_csv(first["analysed"])
    for partition, rows in analysed.groupby("partition"):
        assert r.loc[partition, "value"] == pytest.approx(np.corrcoef(rows.estimate, rows.reference)[0, 1], abs=1e-12)
        assert r.loc[partition, "low"] < r.loc[partition, "value"] < r.loc[partition, "high"]
    assert "nan" not in first["metrics"].read_text().lower().replace("resonance", "")
    flow = pd.read_csv(first["flow"])
    assert flow.exams[flow.step == "catalogued"].item() == flow.exams[flow.step != "catalogued"].sum() == 67


def test_an_empty_partition_is_a_note(tmp_path: Path):
    metrics = pd.read_csv(evaluated(tmp_path, {"cross-validation": 20, "temporal": 0, "external": 1})["metrics"])
    empty = metrics[metrics.partition == "temporal"]
    assert set(empty.note) == {"no exam analysed"}
    assert empty.value.isna().all()
    assert (empty.n == 0).all()
