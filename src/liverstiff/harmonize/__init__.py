"""Harmonisation: the coil's bias field removed, intensities on one scale, diffusion reduced to ADC and one b-value.

Nothing here is fitted to a cohort: nothing leaks between patients, and an unknown scanner is treated like the others.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from liverstiff import images
from liverstiff.config import HarmonizeConfig
from liverstiff.errors import ExamExcluded
from liverstiff.harmonize.diffusion import average_repeats, b_values_for_adc, fit_adc, noise_sigma, read_bvals
from liverstiff.harmonize.intensity import body_mask, standardise
from liverstiff.records import Exam, Reason
from liverstiff.shards import map_exams


def harmonize_shard(*, converted: Path, folder: Path, settings: HarmonizeConfig, workers: int = 1) -> None:
    """Harmonise every exam of a shard.

    Args:
        converted: shard folder of the stage ``convert``.
        folder: shard folder to make: ``T1w``, ``T2w``, ``DWI``, ``ADC`` (mm2/s), ``desc-body_mask``, ``measures.csv``.
        settings: the section ``harmonize`` of the config.
        workers: processes.

    Exams are excluded with ``missing_sequence`` (no T1w), ``unreadable_image`` or ``implausible_image``.
    """
    map_exams(
        harmonize_exam,
        Path(converted),
        Path(folder),
        stage="harmonize",
        workers=workers,
        converted=Path(converted),
        settings=settings,
    )


def harmonize_exam(exam: Exam, folder: Path, *, converted: Path, settings: HarmonizeConfig) -> dict[str, Any]:
    """Harmonise one exam; the measures say which sequences it has and which b-values were used."""
    if not exam.path(converted, "T1w", datatype="anat").exists():
        raise ExamExcluded(Reason.MISSING_SEQUENCE, "no T1w was converted; the others are brought onto its grid")
    measures: dict[str, Any] = {}
    for name in ("T1w", "T2w"):
        source = exam.path(converted, name, datatype="anat")
        measures[name.lower()] = source.exists()
        if source.exists():
            voxels, affine = read_plausible(source, name)
            corrected, mask, measures[f"{name.lower()}_scale"] = standardise(voxels, affine, settings.bias_spacing_mm)
            images.save(exam.path(folder, name), corrected, affine)
            if name == "T1w":
                images.save(exam.path(folder, "desc-body_mask"), mask.astype(np.uint8), affine)
    source = exam.path(converted, "dwi", datatype="dwi")
    measures["dwi"] = source.exists()
    if source.exists():
        measures |= _harmonize_diffusion(exam, folder, source, settings)
    return measures


def _harmonize_diffusion(exam: Exam, folder: Path, source: Path, settings: HarmonizeConfig) -> dict[str, Any]:
    """Write ``DWI`` and ``ADC`` of an exam; return its measures."""
    voxels, affine = read_plausible(source, "DWI", dimensions=4)
    bvals = read_bvals(source.with_name(source.name.replace(".nii.gz", ".bval")), voxels.shape[3])
    signals, b = average_repeats(voxels, bvals)
    if len(b) < 2:
        raise ExamExcluded(Reason.IMPLAUSIBLE_IMAGE, f"DWI has one b-value, {b[0]:g}; ADC needs two; check its header")
    mask = body_mask(signals[..., 0], affine, settings.bias_spacing_mm)
    sigma = noise_sigma(signals[..., -1], mask)
    used = b_values_for_adc(b, settings.adc_min_b)
    adc, s0 = fit_adc(signals[..., used], b[used], sigma)
    standard = s0 * np.exp(-settings.standard_b * adc)
    corrected, _, scale = standardise(standard, affine, settings.bias_spacing_mm, mask)
    images.save(exam.path(folder, "DWI"), corrected, affine)
    images.save(exam.path(folder, "ADC"), np.where(mask, adc, 0).astype(np.float32), affine)
    return {
        "b_values": " ".join(f"{value:.0f}" for value in b),
        "adc_b_values": " ".join(f"{value:.0f}" for value in b[used]),
        "dwi_scale": scale,
        "dwi_noise": sigma,
        "adc_median": float(np.median(adc[mask])),
    }


def read_plausible(path: Path, name: str, dimensions: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Voxels and affine of an image that can be one.

    Raises:
        ExamExcluded: ``unreadable_image``; ``implausible_image`` if it has the wrong number of dimensions, fewer than
            three slices, values that are not finite, or no contrast.
    """
    try:
        voxels, affine = images.load(path)
    except images.UNREADABLE as error:
        raise ExamExcluded(Reason.UNREADABLE, f"{name}: {type(error).__name__}; convert this series again") from error
    voxels = voxels[..., 0] if dimensions == 3 and voxels.shape[3:] == (1,) else voxels
    voxels = voxels[..., None] if dimensions == 4 and voxels.ndim == 3 else voxels
    fault = implausible(voxels, dimensions)
    if fault:
        raise ExamExcluded(Reason.IMPLAUSIBLE_IMAGE, f"{name} {fault}; look at this series and its conversion")
    return voxels, affine


def implausible(voxels: np.ndarray, dimensions: int) -> str:
    """What is wrong with an image (x, y, z[, volume]); empty if nothing is."""
    if voxels.ndim != dimensions:
        return f"has {voxels.ndim} dimensions, expected {dimensions}"
    if min(voxels.shape[:3]) < 3:
        return f"has {voxels.shape[:3]} voxels, expected at least 3 along each axis"
    if not np.isfinite(voxels).all():
        return "has values that are not finite"
    volumes = voxels.reshape(-1, voxels.shape[3] if dimensions == 4 else 1)
    if (volumes.max(axis=0) <= 0).any() or (volumes.max(axis=0) == volumes.min(axis=0)).any():
        return "is empty: all its values are equal or none is positive"
    return ""
