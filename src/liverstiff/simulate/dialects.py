"""What each vendor calls its series, and how it states physics and units.

Routine sequences follow exported files. No elastography object was at hand: its texts and units are assumptions, chosen
to differ. GE stores Pa as plain integers and a second map that is 0 where it is not confident (no confidence map);
Siemens stores Pa with a rescale slope per slice, confidence in per mille; Philips states kPa by a real-world value
mapping while its rescale slope means nothing, confidence in percent.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from pydicom.dataset import Dataset

from liverstiff.simulate.dicom import Private
from liverstiff.simulate.population import Vendor
from liverstiff.simulate.scan import Protocol

Dialect = Literal["ge", "siemens", "philips", "philips-enhanced"]

VENDORS: dict[str, Vendor] = {"ge": "GE", "siemens": "Siemens", "philips": "Philips", "philips-enhanced": "Philips"}

PROTOCOLS: dict[tuple[Vendor, float], Protocol] = {
    ("GE", 1.5): Protocol((0, 50, 400, 800), t1_te=1.6, t1_tr=4.6, t2_te=86, scale=8000),
    ("GE", 3.0): Protocol((0, 50, 400, 800), t1_te=1.2, t1_tr=4.1, t2_te=84, scale=8000, epi_mm=3.5),
    ("Siemens", 1.5): Protocol((0, 100, 600), t1_te=1.7, t1_tr=4.9, t2_te=90, scale=2500, dwi_slice_major=True),
    ("Siemens", 3.0): Protocol((50, 400, 800), t1_te=1.3, t1_tr=4.0, t2_te=82, scale=2500, epi_mm=3.5),
    ("Philips", 1.5): Protocol((0, 100, 600), t1_te=1.6, t1_tr=4.8, t2_te=80, scale=3500, dwi_slice_major=True),
    ("Philips", 3.0): Protocol(
        (0, 50, 400, 800), t1_te=1.2, t1_tr=3.9, t2_te=78, scale=3500, epi_mm=3.5, dwi_slice_major=True
    ),
}


@dataclass(frozen=True)
class SeriesText:
    """How one vendor writes one kind of series."""

    description: str
    image_type: tuple[str, ...]
    sequence: tuple[str, ...]
    """ScanningSequence."""
    variant: tuple[str, ...] = ("SK",)
    options: tuple[str, ...] = ()
    acquisition: str = "2D"
    echo_train: int = 1
    extra: dict[str, Any] = field(default_factory=dict)
    """More attributes by keyword."""


_O, _D = ("ORIGINAL", "PRIMARY"), ("DERIVED", "PRIMARY")


def _gradient_echo_3d(description: str, image_type: tuple[str, ...], **extra: str) -> SeriesText:
    """A fat-suppressed spoiled gradient echo in three dimensions."""
    return SeriesText(description, image_type, ("GR",), ("SP",), ("FS",), "3D", extra=extra)


SERIES: dict[Vendor, dict[str, SeriesText]] = {
    "GE": {
        "localizer": SeriesText("3-PL LOC SSFSE", (*_O, "OTHER"), ("SE",), options=("FAST_GEMS",)),
        "t2w": SeriesText("AX T2 FRFSE FS RTr", (*_O, "OTHER"), ("SE",), ("SK",), ("FAST_GEMS", "FS"), echo_train=16),
        "dwi": SeriesText("AX DWI 4b RTr", (*_O, "OTHER"), ("EP", "SE"), ("NONE",), ("EPI_GEMS", "PFF", "FS")),
        "mre_magnitude": SeriesText("MR Touch 60Hz", (*_O, "OTHER"), ("GR",), ("SP",)),
        "mre_stiffness": SeriesText("Elastogram STGRY", (*_D, "OTHER", "STGRY"), ("GR",), ("SP",)),
        "mre_masked": SeriesText("Elastogram STGRYM", (*_D, "OTHER", "STGRYM"), ("GR",), ("SP",)),
        "t1w": _gradient_echo_3d("WATER: AX LAVA-Flex", (*_D, "DIXON", "WATER")),
        "t1w_post": _gradient_echo_3d("WATER: AX LAVA-Flex +C PV", (*_D, "DIXON", "WATER")),
        "subtraction": _gradient_echo_3d("SUB: AX LAVA-Flex PV", ("DERIVED", "SECONDARY", "SUBTRACT")),
    },
    "Siemens": {
        "localizer": SeriesText("localizer_haste_bh", (*_O, "M", "ND", "NORM"), ("SE",), ("SK", "SP"), ("PFP",)),
        "t2w": SeriesText(
            "t2_tse_fs_tra_trig",
            (*_O, "M", "ND", "NORM"),
            ("SE",),
            ("SK", "SP"),
            ("FS",),
            "2D",
            17,
            {"SequenceName": "*tse2d1_17"},
        ),
        "dwi": SeriesText(
            "ep2d_diff_tra_trig_TRACEW",
            (*_D, "DIFFUSION", "TRACEW", "ND", "NORM"),
            ("EP",),
            ("SK", "SP"),
            ("FS", "PFP"),
            "2D",
            52,
        ),
        "adc": SeriesText(
            "ep2d_diff_tra_trig_ADC", (*_D, "DIFFUSION", "ADC", "ND", "NORM"), ("EP",), ("SK", "SP"), ("FS", "PFP")
        ),
        "mre_magnitude": SeriesText(
            "gre_mre_tra_60Hz_Mag", (*_O, "M", "ND"), ("GR",), ("SP",), extra={"SequenceName": "*fl2d1"}
        ),
        "mre_stiffness": SeriesText("gre_mre_tra_60Hz_Stiffness", (*_D, "MRE", "STIFFNESS"), ("GR",), ("SP",)),
        "mre_confidence": SeriesText("gre_mre_tra_60Hz_ConfMap", (*_D, "MRE", "CONFIDENCE"), ("GR",), ("SP",)),
        "t1w": _gradient_echo_3d("t1_vibe_fs_tra_bh", (*_O, "M", "ND", "NORM"), SequenceName="*fl3d1"),
        "t1w_post": _gradient_echo_3d("t1_vibe_fs_tra_bh_pv", (*_O, "M", "ND", "NORM"), SequenceName="*fl3d1"),
        "subtraction": _gradient_echo_3d("t1_vibe_fs_tra_bh_SUB", (*_D, "M", "ND", "NORM", "SUB")),
    },
    "Philips": {
        "localizer": SeriesText("Survey_BH", (*_O, "M_SE", "M", "SE"), ("SE",)),
        "t2w": SeriesText("T2W_TSE_SPAIR_RT", (*_O, "M_SE", "M", "SE"), ("SE",), ("SK",), ("FS",), "2D", 20),
        "dwi": SeriesText("DWI_RT", (*_O, "M_SE", "M", "SE"), ("SE",), ("SK",), ("PFP", "FS"), "2D", 37),
        "adc": SeriesText(
            "dADC_RT", ("DERIVED", "PRIMARY", "ADC", "ADC", "SE"), ("SE",), ("SK",), ("PFP", "FS"), "2D", 37
        ),
        "mre_magnitude": SeriesText("MRE_60Hz", (*_O, "M_FFE", "M", "FFE"), ("GR",), ("SK",)),
        "mre_stiffness": SeriesText("MRE_Stiffness", (*_D, "STIFFNESS", "M", "FFE"), ("GR",), ("SK",)),
        "mre_confidence": SeriesText("MRE_Confidence", (*_D, "CONFIDENCE", "M", "FFE"), ("GR",), ("SK",)),
        "t1w": _gradient_echo_3d("eTHRIVE_SPAIR_BH", (*_O, "M_FFE", "M", "FFE"), ContrastBolusAgent=""),
        "t1w_post": _gradient_echo_3d("eTHRIVE_SPAIR_BH_PV", (*_O, "M_FFE", "M", "FFE")),
        "subtraction": _gradient_echo_3d("SUB_eTHRIVE_PV", (*_D, "SUBTRACTION", "M", "FFE")),
    },
}

EQUIPMENT: dict[tuple[Vendor, float], dict[str, Any]] = {
    ("GE", 1.5): {
        "Manufacturer": "GE MEDICAL SYSTEMS",
        "ManufacturerModelName": "Optima MR450w",
        "SoftwareVersions": "DV26.0_R03",
    },
    ("GE", 3.0): {
        "Manufacturer": "GE MEDICAL SYSTEMS",
        "ManufacturerModelName": "DISCOVERY MR750w",
        "SoftwareVersions": "DV29.1",
    },
    ("Siemens", 1.5): {"Manufacturer": "SIEMENS", "ManufacturerModelName": "Aera", "SoftwareVersions": "syngo MR E11"},
    ("Siemens", 3.0): {"Manufacturer": "SIEMENS", "ManufacturerModelName": "Skyra", "SoftwareVersions": "syngo MR E11"},
    ("Philips", 1.5): {
        "Manufacturer": "Philips Medical Systems",
        "ManufacturerModelName": "Ingenia",
        "SoftwareVersions": "5.6.1",
    },
    ("Philips", 3.0): {
        "Manufacturer": "Philips Medical Systems",
        "ManufacturerModelName": "Ingenia Elition X",
        "SoftwareVersions": "5.7.1",
    },
}


def b_value_elements(vendor: Vendor, b: int, ge_offset: bool) -> tuple[dict[str, Any], tuple[Private, ...]]:
    """How a classic trace image states its b-value: standard attributes, private elements.

    Args:
        vendor: whose way.
        b: s/mm2.
        ge_offset: GE adds 1,000,000,000 on multi-b exams.
    """
    if vendor == "GE":
        stated = b + 1_000_000_000 if ge_offset else b
        return {}, (
            (0x0019, "GEMS_ACQU_01", 0xE0, "DS", "0"),
            (0x0043, "GEMS_PARM_01", 0x30, "SS", 14 if b == 0 else 16),
            (0x0043, "GEMS_PARM_01", 0x39, "IS", [stated, 8, 0, 0]),
        )
    if vendor == "Siemens":
        return {"SequenceName": f"*ep_b{b}t" if b else "*ep_b0"}, ((0x0019, "SIEMENS MR HEADER", 0x0C, "IS", b),)
    return {"DiffusionBValue": float(b)}, ((0x2001, "Philips Imaging DD 001", 0x03, "FL", float(b)),)


def kpa_mapping(slope: float, top: int) -> list[Dataset]:
    """A real-world value mapping of stored integers to kPa (UCUM)."""
    unit, mapping = Dataset(), Dataset()
    unit.CodeValue, unit.CodingSchemeDesignator, unit.CodeMeaning = "kPa", "UCUM", "kilopascal"
    mapping.LUTExplanation, mapping.LUTLabel = "Shear stiffness", "STIFFNESS"
    mapping.MeasurementUnitsCodeSequence = [unit]
    mapping.add_new("RealWorldValueFirstValueMapped", "US", 0)
    mapping.add_new("RealWorldValueLastValueMapped", "US", top)
    mapping.RealWorldValueIntercept, mapping.RealWorldValueSlope = 0.0, slope
    return [mapping]
