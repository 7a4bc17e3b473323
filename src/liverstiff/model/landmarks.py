"""Intensities brought to one scale by landmarks of their histogram, fitted in the fold; an ablation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

PERCENTILES = (1.0, *range(10, 100, 10), 99.0)
"""Of the voxels that are not air; Nyul, Udupa and Zhang, IEEE Trans Med Imaging 2000;19:143-150."""

RANGE = 4.0
"""Length of the standard scale, about zero, so that voxels are as large as those that are conditioned in the liver."""


def landmarks_of(image: np.ndarray) -> np.ndarray:
    """Percentiles (11,) of an image (x, y, z).

    Raises:
        ValueError: for one without contrast.
    """
    seen = image[image > 0].astype(np.float64)
    found = np.percentile(seen, PERCENTILES) if seen.size else np.zeros(len(PERCENTILES))
    if not np.isfinite(found).all() or found[-1] <= found[0]:
        raise ValueError("the histogram has no width")
    return np.asarray(found)


def standard_scale(landmarks: Sequence[np.ndarray]) -> tuple[float, ...]:
    """Mean landmarks of the training images, each stretched to the same ends; empty without images."""
    stretched = [(marks - marks[0]) / (marks[-1] - marks[0]) for marks in landmarks]
    return tuple((RANGE * (np.mean(stretched, axis=0) - 0.5)).tolist()) if stretched else ()


def to_standard(image: np.ndarray, standard: tuple[float, ...]) -> np.ndarray:
    """An image (x, y, z) on the standard scale, straight between its landmarks; beyond the outermost it is cut off.

    Raises:
        ValueError: for an image without contrast.
    """
    return np.interp(image, landmarks_of(image), standard)
