"""How good a mask probably is, told without knowing the truth."""

from __future__ import annotations

import numpy as np


def expected_dice(probability: np.ndarray, mask: np.ndarray) -> float:
    """Dice that a mask (x, y, z) would have on average over truths drawn from a probability (x, y, z).

    2 sum(p m) / (sum(p) + sum(m)): numerator and denominator of Dice with their expectations. 0 for an empty mask.
    """
    total = float(probability.sum() + mask.sum())
    return 2 * float(probability[mask].sum()) / total if mask.any() and total else 0.0
