"""A stack through pydicom, frame by frame, each with its own scale; in the axes that dcm2niix gives.

Columns run to the left, rows are flipped to the front, slices ascend along their normal.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from liverstiff.convert.by_dcm2niix import Result
from liverstiff.convert.faults import NotConverted
from liverstiff.convert.nifti import RawImage, make_raw
from liverstiff.convert.sidecar import sidecar_of
from liverstiff.dicom import Frame, SourceFile, Stack
from liverstiff.dicom.values import READ_ERRORS, Image, MapSlice, NotAMap, open_image
from liverstiff.records import SeriesReason

Take = Callable[[Image, int], Any]


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
        NotConverted: when a file cannot be read.
    """
    one_scale = len(stack.scales) == 1
    planes, first = _read(stack, (lambda image, index: image.stored[index]) if one_scale else Image.rescaled)
    volumes = [[planes[frame.file, frame.number] for frame in volume.frames] for volume in stack.volumes]
    voxels = np.stack([np.stack(volume) for volume in volumes])  # (volume, slice, row, column)
    scale = next(iter(stack.scales)) if one_scale else (1.0, 0.0)
    stored = voxels if one_scale else voxels.astype(np.float32)
    return Result(make_raw(_axes(stored), _affine(stack, first), scale), sidecar_of(first.image, first.index), [], None)


def convert_quantities(stack: Stack, apart: bool) -> Quantities:
    """A quantitative map in physical units.

    Args:
        stack: its frames.
        apart: give every slice an image of its own, at its own position.

    Raises:
        NotConverted: when a file cannot be read, or holds no values.
    """
    slices, first = _read(stack, Image.values)
    volumes = [[slices[frame.file, frame.number] for frame in volume.frames] for volume in stack.volumes]
    units = {part.unit for volume in volumes for part in volume}
    voxels = np.stack([np.stack([part.values for part in volume]) for volume in volumes]).astype(np.float32)
    sidecar = sidecar_of(first.image, first.index)
    if apart:
        step = _thickness(first)
        images = [
            make_raw(_axes(voxels[:, place : place + 1]), _grid(volumes[0][place], step, voxels.shape[2]))
            for place in range(voxels.shape[1])
        ]
    else:
        images = [make_raw(_axes(voxels), _affine(stack, first))]
    return Quantities(images, units.pop() if len(units) == 1 else "", sidecar)


@dataclass(frozen=True)
class _First:
    """The lowest slice of the first volume."""

    image: Image
    index: int


def _read(stack: Stack, take: Take) -> tuple[dict[tuple[SourceFile, int], Any], _First]:
    """What ``take`` gives of every frame, by file and number, and the first frame; each file is opened once."""
    wanted: dict[SourceFile, list[Frame]] = {}
    for volume in stack.volumes:
        for frame in volume.frames:
            wanted.setdefault(frame.file, []).append(frame)
    lowest = stack.volumes[0].frames[0]
    taken: dict[tuple[SourceFile, int], Any] = {}
    first: _First | None = None
    try:
        for file, frames in wanted.items():
            image = open_image(file)
            if len(image.stored) > 1 and not image.multi_frame:
                raise NotAMap("many frames without a position each")
            for frame in frames:
                taken[file, frame.number] = take(image, max(frame.number - 1, 0))
            if file == lowest.file:
                first = _First(image, max(lowest.number - 1, 0))
        assert first is not None
        first.image.affine(first.index)
    except READ_ERRORS as fault:
        what = str(fault) if isinstance(fault, NotAMap) else type(fault).__name__
        raise NotConverted(SeriesReason.UNREADABLE, f"a file cannot be read ({what})") from None
    return taken, first


def _axes(voxels: np.ndarray) -> np.ndarray:
    """(volume, slice, row, column) as (column, flipped row, slice[, volume])."""
    turned = voxels[:, :, ::-1].transpose(3, 2, 1, 0)
    return turned[..., 0] if turned.shape[3] == 1 else turned


def _affine(stack: Stack, first: _First) -> np.ndarray:
    """Voxel index to RAS+ mm of a whole stack; slices step from the first position to the last."""
    volume = stack.volumes[0].frames
    plane = MapSlice(np.empty(0), first.image.affine(first.index))
    affine = _grid(plane, _thickness(first), stack.first.header.rows)
    low, high = volume[0].position, volume[-1].position
    if len(volume) > 1 and low is not None and high is not None:
        affine[:3, 2] = np.array([-1.0, -1.0, 1.0]) * (np.array(high) - np.array(low)) / (len(volume) - 1)
    return affine


def _grid(part: MapSlice, step: float, rows: int) -> np.ndarray:
    """Voxel index (column, flipped row, slice) to RAS+ mm of one slice.

    Args:
        part: gives the plane.
        step: thickness in mm.
        rows: number of rows.
    """
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = part.affine[:3, 1], -part.affine[:3, 0]
    affine[:3, 2] = part.affine[:3, 2] * step
    affine[:3, 3] = part.affine[:3, 3] + part.affine[:3, 0] * (rows - 1)
    return affine


def _thickness(first: _First) -> float:
    """Slice thickness in mm; 1 where none is stated."""
    measures = first.image.group(first.index, "PixelMeasuresSequence")
    return float(measures.get("SliceThickness") or 1.0)
