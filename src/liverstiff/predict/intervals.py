"""Conformal intervals: how far, in predicted spreads, out-of-fold estimates lie from what was measured."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from liverstiff.model import from_scale, to_scale


def conformal_quantile(scores: np.ndarray, coverage: float) -> float:
    """The k-th smallest score with k = ceil((n + 1) coverage), infinite when k > n.

    Split conformal prediction (Lei et al., J Am Stat Assoc 2018;113:1094-1111): a new score of the same kind is not
    larger with a probability of at least ``coverage``.
    """
    rank = math.ceil((len(scores) + 1) * coverage - 1e-9)  # 0.9 x 20 must not become 19 by rounding
    return float(np.sort(scores)[rank - 1]) if rank <= len(scores) else math.inf


def scores_of(table: pd.DataFrame, reference: pd.Series, transform: str) -> np.ndarray:
    """How many predicted spreads the measured target lies from the estimated on its scale, (n,)."""
    measured = reference.loc[table["exam"]].to_numpy(dtype=float)
    apart = to_scale(measured, transform) - to_scale(table["estimate"].to_numpy(), transform)
    return np.asarray(np.abs(apart) / table["spread"].to_numpy())


def cross_intervals(table: pd.DataFrame, reference: pd.Series, coverage: float, transform: str) -> pd.DataFrame:
    """Intervals of out-of-fold estimates; an exam's follows from the residuals of the other folds."""
    scores = scores_of(table, reference, transform)
    quantile = np.empty(len(table))
    for fold in table["fold"].unique():
        own = (table["fold"] == fold).to_numpy()
        quantile[own] = conformal_quantile(scores[~own], coverage)
    return with_intervals(table, quantile, transform)


def cross_unlike(table: pd.DataFrame, share: float) -> pd.DataFrame:
    """Flag out-of-fold exams further from their fold's training than ``share`` of the exams of the other folds.

    See :func:`with_likeness`.
    """
    distance = table["distance"].to_numpy()
    limit = np.empty(len(table))
    for fold in table["fold"].unique():
        own = (table["fold"] == fold).to_numpy()
        limit[own] = conformal_quantile(distance[~own], share)
    return with_likeness(table, limit)


def with_likeness(table: pd.DataFrame, limit: np.ndarray) -> pd.DataFrame:
    """Flag exams at a ``distance`` above ``limit`` (n,) ``unlike_training``; ``likeness_unavailable`` without a limit.

    Too few exams give an infinite limit: nothing is then known, which is not the same as being alike.
    """
    unlike = flagged(table, table["distance"].to_numpy() > limit, "unlike_training")
    return flagged(unlike, ~np.isfinite(limit), "likeness_unavailable")


def flagged(table: pd.DataFrame, rows: np.ndarray, flag: str) -> pd.DataFrame:
    """The table with a flag added in the given rows."""
    added = np.where(rows, flag, "")
    return table.assign(flags=[";".join(filter(None, pair)) for pair in zip(table["flags"], added, strict=True)])


def with_intervals(table: pd.DataFrame, quantile: np.ndarray, transform: str) -> pd.DataFrame:
    """``low`` and ``high`` at ``quantile`` spreads on the scale of the target; empty and flagged where infinite."""
    finite = np.isfinite(quantile)
    middle = to_scale(table["estimate"].to_numpy(), transform)
    half = np.where(finite, quantile, np.nan) * table["spread"].to_numpy()
    low, high = (from_scale(end, transform) for end in (middle - half, middle + half))
    return flagged(table.assign(low=low, high=high), ~finite, "interval_unavailable")
