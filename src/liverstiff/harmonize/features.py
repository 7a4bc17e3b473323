"""A handful of numbers that describe an image's intensities, before and after harmonisation, for the vendor probe."""

from __future__ import annotations

import numpy as np

PERCENTILES = (10, 25, 50, 75, 90)

FEATURES = (*(f"p{p}" for p in PERCENTILES), "snr")
"""Percentiles of the body, and its median over the noise of the air."""


def intensity_features(inside: np.ndarray, sigma: float) -> dict[str, float]:
    """:data:`FEATURES` of the body's voxels (n,); ``sigma`` is the noise, 0 where it is not known: then no ``snr``."""
    found = percentiles(inside)
    return found | {"snr": found["p50"] / sigma if sigma > 0 else float("nan")}


def percentiles(inside: np.ndarray) -> dict[str, float]:
    """:data:`PERCENTILES` of the body's voxels (n,), by name."""
    values = np.percentile(inside, PERCENTILES)
    return {f"p{p}": float(value) for p, value in zip(PERCENTILES, values, strict=True)}


def columns(sequence: str, when: str, features: dict[str, float]) -> dict[str, float]:
    """Features as columns of ``measures.csv``, e.g. ``t1w_before_p10``; six digits are enough."""
    return {f"{sequence.lower()}_{when}_{name}": float(f"{value:.6g}") for name, value in features.items()}
