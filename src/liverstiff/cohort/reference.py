"""The reference value of every exam: from the elastogram, reported in the record, or one of the two."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from liverstiff.cohort.conflicts import of_exams
from liverstiff.cohort.nearest import nearest_values
from liverstiff.cohort.variables import out_of
from liverstiff.config import CohortConfig, TargetConfig
from liverstiff.errors import DataError

RANGES = {"kPa": (0.5, 75.0), "%": (0.0, 100.0)}
"""Plausible reported values by the target's unit; 75 kPa is the most that transient elastography shows."""
CONTRADICTION = 2.0
"""Two values of one exam that differ by a factor of more than this are listed ..."""
OTHER_UNIT = 100.0
"""... and by more than this are in different units: the reported one is not used."""


@dataclass(frozen=True)
class Reported:
    """The reported values of the exams."""

    value: pd.Series
    """By exam, in the target's unit; NaN where there is none."""
    failed: pd.Series
    """By exam, the rule that its row did not pass; empty where there is no such row."""
    conflicts: pd.DataFrame


def of_nearest_exam(exams: pd.DataFrame, reported: pd.DataFrame, days: int) -> pd.DataFrame:
    """The rows that may serve an exam, with the day of the one exam of the patient that each may serve: the nearest.

    Of two equally near exams it is the earlier. An exam whose own day has a row with a value, or with one that does not
    pass, has no other row.

    Args:
        exams: ``patient, study_date``.
        reported: ``patient, date, value, failed``.
        days: how far a row may be from its exam.

    Returns:
        ``patient, date, value, failed, study_date``.
    """
    dated = exams[["patient", "study_date"]].dropna().drop_duplicates().sort_values("study_date")
    rows = reported[reported.date.notna() & (reported.value.notna() | (reported.failed != ""))]
    rows = rows.astype({"date": "datetime64[ns]"}).sort_values("date", kind="stable")
    near = pd.merge_asof(
        rows,
        dated.astype({"study_date": "datetime64[ns]"}),
        left_on="date",
        right_on="study_date",
        by="patient",
        direction="nearest",
        tolerance=pd.Timedelta(days=days),
    ).dropna(subset="study_date")
    own = near[near.date == near.study_date]
    decided = near.set_index(["patient", "study_date"]).index.isin(own.set_index(["patient", "study_date"]).index)
    return near[~decided | (near.date == near.study_date)]


def reported_values(
    exams: pd.DataFrame, reported: pd.DataFrame, days: int, settings: CohortConfig, target: TargetConfig
) -> Reported:
    """The reported value nearest to each exam; see :func:`of_nearest_exam` for the rows that may serve it.

    Args:
        exams: ``exam, patient, study_date``.
        reported: ``patient, date, value, failed``.
        days: how far a row may be from its exam.
        settings: section ``cohort``.
        target: section ``target``.

    Raises:
        DataError: when most of at least ten values are implausible, which a wrong unit would explain.
    """
    limits = settings.reference_range or RANGES.get(target.unit, (-np.inf, np.inf))
    passed = reported[reported.failed == ""].reset_index(drop=True)
    outside = out_of(passed.value.astype(float), limits, "reported")
    given = int(passed.value.notna().sum())
    if given >= 10 and outside.sum() > given / 2:
        raise DataError(
            f"{outside.sum()} of {given} reported values outside {limits[0]:g} to {limits[1]:g} {target.unit}; "
            "correct record.reported.unit, or give cohort.reference_range"
        )
    values = reported.assign(variable="failed")
    values.loc[values.failed == "", "variable"] = np.where(outside, "odd", "reported")
    rules = pd.Index(reported.failed.unique())
    codes = values.assign(variable="rule", value=rules.get_indexer(pd.Index(values.failed)).astype(float))
    served = of_nearest_exam(exams, pd.concat([values, codes[codes.failed != ""]]), days)
    names, window = (
        ["reported", "odd", "rule"],
        {"days_before": settings.reported_days, "days_after": settings.reported_days},
    )
    near = nearest_values(_by_day(exams), _by_day(served), names, **window)
    found = near.values.reported
    implausible = near.values.odd.notna() & found.isna()
    failed = near.values.rule.map(dict(enumerate(rules))).fillna("").where(found.isna(), "")
    elsewhere = found.isna() & nearest_values(exams, values, ["reported"], **window).values.reported.notna()
    low, high = limits
    conflicts = [
        of_exams(
            found.index[implausible].to_series(),
            "implausible_reference",
            f"outside {low:g} to {high:g} {target.unit}, left out",
        ),
        of_exams(found.index[elsewhere].to_series(), "reported_elsewhere", "a value of another day, which is not used"),
        of_exams(
            near.clashes[near.clashes.variable == "reported"].exam,
            "two_values",
            "reported value: that day does not count",
        ),
    ]
    return Reported(found, failed, pd.concat(conflicts))


def _by_day(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with patient and day of the exam in place of the patient, so that days do not meet."""
    return rows.assign(patient=rows.patient + rows.study_date.dt.strftime(" %Y-%m-%d"))


def without_contradictions(elastogram: pd.Series, reported: pd.Series, source: str) -> tuple[pd.Series, pd.DataFrame]:
    """The reported values less those in another unit than the elastogram's; what contradicts is listed.

    Args:
        elastogram: by exam.
        reported: by exam.
        source: the config's ``cohort.reference``.

    Raises:
        DataError: when most of at least three exams with both values contradict by a factor like that of a unit, or,
            where the two are mixed, in one direction: then they are not the same quantity.
    """
    both = pd.DataFrame({"elastogram": elastogram, "reported": reported}).dropna()
    both = both[both.reported > 0]
    ratio = both.reported / both.elastogram
    apart = np.exp(np.abs(np.log(ratio.astype(float))))
    other = apart > OTHER_UNIT
    if len(both) >= 3 and other.mean() > 0.5:
        raise DataError(
            f"{other.sum()} of {len(both)} reported values are about {ratio[other].median():.3g} times that of the "
            "elastogram; correct record.reported.unit"
        )
    most = max((ratio > CONTRADICTION).mean(), (ratio < 1 / CONTRADICTION).mean()) if len(both) >= 3 else 0.0
    if source == "elastogram_else_reported" and most > 0.5:
        raise DataError(
            f"reported values are mostly about {ratio.median():.2g} times those of the elastogram ({len(both)} exams "
            "have both); the two cannot be mixed; correct record.reported.unit, or set cohort.reference to one of them"
        )
    unit = ratio[other].map(lambda times: f"reported is {times:.3g} times the elastogram, another unit; it is not used")
    listed = ratio[(apart > CONTRADICTION) & ~other].map(lambda times: f"reported is {times:.3g} times the elastogram")
    rows = pd.concat([unit, listed]).astype(object)
    return reported.drop(unit.index), of_exams(rows.index.to_series(), "reference_contradiction", rows)


def choose_reference(elastogram: pd.Series, reported: pd.Series, exams: pd.Series, source: str) -> pd.DataFrame:
    """``reference`` and ``reference_source`` by exam, NaN and empty where there is none."""
    by_source = {
        "elastogram": exams.map(elastogram).astype(float),
        "reported": exams.map(reported).astype(float),
    }
    order = ["elastogram", "reported"] if source == "elastogram_else_reported" else [source]
    reference = pd.Series(np.nan, index=exams.index)
    named = pd.Series("", index=exams.index)
    for name in order:
        new = reference.isna() & by_source[name].notna()
        reference, named = reference.where(~new, by_source[name]), named.where(~new, name)
    return pd.DataFrame(
        {"reference": reference.to_numpy(), "reference_source": named.to_numpy()}, index=pd.Index(exams)
    )


def agreement(elastogram: pd.Series, reported: pd.Series) -> pd.DataFrame:
    """``exam, elastogram, reported`` of the exams with both."""
    both = pd.DataFrame({"elastogram": elastogram, "reported": reported}).dropna()
    return both.rename_axis("exam").reset_index().sort_values("exam", ignore_index=True)
