"""What a DICOM header says about a whole file: identity, scanner, sequence, size."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydicom import Dataset
from pydicom.datadict import tag_for_keyword
from pydicom.multival import MultiValue

from liverstiff.dicom import diffusion

Vector = tuple[float, ...]

KEYWORDS = (
    "SpecificCharacterSet", "ImageType", "SOPClassUID", "SOPInstanceUID", "StudyDate", "SeriesDate",
    "AcquisitionDate", "AcquisitionDateTime", "AcquisitionTime", "SeriesTime", "Modality", "Manufacturer",
    "ManufacturerModelName", "StudyInstanceUID", "SeriesInstanceUID", "SeriesNumber", "InstanceNumber",
    "AcquisitionNumber", "PatientID", "SeriesDescription", "ProtocolName", "SequenceName", "PulseSequenceName",
    "ContrastBolusAgent", "ContrastBolusAgentSequence", "ScanningSequence", "ScanOptions", "MRAcquisitionType",
    "EchoTime", "RepetitionTime", "EchoTrainLength", "MagneticFieldStrength", "Rows", "Columns", "SamplesPerPixel",
    "NumberOfFrames", "ImagePositionPatient", "ImageOrientationPatient", "TemporalPositionIdentifier",
    "TriggerTime", "EchoPulseSequence", "EchoPlanarPulseSequence", "ComplexImageComponent", "DiffusionBValue",
    "DiffusionGradientOrientation", "DimensionIndexSequence", "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence", "RealWorldValueMappingSequence",
)  # fmt: skip
"""All attributes that are read."""

MOSAIC_SLICES = 0x0019100A
UIH_SLICES = 0x00651050
GE_IMAGE_PART = 0x0043102F
PRIVATE = [MOSAIC_SLICES, UIH_SLICES, GE_IMAGE_PART, *diffusion.PRIVATE_ELEMENTS]
TAGS: list[Any] = [*[tag_for_keyword(word) for word in KEYWORDS], *PRIVATE]


@dataclass(frozen=True, slots=True)
class Header:
    """What all frames of one file share. Holds identifiers and free text: never written outside the private tables."""

    path: Path
    study_uid: str
    series_uid: str
    sop_uid: str
    patient_id: str
    study_date: str
    time: str
    """Start of the acquisition as ``YYYYMMDDhhmmss``; empty when not stated."""
    modality: str
    mr_object: bool
    """True for the MR storage classes, False for captures and other objects."""
    vendor: str
    model: str
    field_t: float | None
    series_number: int
    instance: int
    text: str
    """Series description, protocol and sequence name, in lower case, separated by ``|``."""
    contrast_agent: bool
    echo: str
    """``gradient``, ``spin`` or empty."""
    echo_planar: bool
    three_d: bool
    fat_suppressed: bool
    tr: float | None
    rows: int
    columns: int
    colour: bool
    tiles: int
    """Slices tiled in one image (Siemens mosaic, UIH VFRAME); 1 for a plain image."""
    frames: int
    """Frames in the file; 1 for a single-frame file."""


def read_header(path: Path, data: Dataset, flat: Dataset) -> Header:
    """File-level facts; ``flat`` also holds what an enhanced object keeps in functional groups."""
    texts = [
        str(data.get(word) or "") for word in ("SeriesDescription", "ProtocolName", "SequenceName", "PulseSequenceName")
    ]
    options = {str(option) for option in tokens_of(data.get("ScanOptions"))}
    scanning = set(tokens_of(data.get("ScanningSequence")))
    text = "|".join(text.lower() for text in texts if text)
    return Header(
        path=path,
        study_uid=str(data.StudyInstanceUID),
        series_uid=str(data.SeriesInstanceUID),
        sop_uid=str(data.get("SOPInstanceUID") or ""),
        patient_id=str(data.get("PatientID") or "").strip(),
        study_date=str(data.get("StudyDate") or ""),
        time=_time(data),
        modality=str(data.get("Modality") or ""),
        mr_object=str(data.get("SOPClassUID") or "").startswith("1.2.840.10008.5.1.4.1.1.4"),
        vendor=vendor_name(str(data.get("Manufacturer") or "")),
        model=re.sub(r"[^\w .+-]", "", str(data.get("ManufacturerModelName") or ""))[:40],
        field_t=nominal_field(number_of(flat.get("MagneticFieldStrength"))),
        series_number=_integer(data.get("SeriesNumber")),
        instance=_integer(data.get("InstanceNumber")),
        text=text,
        contrast_agent=bool(data.get("ContrastBolusAgent") or data.get("ContrastBolusAgentSequence")),
        echo=_echo(scanning, str(flat.get("EchoPulseSequence") or "")),
        echo_planar="EP" in scanning or "EPI_GEMS" in options or flat.get("EchoPlanarPulseSequence") == "YES",
        three_d=data.get("MRAcquisitionType") == "3D",
        fat_suppressed="FS" in options or flat.get("SpectrallySelectedSuppression") == "FAT",
        tr=number_of(flat.get("RepetitionTime")),
        rows=int(data.Rows),
        columns=int(data.Columns),
        colour=int(data.get("SamplesPerPixel") or 1) > 1,
        tiles=_tiles(data),
        frames=len(data.get("PerFrameFunctionalGroupsSequence") or [None]),
    )


def vendor_name(manufacturer: str) -> str:
    """One name per vendor for the many spellings of (0008,0070); ``other`` for the rest."""
    names = {"ge": "GE", "siemens": "Siemens", "philips": "Philips", "canon": "Canon", "toshiba": "Canon", "uih": "UIH"}
    words = re.split(r"[\s_,]+", manufacturer.strip().lower())
    return names.get(words[0], "UIH" if words[:2] == ["united", "imaging"] else "other")


def nominal_field(strength: float | None) -> float | None:
    """Field strength in T, rounded to what the scanner is sold as (1.494 -> 1.5, 2.8936 -> 3.0); also from gauss."""
    if strength is None or strength <= 0:
        return None
    tesla = strength / 10_000 if strength > 100 else strength
    nearest = min((0.55, 1.0, 1.5, 3.0, 7.0), key=lambda nominal: abs(nominal - tesla))
    return nearest if abs(nearest - tesla) <= 0.12 else round(tesla, 2)


def _echo(scanning: set[str], pulse: str) -> str:
    """Gradient or spin echo, by the classic or the enhanced attribute; empty when unclear."""
    if pulse in ("GRADIENT", "SPIN"):
        return pulse.lower()
    return {(True, False): "gradient", (False, True): "spin"}.get(("GR" in scanning, "SE" in scanning), "")


def _time(data: Dataset) -> str:
    """Date and time of the acquisition, else of the series, as digits that sort."""
    whole = str(data.get("AcquisitionDateTime") or "")
    if len(whole) >= 14:
        return whole.split("+")[0]
    for name in ("Acquisition", "Series"):
        date = str(data.get(f"{name}Date") or data.get("StudyDate") or "")
        time = str(data.get(f"{name}Time") or "").replace(":", "")
        if time:
            return date + time
    return ""


def component(data: Dataset) -> str:
    """``PHASE`` by (0008,9208) or GE's (0043,102F) = 1; other complex parts by their name; empty for magnitude."""
    part = str(data.get("ComplexImageComponent") or "")
    ge = data.get(GE_IMAGE_PART)
    codes = {1: "PHASE", 2: "REAL", 3: "IMAGINARY"}
    if ge is not None and number_of(ge.value) in codes:
        return codes[int(ge.value)]
    return part if part in ("PHASE", "REAL", "IMAGINARY", "MIXED") else ""


def _tiles(data: Dataset) -> int:
    """Slices in a tiled image."""
    kinds = set(tokens_of(data.get("ImageType")))
    for token, tag in (("MOSAIC", MOSAIC_SLICES), ("VFRAME", UIH_SLICES)):
        element = data.get(tag)
        if token in kinds and element is not None:
            numbers = diffusion.private_numbers(
                data, diffusion.PrivateTag(tag >> 16, tag & 0xFF, _owner(data, tag), "s")
            )
            return int(numbers[0]) if numbers else 1
    return 1


def _owner(data: Dataset, tag: int) -> str:
    owner = data.get((tag >> 16, 0x10))
    return str(owner.value).strip() if owner is not None else ""


def tokens_of(value: Any) -> tuple[str, ...]:
    """Values of a multi-valued text attribute, upper case."""
    if value is None:
        return ()
    return tuple(str(item).strip().upper() for item in ([value] if isinstance(value, str) else value))


def number_of(value: Any) -> float | None:
    """A number, the first of several, or None for an absent or empty value."""
    if isinstance(value, MultiValue):
        value = next(iter(value), None)
    return None if value in (None, "") else float(value)


def _integer(value: Any) -> int:
    return 0 if value in (None, "") else int(value)


def vector_of(value: Any, length: int) -> Vector | None:
    """Numbers of a multi-valued attribute; None unless there are ``length``."""
    if value is None or len(value) != length:
        return None
    return tuple(float(item) for item in value)
