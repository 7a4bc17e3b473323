"""Votes of the atlases, the decision by intensity, and what is measured about them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from liverstiff import images

SIMILARITY_MM = 10.0
"""Width of the neighbourhood in which an atlas's image is compared."""


@dataclass(frozen=True)
class Trust:
    """How far a prior is believed."""

    weight: float
    """Against the intensities: neighbouring voxels repeat each other, their likelihood is not independent."""
    blur_mm: float
    """Standard deviation of where an organ's edge may be wrong."""


VOTES, NETWORK = Trust(1.5, 6.0), Trust(3.0, 3.0)
"""Of the votes of the atlases, and of the network."""

WHITE = 4.0
"""Medians of the body that count as white, 1, where an image is given in such."""

SMOOTH_MM = 2.0
"""Of the likelihood and of the probability: single voxels are noise."""

REDRAW_MM = 15.0
"""Distance around a mask to which it may grow when it is drawn anew."""

MAX_LOG_RATIO = 4.0
BINS = 64


def local_correlation(one: np.ndarray, other: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Correlation (x, y, z) of two images in a Gaussian neighbourhood of ``sigma`` voxels, -1 to 1."""

    def mean(image: np.ndarray) -> np.ndarray:
        return ndimage.gaussian_filter(image, sigma)

    a, b = mean(one), mean(other)
    variances = np.maximum((mean(one * one) - a**2) * (mean(other * other) - b**2), 1e-8)
    return np.clip((mean(one * other) - a * b) / np.sqrt(variances), -1, 1)


def fuse(image: np.ndarray, affine: np.ndarray, warped: list[np.ndarray], labels: list[np.ndarray]) -> np.ndarray:
    """Votes (organ, x, y, z), 0 to 1, of atlases on an image: weighted by the fourth power of the local correlation.

    Args:
        image: (x, y, z).
        affine: its affine.
        warped: each atlas's image on its grid.
        labels: each atlas's organs on its grid (organ, x, y, z).
    """
    sigma = SIMILARITY_MM / np.array(images.spacing(affine))
    weights = [np.maximum(local_correlation(image, moved, sigma), 0.02) ** 4 for moved in warped]
    votes = sum(weight * label for weight, label in zip(weights, labels, strict=True))
    return np.asarray(votes / sum(weights))


def refine(image: np.ndarray, priors: np.ndarray, affine: np.ndarray, trust: Trust | None = None) -> np.ndarray:
    """Probability (organ, x, y, z) after a look at the intensities, 0 to 1: Bayes with what is known as prior.

    Histograms inside an organ and around it come from the prior itself, so nothing is fitted beyond this image.
    """
    step = np.array(images.spacing(affine))
    trust = trust or VOTES
    blurred = [ndimage.gaussian_filter(prior, trust.blur_mm / step) for prior in priors]
    return np.stack([_refine_organ(image, prior, trust.weight, SMOOTH_MM / step) for prior in blurred])


def _refine_organ(image: np.ndarray, prior: np.ndarray, weight: float, sigma: np.ndarray) -> np.ndarray:
    """One organ's probability (x, y, z); three rounds, as each gives better histograms."""
    band = ndimage.binary_dilation(prior > 0.02, iterations=2)
    log_prior = weight * np.log(np.clip(prior, 0.005, 0.995) / np.clip(1 - prior, 0.005, 0.995))
    probability = prior
    for _ in range(3):
        inside, outside = probability > 0.8, band & (probability < 0.2)
        if min(inside.sum(), outside.sum()) < BINS:
            return prior  # too few voxels for a histogram: the vote stands
        ratio = ndimage.gaussian_filter(_log_ratio(image, inside, outside), sigma)
        probability = ndimage.gaussian_filter(1 / (1 + np.exp(-(log_prior + ratio))), sigma)
    return np.where(band, probability, 0)


def redraw(image: np.ndarray, mask: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """A mask (x, y, z) drawn anew by intensity alone within ``REDRAW_MM`` of it.

    What looks like the inside rather than like the surroundings; a mask that does not follow the organ is not repeated.
    """
    step = np.array(images.spacing(affine))
    near = ndimage.distance_transform_edt(~mask, sampling=step) <= REDRAW_MM
    if min(mask.sum(), (near & ~mask).sum()) < BINS:
        return mask
    ratio = ndimage.gaussian_filter(_log_ratio(image, mask, near & ~mask), SMOOTH_MM / step)
    return near & (ratio > 0)


def _log_ratio(image: np.ndarray, inside: np.ndarray, outside: np.ndarray) -> np.ndarray:
    """Log of the density inside over that outside (x, y, z), by smoothed histograms of intensities 0 to 1."""
    bins = np.minimum((image * BINS).astype(int), BINS - 1)
    counts = [np.bincount(bins[where], minlength=BINS).astype(float) for where in (inside, outside)]
    density = [ndimage.gaussian_filter1d(count / count.sum(), 2) + 1e-4 for count in counts]
    return np.clip(np.log(density[0] / density[1]), -MAX_LOG_RATIO, MAX_LOG_RATIO)[bins]


def dice(one: np.ndarray, other: np.ndarray) -> float:
    """2 |A and B| / (|A| + |B|); 0 for two empty masks."""
    total = int(one.sum()) + int(other.sum())
    return float(2 * (one & other).sum() / total) if total else 0.0
