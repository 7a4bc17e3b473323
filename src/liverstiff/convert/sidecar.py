"""The JSON beside an image: acquisition parameters by whitelist, nothing that could name a person, place or time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

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


def read_sidecar(path: Path) -> dict[str, Any]:
    """The whitelisted entries of a sidecar that dcm2niix wrote; empty when it wrote none."""
    return whitelisted(json.loads(path.read_text(encoding="utf-8", errors="replace"))) if path.exists() else {}


def write_sidecar(entries: dict[str, Any], path: Path) -> None:
    """Write a sidecar."""
    path.write_text(json.dumps(entries, indent=2, sort_keys=True) + "\n", encoding="utf-8")
