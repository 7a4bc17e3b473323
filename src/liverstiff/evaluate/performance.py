"""Agreement and discrimination of each partition and its groups, with 95 % intervals."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from liverstiff.evaluate.agreement import BlandAltman, statistics_of
from liverstiff.evaluate.bootstrap import MIN_PATIENTS, TOO_FEW, intervals_of, no_interval
from liverstiff.evaluate.discrimination import THRESHOLD_METRICS, delong_interval
from liverstiff.evaluate.frozen import called_of, folds_of
from liverstiff.evaluate.sample import Sample, Terms, UndefinedError

GROUPED_BY = ("site", "vendor", "field_t", "steatosis")
COLUMNS = ["partition", "group", "metric", "value", "low", "high", "n", "patients", "note"]
BOOTSTRAP = "patient bootstrap"
EXACT = ("share_within_perfect",)
"""Not estimated from the exams, so without an interval."""

Groups = dict[str, dict[str, pd.DataFrame]]
"""By partition and name of the group, its rows of ``analysed.csv``."""


@dataclass(frozen=True)
class Question:
    """What is asked of every group."""

    terms: Terms
    resamples: int
    seed: int


def groups_by_partition(analysed: pd.DataFrame, partitions: list[str]) -> Groups:
    """The groups of each partition, in order."""
    return {name: groups_of(analysed[analysed.partition == name]) for name in partitions}


def groups_of(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """All exams, then by site, vendor, field strength, steatosis; an unknown value is in no such group."""
    groups = {"all": rows}
    for name in GROUPED_BY:
        texts = level_texts(rows[name]) if name in rows else pd.Series("", rows.index)
        levels = sorted(set(texts) - {""}, reverse=name == "steatosis")
        groups |= {f"{name}={level}": rows[texts == level] for level in levels}
    return groups


def level_texts(values: pd.Series) -> pd.Series:
    """Levels as text, empty where unknown; 3.0 is ``3``."""
    return values.map(lambda value: "" if pd.isna(value) else f"{value:g}" if isinstance(value, float) else str(value))


def performance_of(groups: Groups, cutpoints: pd.DataFrame, question: Question) -> pd.DataFrame:
    """All metrics of each partition and of its groups, long."""
    rows: list[dict[str, Any]] = []
    for (partition, group), members in _each(groups):
        sample = Sample.of(members, called_of(members, cutpoints))
        rows += [{"partition": partition, "group": group, **row} for row in performance_of_group(sample, question)]
    return pd.DataFrame(rows, columns=COLUMNS).astype(dict.fromkeys(("value", "low", "high"), float))


def performance_of_group(sample: Sample, question: Question) -> list[dict[str, Any]]:
    """One row per metric: value, ends of the 95 % interval, or why there is none.

    Every group starts from the same seed, so that two groups of the same exams have the same intervals.
    """
    enough = sample.patients >= MIN_PATIENTS
    intervals = intervals_of(sample, question.terms, question.resamples, question.seed) if enough else {}
    size = {"n": sample.exams, "patients": sample.patients}
    rows: list[dict[str, Any]] = []
    for metric, statistic in statistics_of(sample, question.terms).items():
        try:
            value = statistic()
        except UndefinedError as why:
            rows.append({"metric": metric, "value": None, "low": None, "high": None, **size, "note": str(why)})
            continue
        low, high, note = no_interval("") if metric in EXACT else intervals.get(metric, no_interval(TOO_FEW))
        rows.append({"metric": metric, "value": value, "low": low, "high": high, **size, "note": note})
    return rows


def metrics_of(performance: pd.DataFrame) -> pd.DataFrame:
    """The rows about agreement, and the AUROCs."""
    base = performance.metric.str.rsplit("_", n=1).str[0]
    return performance[~base.isin(THRESHOLD_METRICS) | (base == "auroc")].reset_index(drop=True)


def thresholds_of(
    performance: pd.DataFrame, groups: Groups, cutpoints: pd.DataFrame, thresholds: tuple[float, ...]
) -> pd.DataFrame:
    """Discrimination at each threshold with the cut-point and its source; AUROC also by DeLong, one exam a patient."""
    split = performance.metric.str.rsplit("_", n=1)
    table = performance[split.str[0].isin(THRESHOLD_METRICS)].copy()
    table["metric"], table["threshold"] = split.str[0], split.str[1].loc[table.index].astype(float)
    table = table.assign(method=BOOTSTRAP)
    delong: list[dict[str, Any]] = []
    about: list[dict[str, Any]] = []
    for (partition, group), members in _each(groups):
        for level in thresholds:
            key = {"partition": partition, "group": group, "threshold": level}
            about.append({**key, **_cut(members, cutpoints, level), "cases": int((members.reference >= level).sum())})
            delong.append({**key, **_delong(members, level)})
    table = pd.concat([table, pd.DataFrame(delong)] if delong else [table], ignore_index=True)
    keys = ["partition", "group", "threshold"]
    table = table.merge(pd.DataFrame(about, columns=[*keys, "cut_point", "cut_source", "cases"]), on=keys)
    order = [*keys, "metric", "value", "low", "high", "method", "cut_point", "cut_source", "cases"]
    table["n"], table["patients"] = table.n.astype(int), table.patients.astype(int)
    return table[[*order, "n", "patients", "note"]]


def _each(groups: Groups) -> Iterator[tuple[tuple[str, str], pd.DataFrame]]:
    for partition, found in groups.items():
        for group, members in found.items():
            yield (partition, group), members


def _cut(members: pd.DataFrame, cutpoints: pd.DataFrame, level: float) -> dict[str, Any]:
    """The cut-point of these exams, empty where their folds have different ones, and its source."""
    rows = cutpoints[cutpoints.fold.isin(folds_of(members)) & (cutpoints.threshold == level)]
    one = rows.cut_point.nunique() == 1
    return {"cut_point": rows.cut_point.iloc[0] if one else None, "cut_source": "; ".join(rows.source.unique())}


def _delong(members: pd.DataFrame, level: float) -> dict[str, Any]:
    once = one_per_patient(members)
    size = {"n": len(once), "patients": len(once), "metric": "auroc", "method": "DeLong, one exam per patient"}
    try:
        value, low, high = delong_interval(once.estimate.to_numpy(float), once.reference.to_numpy(float) >= level)
    except UndefinedError as why:
        return {**size, "value": np.nan, "low": np.nan, "high": np.nan, "note": str(why)}
    if not low < high:
        return {
            **size,
            "value": value,
            "low": np.nan,
            "high": np.nan,
            "note": "no interval: the estimate separates all",
        }
    return {**size, "value": value, "low": low, "high": high, "note": ""}


def one_per_patient(rows: pd.DataFrame) -> pd.DataFrame:
    """The first exam of each patient in the order of the table."""
    return rows[~rows.patient.duplicated()]


def bland_altman_of(performance: pd.DataFrame, groups: Groups) -> pd.DataFrame:
    """Bias, limits and proportional bias with patient intervals, beside the textbook's of independent exams.

    Columns: ``partition, group, statistic, value, low, high, textbook_low, textbook_high, n, patients, note``.
    """
    names = ["bias", "limit_low", "limit_high", "proportional_bias"]
    table = performance[performance.metric.isin(names)].rename(columns={"metric": "statistic"})
    rows: list[dict[str, Any]] = []
    for (partition, group), members in _each(groups):
        try:
            found = BlandAltman.of(members.estimate.to_numpy(float), members.reference.to_numpy(float))
        except UndefinedError:
            continue
        ends = {"bias": found.bias_ci, "limit_low": found.limits_ci[0], "limit_high": found.limits_ci[1]}
        key = {"partition": partition, "group": group}
        rows += [
            {**key, "statistic": name, "textbook_low": low, "textbook_high": high} for name, (low, high) in ends.items()
        ]
    keys = ["partition", "group", "statistic"]
    textbook = pd.DataFrame(rows, columns=[*keys, "textbook_low", "textbook_high"])
    table = table.merge(textbook, on=keys, how="left")
    return table[[*keys, "value", "low", "high", "textbook_low", "textbook_high", "n", "patients", "note"]]
