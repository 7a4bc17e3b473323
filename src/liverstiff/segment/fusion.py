"""Votes of the atlases, the decision by intensity, and what is measured about them."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from scipy import ndimage

from liverstiff import images
from liverstiff.segment.atlas import View

SIMILARITY_MM = 10.0
"""Width of the neighbourhood in which an atlas's image is compared."""

PRIOR_WEIGHT = 1.5
"""Of the vote against the intensities: neighbouring voxels repeat each other, their likelihood is not independent."""

PRIOR_BLUR_MM = 6.0
"""Standard deviation of where the registration of an organ's edge may be wrong."""

SMOOTH_MM = 2.0
"""Of the likelihood and of the probability: single voxels are noise."""

MAX_LOG_RATIO = 4.0
BINS = 64


def local_correlation(one: np.ndarray, other: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Correlation (x, y, z) of two images in a Gaussian neighbourhood of ``sigma`` voxels, -1 to 1."""

    def mean(image: np.ndarray) -> np.ndarray:
        return ndimage.gaussian_filter(image, sigma)

    a, b = mean(one), mean(other)
    variances = np.maximum((mean(one * one) - a**2) * (mean(other * other) - b**2), 1e-8)
    return np.clip((mean(one * other) - a * b) / np.sqrt(variances), -1, 1)


def fuse(view: View) -> np.ndarray:
    """Probability (organ, x, y, z) of liver and spleen: votes weighted by the fourth power of the local correlation."""
    sigma = SIMILARITY_MM / np.array(images.spacing(view.affine))
    weights = [np.maximum(local_correlation(view.image, moved, sigma), 0.02) ** 4 for moved in view.warped]
    votes = sum(weight * label for weight, label in zip(weights, view.labels, strict=True))
    return np.asarray(votes / sum(weights))


def refine(image: np.ndarray, priors: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Probability (organ, x, y, z) after a look at the intensities: Bayes with the vote as prior.

    Histograms inside an organ and around it come from the vote itself, so nothing is fitted beyond this image.
    """
    step = np.array(images.spacing(affine))
    blurred = [ndimage.gaussian_filter(prior, PRIOR_BLUR_MM / step) for prior in priors]
    return np.stack([_refine_organ(image, prior, SMOOTH_MM / step) for prior in blurred])


def _refine_organ(image: np.ndarray, prior: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """One organ's probability (x, y, z); three rounds, as each gives better histograms."""
    band = ndimage.binary_dilation(prior > 0.02, iterations=2)
    log_prior = PRIOR_WEIGHT * np.log(np.clip(prior, 0.005, 0.995) / np.clip(1 - prior, 0.005, 0.995))
    probability = prior
    for _ in range(3):
        inside, outside = probability > 0.8, band & (probability < 0.2)
        if min(inside.sum(), outside.sum()) < BINS:
            return prior  # too few voxels for a histogram: the vote stands
        ratio = ndimage.gaussian_filter(_log_ratio(image, inside, outside), sigma)
        probability = ndimage.gaussian_filter(1 / (1 + np.exp(-(log_prior + ratio))), sigma)
    return np.where(band, probability, 0)


def _log_ratio(image: np.ndarray, inside: np.ndarray, outside: np.ndarray) -> np.ndarray:
    """Log of the density inside over that outside (x, y, z), by smoothed histograms of intensities 0 to 1."""
    bins = np.minimum((image * BINS).astype(int), BINS - 1)
    counts = [np.bincount(bins[where], minlength=BINS).astype(float) for where in (inside, outside)]
    density = [ndimage.gaussian_filter1d(count / count.sum(), 2) + 1e-4 for count in counts]
    return np.clip(np.log(density[0] / density[1]), -MAX_LOG_RATIO, MAX_LOG_RATIO)[bins]


def decide(probability: np.ndarray, view: View, shape: tuple[int, ...], affine: np.ndarray) -> np.ndarray:
    """Labels (x, y, z) on the image's grid: 0 background, 1 liver, 2 spleen, whichever is most probable there."""
    to_view = np.linalg.inv(view.affine) @ affine
    low = np.floor(np.linalg.inv(to_view)[:3, 3]).astype(int)
    high = np.linalg.inv(to_view)[:3] @ [*np.array(view.image.shape) - 1, 1]
    first = np.clip(low, 0, shape)
    last = np.clip(np.ceil(high).astype(int) + 1, first, shape)
    offset = to_view[:3, :3] @ first + to_view[:3, 3]
    liver, spleen = (
        ndimage.affine_transform(organ, np.diag(np.diag(to_view[:3, :3])), offset, tuple(last - first), order=1)
        for organ in probability
    )
    labels = np.zeros(shape, np.uint8)
    choice = np.argmax([1 - np.minimum(liver + spleen, 1), liver, spleen], axis=0)
    labels[tuple(slice(a, b) for a, b in zip(first, last, strict=True))] = choice
    return labels


def largest_piece(mask: np.ndarray) -> np.ndarray:
    """The largest connected piece of a mask (x, y, z), its holes filled."""
    pieces, count = ndimage.label(mask)
    if not count:
        return mask
    sizes = np.bincount(pieces.ravel())[1:]
    return ndimage.binary_fill_holes(pieces == 1 + sizes.argmax())


def dice(one: np.ndarray, other: np.ndarray) -> float:
    """2 |A and B| / (|A| + |B|); 0 for two empty masks."""
    total = int(one.sum()) + int(other.sum())
    return float(2 * (one & other).sum() / total) if total else 0.0


def agreement(masks: list[np.ndarray]) -> float:
    """Mean Dice over all pairs of masks; 1 for a single one."""
    pairs = [dice(one, other) for one, other in combinations(masks, 2)]
    return float(np.mean(pairs)) if pairs else 1.0
