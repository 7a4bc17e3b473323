"""The scale on which the target is learned: its logarithm, or itself."""

from __future__ import annotations

import numpy as np


def to_scale(values: np.ndarray, transform: str) -> np.ndarray:
    """Values of the target (n,) on the scale of ``transform``, ``log`` or ``none``."""
    return np.log(values) if transform == "log" else values


def from_scale(values: np.ndarray, transform: str) -> np.ndarray:
    """Back from the scale, (n,)."""
    return np.exp(values) if transform == "log" else values
