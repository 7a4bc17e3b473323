"""The model against every baseline in the same exams, and groups of exams against each other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from liverstiff.evaluate.agreement import pearson, statistics_of
from liverstiff.evaluate.bootstrap import MIN_PATIENTS, TOO_FEW, fisher, percentile_interval, resampled
from liverstiff.evaluate.correlations import dependent_tests
from liverstiff.evaluate.discrimination import delong_test
from liverstiff.evaluate.draws import Draws, Indices
from liverstiff.evaluate.performance import BOOTSTRAP, Groups, Question, one_per_patient
from liverstiff.evaluate.residuals import holm
from liverstiff.evaluate.sample import Array, Sample, UndefinedError, numbers

COMPARED = ("pearson_r", "spearman_rho", "mae", "rmse", "r2", "lin_ccc")

PAIRED_COLUMNS = [
    *("partition", "baseline", "metric", "method", "model", "rival", "value", "low", "high", "statistic"),
    *("p", "p_holm", "n", "patients", "note"),
]
CONTRAST_COLUMNS = [
    *("partition", "group", "other", "metric", "method", "first", "second", "value", "low", "high"),
    *("n", "n_other", "note"),
]
ONCE = ", one exam per patient"

Values = dict[str, Array]


def comparisons_of(
    analysed: pd.DataFrame, partitions: list[str], baselines: pd.DataFrame | None, question: Question
) -> pd.DataFrame:
    """A row per partition, baseline, metric and method: model - baseline in the exams that both estimate.

    Differences of all exams have percentile intervals of patients resampled alike for both; p is twice the share of
    resamples on the other side of 0. On one exam per patient: DeLong's test of AUROC and tests of dependent
    correlations. ``p_holm`` corrects over the baselines for each partition, metric and method.

    Args:
        analysed: rows of ``analysed.csv``.
        partitions: in order.
        baselines: ``baseline, exam, partition, estimate``, or None.
        question: thresholds, resamples, seed.
    """
    rows: list[dict[str, Any]] = []
    if baselines is not None:
        for partition in partitions:
            members = analysed[analysed.partition == partition]
            here = baselines[baselines.partition == partition]
            kept: dict[tuple[str, ...], Values] = {}
            for name in here.baseline.drop_duplicates():
                rival = here[here.baseline == name].set_index("exam").estimate
                found = _against(members, rival, question, kept)
                rows += [{"partition": partition, "baseline": name, **row} for row in found]
    return _corrected(pd.DataFrame(rows, columns=PAIRED_COLUMNS))


def _corrected(table: pd.DataFrame) -> pd.DataFrame:
    for _, group in table[table.p.notna()].groupby(["partition", "metric", "method"]):
        table.loc[group.index, "p_holm"] = holm(list(group.p))
    return table.astype({"p_holm": float})


def _against(
    members: pd.DataFrame, rival: pd.Series, question: Question, kept: dict[tuple[str, ...], Values]
) -> list[dict[str, Any]]:
    """All rows of one baseline; ``kept`` holds the model's resamples by their exams."""
    both = members.assign(rival=members.exam.map(rival))
    both = both[np.isfinite(both.rival.astype(float))]
    note = "" if len(both) == len(members) else f"{len(members) - len(both)} exams without an estimate of the baseline"
    size = {"n": len(both), "patients": both.patient.nunique()}
    model, other = Sample.of(both), Sample.of(both.assign(estimate=both.rival.astype(float)))
    names = [*COMPARED, *(f"auroc_{level:g}" for level in question.terms.thresholds)]
    differences: Values = {}
    if model.patients >= MIN_PATIENTS:
        key = tuple(both.exam)
        if key not in kept:
            kept[key] = _resampled(model, question, names)
        again = _resampled(other, question, names)
        differences = {name: kept[key][name] - again[name] for name in names}
    plain = [statistics_of(sample, question.terms) for sample in (model, other)]
    rows = []
    for name in names:
        row = {"metric": name, "method": BOOTSTRAP, **size}
        try:
            first, second = (statistics[name]() for statistics in plain)
        except UndefinedError as why:
            rows.append({**row, "note": _joined(str(why), note)})
            continue
        found = _difference(differences.get(name))
        value = {"model": first, "rival": second, "value": first - second}
        rows.append({**row, **value, **found, "note": _joined(found["note"], note)})
    return [*rows, *_independent(both, question, note)]


def _resampled(sample: Sample, question: Question, names: list[str]) -> Values:
    values = resampled(sample, question.terms, question.resamples, question.seed, studentised=False)
    return {name: values[name] for name in names}


def _difference(values: Array | None) -> dict[str, Any]:
    """Interval and p of a difference from its resamples."""
    if values is None:
        return {"low": None, "high": None, "note": TOO_FEW}
    low, high, note = percentile_interval(values)
    if note:
        return {"low": None, "high": None, "note": note}
    known = values[np.isfinite(values)]
    beyond = min((known <= 0).sum(), (known >= 0).sum())
    return {"low": low, "high": high, "p": min(1.0, 2 * (beyond + 1) / (len(known) + 1)), "note": ""}


def _independent(both: pd.DataFrame, question: Question, note: str) -> Iterator[dict[str, Any]]:
    """DeLong at each threshold and tests of r, on one exam per patient."""
    once = one_per_patient(both)
    x, other, y = (once[name].to_numpy(float) for name in ("estimate", "rival", "reference"))
    size = {"n": len(once), "patients": len(once)}
    for level in question.terms.thresholds:
        row = {"metric": f"auroc_{level:g}", "method": f"DeLong 1988{ONCE}", **size}
        try:
            difference, error, z, p = delong_test(x, other, y >= level)
            ends = {"low": difference - 1.959964 * error, "high": difference + 1.959964 * error}
            yield {**row, "value": difference, **ends, "statistic": z, "p": p, "note": note}
        except UndefinedError as why:
            yield {**row, "note": _joined(str(why), note)}
    row = {"metric": "pearson_r", **size}
    try:
        r, r_other, between = pearson(x, y), pearson(other, y), pearson(x, other)
        tests = dependent_tests(r, r_other, between, len(once))
    except UndefinedError as why:
        yield {**row, "method": f"dependent correlations{ONCE}", "note": _joined(str(why), note)}
        return
    for name, test in tests.items():
        value = {"model": r, "rival": r_other, "value": r - r_other}
        yield {**row, "method": name + ONCE, **value, "statistic": test.statistic, "p": test.p, "note": note}


def contrasts_between(groups: Groups, question: Question) -> pd.DataFrame:
    """r and MAE of one group less another's: two levels of a characteristic, two partitions.

    Percentile intervals; a patient with exams in both groups is drawn as often for one as for the other.
    """
    pairs = []
    for partition, found in groups.items():
        names = [name.split("=")[0] for name in found if name != "all"]
        for name in (one for one in dict.fromkeys(names) if names.count(one) == 2):
            first, second = (group for group in found if group.startswith(f"{name}="))
            pairs.append((partition, first, second, found[first], found[second]))
    whole = [(name, found["all"]) for name, found in groups.items()]
    for number, (name, rows) in enumerate(whole):
        pairs += [(name, "all", f"all of {other}", rows, others) for other, others in whole[number + 1 :]]
    found_rows = [
        {"partition": partition, "group": group, "other": other, **row}
        for partition, group, other, first, second in pairs
        for row in _apart(first, second, question)
    ]
    return pd.DataFrame(found_rows, columns=CONTRAST_COLUMNS)


def _apart(first: pd.DataFrame, second: pd.DataFrame, question: Question) -> Iterator[dict[str, Any]]:
    both = pd.concat([first, second])
    draws = Draws.of(numbers(both.patient), question.resamples, question.seed)
    places = np.split(np.arange(len(both)), [len(first)])
    size = {"n": len(first), "n_other": len(second)}
    plain = [statistics_of(Sample.of(rows), question.terms) for rows in (first, second)]
    drawn: list[Values] = []
    if min(first.patient.nunique(), second.patient.nunique()) >= MIN_PATIENTS:
        drawn = [_of_draws(draws, exams, rows) for exams, rows in zip(places, (first, second), strict=True)]
    for name in ("pearson_r", "mae"):
        row = {"metric": name, "method": BOOTSTRAP, **size}
        try:
            one, two = (statistics[name]() for statistics in plain)
        except UndefinedError as why:
            yield {**row, "note": str(why)}
            continue
        found = _difference(drawn[0][name] - drawn[1][name] if drawn else None)
        found.pop("p", None)
        yield {**row, "first": one, "second": two, "value": one - two, **found}


def _of_draws(draws: Draws, exams: Indices, rows: pd.DataFrame) -> Values:
    """r and MAE of some exams in every resample."""
    x, y = (rows[name].to_numpy(float) for name in ("estimate", "reference"))
    a, b = x - x.mean(), y - y.mean()
    sums = draws.sums(exams, np.column_stack([np.ones_like(x), a, b, a * a, b * b, a * b, np.abs(x - y)]))
    with np.errstate(divide="ignore", invalid="ignore"):
        return {"pearson_r": np.tanh(fisher(sums[:6], axis=0)), "mae": sums[6] / sums[0]}


def _joined(*notes: str) -> str:
    return "; ".join(note for note in notes if note)
