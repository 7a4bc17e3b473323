"""The methods of segmentation behind one interface: an image in, an :class:`Opinion` out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage

from liverstiff import images
from liverstiff.config import SegmentConfig
from liverstiff.errors import ExamExcluded
from liverstiff.records import LIVER, SPLEEN, Reason
from liverstiff.segment.fusion import WHITE, dice, redraw
from liverstiff.segment.labelled import labelled_pairs
from liverstiff.segment.organs import Opinion


@dataclass(frozen=True)
class Sources:
    """What the methods stand on; each needs its own only."""

    atlases: Path | None = None
    """Folder of labelled volumes."""
    network: Path | None = None
    """Folder of the trained network."""
    masks: Path | None = None
    """Folder of the user's masks, ``<exam>.nii.gz``."""
    without: Path | None = None
    """An image that must not be its own atlas."""


@dataclass(frozen=True)
class Case:
    """An image to segment."""

    voxels: np.ndarray
    """(x, y, z) in RAS+ axes, in units of the body's median, 0 where there is no data."""
    affine: np.ndarray
    """4x4, RAS+ millimetres."""
    exam: str = ""
    """The exam's pseudonym; empty for an image of no exam."""

    def inside(self, box: tuple[slice, slice, slice]) -> Case:
        """The part of the image in a box."""
        moved = self.affine.copy()
        moved[:3, 3] += self.affine[:3, :3] @ [part.start or 0 for part in box]
        return Case(self.voxels[box], moved, self.exam)


Method = Callable[[Case, Sources, SegmentConfig], Opinion]
"""Raises :class:`ExamExcluded` with ``segmentation_failed`` when it has no opinion."""


def by_network(case: Case, sources: Sources, settings: SegmentConfig) -> Opinion:
    """The trained network."""
    from liverstiff.segment import network

    assert sources.network is not None
    return network.by_network(case.voxels, case.affine, sources.network)


def by_atlas(case: Case, sources: Sources, settings: SegmentConfig) -> Opinion:
    """The most similar labelled volumes, deformed onto the image."""
    from liverstiff.segment.atlas import by_votes

    assert sources.atlases is not None
    return by_votes(case.voxels, case.affine, labelled_pairs(sources.atlases, sources.without), settings)


def by_masks(case: Case, sources: Sources, settings: SegmentConfig) -> Opinion:
    """The user's own mask of this exam, on any grid."""
    assert sources.masks is not None
    path = sources.masks / f"{case.exam}.nii.gz"
    if not path.exists():
        raise ExamExcluded(Reason.SEGMENTATION_FAILED, "no mask of this exam was given")
    try:
        labels, affine = images.load(path)
    except images.UNREADABLE as error:
        raise ExamExcluded(Reason.SEGMENTATION_FAILED, f"the given mask: {type(error).__name__}") from error
    return drawn(labels, affine, case)


def by_totalsegmentator(case: Case, sources: Sources, settings: SegmentConfig) -> Opinion:
    """TotalSegmentator, task ``total_mr``, as its own program."""
    from liverstiff.segment.external import totalsegmentator

    assert settings.totalsegmentator is not None
    return drawn(*totalsegmentator(case.voxels, case.affine, settings.totalsegmentator), case)


def by_mrsegmentator(case: Case, sources: Sources, settings: SegmentConfig) -> Opinion:
    """MRSegmentator, as its own program."""
    from liverstiff.segment.external import mrsegmentator

    assert settings.mrsegmentator is not None
    return drawn(*mrsegmentator(case.voxels, case.affine, settings.mrsegmentator), case)


METHODS: dict[str, Method] = {
    "network": by_network,
    "atlas": by_atlas,
    "masks": by_masks,
    "totalsegmentator": by_totalsegmentator,
    "mrsegmentator": by_mrsegmentator,
}


def drawn(labels: np.ndarray, affine: np.ndarray, case: Case) -> Opinion:
    """A mask that has no probabilities: it is judged by how well the intensities would draw it anew."""
    masks = np.stack([on_grid(labels == label, affine, case) for label in (LIVER, SPLEEN)])
    liver = masks[0] >= 0.5
    return Opinion(masks, dice(liver, redraw(np.clip(case.voxels / WHITE, 0, 1), liver, case.affine)))


def on_grid(mask: np.ndarray, affine: np.ndarray, case: Case) -> np.ndarray:
    """A mask (x, y, z) of any grid as a share, 0 to 1, on the grid of the case."""
    back = np.linalg.inv(affine) @ case.affine
    if mask.shape == case.voxels.shape and np.allclose(back, np.eye(4), atol=1e-3):
        return mask.astype(np.float32)
    return ndimage.affine_transform(
        mask.astype(np.float32), back[:3, :3], back[:3, 3], output_shape=case.voxels.shape, order=1
    )
