"""A model of the record alone that is too good: among its inputs is something made from what it should predict."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from liverstiff.config import PredictConfig, TargetConfig
from liverstiff.model import raw_values, to_scale

LEAST = 20
"""Cases, and others, from which an AUROC says something; R2 asks five times as many exams."""

NAMED = 3
"""Variables that the message names."""


def suspicion(
    table: pd.DataFrame, cohort: pd.DataFrame, variables: tuple[str, ...], settings: PredictConfig, target: TargetConfig
) -> str:
    """Compare out-of-fold estimates of a model without images with what a health record can tell.

    Args:
        table: ``exam, estimate``.
        cohort: indexed by exam, with ``reference``.
        variables: of the model.
        settings: what is suspicious.
        target: the scale, and the threshold of a case.

    Returns:
        What is wrong when AUROC or R2 is larger, naming the variables that go with the target most closely; else empty.
    """
    reference = cohort.loc[table["exam"], "reference"].to_numpy(dtype=float)
    estimate = table["estimate"].to_numpy(dtype=float)
    threshold = settings.suspicious_threshold or target.thresholds[len(target.thresholds) // 2]
    measured = to_scale(reference, target.transform)
    area, r2 = auroc(reference >= threshold, estimate), explained(measured, to_scale(estimate, target.transform))
    print(f"predict: record alone, AUROC(>= {threshold:g} {target.unit}) {area:.3f}, R2 {r2:.3f}", flush=True)
    if not (area > settings.suspicious_auroc or r2 > settings.suspicious_r2):
        return ""
    found = pd.DataFrame(index=pd.Index(table["exam"], name="exam"))
    closest = closest_variables(raw_values(cohort, found, variables), measured, variables)
    return (
        f"the record alone reaches AUROC {area:.3f} and R2 {r2:.3f}; more than {settings.suspicious_auroc:g} "
        f"or {settings.suspicious_r2:g} means that a variable was made from the target; look at {', '.join(closest)}; "
        "take it out of train.record, or raise predict.suspicious_auroc and predict.suspicious_r2"
    )


def auroc(case: np.ndarray, estimate: np.ndarray) -> float:
    """Chance that a case is estimated higher than another exam; NaN of too few. Flags and numbers (n,)."""
    cases, others = int(case.sum()), int((~case).sum())
    if min(cases, others) < LEAST:
        return float("nan")
    return float((rankdata(estimate)[case].sum() - cases * (cases + 1) / 2) / (cases * others))


def explained(measured: np.ndarray, estimate: np.ndarray) -> float:
    """Share of the variance of (n,) that estimates explain but for a constant shift, as of smearing; NaN of too few."""
    return float(1 - np.var(measured - estimate) / np.var(measured)) if len(measured) >= 5 * LEAST else float("nan")


def closest_variables(values: np.ndarray, measured: np.ndarray, variables: tuple[str, ...]) -> list[str]:
    """Names of the variables (n, v) with the largest rank correlation with the target (n,), largest first."""
    strength = []
    for column in values.T:
        known = np.isfinite(column)
        varies = known.sum() > 2 and np.ptp(column[known]) > 0
        ranks = rankdata(column[known]), rankdata(measured[known])
        strength.append(abs(np.corrcoef(*ranks)[0, 1]) if varies else 0.0)
    return [variables[index] for index in np.argsort(strength)[::-1][:NAMED]]
