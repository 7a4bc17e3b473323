"""Agreement of two measurements, as pure functions of arrays.

``x`` is the estimate and ``y`` the reference, both in kPa, shape (exams,). Nothing is rounded.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pingouin
from numpy.typing import NDArray
from scipy import stats

Array = NDArray[np.float64]

LIMITS = 1.96
"""Limits of agreement are bias -/+ 1.96 SD (Bland and Altman, Lancet 1986;i:307)."""


class UndefinedError(Exception):
    """A statistic has no value here; the message says why."""


@dataclass(frozen=True)
class Sample:
    """Estimates and references of one group of exams."""

    estimate: Array
    """x, kPa, shape (exams,)."""
    reference: Array
    """y, kPa, shape (exams,)."""
    low: Array
    """Lower end of each estimate's interval, kPa; NaN where there is none."""
    high: Array
    """Upper end."""
    patient: NDArray[np.int64]
    """Number of each exam's patient, 0 ... patients - 1."""

    @classmethod
    def of(cls, rows: pd.DataFrame) -> Sample:
        """Sample of the rows of ``analysed.csv``."""
        x, y, low, high = (rows[name].to_numpy(float) for name in ("estimate", "reference", "low", "high"))
        return cls(x, y, low, high, pd.factorize(rows.patient, sort=True)[0].astype(np.int64))

    @property
    def exams(self) -> int:
        """Number of exams."""
        return len(self.estimate)

    @property
    def patients(self) -> int:
        """Number of patients."""
        return len(np.unique(self.patient))


def pearson(x: Array, y: Array) -> float:
    """Pearson's r."""
    _need_spread(x, y)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sample size is too small to estimate power")
        return float(pingouin.corr(x, y)["r"].iloc[0])


def spearman(x: Array, y: Array) -> float:
    """Spearman's rho, mid-ranks for ties."""
    _need_spread(x, y)
    return float(stats.spearmanr(x, y).statistic)


def icc_a1(x: Array, y: Array) -> float:
    """Two-way, absolute agreement, single measurement (McGraw and Wong, Psychol Methods 1996;1:30)."""
    _need(3, x)
    if constant(x) and constant(y):
        raise UndefinedError("estimate and reference are constant")
    exam = np.tile(np.arange(len(x)), 2)
    long = pd.DataFrame({"exam": exam, "by": np.repeat(["x", "y"], len(x)), "estimate": np.concatenate([x, y])})
    table = pingouin.intraclass_corr(long, targets="exam", raters="by", ratings="estimate").set_index("Type")
    return float(table.loc["ICC(A,1)", "ICC"])


def lin_ccc(x: Array, y: Array) -> float:
    """Concordance correlation 2 s_xy / (s_x^2 + s_y^2 + (m_x - m_y)^2), 1/n moments (Lin, Biometrics 1989;45:255)."""
    _need(3, x)
    if constant(x) and constant(y):
        raise UndefinedError("estimate and reference are constant")
    return float(2 * np.cov(x, y, ddof=0)[0, 1] / (np.var(x) + np.var(y) + (np.mean(x) - np.mean(y)) ** 2))


def mae(x: Array, y: Array) -> float:
    """Mean absolute error, kPa."""
    _need(1, x)
    return float(np.mean(np.abs(x - y)))


def rmse(x: Array, y: Array) -> float:
    """Root of the mean squared error, kPa."""
    _need(1, x)
    return float(np.sqrt(np.mean((x - y) ** 2)))


def r2(x: Array, y: Array) -> float:
    """1 - SSE / SST: below 0 when the mean of the reference would do better."""
    _need(3, x)
    if constant(y):
        raise UndefinedError("the reference is constant")
    return float(1 - np.sum((x - y) ** 2) / np.sum((y - y.mean()) ** 2))


def bias(x: Array, y: Array) -> float:
    """Mean of estimate - reference, kPa."""
    _need(1, x)
    return float(np.mean(x - y))


def limit_low(x: Array, y: Array) -> float:
    """Lower limit of agreement, kPa: bias - 1.96 SD."""
    return bias(x, y) - LIMITS * _spread(x - y)


def limit_high(x: Array, y: Array) -> float:
    """Upper limit of agreement, kPa: bias + 1.96 SD."""
    return bias(x, y) + LIMITS * _spread(x - y)


def reference_sd(x: Array, y: Array) -> float:
    """SD of the reference, kPa: r can only be read beside it."""
    return _spread(y)


def calibration_slope(x: Array, y: Array) -> float:
    """Slope of reference on estimate: 1 when calibrated, below 1 when estimates spread too far."""
    _need_spread(x, x)
    return float(stats.linregress(x, y).slope)


def calibration_intercept(x: Array, y: Array) -> float:
    """Intercept of reference on estimate, kPa."""
    _need_spread(x, x)
    return float(stats.linregress(x, y).intercept)


def auroc(x: Array, y: Array, threshold: float) -> float:
    """Chance that an exam at or above the threshold (reference, kPa) has the higher estimate; ties count half."""
    _need(3, x)
    case = y >= threshold
    if case.all() or not case.any():
        raise UndefinedError(f"{'every' if case.all() else 'no'} exam has {threshold:g} kPa or more")
    pairs = int(case.sum()) * int((~case).sum())
    return float(stats.mannwhitneyu(x[case], x[~case]).statistic / pairs)


def coverage(sample: Sample) -> float:
    """Share of the exams with an interval whose interval holds the reference."""
    _need(1, sample.reference)
    known = np.isfinite(sample.low) & np.isfinite(sample.high)
    if not known.any():
        raise UndefinedError("no exam has an interval")
    inside = (sample.low <= sample.reference) & (sample.reference <= sample.high)
    return float(inside[known].mean())


PAIRED: dict[str, Callable[[Array, Array], float]] = {
    "pearson_r": pearson,
    "spearman_rho": spearman,
    "reference_sd": reference_sd,
    "mae": mae,
    "rmse": rmse,
    "r2": r2,
    "bias": bias,
    "limit_low": limit_low,
    "limit_high": limit_high,
    "icc_a1": icc_a1,
    "lin_ccc": lin_ccc,
    "calibration_slope": calibration_slope,
    "calibration_intercept": calibration_intercept,
}


def statistics_of(sample: Sample, thresholds: tuple[float, ...]) -> dict[str, Callable[[], float]]:
    """All metrics of a sample by name, in the order of the table, each to be called."""
    x, y = sample.estimate, sample.reference
    named: dict[str, Callable[[], float]] = {name: _call(function, x, y) for name, function in PAIRED.items()}
    named |= {f"auroc_{level:g}": _call(auroc, x, y, level) for level in thresholds}
    return named | {"interval_coverage": _call(coverage, sample)}


def constant(values: Array) -> bool:
    """True when the values do not differ beyond the rounding of float64."""
    return len(values) == 0 or bool(np.ptp(values) <= 1e-12 * max(1.0, np.abs(values).max()))


def _call(function: Callable[..., float], *arguments: object) -> Callable[[], float]:
    return lambda: function(*arguments)


def _spread(values: Array) -> float:
    """SD with n - 1."""
    _need(3, values)
    return float(np.std(values, ddof=1))


def _need(exams: int, values: Array) -> None:
    if len(values) == 0:
        raise UndefinedError("no exam analysed")
    if len(values) < exams:
        raise UndefinedError(f"needs {exams} exams, has {len(values)}")


def _need_spread(x: Array, y: Array) -> None:
    _need(3, x)
    for name, values in (("estimate", x), ("reference", y)):
        if constant(values):
            raise UndefinedError(f"the {name} is constant")
