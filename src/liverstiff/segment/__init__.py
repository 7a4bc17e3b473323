"""Segmentation: liver and spleen by propagation of labelled atlases.

The atlases most similar to the exam are brought onto it, vote with weights that follow their local similarity, and the
vote is the prior of a last decision by intensity.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.filebasedimages import ImageFileError

from liverstiff import images
from liverstiff.config import SegmentConfig
from liverstiff.errors import DataError, ExamExcluded
from liverstiff.records import LIVER, SPLEEN, Exam, Reason
from liverstiff.segment.atlas import atlas_pairs, normalise, propagate
from liverstiff.segment.fusion import agreement, decide, fuse, largest_piece, refine
from liverstiff.segment.overlay import overlay_png
from liverstiff.shards import map_exams


@dataclass(frozen=True)
class Segmentation:
    """Liver and spleen of one image."""

    mask: np.ndarray
    """uint8 (x, y, z): 1 liver, 2 spleen."""
    liver_ml: float
    """Volume of the liver."""
    spleen_ml: float
    """Volume of the spleen; 0 where none was found."""
    agreement: float
    """Mean Dice between the livers of two propagated atlases: low where the atlases do not fit."""


def segment_shard(*, registered: Path, atlases: Path, folder: Path, settings: SegmentConfig, workers: int = 1) -> None:
    """Segment the T1w of every exam of a shard.

    Args:
        registered: shard folder of the stage ``register``.
        atlases: folder of ``image_<n>.nii.gz`` (T1w) and ``label_<n>.nii.gz``.
        folder: shard folder to make: ``space-frame_mask`` (1 liver, 2 spleen), ``desc-overlay.png``, ``measures.csv``.
        settings: the section ``segment`` of the config.
        workers: processes.

    Exams are excluded with ``segmentation_failed``.

    Raises:
        DataError: when the folder holds no pair of image and label.
    """
    atlas_pairs(Path(atlases))  # a faulty folder stops the job before any exam is tried
    map_exams(
        segment_exam,
        Path(registered),
        Path(folder),
        stage="segment",
        workers=workers,
        registered=Path(registered),
        atlases=Path(atlases),
        settings=settings,
    )


def segment_exam(
    exam: Exam, folder: Path, *, registered: Path, atlases: Path, settings: SegmentConfig
) -> dict[str, Any]:
    """Segment one exam; volumes and agreement are its measures."""
    voxels, affine = images.load(exam.frame(registered))
    found = segment_voxels(voxels, affine, atlases, settings)
    images.save(exam.path(folder, "space-frame_mask"), found.mask, affine)
    exam.path(folder, "desc-overlay", ".png").write_bytes(overlay_png(voxels, found.mask, affine))
    return {"liver_ml": found.liver_ml, "spleen_ml": found.spleen_ml, "agreement": found.agreement}


def segment_image(image: Path, atlases: Path, out: Path, settings: SegmentConfig) -> Segmentation:
    """Segment one NIfTI of any sequence that the atlases show, and write the mask (1 liver, 2 spleen) on its axes.

    Raises:
        DataError: for an image or atlases that cannot be used, or a result that is no liver; the sentence says why.
    """
    try:
        voxels, affine = images.load(image)
    except (OSError, EOFError, ValueError, ImageFileError) as error:
        raise DataError(f"{image}: {type(error).__name__}; expected a NIfTI image; give another file") from error
    try:
        found = segment_voxels(voxels, affine, atlases, settings)
    except ExamExcluded as fault:
        raise DataError(f"{image}: {fault.detail}") from fault
    images.save(out, found.mask, affine)
    return found


def segment_voxels(voxels: np.ndarray, affine: np.ndarray, atlases: Path, settings: SegmentConfig) -> Segmentation:
    """Liver and spleen of an image (x, y, z) in RAS+ axes.

    Raises:
        ExamExcluded: ``segmentation_failed`` when no organ results, the liver lies on the left, or its volume is
            outside ``settings.liver_ml``.
    """
    if voxels.ndim != 3 or min(voxels.shape) < 3 or not voxels.max() > 0:
        raise ExamExcluded(Reason.SEGMENTATION_FAILED, f"the image of {voxels.shape} voxels is no volume or is empty")
    try:
        with tempfile.TemporaryDirectory(prefix="liverstiff-segment-") as work:
            view = propagate(normalise(voxels), affine, Path(atlases), settings, Path(work))
    except RuntimeError as error:  # so ITK reports images that it cannot bring together
        raise ExamExcluded(Reason.SEGMENTATION_FAILED, f"ANTs stopped: {error}; look at the image") from error
    priors = fuse(view)
    labels = decide(refine(view.image, priors, view.affine), view, voxels.shape, affine)
    mask = np.zeros(voxels.shape, np.uint8)
    for label in (LIVER, SPLEEN):
        mask[largest_piece(labels == label)] = label
    ml = images.voxel_ml(affine)
    found = Segmentation(
        mask,
        float((mask == LIVER).sum() * ml),
        float((mask == SPLEEN).sum() * ml),
        agreement([one[0] > 0.5 for one in view.labels]),
    )
    fault = implausible(found, affine, settings.liver_ml)
    if fault:
        raise ExamExcluded(Reason.SEGMENTATION_FAILED, f"{fault}; look at the T1w and at the atlases")
    return found


def implausible(found: Segmentation, affine: np.ndarray, liver_ml: tuple[float, float]) -> str:
    """What is wrong with a segmentation; empty if nothing is."""
    low, high = liver_ml
    if not low <= found.liver_ml <= high:
        return f"the liver has {found.liver_ml:.0f} ml, expected {low:g} to {high:g} ml"
    x = images.grid(affine, found.mask.shape)[..., 0]
    liver = x[found.mask == LIVER].mean()
    if found.spleen_ml > 0 and liver <= x[found.mask == SPLEEN].mean():
        return "the liver lies left of the spleen"
    if liver <= (x.min() + x.max()) / 2:
        return "the liver lies on the left"
    return ""
