"""NIfTI files as bytes: voxels and geometry as they were handed over, no text in the header, no time stamp."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from isal import isal_zlib

HEADER_BYTES, DATA_START = 348, 352
TEXT_FIELDS = ("data_type", "db_name", "intent_name", "descrip", "aux_file")
"""Header texts; dcm2niix puts the time of day and image comments there."""

GZIP_FORMAT = 16 + 15
"""What zlib's interface calls a gzip file with the largest window; its head holds no name and no time."""


class OtherGrid(ValueError):
    """Volumes do not share a grid."""


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


def make_raw(stored: np.ndarray, affine: np.ndarray, scale: tuple[float, float] = (1.0, 0.0)) -> RawImage:
    """An image of voxels (x, y, z[, volume]) on a scanner's grid in mm."""
    header = nib.Nifti1Header()
    header.set_data_dtype(stored.dtype)
    header.set_data_shape(stored.shape)
    header.set_zooms([*np.linalg.norm(affine[:3, :3], axis=0), *[1.0] * (stored.ndim - 3)])
    header.set_sform(affine, code="scanner")
    header.set_qform(affine, code="scanner", strip_shears=True)
    header.set_slope_inter(*scale)
    header.set_xyzt_units("mm", "sec")
    return RawImage(header, stored)


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
    header["vox_offset"], header["magic"] = DATA_START, b"n+1"
    voxels = image.stored
    flat = voxels.reshape(-1, order="F") if voxels.flags.f_contiguous else voxels.ravel(order="F")
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with Path(path).open("wb") as file:
        file.writelines(_packed([header.binaryblock + bytes(DATA_START - HEADER_BYTES), flat.data.cast("B")]))


def _packed(parts: list[bytes | memoryview]) -> list[bytes]:
    """A gzip file of some parts; ISA-L's level 1 packs better than zlib's and in an eighth of the time."""
    packer = isal_zlib.compressobj(1, isal_zlib.DEFLATED, GZIP_FORMAT)
    return [*map(packer.compress, parts), packer.flush()]


def stack_volumes(volumes: list[RawImage]) -> RawImage:
    """One 4D image of 3D images on the same grid; as float32 values when their scaling or type differs.

    Raises:
        OtherGrid: when the grids differ.
    """
    first = volumes[0]
    for other in volumes[1:]:
        if other.stored.shape != first.stored.shape or not np.allclose(other.affine, first.affine, atol=1e-3):
            raise OtherGrid("volumes lie on different grids")
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
