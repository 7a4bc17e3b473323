"""Linear alignment of two images: coarse grids, mutual information, several starts, rigid and affine."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from scipy import ndimage

from liverstiff import images

import ants  # isort: skip  (after liverstiff.images, which sets the number of threads)

Transform = Literal["rigid", "affine"]

LEVELS: dict[str, tuple[int, ...]] = {"aff_shrink_factors": (2, 1), "aff_smoothing_sigmas": (1, 0)}
"""Two resolutions are enough: the images given are coarse already."""

ITERATIONS: dict[str, tuple[int, ...]] = {"rigid": (40, 10), "affine": (30, 10)}
"""At these resolutions; the fine level costs eight times the coarse one."""

MIN_OVERLAP = 0.5
"""Of the mask that a moved image must show."""


@dataclass(frozen=True)
class Alignment:
    """A transform on disk and what it reaches."""

    path: str
    """An ANTs transform file that maps points of the fixed image to points of the moving one."""
    metric: float
    """Mutual information (nats) of the fixed and the moved image."""


def coarse(voxels: np.ndarray, affine: np.ndarray, spacing_mm: float) -> tuple[np.ndarray, np.ndarray]:
    """Image (x, y, z) and affine on a grid of at least ``spacing_mm``, smoothed first; finer axes only are changed."""
    factor = np.maximum(spacing_mm / np.array(images.spacing(affine)), 1.0)
    shape = np.maximum(np.ceil(np.array(voxels.shape) / factor).astype(int), 1)
    first = (np.array(voxels.shape) - 1) / 2 - (shape - 1) / 2 * factor
    smooth = ndimage.gaussian_filter(voxels, 0.42 * (factor - 1))  # half the width of the wider voxel, less the own one
    small = ndimage.affine_transform(smooth, np.diag(factor), first, tuple(shape), order=1, mode="nearest")
    step = np.diag([*factor, 1.0])
    step[:3, 3] = first
    return small.astype(np.float32), affine @ step


def mutual_information(one: np.ndarray, other: np.ndarray, mask: np.ndarray, bins: int = 32) -> float:
    """Mutual information in nats of two images (x, y, z) over a mask: sum p(a, b) ln(p(a, b) / (p(a) p(b)))."""
    a, b = (_bin(image[mask], bins) for image in (one, other))
    joint = np.bincount(a * bins + b, minlength=bins * bins).reshape(bins, bins) / max(len(a), 1)
    independent = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    some = joint > 0
    return float((joint[some] * np.log(joint[some] / independent[some])).sum())


def _bin(values: np.ndarray, bins: int) -> np.ndarray:
    """Bin numbers between the 1st and the 99th percentile: a few bright voxels must not take all bins."""
    if not values.size:
        return np.zeros(0, dtype=int)
    low, high = np.percentile(values, (1, 99))
    return np.clip((values - low) / max(high - low, 1e-9) * bins, 0, bins - 1).astype(int)


def apply(fixed: ants.ANTsImage, moving: ants.ANTsImage, transforms: list[str]) -> np.ndarray:
    """The moving image (x, y, z) on the fixed grid, linear; 0 where it has no data."""
    return ants.apply_transforms(fixed, moving, transforms, interpolator="linear").numpy()


def overlap_metric(
    fixed: ants.ANTsImage, moving: ants.ANTsImage, transforms: list[str], mask: np.ndarray
) -> tuple[float, np.ndarray]:
    """Mutual information (nats) over the part of the mask where the moved image has data, and that part (x, y, z).

    Minus infinity where that is less than ``MIN_OVERLAP`` of the mask: two images fit best where they hardly meet.
    """
    lifted = moving - moving.min() + 1  # so that 0 means: no data here
    moved = apply(fixed, lifted, transforms)
    shared = mask & (moved > 0.5)
    if shared.sum() < MIN_OVERLAP * mask.sum() or not shared.any():
        return -np.inf, shared
    return mutual_information(fixed.numpy(), moved, shared), shared


def align(
    fixed: ants.ANTsImage,
    moving: ants.ANTsImage,
    mask: np.ndarray,
    *,
    starts_mm: Iterable[tuple[float, float, float]],
    stages: tuple[Transform, ...],
    seed: int,
    prefix: Path,
) -> Alignment:
    """The best linear transform from several shifts at the start.

    Args:
        fixed: the coarse image that gives the space.
        moving: the coarse image to move.
        mask: where the metric is taken, on the fixed grid.
        starts_mm: shifts (x, y, z in RAS+) of the moving image to start from.
        stages: linear transforms, one after the other.
        seed: of ANTs' sampling.
        prefix: start of the names of all files written.
    """

    def scored(path: str) -> Alignment:
        return Alignment(path, overlap_metric(fixed, moving, [path], mask)[0])

    shifts = [scored(write_shift(start, Path(f"{prefix}start{k}.mat"))) for k, start in enumerate(starts_mm)]
    first = max(shifts, key=lambda start: start.metric)
    path = first.path
    for stage in stages:
        path = _optimise(fixed, moving, path, stage, seed, f"{path.removesuffix('.mat')}{stage}")
    return max(first, scored(path), key=lambda result: result.metric)


def _optimise(
    fixed: ants.ANTsImage, moving: ants.ANTsImage, start: str, stage: Transform, seed: int, prefix: str
) -> str:
    """One linear stage of ANTs with Mattes' mutual information; the path of the transform."""
    images.seed_ants(seed)
    result = ants.registration(
        fixed,
        moving,
        {"rigid": "Rigid", "affine": "Affine"}[stage],
        initial_transform=start,
        outprefix=prefix,
        aff_iterations=ITERATIONS[stage],
        **LEVELS,
    )
    return result["fwdtransforms"][0]


def write_shift(shift_mm: tuple[float, float, float], path: Path) -> str:
    """Write a translation that moves the moving image by ``shift_mm`` (RAS+); the path as text."""
    x, y, z = shift_mm
    points = (x, y, -z)  # ANTs maps fixed points to moving points, the other way, and in LPS axes
    ants.write_transform(ants.create_ants_transform("AffineTransform", translation=points), str(path))
    return str(path)
