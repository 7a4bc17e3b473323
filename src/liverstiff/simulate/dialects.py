"""Whose DICOM it is: scanners, protocols, and how each vendor states b-values and units."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

from liverstiff.simulate.dicom import Dimension, Objects, Private
from liverstiff.simulate.population import Vendor
from liverstiff.simulate.scan import Protocol

Dialect = Literal["ge", "siemens", "siemens-xa", "philips", "philips-enhanced", "canon", "canon-enhanced", "uih"]
ALL: tuple[Dialect, ...] = get_args(Dialect)

VENDORS: dict[Dialect, Vendor] = {
    "ge": "GE",
    "siemens": "Siemens",
    "siemens-xa": "Siemens",
    "philips": "Philips",
    "philips-enhanced": "Philips",
    "canon": "Canon",
    "canon-enhanced": "Canon",
    "uih": "UIH",
}

ENHANCED: dict[Dialect, tuple[Objects, tuple[Dimension, ...]]] = {
    "siemens-xa": ("volume", ("stack", "place", "time")),
    "philips-enhanced": ("series", ("stack", "place", "b")),
    "canon-enhanced": ("series", ("time", "echo", "stack", "place")),
}
"""How enhanced objects are cut and indexed."""

PROTOCOLS: dict[tuple[Vendor, float], Protocol] = {
    ("GE", 1.5): Protocol((0, 50, 400, 800), t1_te=1.6, t1_tr=4.6, t2_te=86, scale=8000),
    ("GE", 3.0): Protocol((0, 50, 400, 800), t1_te=1.2, t1_tr=4.1, t2_te=84, scale=8000, epi_mm=3.5),
    ("Siemens", 1.5): Protocol((0, 100, 600), t1_te=1.7, t1_tr=4.9, t2_te=90, scale=2500, dwi_slice_major=True),
    ("Siemens", 3.0): Protocol((50, 400, 800), t1_te=1.3, t1_tr=4.0, t2_te=82, scale=2500, epi_mm=3.5),
    ("Philips", 1.5): Protocol((0, 100, 600), t1_te=1.6, t1_tr=4.8, t2_te=80, scale=3500, dwi_slice_major=True),
    ("Philips", 3.0): Protocol(
        (0, 50, 400, 800), t1_te=1.2, t1_tr=3.9, t2_te=78, scale=3500, epi_mm=3.5, dwi_slice_major=True
    ),
    ("Canon", 1.5): Protocol((0, 100, 800), t1_te=2.0, t1_tr=5.3, t2_te=88, scale=3000),
    ("Canon", 3.0): Protocol((0, 50, 500, 1000), t1_te=1.4, t1_tr=4.5, t2_te=80, scale=3000, epi_mm=3.5),
    ("UIH", 1.5): Protocol((1.25, 50.3, 799.6), t1_te=1.8, t1_tr=4.7, t2_te=89, scale=3000),
    ("UIH", 3.0): Protocol((1.25, 50.3, 399.75, 799.6), t1_te=1.3, t1_tr=4.0, t2_te=83, scale=3000, epi_mm=3.5),
}


@dataclass(frozen=True)
class Scanner:
    """A scanner and how it is set."""

    dialect: Dialect
    field_t: float

    @property
    def vendor(self) -> Vendor:
        """The vendor."""
        return VENDORS[self.dialect]

    @property
    def protocol(self) -> Protocol:
        """Sequence parameters."""
        return PROTOCOLS[self.vendor, self.field_t]

    @property
    def top(self) -> int:
        """Largest stored value."""
        return 32767 if self.vendor == "GE" else 4095


def _scanner(manufacturer: str, model: str, software: str) -> dict[str, str]:
    """Attributes of a scanner."""
    return {"Manufacturer": manufacturer, "ManufacturerModelName": model, "SoftwareVersions": software}


_EQUIPMENT: dict[tuple[str, float], dict[str, str]] = {
    ("GE", 1.5): _scanner("GE MEDICAL SYSTEMS", "Optima MR450w", "DV26.0_R03"),
    ("GE", 3.0): _scanner("GE MEDICAL SYSTEMS", "DISCOVERY MR750w", "DV29.1"),
    ("Siemens", 1.5): _scanner("SIEMENS", "Aera", "syngo MR E11"),
    ("Siemens", 3.0): _scanner("SIEMENS", "Skyra", "syngo MR E11"),
    ("siemens-xa", 1.5): _scanner("Siemens Healthineers", "MAGNETOM Sola", "syngo MR XA30"),
    ("siemens-xa", 3.0): _scanner("Siemens Healthineers", "MAGNETOM Vida", "syngo MR XA60"),
    ("Philips", 1.5): _scanner("Philips Medical Systems", "Ingenia", "5.6.1"),
    ("Philips", 3.0): _scanner("Philips Medical Systems", "Ingenia Elition X", "5.7.1"),
    ("Canon", 1.5): _scanner("CANON_MEC", "Vantage Orian", "V6.0"),
    ("Canon", 3.0): _scanner("CANON_MEC", "Vantage Galan 3T", "V7.0"),
    ("UIH", 1.5): _scanner("UIH", "uMR 570", "V9.0"),
    ("UIH", 3.0): _scanner("UIH", "uMR 790", "V9.0"),
}


def equipment(dialect: Dialect, field_t: float) -> dict[str, str]:
    """Manufacturer, model and software of a dialect's scanner."""
    own = (dialect, field_t)
    return _EQUIPMENT[own] if own in _EQUIPMENT else _EQUIPMENT[VENDORS[dialect], field_t]


Direction = tuple[float, float, float]
Elements = tuple[dict[str, Any], tuple[Private, ...]]
"""Standard attributes, private elements."""


@dataclass(frozen=True)
class Weighting:
    """The diffusion weighting of an image."""

    b: float
    """s/mm2."""
    direction: Direction | None = None
    """Of the gradient; none in trace images."""
    number: int = 1
    """Of the direction, from 1."""

    @property
    def directed(self) -> bool:
        """Weighted along one direction."""
        return self.direction is not None and self.b > 5


def b_value(dialect: Dialect, weighting: Weighting, enhanced: bool, offset: int, combined: str) -> Elements:
    """How an image of a dialect states its b-value.

    Args:
        dialect: whose way.
        weighting: what to state.
        enhanced: in a frame's functional groups.
        offset: what GE adds to b: 1,000,000,000 on multi-b exams.
        combined: GE's (0019,10E0), number of directions; 0 in a trace series.
    """
    if enhanced:
        return _functional_group(dialect, weighting), ()
    if VENDORS[dialect] == "GE":
        return {}, _ge(weighting, offset, combined)
    return _CLASSIC[VENDORS[dialect]](weighting)


def _functional_group(dialect: Dialect, weighting: Weighting) -> dict[str, Any]:
    """What goes into the diffusion group of an enhanced frame; Siemens calls b = 0 isotropic."""
    attributes: dict[str, Any] = {"DiffusionBValue": float(weighting.b)}
    if weighting.direction is not None and weighting.directed:
        attributes["DiffusionGradientOrientation"] = list(weighting.direction)
        way = "BMATRIX" if dialect == "siemens-xa" else "DIRECTIONAL"
    else:
        way = "ISOTROPIC" if weighting.b or dialect == "siemens-xa" else "NONE"
    return attributes | {"DiffusionDirectionality": way}


def _ge(weighting: Weighting, offset: int, combined: str) -> tuple[Private, ...]:
    """Number of directions, gradient, kind of weighting, b."""
    kind = 14 if weighting.b == 0 else 2 + weighting.number if weighting.directed else 16
    gradient = weighting.direction if weighting.direction is not None and weighting.directed else ()
    return (
        (0x0019, "GEMS_ACQU_01", 0xE0, "DS", combined),
        *((0x0019, "GEMS_ACQU_01", 0xBB + k, "DS", str(v)) for k, v in enumerate(gradient)),
        (0x0043, "GEMS_PARM_01", 0x30, "SS", kind),
        (0x0043, "GEMS_PARM_01", 0x39, "IS", [int(weighting.b) + offset, 8, 0, 0]),
    )


def _siemens(weighting: Weighting) -> Elements:
    """SequenceName and private elements, without a CSA header."""
    b = weighting.b
    private: list[Private] = [(0x0019, "SIEMENS MR HEADER", 0x0C, "IS", int(weighting.b))]
    if weighting.direction is None or not weighting.directed:
        return {"SequenceName": f"*ep_b{b:g}t" if b else "*ep_b0"}, tuple(private)
    private.append((0x0019, "SIEMENS MR HEADER", 0x0D, "CS", "DIRECTIONAL"))
    private.append((0x0019, "SIEMENS MR HEADER", 0x0E, "FD", list(weighting.direction)))
    return {"SequenceName": f"*ep_b{b:g}#{weighting.number}"}, tuple(private)


def _philips(weighting: Weighting) -> Elements:
    """Standard and private b, private direction."""
    attributes: dict[str, Any] = {"DiffusionBValue": float(weighting.b)}
    private: list[Private] = [(0x2001, "Philips Imaging DD 001", 0x03, "FL", float(weighting.b))]
    if weighting.direction is not None and weighting.directed:
        attributes["DiffusionGradientOrientation"] = list(weighting.direction)
        private.append((0x2001, "Philips Imaging DD 001", 0x04, "CS", "MPS"[weighting.number - 1]))
    return attributes, tuple(private)


def _canon(weighting: Weighting) -> Elements:
    """Standard b, and a comment."""
    comment = f"b={weighting.b:g}"
    if weighting.direction is not None and weighting.directed:
        comment += "({:.3f},{:.3f},{:.3f})".format(*weighting.direction)
    return {"DiffusionBValue": float(weighting.b), "ImageComments": comment}, ()


def _uih(weighting: Weighting) -> Elements:
    """Private b, not rounded."""
    private: list[Private] = [(0x0065, "Image Private Header", 0x09, "FD", float(weighting.b))]
    if weighting.direction is not None and weighting.directed:
        private.append((0x0065, "Image Private Header", 0x37, "FD", list(weighting.direction)))
    return {}, tuple(private)


_CLASSIC = {"Siemens": _siemens, "Philips": _philips, "Canon": _canon, "UIH": _uih}


def kpa_mapping(slope: float, top: int) -> list[dict[str, Any]]:
    """A real-world value mapping of stored integers to kPa (UCUM)."""
    unit = {"CodeValue": "kPa", "CodingSchemeDesignator": "UCUM", "CodeMeaning": "kilopascal"}
    return [
        {
            "LUTExplanation": "Shear stiffness",
            "LUTLabel": "STIFFNESS",
            "MeasurementUnitsCodeSequence": [unit],
            "RealWorldValueFirstValueMapped": 0,
            "RealWorldValueLastValueMapped": top,
            "RealWorldValueIntercept": 0.0,
            "RealWorldValueSlope": slope,
        }
    ]
