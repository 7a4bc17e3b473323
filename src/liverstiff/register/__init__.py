"""Registration: all sequences of an exam brought onto the grid of one, the frame.

The frame is T1w, or without it T2w, or DWI. Between two sequences the patient breathes, which moves the liver up to
20 mm along the body, and echo-planar images are distorted along their direction of phase encoding. A motion is used
only where it fits better than the scanner's own geometry.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from liverstiff import images
from liverstiff.config import RegisterConfig
from liverstiff.errors import ExamExcluded
from liverstiff.records import SEQUENCES, Exam, Reason
from liverstiff.register.checkerboard import Row, checkerboard_png
from liverstiff.register.fit import Fit, Volume, fit_sequence
from liverstiff.register.resample import onto_frame
from liverstiff.shards import map_exams

__all__ = ["Fit", "Volume", "bending_axes", "fit_sequence", "register_exam", "register_shard"]

MOVED_ALONG = {"T1w": ("T1w",), "T2w": ("T2w",), "DWI": ("DWI", "ADC")}
"""Channels that are one acquisition and so move together."""


def register_shard(*, harmonized: Path, folder: Path, settings: RegisterConfig, workers: int = 1) -> None:
    """Bring every exam of a shard into the space of its frame.

    Args:
        harmonized: shard folder of the stage ``harmonize``.
        folder: shard folder to make: ``space-frame_<T1w, T2w, DWI, ADC>``, ``desc-checkerboard.png`` and
            ``measures.csv`` (``frame`` and, per sequence that was registered, the columns of :func:`_measures`).
        settings: the section ``register`` of the config.
        workers: processes.

    A sequence that cannot be registered is left out of its exam, the column ``<sequence>_fault`` says why. An exam is
    excluded with ``registration_failed`` when it has no image.
    """
    map_exams(
        register_exam,
        Path(harmonized),
        Path(folder),
        stage="register",
        workers=workers,
        harmonized=Path(harmonized),
        settings=settings,
    )


def register_exam(exam: Exam, folder: Path, *, harmonized: Path, settings: RegisterConfig) -> dict[str, Any]:
    """Register one exam; the figures of each sequence are its measures."""
    present = [name for name in SEQUENCES if exam.path(harmonized, name).exists()]
    if not present:
        raise ExamExcluded(Reason.REGISTRATION_FAILED, "harmonize left none of T1w, T2w and DWI; look at its log")
    frame = Volume(*images.load(exam.path(harmonized, present[0])))
    body = images.load(exam.path(harmonized, "desc-body_mask"))[0] > 0.5
    for channel in MOVED_ALONG[present[0]]:
        voxels = frame.voxels if channel == present[0] else images.load(exam.path(harmonized, channel))[0]
        images.save(exam.path(folder, f"space-frame_{channel}"), voxels, frame.affine)
    measures: dict[str, Any] = {"frame": present[0]}
    rows = []
    for name in present[1:]:
        moving = Volume(*images.load(exam.path(harmonized, name)))
        try:
            fit = fit_sequence(frame, body, moving, settings, bending_axes(name, moving.affine, settings))
        except ExamExcluded as fault:
            measures[f"{name.lower()}_fault"] = fault.detail
            continue
        _write(exam, folder, harmonized, name, frame, moving, fit)
        measures |= _measures(name.lower(), fit)
        rows.append(Row(moving, fit.motion))
    exam.path(folder, "desc-checkerboard", ".png").write_bytes(checkerboard_png(frame, body, rows))
    return measures


def _write(exam: Exam, folder: Path, harmonized: Path, name: str, frame: Volume, moving: Volume, fit: Fit) -> None:
    """A sequence's channels on the frame's grid."""
    others = [images.load(exam.path(harmonized, channel))[0] for channel in MOVED_ALONG[name][1:]]
    channels = onto_frame(fit.motion, frame.affine, frame.voxels.shape, [moving.voxels, *others], moving.affine)
    for channel, voxels in zip(MOVED_ALONG[name], channels, strict=True):
        images.save(exam.path(folder, f"space-frame_{channel}"), voxels, frame.affine)


def bending_axes(name: str, affine: np.ndarray, settings: RegisterConfig) -> np.ndarray:
    """Directions (axis, 3) in RAS+ in which a sequence with this affine may be bent.

    Echo-planar diffusion: along its phase encoding, which is the axis of its own grid that runs nearest to the stated
    direction, as the grid may be oblique. Other sequences: all directions.
    """
    if name not in settings.deformable:
        return np.zeros((0, 3))
    if name != "DWI":
        return np.eye(3)
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    wanted = {"right-left": 0, "anterior-posterior": 1}[settings.phase_axis]
    return axes[:, [int(np.argmax(np.abs(axes[wanted])))]].T


def _measures(name: str, fit: Fit) -> dict[str, Any]:
    """The columns of one sequence: metric (nats) before and after, what was done, and by how many mm."""
    x, y, z = fit.shift_mm
    return {
        f"{name}_metric_before": round(fit.metric_before, 6),
        f"{name}_metric_after": round(fit.metric_after, 6),
        f"{name}_kept": fit.kept,
        f"{name}_transform": fit.motion.name,
        f"{name}_shift_x_mm": round(float(x), 3),
        f"{name}_shift_y_mm": round(float(y), 3),
        f"{name}_shift_z_mm": round(float(z), 3),
        f"{name}_bend_mm": round(fit.bend_mm, 3),
    }
