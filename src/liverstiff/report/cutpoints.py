"""Where the cut-points of the estimate lie, and on which exams they were chosen."""

from __future__ import annotations

import pandas as pd

from liverstiff.report.study import Cell, Study
from liverstiff.report.wording import Number

SOURCES = {
    "inner validation of the fold": ("inner validation exams", "of the fold"),
    "inner validation of all folds": ("inner validation exams", "in the tests of all folds"),
    "out-of-fold estimates of the other folds": ("out-of-fold estimates", "of the other folds"),
    "out-of-fold estimates of the development exams": ("out-of-fold estimates", "in the tests of all folds"),
}
"""In words, where cut-points come from; from elsewhere the threshold itself is the cut-point."""


def of_partition(study: Study, partition: str) -> pd.DataFrame:
    """The cut-points by which exams of a partition were called: a row per fold and threshold."""
    folds = study.rows(partition).fold.str.removesuffix(".0").replace("", "none").unique()
    table = study.tables["cutpoints"]
    return table[table.fold.isin(folds)]


def shown(cutpoints: pd.DataFrame, level: float) -> Cell:
    """The cut-point at a threshold: one number, or the range over folds."""
    known = cutpoints.cut_point[cutpoints.threshold == level].dropna()
    if known.empty:
        return "–"
    low, high = Number(float(known.min())), Number(float(known.max()))
    return low if low == high else (low, "\N{NO-BREAK SPACE}to\N{NO-BREAK SPACE}", high)


def lacking(cutpoints: pd.DataFrame, unit: str) -> list[str]:
    """Folds without a cut-point, by threshold, and why."""
    told = []
    for level, rows in cutpoints.groupby("threshold", sort=True):
        gone = rows[rows.cut_point.isna()]
        if len(gone):
            why = "; ".join(note.removeprefix("no cut-point: ") for note in dict.fromkeys(gone.note) if note)
            told.append(f"{level:g} {unit} in {len(gone)} of {len(rows)} folds" + (f" ({why})" if why else ""))
    return [f"No cut-point at {'; '.join(told)}."] if told else []


def in_words(cutpoints: pd.DataFrame) -> str:
    """How cut-points were chosen, after ``at``."""
    sources = set(cutpoints.source)
    chosen: dict[str, list[str]] = {}
    for exams, whose in (SOURCES[source] for source in SOURCES if source in sources):
        chosen.setdefault(exams, []).append(whose)
    if not sources:
        return "cut-points of the estimate"
    if not chosen:
        return "the threshold itself as cut-point of the estimate, for want of development exams"
    said = "; ".join(f"{exams} {', '.join(whose)}" for exams, whose in chosen.items())
    return f"cut-points of the estimate chosen by Youden’s index on {said}"
