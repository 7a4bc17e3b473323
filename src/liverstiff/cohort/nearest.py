"""For each exam and variable the value drawn nearest to the exam, within a window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

LASTING = ("sex", "age", "height")
"""Variables that a biopsy does not change."""


@dataclass(frozen=True)
class Nearest:
    """What was found."""

    values: pd.DataFrame
    """By exam, a column per variable; NaN where nothing lies in the window."""
    clashes: pd.DataFrame
    """``exam, variable``: in the window is a day with different values, which does not count."""
    repeated: int
    """Values that are there more than once; each counts once."""


def nearest_values(
    exams: pd.DataFrame, values: pd.DataFrame, variables: Sequence[str], *, days_before: int, days_after: int
) -> Nearest:
    """The value nearest to each exam; of two equally near, the one before it.

    A number of patient, variable and day is one integer, so that sorting once and searching is all there is to do.

    Args:
        exams: ``exam``, ``patient``, ``study_date``.
        values: ``patient``, ``date``, ``variable``, ``value``; rows without a date or a value are left out.
        variables: the columns wanted.
        days_before: how many days before the exam a value may be drawn; both ends count.
        days_after: how many days after.
    """
    dated = values[values.date.notna() & values.value.notna()]
    patients = pd.Index(exams.patient[exams.study_date.notna()].unique())
    who = _codes(dated.patient, patients)
    what = _codes(dated.variable, pd.Index(variables))
    known = (who >= 0) & (what >= 0)
    day, exam_day = _day(dated.date)[known], _day(exams.study_date)
    first = min(day.min(initial=0), exam_day.min(initial=0))
    last = max(day.max(initial=0), exam_day.max(initial=0))
    span = int(last - first) + max(days_before, days_after) + 2
    key = (who[known] * len(variables) + what[known]) * span + (day - first)
    order = np.argsort(key, kind="stable")
    drawn, clashing, value, repeated = _one_a_day(key[order], dated.value.to_numpy(float)[known][order])

    found, clashes = {}, []
    dateless = exams.study_date.isna().to_numpy()
    exam_patient = np.where(dateless, -1, patients.get_indexer(pd.Index(exams.patient)))
    for place, variable in enumerate(variables):
        at = (exam_patient * len(variables) + place) * span + (exam_day - first)
        found[variable] = np.where(exam_patient >= 0, _nearest(drawn, value, at, days_before, days_after), np.nan)
        low, high = np.searchsorted(clashing, at - days_before), np.searchsorted(clashing, at + days_after, "right")
        clashes.append(pd.DataFrame({"exam": exams.exam[(low < high) & (exam_patient >= 0)], "variable": variable}))
    table = pd.DataFrame(found, index=pd.Index(exams.exam, name="exam"), columns=list(variables))
    listed = pd.concat([pd.DataFrame(columns=["exam", "variable"]), *(rows for rows in clashes if len(rows))])
    return Nearest(table, listed, repeated)


def _codes(column: pd.Series, index: pd.Index) -> np.ndarray:
    """Place of each value in the index, -1 where it has none."""
    codes, different = pd.factorize(column)
    return np.where(codes < 0, -1, index.get_indexer(pd.Index(different))[codes]).astype(np.int64)


def _day(dates: pd.Series) -> np.ndarray:
    """Days since 1970; 0 where there is none."""
    return pd.to_datetime(dates).fillna(pd.Timestamp(0)).to_numpy("datetime64[D]").astype(np.int64)


def _one_a_day(key: np.ndarray, value: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Of sorted keys: those with one value, those with different ones, the value of the former, how many were spare."""
    if not len(key):
        return key, key, value, 0
    starts = np.flatnonzero(np.concatenate([[True], key[1:] != key[:-1]]))
    smallest, largest = np.minimum.reduceat(value, starts), np.maximum.reduceat(value, starts)
    same = smallest == largest
    spare = int((np.diff(starts, append=len(key)) - 1)[same].sum())
    return key[starts][same], key[starts][~same], smallest[same], spare


def _nearest(key: np.ndarray, value: np.ndarray, at: np.ndarray, before: int, after: int) -> np.ndarray:
    """Value of the sorted key nearest to each place, within the window."""
    if not len(key):
        return np.full(len(at), np.nan)
    place = np.searchsorted(key, at, "right")
    left, right = np.maximum(place - 1, 0), np.minimum(place, len(key) - 1)
    back, ahead = at - key[left], key[right] - at
    good_left = (place > 0) & (back >= 0) & (back <= before)
    good_right = (place < len(key)) & (ahead > 0) & (ahead <= after)
    take_left = good_left & (~good_right | (back <= ahead))
    return np.where(take_left, value[left], np.where(good_right, value[right], np.nan))


def before_biopsies(values: pd.DataFrame, biopsies: pd.DataFrame, days: int | None) -> pd.DataFrame:
    """The values less those drawn after a biopsy of the patient: ever after one, or up to ``days`` after one.

    The day of the biopsy still counts, and what a biopsy does not change (:data:`LASTING`) stays.
    """
    if not len(biopsies) or not len(values):
        return values
    concerned = values.patient.isin(biopsies.patient) & ~values.variable.isin(LASTING) & values.date.notna()
    rows = values.loc[concerned, ["patient", "date"]].reset_index(names="place").sort_values("date")
    last = biopsies.dropna().rename(columns={"date": "biopsy"}).sort_values("biopsy")
    near = pd.merge_asof(
        rows, last, left_on="date", right_on="biopsy", by="patient", direction="backward", allow_exact_matches=False
    )
    apart = (near.date - near.biopsy).dt.days
    late = near.place[apart.notna() if days is None else apart <= days]
    return values[~values.index.isin(late)]
