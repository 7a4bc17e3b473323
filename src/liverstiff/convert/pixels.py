"""Slices of a converted image against the pixels of their DICOM files."""

from __future__ import annotations

import numpy as np

from liverstiff.convert.grid import place_of, plane_of
from liverstiff.convert.nifti import RawImage
from liverstiff.dicom import Frame, SourceFile, Stack
from liverstiff.dicom.reading import CannotRead
from liverstiff.dicom.values import Image, open_image


def holds_slices(image: RawImage, stack: Stack) -> bool:
    """True when the middle slice of every volume of a stack is found, pixel by pixel, in that volume of the image.

    Stored numbers are compared. Where dcm2niix wrote values instead, one slope and intercept must fit all volumes.
    """
    opened: dict[SourceFile, Image] = {}
    relations = []
    for number, volume in enumerate(stack.volumes):
        frame = volume.frames[len(volume.frames) // 2]
        voxels = image.stored[..., number] if image.stored.ndim == 4 else image.stored
        try:
            pixels = _pixels(frame, opened)
        except CannotRead:
            return False
        if frame.header.tiles > 1:
            relation = _tile_relation(pixels, voxels, frame.header.tiles)
        else:
            found = slice_of(voxels, image.affine, frame)
            relation = None if found is None else _relation(pixels, found)
        if relation is None:
            return False
        relations.append(relation)
    return all(np.allclose(relation, relations[0], rtol=1e-3, atol=1e-3) for relation in relations)


def slice_of(voxels: np.ndarray, affine: np.ndarray, frame: Frame) -> np.ndarray | None:
    """The slice (row, column) of a volume (x, y, z) that lies where a frame lies; None when there is none.

    Args:
        voxels: the volume, in axes that may be flipped or swapped against the DICOM file.
        affine: 4x4 matrix to mm, RAS+ world.
        frame: position, orientation (LPS) and spacing of the DICOM image.
    """
    stated = plane_of(frame)
    found = None if stated is None else place_of(stated, affine, voxels.shape)
    if found is None:
        return None
    plane = voxels[tuple(found.place if axis == found.through else slice(None) for axis in range(3))]
    plane = plane.T if found.across < found.down else plane
    plane = plane[::-1] if found.rows_turned else plane
    return plane[:, ::-1] if found.columns_turned else plane


def _pixels(frame: Frame, opened: dict[SourceFile, Image]) -> np.ndarray:
    """Stored pixels (row, column) of one frame; a multi-frame object is opened once."""
    image = opened.get(frame.file) or open_image(frame.file)
    if frame.frames > 1:
        opened[frame.file] = image
    return image.frame(max(frame.number - 1, 0))


def _tile_relation(mosaic: np.ndarray, voxels: np.ndarray, tiles: int) -> tuple[float, float] | None:
    """How the middle tile (row, column) of a mosaic appears among the slices of a volume (x, y, z)."""
    columns, rows, slices = voxels.shape
    if slices != tiles or mosaic.shape[0] % rows or mosaic.shape[1] % columns:
        return None
    place, wide = tiles // 2, mosaic.shape[1] // columns
    top, left = place // wide * rows, place % wide * columns
    tile = mosaic[top : top + rows, left : left + columns]
    for z in (place, tiles - 1 - place):  # dcm2niix turns the order of some mosaics
        relation = _relation(tile[::-1], voxels[..., z].T)
        if relation is not None:
            return relation
    return None


def _relation(pixels: np.ndarray, stored: np.ndarray) -> tuple[float, float] | None:
    """Slope and intercept that turn pixels into the numbers of the image; None when none do."""
    if pixels.shape != stored.shape:
        return None
    if np.array_equal(pixels, stored):
        return 1.0, 0.0
    x, y = pixels.ravel().astype(np.float64), stored.ravel().astype(np.float64)
    if x.std() == 0 or y.std() == 0 or float(np.corrcoef(x, y)[0, 1]) <= 1 - 1e-9:
        return None
    slope, intercept = np.polyfit(x, y, 1)
    return float(slope), float(intercept)
