"""Exams in = exams analysed + exams excluded: every catalogued exam has exactly one fate."""

from __future__ import annotations

from typing import Any

import pandas as pd

from liverstiff.errors import DataError
from liverstiff.evaluate.reading import without_estimate
from liverstiff.records import Reason

FATE = ["exam", "step", "stage", "reason", "partition"]


def fates_of(
    exams: pd.DataFrame, exclusions: pd.DataFrame, splits: pd.DataFrame, estimates: pd.DataFrame
) -> pd.DataFrame:
    """What became of every catalogued exam: ``exam, patient, step, stage, reason, partition``.

    ``step`` is ``excluded`` (with stage and reason) or ``analysed`` (with the partition of its estimate). An exam whose
    estimate is missing is excluded at the stage ``predict``.

    Raises:
        DataError: an exam is catalogued twice, has no fate or two, or was estimated in a partition not its own.
    """
    left_out = splits[splits.partition == "excluded"].assign(stage="split")
    lost = without_estimate(estimates)
    fates = pd.concat(
        [
            exclusions.assign(step="excluded", partition="").reindex(columns=FATE),
            left_out.assign(step="excluded", partition="").reindex(columns=FATE),
            estimates[~lost].assign(step="analysed", stage="", reason="").reindex(columns=FATE),
            estimates[lost].assign(step="excluded", stage="predict", reason=str(Reason.NO_ESTIMATE), partition="")[
                FATE
            ],
        ],
        ignore_index=True,
    )
    check_balance(exams, fates)
    check_partitions(splits, estimates)
    return fates.merge(exams[["exam", "patient"]], on="exam", validate="one_to_one")


def check_balance(exams: pd.DataFrame, fates: pd.DataFrame) -> None:
    """Stop unless exams in = exams analysed + exams excluded, exam by exam.

    Raises:
        DataError: names the exams that do not add up.
    """
    twice = exams.exam[exams.exam.duplicated()]
    if len(twice):
        raise DataError(f"flow: {_some(twice)} catalogued twice; expected one row per exam; check the catalog")
    double = fates[fates.exam.duplicated(keep=False)].sort_values("exam")
    if len(double):
        told = list(double.exam + " (" + double.reason.where(double.step == "excluded", double.partition) + ")")
        raise DataError(f"flow: two fates for one exam: {_some(told)}; expected excluded once or analysed once")
    lost = sorted(set(exams.exam) - set(fates.exam))
    strange = sorted(set(fates.exam) - set(exams.exam))
    if lost or strange:
        raise DataError(
            f"flow: {len(exams)} exams in, {len(fates)} accounted for; neither excluded nor analysed: {_some(lost)}; "
            f"not catalogued: {_some(strange)}; expected exams in = analysed + excluded; run the stages again"
        )


def check_partitions(splits: pd.DataFrame, estimates: pd.DataFrame) -> None:
    """Stop if an exam was estimated in another partition than the split gave it.

    Raises:
        DataError: names the exams.
    """
    given = estimates.exam.map(splits.set_index("exam").partition)
    wrong = estimates[given != estimates.partition]
    if len(wrong):
        raise DataError(
            f"predictions: {_some(wrong.exam)} estimated outside their partition; split and predict disagree"
        )


def flow_of(fates: pd.DataFrame, partitions: list[str]) -> pd.DataFrame:
    """Counts for the flow chart: catalogued, excluded by stage and reason (most first), analysed by partition."""
    rows = [{"step": "catalogued", "stage": "catalog", "reason": "", "partition": "", **_count(fates)}]
    excluded = fates[fates.step == "excluded"].groupby(["stage", "reason"], sort=True)
    counted: list[dict[str, Any]] = [
        {"step": "excluded", "stage": stage, "reason": reason, "partition": "", **_count(group)}
        for (stage, reason), group in excluded
    ]
    rows += sorted(counted, key=lambda row: row["exams"], reverse=True)
    for partition in partitions:
        group = fates[fates.partition == partition]
        rows.append({"step": "analysed", "stage": "", "reason": "", "partition": partition, **_count(group)})
    return pd.DataFrame(rows)


def _count(fates: pd.DataFrame) -> dict[str, Any]:
    return {"exams": len(fates), "patients": fates.patient.nunique()}


def _some(names: pd.Series | list[str]) -> str:
    """At most three names, and how many more."""
    names = list(names)
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return (", ".join(names[:3]) + more) or "none"
