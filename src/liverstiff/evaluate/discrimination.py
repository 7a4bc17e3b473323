"""Telling exams at or above a threshold of the reference from those below, as pure functions of arrays."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from liverstiff.evaluate.sample import Array, Sample, UndefinedError, need

Booleans = NDArray[np.bool_]

THRESHOLD_METRICS = ("auroc", "auprc", "prevalence", "sensitivity", "specificity", "ppv", "npv")


def auroc(x: Array, y: Array, threshold: float) -> float:
    """Chance that an exam at or above the threshold (reference) has the higher estimate; ties count half."""
    case = _both_kinds(y, threshold)
    pairs = int(case.sum()) * int((~case).sum())
    return float(stats.mannwhitneyu(x[case], x[~case]).statistic / pairs)


def auprc(x: Array, y: Array, threshold: float) -> float:
    """Average precision: the mean over the cases of the precision when all with an estimate as high are called."""
    case = _both_kinds(y, threshold)
    order = np.argsort(-x, kind="stable")
    last = np.searchsorted(-x[order], -x[order], side="right")
    precision = np.cumsum(case[order])[last - 1] / last
    return float(precision[case[order]].mean())


def prevalence(y: Array, threshold: float) -> float:
    """Share of the exams at or above the threshold."""
    need(1, y)
    return float(np.mean(y >= threshold))


def sensitivity(called: Array, case: Booleans) -> float:
    """Share of the cases that are called."""
    return _share(called, case, "no exam is a case")


def specificity(called: Array, case: Booleans) -> float:
    """Share of the others that are not called."""
    return _share(1 - called, ~case, "every exam is a case")


def ppv(called: Array, case: Booleans) -> float:
    """Share of cases among those called."""
    return _share(case.astype(float), called == 1, "no exam is called", called)


def npv(called: Array, case: Booleans) -> float:
    """Share of others among those not called."""
    return _share((~case).astype(float), called == 0, "every exam is called", called)


def threshold_statistics(sample: Sample, thresholds: tuple[float, ...]) -> dict[str, Callable[[], float]]:
    """By ``metric_threshold``, each to be called."""
    x, y = sample.estimate, sample.reference
    named: dict[str, Callable[[], float]] = {}
    for number, level in enumerate(thresholds):
        named |= {
            f"auroc_{level:g}": partial(auroc, x, y, level),
            f"auprc_{level:g}": partial(auprc, x, y, level),
            f"prevalence_{level:g}": partial(prevalence, y, level),
        }
        called = sample.called[:, number] if sample.called.size else np.full(sample.exams, np.nan)
        for name, function in (
            *(("sensitivity", sensitivity), ("specificity", specificity)),
            *(("ppv", ppv), ("npv", npv)),
        ):
            named[f"{name}_{level:g}"] = partial(function, called, y >= level)
    return named


def delong(scores: Array, case: Booleans) -> tuple[Array, Array]:
    """AUROC of several models on the same, independent exams and the covariance of these.

    DeLong et al., Biometrics 1988;44:837, by mid-ranks (Sun and Xu, IEEE Signal Process Lett 2014;21:1389).

    Args:
        scores: estimates, (models, exams).
        case: (exams,).

    Returns:
        (models,) and (models, models).

    Raises:
        UndefinedError: fewer than two cases or two others.
    """
    cases, others = int(case.sum()), int((~case).sum())
    if min(cases, others) < 2:
        raise UndefinedError(f"needs 2 cases and 2 others, has {cases} and {others}")
    together = stats.rankdata(scores, axis=1)
    among_cases, among_others = (stats.rankdata(scores[:, kind], axis=1) for kind in (case, ~case))
    above = (together[:, case] - among_cases) / others
    below = 1 - (together[:, ~case] - among_others) / cases
    covariance = np.atleast_2d(np.cov(above)) / cases + np.atleast_2d(np.cov(below)) / others
    return above.mean(axis=1), covariance


def delong_interval(x: Array, case: Booleans) -> tuple[float, float, float]:
    """AUROC of independent exams with its 95 % interval, which ends at 0 and 1."""
    areas, covariance = delong(x[None], case)
    half = stats.norm.ppf(0.975) * np.sqrt(covariance[0, 0])
    return float(areas[0]), max(0.0, float(areas[0] - half)), min(1.0, float(areas[0] + half))


def delong_test(x: Array, rival: Array, case: Booleans) -> tuple[float, float, float, float]:
    """Difference of two AUROCs on the same independent exams: difference, standard error, z, two-sided p.

    Raises:
        UndefinedError: too few exams, or the two rank the exams alike.
    """
    areas, covariance = delong(np.stack([x, rival]), case)
    error = float(np.sqrt(max(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1], 0)))
    if error < 1e-12:
        raise UndefinedError("the two have the same ROC curve")
    difference = float(areas[0] - areas[1])
    return difference, error, difference / error, float(2 * stats.norm.sf(abs(difference / error)))


def _both_kinds(y: Array, threshold: float) -> Booleans:
    need(3, y)
    case = y >= threshold
    if case.all() or not case.any():
        raise UndefinedError(f"{'every' if case.all() else 'no'} exam has {threshold:g} or more")
    return np.asarray(case)


def _share(values: Array, among: Booleans, nobody: str, called: Array | None = None) -> float:
    need(1, values)
    if np.isnan(values if called is None else called).any():
        raise UndefinedError("no cut-point")
    if not among.any():
        raise UndefinedError(nobody)
    return float(values[among].mean())
