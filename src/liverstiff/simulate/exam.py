"""The series of one exam: arrays of a scan in a vendor's words, units and order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from liverstiff.simulate import dialects, signal
from liverstiff.simulate.anatomy import Anatomy
from liverstiff.simulate.dicom import Frame, Series, as_stored, axial_frames
from liverstiff.simulate.elastogram import Elastogram
from liverstiff.simulate.population import Vendor
from liverstiff.simulate.scan import DWI_GRID, T1W_GRID, T2W_GRID, Protocol, Scan, scanner_adc
from liverstiff.simulate.shapes import ORIGIN_MM, SHAPE, STEP_MM

PHILIPS_KPA_SLOPE, PHILIPS_RESCALE = 0.005, 2.0
"""kPa per stored unit by the real-world value mapping, and the meaningless rescale slope beside it."""


@dataclass(frozen=True)
class Scanner:
    """A scanner and how it is set."""

    dialect: dialects.Dialect
    field_t: float

    @property
    def vendor(self) -> Vendor:
        """The vendor."""
        return dialects.VENDORS[self.dialect]

    @property
    def protocol(self) -> Protocol:
        """Sequence parameters."""
        return dialects.PROTOCOLS[self.vendor, self.field_t]

    @property
    def top(self) -> int:
        """Largest stored value."""
        return 32767 if self.vendor == "GE" else 4095


@dataclass(frozen=True)
class Acquired:
    """What an exam consists of before a vendor writes it down."""

    anatomy: Anatomy
    patient: Mapping[str, float]
    scan: Scan
    mre: Elastogram
    absent: str
    """``T2w``, ``DWI`` or empty: the sequence that was not acquired."""
    ge_offset: bool
    """The exam's b-values carry GE's 1,000,000,000."""


def exam_series(scanner: Scanner, exam: Acquired) -> list[Series]:
    """All series of an exam in the order of acquisition, as the scanner's vendor writes them."""
    top, vendor, scan = scanner.top, scanner.vendor, exam.scan
    found = {"localizer": localizer_frames(exam.anatomy, exam.patient, scanner)}
    if exam.absent != "T2w":
        found["t2w"] = axial_frames(as_stored(scan.t2w, top), T2W_GRID)
    if exam.absent != "DWI":
        found["dwi"] = trace_frames(scanner, scan.dwi, exam.ge_offset)
        if "adc" in dialects.SERIES[vendor]:
            found["adc"] = axial_frames(as_stored(scanner_adc(scan.dwi, scanner.protocol.b_values), top), DWI_GRID)
    found |= elastogram_frames(vendor, exam.mre)
    found["t1w"] = axial_frames(as_stored(scan.t1w, top), T1W_GRID)
    found["t1w_post"] = axial_frames(as_stored(scan.t1w_post, top), T1W_GRID)
    found["subtraction"] = axial_frames(as_stored(scan.t1w_post - scan.t1w, top), T1W_GRID)
    return [_series(scanner, kind, number, frames) for number, (kind, frames) in enumerate(found.items(), start=1)]


_SPACING = {"t2w": T2W_GRID.spacing, "dwi": DWI_GRID.spacing, "adc": DWI_GRID.spacing, "localizer": (*STEP_MM[:2], 8.0)}
_SPACING |= dict.fromkeys(("t1w", "t1w_post", "subtraction"), T1W_GRID.spacing)


def _series(scanner: Scanner, kind: str, number: int, frames: list[Frame]) -> Series:
    """Frames with the attributes that the vendor gives that kind of series."""
    text = dialects.SERIES[scanner.vendor][kind]
    x_mm, y_mm, z_mm = _SPACING.get(kind, (4.0, 4.0, 10.0))
    attributes: dict[str, Any] = {
        "SeriesDescription": text.description,
        "ProtocolName": text.description,
        "ImageType": list(text.image_type),
        "ScanningSequence": list(text.sequence),
        "SequenceVariant": list(text.variant),
        "ScanOptions": list(text.options),
        "MRAcquisitionType": text.acquisition,
        "EchoTrainLength": text.echo_train,
        "EchoNumbers": 1,
        "SliceThickness": z_mm,
        "SpacingBetweenSlices": z_mm,
        "AcquisitionNumber": 1,
        "InPlanePhaseEncodingDirection": "COL",
        "NumberOfAverages": 1,
    }
    attributes |= _timing(scanner.protocol, kind) | text.extra
    if kind in ("t1w_post", "subtraction"):
        attributes |= {"ContrastBolusAgent": "Gadobutrol", "ContrastBolusVolume": 7.5, "ContrastBolusRoute": "IV"}
    enhanced = kind == "dwi" and scanner.dialect == "philips-enhanced"
    if enhanced:
        attributes |= {
            "PulseSequenceName": "SE_EPI",
            "EchoPlanarPulseSequence": "YES",
            "AcquisitionContrast": "DIFFUSION",
        }
        attributes |= {"ImageType": ["ORIGINAL", "PRIMARY", "DIFFUSION", "NONE"]}
    return Series(number, frames, (y_mm, x_mm), attributes, enhanced=enhanced)


def _timing(protocol: Protocol, kind: str) -> dict[str, float]:
    """TR, TE in ms and flip angle in degrees of a kind of series."""
    tr, te, flip = protocol.t1_tr, protocol.t1_te, protocol.t1_flip
    if kind.startswith("mre"):
        tr, te, flip = 50.0, 20.0, 20.0
    elif kind in ("dwi", "adc"):
        tr, te, flip = protocol.dwi_tr, protocol.dwi_te, 90.0
    elif kind == "t2w":
        tr, te, flip = protocol.t2_tr, protocol.t2_te, 160.0
    elif kind == "localizer":
        tr, te, flip = 1100.0, 82.0, 150.0
    return {"RepetitionTime": tr, "EchoTime": te, "FlipAngle": flip}


def trace_frames(scanner: Scanner, volumes: np.ndarray, ge_offset: bool) -> list[Frame]:
    """Diffusion images (b, x, y, z) with their b-values, volume by volume or slice by slice as the protocol says."""
    vendor, protocol = scanner.vendor, scanner.protocol
    by_volume = []
    for index, (b, volume) in enumerate(zip(protocol.b_values, volumes, strict=True), start=1):
        attributes, private = dialects.b_value_elements(vendor, b, ge_offset)
        if scanner.dialect == "philips-enhanced":
            direction = "NONE" if b == 0 else "ISOTROPIC"
            attributes, private = (
                {"DiffusionBValue": float(b), "DiffusionDirectionality": direction, "b_index": index},
                (),
            )
        frames = axial_frames(as_stored(volume, scanner.top), DWI_GRID)
        by_volume.append([replace(frame, attributes=attributes, private=private) for frame in frames])
    if protocol.dwi_slice_major:
        return [frame for slices in zip(*by_volume, strict=True) for frame in slices]
    return [frame for volume in by_volume for frame in volume]


def elastogram_frames(vendor: Vendor, mre: Elastogram) -> dict[str, list[Frame]]:
    """Magnitude and maps in the vendor's units."""
    maps = {"mre_magnitude": [as_stored(1000 * s, 4095) for s in _slices(mre.magnitude)]}
    attributes: dict[str, list[dict[str, Any]]] = {}
    pascal = [1000 * s for s in _slices(mre.stiffness)]
    if vendor == "GE":
        maps["mre_stiffness"] = [as_stored(s, 32767) for s in pascal]
        confident = _slices(mre.confidence >= 0.95)
        maps["mre_masked"] = [s * c.astype(s.dtype) for s, c in zip(maps["mre_stiffness"], confident, strict=True)]
    elif vendor == "Siemens":
        slopes = [round(float(s.max()) / 4000, 3) for s in pascal]
        maps["mre_stiffness"] = [as_stored(s / slope, 4095) for s, slope in zip(pascal, slopes, strict=True)]
        maps["mre_confidence"] = [as_stored(1000 * s, 1000) for s in _slices(mre.confidence)]
        attributes["mre_stiffness"] = [_rescale(slope, "Pa") for slope in slopes]
    else:
        maps["mre_stiffness"] = [as_stored(s / 1000 / PHILIPS_KPA_SLOPE, 4095) for s in pascal]
        maps["mre_confidence"] = [as_stored(1000 * s, 1000) for s in _slices(mre.confidence)]
        mapping = {"RealWorldValueMappingSequence": dialects.kpa_mapping(PHILIPS_KPA_SLOPE, 4095)}
        attributes["mre_stiffness"] = [_rescale(PHILIPS_RESCALE, "normalized") | mapping] * len(mre.grids)
        attributes["mre_confidence"] = [_rescale(0.1, "%")] * len(mre.grids)
    return {kind: _mre_frames(stored, mre, attributes.get(kind)) for kind, stored in maps.items()}


def _slices(volume: np.ndarray) -> list[np.ndarray]:
    """A volume as a list of one-slice volumes."""
    return [volume[:, :, k : k + 1] for k in range(volume.shape[2])]


def _rescale(slope: float, unit: str) -> dict[str, Any]:
    """The modality transformation of one image."""
    return {"RescaleIntercept": 0, "RescaleSlope": slope, "RescaleType": unit}


def _mre_frames(stored: list[np.ndarray], mre: Elastogram, attributes: list[dict[str, Any]] | None) -> list[Frame]:
    """Each slice at its own height."""
    frames = [axial_frames(image, grid)[0] for image, grid in zip(stored, mre.grids, strict=True)]
    return [replace(f, attributes=a) for f, a in zip(frames, attributes, strict=True)] if attributes else frames


def localizer_frames(anatomy: Anatomy, patient: Mapping[str, float], scanner: Scanner) -> list[Frame]:
    """An axial, a coronal and a sagittal slice through the middle, in one series."""
    values = {n: signal.spin_echo(t, 1100, 82, 1.0) for n, t in signal.tissues(patient).items()}
    world = as_stored(scanner.protocol.scale * anatomy.paint(dict(values)), scanner.top)[::-1, ::-1, ::-1]
    left, back, _ = (-o - s * (n - 1) for o, s, n in zip(ORIGIN_MM, STEP_MM, SHAPE, strict=True))
    head = ORIGIN_MM[2] + STEP_MM[2] * (SHAPE[2] - 1)
    x, y, z = (n // 2 for n in SHAPE)
    across, deep, tall = STEP_MM
    return [
        _plane(world[:, :, z].T, (left, back, head - z * tall), (1, 0, 0, 0, 1, 0), (deep, across)),
        _plane(world[:, y].T, (left, back + y * deep, head), (1, 0, 0, 0, 0, -1), (tall, across)),
        _plane(world[x].T, (left + x * across, back, head), (0, 1, 0, 0, 0, -1), (tall, deep)),
    ]


def _plane(
    pixels: np.ndarray, position: tuple[float, float, float], orientation: tuple[int, ...], spacing: tuple[float, float]
) -> Frame:
    """One slice in any plane."""
    rows, columns = pixels.shape
    attributes = {"ImageOrientationPatient": list(orientation), "PixelSpacing": list(spacing)}
    return Frame(np.ascontiguousarray(pixels), position, attributes | {"Rows": rows, "Columns": columns})
