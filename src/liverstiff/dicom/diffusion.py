"""b-values and directions from the tags of each vendor."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from liverstiff.dicom.elements import Elements, tag_of

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
    vr: str
    """Representation of the value where the file does not state it."""


B_VALUE_TAGS = (
    PrivateTag(0x0043, 0x39, "GEMS_PARM_01", "IS"),
    PrivateTag(0x0019, 0x0C, "SIEMENS MR HEADER", "IS"),
    PrivateTag(0x2001, 0x03, "Philips Imaging DD 001", "FL"),
    PrivateTag(0x0065, 0x09, "Image Private Header", "FD"),
)
DIRECTION_TAGS = (
    (PrivateTag(0x0019, 0x0E, "SIEMENS MR HEADER", "FD"),),
    tuple(PrivateTag(0x0019, low, "GEMS_ACQU_01", "DS") for low in (0xBB, 0xBC, 0xBD)),
    (PrivateTag(0x0065, 0x37, "Image Private Header", "FD"),),
    tuple(PrivateTag(0x2005, low, "Philips MR Imaging DD 001", "FL") for low in (0xB0, 0xB1, 0xB2)),
)
"""Where a direction is stated: three numbers in one element, or one in each of three."""
BLOCKS = range(0x10, 0x13)

_B_PLACES = [(tag.group << 16 | block << 8 | tag.element, tag) for tag in B_VALUE_TAGS for block in BLOCKS]

STANDARD_B = tag_of("DiffusionBValue")
STANDARD_DIRECTION = tag_of("DiffusionGradientOrientation")
IMAGE_COMMENTS = tag_of("ImageComments")
_GRADIENTS = tag_of("DiffusionGradientDirectionSequence")

_GROUPS = (0x0019, 0x0043, 0x0065, 0x2001, 0x2005)
PRIVATE_TAGS = frozenset(
    tag.group << 16 | block << 8 | tag.element
    for tag in (*B_VALUE_TAGS, *(tag for tags in DIRECTION_TAGS for tag in tags))
    for block in BLOCKS
) | frozenset(group << 16 | block for group in _GROUPS for block in BLOCKS)
"""All private elements that may hold a b-value or a direction, with the creators of their blocks."""


def b_value(header: Elements, sequence_name: str) -> float | None:
    """The b-value in s/mm2 of a single-frame header; None when it states none.

    The vendor's own element, else (0018,9087), else the sequence name, else Canon's comment. GE writes its own element
    on every volume, the standard one not for b = 0; for the others both agree.
    """
    for place, tag in _B_PLACES:
        if place in header.values:
            numbers = private_numbers(header, tag)
            if numbers and numbers[0] >= 0:
                return numbers[0] - GE_FLAG if tag.group == 0x0043 and numbers[0] >= GE_FLAG else numbers[0]
    standard = header.number(STANDARD_B)
    if standard is not None:
        return standard
    named = _b_of_name(sequence_name)
    if named is None and IMAGE_COMMENTS in header.values:
        comment = re.match(r"b=(\d+(?:\.\d+)?)\b", header.text(IMAGE_COMMENTS))
        return float(comment[1]) if comment else None
    return named


@lru_cache(1024)
def _b_of_name(sequence: str) -> float | None:
    """The b-value in a sequence name such as ``*ep_b400t`` or ``ep_b50#1``."""
    found = re.match(r"\*?ep_?b(\d+)", sequence)
    return float(found[1]) if found else None


def direction(header: Elements) -> Direction | None:
    """The diffusion direction of a single-frame header, where one is stated: what tells volumes of one b-value apart.

    By (0018,9089) and for Siemens in patient axes (LPS); GE and UIH state it in axes of their own.
    """
    standard = _vector(header.numbers(STANDARD_DIRECTION))
    if standard is not None:
        return standard
    for tags in DIRECTION_TAGS:
        found = _vector(tuple(number for tag in tags for number in private_numbers(header, tag)))
        if found is not None:
            return found
    comment = re.match(r"b=[\d.]+\(([-\d.]+),([-\d.]+),([-\d.]+)\)", header.text(IMAGE_COMMENTS))
    return _vector(tuple(float(number) for number in comment.groups())) if comment else None


def frame_diffusion(group: Elements) -> tuple[float | None, Direction | None]:
    """b-value and direction of one frame's MR Diffusion Sequence item."""
    return group.number(STANDARD_B), _vector(group.item(_GRADIENTS).numbers(STANDARD_DIRECTION))


def private_numbers(header: Elements, tag: PrivateTag) -> tuple[float, ...]:
    """The numbers in a private element, in whatever block its creator reserved; empty when absent or unreadable."""
    for block in BLOCKS:
        place = tag.group << 16 | block << 8 | tag.element
        if place not in header.values:
            continue
        owner = header.text(tag.group << 16 | block)
        if owner == tag.creator or (not owner and block == BLOCKS[0]):
            return header.numbers(place, tag.vr)
    return ()


def _vector(numbers: tuple[float, ...]) -> Direction | None:
    return (numbers[0], numbers[1], numbers[2]) if len(numbers) == 3 else None
