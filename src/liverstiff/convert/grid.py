"""Where the frames of a stack lie on the grid of its image: what every image is checked by, whoever wrote it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from liverstiff.convert.nifti import RawImage
from liverstiff.dicom import Frame, Stack
from liverstiff.dicom.reading import Implausible
from liverstiff.dicom.values import plane_affine
from liverstiff.images import has_place, spacing

AWAY = 0.1
"""Voxels by which the corners of a slice may lie beside where its header says."""

SIZE = 1e-3
"""Relative difference allowed between a voxel size of the image and of the header."""


@dataclass(frozen=True)
class Placement:
    """How a frame lies in an array of voxels."""

    down: int
    """Axis of the array along which rows follow each other."""
    across: int
    """Axis along which columns do."""
    through: int
    """The third axis."""
    rows_turned: bool
    columns_turned: bool
    place: int
    """Index along the third axis."""


def place_of(plane: np.ndarray, affine: np.ndarray, shape: tuple[int, ...]) -> Placement | None:
    """How a frame lies on a grid; None when a corner of it is off by more than 0.1 voxel, or its pixel size differs.

    Args:
        plane: 4x4, (row, column, 0) of the frame to RAS+ mm.
        affine: 4x4, voxel index to RAS+ mm; its axes may be flipped or swapped against the frame's.
        shape: of the grid (x, y, z).
    """
    if not has_place(affine):
        return None
    to_voxel = np.linalg.inv(affine) @ plane
    steps, corner = to_voxel[:3, :2], to_voxel[:3, 3]
    down, across = (int(axis) for axis in np.abs(steps).argmax(axis=0))
    if down == across:
        return None
    through = 3 - down - across
    turned = bool(steps[down, 0] < 0), bool(steps[across, 1] < 0)
    found = Placement(down, across, through, *turned, round(float(corner[through])))
    sizes = np.abs([steps[down, 0], steps[across, 1]])
    fits = 0 <= found.place < shape[through] and np.abs(sizes - 1).max() <= SIZE
    return found if fits and _farthest(steps, corner, found, shape) <= AWAY else None


def _farthest(steps: np.ndarray, corner: np.ndarray, found: Placement, shape: tuple[int, ...]) -> float:
    """Largest distance in voxels, along an axis, of a frame's corners from those of its slice of the grid.

    Args:
        steps: (3, 2), voxels from row to row and from column to column.
        corner: (3,), the first pixel.
        found: the slice.
        shape: of the grid (x, y, z).
    """
    exact, first = np.zeros((3, 2)), np.zeros(3)
    last_row, last_column = shape[found.down] - 1, shape[found.across] - 1
    exact[found.down, 0] = -1 if found.rows_turned else 1
    exact[found.across, 1] = -1 if found.columns_turned else 1
    first[found.down] = last_row if found.rows_turned else 0
    first[found.across] = last_column if found.columns_turned else 0
    first[found.through] = found.place
    corners = np.array([[0, last_row, 0, last_row], [0, 0, last_column, last_column]])
    return float(np.abs((corner - first)[:, None] + (steps - exact) @ corners).max())


def plane_of(frame: Frame) -> np.ndarray | None:
    """4x4, (row, column, 0) to RAS+ mm by a frame's header; None where that gives no place."""
    if frame.position is None or frame.orientation is None or frame.spacing is None:
        return None
    try:
        return plane_affine(frame.position, frame.orientation, frame.spacing)
    except Implausible:
        return None


def lies_where_stated(image: RawImage, stack: Stack) -> bool:
    """True when the grid of an image is that of its frames' headers: place and size of every pixel, step of the slices.

    Of a tiled image, whose slices state no position, only the size of the pixels is compared.
    """
    if stack.first.header.tiles > 1:
        return _pixels_as_stated(image, stack)
    shape = image.stored.shape[:3]
    for volume in stack.volumes:
        planes = [plane_of(frame) for frame in volume.frames]
        found = [None if plane is None else place_of(plane, image.affine, shape) for plane in planes]
        places = [one.place for one in found if one is not None]
        if len(set(places)) != len(planes):
            return False
        if not _steps_as_stated(image.affine, planes[0], planes[-1], len(planes)):
            return False
    return True


def _pixels_as_stated(image: RawImage, stack: Stack) -> bool:
    across, down, _ = spacing(image.affine)
    stated = [frame.spacing for frame in stack.frames]
    return all(pair is not None and np.allclose((down, across), pair, rtol=SIZE, atol=0) for pair in stated)


def _steps_as_stated(affine: np.ndarray, low: np.ndarray | None, high: np.ndarray | None, slices: int) -> bool:
    """True when the mean step from slice to slice is one voxel of the grid."""
    if low is None or high is None:
        return False
    step = np.linalg.inv(affine[:3, :3]) @ (high[:3, 3] - low[:3, 3]) / max(slices - 1, 1)
    return slices == 1 or bool(abs(np.abs(step).max() - 1) <= SIZE)
