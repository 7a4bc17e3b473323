"""Enhanced multi-frame objects: what classic images state at the top moves into functional groups."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from liverstiff.simulate.dicom import Dimension, Frame, Part, Private, Series, uid

_TIMING = ("RepetitionTime", "FlipAngle", "EchoTrainLength", "RFEchoTrainLength", "GradientEchoTrainLength")
_SLAB = ("SliceThickness", "SpacingBetweenSlices")
_FRAME_TYPE = (
    *("PixelPresentation", "VolumetricProperties", "VolumeBasedCalculationTechnique"),
    *("ComplexImageComponent", "AcquisitionContrast"),
)
_RESCALE = {"RescaleIntercept": 0, "RescaleSlope": 1, "RescaleType": "US"}
_MOVED = {
    *(*_TIMING, *_SLAB, *_RESCALE, "EchoTime", "EchoNumbers", "RealWorldValueMappingSequence"),
    *("ScanningSequence", "SequenceVariant", "ScanOptions"),
}
_REGION = {"CodeValue": "113345001", "CodingSchemeDesignator": "SCT", "CodeMeaning": "Abdomen"}
_SHARED: dict[str, Any] = {
    "MRFOVGeometrySequence": [{"InPlanePhaseEncodingDirection": "COLUMN"}],
    "FrameAnatomySequence": [{"FrameLaterality": "U", "AnatomicRegionSequence": [_REGION]}],
    "MRAveragesSequence": [{"NumberOfAverages": 1.0}],
}
"""Functional groups of scanners that write them all."""
_POINTERS: dict[Dimension, tuple[int, int]] = {
    "stack": (0x00209056, 0x00209111),
    "place": (0x00209057, 0x00209111),
    "b": (0x00189087, 0x00189117),
    "time": (0x00209128, 0x00209111),
    "echo": (0x00189082, 0x00189114),
}
"""Attribute and functional group of each dimension."""


@dataclass(frozen=True)
class EnhancedObject:
    """One multi-frame object."""

    frames: list[Frame]
    """In the order of the pixels."""
    attributes: dict[str, Any]
    """At the top, by keyword."""
    per_frame: list[dict[str, Any]]
    """The functional groups of each frame."""
    private: tuple[Private, ...]
    """At the top."""


@dataclass(frozen=True)
class _Placed:
    """A frame with what it is part of."""

    part: Part
    frame: Frame
    volume: int
    """Running number over the parts of the series, from 1."""

    def attributes(self, series: Series) -> dict[str, Any]:
        """All that is stated about the frame."""
        return series.attributes | self.part.attributes | self.frame.attributes

    def orientation(self, series: Series) -> list[float]:
        """Direction cosines of its rows and columns."""
        return list(self.frame.attributes.get("ImageOrientationPatient", series.orientation))


def enhanced_objects(series: Series, attributes: dict[str, Any], own_uid: str) -> Iterator[EnhancedObject]:
    """The objects of a series.

    Args:
        series: what is stored.
        attributes: those of the series, with its UID and number.
        own_uid: SeriesInstanceUID.
    """
    for placed in _objects(series):
        top = _top(attributes | placed[0].part.attributes)
        if len({id(one.part) for one in placed}) > 1:
            top["ImageType"] = ["ORIGINAL", "PRIMARY", top["AcquisitionContrast"], "MIXED"]
        top |= {"NumberOfFrames": len(placed), **_dimensions(series, own_uid)}
        yield EnhancedObject([p.frame for p in placed], top, _per_frame(series, placed), placed[0].part.private)


def _top(stated: dict[str, Any]) -> dict[str, Any]:
    """What stays at the top of an object, and its shared functional groups."""
    shared: dict[str, Any] = {
        "MRTimingAndRelatedParametersSequence": [{k: _number(stated[k]) for k in _TIMING if k in stated}]
    }
    top = {keyword: value for keyword, value in stated.items() if keyword not in _MOVED}
    if "ComplexImageComponent" in top:  # a scanner that writes the whole of it
        top["AcquisitionDateTime"] = top["AcquisitionDate"] + top["AcquisitionTime"]
        top.pop("InPlanePhaseEncodingDirection")
        shared |= _SHARED
    return top | {"SharedFunctionalGroupsSequence": [shared], "AcquisitionContextSequence": []}


def _number(value: float) -> float:
    """Times and angles are floating point in functional groups, counts are not."""
    return value if isinstance(value, int) else float(value)


def _objects(series: Series) -> list[list[_Placed]]:
    """Frames by object: all together or a volume each, and never two shapes or orientations in one."""
    numbers: dict[tuple[int, int], int] = {}
    found: dict[tuple[Any, ...], list[_Placed]] = {}
    for part, frame in series.images():
        volume = numbers.setdefault((id(part), frame.volume), len(numbers) + 1)
        placed = _Placed(part, frame, volume)
        alone = volume if series.objects == "volume" else 0
        found.setdefault((alone, frame.pixels.shape, *placed.orientation(series)), []).append(placed)
    return list(found.values())


def _dimensions(series: Series, own_uid: str) -> dict[str, Any]:
    """By what the frames are indexed."""
    organization = {"DimensionOrganizationUID": uid(own_uid, "dimensions")}
    pointers = [dict(zip(_POINTER, _POINTERS[name], strict=True)) for name in series.dimensions]
    return {
        "DimensionOrganizationSequence": [organization],
        "DimensionIndexSequence": [organization | pointer for pointer in pointers],
    }


_POINTER = ("DimensionIndexPointer", "FunctionalGroupPointer")


def _per_frame(series: Series, placed: list[_Placed]) -> list[dict[str, Any]]:
    """The functional groups of every frame."""
    stated = [one.attributes(series) for one in placed]
    depths = [_depth(one, series) for one in placed]
    places, times = sorted(set(depths)), sorted({attributes["EchoTime"] for attributes in stated})
    return [
        _groups(series, one, attributes, places.index(depth) + 1, times.index(attributes["EchoTime"]) + 1)
        for one, attributes, depth in zip(placed, stated, depths, strict=True)
    ]


def _depth(placed: _Placed, series: Series) -> float:
    """Position in mm along the normal of the slice."""
    a, b, c, d, e, f = placed.orientation(series)
    x, y, z = placed.frame.position or (0, 0, 0)
    return round(x * (b * f - c * e) + y * (c * d - a * f) + z * (a * e - b * d), 3)


def _groups(series: Series, placed: _Placed, stated: dict[str, Any], place: int, echo: int) -> dict[str, Any]:
    """The functional groups of one frame.

    Args:
        series: what is stored.
        placed: the frame.
        stated: all attributes of the frame.
        place: its slice, from 1.
        echo: its echo, from 1.
    """
    index = {"stack": 1, "place": place, "b": placed.volume, "time": placed.volume, "echo": echo}
    content = {"StackID": "1", "InStackPositionNumber": place}
    content["DimensionIndexValues"] = [index[name] for name in series.dimensions]
    content["TemporalPositionIndex"] = placed.volume if "time" in series.dimensions else 1
    spacing = stated.get("PixelSpacing", list(series.spacing))
    groups = {
        "FrameContentSequence": [content],
        "PlanePositionSequence": [{"ImagePositionPatient": list(placed.frame.position or (0, 0, 0))}],
        "PlaneOrientationSequence": [{"ImageOrientationPatient": placed.orientation(series)}],
        "PixelMeasuresSequence": [{"PixelSpacing": spacing} | _picked(stated, _SLAB)],
        "MREchoSequence": [{"EffectiveEchoTime": float(stated["EchoTime"])}],
        "MRImageFrameTypeSequence": [{"FrameType": stated["ImageType"]} | _frame_type(stated)],
        "PixelValueTransformationSequence": [_RESCALE | _picked(stated, tuple(_RESCALE))],
    }
    if "DiffusionBValue" in stated:
        groups["MRDiffusionSequence"] = [_diffusion(stated)]
    return groups | _picked(stated, ("RealWorldValueMappingSequence",))


def _picked(stated: dict[str, Any], keywords: tuple[str, ...]) -> dict[str, Any]:
    """Those of the attributes that are stated."""
    return {keyword: stated[keyword] for keyword in keywords if keyword in stated}


def _frame_type(stated: dict[str, Any]) -> dict[str, Any]:
    """The rest of the frame type macro; some scanners leave it out."""
    return _picked(stated, _FRAME_TYPE) if "ComplexImageComponent" in stated else {}


def _diffusion(stated: dict[str, Any]) -> dict[str, Any]:
    """b-value and direction of a frame."""
    item = _picked(stated, ("DiffusionBValue", "DiffusionDirectionality"))
    if "DiffusionGradientOrientation" in stated:
        item["DiffusionGradientDirectionSequence"] = [_picked(stated, ("DiffusionGradientOrientation",))]
    return item
