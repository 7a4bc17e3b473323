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


def reported_values(
    exams: pd.DataFrame, reported: pd.DataFrame, settings: CohortConfig, target: TargetConfig
) -> Reported:
    """The reported value nearest to each exam, within ``reported_days``.

    Args:
        exams: ``exam, patient, study_date``.
        reported: ``patient, date, value, failed``.
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
    window = {"days_before": settings.reported_days, "days_after": settings.reported_days}
    values = passed.assign(variable="reported", value=passed.value.where(~outside))
    odd = passed.assign(variable="odd", value=outside.where(outside).astype(float))
    near = nearest_values(exams, pd.concat([values, odd]), ["reported", "odd"], **window)
    found = near.values.reported
    implausible = near.values.odd.notna() & found.isna()
    dropped = reported[reported.failed != ""]
    rules = pd.Index(dropped.failed.unique())
    codes = dropped.assign(variable="rule", value=rules.get_indexer(pd.Index(dropped.failed)).astype(float))
    rule = nearest_values(exams, codes, ["rule"], **window).values.rule
    failed = rule.map(dict(enumerate(rules))).fillna("").where(found.isna(), "")
    low, high = limits
    conflicts = [
        of_exams(
            found.index[implausible].to_series(),
            "implausible_reference",
            f"outside {low:g} to {high:g} {target.unit}, left out",
        ),
        of_exams(
            near.clashes[near.clashes.variable == "reported"].exam,
            "two_values",
            "reported value: that day does not count",
        ),
    ]
    return Reported(found, failed, pd.concat(conflicts))


def without_contradictions(elastogram: pd.Series, reported: pd.Series) -> tuple[pd.Series, pd.DataFrame]:
    """The reported values less those in another unit than the elastogram's; what contradicts is listed.

    Raises:
        DataError: when most of at least three exams with both values contradict by a factor like that of a unit.
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
