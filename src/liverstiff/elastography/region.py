"""The region of interest and the stiffness in it: arithmetic on arrays, no files."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter

from liverstiff.dicom.values import MapSlice
from liverstiff.errors import ExamExcluded
from liverstiff.records import Reason

EROSION_STEPS = (1.0, 0.75, 0.5, 0.25)
KEPT_FRACTION = 0.1
"""The liver of a slice has vanished when erosion leaves less than this part of it."""

KPA_PER_UNIT = {"kPa": 1.0, "Pa": 1e-3}
PLAUSIBLE_MEDIAN = {"kPa": (0.5, 20.0), "Pa": (300.0, 20000.0)}
"""Range of the liver's median in each unit; they do not overlap."""

CREDIBLE_KPA = (0.2, 50.0)
"""A stated unit that puts the liver's median outside this is not true."""

FULL_SCALE = {"fraction": 1.0, "percent": 100.0, "per mille": 1000.0}
LEAST_TOP = {"fraction": 0.0, "percent": 20.0, "per mille": 200.0}
"""A map that states no scale must reach this somewhere: else it could as well be of the finer scale, and fail."""

SAME_VALUE = 0.01
"""Relative difference up to which a masked map, rounded on a scale of its own, shows the value of the whole map."""

BIAS_MM = 20.0
"""Width over which the coil's sensitivity is evened out."""


@dataclass(frozen=True)
class SliceRegion:
    """The pixels of one slice that count."""

    part: MapSlice
    """The slice of the stiffness map."""
    confidence: np.ndarray
    """Confidence of every pixel, 0 to 1; NaN where none is known."""
    liver: np.ndarray
    """Pixels of the liver (row, column)."""
    counts: np.ndarray
    """Pixels that count (row, column)."""
    erosion_mm: float
    """How far the region keeps from the edge of the liver."""

    @property
    def values(self) -> np.ndarray:
        """Stiffness of the pixels that count, in the unit of the map, one dimension."""
        return self.part.values[self.counts]

    @property
    def area_mm2(self) -> float:
        """Area of the pixels that count."""
        return float(self.counts.sum() * np.prod(self.part.pixel_mm))


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
    low, high = robust_limits(image[liver], spread)
    return liver & (low <= image) & (image <= high)


def tissue_like_slices(slices: list[np.ndarray], spread: float) -> list[np.ndarray]:
    """The same in a magnitude, by the limits of all its slices together.

    Args:
        slices: of :func:`without_coil`, each (row, column).
        spread: as for :func:`tissue_like`.

    Returns:
        Pixels that are like the liver, or NaN.
    """
    known = np.concatenate([values[np.isfinite(values)] for values in slices])
    low, high = robust_limits(known, spread)
    return [~((values < low) | (values > high)) for values in slices]


def robust_limits(values: np.ndarray, spread: float) -> tuple[float, float]:
    """The median less and plus ``spread`` times 1.4826 times the median absolute deviation; none without values."""
    if not values.size:
        return -np.inf, np.inf
    median = float(np.median(values))
    limit = spread * 1.4826 * float(np.median(np.abs(values - median)))
    return median - limit, median + limit


def without_coil(values: np.ndarray, liver: np.ndarray, pixel_mm: tuple[float, float]) -> np.ndarray:
    """A magnitude (row, column) over its mean in the liver around each pixel; NaN outside the liver."""
    inside = liver & np.isfinite(values)
    width = [BIAS_MM / size for size in pixel_mm]
    smooth = gaussian_filter(np.where(inside, values, 0.0), width)
    share = gaussian_filter(inside.astype(float), width)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(inside & (smooth > 0), values * share / smooth, np.nan)


def confidence_fraction(slices: list[np.ndarray], stated: str, full: float | None = None) -> list[np.ndarray]:
    """A confidence map as fractions of 1: by its full value, its stated unit, or the maximum of the whole map.

    Raises:
        ExamExcluded: ``unit_unclear`` when the maximum fits neither fraction, percent nor per mille.
    """
    top = max((float(np.nanmax(values)) for values in slices if np.isfinite(values).any()), default=0.0)
    if full is None:
        fitting = {unit: scale for unit, scale in FULL_SCALE.items() if LEAST_TOP[unit] <= top <= scale * (1 + 1e-6)}
        full = FULL_SCALE.get(stated) or next(iter(fitting.values()), 0.0)
    if top > full * (1 + 1e-6):
        raise ExamExcluded(
            Reason.UNIT_UNCLEAR,
            f"confidence map up to {top:g}{' ' + stated if stated else ''}: no scale fits; "
            "give confidence_full of the site in elastography.sites",
        )
    return [values / full for values in slices]


def unmasked(stiffness: np.ndarray, masked: np.ndarray) -> np.ndarray:
    """Pixels that a confidence-masked map kept: those where it shows what the whole map does."""
    return np.isclose(stiffness, masked, rtol=SAME_VALUE, atol=0) & (stiffness > 0)


def decide_unit(median: float, stated: set[str]) -> str:
    """``Pa`` or ``kPa``: the stated unit where the liver's median does not contradict it, else the one the median fits.

    Args:
        median: of the liver, in the unit of the map.
        stated: units that the slices state, without the empty one.

    Raises:
        ExamExcluded: ``unit_unclear``.
    """
    fitting = {unit for unit, (low, high) in PLAUSIBLE_MEDIAN.items() if low <= median <= high}
    stiffness_units = stated & set(KPA_PER_UNIT)
    if len(stated) == 1 and stiffness_units and (not fitting or fitting == stiffness_units):
        unit = stiffness_units.pop()
        if CREDIBLE_KPA[0] <= median * KPA_PER_UNIT[unit] <= CREDIBLE_KPA[1]:
            return unit
    if not stated and len(fitting) == 1:
        return fitting.pop()
    said = " and ".join(sorted(stated)) or "nothing"
    raise ExamExcluded(
        Reason.UNIT_UNCLEAR,
        f"the liver's median is {median:.4g}, the unit stated is {said}; give unit of the site in elastography.sites",
    )


def area_weighted_mean(means: list[float], areas: list[float]) -> float:
    """sum(M_i A_i) / sum(A_i) over slices, each with its own mean and area."""
    return float(np.dot(means, areas) / np.sum(areas))


def variation(means: list[float], areas: list[float]) -> float | None:
    """Coefficient of variation from slice to slice, weighted by area; None for a single slice."""
    if len(means) < 2:
        return None
    mean = area_weighted_mean(means, areas)
    return float(np.sqrt(np.average((np.array(means) - mean) ** 2, weights=areas)) / mean)
