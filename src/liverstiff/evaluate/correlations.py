"""Tests of two correlations, as pure functions. All take exams for independent."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import stats

from liverstiff.evaluate.sample import UndefinedError


class Outcome(NamedTuple):
    """A test statistic and its two-sided p."""

    statistic: float
    p: float


def dependent_tests(first: float, second: float, between: float, n: int) -> dict[str, Outcome]:
    """Is ``first``, of j with k, other than ``second``, of j with h, in the same exams?

    Williams, J R Stat Soc B 1959;21:396 (t with n - 3 degrees of freedom); Dunn and Clark, J Am Stat Assoc 1969;64:366;
    Steiger, Psychol Bull 1980;87:245; Meng, Rosenthal and Rubin, Psychol Bull 1992;111:172; Hittner, May and Silver,
    J Gen Psychol 2003;130:149 (all normal).

    Args:
        first: correlation of j and k.
        second: correlation of j and h.
        between: correlation of k and h.
        n: number of exams.

    Raises:
        UndefinedError: fewer than 5 exams, or a correlation of 1.
    """
    if n < 5:
        raise UndefinedError(f"needs 5 exams, has {n}")
    if max(abs(first), abs(second), abs(between)) > 1 - 1e-12:
        raise UndefinedError("two of the three are perfectly correlated")
    mean = (first + second) / 2
    z1, z2 = np.arctanh([first, second])
    middle = np.tanh((z1 + z2) / 2)
    spread = {
        "Dunn and Clark 1969": _covariance(first, second, between),
        "Steiger 1980": _covariance(mean, mean, between),
        "Hittner 2003": _covariance(middle, middle, between),
    }
    found = {name: _normal((z1 - z2) * np.sqrt((n - 3) / (2 - 2 * value))) for name, value in spread.items()}
    found["Meng 1992"] = _normal((z1 - z2) * np.sqrt((n - 3) / (2 * (1 - between) * _meng(first, second, between))))
    return {"Williams 1959": _williams(first, second, between, n), **found}


def _covariance(first: float, second: float, between: float) -> float:
    """Of the two Fisher's z, times n - 3."""
    both, product = first**2 + second**2, first * second
    above = between * (1 - both) - product * (1 - both - between**2) / 2
    return float(above / ((1 - first**2) * (1 - second**2)))


def _meng(first: float, second: float, between: float) -> float:
    square = (first**2 + second**2) / 2
    f = min(1.0, (1 - between) / (2 * (1 - square)))
    return (1 - f * square) / (1 - square)


def _williams(first: float, second: float, between: float, n: int) -> Outcome:
    determinant = 1 - first**2 - second**2 - between**2 + 2 * first * second * between
    mean = (first + second) / 2
    below = 2 * (n - 1) / (n - 3) * determinant + mean**2 * (1 - between) ** 3
    if below <= 0:
        raise UndefinedError("two of the three are perfectly correlated")
    t = (first - second) * np.sqrt((n - 1) * (1 + between) / below)
    return Outcome(float(t), float(2 * stats.t.sf(abs(t), n - 3)))


def _normal(z: float) -> Outcome:
    return Outcome(float(z), float(2 * stats.norm.sf(abs(z))))
