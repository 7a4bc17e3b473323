"""Agreement of two measurements, as pure functions of arrays.

``x`` is the estimate and ``y`` the reference, both in the target's unit, shape (exams,). Nothing is rounded.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import pingouin
from numpy.typing import NDArray
from scipy import stats

from liverstiff.evaluate.discrimination import threshold_statistics
from liverstiff.evaluate.sample import Array, Sample, Terms, UndefinedError, constant, need, need_spread

LIMITS = 1.96
"""Limits of agreement are bias -/+ 1.96 SD (Bland and Altman, Lancet 1986;i:307)."""


def pearson(x: Array, y: Array) -> float:
    """Pearson's r."""
    need_spread(x, y)
    with warnings.catch_warnings(), np.errstate(divide="ignore"):  # of the interval, which is not used
        warnings.filterwarnings("ignore", "Sample size is too small to estimate power")
        return float(pingouin.corr(x, y)["r"].iloc[0])


def spearman(x: Array, y: Array) -> float:
    """Spearman's rho, mid-ranks for ties."""
    need_spread(x, y)
    return float(stats.spearmanr(x, y).statistic)


def within_site(x: Array, y: Array, site: NDArray[np.int64]) -> float:
    """Pearson's r of what is left of both after subtracting the means of each exam's site."""
    need_spread(x, y)
    if len(site) == 0:
        raise UndefinedError("the site is not known of every exam")
    if len(np.unique(site)) < 2:
        raise UndefinedError("one site only")
    table = pd.DataFrame({"x": x, "y": y}).groupby(site)
    x, y = (x - table.x.transform("mean")).to_numpy(), (y - table.y.transform("mean")).to_numpy()
    need_spread(x, y)
    return float(np.corrcoef(x, y)[0, 1])


def reliability(y: Array, cv: float) -> float:
    """Share of the reference's variance that is not its measurement noise.

    With y = s (1 + cv e), e of mean 0 and variance 1, the noise has variance cv^2 / (1 + cv^2) times the mean of y^2.

    Raises:
        UndefinedError: noise of this size would explain all of the variance.
    """
    need_spread(y, y)
    share = 1 - cv**2 / (1 + cv**2) * float(np.mean(y**2) / np.var(y))
    if share <= 0:
        raise UndefinedError(f"noise of {100 * cv:g} % would explain the whole spread of the reference")
    return share


def corrected(x: Array, y: Array, cv: float) -> float:
    """Pearson's r with a reference free of noise: r over the root of its reliability (Spearman, 1904)."""
    return pearson(x, y) / float(np.sqrt(reliability(y, cv)))


def icc_a1(x: Array, y: Array) -> float:
    """Two-way, absolute agreement, single measurement (McGraw and Wong, Psychol Methods 1996;1:30)."""
    need(3, x)
    if constant(x) and constant(y):
        raise UndefinedError("estimate and reference are constant")
    exam = np.tile(np.arange(len(x)), 2)
    long = pd.DataFrame({"exam": exam, "by": np.repeat(["x", "y"], len(x)), "estimate": np.concatenate([x, y])})
    with np.errstate(divide="ignore", invalid="ignore"):  # of the tests and intervals, which are not used
        table = pingouin.intraclass_corr(long, targets="exam", raters="by", ratings="estimate").set_index("Type")
    return float(table.loc["ICC(A,1)", "ICC"])


def lin_ccc(x: Array, y: Array) -> float:
    """Concordance correlation 2 s_xy / (s_x^2 + s_y^2 + (m_x - m_y)^2), 1/n moments (Lin, Biometrics 1989;45:255)."""
    need(3, x)
    if constant(x) and constant(y):
        raise UndefinedError("estimate and reference are constant")
    return float(2 * np.cov(x, y, ddof=0)[0, 1] / (np.var(x) + np.var(y) + (np.mean(x) - np.mean(y)) ** 2))


def mae(x: Array, y: Array) -> float:
    """Mean absolute error."""
    need(1, x)
    return float(np.mean(np.abs(x - y)))


def rmse(x: Array, y: Array) -> float:
    """Root of the mean squared error."""
    need(1, x)
    return float(np.sqrt(np.mean((x - y) ** 2)))


def r2(x: Array, y: Array) -> float:
    """1 - SSE / SST: below 0 when the mean of the reference would do better."""
    need(3, x)
    if constant(y):
        raise UndefinedError("the reference is constant")
    return float(1 - np.sum((x - y) ** 2) / np.sum((y - y.mean()) ** 2))


def bias(x: Array, y: Array) -> float:
    """Mean of estimate - reference."""
    need(1, x)
    return float(np.mean(x - y))


def limit_low(x: Array, y: Array) -> float:
    """Lower limit of agreement: bias - 1.96 SD."""
    return bias(x, y) - LIMITS * sd(x - y)


def limit_high(x: Array, y: Array) -> float:
    """Upper limit of agreement: bias + 1.96 SD."""
    return bias(x, y) + LIMITS * sd(x - y)


def proportional_bias(x: Array, y: Array) -> float:
    """Slope of the difference on the mean of both: 0 when estimates are too high or too low alike everywhere."""
    mean = (x + y) / 2
    need_spread(mean, mean)
    return float(stats.linregress(mean, x - y).slope)


def bias_where(x: Array, y: Array, where: NDArray[np.bool_], which: str) -> float:
    """Mean of estimate - reference of some exams; ``which`` says of the reference what they have in common."""
    need(1, x)
    if not where.any():
        raise UndefinedError(f"no exam has {which}")
    return float(np.mean((x - y)[where]))


def share_within(x: Array, y: Array, within: float) -> float:
    """Share of the exams whose estimate differs by at most ``within`` of the reference."""
    need(1, x)
    return float(np.mean(np.abs(x - y) <= within * y))


def perfect_share(y: Array, within: float, cv: float) -> float:
    """What :func:`share_within` would be for the true value, were the reference it times a normal (1, cv)."""
    need(1, y)
    if cv == 0:
        return 1.0
    high, low = within / (1 - within) / cv, -within / (1 + within) / cv
    return float(stats.norm.cdf(high) - stats.norm.cdf(low))


def reference_sd(x: Array, y: Array) -> float:
    """SD of the reference: r can only be read beside it."""
    return sd(y)


def calibration_slope(x: Array, y: Array) -> float:
    """Slope of reference on estimate: 1 when calibrated, below 1 when estimates spread too far."""
    need_spread(x, x)
    return float(stats.linregress(x, y).slope)


def calibration_intercept(x: Array, y: Array) -> float:
    """Intercept of reference on estimate."""
    need_spread(x, x)
    return float(stats.linregress(x, y).intercept)


def coverage(sample: Sample) -> float:
    """Share of the exams with an interval whose interval holds the reference."""
    need(1, sample.reference)
    known = np.isfinite(sample.low) & np.isfinite(sample.high)
    if not known.any():
        raise UndefinedError("no exam has an interval")
    inside = (sample.low <= sample.reference) & (sample.reference <= sample.high)
    return float(inside[known].mean())


def sd(values: Array) -> float:
    """SD with n - 1."""
    need(3, values)
    return float(np.std(values, ddof=1))


@dataclass(frozen=True)
class BlandAltman:
    """Textbook analysis of differences, every exam taken for independent (Bland and Altman, Lancet 1986;i:307)."""

    bias: float
    sd: float
    limits: tuple[float, float]
    bias_ci: tuple[float, float]
    """95 % interval by Student's t."""
    limit_error: float
    """Standard error of either limit, sqrt(3 SD^2 / n)."""
    limits_ci: tuple[tuple[float, float], tuple[float, float]]

    @classmethod
    def of(cls, x: Array, y: Array) -> BlandAltman:
        """Of estimates and references."""
        mean, spread, n = bias(x, y), sd(x - y), len(x)
        limits = (mean - LIMITS * spread, mean + LIMITS * spread)
        t = float(stats.t.ppf(0.975, n - 1))
        error = float(np.sqrt(3 / n) * spread)
        around = [(limit - t * error, limit + t * error) for limit in limits]
        half = t * spread / float(np.sqrt(n))
        return cls(mean, spread, limits, (mean - half, mean + half), error, (around[0], around[1]))


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
    "proportional_bias": proportional_bias,
    "icc_a1": icc_a1,
    "lin_ccc": lin_ccc,
    "calibration_slope": calibration_slope,
    "calibration_intercept": calibration_intercept,
}


def statistics_of(sample: Sample, terms: Terms) -> dict[str, Callable[[], float]]:
    """All metrics of a sample by name, in the order of the table, each to be called."""
    x, y = sample.estimate, sample.reference
    named: dict[str, Callable[[], float]] = {name: partial(function, x, y) for name, function in PAIRED.items()}
    named |= {
        "pearson_r_within_site": partial(within_site, x, y, sample.site),
        "pearson_r_corrected": partial(corrected, x, y, terms.reference_cv),
        "share_within": partial(share_within, x, y, terms.within),
        "share_within_perfect": partial(perfect_share, y, terms.within, terms.reference_cv),
    }
    if terms.thresholds:
        first, last = terms.thresholds[0], terms.thresholds[-1]
        named[f"bias_below_{first:g}"] = partial(bias_where, x, y, y < first, f"less than {first:g}")
        named[f"bias_above_{last:g}"] = partial(bias_where, x, y, y >= last, f"{last:g} or more")
    named |= {"interval_coverage": partial(coverage, sample)}
    return named | threshold_statistics(sample, terms.thresholds)
