"""Series split by header into stacks (one kind of image on one grid), and stacks into volumes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from liverstiff.dicom.frames import Frame, Vector
from liverstiff.records import SeriesReason

DIFFUSION_B = 10.0
"""A series with a b-value above this (s/mm2) is diffusion; scanners write up to 1.25 for b = 0."""

DIFFUSION_MAPS = frozenset({"ADC", "EADC", "FA", "EXP", "EXPONENTIAL", "TRACEW", "TENSOR", "COLFA", "B0"})
"""Image-type values that make a map, or a trace image, out of a diffusion series."""

POSITION_MM = 0.01
"""Slices closer than this lie at the same position."""

TILT = 0.02
"""Difference of direction cosines that still is one orientation."""

SHIFTED_PIXELS = 0.1
"""Pixels by which the corners of a stack's images may be off the line across its slices."""

UNEVEN_MM = 0.2
"""Gaps between slices may differ by this much; dcm2niix is silent up to the same."""


class Fault(NamedTuple):
    """Why a stack cannot be one image."""

    reason: SeriesReason
    detail: str


@dataclass(frozen=True)
class Volume:
    """One 3D image of a stack."""

    b_value: float | None
    """s/mm2; None where the stack is no diffusion."""
    frames: tuple[Frame, ...]
    """Ascending along the slice normal."""

    @property
    def first(self) -> tuple:
        """Where the volume comes among the others of its stack."""
        return min(_order(frame) for frame in self.frames)


@dataclass(frozen=True)
class Stack:
    """Frames of one series that share grid, orientation, image type and echo."""

    frames: tuple[Frame, ...]
    directions: int = 1
    """Number of slice orientations in the whole series."""
    echoes: int = 1
    """Number of echo times in the whole series."""

    @property
    def first(self) -> Frame:
        """A frame that stands for all where they agree."""
        return self.frames[0]

    @property
    def diffusion(self) -> bool:
        """True when some frame has a b-value above zero."""
        return any((frame.b_value or 0) > DIFFUSION_B for frame in self.frames)

    @cached_property
    def volumes(self) -> list[Volume]:
        """The volumes in the order of their instance numbers or dimension indices."""
        return _volumes(self.frames, self.diffusion)

    @property
    def slices(self) -> int:
        """Slices of the largest volume."""
        return max(len(volume.frames) for volume in self.volumes) * self.first.header.tiles

    @property
    def b_values(self) -> list[float]:
        """b of each volume; empty where the stack is no diffusion."""
        return [volume.b_value or 0.0 for volume in self.volumes] if self.diffusion else []

    @cached_property
    def positions(self) -> list[float]:
        """Distinct slice positions in mm along the normal."""
        return sorted({slice_position(frame) for frame in self.frames})

    @property
    def normal(self) -> np.ndarray | None:
        """Unit vector across the slices (LPS); None without an orientation."""
        orientation = self.first.orientation
        return None if orientation is None else np.cross(orientation[:3], orientation[3:])

    @property
    def scales(self) -> set[tuple[float, float]]:
        """Rescale slopes and intercepts of its frames."""
        return {(frame.slope, frame.intercept) for frame in self.frames}

    def fault(self) -> Fault | None:
        """Why the frames do not fill volumes; None when they do."""
        lost = sum(frame.cut_short for frame in self.frames)
        if lost:
            return Fault(SeriesReason.CUT_SHORT, f"the pixels of {lost} of {len(self.frames)} images are cut short")
        return self._bad_geometry() or self._uneven_volumes() or self._uneven_gaps()

    def _bad_geometry(self) -> Fault | None:
        """Pixels without a size, axes that are none, images shifted against each other, a scale of 0."""
        if any(not frame.slope for frame in self.frames):
            return Fault(SeriesReason.IMPLAUSIBLE, "the rescale slope is 0")
        if self.first.header.tiles > 1:
            return None
        if any(frame.spacing is None or min(frame.spacing) <= 0 for frame in self.frames):
            return Fault(SeriesReason.IMPLAUSIBLE, "no pixel spacing is stated")
        if any(not _is_frame_of_axes(frame.orientation) or frame.position is None for frame in self.frames):
            return Fault(SeriesReason.IMPLAUSIBLE, "position or orientation is missing or impossible")
        origins = np.array([in_plane(frame, self.first) for frame in self.frames])
        line = np.array([(slice_position(frame), 1.0) for frame in self.frames])
        fitted = line @ np.linalg.lstsq(line, origins, rcond=None)[0]
        if np.abs(origins - fitted).max() > SHIFTED_PIXELS:
            return Fault(SeriesReason.IMPLAUSIBLE, "images are shifted against each other within their plane")
        return None

    def _uneven_volumes(self) -> Fault | None:
        """Volumes of different size: slices are missing, or some are there twice."""
        counts = [len(volume.frames) for volume in self.volumes]
        if len(set(counts)) <= 1:
            return None
        text = f"volumes have {min(counts)} to {max(counts)} slices"
        if 2 * min(counts) < max(counts):
            return Fault(SeriesReason.DUPLICATED_SLICE, f"slices are doubled: {text}")
        return Fault(SeriesReason.MISSING_SLICE, f"slices are missing: {text}")

    def _uneven_gaps(self) -> Fault | None:
        """Distances that differ: a gap of several steps where slices are missing, else uneven positions."""
        gaps = np.diff(self.positions)
        if not len(gaps) or np.ptp(gaps) <= UNEVEN_MM:
            return None
        step = float(np.median(gaps))
        steps = gaps / step
        text = f"{gaps.min():.2f} to {gaps.max():.2f} mm"
        if step > 0 and np.abs(steps - np.rint(steps)).max() < 0.1 and steps.max() > 1.5:
            missing = int(np.rint(steps).sum()) - len(gaps)
            return Fault(SeriesReason.MISSING_SLICE, f"{missing} slices are missing: unevenly spaced, {text}")
        return Fault(SeriesReason.UNEVEN_SLICES, f"slices are unevenly spaced: {text}")

    def volume_by_volume(self) -> bool:
        """True when the instance order runs volume by volume and monotonically through each."""
        place = {id(frame): rank for rank, frame in enumerate(sorted(self.frames, key=_order))}
        for volume in self.volumes:
            ranks = [place[id(frame)] for frame in volume.frames]
            if max(ranks) - min(ranks) != len(ranks) - 1 or ranks not in (sorted(ranks), sorted(ranks, reverse=True)):
                return False
        return True


def split_stacks(frames: Iterable[Frame]) -> list[Stack]:
    """Stacks of the frames of one series, without exact copies; in the order of their first frames."""
    frames, _ = without_copies(frames)
    diffusion = any((frame.b_value or 0) > DIFFUSION_B for frame in frames)
    zero_stated = any(frame.b_value is not None and frame.b_value <= DIFFUSION_B for frame in frames)
    planes = _planes(frames)
    groups: dict[tuple, list[Frame]] = defaultdict(list)
    for frame, plane in zip(frames, planes, strict=True):
        groups[_stack_key(frame, plane, diffusion, zero_stated)].append(frame)
    directions = len(set(planes))
    echoes = len({_echo(frame) for frame in frames})
    stacks = [Stack(tuple(sorted(group, key=_order)), directions, echoes) for group in groups.values()]
    return sorted(stacks, key=lambda stack: _order(stack.first))


def _stack_key(frame: Frame, plane: int, diffusion: bool, zero_stated: bool) -> tuple:
    """What frames of one stack share. In diffusion, b = 0 may differ from the rest in echo time and image type.

    An image without a b-value is that at b = 0 only where no other states b = 0; else it is a part of its own.
    """
    part = frozenset(frame.image_type) & DIFFUSION_MAPS if diffusion else frame.image_type
    echo = None if diffusion else _echo(frame)
    phase = "P" in frame.image_type
    spacing = tuple(round(value, 2) for value in frame.spacing or ())
    unknown = diffusion and zero_stated and frame.b_value is None
    return (
        frame.header.rows,
        frame.header.columns,
        plane,
        spacing,
        part,
        phase,
        frame.component,
        frame.unit,
        echo,
        unknown,
    )


def _echo(frame: Frame) -> float | None:
    return None if frame.echo_time is None else round(frame.echo_time, 2)


def _planes(frames: list[Frame]) -> list[int]:
    """The orientation of each frame, as the number of the first one that is nearly the same."""
    known: dict[Vector, int] = {}
    numbers: list[int] = []
    firsts: list[Vector] = []
    for frame in frames:
        orientation = frame.orientation or ()
        if orientation not in known:
            near = (number for number, first in enumerate(firsts) if _near(first, orientation))
            known[orientation] = next(near, len(firsts))
            if known[orientation] == len(firsts):
                firsts.append(orientation)
        numbers.append(known[orientation])
    return numbers


def _near(one: Vector, other: Vector) -> bool:
    return len(one) == len(other) and all(abs(a - b) <= TILT for a, b in zip(one, other, strict=True))


def _is_frame_of_axes(orientation: Vector | None) -> bool:
    """True for two unit vectors at a right angle."""
    if orientation is None:
        return False
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    return bool(np.allclose([row @ row, column @ column], 1, atol=TILT) and abs(row @ column) <= TILT)


def in_plane(frame: Frame, other: Frame) -> Vector:
    """Where the first pixel of a frame lies in the plane of another, in pixels of that one along row and column.

    Both must state position, orientation and spacing.
    """
    orientation, spacing = other.orientation or (), other.spacing or ()
    position = np.array(frame.position)
    along_row, along_column = position @ np.array(orientation[:3]), position @ np.array(orientation[3:])
    return float(along_row / spacing[1]), float(along_column / spacing[0])


def without_copies(frames: Iterable[Frame]) -> tuple[list[Frame], list[Frame]]:
    """What an archive stored once, and what it stored again: same instance, or same everything under a new number."""
    seen: set[tuple] = set()
    kept: list[Frame] = []
    copies: list[Frame] = []
    for frame in sorted(frames, key=lambda frame: (frame.file, frame.number)):
        same = (frame.instance, frame.time, frame.position, frame.image_type, frame.echo_time, frame.b_value)
        part = (frame.direction, frame.moment, frame.component, frame.unit, frame.number)
        marks: set[tuple] = {(frame.sop_uid or frame.file, frame.instance, frame.position, frame.number)}
        if frame.instance > 0:
            marks.add((*same, *part))
        (copies if marks & seen else kept).append(frame)
        seen |= marks
    return kept, copies


def slice_position(frame: Frame) -> float:
    """Position in mm along the slice normal; 0 for tiled images, which hold all their slices."""
    if frame.position is None or frame.orientation is None or frame.header.tiles > 1:
        return 0.0
    (a, b, c, d, e, f), (x, y, z) = frame.orientation, frame.position
    place = (b * f - c * e) * x + (c * d - a * f) * y + (a * e - b * d) * z
    return round(place / POSITION_MM) * POSITION_MM


def _order(frame: Frame) -> tuple:
    """Order of acquisition as dcm2niix takes it: instance number, then dimension index or frame number."""
    return frame.instance, frame.index, frame.number, frame.file


def _volumes(frames: tuple[Frame, ...], diffusion: bool) -> list[Volume]:
    """Group frames by b-value and direction, then those at one position by time."""
    groups: dict[tuple, dict[float, list[Frame]]] = defaultdict(lambda: defaultdict(list))
    for frame in sorted(frames, key=_order):
        groups[_volume_key(frame, diffusion)][slice_position(frame)].append(frame)
    volumes = []
    for places in groups.values():
        _sort_by_moment(places)
        for copy in range(max(map(len, places.values()))):
            found = tuple(places[place][copy] for place in sorted(places) if copy < len(places[place]))
            volumes.append(Volume((found[0].b_value or 0.0) if diffusion else None, found))
    return volumes if len(groups) == 1 else sorted(volumes, key=lambda volume: volume.first)


def _volume_key(frame: Frame, diffusion: bool) -> tuple:
    if not diffusion:
        return ()
    direction = tuple(round(value, 3) + 0.0 for value in frame.direction or ())
    return round(frame.b_value or 0.0, 3), direction


def _sort_by_moment(places: dict[float, list[Frame]]) -> None:
    """Order the frames at each position by whatever tells volumes over time apart; else they stay as acquired.

    An attribute does when it takes the same values at every position, one frame each: then it counts volumes, and no
    order of instance numbers can scramble them.
    """
    if max(map(len, places.values())) == 1:
        return
    for part in range(len(next(iter(places.values()))[0].moment)):
        seen = [sorted(frame.moment[part] for frame in found) for found in places.values()]
        if len(set(seen[0])) == len(seen[0]) and all(values == seen[0] for values in seen):
            for found in places.values():
                found.sort(key=lambda frame: frame.moment[part])
            return
