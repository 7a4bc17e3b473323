"""One image's intensities: body mask, bias field, scale."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from liverstiff import images
from liverstiff.errors import ExamExcluded
from liverstiff.records import Reason

import ants  # isort: skip  (after liverstiff.images, which sets the number of threads)

KNOTS_MM = 200.0
"""Distance of the knots of the bias field at its coarsest level: about a liver's width. Half of it at the second."""

ITERATIONS = (20, 20)
"""Of N4, on the two levels."""

BIAS_MM = 10.0
"""Voxel size at which the bias field is looked for."""

MASK_MM = 5.3
"""Voxel size at which the body is looked for."""


def standardise(
    voxels: np.ndarray, affine: np.ndarray, spacing_mm: float = BIAS_MM, mask: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, float]:
    """Image (x, y, z) without bias field, in units of the body's median; the body mask; the median divided by.

    Dividing keeps every ratio between tissues and keeps air at zero. The body's median stands for no single organ, so
    the contrast of liver to spleen and muscle, which carries the signal, survives.
    """
    mask = body_mask(voxels, affine) if mask is None else mask
    corrected = without_bias(voxels, affine, mask, spacing_mm)
    scale = body_median(corrected, mask)
    return corrected / np.float32(scale), mask, scale


def body_median(corrected: np.ndarray, mask: np.ndarray) -> float:
    """Median inside the body of an image (x, y, z)."""
    scale = float(np.median(corrected[mask]))
    if scale <= 0:
        raise ExamExcluded(Reason.IMPLAUSIBLE_IMAGE, "the median of the body is zero; look at this series")
    return scale


def body_mask(voxels: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """The body in an image (x, y, z): Otsu's threshold of the root of the intensity, largest piece, filled in slices.

    The root keeps bright fat from pushing the threshold above the organs.
    """
    small, factor = reduce_grid(np.sqrt(np.maximum(voxels, 0)), affine, MASK_MM)
    inside = ants.threshold_image(ants.from_numpy(small), "Otsu", 1).numpy() > 0
    inside = ndimage.binary_closing(np.pad(inside, 2), iterations=2)[2:-2, 2:-2, 2:-2] | inside
    pieces, count = ndimage.label(inside)
    if count > 1:
        inside = pieces == 1 + np.argmax(ndimage.sum_labels(inside, pieces, range(1, count + 1)))
    for z in range(inside.shape[2]):
        inside[..., z] = ndimage.binary_fill_holes(inside[..., z])
    return enlarge_grid(inside.astype(np.float32), factor, voxels.shape) > 0.5


def without_bias(voxels: np.ndarray, affine: np.ndarray, mask: np.ndarray, spacing_mm: float) -> np.ndarray:
    """Image (x, y, z), float32, not negative, divided by its bias field."""
    return np.maximum(voxels, 0).astype(np.float32, copy=False) / bias_field(voxels, affine, mask, spacing_mm)


def bias_field(voxels: np.ndarray, affine: np.ndarray, mask: np.ndarray, spacing_mm: float) -> np.ndarray:
    """Multiplicative bias field (x, y, z) by N4 (Tustison 2010), found on a coarse grid: the field is smooth anyway."""
    small, factor = reduce_grid(np.maximum(voxels, 0), affine, spacing_mm)
    inside = reduce_grid(mask.astype(np.float32), affine, spacing_mm)[0] > 0.9
    if not inside.any():
        raise ExamExcluded(Reason.IMPLAUSIBLE_IMAGE, "no body was found; look at this series")
    box = ndimage.find_objects(inside.astype(np.uint8))[0]  # N4 takes as long for air as for the body
    log_field = _log_bias(small[box], inside[box], np.array(images.spacing(affine)) * factor)
    around = [(part.start, n - part.stop) for part, n in zip(box, small.shape, strict=True)]
    return np.exp(enlarge_grid(np.pad(log_field, around, mode="edge"), factor, voxels.shape))


def _log_bias(voxels: np.ndarray, inside: np.ndarray, step_mm: np.ndarray) -> np.ndarray:
    """Logarithm of N4's field of a coarse image (x, y, z)."""
    floor = 0.05 * float(np.median(voxels[inside]))  # N4 takes logarithms: gas without signal would rule it
    field = ants.n4_bias_field_correction(
        ants.from_numpy(np.maximum(voxels, max(floor, 1e-6)), spacing=step_mm.tolist()),
        mask=ants.from_numpy(inside.astype(np.float32), spacing=step_mm.tolist()),
        shrink_factor=1,
        convergence={"iters": list(ITERATIONS), "tol": 1e-4},
        spline_param=np.maximum(np.round(step_mm * voxels.shape / KNOTS_MM), 1).astype(int).tolist(),
        return_bias_field=True,
    )
    return np.log(np.maximum(field.numpy(), 1e-3))


def reduce_grid(voxels: np.ndarray, affine: np.ndarray, spacing_mm: float) -> tuple[np.ndarray, np.ndarray]:
    """Means over blocks of whole voxels about ``spacing_mm`` wide, and the block size (3,). A part block counts."""
    factor = np.maximum(np.round(spacing_mm / np.array(images.spacing(affine))).astype(int), 1)
    for axis, k in enumerate(factor):
        if rest := int(-voxels.shape[axis] % k):
            voxels = np.pad(voxels, [(0, rest if axis == i else 0) for i in range(3)], mode="edge")
        shape = voxels.shape
        voxels = voxels.reshape(*shape[:axis], shape[axis] // k, k, *shape[axis + 1 :]).mean(axis=axis + 1)
    return voxels, factor


def enlarge_grid(small: np.ndarray, factor: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Linear interpolation of block means back onto the voxels; inverse of :func:`reduce_grid`'s geometry."""
    for axis in (2, 1, 0):  # the first axis last: its rows are whole slices in memory
        small = _stretch(small, int(factor[axis]), shape[axis], axis)
    return small


def _stretch(values: np.ndarray, factor: int, size: int, axis: int) -> np.ndarray:
    """One axis of :func:`enlarge_grid`: voxel i lies at (i - (factor - 1) / 2) / factor of the coarse axis."""
    last = values.shape[axis] - 1
    place = np.clip((np.arange(size) - (factor - 1) / 2) / factor, 0, last)
    below = place.astype(int)
    part = (place - below).astype(values.dtype).reshape([-1 if i == axis else 1 for i in range(3)])
    low = np.take(values, below, axis)
    step = np.take(values, np.minimum(below + 1, last), axis)
    step -= low
    step *= part
    low += step
    return low
