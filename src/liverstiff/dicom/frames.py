"""One pass over a DICOM file: what each of its images is and where it belongs."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from typing import Any

from liverstiff.dicom import diffusion
from liverstiff.dicom.elements import Elements, tag_of
from liverstiff.dicom.files import BROKEN_PACKING, Read, SourceFile
from liverstiff.dicom.header import SERIES_KEYWORDS, SERIES_TAGS, Header, read_header
from liverstiff.dicom.times import TIME_TAGS, acquisition_time
from liverstiff.dicom.walk import DamagedHeader, HeaderRead, NotDicom, read_elements
from liverstiff.records import FileReason

Vector = tuple[float, ...]

FRAME_KEYWORDS = (
    *("SOPInstanceUID", "InstanceNumber", "AcquisitionNumber", "AcquisitionDateTime", "AcquisitionDate", "SeriesDate"),
    *(
        "AcquisitionTime",
        "SeriesTime",
        "StudyTime",
        "EchoTime",
        "ImagePositionPatient",
        "ImageOrientationPatient",
        "ImageComments",
    ),
    *("TemporalPositionIdentifier", "TriggerTime", "ComplexImageComponent", "DiffusionBValue", "NumberOfFrames"),
    *("DiffusionGradientOrientation", "RescaleSlope", "RescaleIntercept", "RescaleType", "PixelSpacing"),
)
SEQUENCE_KEYWORDS = (
    *("DimensionIndexSequence", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
    *("RealWorldValueMappingSequence", "ContrastBolusAgentSequence"),
)
GROUP_KEYWORDS = (
    *("MRImageFrameTypeSequence", "FrameType", "MRDiffusionSequence", "FrameContentSequence", "DimensionIndexValues"),
    *("TemporalPositionIndex", "MREchoSequence", "EffectiveEchoTime", "PlanePositionSequence"),
    *(
        "PlaneOrientationSequence",
        "PixelMeasuresSequence",
        "PixelValueTransformationSequence",
        "MeasurementUnitsCodeSequence",
        "CodeValue",
    ),
    "DimensionIndexPointer",
)
_T = {word: tag_of(word) for word in (*SERIES_KEYWORDS, *FRAME_KEYWORDS, *SEQUENCE_KEYWORDS, *GROUP_KEYWORDS)}
GE_IMAGE_PART = 0x0043102F
PHILIPS_IMAGE_PART = 0x20051011
_TOP = tuple(_T[word] for word in (*FRAME_KEYWORDS, *SEQUENCE_KEYWORDS))
WANTED = diffusion.PRIVATE_TAGS.union(SERIES_TAGS, TIME_TAGS, _TOP, (GE_IMAGE_PART, PHILIPS_IMAGE_PART))
"""All elements that are read at top level."""

_SLOPE, _INTERCEPT = _T["RescaleSlope"], _T["RescaleIntercept"]
_MOMENTS = tuple(_T[word] for word in ("TemporalPositionIdentifier", "TriggerTime", "AcquisitionNumber"))

STACK_POINTERS = (0x00209056, 0x00209057)
"""Dimension pointers that number the stack and the slice within it."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One image: a single-frame file, or one frame of a multi-frame object. Positions in mm, patient axes (LPS)."""

    header: Header
    file: SourceFile
    number: int
    """0 for a single-frame file, else the frame's number from 1."""
    frames: int
    """Frames in the file."""
    sop_uid: str
    instance: int
    time: str
    """Start of the acquisition as ``YYYYMMDDhhmmss``; empty when not stated."""
    image_type: tuple[str, ...]
    component: str
    """``PHASE``, ``REAL``, ... where the header says so by a tag of its own; empty otherwise."""
    unit: str
    """UCUM code of the real-world value mapping, else the rescale type, as written; empty when there is none."""
    slope: float
    """Rescale slope; 1 where none is stated, 0 where it is no number."""
    intercept: float
    echo_time: float | None
    position: Vector | None
    orientation: Vector | None
    spacing: Vector | None
    """Millimetres between rows, between columns; None where not stated."""
    b_value: float | None
    direction: Vector | None
    moment: Vector
    """Temporal position, trigger time, acquisition number: what may tell volumes over time apart; 0 when not stated."""
    index: tuple[int, ...]
    """Dimension index without stack and slice, last pointer first: sorts the volumes of a multi-frame object."""
    cut_short: bool
    """The file holds fewer bytes of pixels than its header announces."""

    def stored(self) -> list[Any]:
        """All but header and file as plain values, for the cache."""
        return [getattr(self, name) for name in _STORED]

    @classmethod
    def restored(cls, header: Header, file: SourceFile, values: list[Any]) -> Frame:
        """A frame from what :meth:`stored` gave, after a way through JSON."""
        plain: list[Any] = [tuple(value) if isinstance(value, list) else value for value in values]
        return cls(header, file, *plain)


_STORED = tuple(field.name for field in fields(Frame))[2:]


class Unused(Exception):
    """A file that gives no frame, and why; the detail quotes nothing of the file."""

    def __init__(self, reason: FileReason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def read_frames(file: SourceFile) -> list[Frame]:
    """Frames of a file, which is read up to its pixels.

    Raises:
        Unused: when it gives none: no DICOM, unreadable, damaged, no image.
    """
    try:
        if file.packed:
            with file.reader() as (read, size):
                return frames_of(file, read, size)
        opened = os.open(file.path, os.O_RDONLY)
        try:  # what reader() does, without its price: there may be a million files
            return frames_of(file, lambda count, offset: os.pread(opened, count, offset), os.fstat(opened).st_size)
        finally:
            os.close(opened)
    except PermissionError:
        raise Unused(FileReason.UNREADABLE, "no permission to read it") from None
    except BROKEN_PACKING as error:
        if file.packed:
            raise Unused(FileReason.DAMAGED, "its packing is damaged, locked, unknown or too large") from None
        if not isinstance(error, OSError):
            raise
        raise Unused(FileReason.UNREADABLE, "it cannot be read") from None


def frames_of(file: SourceFile, read: Read, size: int) -> list[Frame]:
    """Frames of a file of which ``read`` gives bytes; as :func:`read_frames`."""
    if size == 0:
        raise Unused(FileReason.EMPTY, "zero bytes")
    try:
        found = read_elements(read, size, WANTED)
        data = found.elements
        if not data.text(_T["StudyInstanceUID"]) or not data.text(_T["SeriesInstanceUID"]):
            raise Unused(FileReason.NO_IMAGE, "a DICOM object without study or series")
        if not data.integer(_T["Rows"]) or not found.has_pixels:
            raise Unused(FileReason.NO_IMAGE, "a DICOM object without pixels")
        if data.items.get(_T["PerFrameFunctionalGroupsSequence"]):
            return _multi_frame(file, found)
        return [_single(file, found)]
    except NotDicom:
        raise Unused(FileReason.NOT_DICOM, "no DICOM file") from None
    except DamagedHeader as error:
        raise Unused(FileReason.DAMAGED, f"its header is damaged: {error}") from None
    except RecursionError:
        raise Unused(FileReason.DAMAGED, "its header is damaged: sequences without end") from None


_headers: dict[tuple, Header] = {}
_MOST_HEADERS = 4096
_newest: list[tuple[tuple, Header]] = []
"""The header used last: the next image mostly has the same, and to compare is faster than to hash."""


def _shared_header(data: Elements) -> Header:
    """The header of a classic image: images of a series, which have equal bytes there, share one object."""
    values = data.values
    key = tuple([values.get(tag) for tag in SERIES_TAGS])
    if _newest and _newest[0][0] == key:
        return _newest[0][1]
    header = _headers.get(key)
    if header is None:
        if len(_headers) >= _MOST_HEADERS:
            _headers.clear()
        header = _headers[key] = read_header(data, data, enhanced=False)
    _newest[:] = [(key, header)]
    return header


def _single(file: SourceFile, found: HeaderRead) -> Frame:
    """The one frame of a classic object."""
    data = found.elements
    header = _shared_header(data)
    b = diffusion.b_value(data, header.sequence_name)
    frames = max(1, data.integer(_T["NumberOfFrames"]))
    slope, intercept = _scale(data)
    return Frame(
        header=header,
        file=file,
        number=0,
        frames=frames,
        sop_uid=data.text(_T["SOPInstanceUID"]),
        instance=data.integer(_T["InstanceNumber"]),
        time=acquisition_time(data),
        image_type=data.texts(_T["ImageType"]),
        component=_component(data),
        unit=_unit(data, data),
        slope=slope,
        intercept=intercept,
        echo_time=data.number(_T["EchoTime"]),
        position=_vector(data, "ImagePositionPatient", 3),
        orientation=_vector(data, "ImageOrientationPatient", 6),
        spacing=_vector(data, "PixelSpacing", 2),
        b_value=b,
        direction=diffusion.direction(data) if b else None,
        moment=_moment(data),
        index=(),
        cut_short=_cut_short(found, header, frames),
    )


def _multi_frame(file: SourceFile, found: HeaderRead) -> list[Frame]:
    """All frames of an enhanced object: each attribute from the frame, else the shared group, else the top."""
    data = found.elements
    shared = data.item(_T["SharedFunctionalGroupsSequence"])
    groups = data.items[_T["PerFrameFunctionalGroupsSequence"]]
    flat = Elements({**shared.flattened(), **groups[0].flattened(), **data.values}, {}, data.encodings)
    header = read_header(data, flat, enhanced=True)
    common = {
        "header": header,
        "file": file,
        "frames": len(groups),
        "sop_uid": data.text(_T["SOPInstanceUID"]),
        "instance": data.integer(_T["InstanceNumber"]),
        "time": acquisition_time(data),
        "cut_short": _cut_short(found, header, len(groups)),
    }
    pointers = [_pointer(item) for item in data.items.get(_T["DimensionIndexSequence"], [])]
    kept = [place for place, pointer in enumerate(pointers) if pointer not in STACK_POINTERS]
    return [_enhanced(common, number, data, shared, group, kept) for number, group in enumerate(groups, start=1)]


def _enhanced(
    common: dict[str, Any], number: int, data: Elements, shared: Elements, group: Elements, kept: list[int]
) -> Frame:
    """One frame of an enhanced object; ``kept`` are the places of the dimension index that tell volumes apart."""

    def item(sequence: str) -> Elements:
        tag = _T[sequence]
        return group.item(tag) if group.items.get(tag) else shared.item(tag)

    frame_type, content, rescale = (
        item("MRImageFrameTypeSequence"),
        item("FrameContentSequence"),
        item("PixelValueTransformationSequence"),
    )
    b, direction = diffusion.frame_diffusion(item("MRDiffusionSequence"))
    numbers = content.numbers(_T["DimensionIndexValues"])
    slope, intercept = _scale(rescale)
    return Frame(
        **common,
        number=number,
        image_type=frame_type.texts(_T["FrameType"]) or data.texts(_T["ImageType"]),
        component=_component(frame_type) or _component(data),
        unit=_unit(group, rescale) or _unit(shared, rescale) or _unit(data, rescale),
        slope=slope,
        intercept=intercept,
        echo_time=item("MREchoSequence").number(_T["EffectiveEchoTime"]),
        position=_vector(item("PlanePositionSequence"), "ImagePositionPatient", 3),
        orientation=_vector(item("PlaneOrientationSequence"), "ImageOrientationPatient", 6),
        spacing=_vector(item("PixelMeasuresSequence"), "PixelSpacing", 2),
        b_value=b,
        direction=direction,
        moment=(content.number(_T["TemporalPositionIndex"]) or 0.0, 0.0, 0.0),
        index=tuple(int(numbers[place]) for place in reversed(kept) if place < len(numbers)),
    )


def _pointer(item: Elements) -> int:
    """The attribute that a dimension of a multi-frame object counts (VR AT: two 16-bit words)."""
    raw = item.values.get(_T["DimensionIndexPointer"], (0, b""))[1]
    return int.from_bytes(raw[:2], "little") << 16 | int.from_bytes(raw[2:4], "little")


def _moment(data: Elements) -> Vector:
    """Temporal position, trigger time and acquisition number."""
    return tuple([data.number(tag) or 0.0 for tag in _MOMENTS])


def _component(data: Elements) -> str:
    """``PHASE`` by (0008,9208), GE's (0043,102F) = 1 or Philips' (2005,1011) = P, so the others; magnitude is empty."""
    ge = {1: "PHASE", 2: "REAL", 3: "IMAGINARY"}.get(data.integer(GE_IMAGE_PART, "SS"), "")
    philips = {"P": "PHASE", "R": "REAL", "I": "IMAGINARY"}.get(data.text(PHILIPS_IMAGE_PART), "")
    part = data.text(_T["ComplexImageComponent"])
    return ge or philips or (part if part in ("PHASE", "REAL", "IMAGINARY", "MIXED") else "")


def _unit(data: Elements, rescale: Elements) -> str:
    """The unit that a real-world value mapping states, else the type of the rescaled values."""
    for mapping in data.items.get(_T["RealWorldValueMappingSequence"], []):
        for code in mapping.items.get(_T["MeasurementUnitsCodeSequence"], []):
            return code.text(_T["CodeValue"])
    return rescale.text(_T["RescaleType"])


def _cut_short(found: HeaderRead, header: Header, frames: int) -> bool:
    """True when a file with plain pixels ends before they do."""
    return found.pixel_bytes is not None and found.pixel_bytes < header.frame_bytes * frames


def _scale(data: Elements) -> tuple[float, float]:
    """Rescale slope and intercept: 1 and 0 where none is stated, 0 and 0 where what is stated is no number."""
    slope, intercept = data.number(_SLOPE), data.number(_INTERCEPT)
    if (slope is None and data.text(_SLOPE)) or (intercept is None and data.text(_INTERCEPT)):
        return 0.0, 0.0
    return (1.0 if slope is None else slope), intercept or 0.0


def _vector(data: Elements, keyword: str, length: int) -> Vector | None:
    """Numbers of a multi-valued attribute; None unless there are ``length``."""
    numbers = data.numbers(_T[keyword])
    return numbers if len(numbers) == length else None
