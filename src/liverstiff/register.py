"""Registration: T2w and diffusion brought onto the T1w's grid.

Between two sequences the patient breathes, which moves the liver up to 20 mm along the body, and echo-planar images are
distorted. A transform is used only where it fits better than the scanner's own geometry.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from liverstiff import images
from liverstiff.alignment import Transform, align, apply, coarse, mutual_information, overlap_metric, write_shift
from liverstiff.config import RegisterConfig
from liverstiff.errors import ExamExcluded
from liverstiff.records import Exam, Reason
from liverstiff.shards import map_exams

import ants  # isort: skip  (after liverstiff.images, which sets the number of threads)

STARTS_MM = tuple((0.0, 0.0, float(z)) for z in (-24, -16, -8, 0, 8, 16, 24))
"""Shifts along the body from which the search starts."""

MAX_SHIFT_MM = 45.0
"""At the body's centre; beyond breathing and a patient's small movement a transform is a mistake."""

MAX_STRETCH = 1.2
"""Of any direction; the scanner's geometry is right within a few per cent, echo-planar distortion adds some."""

MIN_GAIN = 0.01
"""Relative gain of the metric below which the header's geometry stays."""


@dataclass(frozen=True)
class Fit:
    """What registration did to one sequence."""

    transforms: list[str]
    """ANTs transform files to apply; a zero shift where the header's geometry stays."""
    metric_before: float
    """Mutual information (nats) with T1w by the header's geometry, in the part of the body that both show."""
    metric_after: float
    """The same with the transform found."""
    kept: bool
    """True when the transform is used."""
    shift_mm: tuple[float, float, float]
    """By how much the found transform moves the body's centre (x, y, z in RAS+)."""


def register_shard(*, harmonized: Path, folder: Path, settings: RegisterConfig, workers: int = 1) -> None:
    """Bring every exam of a shard into T1w space.

    Args:
        harmonized: shard folder of the stage ``harmonize``.
        folder: shard folder to make: ``space-frame_T1w``, ``space-frame_T2w``, ``space-frame_DWI``,
            ``space-frame_ADC`` and ``measures.csv`` (``t2w_metric_before``, ``t2w_metric_after``, ``t2w_kept``, ``t2w_shift_z_mm``; dwi too).
        settings: the section ``register`` of the config.
        workers: processes.

    Exams are excluded with ``registration_failed``.
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
    voxels, affine = images.load(exam.path(harmonized, "T1w"))
    body = images.load(exam.path(harmonized, "desc-body_mask"))[0] > 0.5
    target = images.to_ants(voxels, affine)
    images.save(exam.path(folder, "space-frame_T1w"), voxels, affine)
    measures: dict[str, Any] = {}
    for name, moved_along in (("T2w", ("T2w",)), ("DWI", ("DWI", "ADC"))):
        source = exam.path(harmonized, name)
        if not source.exists():
            continue
        with tempfile.TemporaryDirectory(prefix="liverstiff-register-") as work:
            fit = fit_sequence(voxels, body, affine, *images.load(source), settings, Path(work))
            for channel in moved_along:
                moving = images.to_ants(*images.load(exam.path(harmonized, channel)))
                warped = np.asarray(apply(target, moving, fit.transforms), dtype=np.float32)
                images.save(exam.path(folder, f"space-frame_{channel}"), warped, affine)
        measures |= _measures(name.lower(), fit)
    return measures


def _measures(name: str, fit: Fit) -> dict[str, Any]:
    """The columns of one sequence."""
    return {
        f"{name}_metric_before": round(fit.metric_before, 6),
        f"{name}_metric_after": round(fit.metric_after, 6),
        f"{name}_kept": fit.kept,
        f"{name}_shift_z_mm": round(fit.shift_mm[2], 3),
    }


def fit_sequence(
    fixed: np.ndarray,
    body: np.ndarray,
    fixed_affine: np.ndarray,
    moving: np.ndarray,
    moving_affine: np.ndarray,
    settings: RegisterConfig,
    work: Path,
) -> Fit:
    """The transform of one sequence onto T1w.

    Args:
        fixed: T1w (x, y, z).
        body: body mask on its grid.
        fixed_affine: of both.
        moving: the other sequence on its own grid.
        moving_affine: of that.
        settings: grid of the search, rigid or affine, seed.
        work: an empty folder; the transforms stay there.

    Raises:
        ExamExcluded: ``registration_failed`` when the two images do not meet, or ANTs gives up.
    """
    small, small_affine = coarse(fixed, fixed_affine, settings.spacing_mm)
    inside = coarse(body.astype(np.float32), fixed_affine, settings.spacing_mm)[0] > 0.5
    target = images.to_ants(small, small_affine)
    mover = images.to_ants(*coarse(moving, moving_affine, settings.spacing_mm))
    header = [write_shift((0.0, 0.0, 0.0), work / "header.mat")]
    _, shown = overlap_metric(target, mover, header, inside)
    if not shown.any():
        raise ExamExcluded(Reason.REGISTRATION_FAILED, "T1w and the other images do not overlap; check their positions")
    stages: tuple[Transform, ...] = ("rigid",) if settings.transform == "rigid" else ("rigid", "affine")
    try:
        best = align(target, mover, inside, starts_mm=STARTS_MM, stages=stages, seed=settings.seed, prefix=work / "fit")
    except RuntimeError as error:
        raise ExamExcluded(Reason.REGISTRATION_FAILED, f"ANTs stopped: {error}; look at the images") from error
    found = [best.path]
    # both geometries are judged on the same voxels, those that show data either way
    shared = shown & overlap_metric(target, mover, found, inside)[1]
    before, after = (mutual_information(small, apply(target, mover, path), shared) for path in (header, found))
    matrix, shift = motion(best.path, images.grid(small_affine, small.shape)[inside].mean(axis=0))
    kept = after > before * (1 + MIN_GAIN) and plausible(matrix, shift)
    return Fit(found if kept else header, before, after, kept, shift)


def motion(transform: str, centre: np.ndarray) -> tuple[np.ndarray, tuple[float, float, float]]:
    """Matrix (3, 3) of an ANTs affine, and by how much it moves the image at ``centre`` (RAS+ mm)."""
    affine = ants.read_transform(transform)
    matrix = np.asarray(affine.parameters[:9]).reshape(3, 3)
    x, y, z = centre
    point = np.asarray(affine.apply_to_point((-x, -y, z)))
    dx, dy, dz = np.array([-x, -y, z]) - point  # the transform leads from the fixed to the moving image: turn it round
    return matrix, (float(-dx), float(-dy), float(dz))


def plausible(matrix: np.ndarray, shift_mm: tuple[float, float, float]) -> bool:
    """True for what breathing, small movement and echo-planar distortion can do."""
    stretch = np.linalg.svd(matrix, compute_uv=False)
    return bool(
        np.linalg.norm(shift_mm) <= MAX_SHIFT_MM and stretch.max() <= MAX_STRETCH and stretch.min() >= 1 / MAX_STRETCH
    )
