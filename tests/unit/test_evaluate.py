"""The stage ``evaluate``: hand-computed agreement, intervals against literal resampling, the balance of the flow."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_study import TABLES, evaluated, write_inputs
from sklearn.metrics import average_precision_score, roc_auc_score

from liverstiff.config import TargetConfig
from liverstiff.errors import DataError
from liverstiff.evaluate import evaluate_study
from liverstiff.evaluate.accounting import check_balance, flow_of
from liverstiff.evaluate.agreement import (
    BlandAltman,
    bias,
    calibration_intercept,
    calibration_slope,
    corrected,
    coverage,
    icc_a1,
    limit_high,
    limit_low,
    lin_ccc,
    mae,
    pearson,
    perfect_share,
    proportional_bias,
    r2,
    rmse,
    share_within,
    spearman,
    statistics_of,
    within_site,
)
from liverstiff.evaluate.bootstrap import (
    bootstrap_t_interval,
    centred_sums,
    draw_counts,
    intervals_of,
    percentile_interval,
    resampled,
    z_and_error,
)
from liverstiff.evaluate.discrimination import auprc, auroc, delong, delong_interval, npv, ppv, sensitivity, specificity
from liverstiff.evaluate.frozen import Development, cutpoints_of
from liverstiff.evaluate.moments import exam_columns, moment_metrics, patient_sums
from liverstiff.evaluate.performance import Question, groups_by_partition, groups_of, performance_of
from liverstiff.evaluate.ranks import Order, Ranking, Ranks, rank_metrics
from liverstiff.evaluate.sample import Sample, Terms, UndefinedError
from liverstiff.evaluate.table1 import table1_of, yes_or_no

X, Y = np.array([2.0, 3.0, 4.0, 5.0]), np.array([1.0, 3.0, 3.0, 7.0])
"""Estimate and reference with round moments: means 3.5 and 3.5, SSE 1 + 0 + 1 + 4 = 6, SST 19."""
TERMS = Terms((2.5, 4.0))


def sample(exams: int = 60, patients: int = 45, seed: int = 3) -> Sample:
    """Exams of which some share a patient, with ties."""
    rng = np.random.default_rng(seed)
    y = np.round(1.8 + rng.gamma(1.5, 1.0, exams), 1)
    x = np.round(0.7 * y + 0.9 + rng.normal(0, 0.5, exams), 1)
    patient = np.r_[np.arange(patients), rng.integers(patients, size=exams - patients)]
    called = (x[:, None] >= np.array([2.6, 3.7])).astype(float)
    return Sample(x, y, x - 1.0, x + 1.0, patient, patient % 3, called)


def drawn(exams: Sample, times: np.ndarray) -> Sample:
    """The exams that a resample of so many of each patient holds, literally."""
    rows = np.repeat(np.arange(exams.exams), times.astype(int)[exams.patient])
    names = ("estimate", "reference", "low", "high", "patient", "site", "called")
    return Sample(*(getattr(exams, name)[rows] for name in names))


@pytest.mark.parametrize(
    ("statistic", "expected"),
    [
        (pearson, 9 / np.sqrt(5 * 19)),
        (spearman, 4.5 / np.sqrt(5 * 4.5)),
        (mae, 1.0),
        (rmse, np.sqrt(6 / 4)),
        (r2, 1 - 6 / 19),
        (bias, 0.0),
        (proportional_bias, (5 - 19) / ((5 + 19 + 2 * 9) / 2)),
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
    # cases (>= 3): 3, 4, 5; control 2: all pairs right. At 7 the one case, estimated 5, is above the three others
    assert auroc(X, Y, 3.0) == 1.0
    # cases 2, 2 and controls 1, 2, 3: pairs 1 + 1/2 + 0, twice, of 6
    assert auroc(np.array([2.0, 2.0, 1.0, 2.0, 3.0]), np.array([5.0, 5.0, 1.0, 1.0, 1.0]), 4.0) == pytest.approx(0.5)


def test_average_precision_is_that_of_scikit_learn():
    exams = sample()
    assert len(np.unique(exams.estimate)) < exams.exams
    expected = average_precision_score(exams.reference >= 3.0, exams.estimate)
    assert auprc(exams.estimate, exams.reference, 3.0) == pytest.approx(expected, abs=1e-12)


def test_calls_by_hand():
    called, case = np.array([1.0, 1.0, 0.0, 0.0, 0.0]), np.array([True, False, True, False, False])
    assert (sensitivity(called, case), specificity(called, case)) == (1 / 2, 2 / 3)
    assert (ppv(called, case), npv(called, case)) == (1 / 2, 2 / 3)
    with pytest.raises(UndefinedError, match="no cut-point"):
        sensitivity(np.full(5, np.nan), case)
    with pytest.raises(UndefinedError, match="no exam is called"):
        ppv(np.zeros(5), case)


def test_bland_altman_by_hand():
    # differences 1, 0, 1, -2: mean 0, SD sqrt(6 / 3), t(3, 0.975) = 3.182446
    found = BlandAltman.of(X, Y)
    assert found.limits == pytest.approx((-1.96 * np.sqrt(2), 1.96 * np.sqrt(2)))
    assert found.bias_ci == pytest.approx((-3.182446 * np.sqrt(2) / 2, 3.182446 * np.sqrt(2) / 2))
    assert found.limit_error == pytest.approx(np.sqrt(3 * 2 / 4))


def test_coverage_is_of_the_exams_with_an_interval():
    low, high = np.array([0.0, 4.0, np.nan, 6.0]), np.array([2.0, 5.0, np.nan, 7.0])
    assert coverage(Sample(X, Y, low, high, np.arange(4))) == pytest.approx(2 / 3)


def test_r_within_sites_is_free_of_their_means():
    # two sites with r = 1 inside either and means that cancel it
    x, y = np.array([1.0, 2.0, 3.0, 7.0, 8.0, 9.0]), np.array([7.0, 8.0, 9.0, 1.0, 2.0, 3.0])
    assert within_site(x, y, np.repeat([0, 1], 3)) == pytest.approx(1)
    assert pearson(x, y) < 0
    with pytest.raises(UndefinedError, match="one site only"):
        within_site(x, y, np.zeros(6, int))


def test_correction_for_the_noise_of_the_reference():
    rng = np.random.default_rng(2)
    true = 1.6 + np.exp(0.17 + 0.774 * rng.standard_normal(200_000))
    measured = true * (1 + 0.10 * rng.standard_normal(len(true)))
    estimate = true + rng.normal(0, 1, len(true))
    assert corrected(estimate, measured, 0.10) == pytest.approx(np.corrcoef(estimate, true)[0, 1], abs=2e-3)
    with pytest.raises(UndefinedError, match="whole spread"):
        corrected(np.array([3.0, 3.2, 3.1, 3.3]), np.array([3.0, 3.1, 3.2, 3.3]), 0.3)


def test_share_within_of_a_perfect_estimate():
    rng = np.random.default_rng(3)
    true = rng.gamma(6, 0.5, 400_000)
    measured = true * (1 + 0.10 * rng.standard_normal(len(true)))
    assert perfect_share(measured, 0.19, 0.10) == pytest.approx(0.935, abs=5e-4)
    assert share_within(true, measured, 0.19) == pytest.approx(0.935, abs=2e-3)
    assert perfect_share(measured, 0.19, 0.0) == 1


def test_every_moment_metric_equals_its_plain_form():
    exams = sample()
    columns = exam_columns(exams, TERMS)
    sums = dict(zip(columns, patient_sums(columns, exams).sum(axis=0)[:, None], strict=True))
    plain, by_moments = statistics_of(exams, TERMS), moment_metrics(sums, TERMS)
    ranks = {"spearman_rho", *(f"{name}_{level}" for name in ("auroc", "auprc") for level in ("2.5", "4"))}
    assert set(by_moments) == set(plain) - ranks - {"share_within_perfect"}
    for name, value in by_moments.items():
        assert value[0] == pytest.approx(plain[name](), abs=1e-10), name


@pytest.mark.parametrize("jitter", [0.0, 1e-4])
def test_resamples_equal_literal_resampling(jitter):
    """With ties and without."""
    exams = sample()
    exams = replace(exams, estimate=exams.estimate + jitter * np.arange(exams.exams))
    columns = exam_columns(exams, TERMS)
    counts = draw_counts(exams.patients, 12, np.random.default_rng(0))
    totals = dict(zip(columns, (counts @ patient_sums(columns, exams)).T, strict=True))
    values = {**moment_metrics(totals, TERMS), **rank_metrics(Ranking.of(exams, TERMS.thresholds), counts)}
    for row, times in enumerate(counts):
        plain = statistics_of(drawn(exams, times), TERMS)
        assert set(values) == set(plain) - {"share_within_perfect"}
        for name, column in values.items():
            try:
                expected = plain[name]()
            except UndefinedError:
                expected = np.nan
            assert column[row] == pytest.approx(expected, abs=1e-10, nan_ok=True), name


def test_a_case_nobody_has_and_one_that_all_have():
    exams = sample()
    values = resampled(exams, Terms((0.5, 99.0)), 50, 1)
    for name in ("auroc_0.5", "auprc_0.5", "auroc_99", "auprc_99"):
        assert np.isnan(values[name]).all(), name


def test_every_resample_draws_as_many_patients():
    counts = draw_counts(7, 500, np.random.default_rng(1))
    assert counts.shape == (500, 7)
    assert (counts.sum(axis=1) == 7).all()


def test_resamples_follow_from_the_seed_and_not_from_the_threads():
    exams = sample(700, 600)
    one, two = (resampled(exams, TERMS, 600, 4, threads) for threads in (1, 2))
    for name, values in one.items():
        np.testing.assert_array_equal(values, two[name])
    other = resampled(exams, TERMS, 600, 5)
    assert not np.array_equal(one["mae"], other["mae"])


def test_mid_ranks_are_those_of_repeated_values():
    values, weights = np.array([3.0, 3.0, 2.0, 1.0]), np.array([[2.0, 1.0, 0.0, 1.0]])
    # 3, 3, 3, 1 has mid-ranks 2, 2, 2, 4 from the highest; the value drawn zero times is not looked at
    ranks = Ranks.of(Order.of(values), weights)
    assert ranks.middle[0, [0, 1, 3]] == pytest.approx([2, 2, 4])
    assert ranks.reached[0, [0, 1, 3]] == pytest.approx([3, 3, 4])
    assert ranks.squares[0] == pytest.approx(3 * 0.25 + 2.25)


def test_weighted_auroc_is_that_of_scikit_learn():
    exams = sample()
    ours = rank_metrics(Ranking.of(exams, (3.0,)), np.ones((1, exams.patients)))["auroc_3"][0]
    assert ours == pytest.approx(roc_auc_score(exams.reference >= 3.0, exams.estimate), abs=1e-12)


def test_delong_of_one_model_by_hand():
    # cases 3, 1; others 2, 0: pairs 1, 1, 0, 1 -> 3/4; parts of cases 1, 1/2, of others 1/2, 1: (1/8 + 1/8) / 2
    areas, covariance = delong(np.array([[3.0, 1.0, 2.0, 0.0]]), np.array([True, True, False, False]))
    assert (areas[0], covariance[0, 0]) == (0.75, pytest.approx(0.125))
    with pytest.raises(UndefinedError, match="needs 2 cases"):
        delong_interval(np.arange(4.0), np.array([True, False, False, False]))


def test_bootstrap_t_equals_a_literal_loop():
    exams = sample(24, 18)
    sums = centred_sums(exams)
    counts = draw_counts(exams.patients, 40, np.random.default_rng(5))

    def z_of(patients):
        rows = np.concatenate([np.flatnonzero(exams.patient == one) for one in patients])
        return np.arctanh(np.corrcoef(exams.estimate[rows], exams.reference[rows])[0, 1])

    def slow(patients):
        without = np.array([z_of(np.delete(patients, one)) for one in range(len(patients))])
        share = (len(patients) - 1) / len(patients)
        return z_of(patients), np.sqrt(share * np.sum((without - without.mean()) ** 2))

    z, error = slow(np.arange(exams.patients))
    literal = [slow(np.repeat(np.arange(exams.patients), times.astype(int))) for times in counts]
    fast = np.transpose(z_and_error(sums, counts))
    np.testing.assert_allclose(fast, literal, atol=1e-10)
    t = np.array([(one - z) / spread for one, spread in literal])
    half = np.quantile(np.abs(t), 0.95) * error
    expected = np.tanh([z - half, z + half])
    interval = bootstrap_t_interval(exams, (fast[:, 0] - z) / fast[:, 1])
    assert (interval.low, interval.high) == pytest.approx(tuple(expected), abs=1e-10)


def test_repeat_exams_widen_the_interval():
    """The same exams told as one patient each give the narrower, wrong interval."""
    once = sample(40, 40)
    twice = Sample(*(np.tile(part, 2) for part in (once.estimate, once.reference, once.low, once.high, once.patient)))
    as_exams = Sample(twice.estimate, twice.reference, twice.low, twice.high, np.arange(80))

    def width(exams):
        interval = intervals_of(exams, Terms(), 400, 2)["mae"]
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
    with pytest.raises(UndefinedError, match="every exam has 1 or more"):
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
            **{"site": "alba", "vendor": "GE", "field_t": 1.5, "steatosis": np.resize(["yes", "no", ""], exams)},
            "fold": "ensemble",
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
        (rows_of(20), "pearson_r_within_site", None, "one site only"),
        (rows_of(20, estimate=3.0), "sensitivity_4", 0.0, "no interval: every resample gives the same value"),
        (rows_of(20, estimate=3.0), "ppv_4", None, "no exam is called"),
        (rows_of(9), "bias_above_5", 0.2 / 3, "no interval: needs 10 patients"),
    ],
)
def test_small_and_constant_groups_have_notes(rows, metric, value, note):
    thresholds = TargetConfig().thresholds
    cutpoints = cutpoints_of(rows, Development.of(rows.assign(exam=rows.patient), None), thresholds)
    table = performance_of(groups_by_partition(rows, ["temporal"]), cutpoints, Question(Terms(thresholds), 100, 1))
    row = table[(table.group == "all") & (table.metric == metric)].iloc[0]
    assert pd.isna(row.value) if value is None else row.value == pytest.approx(value), row
    assert row.note == note
    assert pd.isna(row.low)


def test_groups_leave_out_what_is_unknown():
    groups = groups_of(rows_of(9))
    assert {name: len(rows) for name, rows in groups.items()} == {
        **{"all": 9, "site=alba": 9, "vendor=GE": 9, "field_t=1.5": 9, "steatosis=yes": 3, "steatosis=no": 3}
    }


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
    names = sorted(path.name for path in first["metrics"].parent.iterdir())
    assert names == sorted([*(f"{name}.csv" for name in TABLES), "summary.json"])
    for name in names:
        twice = [tables["metrics"].with_name(name) for tables in (first, second)]
        assert twice[0].read_bytes() == twice[1].read_bytes(), name
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
    assert set(empty.note[empty.metric != "share_within_perfect"]) == {"no exam analysed"}
    assert empty.value.isna().all()
    assert (empty.n == 0).all()
