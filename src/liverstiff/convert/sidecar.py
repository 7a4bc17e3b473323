"""The JSON beside an image: acquisition parameters by whitelist, nothing that could name a person, place or time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydicom import Dataset

from liverstiff.dicom.reading import Damaged, value_of
from liverstiff.dicom.scanners import vendor_name
from liverstiff.dicom.values import Image

NUMBERS = frozenset(
    [
        "MagneticFieldStrength",
        "ImagingFrequency",
        "EchoTime",
        "EchoTime1",
        "EchoTime2",
        "RepetitionTime",
        "InversionTime",
        "FlipAngle",
        "SliceThickness",
        "SpacingBetweenSlices",
        "EchoTrainLength",
        "EchoNumber",
        "PixelBandwidth",
        "PercentPhaseFOV",
        "PercentSampling",
        "NumberOfAverages",
        "PartialFourier",
        "BaseResolution",
        "AcquisitionMatrixPE",
        "ReconMatrixPE",
        "ParallelReductionFactorInPlane",
        "ParallelReductionFactorOutOfPlane",
        "MultibandAccelerationFactor",
        "EffectiveEchoSpacing",
        "DerivedVendorReportedEchoSpacing",
        "EstimatedEffectiveEchoSpacing",
        "TotalReadoutTime",
        "EstimatedTotalReadoutTime",
        "WaterFatShift",
        "DwellTime",
        "PhaseEncodingSteps",
        "SliceTiming",
    ]
)
"""Keys whose value is a number or a list of numbers."""

WORDS = {
    "Modality": {"MR"},
    "Manufacturer": {
        "GE",
        "Siemens",
        "Philips",
        "Canon",
        "Toshiba",
        "UIH",
        "Mediso",
        "MRSolutions",
        "Bruker",
        "Hitachi",
    },
    "MRAcquisitionType": {"2D", "3D"},
    "ScanningSequence": {"SE", "IR", "GR", "EP", "RM", "EP\\SE", "SE\\EP", "EP\\GR", "EP\\IR", "GR\\IR", "SE\\IR"},
    "PhaseEncodingDirection": {"i", "i-", "j", "j-", "k", "k-"},
    "PhaseEncodingAxis": {"i", "j", "k"},
    "Units": {"kPa", "Pa", "fraction", "percent", "per mille", "mm2/s", "um2/s"},
    "PatientPosition": {"HFS", "HFP", "HFDR", "HFDL", "FFS", "FFP", "FFDR", "FFDL"},
}
"""Keys whose value is one of a few words."""


def whitelisted(sidecar: dict[str, Any]) -> dict[str, Any]:
    """The entries of a sidecar that are acquisition parameters, with a value of the expected type."""
    return {key: value for key, value in sorted(sidecar.items()) if _allowed(key, value)}


def _allowed(key: str, value: Any) -> bool:
    if key in NUMBERS:
        return all(_is_number(item) for item in (value if isinstance(value, list) else [value]))
    return isinstance(value, str) and value in WORDS.get(key, ())


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


HEADER_NUMBERS: dict[str, tuple[str, str, float]] = {
    "MagneticFieldStrength": ("", "MagneticFieldStrength", 1.0),
    "ImagingFrequency": ("", "ImagingFrequency", 1.0),
    "EchoTime": ("", "EchoTime", 1e-3),
    "RepetitionTime": ("MRTimingAndRelatedParametersSequence", "RepetitionTime", 1e-3),
    "InversionTime": ("", "InversionTime", 1e-3),
    "FlipAngle": ("MRTimingAndRelatedParametersSequence", "FlipAngle", 1.0),
    "SliceThickness": ("PixelMeasuresSequence", "SliceThickness", 1.0),
    "SpacingBetweenSlices": ("PixelMeasuresSequence", "SpacingBetweenSlices", 1.0),
    "EchoTrainLength": ("MRTimingAndRelatedParametersSequence", "EchoTrainLength", 1.0),
    "PixelBandwidth": ("", "PixelBandwidth", 1.0),
    "NumberOfAverages": ("", "NumberOfAverages", 1.0),
}
"""Key of the sidecar: functional group, attribute, factor to the unit of BIDS (seconds, tesla, degrees, mm)."""


def sidecar_of(image: Image, index: int) -> dict[str, Any]:
    """The whitelisted entries of a frame's header, as dcm2niix names them and in the units of BIDS."""
    data = image.dataset
    found: dict[str, Any] = {}
    for key, (sequence, keyword, factor) in HEADER_NUMBERS.items():
        source = image.group(index, sequence) if sequence else data
        number = _number(_stated(source, keyword))
        if number is not None:
            found[key] = round(number * factor, 9)
    echo = _number(_stated(image.group(index, "MREchoSequence"), "EffectiveEchoTime"))
    if echo is not None:
        found["EchoTime"] = round(echo * 1e-3, 9)
    vendor = vendor_name(str(_stated(data, "Manufacturer") or ""))
    words = {"Modality": _stated(data, "Modality"), "Manufacturer": vendor}
    words |= {keyword: _stated(data, keyword) for keyword in ("MRAcquisitionType", "PatientPosition")}
    return whitelisted(found | words)


def _stated(data: Dataset, keyword: str) -> Any:
    """An attribute; None where it is absent or damaged: the sidecar then lacks it."""
    try:
        return value_of(data, keyword)
    except Damaged:
        return None


def _number(value: Any) -> float | None:
    """A header's number; None for none, or for several."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def read_sidecar(path: Path) -> dict[str, Any]:
    """The whitelisted entries of a sidecar; empty when there is none, or none that can be read."""
    try:
        entries = json.loads(path.read_text(encoding="utf-8", errors="replace"))
    except (OSError, ValueError):
        return {}
    return whitelisted(entries) if isinstance(entries, dict) else {}


def write_sidecar(entries: dict[str, Any], path: Path) -> None:
    """Write a sidecar."""
    path.write_text(json.dumps(entries, indent=2, sort_keys=True) + "\n", encoding="utf-8")
