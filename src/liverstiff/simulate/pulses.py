"""What each vendor's headers say of a pulse sequence and of the images made from it.

Routine sequences follow exported files. No elastography object was at hand: its image types are assumptions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from liverstiff.simulate.population import Vendor
from liverstiff.simulate.scan import Protocol

Pulse = Literal[
    "localizer",
    "calibration",
    "gre3d_fs",
    "gre3d",
    "gre2d",
    "tse",
    "tse_fs",
    "radial",
    "radial_fs",
    "single_shot",
    "single_shot_fs",
    "mrcp_slab",
    "mrcp_3d",
    "balanced",
    "epi",
    "mre",
    "mre_epi",
    "multi_echo",
]
Timing = tuple[float, float, float]
"""TR and TE in ms, flip angle in degrees."""


@dataclass(frozen=True)
class _Physics:
    """What makes a pulse sequence, before a vendor names it."""

    family: str
    """``SE``, ``GR``, ``EP`` (spin-echo EPI) or ``SS`` (balanced)."""
    acquisition: str = "2D"
    fat_sat: bool = False
    train: int = 1
    """Echoes per excitation, times the vendor's own habit."""
    name: str = ""
    """Siemens' SequenceName."""


_PHYSICS: dict[Pulse, _Physics] = {
    "localizer": _Physics("SE"),
    "calibration": _Physics("GR", "3D", name="*fl3d1"),
    "gre3d_fs": _Physics("GR", "3D", True, name="*fl3d1"),
    "gre3d": _Physics("GR", "3D", name="*fl3d2"),
    "gre2d": _Physics("GR", name="*fl2d2"),
    "tse": _Physics("SE", train=17, name="*tse2d1_17"),
    "tse_fs": _Physics("SE", fat_sat=True, train=17, name="*tse2d1_17"),
    "radial": _Physics("SE", train=29, name="*tseB2d1_29"),
    "radial_fs": _Physics("SE", fat_sat=True, train=29, name="*tseB2d1_29"),
    "single_shot": _Physics("SE", train=110, name="*h2d1_110"),
    "single_shot_fs": _Physics("SE", fat_sat=True, train=110, name="*h2d1_110"),
    "mrcp_slab": _Physics("SE", fat_sat=True, train=256, name="*tse2d1_256"),
    "mrcp_3d": _Physics("SE", "3D", True, 101, "*spcR3d1_101"),
    "balanced": _Physics("SS", name="*tfi2d1_120"),
    "epi": _Physics("EP", fat_sat=True, train=52),
    "mre": _Physics("GR", name="*fl2d1"),
    "mre_epi": _Physics("EP", fat_sat=True, train=40, name="*ep2d_se_40"),
    "multi_echo": _Physics("GR", "3D", name="*fl3d6"),
}

_SEQUENCE: dict[Vendor, dict[str, tuple[list[str], list[str]]]] = {
    # ScanningSequence and SequenceVariant
    "GE": {"SE": (["SE"], ["SK"]), "GR": (["GR"], ["SP"]), "EP": (["EP", "SE"], ["NONE"]), "SS": (["GR"], ["SS"])},
    "Siemens": {
        "SE": (["SE"], ["SK", "SP"]),
        "GR": (["GR"], ["SP"]),
        "EP": (["EP"], ["SK", "SP"]),
        "SS": (["GR"], ["SK", "SS"]),
    },
    "Philips": {"SE": (["SE"], ["SK"]), "GR": (["GR"], ["SP"]), "EP": (["SE"], ["SK"]), "SS": (["GR"], ["SK"])},
    "Canon": {"SE": (["SE"], ["SK"]), "GR": (["GR"], ["NONE"]), "EP": (["SE", "EP"], ["NONE"]), "SS": (["GR"], ["SS"])},
    "UIH": {"SE": (["SE"], ["SK"]), "GR": (["GR"], ["SP"]), "EP": (["EP"], ["NONE"]), "SS": (["GR"], ["SS"])},
}

_OPTIONS: dict[tuple[Vendor, Pulse], list[str]] = {
    ("GE", "localizer"): ["FAST_GEMS"],
    ("GE", "tse"): ["FAST_GEMS"],
    ("GE", "tse_fs"): ["FAST_GEMS", "FS"],
    ("GE", "radial_fs"): ["FAST_GEMS", "RTG_GEMS", "FS"],
    ("GE", "single_shot"): ["FAST_GEMS", "SS_GEMS"],
    ("GE", "single_shot_fs"): ["FAST_GEMS", "SS_GEMS", "FS"],
    ("GE", "gre3d"): ["FS"],
    ("GE", "epi"): ["EPI_GEMS", "PFF", "FS"],
    ("GE", "mre_epi"): ["EPI_GEMS", "FS"],
    ("Siemens", "localizer"): ["PFP"],
    ("Siemens", "epi"): ["FS", "PFP"],
    ("Philips", "epi"): ["PFP", "FS"],
    ("Canon", "epi"): ["PFP"],
}
"""ScanOptions, where they are more than fat suppression."""

_TRAIN: dict[tuple[Vendor, str], int] = {
    **{("GE", "tse"): 16, ("GE", "tse_fs"): 16, ("GE", "epi"): 1, ("GE", "mre_epi"): 1},
    **{("Philips", "tse"): 20, ("Philips", "tse_fs"): 20, ("Philips", "epi"): 37},
}
"""EchoTrainLength of habits of one's own: GE states 1 for EPI."""


def pulse_attributes(vendor: Vendor, pulse: Pulse) -> dict[str, Any]:
    """What a vendor's classic headers say of a pulse sequence, by keyword."""
    physics = _PHYSICS[pulse]
    sequence, variant = _SEQUENCE[vendor][physics.family]
    if vendor == "Philips" and pulse == "mre":
        variant = ["SK"]
    train = _TRAIN.get((vendor, pulse), physics.train)
    attributes: dict[str, Any] = {
        "ScanningSequence": sequence,
        "SequenceVariant": variant,
        "ScanOptions": _OPTIONS.get((vendor, pulse), ["FS"] if physics.fat_sat else []),
        "MRAcquisitionType": physics.acquisition,
        "EchoTrainLength": train,
    }
    if vendor == "Siemens" and physics.name:
        attributes["SequenceName"] = physics.name
    if vendor == "UIH":
        attributes["SequenceName"] = _UIH_NAMES[physics.family] if pulse != "gre3d_fs" else "gre_quick3d"
    return attributes


_UIH_NAMES = {"SE": "fse", "GR": "gre_fsp", "EP": "epi_dti", "SS": "gre_bssfp"}


def enhanced_attributes(vendor: Vendor, pulse: Pulse, contrast: str) -> dict[str, Any]:
    """What an enhanced object says of a pulse sequence at its top; Siemens calls diffusion GRADIENT.

    Args:
        vendor: whose way.
        pulse: the sequence.
        contrast: AcquisitionContrast.
    """
    physics = _PHYSICS[pulse]
    spin = physics.family == "SE" or (physics.family == "EP" and vendor != "Siemens")
    attributes: dict[str, Any] = {
        "PulseSequenceName": physics.name or {"Siemens": "*epse2d1_52"}.get(vendor, "SE_EPI"),
        "EchoPulseSequence": "SPIN" if spin else "GRADIENT",
        "EchoPlanarPulseSequence": "YES" if physics.family == "EP" else "NO",
        "MultipleSpinEcho": "YES" if physics.train > 1 and spin else "NO",
        "SteadyStatePulseSequence": {"GR": "LONGITUDINAL", "SS": "FREE_PRECESSION"}.get(physics.family, "NONE"),
        "SpectrallySelectedSuppression": "FAT" if physics.fat_sat else "NONE",
        "RFEchoTrainLength": 0 if physics.family in ("GR", "SS") else 1 if physics.family == "EP" else physics.train,
        "GradientEchoTrainLength": physics.train if physics.family == "EP" else 1,
        "AcquisitionContrast": contrast,
    }
    return attributes | _MACRO


_MACRO = {
    "PixelPresentation": "MONOCHROME",
    "VolumetricProperties": "VOLUME",
    "VolumeBasedCalculationTechnique": "NONE",
    "ComplexImageComponent": "MAGNITUDE",
    "ContentQualification": "PRODUCT",
    "ResonantNucleus": "1H",
    "ApplicableSafetyStandardAgency": "IEC",
    "BurnedInAnnotation": "NO",
    "LossyImageCompression": "00",
    "PresentationLUTShape": "IDENTITY",
}


def timing(protocol: Protocol, pulse: Pulse) -> Timing:
    """TR, TE in ms and flip angle in degrees."""
    t2 = protocol.t2_te
    fixed: dict[Pulse, Timing] = {
        "localizer": (1100.0, 82.0, 150.0),
        "calibration": (2.4, 0.9, 5.0),
        "tse": (protocol.t2_tr, t2, 160.0),
        "tse_fs": (protocol.t2_tr, t2, 160.0),
        "radial": (protocol.t2_tr, t2 + 14, 150.0),
        "radial_fs": (protocol.t2_tr, t2 + 14, 150.0),
        "single_shot": (1200.0, t2 + 4, 150.0),
        "single_shot_fs": (1400.0, t2 + 8, 150.0),
        "mrcp_slab": (4500.0, 740.0, 160.0),
        "mrcp_3d": (2400.0, 612.0, 120.0),
        "balanced": (3.6, 1.6, 55.0),
        "epi": (protocol.dwi_tr, protocol.dwi_te, 90.0),
        "mre": (50.0, 20.0, 20.0),
        "mre_epi": (1000.0, 47.0, 90.0),
        "multi_echo": (8.9, 1.2, 4.0),
        "gre2d": (130.0, protocol.t1_te, 70.0),
    }
    return fixed.get(pulse, (protocol.t1_tr, protocol.t1_te, protocol.t1_flip))


def in_phase_te(field_t: float) -> tuple[float, float]:
    """TE in ms of water and fat in phase and opposed."""
    return (4.76, 2.38) if field_t < 2 else (2.46, 1.23)


_O, _D, _S = ("ORIGINAL", "PRIMARY"), ("DERIVED", "PRIMARY"), ("DERIVED", "SECONDARY")

_IMAGE_TYPES: dict[str, dict[str, tuple[str, ...]]] = {
    "GE": {
        "": (*_O, "OTHER"),
        "phase": (*_O, "OTHER"),
        **{role: (*_D, "DIXON", role.upper()) for role in ("water", "fat")},
        **{"in": (*_D, "DIXON", "IN_PHASE"), "opp": (*_D, "DIXON", "OUT_PHASE")},
        **{"adc": (*_D, "ADC"), "eadc": (*_D, "EADC"), "fa": (*_D, "FA"), "synthetic": (*_D, "OTHER")},
        **{"subtraction": (*_S, "SUBTRACT"), "mpr": (*_S, "REFORMATTED", "AVERAGE"), "mip": (*_S, "PROJECTION IMAGE")},
        **{"pdff": (*_D, "FATFRACTION"), "r2star": (*_D, "R2STAR"), "field_map": (*_D, "RM")},
        **{"stiffness": (*_D, "OTHER", "STGRY"), "masked": (*_D, "OTHER", "STGRYM"), "wave": (*_D, "OTHER", "WAVE")},
        **{"colour": (*_D, "OTHER", "STCLR"), "confidence": (*_D, "OTHER", "CONF")},
    },
    "Siemens": {
        "": (*_O, "M", "ND", "NORM"),
        "phase": (*_O, "P", "ND"),
        "magnitude": (*_O, "M", "ND"),
        **{"water": (*_D, "M", "ND", "DIXON", "WATER"), "fat": (*_D, "M", "ND", "DIXON", "FAT")},
        **{"in": (*_O, "M", "ND", "DIXON", "IN_PHASE"), "opp": (*_O, "M", "ND", "DIXON", "OPP_PHASE")},
        "directions": (*_O, "DIFFUSION", "NONE", "ND", "NORM"),
        **{role: (*_D, "DIFFUSION", name, "ND", "NORM") for role, name in (("trace", "TRACEW"), ("adc", "ADC"))},
        **{role: (*_D, "DIFFUSION", name, "ND", "NORM") for role, name in (("fa", "FA"), ("synthetic", "CALC_BVALUE"))},
        **{"eadc": (*_D, "DIFFUSION", "EXP", "ND"), "subtraction": (*_D, "M", "ND", "NORM", "SUB")},
        **{"mpr": (*_S, "MPR", "CSA MPR", "", "CSAPARALLEL", "M", "ND"), "mip": (*_S, "MPR", "CSA MIP")},
        **{"pdff": (*_D, "M", "DIXON", "FAT_FRACTION"), "r2star": (*_D, "M", "R2_STAR MAP")},
        "field_map": (*_O, "P", "ND"),
        **{"stiffness": (*_D, "MRE", "STIFFNESS"), "confidence": (*_D, "MRE", "CONFIDENCE")},
        **{"masked": (*_D, "MRE", "STIFFNESS", "MASKED"), "wave": (*_D, "MRE", "WAVE")},
        "colour": (*_S, "MRE", "STIFFNESS", "COLOR"),
    },
    "siemens-xa": {
        "": (*_O, "M", "NONE"),
        "phase": (*_O, "P", "NONE"),
        **{"water": (*_D, "DIXON", "WATER"), "fat": (*_D, "DIXON", "FAT")},
        **{"in": (*_O, "DIXON", "IN_PHASE"), "opp": (*_O, "DIXON", "OPP_PHASE")},
        "directions": (*_O, "DIFFUSION", "NONE"),
        **{role: (*_D, "DIFFUSION", name) for role, name in (("trace", "TRACEW"), ("adc", "ADC"), ("fa", "FA"))},
        **{"synthetic": (*_D, "DIFFUSION", "CALC_BVALUE"), "eadc": (*_D, "DIFFUSION", "EXP")},
        **{"subtraction": (*_D, "M", "SUBTRACT"), "mpr": (*_D, "MPR", "NONE"), "mip": (*_D, "MPR", "MAX_IP")},
        **{
            "pdff": (*_D, "DIXON", "FAT_FRACTION"),
            "r2star": (*_D, "M", "R2_STAR_MAP"),
            "field_map": (*_O, "P", "NONE"),
        },
        **{"stiffness": (*_D, "MRE", "STIFFNESS"), "confidence": (*_D, "MRE", "CONFIDENCE")},
        **{"masked": (*_D, "MRE", "STIFFNESS_MASKED"), "wave": (*_D, "MRE", "WAVE"), "colour": (*_D, "MRE", "COLOR")},
    },
    "Philips": {
        "phase": (*_O, "PHASE MAP", "P", "FFE"),
        **{role: (*_D, name, name, "DERIVED") for role, name in (("water", "W"), ("fat", "F"))},
        **{role: (*_D, name, name, "DERIVED") for role, name in (("in", "IP"), ("opp", "OP"))},
        **{"adc": (*_D, "ADC", "ADC", "SE"), "eadc": (*_D, "EADC", "EADC", "SE"), "fa": (*_D, "FA", "FA", "SE")},
        "synthetic": (*_D, "CDWI", "M", "SE"),
        **{"subtraction": (*_D, "SUBTRACTION", "M", "FFE"), "mpr": (*_S, "MPR", "M", "FFE")},
        **{"mip": (*_D, "PROJECTION IMAGE", "M", "FFE"), "pdff": (*_D, "FF", "FF", "FFE")},
        **{"r2star": (*_D, "R2_STAR", "R2_STAR", "FFE"), "field_map": (*_O, "B0 MAP", "B0", "UNSPECIFIED")},
        **{"stiffness": (*_D, "STIFFNESS", "M", "FFE"), "confidence": (*_D, "CONFIDENCE", "M", "FFE")},
        **{"masked": (*_D, "STIFFNESS_95", "M", "FFE"), "wave": (*_D, "WAVE", "M", "FFE")},
        "colour": (*_S, "STIFFNESS", "COLOR", "FFE"),
    },
    "Canon": {
        "": (*_O, "GDC"),
        "phase": (*_O, "PHASE"),
        **{"water": (*_D, "DIXON", "WATER"), "fat": (*_D, "DIXON", "FAT")},
        **{"in": (*_D, "DIXON", "IN_PHASE"), "opp": (*_D, "DIXON", "OUT_OF_PHASE")},
        **{"adc": (*_D, "ADC"), "eadc": (*_D, "EADC"), "fa": (*_D, "FA"), "synthetic": (*_D, "CDWI")},
        **{"subtraction": (*_S, "SUBTRACTION"), "mpr": (*_S, "MPR"), "mip": (*_S, "MIP")},
        **{"pdff": (*_D, "FF"), "r2star": (*_D, "R2STAR"), "field_map": (*_D, "B0MAP")},
        **{"stiffness": (*_D, "MRE", "STIFFNESS"), "confidence": (*_D, "MRE", "CONFIDENCE")},
        **{"masked": (*_D, "MRE", "MASKED"), "wave": (*_D, "MRE", "WAVE"), "colour": (*_S, "MRE", "COLOR")},
    },
    "UIH": {
        "": (*_O, "M"),
        "phase": (*_O, "P"),
        **{"water": (*_D, "M", "WATER"), "fat": (*_D, "M", "FAT")},
        **{"in": (*_O, "M", "INPHASE"), "opp": (*_O, "M", "OUTPHASE")},
        **{"trace": (*_D, "M", "TRACE"), "adc": (*_D, "ADC"), "eadc": (*_D, "EADC"), "fa": (*_D, "FA")},
        **{"synthetic": (*_D, "M", "CDWI"), "subtraction": (*_S, "SUB"), "mpr": (*_S, "MPR"), "mip": (*_S, "MIP")},
        **{"pdff": (*_D, "FATFRACTION"), "r2star": (*_D, "R2STAR"), "field_map": (*_O, "P")},
        **{"stiffness": (*_D, "MRE", "STIFFNESS"), "confidence": (*_D, "MRE", "CONFIDENCE")},
        **{"masked": (*_D, "MRE", "STIFFNESS95"), "wave": (*_D, "MRE", "WAVE"), "colour": (*_S, "MRE", "COLOR")},
    },
}

_FRAME_TYPES: dict[str, tuple[str, ...]] = {
    **{"": (*_O, "M", "NONE"), "trace": (*_O, "DIFFUSION", "NONE"), "directions": (*_O, "DIFFUSION", "NONE")},
    **{role: (*_D, name, "NONE") for role, name in (("water", "W"), ("fat", "F"), ("in", "IP"), ("opp", "OP"))},
}
"""Philips' enhanced objects."""


def image_type(vendor: Vendor, dialect: str, role: str, pulse: Pulse, enhanced: bool) -> tuple[str, ...]:
    """ImageType of classic images, FrameType of enhanced frames.

    Args:
        vendor: whose way.
        dialect: tells Siemens' enhanced objects from classic ones.
        role: what was made of the acquisition, empty for plain magnitude images.
        pulse: Philips tells spin echoes from gradient echoes.
        enhanced: a frame of a multi-frame object.
    """
    types = _IMAGE_TYPES.get(dialect, _IMAGE_TYPES[vendor])
    if vendor == "Philips":
        family = "FFE" if _PHYSICS[pulse].family in ("GR", "SS") else "SE"
        found = types.get(role, (*_O, f"M_{family}", "M", family))
        found = _FRAME_TYPES.get(role, found) if enhanced else found
    else:
        found = types.get(role, types[""])
    return (found[0], "PRIMARY", *(*found[2:], "NONE")[:2]) if enhanced else found
