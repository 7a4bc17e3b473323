"""The elastogram: magnitude, stiffness and confidence on a few axial slices through the liver."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from liverstiff.simulate import signal
from liverstiff.simulate.anatomy import Anatomy
from liverstiff.simulate.signal import Grid

FAILURES = ("no_confident_pixel", "area_too_small", "wrong_frequency", "unit_unclear", "stiffness_out_of_range")
"""What can go wrong: iron or no vibration; a liver that is hardly reached; a driver at another frequency; a map stored
on a scale that nothing states; waves that are none, in a confident map.
"""

USUAL_HZ, WRONG_HZ = 60.0, (30.0, 40.0, 50.0, 80.0)
NO_WAVE_KPA = 0.4
"""What an inversion makes of a liver without waves."""

INVERSION_PX = 1.2
"""Width over which an inversion mixes the stiffness of neighbours, so that the edge reads what lies beside it."""

_SLICE = Grid((96, 80, 1), (4.0, 4.0, 10.0))
_KPA = {
    "liver": 2.0,
    "spleen": 5.5,
    "muscle": 4.0,
    "fat": 1.2,
    "blood": 1.0,
    "kidney": 4.5,
    "fluid": 0.8,
    "bone": 7,
    "lung": 1,
}


@dataclass(frozen=True)
class Elastogram:
    """An elastogram of shape (x, y, slice) on RAS+ axes."""

    grids: tuple[Grid, ...]
    """One grid per slice: slices need not be evenly spaced."""
    magnitude: np.ndarray
    """Signal, arbitrary units."""
    stiffness: np.ndarray
    """kPa."""
    confidence: np.ndarray
    """Share, 0 to 1."""
    frequency_hz: float = USUAL_HZ
    """Of the vibration."""
    scale_stated: bool = True
    """False where the scanner stores the stiffness on a scale of its own."""


def slice_grids(spread_mm: float = 0.0, slice_grid: Grid = _SLICE) -> tuple[Grid, ...]:
    """Four slices around the middle of the liver, 10 mm apart; ``spread_mm`` moves the outer ones away."""
    heights = (-15.0 - spread_mm, -5.0, 5.0, 15.0 + spread_mm)
    return tuple(replace(slice_grid, centre_z=z) for z in heights)


def acquire_elastogram(
    anatomy: Anatomy,
    patient: Mapping[str, float],
    grids: tuple[Grid, ...],
    shift_z: float,
    failure: str,
    rng: np.random.Generator,
) -> Elastogram:
    """Measure stiffness: the liver's mean over its confident pixels is ``patient['measured_kpa']``, unless it failed.

    Args:
        anatomy: the abdomen.
        patient: ``measured_kpa``, and what ``signal.tissues`` needs.
        grids: one per slice.
        shift_z: breathing, mm towards the head.
        failure: empty, or one of :data:`FAILURES`.
        rng: source of the noise.
    """

    def slices(world: np.ndarray) -> np.ndarray:
        return np.concatenate([signal.sample(world, grid, shift_z) for grid in grids], axis=2)

    table = signal.tissues(patient)
    values = {n: signal.spoiled_gradient_echo(t, 50, 20, 20, 0.8) for n, t in table.items()}
    magnitude = signal.rician(slices(anatomy.paint(dict(values))), 0.004, rng)
    liver = slices(anatomy.fraction("liver"))
    vessels = slices(anatomy.fraction("vessels"))
    confidence = _confidence(liver - vessels, failure, rng)
    kpa = slices(anatomy.paint(dict(_KPA))) * (1 + 0.25 * _grain(liver.shape, 2.5, rng))
    varied = 1 + 0.10 * _grain(liver.shape, 1.5, rng) + 0.10 * _grain(liver.shape, 8.0, rng)
    varied = varied * (1 + 0.05 * rng.standard_normal(liver.shape[2:], dtype=np.float32))
    level = NO_WAVE_KPA if failure == "stiffness_out_of_range" else patient["measured_kpa"]
    mixed = liver * level * np.clip(varied, 0.4, None) + (1 - liver) * np.clip(kpa, 0.3, None)
    stiffness = ndimage.gaussian_filter(mixed, (INVERSION_PX, INVERSION_PX, 0))
    confident = (liver > 0.9) & ((confidence >= 0.95) | (confidence.max() < 0.95))
    stiffness *= np.where(liver > 0.5, level / stiffness[confident].mean(), 1)
    frequency = float(rng.choice(WRONG_HZ)) if failure == "wrong_frequency" else USUAL_HZ
    kept = np.asarray(np.clip(stiffness, 0.1, 19.9), np.float32)
    return Elastogram(grids, magnitude, kept, confidence, frequency, scale_stated=failure != "unit_unclear")


def _grain(shape: tuple[int, ...], sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Smooth noise within each slice, SD 1."""
    smooth = ndimage.gaussian_filter(rng.standard_normal(shape, dtype=np.float32), (sigma, sigma, 0))
    return smooth / smooth.std()


def _confidence(tissue: np.ndarray, failure: str, rng: np.random.Generator) -> np.ndarray:
    """High in the depth of the liver, low at its edge, at vessels and elsewhere; the planted failure on top."""
    deep = np.clip(1.6 * ndimage.gaussian_filter(tissue, (1.0, 1.0, 0)) - 0.42, 0, 1)
    elsewhere = 0.45 + 0.15 * _grain(tissue.shape, 3.0, rng)
    loss = 0.022 * np.abs(_grain(tissue.shape, 2.5, rng))
    confidence = np.clip(deep * (0.995 - loss) + (1 - deep) * elsewhere, 0, 0.999)
    if failure == "no_confident_pixel":
        confidence = np.minimum(confidence * 0.85, 0.90)
    if failure == "area_too_small":
        middle = np.unravel_index(np.argmax(ndimage.gaussian_filter(tissue, (4, 4, 0))), tissue.shape)
        i, j, k = np.ogrid[: tissue.shape[0], : tissue.shape[1], : tissue.shape[2]]
        far = ((i - middle[0]) ** 2 + (j - middle[1]) ** 2 > 2.3**2) | (k != middle[2])
        confidence = np.where(far, np.minimum(confidence, 0.90), confidence)
    return confidence.astype(np.float32)
