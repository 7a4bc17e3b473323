"""A slice of a converted volume against the pixels of its DICOM file."""

from __future__ import annotations

import numpy as np
from pydicom.pixels import pixel_array

from liverstiff.convert.nifti import RawImage
from liverstiff.convert.source import open_dicom
from liverstiff.dicom import Frame, Volume

_LPS_RAS = np.array([-1.0, -1.0, 1.0])


def holds_slice(image: RawImage, number: int, volume: Volume) -> bool:
    """True when the middle slice of a header-defined volume is found, voxel by voxel, in that volume of the image.

    Stored numbers are compared, so a scale factor plays no part. Tiled images are passed: their files are volumes.
    """
    frame = volume.frames[len(volume.frames) // 2]
    if frame.header.tiles > 1:
        return True
    place = slice_index(image.affine, frame, image.stored.shape[2])
    if place is None:
        return False
    stored = image.stored[:, :, place, number] if image.stored.ndim == 4 else image.stored[:, :, place]
    pixels = _pixels(frame)
    return pixels.shape == stored.T.shape and _same_numbers(pixels[::-1], stored.T)


def slice_index(affine: np.ndarray, frame: Frame, slices: int) -> int | None:
    """Index along the third axis of the slice at a frame's position; None when it lies outside."""
    if frame.position is None:
        return None
    voxel = np.linalg.solve(affine[:3, :3], _LPS_RAS * np.array(frame.position) - affine[:3, 3])
    place = round(float(voxel[2]))
    return place if 0 <= place < slices and abs(voxel[2] - place) < 0.1 else None


def _pixels(frame: Frame) -> np.ndarray:
    """Stored pixels (row, column) of one frame."""
    with open_dicom(frame.header.path) as file:
        return pixel_array(file, index=max(frame.number - 1, 0))


def _same_numbers(pixels: np.ndarray, stored: np.ndarray) -> bool:
    """True when the numbers agree, or differ by one slope and intercept (dcm2niix may write scaled values)."""
    if np.array_equal(pixels, stored):
        return True
    x, y = pixels.ravel().astype(np.float64), stored.ravel().astype(np.float64)
    if x.std() == 0 or y.std() == 0:
        return x.std() == y.std()
    return float(np.corrcoef(x, y)[0, 1]) > 1 - 1e-9
