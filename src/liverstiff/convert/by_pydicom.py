"""A stack through pydicom, frame by frame, each with its own scale; in the axes that dcm2niix gives.

Columns run to the left, rows are flipped to the front, slices ascend along their normal.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from liverstiff.convert.by_dcm2niix import Result
from liverstiff.convert.faults import NotConverted, not_converted
from liverstiff.convert.grid import place_of
from liverstiff.convert.nifti import RawImage, make_raw
from liverstiff.convert.sidecar import sidecar_of
from liverstiff.dicom import Frame, SourceFile, Stack
from liverstiff.dicom.reading import CannotRead, Implausible, number_of
from liverstiff.dicom.values import Image, MapSlice, open_image
from liverstiff.images import has_place
from liverstiff.records import Reason, SeriesReason

Take = Callable[[Image, int], MapSlice]
Volumes = Sequence[Sequence[MapSlice]]
"""Slices of each volume, ascending along their normal."""


@dataclass(frozen=True)
class Quantities:
    """A quantitative map: one image, or one per slice where slices are uneven."""

    images: list[RawImage]
    """float32 in physical units; NaN where the header maps no value."""
    unit: str
    """What all slices state; empty when they state none, or several."""
    sidecar: dict[str, Any]


def convert_frames(stack: Stack) -> Result:
    """All frames of an evenly spaced stack: stored integers where one scale holds for all, else float32 values.

    Raises:
        NotConverted: when a file cannot be read, or a frame lies beside the grid of the others.
    """
    if len(stack.scales) == 1:
        volumes, first = _read(stack, lambda image, index: MapSlice(image.plane(index), image.affine(index)))
        image = _evenly_spaced(volumes, first, next(iter(stack.scales)))
    else:
        volumes, first = _read(stack, lambda image, index: MapSlice(_float(image.rescaled(index)), image.affine(index)))
        image = _evenly_spaced(volumes, first)
    return Result(image, sidecar_of(first.image, first.index), [], None)


def convert_quantities(stack: Stack, apart: bool) -> Quantities:
    """A quantitative map in physical units.

    Args:
        stack: its frames.
        apart: give every slice an image of its own, at its own position.

    Raises:
        NotConverted: when a file cannot be read, or holds no values, or a frame lies beside the grid of the others.
    """
    if stack.first.header.tiles > 1:
        detail = "a map whose slices are tiled into one picture; export it with a file per slice"
        raise NotConverted(Reason.CONVERSION_FAILED, detail)
    volumes, first = _read(stack, Image.values)
    units = {part.unit for volume in volumes for part in volume}
    volumes = [[replace(part, values=_float(part.values)) for part in volume] for volume in volumes]
    groups = [list(zip(place, strict=True)) for place in zip(*volumes, strict=True)] if apart else [volumes]
    images = [_evenly_spaced(group, first) for group in groups]
    return Quantities(images, units.pop() if len(units) == 1 else "", sidecar_of(first.image, first.index))


def _float(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float32)


@dataclass(frozen=True)
class _First:
    """The lowest slice of the first volume."""

    image: Image
    index: int


def _read(stack: Stack, take: Take) -> tuple[Volumes, _First]:
    """What ``take`` gives of every frame, and the first frame; each file is opened once."""
    wanted: dict[SourceFile, list[Frame]] = {}
    for volume in stack.volumes:
        for frame in volume.frames:
            wanted.setdefault(frame.file, []).append(frame)
    lowest = stack.volumes[0].frames[0]
    taken: dict[tuple[SourceFile, int], MapSlice] = {}
    try:
        for file, frames in wanted.items():
            image = open_image(file)
            image.require_places()
            for frame in frames:
                taken[file, frame.number] = take(image, max(frame.number - 1, 0))
            if file == lowest.file:
                first = _First(image, max(lowest.number - 1, 0))
    except CannotRead as fault:
        raise not_converted(fault) from None
    return [[taken[frame.file, frame.number] for frame in volume.frames] for volume in stack.volumes], first


def _evenly_spaced(volumes: Volumes, first: _First, scale: tuple[float, float] = (1.0, 0.0)) -> RawImage:
    """One image of slices at even distances.

    Raises:
        NotConverted: when a slice lies beside the grid of the first volume by more than 0.1 voxel.
    """
    voxels = _axes(np.stack([np.stack([part.values for part in volume]) for volume in volumes]))
    affine = _affine(volumes[0], first, rows=voxels.shape[1])
    if not has_place(affine):
        raise NotConverted(SeriesReason.IMPLAUSIBLE, "its slices do not follow each other across their plane")
    for volume in volumes:
        found = [place_of(part.affine, affine, voxels.shape[:3]) for part in volume]
        if [None if one is None else one.place for one in found] != list(range(len(volume))):
            detail = "its slices lie on different grids: position, orientation or pixel spacing differ"
            raise NotConverted(SeriesReason.IMPLAUSIBLE, detail)
    return make_raw(voxels, affine, scale)


def _axes(voxels: np.ndarray) -> np.ndarray:
    """(volume, slice, row, column) as (column, flipped row, slice[, volume])."""
    turned = voxels[:, :, ::-1].transpose(3, 2, 1, 0)
    return turned[..., 0] if turned.shape[3] == 1 else turned


def _affine(volume: Sequence[MapSlice], first: _First, rows: int) -> np.ndarray:
    """Voxel index (column, flipped row, slice) to RAS+ mm; slices step from the first position to the last.

    Args:
        volume: its slices, ascending.
        first: states the thickness of a single slice.
        rows: number of rows.
    """
    low, high = volume[0].affine, volume[-1].affine
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = low[:3, 1], -low[:3, 0]
    affine[:3, 3] = low[:3, 3] + low[:3, 0] * (rows - 1)
    if len(volume) > 1:
        affine[:3, 2] = (high[:3, 3] - low[:3, 3]) / (len(volume) - 1)
    else:
        affine[:3, 2] = low[:3, 2] * _thickness(first)
    return affine


def _thickness(first: _First) -> float:
    """Slice thickness in mm; 1 where none is stated."""
    try:
        stated = number_of(first.image.group(first.index, "PixelMeasuresSequence"), "SliceThickness", 1.0) or 1.0
        if not 0 < stated < np.inf:
            raise Implausible("its slice thickness is not positive")
    except CannotRead as fault:
        raise not_converted(fault) from None
    return stated
