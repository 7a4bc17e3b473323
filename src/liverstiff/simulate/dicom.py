"""What a series is before it becomes files: frames in parts, with what is true of each part."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from pydicom.uid import UID

from liverstiff.simulate.signal import Grid

MR_IMAGE = UID("1.2.840.10008.5.1.4.1.1.4")
ENHANCED_MR_IMAGE = UID("1.2.840.10008.5.1.4.1.1.4.1")
SECONDARY_CAPTURE = UID("1.2.840.10008.5.1.4.1.1.7")
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)

Private = tuple[int, str, int, str, Any]
"""Group, creator, last two digits of the element, value representation, value."""

Kind = Literal[
    "T1w",
    "T1w_post",
    "T2w",
    "DWI",
    "ADC",
    "MRE_raw",
    "MRE_wave",
    "MRE_stiffness",
    "MRE_masked_stiffness",
    "MRE_confidence",
    "localizer",
    "derived",
    "other",
]

Objects = Literal["image", "volume", "series"]
"""A classic file an image, an enhanced object a volume, or one enhanced object."""

Dimension = Literal["stack", "place", "b", "time", "echo"]
"""What the frames of an enhanced object are indexed by."""


@dataclass(frozen=True)
class Frame:
    """One image of a series."""

    pixels: np.ndarray
    """Stored integers (row, column), uint16 or uint8; colours (row, column, 3), uint8."""
    position: tuple[float, float, float] | None
    """LPS millimetres of the first pixel's centre; none in a secondary capture."""
    attributes: dict[str, Any] = field(default_factory=dict)
    """Standard attributes of this image alone, by keyword."""
    private: tuple[Private, ...] = ()
    """Private elements of this image alone."""
    volume: int = 0
    """Which volume of its part, from 0."""


@dataclass(frozen=True)
class Part:
    """Images of one kind: a whole series, or one of several stacks that share a SeriesInstanceUID."""

    kind: Kind
    """What the images are."""
    variant: str
    """Which way of making them, e.g. ``water`` or ``single-shot``; empty where there is one."""
    source: bool
    """They may be taken as T1w, T2w, DWI or MRE."""
    frames: list[Frame]
    """In the order of instance numbers."""
    attributes: dict[str, Any]
    """Standard attributes of every image of the part, by keyword; ``ImageType`` and ``EchoTime`` among them."""
    private: tuple[Private, ...] = ()
    """Private elements of every image of the part."""


@dataclass(frozen=True)
class Series:
    """Parts that share a SeriesInstanceUID."""

    number: int
    parts: tuple[Part, ...]
    spacing: tuple[float, float]
    """Millimetres between rows, between columns."""
    attributes: dict[str, Any]
    """Standard attributes of every image, by keyword."""
    orientation: tuple[float, ...] = AXIAL
    objects: Objects = "image"
    """How the images are spread over files."""
    dimensions: tuple[Dimension, ...] = ("stack", "place", "b")
    """Of enhanced objects, in the order of their pointers."""
    sop_class: UID = MR_IMAGE
    """Of classic files."""
    interleaved: bool = False
    """Instance numbers run through the parts at each place instead of part by part."""

    def images(self) -> list[tuple[Part, Frame]]:
        """Every image with its part, in the order of instance numbers."""
        if self.interleaved:
            places = zip(*(part.frames for part in self.parts), strict=True)
            return [pair for place in places for pair in zip(self.parts, place, strict=True)]
        return [(part, frame) for part in self.parts for frame in part.frames]


def uid(*parts: Any) -> UID:
    """A UID that follows from its parts alone, always 44 characters long."""
    number = int.from_bytes(hashlib.sha256("/".join(map(str, parts)).encode()).digest()[:16])
    return UID(f"2.25.{10**38 + number % (2 * 10**38)}")


def series_uid(study: dict[str, Any], series: Series) -> UID:
    """SeriesInstanceUID of a series."""
    return uid(study["StudyInstanceUID"], series.number)


def axial_frames(volume: np.ndarray, grid: Grid) -> list[Frame]:
    """Slices of a volume (x, y, z) on RAS+ axes as DICOM images, from foot to head.

    Columns run to the patient's left and rows to the back, so both array axes are reversed.
    """
    stored = np.ascontiguousarray(volume[::-1, ::-1].transpose(2, 1, 0))
    last_x, last_y, z = _corner(grid)
    return [
        Frame(image, (round(-last_x, 4), round(-last_y, 4), round(z + k * grid.spacing[2], 4)))
        for k, image in enumerate(stored)
    ]


def coronal_frames(volume: np.ndarray, grid: Grid, step: int) -> list[Frame]:
    """Every ``step``-th coronal section of a volume (x, y, z) on RAS+ axes, from front to back, rows to the feet."""
    stored = np.ascontiguousarray(volume[::-1, ::-1, ::-1].transpose(1, 2, 0))
    last_x, last_y, z = _corner(grid)
    top = round(z + grid.spacing[2] * (grid.shape[2] - 1), 4)
    return [
        Frame(stored[k], (round(-last_x, 4), round(-last_y + k * grid.spacing[1], 4), top))
        for k in range(0, grid.shape[1], step)
    ]


def _corner(grid: Grid) -> tuple[float, float, float]:
    """RAS+ millimetres of the last voxel along x and y, and of the first along z."""
    x, y, z = grid.origin
    return x + grid.spacing[0] * (grid.shape[0] - 1), y + grid.spacing[1] * (grid.shape[1] - 1), z


def as_stored(volume: np.ndarray, top: int) -> np.ndarray:
    """Values rounded into 0 to ``top``, uint16."""
    return np.clip(np.rint(volume), 0, top).astype("<u2")
