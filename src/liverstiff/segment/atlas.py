"""Atlases: read, compared with an image, and brought onto it."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy import ndimage

from liverstiff import images
from liverstiff.alignment import Alignment, align, apply, coarse
from liverstiff.config import SegmentConfig
from liverstiff.errors import ExamExcluded
from liverstiff.records import Reason
from liverstiff.segment.fusion import fuse, refine
from liverstiff.segment.labelled import read_labelled
from liverstiff.segment.organs import Opinion
from liverstiff.segment.quality import expected_dice

import ants  # isort: skip  (after liverstiff.images, which sets the number of threads)

Pairs = list[tuple[Path, Path]]
"""Image and label of each labelled volume."""

SELECT_MM = 8.0
"""Grid on which atlases are aligned and compared."""

FUSION_MM = 2.5
"""Grid on which they vote, or the image's own grid where that is wider."""

BOX_MARGIN_MM = 25.0
"""Around the organs: what the deformation needs to see."""

SLIDES_MM = tuple((0.0, 0.0, float(z)) for z in range(-75, 76, 25))
"""Shifts along z that are tried: volumes cover different lengths of the abdomen."""

ITERATIONS = (40, 15)
"""Of the deformation, at half and at full resolution of its grid."""


@dataclass(frozen=True)
class Atlas:
    """A labelled volume."""

    image: np.ndarray
    """Intensities 0 to 1 (x, y, z)."""
    affine: np.ndarray
    """4x4, RAS+ millimetres."""
    liver: np.ndarray
    """float32 0 or 1 (x, y, z)."""
    spleen: np.ndarray
    """float32 0 or 1 (x, y, z)."""


@dataclass(frozen=True)
class View:
    """An image's box around the organs, and what the atlases say there."""

    image: np.ndarray
    """Intensities 0 to 1 (x, y, z)."""
    affine: np.ndarray
    """4x4, RAS+ millimetres, of the box."""
    warped: list[np.ndarray]
    """Each atlas's image on the box."""
    labels: list[np.ndarray]
    """Each atlas's liver and spleen on the box, 0 to 1 (organ, x, y, z)."""


@lru_cache(maxsize=64)
def read_atlas(image: Path, label: Path, liver_label: int, spleen_label: int) -> Atlas:
    """One labelled volume on the grid of the vote; kept, since every exam of a worker asks for it again.

    Raises:
        DataError: as :func:`read_labelled`.
    """
    voxels, labels, affine = read_labelled(image, label, liver_label)
    small, small_affine = coarse(normalise(voxels), affine, FUSION_MM)
    liver, spleen = (
        coarse((labels == number).astype(np.float32), affine, FUSION_MM)[0] for number in (liver_label, spleen_label)
    )
    return Atlas(small, small_affine, liver, spleen)


def normalise(voxels: np.ndarray) -> np.ndarray:
    """Intensities from 0 to 1, the 99th percentile of what is not air being 1."""
    some = voxels[voxels > 0]
    return np.clip(voxels / (np.percentile(some, 99) if some.size else 1.0), 0, 1).astype(np.float32)


def by_votes(voxels: np.ndarray, affine: np.ndarray, pairs: Pairs, settings: SegmentConfig) -> Opinion:
    """What the most similar labelled volumes say about an image (x, y, z).

    The votes are the prior of a last decision by intensity; the quality is the Dice that this decision expects.

    Raises:
        ExamExcluded: ``segmentation_failed`` when ANTs cannot bring the volumes and the image together.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="liverstiff-segment-") as work:
            view = propagate(normalise(voxels), affine, pairs, settings, Path(work))
    except RuntimeError as error:  # so ITK reports images that it cannot bring together
        raise ExamExcluded(Reason.SEGMENTATION_FAILED, f"ANTs stopped: {error}") from error
    votes = fuse(view.image, view.affine, view.warped, view.labels)
    organs = refine(view.image, votes, view.affine)
    return Opinion(_on_image(organs, view, voxels.shape, affine), expected_dice(organs[0], organs[0] >= 0.5))


def propagate(voxels: np.ndarray, affine: np.ndarray, pairs: Pairs, settings: SegmentConfig, work: Path) -> View:
    """Bring the most similar atlases onto an image (x, y, z) with intensities 0 to 1."""
    atlases = [read_atlas(image, label, settings.liver_label, settings.spleen_label) for image, label in pairs]
    fixed = images.to_ants(*coarse(voxels, affine, SELECT_MM))
    aligned = [_align_atlas(fixed, atlas, settings.seed, work / f"atlas{k}") for k, atlas in enumerate(atlases)]
    best = np.argsort([-one.metric for one in aligned], kind="stable")[: settings.atlas.select]
    low, high = _organ_box(fixed, [(atlases[k], aligned[k]) for k in best])
    box = images.to_ants(*coarse(*crop(voxels, affine, low, high), settings.atlas.spacing_mm))
    view, view_affine = coarse(*crop(voxels, affine, low, high), FUSION_MM)
    target = images.to_ants(view, view_affine)
    warped, labels = [], []
    for k in best:
        transforms = _deform(box, atlases[k], aligned[k].path, settings, work / f"deformed{k}")
        moved = [
            apply(target, images.to_ants(channel, atlases[k].affine), transforms)
            for channel in (atlases[k].image, atlases[k].liver, atlases[k].spleen)
        ]
        warped.append(moved[0])
        labels.append(np.stack(moved[1:]))
    return View(view, view_affine, warped, labels)


def _align_atlas(fixed: ants.ANTsImage, atlas: Atlas, seed: int, prefix: Path) -> Alignment:
    """Affine from the centres of mass and several shifts along z, on the coarse grid."""
    moving = images.to_ants(*coarse(atlas.image, atlas.affine, SELECT_MM))
    x, y, z = np.array(_centre(fixed)) - np.array(_centre(moving))
    starts = [(x + dx, y + dy, z + dz) for dx, dy, dz in SLIDES_MM]
    everywhere = np.ones(fixed.shape, dtype=bool)
    return align(fixed, moving, everywhere, starts_mm=starts, stages=("affine",), seed=seed, prefix=prefix)


def _centre(image: ants.ANTsImage) -> tuple[float, float, float]:
    """Centre of mass in RAS+ millimetres."""
    x, y, z = ants.get_center_of_mass(image)
    return -x, -y, z


def _organ_box(fixed: ants.ANTsImage, aligned: list[tuple[Atlas, Alignment]]) -> tuple[np.ndarray, np.ndarray]:
    """Corners (RAS+ mm) of a box around where the aligned atlases have liver or spleen."""
    organs = np.mean(
        [apply(fixed, images.to_ants(a.liver + a.spleen, a.affine), [one.path]) for a, one in aligned], axis=0
    )
    _, affine = images.from_ants(fixed)
    where = np.argwhere(organs > min(0.15, 0.5 * organs.max())) @ affine[:3, :3].T + affine[:3, 3]
    return where.min(axis=0) - BOX_MARGIN_MM, where.max(axis=0) + BOX_MARGIN_MM


def crop(voxels: np.ndarray, affine: np.ndarray, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The part of an image (x, y, z) between two corners (RAS+ mm), and its affine."""
    corners = np.array(np.meshgrid(*zip(low, high, strict=True))).reshape(3, -1)
    index = np.linalg.inv(affine)[:3] @ np.vstack([corners, np.ones(8)])
    first = np.clip(np.floor(index.min(axis=1)).astype(int), 0, np.array(voxels.shape) - 3)
    last = np.clip(np.ceil(index.max(axis=1)).astype(int) + 1, first + 3, voxels.shape)
    moved = affine.copy()
    moved[:3, 3] += affine[:3, :3] @ first
    return voxels[tuple(slice(a, b) for a, b in zip(first, last, strict=True))], moved


def _deform(box: ants.ANTsImage, atlas: Atlas, start: str, settings: SegmentConfig, prefix: Path) -> list[str]:
    """Transforms of an atlas onto the box, by ANTs from the affine one on."""
    images.seed_ants(settings.seed)
    result = ants.registration(
        box,
        images.to_ants(*coarse(atlas.image, atlas.affine, settings.atlas.spacing_mm)),
        settings.atlas.transform,
        initial_transform=start,
        outprefix=str(prefix),
        aff_iterations=(60, 20),
        aff_shrink_factors=(2, 1),
        aff_smoothing_sigmas=(1, 0),
        reg_iterations=ITERATIONS,
    )
    return list(result["fwdtransforms"])


def _on_image(organs: np.ndarray, view: View, shape: tuple[int, ...], affine: np.ndarray) -> np.ndarray:
    """Probabilities (organ, x, y, z) of the view on the grid of the image, 0 outside the view."""
    to_view = np.linalg.inv(view.affine) @ affine
    low = np.floor(np.linalg.inv(to_view)[:3, 3]).astype(int)
    high = np.linalg.inv(to_view)[:3] @ [*np.array(view.image.shape) - 1, 1]
    first = np.clip(low, 0, shape)
    last = np.clip(np.ceil(high).astype(int) + 1, first, shape)
    offset = to_view[:3, :3] @ first + to_view[:3, 3]
    out = np.zeros((len(organs), *shape), np.float32)
    box = tuple(slice(a, b) for a, b in zip(first, last, strict=True))
    for organ, on in zip(organs, out, strict=True):
        on[box] = ndimage.affine_transform(
            organ, np.diag(np.diag(to_view[:3, :3])), offset, tuple(last - first), order=1
        )
    return out
