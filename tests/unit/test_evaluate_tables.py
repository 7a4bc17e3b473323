"""The tables of ``evaluate``: residuals and equivalence, cut-points, subgroups, comparisons, curves, and their gaps."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from made_study import evaluated, write_inputs
from scipy import stats
from sklearn.linear_model import LogisticRegression

from liverstiff.config import EvaluateConfig, TargetConfig
from liverstiff.evaluate import evaluate_study, performance
from liverstiff.evaluate.bootstrap import intervals_of
from liverstiff.evaluate.comparisons import comparisons_of, contrasts_between
from liverstiff.evaluate.correlations import dependent_tests
from liverstiff.evaluate.curves import calibration_of, decision_of, roc_of
from liverstiff.evaluate.discrimination import delong_test
from liverstiff.evaluate.draws import Draws
from liverstiff.evaluate.frozen import (
    OF_ALL_FOLDS,
    OF_THE_FOLD,
    OTHER_FOLDS,
    OUT_OF_FOLD,
    THRESHOLD_ITSELF,
    Development,
    called_of,
    cutpoints_of,
    risks_of,
    youden_cut,
)
from liverstiff.evaluate.intervals import coverage_of
from liverstiff.evaluate.performance import Question, groups_by_partition, groups_of, performance_of
from liverstiff.evaluate.residuals import contrasts_of, effect_of, equivalence, holm, judged, residuals_of, verdict
from liverstiff.evaluate.sample import Sample, Terms, UndefinedError
from liverstiff.evaluate.subgroups import agreement_of, crossings, subgroups_of

QUESTION = Question(Terms((2.5, 4.0)), 200, 1)
NO_METRICS = pd.DataFrame(columns=["partition", "group", "metric", "value", "low", "high", "note"])


def made(exams: int = 120, partition: str = "cross-validation", seed: int = 1) -> pd.DataFrame:
    """Rows of ``analysed.csv`` of one partition in three sites, some with a second exam of the patient."""
    rng = np.random.default_rng(seed)
    y = 1.9 + rng.gamma(1.3, 1.1, exams)
    x = 0.8 + 0.75 * y + rng.normal(0, 0.5, exams)
    number = np.arange(exams)
    return pd.DataFrame(
        {
            "exam": [f"{partition[0]}{row:03d}" for row in number],
            "patient": [f"{partition[0]}p{row - (row % 12 == 5)}" for row in number],
            **{"site": np.resize(["alba", "brook", "cedar"], exams), "partition": partition},
            "fold": (number % 3).astype(str) if partition == "cross-validation" else "ensemble",
            **{"reference": y, "estimate": x, "low": x - 1, "high": x + 1, "residual": x - y},
            **{"age": rng.normal(55, 12, exams), "bmi": rng.normal(28, 5, exams)},
            **{"sex": np.resize(["male", "female"], exams), "steatosis": np.resize(["yes", "no", "no"], exams)},
            **{"vendor": np.resize(["GE", "Siemens", "Philips"], exams), "field_t": np.resize([1.5, 3.0], exams)},
        }
    )


def test_slope_of_a_planted_residual():
    rows = made(40).assign(age=np.arange(20.0, 60.0), patient=[f"p{row}" for row in range(40)])
    noise = np.resize([0.01, -0.01, -0.01, 0.01], 40)
    contrast = next(contrasts_of(rows.assign(residual=0.05 * rows.age + noise), "age", "kPa"))
    effect = effect_of(contrast, 0.2)
    assert effect["value"] == pytest.approx(0.05, abs=1e-4)
    assert effect["low"] < 0.05 < effect["high"]
    assert effect["p"] < 1e-6
    assert contrast.span == pytest.approx(0.8 * 39)
    assert effect["span_value"] == pytest.approx(effect["value"] * contrast.span)
    assert effect["p_equivalence"] > 0.99


def test_difference_of_two_levels_and_of_three():
    rows = made(60)
    offset = rows.site.map({"alba": 0.9, "brook": 0.0, "cedar": 0.0}) + np.resize([0.1, -0.1, -0.1, 0.1], 60)
    table = residuals_of(rows.assign(residual=offset), ["cross-validation"], "kPa", 0.2)
    table = table.set_index(["covariate", "level"])
    assert table.loc[("sex", "male"), "effect"] == "male - female, kPa"
    assert table.loc[("site", "alba"), "effect"] == "alba - the others, kPa"
    assert table.loc[("site", "alba"), "value"] == pytest.approx(0.9)
    assert table.loc[("site", "alba"), "verdict"] == "different"
    assert table.loc[("field_t", "3"), "effect"] == "3 - 1.5, kPa"
    assert table.loc[("mre_type", ""), "note"] == "type of elastography is not recorded"
    assert table.loc[("mre_type", ""), ["value", "verdict"]].isna().all()


@pytest.mark.parametrize(
    ("value", "margin", "says"), [(0.0, 0.2, "equivalent"), (0.5, 0.2, "different"), (0.0, 0.01, "inconclusive")]
)
def test_verdicts(value, margin, says):
    noise = np.resize([0.1, -0.1, 0.05, -0.05], 40)
    rows = made(40).assign(patient=[f"p{row}" for row in range(40)], sex=np.repeat(["male", "female"], 20))
    rows["residual"] = np.where(rows.sex == "male", value, 0.0) + noise
    found = judged([effect_of(next(contrasts_of(rows, "sex", "kPa")), margin)])
    assert found[0]["verdict"] == says


def test_equivalence_is_two_one_sided_tests():
    """Two equal groups of 365 and 1,224 exams with a residual SD of 0.95: the known power, and the t tests by scipy."""
    for exams, power in ((365, 0.29), (1224, 0.96)):
        error = 2 * 0.95 / np.sqrt(exams)
        assert equivalence(0.0, error, exams - 1, 0.2)["power"] == pytest.approx(power, abs=0.01)
    rng = np.random.default_rng(0)
    values = rng.normal(0.1, 1, 50)
    error = values.std(ddof=1) / np.sqrt(50)
    found = equivalence(values.mean(), error, 49, 0.3)
    above = stats.ttest_1samp(values, -0.3, alternative="greater").pvalue
    below = stats.ttest_1samp(values, 0.3, alternative="less").pvalue
    assert found["p_equivalence"] == pytest.approx(max(above, below), rel=1e-10)
    assert (found["p_equivalence"] < 0.05) == (found["span_low"] > -0.3 and found["span_high"] < 0.3)


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []
    assert (verdict(0.2, 0.04), verdict(0.01, 0.01)) == ("different", "equivalent")


@pytest.mark.parametrize(
    ("sex", "note"),
    [("M", "no value is male or female"), ("", "sex is not recorded"), ("male", "sex does not vary: male")],
)
def test_a_covariate_that_cannot_be_used_says_why(sex, note):
    rows = made(40).assign(sex=sex)
    row = residuals_of(rows, ["cross-validation"], "kPa", 0.2).set_index("covariate").loc["sex"]
    assert row.note == note


def test_few_patients_on_one_side_are_a_note():
    rows = made(40).assign(sex=["male"] * 3 + ["female"] * 37)
    row = residuals_of(rows, ["cross-validation"], "kPa", 0.2).set_index("covariate").loc["sex"]
    assert row.note == "needs 10 patients on either side, has 3"
    assert pd.isna(row.value)


def test_youden_by_hand():
    x, y = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), np.array([1.0, 1.0, 5.0, 1.0, 5.0, 5.0])
    # at 2.5: 3/3 + 2/3 - 1; at 4.5: 2/3 + 3/3 - 1; the one next to the threshold
    assert youden_cut(x, y, 4.0) == (4.5, pytest.approx(2 / 3))
    assert youden_cut(x, y, 2.0)[0] == 2.5
    with pytest.raises(UndefinedError, match="constant"):
        youden_cut(np.ones(6), y, 4.0)
    with pytest.raises(UndefinedError, match="no development exam is a case"):
        youden_cut(x, y, 9.0)


def test_cut_points_of_a_fold_never_come_from_its_own_exams():
    rows = pd.concat([made(), made(60, "external")], ignore_index=True)
    cuts = cutpoints_of(rows, Development.of(rows, None), (3.0,)).set_index("fold")
    assert list(cuts.source) == [OTHER_FOLDS] * 3 + [OUT_OF_FOLD]
    poisoned = rows.assign(estimate=rows.estimate.where(rows.fold != "0", 99.0 - rows.estimate))
    again = cutpoints_of(poisoned, Development.of(poisoned, None), (3.0,)).set_index("fold")
    assert again.cut_point["0"] == cuts.cut_point["0"]
    assert again.cut_point["1"] != cuts.cut_point["1"]
    external = rows.assign(estimate=rows.estimate.where(rows.partition != "external", 9.0))
    assert cutpoints_of(external, Development.of(external, None), (3.0,)).cut_point.tolist() == cuts.cut_point.tolist()


def test_cut_points_of_validation_estimates():
    rows = pd.concat([made(), made(60, "external")], ignore_index=True)
    own = rows[rows.partition == "cross-validation"]
    parts = [own[own.fold != fold].assign(fold=fold, estimate=own.estimate + int(fold)) for fold in "012"]
    development = Development.of(rows, pd.concat(parts)[["exam", "fold", "estimate"]])
    cuts = cutpoints_of(rows, development, (3.0,)).set_index("fold")
    assert list(cuts.source) == [OF_THE_FOLD] * 3 + [OF_ALL_FOLDS]
    expected = youden_cut(parts[2].estimate.to_numpy(), parts[2].reference.to_numpy(), 3.0)[0]
    assert cuts.cut_point["2"] == expected
    called = called_of(rows, cuts.reset_index())[:, 0]
    second = (rows.fold == "2").to_numpy()
    np.testing.assert_array_equal(called[second], rows.estimate[second] >= expected)


def test_validation_estimates_reach_the_cut_points(tmp_path):
    arguments = write_inputs(tmp_path)
    own = pd.read_csv(arguments["predictions"]["cross-validation"])
    paths = [tmp_path / f"validation-{fold}.csv" for fold in range(5)]
    for fold, path in enumerate(paths):
        own[own.fold != fold].assign(fold=fold)[["exam", "fold", "estimate"]].to_csv(path, index=False)
    evaluate_study(**arguments, validation=paths)
    cuts = pd.read_csv(arguments["tables"]["cutpoints"], dtype={"fold": str})
    assert set(cuts.source[cuts.fold != "ensemble"]) == {OF_THE_FOLD}
    assert set(cuts.source[cuts.fold == "ensemble"]) == {OF_ALL_FOLDS}
    assert "no validation estimates were handed over" not in json.loads(arguments["summary"].read_text())["gaps"]


def test_without_development_exams_the_threshold_is_the_cut_point():
    rows = made(40, "external")
    cuts = cutpoints_of(rows, Development.of(rows, None), (3.0,))
    assert (cuts.source[0], cuts.cut_point[0], cuts.fold[0]) == (THRESHOLD_ITSELF, 3.0, "ensemble")


def test_risks_are_those_of_a_logistic_regression_of_other_exams():
    rows = pd.concat([made(300), made(60, "external")], ignore_index=True)
    own = rows[rows.partition == "cross-validation"]
    model = LogisticRegression(C=1e12, tol=1e-10, max_iter=10_000)
    model.fit(np.log(own[["estimate"]].to_numpy()), own.reference >= 3.0)
    expected = model.predict_proba(np.log(rows[["estimate"]].to_numpy()))[:, 1]
    held_out = (rows.partition == "external").to_numpy()
    found = risks_of(rows, Development.of(rows, None), 3.0, "log")
    np.testing.assert_allclose(found[held_out], expected[held_out], atol=1e-4)
    assert not np.allclose(found[~held_out], expected[~held_out], atol=1e-6)


def test_subgroups_are_crossed():
    rows = made(60).drop(columns=["age", "bmi", "field_t"])
    found = {title: exams for title, size, exams in crossings(rows, 2) if size == 2}
    both = (rows.site == "alba") & (rows.sex == "male")
    np.testing.assert_array_equal(found["site=alba & sex=male"], np.flatnonzero(both))
    assert "site=alba & vendor=GE" not in found  # the same exams as site=alba
    assert "site=alba & steatosis=yes" not in found


def test_ages_are_in_bands():
    rows = made(60).assign(age=np.resize([39.9, 40.0, 59.9, 60.0, np.nan], 60))
    sizes = {title: len(exams) for title, _, exams in crossings(rows, 1) if title.startswith("age")}
    assert sizes == {"age=40 to 59": 24, "age=60 and over": 12, "age=under 40": 12}


def test_a_subgroup_has_about_the_intervals_of_a_group():
    """The quick interval of r against the slow one with the delete-one jackknife, and MAE to chance."""
    rows = made(400)
    draws = Draws.of(pd.factorize(rows.patient)[0].astype(np.int64), 4000, 1)
    x, y = rows.estimate.to_numpy(), rows.reference.to_numpy()
    quick = agreement_of(draws, np.arange(400), x, y)
    slow = intervals_of(Sample.of(rows), Terms(), 4000, 2)
    assert quick["pearson_r"] == pytest.approx(np.corrcoef(x, y)[0, 1], abs=1e-12)
    for name in ("pearson_r", "mae", "bias"):
        ends = [quick[f"{name}_low"], quick[f"{name}_high"]]
        width = slow[name].high - slow[name].low
        assert ends == pytest.approx(list(slow[name][:2]), abs=0.06 * width), name


def test_a_group_has_one_number_and_one_interval_in_every_table(tmp_path):
    paths = evaluated(tmp_path)
    metrics, subgroups, coverage = (pd.read_csv(paths[name]) for name in ("metrics", "subgroups", "coverage"))
    metrics = metrics.set_index(["partition", "group", "metric"])[["value", "low", "high"]]
    singles = subgroups[subgroups.characteristics == 1]
    both = [row for row in singles.itertuples() if (row.partition, row.subgroup, "mae") in metrics.index]
    assert {row.subgroup.split("=")[0] for row in both} == {"site", "vendor", "field_t", "steatosis"}
    for row in both:
        for name in ("pearson_r", "mae", "bias"):
            found = [getattr(row, f"{name}{end}") for end in ("", "_low", "_high")]
            np.testing.assert_array_equal(found, metrics.loc[(row.partition, row.subgroup, name)], row.subgroup)
        assert row.reference_sd == metrics.value[(row.partition, row.subgroup, "reference_sd")]
    others = singles[singles.subgroup.str.startswith("sex=") & (singles.patients >= 10)]
    assert others[["pearson_r_low", "mae_low", "bias_low"]].notna().all(axis=None)
    shared = coverage[coverage.group.str.match("all$|site=")]
    assert len(shared) == 3 + 3 + 3 + 1  # all, and the sites of each partition
    for row in shared.itertuples():
        expected = metrics.loc[(row.partition, row.group, "interval_coverage")]
        np.testing.assert_array_equal([row.value, row.low, row.high], expected, row.group)


def test_a_known_group_keeps_its_note():
    rows = made(30).assign(vendor="GE", field_t=1.5, sex="male", age=np.nan, bmi=np.nan)
    rows["steatosis"] = ["yes"] * 15 + ["no"] * 15
    rows.loc[rows.steatosis == "yes", "estimate"] = 3.0
    groups = groups_by_partition(rows, ["cross-validation"])
    cutpoints = cutpoints_of(rows, Development.of(rows, None), (2.5, 4.0))
    metrics = performance_of(groups, cutpoints, QUESTION)
    table = subgroups_of(rows, metrics, ["cross-validation"], 1, 100, 1).set_index("subgroup")
    assert table.loc["steatosis=yes", "note"] == "no r: the estimate is constant"
    assert table.note["steatosis=no"] == ""


def test_groups_are_made_once_for_all_tables(tmp_path, monkeypatch):
    made_groups = []
    monkeypatch.setattr(performance, "groups_of", lambda rows: made_groups.append(len(rows)) or groups_of(rows))
    evaluated(tmp_path)
    assert made_groups == [34, 12, 14]


def test_small_subgroups_have_notes():
    rows = made(30).assign(sex=["male"] * 28 + ["female"] * 2, steatosis=["yes"] * 15 + ["no"] * 15)
    rows.loc[rows.steatosis == "yes", "estimate"] = 3.0
    table = subgroups_of(rows, NO_METRICS, ["cross-validation", "temporal"], 1, 100, 1).set_index("subgroup")
    assert table.loc["sex=female", "note"] == "no r: needs 3 exams, has 2; no interval: needs 10 patients"
    assert table.loc["steatosis=yes", "note"].startswith("no r: estimate or reference is constant")
    assert table.loc["steatosis=yes", "mae_low"] < table.loc["steatosis=yes", "mae"]
    assert not np.isinf(table.select_dtypes(float)).to_numpy().any()


def rivals(rows: pd.DataFrame) -> pd.DataFrame:
    """A worse and a constant baseline, and one of half of the exams."""
    rng = np.random.default_rng(5)
    plain = rows[["exam", "partition", "fold"]]
    worse = plain.assign(baseline="worse", estimate=rows.estimate + rng.normal(0, 1.0, len(rows)))
    mean = plain.assign(baseline="mean", estimate=rows.reference.mean())
    half = worse.assign(baseline="half", estimate=worse.estimate.where(np.arange(len(rows)) % 2 == 0))
    return pd.concat([worse, mean, half], ignore_index=True)


def test_comparison_with_baselines():
    rows = made(200)
    table = comparisons_of(rows, ["cross-validation"], rivals(rows), QUESTION)
    table = table.set_index(["baseline", "metric", "method"]).sort_index()
    r = table.loc[("worse", "pearson_r", "patient bootstrap")]
    assert r.value == pytest.approx(r.model - r.rival)
    assert 0 < r.low < r.value < r.high
    assert r.p == pytest.approx(2 / 201)
    assert r.p_holm == pytest.approx(2 * r.p)  # the constant baseline has no r
    once = rows[~rows.patient.duplicated()]
    worse = rivals(rows).query("baseline == 'worse'").set_index("exam").estimate[once.exam]
    expected = delong_test(once.estimate.to_numpy(), worse.to_numpy(), once.reference.to_numpy() >= 4.0)
    found = table.loc[("worse", "auroc_4", "DeLong 1988, one exam per patient")]
    assert (found.value, found.statistic, found.p) == pytest.approx((expected[0], expected[2], expected[3]))
    assert table.loc[("mean", "pearson_r", "patient bootstrap"), "note"] == "the estimate is constant"
    assert table.loc[("half", "mae", "patient bootstrap"), "n"] == 100
    assert "100 exams without an estimate" in table.loc[("half", "mae", "patient bootstrap"), "note"]


def test_no_baselines_no_comparisons():
    assert comparisons_of(made(), ["cross-validation"], None, QUESTION).empty


def test_contrasts_of_different_patients():
    rows = pd.concat([made(120), made(90, "external")], ignore_index=True)
    table = contrasts_between(groups_by_partition(rows, ["cross-validation", "external"]), QUESTION)
    pairs = set(zip(table.group, table.other, strict=True))
    assert pairs == {("field_t=1.5", "field_t=3"), ("steatosis=yes", "steatosis=no"), ("all", "all of external")}
    assert not table.duplicated(["partition", "group", "other", "metric"]).any()
    whole = table[(table.group == "all") & (table.metric == "mae")].iloc[0]
    error = (rows.estimate - rows.reference).abs().groupby(rows.partition).mean()
    assert whole.value == pytest.approx(error["cross-validation"] - error["external"])
    assert whole.low < whole.value < whole.high


def test_groups_that_share_patients_are_drawn_together():
    """Against literal resampling: 30 patients with an exam in either group, 15 in the first alone, 15 in the second."""
    first = made(45).assign(patient=[f"p{row:02d}" for row in range(45)], field_t=1.5)
    second = made(45, seed=2).assign(patient=[f"p{row:02d}" for row in range(15, 60)], field_t=3.0)
    second["estimate"] = second.reference + np.r_[first.residual[15:], np.resize([0.1, -0.4, 0.3], 15)]
    rows = pd.concat([first, second], ignore_index=True).assign(steatosis="", vendor="GE")
    table = contrasts_between(groups_by_partition(rows, ["cross-validation"]), QUESTION)
    patient = pd.factorize(rows.patient, sort=True)[0].astype(np.int64)
    literal = {"pearson_r": [], "mae": []}
    for times in Draws.of(patient, QUESTION.resamples, QUESTION.seed).counts.T:
        drawn = rows.loc[np.repeat(rows.index, times.astype(int)[patient])]
        one, two = (drawn[drawn.field_t == field] for field in (1.5, 3.0))
        r, other = (np.corrcoef(part.estimate, part.reference)[0, 1] for part in (one, two))
        literal["pearson_r"].append(r - other)
        literal["mae"].append((one.estimate - one.reference).abs().mean() - (two.estimate - two.reference).abs().mean())
    for name, values in literal.items():
        row = table[table.metric == name].iloc[0]
        assert (row.low, row.high) == pytest.approx(tuple(np.quantile(values, [0.025, 0.975])), abs=1e-9), name


def test_two_equal_correlations_do_not_differ():
    for name, test in dependent_tests(0.5, 0.5, 0.3, 40).items():
        assert (test.statistic, test.p) == (0, 1), name
    with pytest.raises(UndefinedError, match="needs 5 exams"):
        dependent_tests(0.5, 0.4, 0.3, 4)


def test_coverage_by_site_and_band():
    rows = made(90).assign(estimate=np.resize([2.0, 3.0, 9.0], 90))
    rows = rows.assign(low=rows.reference - 1, high=rows.reference + np.where(rows.site == "alba", -0.5, 1))
    table = coverage_of(rows, NO_METRICS, ["cross-validation", "external"], (2.5, 4.0), 100, 1).set_index(
        ["partition", "group"]
    )
    here = table.loc["cross-validation"]
    assert here.value.to_dict() == pytest.approx(
        {
            **{"all": 2 / 3, "site=alba": 0, "site=brook": 1, "site=cedar": 1},
            **{"estimate=under 2.5": 0, "estimate=2.5-4": 1, "estimate=4 and over": 1},
        }
    )
    assert here.mean_width["all"] == pytest.approx((0.5 + 2 + 2) / 3)
    assert here.low["all"] < 2 / 3 < here.high["all"]
    assert table.loc[("external", "all"), "note"] == "no exam analysed"


def test_points_of_the_curves():
    rows = made(200)
    points = calibration_of(rows, ["cross-validation", "external"], 100, 1)
    assert points.n.tolist() == [20] * 10 + [0]
    assert points.estimate.dropna().is_monotonic_increasing
    assert np.average(points.reference[:10], weights=points.n[:10]) == pytest.approx(rows.reference.mean())
    roc = roc_of(rows, ["cross-validation"], (3.0, 99.0))
    called = rows.estimate >= roc.cut_point[17]
    assert roc.sensitivity[17] == pytest.approx(called[rows.reference >= 3].mean())
    assert roc.specificity[17] == pytest.approx(1 - called[rows.reference < 3].mean())
    assert roc.ppv[17] == pytest.approx((rows.reference >= 3)[called].mean())
    assert set(roc.threshold) == {3.0}


def test_net_benefit_by_hand():
    rows = made(200)
    development = Development.of(rows, None)
    table = decision_of({"model": (rows, development)}, ["cross-validation"], (3.0, 99.0), "log", 100, 1)
    row = table[(table.threshold == 3.0) & (table.risk == 0.2)].iloc[0]
    acts, case = risks_of(rows, development, 3.0, "log") >= 0.2, rows.reference >= 3
    expected = (acts & case).sum() / 200 - (acts & ~case).sum() / 200 * 0.2 / 0.8
    assert row.net_benefit == pytest.approx(expected)
    assert row.treat_all == pytest.approx(case.mean() - (~case).mean() * 0.25)
    assert row.low <= row.net_benefit <= row.high
    assert table.note[table.threshold == 99.0].tolist() == ["no risk: the development exams are all alike"]


def hard(kind: str, rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of ``cohort.csv`` with estimates, made difficult."""
    if kind == "constant":
        return rows.assign(estimate=3.0)
    if kind == "tied":
        return rows.assign(estimate=rows.estimate.round(), reference=rows.reference.round())
    if kind == "perfect":
        return rows.assign(estimate=rows.reference)
    if kind == "same reference":
        return rows.assign(reference=3.1)
    return rows.assign(estimate=rows.estimate.where(np.arange(len(rows)) % 5 != 0))


SIZES = {
    "two exams": {"cross-validation": 2, "temporal": 2, "external": 2},
    "nobody": {"cross-validation": 0, "temporal": 0, "external": 0},
    "no external site": {"cross-validation": 40, "temporal": 15},
}


@pytest.mark.parametrize(
    "kind",
    [
        *("constant", "tied", "perfect", "same reference", "missing estimates", "one site", "no steatosis"),
        *("no record", *SIZES),
    ],
)
def test_a_difficult_study_has_gaps_with_a_reason_and_no_made_up_figure(tmp_path, kind):
    arguments = write_inputs(tmp_path, SIZES.get(kind, {"cross-validation": 40, "temporal": 15, "external": 20}))
    cohort = pd.read_csv(arguments["cohort"])
    if kind == "one site":
        cohort = cohort.assign(site="alba", vendor="GE", field_t=1.5)
    if kind in ("no steatosis", "no record"):
        cohort = cohort.drop(columns=["steatosis", *(["age", "sex", "bmi"] if kind == "no record" else [])])
    tables = []
    for path in arguments["predictions"].values():
        rows = pd.read_csv(path).merge(cohort[["exam", "reference"]], on="exam")
        if kind in ("constant", "tied", "perfect", "same reference", "missing estimates"):
            rows = hard(kind, rows)
        tables.append(rows)
        rows.drop(columns="reference").to_csv(path, index=False)
    references = pd.concat(tables).set_index("exam").reference
    cohort.assign(reference=cohort.exam.map(references)).to_csv(arguments["cohort"], index=False)
    baseline = pd.concat(tables).assign(baseline="rival", partition="temporal")
    baseline.to_csv(tmp_path / "baselines.csv", index=False)
    evaluate_study(**{**arguments, "baselines": tmp_path / "baselines.csv", "settings": EvaluateConfig(resamples=100)})
    for name, path in arguments["tables"].items():
        text = path.read_text().lower()
        assert ",nan" not in text, name
        assert "inf," not in text, name
        table = pd.read_csv(path)
        figure = FIGURES.get(name, "value")
        if "note" not in table or figure not in table:
            continue
        noted = table.note.notna()
        assert noted[table[figure].isna()].all(), (name, table[table[figure].isna() & ~noted])
        low = f"{figure}_low" if f"{figure}_low" in table else "low"
        if low in table:
            without = table.get("method", table.note).isin(TESTS) | (table.get("metric") == "share_within_perfect")
            assert noted[table[low].isna() & ~without].all(), (name, table[table[low].isna() & ~noted & ~without])
    summary = json.loads(arguments["summary"].read_text())
    analysed = pd.read_csv(arguments["tables"]["analysed"])
    if kind == "missing estimates":
        flow = pd.read_csv(arguments["tables"]["flow"])
        gone = flow[flow.reason == "no_estimate"]
        assert gone.exams.tolist() == [8 + 3 + 4]
        assert "15 exams have no estimate and are excluded" in summary["gaps"]
        assert len(analysed) == 60
    said = {
        "constant": "temporal: pearson_r: the estimate is constant",
        "one site": "temporal: pearson_r_within_site: one site only",
        "no steatosis": "temporal: steatosis: steatosis is not recorded",
        "two exams": "temporal: pearson_r: needs 3 exams, has 2",
        "nobody": "external: mae: no exam analysed",
        "same reference": "temporal: r2: the reference is constant",
    }
    assert said.get(kind, summary["gaps"][0]) in summary["gaps"]


FIGURES = {"subgroups": "pearson_r", "calibration": "reference", "decision": "net_benefit", "cutpoints": "cut_point"}
"""Column with the figure, of tables where it is not ``value``."""

TESTS = {
    f"{name}, one exam per patient"
    for name in ("Williams 1959", "Dunn and Clark 1969", "Steiger 1980", "Hittner 2003", "Meng 1992")
}
"""Tests without an interval."""


def test_a_unit_that_is_not_kpa():
    target = TargetConfig(name="fat fraction", unit="%", transform="none", thresholds=(5.0,), bands=(5.0,))
    table = residuals_of(made(), ["cross-validation"], target.unit, target.margin)
    assert set(table.effect[table.covariate == "age"]) == {"slope, % per year"}
    assert replace(QUESTION, terms=Terms.of(EvaluateConfig(), target)).terms.thresholds == (5.0,)
