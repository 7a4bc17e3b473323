"""The region of interest and the stiffness in it: arithmetic on arrays, no files."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import distance_transform_edt

from liverstiff.errors import ExamExcluded
from liverstiff.records import Reason

EROSION_STEPS = (1.0, 0.75, 0.5, 0.25)
KEPT_FRACTION = 0.1
"""The liver of a slice has vanished when erosion leaves less than this part of it."""

KPA_PER_UNIT = {"kPa": 1.0, "Pa": 1e-3}
PLAUSIBLE_MEDIAN = {"kPa": (0.5, 20.0), "Pa": (300.0, 20000.0)}
"""Range of the liver's median in each unit; they do not overlap."""

FULL_SCALE = {"fraction": 1.0, "percent": 100.0, "per mille": 1000.0}


@dataclass(frozen=True)
class SliceRegion:
    """The pixels of one slice that count, in the unit of the map."""

    values: np.ndarray
    """Stiffness of the pixels, one dimension."""
    confidence: np.ndarray
    """Their confidence, 0 to 1."""
    pixel_mm2: float
    """Area of a pixel."""
    erosion_mm: float
    """How far the region keeps from the edge of the liver."""

    @property
    def area_mm2(self) -> float:
        """Area of the region."""
        return self.values.size * self.pixel_mm2


def erode(liver: np.ndarray, pixel_mm: tuple[float, float], erosion_mm: float) -> tuple[np.ndarray, float]:
    """The liver of a slice without its edge, and how much was taken off.

    Distances run from pixel centre to pixel centre within the slice. Where the whole width would leave less than a
    tenth of the liver, three quarters, a half, then a quarter of it is tried; a liver too thin even for that gives
    an empty region.

    Args:
        liver: (row, column), bool.
        pixel_mm: distance between rows and between columns.
        erosion_mm: the width aimed at.
    """
    distance = distance_transform_edt(np.pad(liver, 1), sampling=pixel_mm)[1:-1, 1:-1]
    for step in EROSION_STEPS:
        kept = liver & (distance > erosion_mm * step)
        if kept.sum() >= KEPT_FRACTION * liver.sum():
            return kept, erosion_mm * step
    return np.zeros_like(liver), 0.0


def tissue_like(image: np.ndarray, liver: np.ndarray, spread: float) -> np.ndarray:
    """Liver voxels within ``spread`` robust standard deviations of the liver's median (large vessels, gallbladder,
    fat go).

    Args:
        image: T1w, (x, y, z).
        liver: bool, same shape.
        spread: in units of 1.4826 times the median absolute deviation.
    """
    values = image[liver]
    median = np.median(values)
    limit = spread * 1.4826 * np.median(np.abs(values - median))
    return liver & (np.abs(image - median) <= limit)


def confidence_fraction(slices: list[np.ndarray], stated: str) -> list[np.ndarray]:
    """A confidence map as fractions of 1: by its stated unit, else by the maximum of the whole map.

    Raises:
        ExamExcluded: ``unit_unclear`` when the maximum fits neither fraction, percent nor per mille.
    """
    top = max((float(np.nanmax(values)) for values in slices if np.isfinite(values).any()), default=0.0)
    fitting = [unit for unit, full in FULL_SCALE.items() if top <= full * (1 + 1e-6)]
    scale = stated if stated in FULL_SCALE else next(iter(fitting), "")
    if scale not in fitting:
        raise ExamExcluded(
            Reason.UNIT_UNCLEAR, f"confidence map up to {top:g}{' ' + stated if stated else ''}: no scale fits"
        )
    return [values / FULL_SCALE[scale] for values in slices]


def unmasked(stiffness: np.ndarray, masked: np.ndarray) -> np.ndarray:
    """Pixels that a confidence-masked map kept: those where it equals the whole map."""
    return np.isclose(stiffness, masked, rtol=1e-4) & (stiffness > 0)


def decide_unit(median: float, stated: set[str]) -> str:
    """``Pa`` or ``kPa``: the stated unit if the liver's median does not contradict it, else the one the median fits.

    Args:
        median: of the liver, in the unit of the map.
        stated: units that the slices state, without the empty one.

    Raises:
        ExamExcluded: ``unit_unclear``.
    """
    fitting = {unit for unit, (low, high) in PLAUSIBLE_MEDIAN.items() if low <= median <= high}
    stiffness_units = stated & set(KPA_PER_UNIT)
    if len(stated) == 1 and stiffness_units and (not fitting or fitting == stiffness_units):
        return stiffness_units.pop()
    if not stated and len(fitting) == 1:
        return fitting.pop()
    said = " and ".join(sorted(stated)) or "nothing"
    raise ExamExcluded(
        Reason.UNIT_UNCLEAR,
        f"the liver's median is {median:.4g} and the header states {said}; give elastography.units for the site",
    )


def area_weighted_mean(means: list[float], areas: list[float]) -> float:
    """sum(M_i A_i) / sum(A_i) over slices, each with its own mean and area."""
    return float(np.dot(means, areas) / np.sum(areas))
