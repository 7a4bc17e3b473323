"""What can be wrong with one sequence of an exam: it costs that sequence, and the exam only where it is required."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np

from liverstiff import images
from liverstiff.errors import ExamExcluded
from liverstiff.records import Reason

LARGEST_MM = 2000.0
"""No image of a patient is wider."""

STANDS_OUT = 2.5
"""Median of the body over that of the air: halves of mere noise (Rayleigh), split at a threshold, differ by 2.2."""

MIN_AIR_VOXELS = 200
"""Fewer voxels of air than this say nothing about the noise."""


class Fault(StrEnum):
    """``<sequence>_fault`` in ``measures.csv``."""

    UNREADABLE = "unreadable_image"
    DIMENSIONS = "wrong_dimensions"
    TOO_FEW_SLICES = "too_few_slices"
    NO_PLACE = "no_place"
    NOT_FINITE = "not_finite"
    EMPTY = "empty_image"
    NO_BODY = "no_body"
    NO_CONTRAST = "no_contrast"
    NO_B_VALUES = "no_b_values"
    ONE_B_VALUE = "one_b_value"
    NO_MUSCLE = "no_muscle"


class SequenceFault(Exception):
    """One sequence cannot be used: a fault and a sentence a person can act on."""

    def __init__(self, fault: Fault, detail: str) -> None:
        super().__init__(detail)
        self.fault = fault
        self.detail = detail

    @property
    def reason(self) -> Reason:
        """Why the exam is excluded when it needs this sequence."""
        return Reason.UNREADABLE if self.fault == Fault.UNREADABLE else Reason.IMPLAUSIBLE_IMAGE


def read_plausible(
    path: Path, dimensions: int = 3, most_not_finite: float = 0.0
) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Voxels of an image that can be one, its affine, and what was put right in it.

    Args:
        path: NIfTI.
        dimensions: 3 or 4.
        most_not_finite: share of NaN and infinite voxels up to which they are taken for no signal.

    Returns:
        float32 (x, y, z) or (volume, x, y, z), finite and not negative; the affine; the number of voxels ``negative``
        and ``not_finite`` that were set to 0.

    Raises:
        SequenceFault: for what cannot be read, has no volume, no place, no signal, or too many voxels not finite.
    """
    try:
        voxels, affine = images.load(path)
    except images.UNREADABLE as error:
        raise SequenceFault(Fault.UNREADABLE, f"{type(error).__name__}; convert this series again") from error
    voxels = _with_dimensions(voxels, dimensions)
    _check_grid(voxels.shape[-3:], affine)
    counts = _clean(voxels)
    if counts["not_finite"] > most_not_finite * voxels.size:
        share = 100 * counts["not_finite"] / voxels.size
        raise SequenceFault(Fault.NOT_FINITE, f"{share:.3g} % of its values are not finite; look at its conversion")
    volumes = voxels.reshape(-1, *voxels.shape[-3:])
    if any(volume.max() == volume.min() for volume in volumes):
        raise SequenceFault(Fault.EMPTY, "all values of a volume are equal or none is positive; look at this series")
    return voxels, affine, counts


def _with_dimensions(voxels: np.ndarray, dimensions: int) -> np.ndarray:
    """The array with volumes first, contiguous, so that one volume after the other can be worked on."""
    if dimensions == 3 and voxels.shape[3:] == (1,):
        voxels = voxels[..., 0]
    if dimensions == 4 and voxels.ndim == 3:
        voxels = voxels[..., None]
    if voxels.ndim != dimensions:
        raise SequenceFault(Fault.DIMENSIONS, f"has {voxels.ndim} dimensions, expected {dimensions}; convert it again")
    return np.ascontiguousarray(np.moveaxis(voxels, -1, 0) if dimensions == 4 else voxels)


def _check_grid(shape: tuple[int, ...], affine: np.ndarray) -> None:
    """Refuse a grid that is no volume in space."""
    if min(shape) < 3:
        raise SequenceFault(Fault.TOO_FEW_SLICES, f"has {shape} voxels, expected at least 3 along each axis")
    if not images.has_place(affine):
        raise SequenceFault(Fault.NO_PLACE, "its affine gives the voxels no place; look at its conversion")
    wide = max(n * step for n, step in zip(shape, images.spacing(affine), strict=True))
    if wide > LARGEST_MM:
        raise SequenceFault(Fault.NO_PLACE, f"is {wide:.0f} mm wide; look at its voxel size")


def _clean(voxels: np.ndarray) -> dict[str, int]:
    """Set what is not finite or negative to 0, in place; how many voxels each were."""
    counts = {"not_finite": 0, "negative": 0}
    for part in voxels:  # in slabs: masks of the whole would double the memory
        wrong = ~np.isfinite(part)
        part[wrong] = 0
        counts["not_finite"] += int(wrong.sum())
        counts["negative"] += int((part < 0).sum())
        np.maximum(part, 0, out=part)
    return counts


def check_body(voxels: np.ndarray, mask: np.ndarray) -> None:
    """Refuse an image (x, y, z) whose body is not there, is like the air around it, or is all one value.

    Raises:
        SequenceFault: ``no_body`` or ``no_contrast``.
    """
    if not mask.any():
        raise SequenceFault(Fault.NO_BODY, "no body was found; look at this series")
    inside, air = voxels[mask], voxels[~mask]
    air = air[air > 0]
    low, middle, high = np.percentile(inside, (5, 50, 95))
    if air.size >= MIN_AIR_VOXELS and middle < STANDS_OUT * np.median(air):
        raise SequenceFault(Fault.NO_BODY, "nothing stands out from the noise; look at this series")
    if low == high:
        raise SequenceFault(Fault.NO_CONTRAST, "the body has one value; look at this series and its conversion")


def as_fault(error: ExamExcluded) -> SequenceFault:
    """An image whose intensities cannot be standardised, as the fault of its sequence."""
    return SequenceFault(Fault.NO_BODY, error.detail)
