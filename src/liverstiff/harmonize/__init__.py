"""Harmonisation: the coil's bias field removed, intensities on one scale, diffusion reduced to ADC and one b-value.

Nothing here is fitted to a cohort: nothing leaks between patients, and an unknown scanner is treated like the others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from liverstiff import images
from liverstiff.config import HarmonizeConfig
from liverstiff.errors import ExamExcluded
from liverstiff.harmonize.diffusion import (
    average_repeats,
    b_values_for_adc,
    fit_adc,
    noise_sigma,
    plain_adc,
    read_bvals,
)
from liverstiff.harmonize.faults import Fault, SequenceFault, as_fault, check_body, read_plausible
from liverstiff.harmonize.features import columns, intensity_features, percentiles
from liverstiff.harmonize.muscle import find_muscle
from liverstiff.intensity import body_mask, body_median, without_bias
from liverstiff.records import SEQUENCES, Exam, Reason
from liverstiff.shards import map_exams

SOURCES = {"T1w": ("anat", "T1w"), "T2w": ("anat", "T2w"), "DWI": ("dwi", "dwi")}
"""BIDS data type and suffix of each sequence."""


@dataclass(frozen=True)
class Harmonised:
    """One sequence after harmonisation."""

    channels: dict[str, np.ndarray]
    """Images (x, y, z) by the name under which they are written."""
    affine: np.ndarray
    """4x4, RAS+ mm, of all of them."""
    body: np.ndarray
    """Body mask (x, y, z)."""
    measures: dict[str, Any]
    """Columns of ``measures.csv``."""


def harmonize_shard(
    *,
    converted: Path,
    folder: Path,
    settings: HarmonizeConfig,
    required: tuple[str, ...] = ("T1w",),
    workers: int = 1,
) -> None:
    """Harmonise every exam of a shard.

    Args:
        converted: shard folder of the stage ``convert``.
        folder: shard folder to make: ``T1w``, ``T2w``, ``DWI``, ``ADC`` (mm2/s), ``desc-body_mask`` of the frame,
            ``measures.csv``.
        settings: the section ``harmonize`` of the config.
        required: sequences whose fault excludes the exam; a fault of another costs that sequence alone.
        workers: processes.

    Exams are excluded with ``missing_sequence``, ``unreadable_image`` or ``implausible_image``.
    """
    map_exams(
        harmonize_exam,
        Path(converted),
        Path(folder),
        stage="harmonize",
        workers=workers,
        converted=Path(converted),
        settings=settings,
        required=tuple(required),
    )


def harmonize_exam(
    exam: Exam, folder: Path, *, converted: Path, settings: HarmonizeConfig, required: tuple[str, ...] = ("T1w",)
) -> dict[str, Any]:
    """Harmonise one exam.

    Returns:
        Of each sequence whether it is there, its fault (empty where it has none), scale, reference and features; the
        ``frame`` (the first of T1w, T2w, DWI that is there: the space of the others); and the notes.

    Raises:
        ExamExcluded: when a required sequence is faulty, or no sequence is left.
    """
    measures: dict[str, Any] = {"frame": ""}
    faults: dict[str, SequenceFault] = {}
    for sequence in SEQUENCES:
        name, source = sequence.lower(), _source(exam, converted, sequence)
        found: dict[str, Any] = {name: False, f"{name}_fault": ""}
        if source.exists():
            try:
                harmonised = _HARMONISE[sequence](source, settings)
                found |= {name: True} | harmonised.measures
                measures["frame"] = measures["frame"] or sequence
                _save(exam, folder, harmonised, is_frame=measures["frame"] == sequence)
            except SequenceFault as fault:
                faults[sequence] = fault
                found[f"{name}_fault"] = str(fault.fault)
        measures |= found
    _exclude(faults, required, nothing_left=not measures["frame"])
    return measures | {"notes": _notes(faults)}


def _source(exam: Exam, converted: Path, sequence: str) -> Path:
    datatype, suffix = SOURCES[sequence]
    return exam.path(converted, suffix, datatype=datatype)


def _save(exam: Exam, folder: Path, harmonised: Harmonised, *, is_frame: bool) -> None:
    for channel, voxels in harmonised.channels.items():
        images.save(exam.path(folder, channel), voxels, harmonised.affine)
    if is_frame:
        images.save(exam.path(folder, "desc-body_mask"), harmonised.body.astype(np.uint8), harmonised.affine)


def _exclude(faults: dict[str, SequenceFault], required: tuple[str, ...], *, nothing_left: bool) -> None:
    """Exclude an exam that lost a sequence it needs, or all."""
    for sequence, fault in faults.items():
        if sequence in required:
            raise ExamExcluded(fault.reason, f"{sequence} ({fault.fault}): {fault.detail}")
    if nothing_left and faults:
        raise ExamExcluded(next(iter(faults.values())).reason, f"no sequence is left: {_notes(faults)}")
    if nothing_left:
        raise ExamExcluded(Reason.MISSING_SEQUENCE, "none of T1w, T2w and DWI was converted; look at the catalog")


def _notes(faults: dict[str, SequenceFault]) -> str:
    return "; ".join(f"{sequence}: {fault.detail}" for sequence, fault in faults.items())


def _harmonise_anatomy(source: Path, settings: HarmonizeConfig, sequence: str) -> Harmonised:
    """T1w or T2w."""
    voxels, affine, cleaned = read_plausible(source, 3, settings.most_not_finite)
    mask = body_mask(voxels, affine)
    check_body(voxels, mask)
    sigma = noise_sigma(voxels, mask)
    before = columns(sequence, "before", intensity_features(voxels[mask], sigma))
    scaled, measures = _on_scale(voxels, affine, mask, settings, sequence, sigma)
    return Harmonised({sequence: scaled}, affine, mask, _counted(sequence, cleaned) | measures | before)


def _harmonise_diffusion(source: Path, settings: HarmonizeConfig) -> Harmonised:
    """``DWI`` at the standard b-value, and ``ADC``."""
    voxels, affine, cleaned = read_plausible(source, 4, settings.most_not_finite)
    bvals = read_bvals(source.with_name(source.name.replace(".nii.gz", ".bval")), len(voxels))
    highest = voxels[np.argmax(bvals)].copy()
    signals, b, repeats = average_repeats(voxels, bvals)
    del voxels  # the largest array of the stage
    if len(b) < 2:
        raise SequenceFault(Fault.ONE_B_VALUE, f"has one b-value, {b[0]:g}; ADC needs two; check its header")
    mask = body_mask(signals[0], affine)
    check_body(signals[0], mask)
    sigma = noise_sigma(highest, mask)
    before = columns("DWI", "before", intensity_features(signals[0][mask], sigma))
    before |= columns("ADC", "before", percentiles(plain_adc(signals[0][mask], signals[-1][mask], b[-1] - b[0])))
    used = b_values_for_adc(b, settings.adc_min_b)
    adc, s0 = fit_adc(signals[used], b[used], sigma, repeats[used])
    del signals
    np.multiply(s0, np.exp(np.float32(-settings.standard_b) * adc), out=s0)
    scaled, measures = _on_scale(s0, affine, mask, settings, "DWI", sigma)
    adc[~mask] = 0
    measures |= {
        "b_values": " ".join(f"{value:.0f}" for value in b),
        "adc_b_values": " ".join(f"{value:.0f}" for value in b[used]),
        "dwi_noise": sigma,
        "adc_median": float(np.median(adc[mask])),
    }
    measures |= before | columns("ADC", "after", percentiles(adc[mask]))
    return Harmonised({"DWI": scaled, "ADC": adc}, affine, mask, _counted("DWI", cleaned) | measures)


_HARMONISE: dict[str, Callable[[Path, HarmonizeConfig], Harmonised]] = {
    "T1w": lambda source, settings: _harmonise_anatomy(source, settings, "T1w"),
    "T2w": lambda source, settings: _harmonise_anatomy(source, settings, "T2w"),
    "DWI": _harmonise_diffusion,
}


def _counted(sequence: str, cleaned: dict[str, int]) -> dict[str, int]:
    return {f"{sequence.lower()}_{name}": count for name, count in cleaned.items()}


def _on_scale(
    voxels: np.ndarray, affine: np.ndarray, mask: np.ndarray, settings: HarmonizeConfig, sequence: str, sigma: float
) -> tuple[np.ndarray, dict[str, Any]]:
    """Image (x, y, z) without bias field and divided by its reference; the reference, its value, and the features."""
    try:
        corrected = without_bias(voxels, affine, mask, settings.bias_spacing_mm)
        scale, measures = body_median(corrected, mask), {"reference": "body"}
    except ExamExcluded as error:
        raise as_fault(error) from None
    if settings.reference == "muscle":
        muscle = find_muscle(corrected, mask, affine)
        if muscle is not None:
            scale, measures["reference"] = muscle, "muscle"
        elif settings.no_muscle == "leave_out":
            raise SequenceFault(Fault.NO_MUSCLE, "no paraspinal muscle was found with confidence; look at this series")
    corrected /= np.float32(scale)
    features = columns(sequence, "after", intensity_features(corrected[mask], sigma / scale))
    named = {f"{sequence.lower()}_{name}": value for name, value in {**measures, "scale": scale}.items()}
    return corrected, named | features
