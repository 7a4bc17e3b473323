"""An elastogram in each vendor's units.

No elastography object was at hand: units are assumptions, chosen to differ. GE stores Pa as plain integers and a
second map that is 0 where it is not confident; Siemens stores Pa with a rescale slope per slice, its enhanced objects
also state kPa by a real-world value mapping; Philips states kPa by such a mapping and its rescale slope means nothing;
Canon stores Pa with one slope; UIH stores kPa and says so by RescaleType. Confidence is per mille, per cent or a share.
The frequency of the vibration stands in the comments.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from liverstiff.simulate import dialects
from liverstiff.simulate.dicom import Frame, as_stored, axial_frames
from liverstiff.simulate.elastogram import USUAL_HZ, Elastogram

PHILIPS_KPA_SLOPE, PHILIPS_RESCALE = 0.005, 2.0
"""kPa per stored unit by the real-world value mapping, and the meaningless rescale slope beside it."""
CANON_PA_SLOPE, UIH_KPA_SLOPE = 5.0, 0.005
UNSTATED_PA = 62.5
"""Pa per stored unit of a map whose scale nothing states: a liver of 1.3 to 18 kPa then is neither kPa nor Pa."""
OFFSETS = 4
"""Phase offsets of the vibration in raw and wave images."""

Stored = tuple[list[np.ndarray], list[dict[str, Any]]]
"""Integers of every slice (x, y, 1), and the attributes of each."""


def elastogram_frames(dialect: dialects.Dialect, role: str, mre: Elastogram, offsets: int = OFFSETS) -> list[Frame]:
    """One result of an elastogram as a vendor stores it.

    Args:
        dialect: whose units.
        role: ``magnitude``, ``phase``, ``wave``, ``stiffness``, ``masked``, ``confidence`` or ``colour``.
        mre: the elastogram.
        offsets: volumes of raw phase and wave images.
    """
    if role in ("phase", "wave"):
        volumes = [_placed(_vibration(mre, k / offsets), mre, k) for k in range(offsets)]
        return [frame for volume in volumes for frame in volume]
    if role == "colour":
        return [replace(frame, pixels=_colours(frame.pixels)) for frame in _placed(_slices(mre.stiffness), mre, 0)]
    stored, attributes = _stored(dialect, role, mre)
    return [replace(f, attributes=a) for f, a in zip(_placed(stored, mre, 0), attributes, strict=True)]


def elastogram_attributes(dialect: dialects.Dialect, mre: Elastogram) -> dict[str, Any]:
    """What all results state: some vendors the frequency of the vibration, all where it is not the usual one."""
    stated = dialects.VENDORS[dialect] in ("Siemens", "Philips") or mre.frequency_hz != USUAL_HZ
    return {"ImageComments": f"MRE {mre.frequency_hz:g} Hz"} if stated else {}


def _stored(dialect: dialects.Dialect, role: str, mre: Elastogram) -> Stored:
    """Integers and units of a magnitude, stiffness or confidence."""
    if role == "magnitude":
        return [as_stored(1000 * s, 4095) for s in _slices(mre.magnitude)], [{}] * len(mre.grids)
    if role == "confidence":
        return [as_stored(1000 * s, 1000) for s in _slices(mre.confidence)], [_CONFIDENCE[dialect]] * len(mre.grids)
    pascal = [1000 * s for s in _slices(mre.stiffness)]
    if mre.scale_stated:
        stored, attributes = _stiffness(dialect, pascal)
    else:
        stored, attributes = [as_stored(s / UNSTATED_PA, 4095) for s in pascal], [{}] * len(pascal)
    if role == "masked":
        confident = _slices(mre.confidence >= 0.95)
        stored = [s * c.astype(s.dtype) for s, c in zip(stored, confident, strict=True)]
    return stored, attributes


def _stiffness(dialect: dialects.Dialect, pascal: list[np.ndarray]) -> Stored:
    """Stiffness maps by the vendor's own statement of units."""
    vendor = dialects.VENDORS[dialect]
    if vendor == "GE":
        return [as_stored(s, 32767) for s in pascal], [{}] * len(pascal)
    if vendor == "Siemens":
        slopes = [round(float(s.max()) / 4000, 3) for s in pascal]
        kpa = {slope: dialects.kpa_mapping(slope / 1000, 4095) for slope in slopes} if dialect == "siemens-xa" else {}
        mapped = [{"RealWorldValueMappingSequence": kpa[slope]} if kpa else {} for slope in slopes]
        stored = [as_stored(s / slope, 4095) for s, slope in zip(pascal, slopes, strict=True)]
        return stored, [_rescale(slope, "Pa") | more for slope, more in zip(slopes, mapped, strict=True)]
    if vendor == "Philips":
        mapping = {"RealWorldValueMappingSequence": dialects.kpa_mapping(PHILIPS_KPA_SLOPE, 4095)}
        stated = _rescale(PHILIPS_RESCALE, "normalized") | mapping
        return [as_stored(s / 1000 / PHILIPS_KPA_SLOPE, 4095) for s in pascal], [stated] * len(pascal)
    if vendor == "Canon":
        return [as_stored(s / CANON_PA_SLOPE, 4095) for s in pascal], [_rescale(CANON_PA_SLOPE, "Pa")] * len(pascal)
    kilopascal = [as_stored(s / 1000 / UIH_KPA_SLOPE, 4095) for s in pascal]
    return kilopascal, [_rescale(UIH_KPA_SLOPE, "kPa")] * len(pascal)


def _rescale(slope: float, unit: str) -> dict[str, Any]:
    """The modality transformation of one image."""
    return {"RescaleIntercept": 0, "RescaleSlope": slope, "RescaleType": unit}


_CONFIDENCE: dict[dialects.Dialect, dict[str, Any]] = {
    "ge": {},
    "siemens": {},
    "siemens-xa": {},
    "philips": _rescale(0.1, "%"),
    "philips-enhanced": _rescale(0.1, "%"),
    "canon": _rescale(0.1, "%"),
    "canon-enhanced": _rescale(0.1, "%"),
    "uih": _rescale(0.001, "US"),
}


def _slices(volume: np.ndarray) -> list[np.ndarray]:
    """A volume as a list of one-slice volumes."""
    return [volume[:, :, k : k + 1] for k in range(volume.shape[2])]


def _placed(stored: Sequence[np.ndarray], mre: Elastogram, volume: int) -> list[Frame]:
    """Each slice at its own height."""
    frames = [axial_frames(image, grid)[0] for image, grid in zip(stored, mre.grids, strict=True)]
    return [replace(frame, volume=volume) for frame in frames]


def _vibration(mre: Elastogram, cycle: float) -> list[np.ndarray]:
    """A plane wave that runs to the left, at a share of its cycle, around 2048."""
    columns = np.arange(mre.magnitude.shape[0])[:, None, None] / 8
    wave = 2048 + 1000 * np.sin(2 * np.pi * (columns - cycle)) + 0 * mre.magnitude
    return [as_stored(s, 4095) for s in _slices(wave)]


def _colours(kpa: np.ndarray) -> np.ndarray:
    """Stiffness of 0 to 8 kPa from blue to red, (row, column, 3) uint8."""
    share = np.clip(kpa / 8, 0, 1)
    return (255 * np.stack([share, 1 - np.abs(2 * share - 1), 1 - share], axis=-1)).astype(np.uint8)
