"""NIfTI files as bytes: the voxels and geometry as dcm2niix wrote them, no text in the header, no time stamp."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

HEADER_BYTES, DATA_START = 348, 352
TEXT_FIELDS = ("data_type", "db_name", "intent_name", "descrip", "aux_file")
"""Header texts; dcm2niix puts the time of day and image comments there."""


@dataclass(frozen=True)
class RawImage:
    """A NIfTI-1 image whose voxels stay as they are stored."""

    header: nib.Nifti1Header
    stored: np.ndarray
    """(x, y, z[, volume]), before slope and intercept."""

    @property
    def affine(self) -> np.ndarray:
        """4x4 matrix to mm, RAS+ world."""
        return self.header.get_best_affine()

    @property
    def scale(self) -> tuple[float, float]:
        """Slope and intercept that turn stored voxels into values."""
        slope, intercept = self.header.get_slope_inter()
        return (1.0 if slope is None else float(slope)), (0.0 if intercept is None else float(intercept))


def read_raw(path: Path) -> RawImage:
    """Read a ``.nii`` written by dcm2niix, without applying slope and intercept."""
    content = Path(path).read_bytes()
    header = nib.Nifti1Header(content[:HEADER_BYTES], check=False)
    start = max(int(header["vox_offset"]), DATA_START)
    shape = header.get_data_shape()
    voxels = np.frombuffer(content, header.get_data_dtype(), count=int(np.prod(shape)), offset=start)
    return RawImage(header, voxels.reshape(shape, order="F"))


def write_raw(image: RawImage, path: Path) -> None:
    """Write a ``.nii.gz`` with blank header texts; the same image gives the same bytes."""
    header = image.header.copy()
    for field in TEXT_FIELDS:
        header[field] = b""
    header["vox_offset"] = DATA_START
    content = header.binaryblock + bytes(DATA_START - HEADER_BYTES) + image.stored.tobytes(order="F")
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(gzip.compress(content, compresslevel=1, mtime=0))


def stack_volumes(volumes: list[RawImage]) -> RawImage:
    """One 4D image of 3D images on the same grid; as float32 values when their scaling or type differs.

    Raises:
        ValueError: when the grids differ.
    """
    first = volumes[0]
    for other in volumes[1:]:
        if other.stored.shape != first.stored.shape or not np.allclose(other.affine, first.affine, atol=1e-3):
            raise ValueError("volumes lie on different grids")
    header = first.header.copy()
    if len({(volume.scale, volume.stored.dtype) for volume in volumes}) > 1:
        arrays = [(volume.stored * volume.scale[0] + volume.scale[1]).astype(np.float32) for volume in volumes]
        header.set_data_dtype(np.float32)
        header.set_slope_inter(1, 0)
    else:
        arrays = [volume.stored for volume in volumes]
    voxels = np.stack(arrays, axis=-1) if len(arrays) > 1 else arrays[0]
    header.set_data_shape(voxels.shape)
    return RawImage(header, voxels)
