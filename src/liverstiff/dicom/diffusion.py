"""b-values and directions from the tags of each vendor."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import Any

from pydicom import Dataset

Direction = tuple[float, float, float]

GE_FLAG = 1_000_000_000
"""GE adds this to the b-values of multi-b and synthetic series."""


@dataclass(frozen=True)
class PrivateTag:
    """A private element and the creator that owns its block."""

    group: int
    element: int
    """The low byte; the high byte is the block that the creator reserved."""
    creator: str
    number: str
    """struct code of the value when it is stored as unknown bytes; ``s`` for text."""


B_VALUE_TAGS = (
    PrivateTag(0x0043, 0x39, "GEMS_PARM_01", "s"),
    PrivateTag(0x0019, 0x0C, "SIEMENS MR HEADER", "s"),
    PrivateTag(0x2001, 0x03, "Philips Imaging DD 001", "f"),
    PrivateTag(0x0065, 0x09, "Image Private Header", "d"),
)
SIEMENS_DIRECTION = PrivateTag(0x0019, 0x0E, "SIEMENS MR HEADER", "d")
BLOCKS = range(0x10, 0x13)

STANDARD_B = 0x00189087
STANDARD_DIRECTION = 0x00189089

PRIVATE_ELEMENTS = [
    tag.group << 16 | block << 8 | low
    for tag in (*B_VALUE_TAGS, SIEMENS_DIRECTION)
    for block in BLOCKS
    for low in (tag.element,)
] + [tag.group << 16 | block for tag in B_VALUE_TAGS for block in BLOCKS]
"""All elements that may hold a b-value, with the creators of their blocks."""


def b_value(header: Dataset) -> float | None:
    """The b-value in s/mm2 of a single-frame header: the vendor's own element, else (0018,9087).

    GE writes its own element on every volume, the standard one not for b = 0; for the others both agree.
    """
    for tag in B_VALUE_TAGS:
        numbers = private_numbers(header, tag)
        if numbers and numbers[0] >= 0:
            return numbers[0] - GE_FLAG if tag.group == 0x0043 and numbers[0] >= GE_FLAG else numbers[0]
    if STANDARD_B in header:
        return _number(header[STANDARD_B].value)
    return _b_of_sequence_name(str(header.get("SequenceName", "")))


def direction(header: Dataset) -> Direction | None:
    """The diffusion direction in patient axes (LPS) of a single-frame header, where one is stated."""
    if STANDARD_DIRECTION in header:
        return _vector(header[STANDARD_DIRECTION].value)
    return _vector(private_numbers(header, SIEMENS_DIRECTION))


def frame_diffusion(group: Dataset) -> tuple[float | None, Direction | None]:
    """b-value and direction of one frame's MR Diffusion Sequence item."""
    direction_item = next(iter(group.get("DiffusionGradientDirectionSequence") or []), None)
    vector = direction_item.get("DiffusionGradientOrientation") if direction_item is not None else None
    return _number(group.get("DiffusionBValue")), _vector(vector)


def private_numbers(header: Dataset, tag: PrivateTag) -> list[float]:
    """The numbers in a private element, in whatever block its creator reserved; empty when absent or unreadable."""
    for block in BLOCKS:
        element = header.get((tag.group, block << 8 | tag.element))
        owner = header.get((tag.group, block))
        if element is None or (owner is not None and str(owner.value).strip() != tag.creator):
            continue
        if owner is not None or block == BLOCKS[0]:
            return _numbers(element.value, tag.number)
    return []


def _numbers(value: Any, code: str) -> list[float]:
    """Numbers from a typed value, or from the bytes of an element with VR UN."""
    if isinstance(value, bytes):
        if code == "s":
            value = value.decode("ascii", "replace").strip(" \0").split("\\")
        else:
            size = struct.calcsize(code)
            value = struct.unpack(f"<{len(value) // size}{code}", value[: len(value) // size * size])
    values = [value] if isinstance(value, str | int | float) else list(value if value is not None else [])
    numbers = [_number(item) for item in values]
    return [number for number in numbers if number is not None]


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _vector(value: Any) -> Direction | None:
    try:
        x, y, z = (float(item) for item in value)
    except (TypeError, ValueError):
        return None
    return x, y, z


def _b_of_sequence_name(name: str) -> float | None:
    """The b-value in a sequence name such as ``*ep_b400t`` or ``ep_b50#1``: the last resort."""
    found = re.match(r"\*?ep_?b(\d+)", name)
    return float(found[1]) if found else None
