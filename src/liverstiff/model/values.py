"""The numbers beside the images on a common scale, which is fitted in the fold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from liverstiff.errors import DataError
from liverstiff.model.signs import VOLUMES, is_sign

SKEWED = 0.5
"""Amounts that are never negative and have a skewness above this are taken as log(1 + value)."""


@dataclass(frozen=True)
class ValueScale:
    """Per variable, what was estimated on the training exams."""

    names: tuple[str, ...]
    """The variables."""
    logarithm: tuple[bool, ...]
    """Taken as log(1 + value)."""
    mean: tuple[float, ...]
    """Mean of the known values, after the logarithm; 0 where nobody's is known."""
    sd: tuple[float, ...]
    """Their standard deviation; 1 where they do not vary."""
    known: tuple[bool, ...]
    """At least one training exam has it. A variable never seen is not used."""

    def apply(self, values: np.ndarray, exams: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Standardised numbers of n exams, float32, 0 where unknown, and flags of the known; (n, variable) each.

        Raises:
            DataError: for a negative value where training had none and took logarithms, naming the exam.
        """
        known = np.isfinite(values) & np.array(self.known, dtype=bool)
        negative = (np.where(known, values, 0) < 0) & np.array(self.logarithm, dtype=bool)
        if negative.any():
            row, column = np.argwhere(negative)[0]
            raise DataError(
                f"cohort: {self.names[column]} of exam {exams[row]} is negative, which it is in no training exam; "
                "expected 0 or more; correct the record, or leave the variable out of train.record"
            )
        scaled = (_logarithm(values, self.logarithm) - self.mean) / self.sd
        return np.where(known, scaled, 0.0).astype(np.float32), known


def fit_values(values: np.ndarray, names: tuple[str, ...]) -> ValueScale:
    """The scale of numbers (n, variable), NaN where unknown."""
    known = np.isfinite(values)
    logarithm = tuple(
        _is_amount(name) and _skewed(column[column_known])
        for name, column, column_known in zip(names, values.T, known.T, strict=True)
    )
    levels = _logarithm(values, logarithm)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, levels, 0).sum(axis=0) / count
    sd = np.sqrt(np.where(known, (levels - mean) ** 2, 0).sum(axis=0) / count)
    sd = np.where(sd > 1e-9, sd, 1.0)
    seen = tuple(bool(column.any()) for column in known.T)
    return ValueScale(tuple(names), logarithm, tuple(mean.tolist()), tuple(sd.tolist()), seen)


def _is_amount(name: str) -> bool:
    """False for a sign that is a logarithm already, which may be positive in all training exams by chance."""
    return name in VOLUMES or not is_sign(name)


def _skewed(values: np.ndarray) -> bool:
    """Whether known values of one variable are taken as logarithms."""
    if len(values) < 3 or values.min() < 0 or len(np.unique(values)) < 3 or values.std() == 0:
        return False
    return bool(np.mean(((values - values.mean()) / values.std()) ** 3) > SKEWED)


def _logarithm(values: np.ndarray, logarithm: tuple[bool, ...]) -> np.ndarray:
    """log(1 + value) in the columns that are taken so."""
    taken = np.array(logarithm, dtype=bool)
    return np.where(taken, np.log1p(np.where(taken, np.maximum(values, 0), 0)), values)
