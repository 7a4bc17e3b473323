"""A slice of a converted volume against the pixels of its DICOM file."""

from __future__ import annotations

import numpy as np
from pydicom.pixels import pixel_array

from liverstiff.convert.nifti import RawImage
from liverstiff.convert.source import open_dicom
from liverstiff.dicom import Frame, Volume

_LPS_RAS = np.array([-1.0, -1.0, 1.0])


def holds_slice(image: RawImage, number: int, volume: Volume) -> bool:
    """True when the middle slice of a header-defined volume is found, pixel by pixel, in that volume of the image.

    Stored numbers are compared, so a scale factor plays no part. Tiled images are passed: their files are volumes.
    """
    frame = volume.frames[len(volume.frames) // 2]
    if frame.header.tiles > 1:
        return True
    stored = image.stored[..., number] if image.stored.ndim == 4 else image.stored
    found = slice_of(stored, image.affine, frame)
    return found is not None and _same_numbers(_pixels(frame), found)


def slice_of(voxels: np.ndarray, affine: np.ndarray, frame: Frame) -> np.ndarray | None:
    """The slice (row, column) of a volume (x, y, z) that lies where a frame lies; None when there is none.

    Args:
        voxels: the volume, in axes that may be flipped or swapped against the DICOM file.
        affine: 4x4 matrix to mm, RAS+ world.
        frame: position and orientation (LPS) of the DICOM image.
    """
    if frame.position is None or frame.orientation is None:
        return None
    to_voxel = np.linalg.inv(affine[:3, :3])
    along_row = to_voxel @ (_LPS_RAS * np.array(frame.orientation[:3]))
    along_column = to_voxel @ (_LPS_RAS * np.array(frame.orientation[3:]))
    across, down = int(np.argmax(np.abs(along_row))), int(np.argmax(np.abs(along_column)))
    through = 3 - across - down
    if across == down:
        return None
    place = float((to_voxel @ (_LPS_RAS * np.array(frame.position) - affine[:3, 3]))[through])
    if abs(place - round(place)) > 0.1 or not 0 <= round(place) < voxels.shape[through]:
        return None
    plane = np.take(voxels, round(place), axis=through)
    plane = plane.T if across < down else plane
    plane = plane[::-1] if along_column[down] < 0 else plane
    return plane[:, ::-1] if along_row[across] < 0 else plane


def _pixels(frame: Frame) -> np.ndarray:
    """Stored pixels (row, column) of one frame."""
    with open_dicom(frame.header.path) as file:
        return pixel_array(file, index=max(frame.number - 1, 0))


def _same_numbers(pixels: np.ndarray, stored: np.ndarray) -> bool:
    """True when the numbers agree, or differ by one slope and intercept (dcm2niix may write scaled values)."""
    if pixels.shape != stored.shape or np.array_equal(pixels, stored):
        return pixels.shape == stored.shape
    x, y = pixels.ravel().astype(np.float64), stored.ravel().astype(np.float64)
    if x.std() == 0 or y.std() == 0:
        return x.std() == y.std()
    return float(np.corrcoef(x, y)[0, 1]) > 1 - 1e-9
