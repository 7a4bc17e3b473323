"""Elements of a DICOM header as bytes by tag, decoded when they are asked for."""

from __future__ import annotations

import math
import struct
import warnings
from dataclasses import dataclass, field
from functools import lru_cache

from pydicom.charset import decode_bytes
from pydicom.datadict import dictionary_VR, tag_for_keyword

CHARACTER_SET = 0x00080005
BINARY = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d"}
TEXT = ("AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UI", "UT", "UC")
"""Value representations stored as numbers, with their struct codes, and as text."""


def vr_number(name: str) -> int:
    """The two letters of a value representation as they stand in a file; 0 for none."""
    return int.from_bytes(name.encode(), "little")


_CODES = {vr_number(name): code for name, code in BINARY.items()}
_STATED = frozenset(map(vr_number, (*BINARY, *TEXT)))


def tag_of(keyword: str) -> int:
    """The tag of a standard attribute."""
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise KeyError(keyword)
    return int(tag)


@dataclass(slots=True)
class Elements:
    """Some elements of a dataset or of a sequence's item, undecoded."""

    values: dict[int, tuple[int, bytes]] = field(default_factory=dict)
    """By tag: value representation as a number (0 where the file does not state it) and bytes."""
    items: dict[int, list[Elements]] = field(default_factory=dict)
    """By tag of a sequence: its items."""
    encodings: tuple[str, ...] = ("iso8859",)
    """Codecs of its texts."""

    def text(self, tag: int) -> str:
        """A text without padding; empty when absent."""
        found = self.values.get(tag)
        return _text(found[1], self.encodings) if found else ""

    def texts(self, tag: int) -> tuple[str, ...]:
        """Values of a multi-valued text, upper case; empty when absent."""
        found = self.values.get(tag)
        return _texts(found[1], self.encodings) if found else ()

    def numbers(self, tag: int, vr: str = "") -> tuple[float, ...]:
        """The numbers of an element, stored as text or binary; empty when absent or no numbers.

        Args:
            tag: which element.
            vr: its representation by the standard or the vendor, for files that do not state it.
        """
        found = self.values.get(tag)
        if found is None:
            return ()
        stated, raw = found
        return _numbers(stated if stated in _STATED else _vr_of(tag, vr), raw)

    def number(self, tag: int, vr: str = "") -> float | None:
        """The first number of an element; None when there is none."""
        numbers = self.numbers(tag, vr)
        return numbers[0] if numbers else None

    def integer(self, tag: int, vr: str = "") -> int:
        """The first number of an element as an integer; 0 when there is none."""
        number = self.number(tag, vr)
        return int(number or 0)

    def item(self, tag: int) -> Elements:
        """The first item of a sequence; one without elements when there is none."""
        found = self.items.get(tag)
        return found[0] if found else NOTHING

    def flattened(self) -> dict[int, tuple[int, bytes]]:
        """All values, those of the first item of every sequence included; the outer ones count."""
        flat: dict[int, tuple[int, bytes]] = {}
        for items in self.items.values():
            if items:
                flat |= items[0].flattened()
        return flat | self.values


NOTHING = Elements()


def _text(raw: bytes, encodings: tuple[str, ...]) -> str:
    """A text without padding."""
    raw = raw.strip(b"\0 ")
    if raw.isascii() and b"\x1b" not in raw:
        return raw.decode("ascii")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they quote the text, which may be a name
        return decode_bytes(raw, list(encodings), set()).strip()


@lru_cache(4096)
def _texts(raw: bytes, encodings: tuple[str, ...]) -> tuple[str, ...]:
    """The parts of a multi-valued text; all images of a series state the same."""
    text = _text(raw, encodings)
    return tuple(part.strip().upper() for part in text.split("\\")) if text else ()


@lru_cache(None)
def _vr_of(tag: int, vr: str) -> int:
    """The representation of an element whose file does not state it: the one given, else that of the standard."""
    try:
        return vr_number(vr or dictionary_VR(tag)[:2])
    except KeyError:
        return 0


@lru_cache(65_536)
def _numbers(vr: int, raw: bytes) -> tuple[float, ...]:
    """Numbers from their bytes; none when one of them is not finite. Many images of a series state the same."""
    code = _CODES.get(vr)
    if code:
        size = struct.calcsize(code)
        numbers = struct.unpack(f"<{len(raw) // size}{code}", raw[: len(raw) // size * size])
    else:
        try:
            numbers = tuple([float(part) for part in raw.strip(b"\0 ").split(b"\\") if part.strip()])
        except ValueError:
            return ()
    return numbers if all(map(math.isfinite, numbers)) else ()
