"""DICOM files from series: pydicom encodes each distinct value once; images get what differs by hand."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from pydicom.charset import convert_encodings
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element, write_file_meta_info
from pydicom.uid import UID, ExplicitVRLittleEndian

from liverstiff.simulate.dicom import ENHANCED_MR_IMAGE, MR_IMAGE, Frame, Part, Private, Series, uid
from liverstiff.simulate.multiframe import enhanced_objects

_PLACEHOLDER = uid("placeholder")
_PER_FRAME = 0x52009230

Elements = dict[int, bytes]
"""Encoded elements by tag."""


class Encoder:
    """Encodes exams of one character set in explicit little endian; remembers what it has encoded."""

    def __init__(self, character_set: str) -> None:
        """Args: character_set: SpecificCharacterSet."""
        self._encodings = convert_encodings(character_set)
        self._known: dict[tuple[int, str, str], bytes] = {}

    def files(self, series: Series, own_uid: UID, common: Elements) -> Iterator[bytes]:
        """The files of a series, in the order of instance numbers.

        Args:
            series: what is stored.
            own_uid: SeriesInstanceUID.
            common: what all series of the exam share, encoded by :meth:`elements`.
        """
        attributes = series.attributes | {"SeriesInstanceUID": own_uid, "SeriesNumber": series.number}
        encode = self._classic if series.objects == "image" else self._enhanced
        yield from encode(series, attributes, own_uid, common)

    def _classic(self, series: Series, attributes: dict[str, Any], own_uid: UID, common: Elements) -> Iterator[bytes]:
        """A file an image."""
        attributes |= {"SOPClassUID": series.sop_class}
        if series.sop_class == MR_IMAGE:
            attributes |= {"ImageOrientationPatient": list(series.orientation), "PixelSpacing": list(series.spacing)}
        shared = common | self.elements(attributes)
        parts = {id(part): shared | self._part_elements(part) for part in series.parts}
        for number, (part, frame) in enumerate(series.images(), start=1):
            own = self.elements(_own_attributes(frame, number), frame.private)
            elements = parts[id(part)] | own
            yield _file(series.sop_class, uid(own_uid, number), elements, frame.pixels.tobytes(), _depth(frame))

    def _enhanced(self, series: Series, attributes: dict[str, Any], own_uid: UID, common: Elements) -> Iterator[bytes]:
        """Multi-frame objects."""
        for number, item in enumerate(enhanced_objects(series, attributes, own_uid), start=1):
            own = {"InstanceNumber": number, "SOPClassUID": ENHANCED_MR_IMAGE}
            top = self.elements(_pixel_attributes(item.frames[0]) | item.attributes | own, item.private)
            groups = {_PER_FRAME: _sequence(_PER_FRAME, b"".join(map(self._item, item.per_frame)))}
            pixels = b"".join(frame.pixels.tobytes() for frame in item.frames)
            depth = _depth(item.frames[0])
            yield _file(ENHANCED_MR_IMAGE, uid(own_uid, number), common | top | groups, pixels, depth)

    def _part_elements(self, part: Part) -> Elements:
        """What the images of a part share."""
        return self.elements(_pixel_attributes(part.frames[0]) | part.attributes, part.private)

    def elements(self, attributes: Mapping[str, Any], private: tuple[Private, ...] = ()) -> Elements:
        """Encoded standard and private elements; one private creator is reserved per group and call, or more."""
        encoded: Elements = {}
        for keyword, value in attributes.items():
            tag, vr = _tag_and_vr(keyword)
            encoded[tag] = self._element(tag, vr, value)
        blocks: dict[tuple[int, str], int] = {}
        for group, creator, element, vr, value in private:
            taken = sum(known == group for known, _ in blocks)
            block = blocks.setdefault((group, creator), 0x10 + taken)
            encoded[group << 16 | block] = self._element(group << 16 | block, "LO", creator)
            encoded[group << 16 | block << 8 | element] = self._element(group << 16 | block << 8 | element, vr, value)
        return encoded

    def _element(self, tag: int, vr: str, value: Any) -> bytes:
        """One encoded element; a sequence is a list of attributes. UIDs are not worth remembering."""
        if vr == "UI" and isinstance(value, str):
            return _uid_element(tag, value)
        key = (tag, vr, repr(value))
        if key not in self._known:
            if vr == "SQ":
                self._known[key] = _sequence(tag, b"".join(map(self._item, value)))
            else:
                self._known[key] = _written(DataElement(tag, vr, value), self._encodings)
        return self._known[key]

    def _item(self, attributes: Mapping[str, Any]) -> bytes:
        """One item of a sequence."""
        parts = self.elements(attributes)
        body = b"".join(parts[tag] for tag in sorted(parts))
        return struct.pack("<HHI", 0xFFFE, 0xE000, len(body)) + body


def _sequence(tag: int, items: bytes) -> bytes:
    """A sequence of encoded items, with its length."""
    return struct.pack("<HH2sHI", tag >> 16, tag & 0xFFFF, b"SQ", 0, len(items)) + items


def _uid_element(tag: int, value: str) -> bytes:
    """A UID, padded to even length."""
    data = value.encode() + b"\0" * (len(value) % 2)
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, b"UI", len(data)) + data


@cache
def _tag_and_vr(keyword: str) -> tuple[int, str]:
    """Tag and value representation of an attribute; the first of several."""
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise KeyError(f"{keyword!r} is no DICOM attribute")
    return int(tag), dictionary_VR(tag).split(" ")[0]


def _written(element: DataElement, encodings: list[str]) -> bytes:
    """An element in explicit little endian."""
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    write_data_element(buffer, element, encodings)
    return buffer.getvalue()


def _file(sop_class: UID, instance: UID, elements: Elements, pixels: bytes, depth: int) -> bytes:
    """A whole file: head, elements in the order of their tags, pixels of ``depth`` bits."""
    elements[0x00080018] = _uid_element(0x00080018, instance)
    head = _file_head(sop_class).replace(_PLACEHOLDER.encode(), instance.encode())
    vr, padded = (b"OB", pixels + bytes(len(pixels) % 2)) if depth == 8 else (b"OW", pixels)
    tail = struct.pack("<HH2sHI", 0x7FE0, 0x0010, vr, 0, len(padded))
    return b"".join((head, *(elements[tag] for tag in sorted(elements)), tail, padded))


@cache
def _file_head(sop_class: UID) -> bytes:
    """Preamble and file meta information, with a placeholder as SOPInstanceUID."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = sop_class, _PLACEHOLDER
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID, meta.ImplementationVersionName = uid("liverstiff"), "LIVERSTIFF_SIM"
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    write_file_meta_info(buffer, meta, enforce_standard=True)
    return bytes(128) + b"DICM" + buffer.getvalue()


def _own_attributes(frame: Frame, number: int) -> dict[str, Any]:
    """What one classic image has alone."""
    own: dict[str, Any] = {"InstanceNumber": number}
    if frame.position is not None:
        own |= {"ImagePositionPatient": list(frame.position), "SliceLocation": frame.position[2]}
    return own | frame.attributes


def _depth(frame: Frame) -> int:
    """Bits of a stored value."""
    return 8 * frame.pixels.itemsize


def _pixel_attributes(frame: Frame) -> dict[str, Any]:
    """How the pixels are stored."""
    rows, columns, *colours = frame.pixels.shape
    depth = _depth(frame)
    attributes = {"SamplesPerPixel": 3 if colours else 1, "Rows": rows, "Columns": columns}
    attributes |= {"BitsAllocated": depth, "BitsStored": depth, "HighBit": depth - 1, "PixelRepresentation": 0}
    return attributes | ({"PhotometricInterpretation": "RGB", "PlanarConfiguration": 0} if colours else _GREY)


_GREY = {"PhotometricInterpretation": "MONOCHROME2"}
