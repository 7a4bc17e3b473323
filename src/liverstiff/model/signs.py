"""Signs measured by hand on the packed images: how liver, spleen and the rest compare, texture, surface, volumes.

Ratios within an image need no common scale. ADC is physical and taken as it is.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from liverstiff.records import CHANNELS, LIVER, SPLEEN

VOLUMES = ("liver_ml", "spleen_ml")
"""Measured by the stage segment on the full masks."""

SURFACE = "surface"
"""Measured on the mask of the box."""

OF_CHANNEL = ("liver", "spleen", "rest", "texture")
"""Measured on each channel."""

LEAST_VOXELS = 20
"""An organ of fewer voxels has no median; a liver that erosion leaves fewer of is measured as it is."""


def names(measured: str, channels: tuple[str, ...]) -> tuple[str, ...]:
    """Names of the signs of a choice of ``train.measured`` (``none``, ``volumes``, ``signs``) for these channels."""
    if measured == "none" or not channels:
        return ()
    if measured == "volumes":
        return VOLUMES
    return (*VOLUMES, SURFACE, *(f"{channel}:{sign}" for channel in channels for sign in OF_CHANNEL))


def is_sign(name: str) -> bool:
    """True for a number that is measured on images or masks, not taken from the record."""
    return name in (*VOLUMES, SURFACE) or ":" in name


def measure(images: np.ndarray, mask: np.ndarray, present: np.ndarray) -> dict[str, float]:
    """Signs of one exam, NaN where they cannot be had.

    Args:
        images: (channel, x, y, z), ADC x 1000.
        mask: (x, y, z), 0 elsewhere, 1 liver, 2 spleen.
        present: (channel,).

    Returns:
        ``surface``; per channel ``liver``, log of the median in the liver (ADC: the median); ``spleen`` and ``rest``,
        log of its ratio to the median in the spleen and in all other tissue; ``texture``, log of the SD of what a mean
        over 3 x 3 x 3 voxels leaves, relative to the median.
    """
    liver, spleen = mask == LIVER, mask == SPLEEN
    inner = ndimage.binary_erosion(liver)
    inner = inner if inner.sum() >= LEAST_VOXELS else liver
    found = {SURFACE: roughness(liver)}
    for index, channel in enumerate(CHANNELS):
        signs = dict.fromkeys(OF_CHANNEL, np.nan)
        if present[index] and inner.any():
            signs = _of_channel(images[index].astype(np.float32), inner, spleen, mask == 0, channel == "ADC")
        found |= {f"{channel}:{sign}": value for sign, value in signs.items()}
    return found


def _of_channel(
    image: np.ndarray, liver: np.ndarray, spleen: np.ndarray, other: np.ndarray, physical: bool
) -> dict[str, float]:
    """The signs of one channel."""
    level = float(np.median(image[liver]))
    fine = image - ndimage.uniform_filter(image, 3)
    return {
        "liver": level if physical else _log(level),
        "spleen": _log(level) - _log(_median(image[spleen])),
        "rest": _log(level) - _log(_median(image[other & (image > 0)])),
        "texture": _log(float(fine[liver].std())) - _log(level),
    }


def roughness(liver: np.ndarray) -> float:
    """Log of the voxels of a liver (x, y, z) that smoothing takes or adds, per voxel of its surface."""
    smooth = ndimage.gaussian_filter(liver.astype(np.float32), 1.5) > 0.5
    changed = int((smooth != liver).sum())
    border = int((liver & ~ndimage.binary_erosion(liver)).sum())
    return float(np.log((changed + 1) / border)) if border else np.nan


def _median(values: np.ndarray) -> float:
    """Median, NaN of too few."""
    return float(np.median(values)) if values.size >= LEAST_VOXELS else np.nan


def _log(value: float) -> float:
    """Logarithm, NaN where there is none."""
    return float(np.log(value)) if value > 0 else np.nan
