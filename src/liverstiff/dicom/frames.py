"""One pass over a DICOM file: what each of its images is and where it belongs."""

from __future__ import annotations

import gzip
import struct
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError

from liverstiff.dicom import diffusion
from liverstiff.dicom.header import TAGS, Header, Vector, component, number_of, read_header, tokens_of, vector_of

DAMAGED = (InvalidDicomError, OSError, EOFError, zlib.error, struct.error, ValueError, KeyError, NotImplementedError)
"""What pydicom raises for a file that is no DICOM, or a damaged one."""

STACK_POINTERS = (0x00209056, 0x00209057)
"""Dimension pointers that number the stack and the slice within it."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One image: a single-frame file, or one frame of a multi-frame object. Positions in mm, patient axes (LPS)."""

    header: Header
    number: int
    """0 for a single-frame file, else the frame's number from 1."""
    image_type: tuple[str, ...]
    component: str
    """``PHASE``, ``REAL``, ... where the header says so by a tag of its own; empty otherwise."""
    unit: str
    """UCUM code of the real-world value mapping, e.g. ``kPa``; empty when there is none."""
    echo_time: float | None
    position: Vector | None
    orientation: Vector | None
    b_value: float | None
    direction: Vector | None
    index: tuple[int, ...]
    """Dimension index without stack and slice, last pointer first: sorts the volumes of a multi-frame object."""


def read_frames(path: Path) -> list[Frame] | None:
    """Frames of a file (``.gz`` is unpacked on the way); None when it is no DICOM image or cannot be read."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they quote values of the header, which may be identifiers
        try:
            with _open(path) as file:
                data = dcmread(file, stop_before_pixels=True, specific_tags=TAGS)
                if any(not data.get(word) for word in ("Rows", "StudyInstanceUID", "SeriesInstanceUID")):
                    return None
                return _multi_frame(path, data) if "PerFrameFunctionalGroupsSequence" in data else [_single(path, data)]
        except DAMAGED:
            return None


def _open(path: Path) -> IO[bytes]:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]


def _single(path: Path, data: Dataset) -> Frame:
    """The one frame of a classic object."""
    return Frame(
        header=read_header(path, data, data),
        number=0,
        image_type=tokens_of(data.get("ImageType")),
        component=component(data),
        unit=_unit(data),
        echo_time=number_of(data.get("EchoTime")),
        position=vector_of(data.get("ImagePositionPatient"), 3),
        orientation=vector_of(data.get("ImageOrientationPatient"), 6),
        b_value=diffusion.b_value(data),
        direction=diffusion.direction(data),
        index=(),
    )


def _multi_frame(path: Path, data: Dataset) -> list[Frame]:
    """All frames of an enhanced object: each attribute from the frame, else the shared group, else the top."""
    shared = next(iter(data.get("SharedFunctionalGroupsSequence") or []), Dataset())
    groups = list(data.PerFrameFunctionalGroupsSequence)
    header = read_header(path, data, _merged(data, shared, groups[0]))
    kept = [
        place
        for place, item in enumerate(data.get("DimensionIndexSequence") or [])
        if item.get("DimensionIndexPointer") not in STACK_POINTERS
    ]
    return [_enhanced(header, number, data, shared, group, kept) for number, group in enumerate(groups, start=1)]


def _enhanced(header: Header, number: int, data: Dataset, shared: Dataset, group: Dataset, kept: list[int]) -> Frame:
    """One frame of an enhanced object; ``kept`` are the places of the dimension index that tell volumes apart."""

    def item(sequence: str) -> Dataset:
        return next(iter(group.get(sequence) or shared.get(sequence) or []), Dataset())

    frame_type = item("MRImageFrameTypeSequence")
    b, direction = diffusion.frame_diffusion(item("MRDiffusionSequence"))
    numbers = item("FrameContentSequence").get("DimensionIndexValues")
    numbers = [numbers] if isinstance(numbers, int) else list(numbers or [])
    return Frame(
        header=header,
        number=number,
        image_type=tokens_of(frame_type.get("FrameType") or data.get("ImageType")),
        component=component(frame_type) or component(data),
        unit=_unit(group) or _unit(shared),
        echo_time=number_of(item("MREchoSequence").get("EffectiveEchoTime")),
        position=vector_of(item("PlanePositionSequence").get("ImagePositionPatient"), 3),
        orientation=vector_of(item("PlaneOrientationSequence").get("ImageOrientationPatient"), 6),
        b_value=b,
        direction=direction,
        index=tuple(int(numbers[place]) for place in reversed(kept) if place < len(numbers)),
    )


def _merged(data: Dataset, shared: Dataset, group: Dataset) -> Dataset:
    """A flat view of a multi-frame object's first frame: what lies in functional groups, by its keyword."""
    flat = Dataset()
    for source in (data, *_items(shared), *_items(group)):
        for element in source:
            if element.tag.group % 2 == 0 and element.VR != "SQ":
                flat[element.tag] = element
    return flat


def _items(group: Dataset) -> list[Dataset]:
    return [element.value[0] for element in group if element.VR == "SQ" and element.value]


def _unit(data: Dataset) -> str:
    """The unit that a real-world value mapping states."""
    for mapping in data.get("RealWorldValueMappingSequence") or []:
        for code in mapping.get("MeasurementUnitsCodeSequence") or []:
            return str(code.get("CodeValue") or "")
    return ""
