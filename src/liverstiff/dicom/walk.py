"""A walk over the header of a DICOM file that jumps over all that is not wanted.

pydicom builds an object for every element; a catalog of a million files needs some sixty of them and no pixel. What the
walk does not read by itself (deflated or big-endian files, files without preamble) pydicom rewrites for it.
"""

from __future__ import annotations

import io
import struct
import warnings
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pydicom import dcmread, dcmwrite
from pydicom.charset import convert_encodings
from pydicom.uid import ExplicitVRLittleEndian

from liverstiff.dicom.elements import CHARACTER_SET, Elements, vr_number
from liverstiff.dicom.files import LARGEST_UNPACKED, Read

PIXEL_DATA = 0x7FE00010
TRANSFER_SYNTAX = 0x00020010
IMPLICIT = b"1.2.840.10008.1.2"
PLAIN = (IMPLICIT, b"1.2.840.10008.1.2.1")
PREAMBLE = bytes(128)
_META_LENGTH, _META_SYNTAX = b"\x02\0\0\0UL\x04\0", b"\x02\0\x10\0UI"
NOT_WALKED = (b"1.2.840.10008.1.2.2", b"1.2.840.10008.1.2.1.99")
"""Transfer syntaxes that pydicom reads: big endian, deflated."""

CHUNK = 32_768
LONGEST_VALUE = 65_536
"""Bytes of the longest value that is kept; a longer one is a damaged length or no value of interest."""

UNDEFINED = 0xFFFFFFFF
_ITEM = b"\xfe\xff\x00\xe0"
_LONG_VRS = ("OB", "OD", "OF", "OL", "OV", "OW", "SQ", "UC", "UN", "UR", "UT", "SV", "UV")
_LONG_FORM = frozenset(map(vr_number, _LONG_VRS))
_SQ, _UN = vr_number("SQ"), vr_number("UN")
_head = struct.Struct("<HHHH").unpack_from
"""Group, element, value representation as a number, and the length of the short form."""
_tag = struct.Struct("<HH").unpack_from
_length = struct.Struct("<I").unpack_from


class DamagedHeader(ValueError):
    """The file ends, or a length leads, where no header can."""


class NotDicom(ValueError):
    """The file is no DICOM file."""


class _LeaveToPydicom(Exception):
    """The walk does not read this encoding."""


@dataclass(frozen=True, slots=True)
class HeaderRead:
    """What the walk over one file gave."""

    elements: Elements
    pixel_bytes: int | None
    """Bytes of pixel data that the file really holds; None when unknown (packed pixels) or when there are none."""
    has_pixels: bool
    compressed: bool
    """The pixels are packed by the transfer syntax."""


def read_elements(read: Read, size: int, wanted: frozenset[int]) -> HeaderRead:
    """The wanted elements of a DICOM file, up to its pixels.

    Args:
        read: gives bytes of the file.
        size: length of the file in bytes.
        wanted: tags at top level; a wanted sequence comes with all standard elements below it.

    Raises:
        NotDicom: when it is none.
        DamagedHeader: when it ends within the header, or its lengths make no sense.
    """
    start = read(CHUNK, 0)
    if start[128:132] != b"DICM":
        return _read_elements(*_rewritten(start, read, size), wanted)
    try:
        return _read_elements(read, size, wanted, start)
    except _LeaveToPydicom:
        return _read_elements(*_rewritten(start, read, size), wanted)


def _rewritten(start: bytes, read: Read, size: int) -> tuple[Read, int]:
    """The header written anew by pydicom in the plain encoding, in memory."""
    if start[128:132] != b"DICM" and start[:4] not in (b"\x02\0\0\0", b"\x08\0\0\0", b"\x08\0\x05\0", b"\x08\0\x08\0"):
        raise NotDicom
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            data = dcmread(io.BytesIO(read(min(size, LARGEST_UNPACKED), 0)), stop_before_pixels=True, force=True)
            if not data.get("SOPClassUID"):
                raise NotDicom
            data.ensure_file_meta()
            data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
            data.PixelData, data["PixelData"].VR = b"", "OW"  # there may be pixels; how many is not known
            data.preamble = bytes(128)
            target = io.BytesIO()
            dcmwrite(target, data, implicit_vr=False, little_endian=True, force_encoding=True)
    except NotDicom:
        raise
    except Exception as error:  # pydicom raises whatever a damaged file leads it to
        raise DamagedHeader(type(error).__name__) from None
    plain = target.getvalue()
    return (lambda count, offset: plain[offset : offset + count]), len(plain)


def _read_elements(read: Read, size: int, wanted: frozenset[int], buffer: bytes = b"") -> HeaderRead:
    """The walk, one pass of the loop per element.

    ``base`` is the file offset of the buffer, ``at`` the place in it, ``depth`` the number of open sequences of
    undefined length, ``opened`` tag and offset of the outermost, ``kept`` the tags of interest at the present depth.
    """
    buffer = buffer or read(CHUNK, 0)
    syntax, at = _file_meta(buffer)
    explicit, compressed = syntax != IMPLICIT, syntax not in PLAIN
    values: dict[int, tuple[int, bytes]] = {}
    sequences: dict[int, bytes] = {}
    kept, base, end, depth, opened = wanted, 0, len(buffer), 0, (0, 0)
    while True:
        if at + 12 > end:
            base += at
            if base > size:
                raise DamagedHeader("it ends within a value")
            buffer, at = read(CHUNK, base), 0
            end = len(buffer)
            if end < 8:
                if end or depth:
                    raise DamagedHeader("it ends within an element")
                return _made(values, sequences, explicit, None, False, compressed)
            buffer += bytes(max(0, 12 - end))
        group, element, vr, length = _head(buffer, at)
        if group >= 0x7FE0:
            if group == 0xFFFE:
                if element == 0xE0DD:
                    depth -= 1
                    if depth == 0:
                        kept = wanted
                        if opened[0] in wanted:
                            sequences[opened[0]] = read(base + at - opened[1], opened[1])
                at += 8
                continue
            if depth == 0 and (element or group > 0x7FE0):  # element 0 is the length of the group
                skip = 12 if explicit else 8
                pixels = _length(buffer, at + skip - 4)[0]
                known = max(0, min(pixels, size - base - at - skip)) if 0 < pixels < UNDEFINED else None
                is_pixels = (group, element) == (0x7FE0, 0x0010)
                return _made(values, sequences, explicit, known, is_pixels, compressed)
        if not explicit:
            vr, length, skip = 0, _length(buffer, at + 4)[0], 8
        elif vr in _LONG_FORM:
            length, skip = _length(buffer, at + 8)[0], 12
        else:
            skip = 8
        if length == UNDEFINED:
            if vr == _UN:
                raise _LeaveToPydicom
            if depth == 0:
                opened, kept = (group << 16 | element, base + at + skip), frozenset()
            depth += 1
            at += skip
            continue
        tag = group << 16 | element
        at += skip
        if tag in kept:
            if base + at + length > size:
                raise DamagedHeader("it ends within a value")
            value = buffer[at : at + length] if at + length <= end else read(length, base + at)
            if vr == _SQ or (not vr and value[:4] == _ITEM):
                sequences[tag] = value
            elif length <= LONGEST_VALUE:
                values[tag] = (vr, value)
        at += length


def _file_meta(buffer: bytes) -> tuple[bytes, int]:
    """The transfer syntax, and where the header proper begins: the meta information is always explicit."""
    at, syntax = len(PREAMBLE) + 4, b""
    if buffer[at : at + 8] == _META_LENGTH and len(buffer) > at + 12:  # it states its length: no need to walk
        end = at + 12 + _length(buffer, at + 8)[0]
        place = buffer.find(_META_SYNTAX, at, end)
        if place > 0 and buffer[end : end + 2] == b"\x08\0":
            syntax = buffer[place + 8 : place + 8 + buffer[place + 6]].rstrip(b"\0 ")
            if syntax in PLAIN:
                return syntax, end
            syntax = b""
    while at + 12 <= len(buffer):
        group, element, vr, length = _head(buffer, at)
        if group != 2:
            if not syntax or syntax in NOT_WALKED:
                raise _LeaveToPydicom
            return syntax, at
        if vr in _LONG_FORM:
            at, length = at + 4, _length(buffer, at + 8)[0]
        if group << 16 | element == TRANSFER_SYNTAX:
            syntax = buffer[at + 8 : at + 8 + length].rstrip(b"\0 ")
        at += 8 + length
    raise DamagedHeader("it ends within its meta information")


def _made(
    values: dict[int, tuple[int, bytes]],
    sequences: dict[int, bytes],
    explicit: bool,
    pixel_bytes: int | None,
    has_pixels: bool,
    compressed: bool,
) -> HeaderRead:
    """The result, sequences parsed."""
    encodings = _encodings(values)
    items = {tag: parse_items(content, explicit, encodings) for tag, content in sequences.items()}
    known = None if compressed else pixel_bytes
    return HeaderRead(Elements(values, items, encodings), known, has_pixels, compressed)


_CODECS: dict[bytes, tuple[str, ...]] = {}


def _encodings(values: dict[int, tuple[int, bytes]]) -> tuple[str, ...]:
    """Codecs of the stated character set."""
    stated = values.get(CHARACTER_SET, (0, b""))[1]
    if stated not in _CODECS:
        names: Any = [part.strip() for part in stated.decode("ascii", "replace").strip("\0 ").split("\\")]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                _CODECS[stated] = tuple(convert_encodings(names))
            except (LookupError, ValueError):
                _CODECS[stated] = ("iso8859",)
    return _CODECS[stated]


def parse_items(content: bytes, explicit: bool, encodings: tuple[str, ...]) -> list[Elements]:
    """Items of a sequence from its bytes; private elements are left out.

    Raises:
        DamagedHeader: when lengths make no sense.
    """
    items, at = [], 0
    try:
        while at + 8 <= len(content):
            group, element = _tag(content, at)
            if (group, element) != (0xFFFE, 0xE000):
                break  # the delimiter of the sequence, or padding
            length = _length(content, at + 4)[0]
            item, at = _parse_item(content, at + 8, length, explicit, encodings)
            items.append(item)
    except struct.error:
        raise DamagedHeader("a sequence ends within an element") from None
    return items


@lru_cache(8192)
def _parse_again(content: bytes, explicit: bool, encodings: tuple[str, ...]) -> list[Elements]:
    """As :func:`parse_items`: most frames of an object repeat most of their functional groups."""
    return parse_items(content, explicit, encodings)


def _parse_item(
    content: bytes, at: int, length: int, explicit: bool, encodings: tuple[str, ...]
) -> tuple[Elements, int]:
    """One item from the place after its head; also the place after the item."""
    end = len(content) if length == UNDEFINED else at + length
    item = Elements(encodings=encodings)
    while at + 8 <= end:
        group, element, vr, size = _head(content, at)
        if group == 0xFFFE:  # the delimiter of an item of undefined length
            return item, at + 8
        vr, size, skip = _head_of(content, at, explicit, vr, size)
        tag, begin = group << 16 | element, at + skip
        if size == UNDEFINED:
            size = _undefined_size(content, begin, explicit and vr != _UN)
            after = begin + size + 8
        else:
            after = begin + size
        if group % 2 == 0 and (vr == _SQ or content[begin : begin + 4] == _ITEM):
            item.items[tag] = _parse_again(content[begin : begin + size], explicit, encodings)
        elif group % 2 == 0 and size <= LONGEST_VALUE:
            item.values[tag] = (vr, content[begin : begin + size])
        at = after
    return item, end


def _head_of(content: bytes, at: int, explicit: bool, vr: int, size: int) -> tuple[int, int, int]:
    """Representation, length of the value and length of the head of an element inside a sequence."""
    if not explicit:
        return 0, _length(content, at + 4)[0], 8
    return (vr, _length(content, at + 8)[0], 12) if vr in _LONG_FORM else (vr, size, 8)


def _undefined_size(content: bytes, at: int, explicit: bool) -> int:
    """Bytes of a sequence of undefined length, without its delimiter."""
    begin, depth = at, 1
    while True:
        group, element, vr, size = _head(content, at)
        if group == 0xFFFE:
            depth -= element == 0xE0DD
            if not depth:
                return at - begin
            at += 8
            continue
        _, size, skip = _head_of(content, at, explicit, vr, size)
        depth += size == UNDEFINED
        at += skip + (0 if size == UNDEFINED else size)
