"""One image's intensities: body mask, bias field, scale."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from liverstiff import images
from liverstiff.errors import ExamExcluded
from liverstiff.records import Reason

import ants  # isort: skip  (after liverstiff.images, which sets the number of threads)

KNOTS_MM = 150.0
"""Distance of the knots of the bias field at its coarsest level: about a liver's width."""


def standardise(
    voxels: np.ndarray, affine: np.ndarray, spacing_mm: float, mask: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, float]:
    """Image (x, y, z) without bias field, in units of the body's median; the body mask; the median divided by.

    Dividing keeps every ratio between tissues and keeps air at zero. The body's median stands for no single organ, so
    the contrast of liver to spleen and muscle, which carries the signal, survives.
    """
    mask = body_mask(voxels, affine, spacing_mm) if mask is None else mask
    corrected = np.maximum(voxels, 0) / bias_field(voxels, affine, mask, spacing_mm)
    scale = float(np.median(corrected[mask]))
    if scale <= 0:
        raise ExamExcluded(Reason.IMPLAUSIBLE_IMAGE, "the median of the body is zero; look at this series")
    return (corrected / scale).astype(np.float32), mask, scale


def body_mask(voxels: np.ndarray, affine: np.ndarray, spacing_mm: float) -> np.ndarray:
    """The body in an image (x, y, z): Otsu's threshold of the root of the intensity, largest piece, filled in slices.

    The root keeps bright fat from pushing the threshold above the organs.
    """
    small, factor = reduce_grid(np.sqrt(np.maximum(voxels, 0)), affine, spacing_mm / 3)
    inside = ants.threshold_image(ants.from_numpy(small), "Otsu", 1).numpy() > 0
    inside = ndimage.binary_closing(np.pad(inside, 2), iterations=2)[2:-2, 2:-2, 2:-2] | inside
    pieces, count = ndimage.label(inside)
    if count > 1:
        inside = pieces == 1 + np.argmax(ndimage.sum_labels(inside, pieces, range(1, count + 1)))
    for z in range(inside.shape[2]):
        inside[..., z] = ndimage.binary_fill_holes(inside[..., z])
    return enlarge_grid(inside.astype(np.float32), factor, voxels.shape) > 0.5


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
        convergence={"iters": [8, 8, 8], "tol": 1e-4},
        spline_param=np.maximum(np.round(step_mm * voxels.shape / KNOTS_MM), 1).astype(int).tolist(),
        return_bias_field=True,
    )
    return np.log(np.maximum(field.numpy(), 1e-3))


def reduce_grid(voxels: np.ndarray, affine: np.ndarray, spacing_mm: float) -> tuple[np.ndarray, np.ndarray]:
    """Means over blocks of whole voxels about ``spacing_mm`` wide, and the block size (3,). A part block counts."""
    factor = np.maximum(np.round(spacing_mm / np.array(images.spacing(affine))).astype(int), 1)
    rest = [(0, int(-n % k)) for n, k in zip(voxels.shape, factor, strict=True)]
    x, y, z = (np.array(voxels.shape) + [after for _, after in rest]) // factor
    blocks = np.pad(voxels, rest, mode="edge").reshape(x, factor[0], y, factor[1], z, factor[2])
    return blocks.mean(axis=(1, 3, 5)), factor


def enlarge_grid(small: np.ndarray, factor: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Linear interpolation of block means back onto the voxels; inverse of :func:`reduce_grid`'s geometry."""
    offset = (1 - factor) / (2 * factor)  # voxel i lies at (i - (factor - 1) / 2) / factor of the coarse grid
    return ndimage.affine_transform(small, np.diag(1 / factor), offset, output_shape=shape, order=1, mode="nearest")
