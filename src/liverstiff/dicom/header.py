"""What a DICOM header says about a whole series: identity, scanner, sequence, size."""

from __future__ import annotations

import re
from dataclasses import dataclass

from liverstiff.dicom import diffusion
from liverstiff.dicom.elements import CHARACTER_SET, Elements, tag_of
from liverstiff.dicom.scanners import model_name, nominal_field, vendor_name

MR_STORAGE = "1.2.840.10008.5.1.4.1.1.4"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"

TEXT_KEYWORDS = ("SeriesDescription", "ProtocolName", "SequenceName", "PulseSequenceName")
SERIES_KEYWORDS = (
    *("ImageType", "SOPClassUID", "StudyDate", "Modality", "Manufacturer", "ManufacturerModelName"),
    *("StudyInstanceUID", "SeriesInstanceUID", "SeriesNumber", "PatientID", *TEXT_KEYWORDS),
    *(
        "ContrastBolusAgent",
        "ContrastBolusVolume",
        "ContrastBolusTotalDose",
        "ScanningSequence",
        "ScanOptions",
        "MRAcquisitionType",
        "RepetitionTime",
    ),
    *(
        "EchoTrainLength",
        "MagneticFieldStrength",
        "Rows",
        "Columns",
        "SamplesPerPixel",
        "BitsAllocated",
        "BurnedInAnnotation",
    ),
    *("EchoPulseSequence", "EchoPlanarPulseSequence", "SpectrallySelectedSuppression", "PatientName"),
)
"""Attributes that all images of a series share."""

_T = {keyword: tag_of(keyword) for keyword in (*SERIES_KEYWORDS, "ContrastBolusAgentSequence")}
MOSAIC_SLICES = diffusion.PrivateTag(0x0019, 0x0A, "SIEMENS MR HEADER", "US")
UIH_SLICES = diffusion.PrivateTag(0x0065, 0x50, "Image Private Header", "DS")
TILE_TAGS = frozenset(tag.group << 16 | 0x1000 | tag.element for tag in (MOSAIC_SLICES, UIH_SLICES))
SERIES_TAGS = (CHARACTER_SET, *(_T[keyword] for keyword in SERIES_KEYWORDS), *sorted(TILE_TAGS))
"""Tags whose bytes decide a :class:`Header`."""

NO_AGENT = frozenset({"", "NONE", "NO", "N", "NIL", "0", "WITHOUT", "NATIVE", "NATIV", "OHNE", "SANS", "NO CONTRAST"})
"""What stands in (0018,0010) where no contrast agent was given."""


@dataclass(frozen=True, slots=True)
class Header:
    """What the images of one series share, identifiers and free text too: for the private tables only."""

    study_uid: str
    series_uid: str
    patient_id: str
    patient_name: str
    study_date: str
    modality: str
    mr_object: bool
    """True for the MR storage classes."""
    capture: bool
    """True for a secondary capture: a picture, not measured values."""
    burned_in: bool
    """The header says that text is burned into the pixels."""
    vendor: str
    model: str
    field_t: float | None
    series_number: int
    text: str
    """Series description, protocol and sequence name, in lower case, separated by ``|``."""
    sequence_name: str
    contrast_agent: bool
    echo: str
    """``gradient``, ``spin`` or empty."""
    echo_planar: bool
    echo_train: int
    three_d: bool
    fat_suppressed: bool
    tr: float | None
    rows: int
    columns: int
    frame_bytes: int
    """Bytes of one unpacked image."""
    colour: bool
    tiles: int
    """Slices tiled in one image (Siemens mosaic, UIH VFRAME); 1 for a plain image."""
    enhanced: bool
    """A multi-frame object with functional groups."""


def read_header(data: Elements, flat: Elements, enhanced: bool) -> Header:
    """Series-level facts; ``flat`` also holds what an enhanced object keeps in functional groups."""
    texts = [data.text(_T[word]) for word in TEXT_KEYWORDS]
    if texts[0] and vendor_name(data.text(_T["Manufacturer"])) == "GE":
        texts[1] = ""  # GE writes the name of the whole examination there
    options = set(data.texts(_T["ScanOptions"]))
    scanning = set(data.texts(_T["ScanningSequence"]))
    sop_class = data.text(_T["SOPClassUID"])
    vendor = vendor_name(data.text(_T["Manufacturer"]))
    return Header(
        study_uid=data.text(_T["StudyInstanceUID"]),
        series_uid=data.text(_T["SeriesInstanceUID"]),
        patient_id=data.text(_T["PatientID"]),
        patient_name=data.text(_T["PatientName"]),
        study_date=data.text(_T["StudyDate"]),
        modality=data.text(_T["Modality"]),
        mr_object=f"{sop_class}.".startswith(f"{MR_STORAGE}."),
        capture=f"{sop_class}.".startswith(f"{SECONDARY_CAPTURE}."),
        burned_in=data.text(_T["BurnedInAnnotation"]).upper() == "YES",
        vendor=vendor,
        model=model_name(vendor, data.text(_T["ManufacturerModelName"])),
        field_t=nominal_field(flat.number(_T["MagneticFieldStrength"])),
        series_number=data.integer(_T["SeriesNumber"]),
        text="|".join(text.lower() for text in texts if text),
        sequence_name=data.text(_T["SequenceName"]),
        contrast_agent=_contrast_agent(data),
        echo=_echo(scanning, flat.text(_T["EchoPulseSequence"]), "|".join(texts).lower()),
        echo_planar="EP" in scanning or "EPI_GEMS" in options or flat.text(_T["EchoPlanarPulseSequence"]) == "YES",
        echo_train=flat.integer(_T["EchoTrainLength"]),
        three_d=data.text(_T["MRAcquisitionType"]) == "3D",
        fat_suppressed="FS" in options or "FAT" in flat.text(_T["SpectrallySelectedSuppression"]),
        tr=flat.number(_T["RepetitionTime"]),
        rows=data.integer(_T["Rows"]),
        columns=data.integer(_T["Columns"]),
        frame_bytes=_frame_bytes(data),
        colour=data.integer(_T["SamplesPerPixel"]) > 1,
        tiles=_tiles(data),
        enhanced=enhanced,
    )


def _contrast_agent(data: Elements) -> bool:
    """True when the header names a contrast agent in any script, or how much was given.

    Philips writes an empty element where there was none, others a word.
    """
    text = data.text(_T["ContrastBolusAgent"]).upper()
    agent = "".join(letter for letter in text if letter.isalnum() or letter == " ").strip()
    given = any((data.number(_T[word]) or 0) > 0 for word in ("ContrastBolusVolume", "ContrastBolusTotalDose"))
    return agent not in NO_AGENT or given or bool(data.items.get(_T["ContrastBolusAgentSequence"]))


def _echo(scanning: set[str], pulse: str, sequence: str) -> str:
    """Gradient or spin echo, by the classic or the enhanced attribute, else the sequence name; empty when unclear."""
    if pulse in ("GRADIENT", "SPIN"):
        return pulse.lower()
    stated = "GR" in scanning, "SE" in scanning
    if not any(stated):  # IR alone, or an enhanced object that says nothing
        stated = (
            re.search(r"ffe|gre|f[el][23]d|spgr|vibe", sequence) is not None,
            re.search(r"[tf]se|(?<![a-z])se(?![a-z])|fase|spc|h2d", sequence) is not None,
        )
    return {(True, False): "gradient", (False, True): "spin"}.get(stated, "")


def _frame_bytes(data: Elements) -> int:
    """Rows x columns x samples x bits."""
    samples = max(1, data.integer(_T["SamplesPerPixel"]))
    return data.integer(_T["Rows"]) * data.integer(_T["Columns"]) * samples * data.integer(_T["BitsAllocated"]) // 8


def _tiles(data: Elements) -> int:
    """Slices in a tiled image."""
    kinds = data.texts(_T["ImageType"])
    for token, tag in (("MOSAIC", MOSAIC_SLICES), ("VFRAME", UIH_SLICES)):
        if token in kinds:
            return max(1, data.integer(tag.group << 16 | 0x1000 | tag.element, tag.vr))
    return 1
