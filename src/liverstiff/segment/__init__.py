"""Segmentation: liver and spleen of every exam, by the methods of the config, each mask with a predicted quality."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from liverstiff import images
from liverstiff.config import SegmentConfig
from liverstiff.errors import DataError, ExamExcluded
from liverstiff.intensity import body_mask, standardise
from liverstiff.records import Exam, Reason
from liverstiff.segment.labelled import labelled_pairs
from liverstiff.segment.methods import METHODS, Case, Sources
from liverstiff.segment.organs import Opinion, Segmentation, body_box, implausible, segmentation
from liverstiff.segment.overlay import overlay_png
from liverstiff.shards import map_exams

__all__ = ["Case", "Opinion", "Segmentation", "Sources", "segment_image", "segment_shard", "segment_voxels"]

CT_VALUE, CT_SHARE = -500.0, 0.02
"""An image of which more than this share lies below this value is in Hounsfield units: no MR image has such values."""

SHOWN = 0.5
"""Of the frame's voxels that a registered sequence must have data in to be segmented."""


def segment_shard(
    *,
    registered: Path,
    folder: Path,
    settings: SegmentConfig,
    atlases: Path | None = None,
    network: Path | None = None,
    masks: Path | None = None,
    workers: int = 1,
) -> None:
    """Segment every exam of a shard.

    Args:
        registered: shard folder of the stage ``register``.
        folder: shard folder to make: ``space-frame_mask`` (1 liver, 2 spleen), ``desc-overlay.png``, ``measures.csv``
            (``liver_ml, spleen_ml, cut_off, quality, method, sequences``).
        settings: the section ``segment`` of the config.
        atlases: folder of ``image_<n>.nii.gz`` and ``label_<n>.nii.gz``, for the method ``atlas``.
        network: folder of the trained network, for ``network``.
        masks: folder of the user's ``<exam>.nii.gz``, for ``masks``.
        workers: processes.

    Exams are excluded with ``segmentation_failed``, or ``missing_sequence`` when they have none that is segmented.

    Raises:
        DataError: when a method's sources cannot be used.
    """
    sources = Sources(*(Path(path) if path else None for path in (atlases, network, masks)))
    _ready(sources, settings)
    map_exams(
        segment_exam,
        Path(registered),
        Path(folder),
        stage="segment",
        workers=workers,
        inputs=[path for path in (atlases, network, masks) if path],
        registered=Path(registered),
        sources=sources,
        settings=settings,
    )


def _ready(sources: Sources, settings: SegmentConfig) -> None:
    """Read what every exam needs once, before the workers start: a faulty folder stops the job at once."""
    if "network" in settings.methods:
        from liverstiff.segment.network import load_network

        load_network(sources.network or Path())
    if "atlas" in settings.methods:
        from liverstiff.segment.atlas import read_atlas

        for pair in labelled_pairs(sources.atlases or Path()):
            read_atlas(*pair, settings.liver_label, settings.spleen_label)


def segment_exam(
    exam: Exam, folder: Path, *, registered: Path, sources: Sources, settings: SegmentConfig
) -> dict[str, Any]:
    """Segment one exam; volumes, quality and what was done are its measures."""
    frame, affine = images.load(exam.frame(registered))
    shown = {}
    for sequence in settings.sequences:
        path = exam.path(registered, f"space-frame_{sequence}")
        if path.exists():
            voxels = images.load(path)[0]
            if (voxels != 0).sum() >= SHOWN * (frame != 0).sum():
                shown[sequence] = Case(voxels, affine, exam.exam)
    if not shown:
        wanted = " or ".join(settings.sequences)
        raise ExamExcluded(Reason.MISSING_SEQUENCE, f"has no {wanted}, which segment.sequences names")
    found = segment_cases(list(shown.values()), sources, settings)
    images.save(exam.path(folder, "space-frame_mask"), found.mask, affine)
    exam.path(folder, "desc-overlay", ".png").write_bytes(overlay_png(frame, found.mask, affine))
    measures = {name: value for name, value in asdict(found).items() if name != "mask"}
    return {**measures, "sequences": " ".join(shown)}


def segment_image(
    image: Path, out: Path, settings: SegmentConfig, sources: Sources, picture: Path | None = None
) -> Segmentation:
    """Segment one NIfTI of any sequence that the labelled volumes show, and write the mask, and a picture if asked.

    Raises:
        DataError: for an image or sources that cannot be used, or a result that is no liver; the sentence says why.
    """
    try:
        voxels, affine = images.load(image)
    except images.UNREADABLE as error:
        raise DataError(f"{image}: {type(error).__name__}; expected a NIfTI image; give another file") from error
    fault = _no_mr_volume(voxels)
    if fault:
        raise DataError(f"{image}: {fault}; give a volume of MR")
    try:
        voxels = np.nan_to_num(voxels, nan=0, posinf=0, neginf=0)
        found = segment_cases([Case(standardise(voxels, affine)[0], affine)], sources, settings)
    except ExamExcluded as excluded:
        raise DataError(f"{image}: {excluded.detail}") from excluded
    images.save(out, found.mask, affine)
    if picture:
        picture.write_bytes(overlay_png(voxels, found.mask, affine))
    return found


def _no_mr_volume(voxels: np.ndarray) -> str:
    """Why an image cannot be segmented at all; empty when it can."""
    if voxels.ndim != 3 or min(voxels.shape) < 3:
        return f"{' x '.join(map(str, voxels.shape))} voxels are no volume"
    if not np.nan_to_num(voxels).max() > 0:
        return "the image is empty"
    if (voxels < CT_VALUE).mean() > CT_SHARE:
        return "values far below zero are Hounsfield units: this is computed tomography"
    return ""


def segment_voxels(voxels: np.ndarray, affine: np.ndarray, sources: Sources, settings: SegmentConfig) -> Segmentation:
    """Liver and spleen of a harmonised image (x, y, z) in RAS+ axes; see :func:`segment_cases`."""
    return segment_cases([Case(voxels, affine)], sources, settings)


def segment_cases(cases: list[Case], sources: Sources, settings: SegmentConfig) -> Segmentation:
    """The first method's mask that is plausible and good enough; several images of one grid are fused.

    Raises:
        ExamExcluded: ``segmentation_failed`` when no method's mask is; the detail says what each came to.
    """
    whole = cases[0]
    box = body_box(body_mask(whole.voxels, whole.affine), whole.affine)
    near = [case.inside(box) for case in cases]
    tried = []
    for name in settings.methods:
        try:
            opinion = fuse_opinions([METHODS[name](case, sources, settings) for case in near])
        except ExamExcluded as excluded:
            tried.append(f"{name}: {excluded.detail}")
            continue
        found = segmentation(opinion, near[0].affine, name)
        fault = implausible(found, near[0].affine, settings)
        if not fault and found.quality < settings.least_quality:
            fault = f"predicted quality {found.quality:.2f}, below {settings.least_quality:g}"
        if not fault:
            mask = np.zeros(whole.voxels.shape, np.uint8)
            mask[box] = found.mask
            return replace(found, mask=mask)
        tried.append(f"{name}: {fault}")
    raise ExamExcluded(Reason.SEGMENTATION_FAILED, f"{'; '.join(tried)}; look at the images")


def fuse_opinions(opinions: list[Opinion]) -> Opinion:
    """One opinion of several about the same patient, each weighted by the fourth power of its quality."""
    if len(opinions) == 1:
        return opinions[0]
    weights = np.array([max(one.quality, 0.01) ** 4 for one in opinions])
    weights /= weights.sum()
    organs = sum(weight * one.organs for weight, one in zip(weights, opinions, strict=True))
    return Opinion(np.asarray(organs, np.float32), float(weights @ [one.quality for one in opinions]))
