"""What is decided before a held-out exam is looked at: cut-points, and the risk that goes with an estimate.

They come from exams the model saw neither in training nor in the test: the inner validation of each fold where its
estimates are at hand, else out-of-fold estimates of other development exams.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from statsmodels.discrete.discrete_model import Logit
from statsmodels.tools.sm_exceptions import PerfectSeparationWarning

from liverstiff.evaluate.sample import Array, UndefinedError, constant
from liverstiff.records import PARTITIONS

DEVELOPMENT = PARTITIONS[0]
NO_FOLD = "none"

OF_THE_FOLD = "inner validation of the fold"
OF_ALL_FOLDS = "inner validation of all folds"
OTHER_FOLDS = "out-of-fold estimates of the other folds"
OUT_OF_FOLD = "out-of-fold estimates of the development exams"
THRESHOLD_ITSELF = "the threshold itself: no development exams"


@dataclass(frozen=True)
class Development:
    """Exams on which to decide, by fold of the exams that are held out."""

    estimates: pd.DataFrame
    """``exam, fold, estimate, reference`` of development exams; may be empty."""
    validation: bool
    """True when these are inner validation exams, each estimated by its fold's own model."""

    @classmethod
    def of(cls, rows: pd.DataFrame, validation: pd.DataFrame | None) -> Development:
        """From the rows of ``analysed.csv`` and, where at hand, ``exam, fold, estimate`` of validation exams.

        The reference of a validation exam is that of its row in ``rows``; other exams are not used.
        """
        own = rows.loc[rows.partition == DEVELOPMENT, ["exam", "fold", "estimate", "reference"]]
        own = own.assign(fold=folds_of(own))
        own = own[own.fold != NO_FOLD]
        if validation is None or validation.empty:
            return cls(own, False)
        table = validation[["exam", "fold", "estimate"]].merge(own[["exam", "reference"]], on="exam")
        return cls(table.assign(fold=folds_of(table)), True)

    def for_fold(self, fold: str) -> tuple[pd.DataFrame, str]:
        """The exams that decide for the held-out exams of a fold, and what they are."""
        table = self.estimates
        known = fold in set(table.fold)
        if table.empty:
            return table, THRESHOLD_ITSELF
        if self.validation:
            return (table[table.fold == fold], OF_THE_FOLD) if known else (table, OF_ALL_FOLDS)
        return (table[table.fold != fold], OTHER_FOLDS) if known else (table, OUT_OF_FOLD)


def cutpoints_of(rows: pd.DataFrame, development: Development, thresholds: tuple[float, ...]) -> pd.DataFrame:
    """A row per fold of the held-out exams and threshold: the frozen cut-point, from what, or why there is none."""
    found = []
    for fold in folds_of(rows).drop_duplicates():
        exams, source = development.for_fold(fold)
        for level in thresholds:
            row = {"fold": fold, "threshold": level, "source": source, "exams": len(exams)}
            row["cases"] = int((exams.reference >= level).sum())
            if source == THRESHOLD_ITSELF:
                found.append({**row, "cut_point": level, "youden": None, "note": ""})
                continue
            try:
                cut, youden = youden_cut(exams.estimate.to_numpy(float), exams.reference.to_numpy(float), level)
                found.append({**row, "cut_point": cut, "youden": youden, "note": ""})
            except UndefinedError as why:
                found.append({**row, "cut_point": None, "youden": None, "note": str(why)})
    columns = ["fold", "threshold", "cut_point", "youden", "source", "exams", "cases", "note"]
    return pd.DataFrame(found, columns=columns).astype({"cut_point": float, "youden": float})


def folds_of(rows: pd.DataFrame) -> pd.Series:
    """The fold of each exam as text, ``none`` where it has none; 0.0 is ``0``."""
    text = rows.fold.map(lambda fold: "" if pd.isna(fold) else str(fold).removesuffix(".0"))
    return text.where(text != "", NO_FOLD)


def youden_cut(x: Array, y: Array, threshold: float) -> tuple[float, float]:
    """The cut-point with the largest sensitivity + specificity - 1, and this (Youden, Cancer 1950;3:32).

    It lies midway between two estimates; of equals, the one next to the threshold is taken.

    Raises:
        UndefinedError: only cases, none, or all estimates alike.
    """
    case = y >= threshold
    if case.all() or not case.any():
        raise UndefinedError(
            f"no cut-point: {'every' if len(case) and case.all() else 'no'} development exam is a case"
        )
    if constant(x):
        raise UndefinedError("no cut-point: the estimate is constant")
    values = np.unique(x)
    cuts = (values[:-1] + values[1:]) / 2
    above = len(x) - np.searchsorted(np.sort(x), cuts)
    hits = case.sum() - np.searchsorted(np.sort(x[case]), cuts)
    youden = hits / case.sum() - (above - hits) / (~case).sum()
    best = np.flatnonzero(youden >= youden.max() - 1e-12)
    chosen = best[np.argmin(np.abs(cuts[best] - threshold))]
    return float(cuts[chosen]), float(youden[chosen])


def called_of(rows: pd.DataFrame, cutpoints: pd.DataFrame) -> Array:
    """1 where an estimate is at or above the cut-point of its fold, 0 below, NaN without: (exams, thresholds)."""
    wide = cutpoints.pivot(index="fold", columns="threshold", values="cut_point")
    cuts = wide.reindex(folds_of(rows)).to_numpy(float)
    above = (rows.estimate.to_numpy(float)[:, None] >= cuts).astype(float)
    return np.where(np.isnan(cuts), np.nan, above)


def risks_of(rows: pd.DataFrame, development: Development, threshold: float, transform: str) -> Array:
    """Chance that each exam is at or above the threshold: a logistic regression on the (log) estimate, (exams,).

    Raises:
        UndefinedError: no development exams, or the regression cannot be fitted.
    """
    folds, risks = folds_of(rows), np.full(len(rows), np.nan)
    for fold in folds.drop_duplicates():
        exams, source = development.for_fold(fold)
        if source == THRESHOLD_ITSELF:
            raise UndefinedError("no development exams from which risk could follow")
        here = (folds == fold).to_numpy()
        intercept, slope = _logistic(exams, threshold, transform)
        score = intercept + slope * _scaled(rows.estimate.to_numpy(float)[here], transform)
        risks[here] = 1 / (1 + np.exp(-score))
    return risks


def _logistic(exams: pd.DataFrame, threshold: float, transform: str) -> NDArray[np.float64]:
    x = _scaled(exams.estimate.to_numpy(float), transform)
    case = exams.reference.to_numpy(float) >= threshold
    if len(exams) == 0 or case.all() or not case.any():
        raise UndefinedError("no risk: the development exams are all alike")
    if constant(x):
        return np.array([np.log(case.mean() / (1 - case.mean())), 0.0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            fit = Logit(case.astype(float), np.column_stack([np.ones_like(x), x])).fit(disp=0)
        except (PerfectSeparationWarning, RuntimeWarning, UserWarning, np.linalg.LinAlgError):
            raise UndefinedError("no risk: the estimate separates the development exams perfectly") from None
    return np.asarray(fit.params)


def _scaled(x: Array, transform: str) -> Array:
    return np.log(np.maximum(x, 1e-9)) if transform == "log" else x
