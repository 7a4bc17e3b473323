"""ComBat: features of several scanners brought to a common level and spread; the target is never shown to it."""

from __future__ import annotations

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

LEAST = 3
"""Exams of a batch below which its level and spread are not estimated."""

TOLERANCE = 1e-6
"""Relative change at which the posterior means stand still."""

ROUNDS = 1000
"""Most steps to get there; a few tens are usual."""


class Combat(TransformerMixin, BaseEstimator):
    """Johnson, Li and Rabinovic, Biostatistics 2007;8:118-127, with parametric priors and without covariates.

    Input (n, batches + features): flags of the batch, then features without gaps; output (n, features). A row whose
    batch had too few exams in the fit, or none, comes out as it is: nothing is known of its scanner.

    Args:
        batches: number of flags.
    """

    def __init__(self, batches: int = 0) -> None:
        self.batches = batches

    def fit(self, given: np.ndarray, target: np.ndarray | None = None) -> Combat:
        """Level and spread of every batch, each feature's drawn towards those of the batch's other features."""
        flags, features = self._split(given)
        known = np.flatnonzero(flags.sum(axis=0) >= LEAST)
        parts = [features[flags[:, batch]] for batch in known]
        self.level_, self.spread_ = features.mean(axis=0), np.ones(features.shape[1])
        self.moved_: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        if not parts:
            return self
        self.level_ = np.concatenate(parts).mean(axis=0)
        within = np.concatenate([part - part.mean(axis=0) for part in parts])
        self.spread_ = np.sqrt((within**2).mean(axis=0))
        self.spread_[self.spread_ < 1e-9] = 1.0
        for batch, part in zip(known, parts, strict=True):
            self.moved_[int(batch)] = posterior((part - self.level_) / self.spread_)
        return self

    def transform(self, given: np.ndarray) -> np.ndarray:
        """Features without what is their batch's own."""
        flags, features = self._split(given)
        common = features.copy()
        for batch, (shift, scale) in self.moved_.items():
            rows = flags[:, batch]
            common[rows] = self.level_ + (features[rows] - self.level_ - shift * self.spread_) / scale
        return common

    def _split(self, given: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return given[:, : self.batches] > 0.5, given[:, self.batches :]


def posterior(standardised: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Posterior means of shift and scale of one batch's features (n, feature), by the paper's iteration.

    Priors over the features: normal for the shift, inverse gamma for the variance. Where features do not differ, there
    is nothing to draw towards, and the estimates stand.
    """
    n = len(standardised)
    shift, variance = standardised.mean(axis=0), standardised.var(axis=0, ddof=1)
    variance = np.where(variance > 1e-12, variance, 1.0)
    middle, apart = shift.mean(), shift.var(ddof=1) if len(shift) > 1 else 0.0
    mean, spread = variance.mean(), variance.var(ddof=1) if len(variance) > 1 else 0.0
    if apart < 1e-12 or spread < 1e-12:
        return shift, np.sqrt(variance)
    shape, rate = (2 * spread + mean**2) / spread, (mean * spread + mean**3) / spread
    drawn, drawn_variance = shift, variance
    for _ in range(ROUNDS):
        before = drawn, drawn_variance
        drawn = (n * apart * shift + drawn_variance * middle) / (n * apart + drawn_variance)
        squares = ((standardised - drawn) ** 2).sum(axis=0)
        drawn_variance = (rate + squares / 2) / (n / 2 + shape - 1)
        now = np.concatenate([drawn, drawn_variance])
        change = np.abs(now - np.concatenate(before)) / np.maximum(np.abs(np.concatenate(before)), 1e-9)
        if change.max() < TOLERANCE:
            return drawn, np.sqrt(drawn_variance)
    raise ValueError("ComBat: the posterior means do not stand still; look for features that are not finite")
