"""Images between stages: NIfTI in RAS+ axes, millimetres, byte-identical when written twice."""

from __future__ import annotations

import gzip
import math
import os
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.orientations import OrientationError
from nibabel.spatialimages import HeaderDataError, HeaderTypeError
from nibabel.wrapstruct import WrapStructError

if TYPE_CHECKING:
    import ants

os.environ.setdefault("ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS", "1")  # read by ITK when ants is imported

UNREADABLE = (
    *(OSError, EOFError, ValueError, OverflowError, zlib.error),
    *(ImageFileError, HeaderDataError, HeaderTypeError, WrapStructError, OrientationError),
)
"""What nibabel raises for a damaged NIfTI."""

LPS_RAS = np.array([-1.0, -1.0, 1.0])
"""Turns x, y, z of DICOM and ITK (to the left, back, head) into those of NIfTI (right, front, head), and back."""


def is_nifti_path(path: str | Path) -> bool:
    """True for a name that ends as a NIfTI image's does, in small or capital letters."""
    return str(path).lower().endswith((".nii", ".nii.gz"))


LARGEST_VOXELS = 4 * 2**30
"""Bytes that the voxels of a NIfTI may take; a packed file of a few kilobytes can state any number."""


def voxels_of(image: Any) -> np.ndarray:
    """Voxels of an opened NIfTI, scaled as its header says.

    Raises:
        ImageFileError: there are more than :data:`LARGEST_VOXELS` bytes of them.
    """
    if math.prod(image.shape) * image.get_data_dtype().itemsize > LARGEST_VOXELS:
        raise ImageFileError(f"its voxels take more than {LARGEST_VOXELS} bytes")
    return np.asarray(image.dataobj)


def load(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Voxels (x, y, z[, volume]) as float32 in RAS+ axes, and the 4x4 affine to millimetres.

    Raises:
        Exception: one of :data:`UNREADABLE` for a file that cannot be read.
    """
    image = nib.as_closest_canonical(nib.load(path))
    return np.asarray(image.dataobj, dtype=np.float32), image.affine


def save(path: str | Path, voxels: np.ndarray, affine: np.ndarray) -> None:
    """Write voxels (x, y, z[, volume]) as NIfTI; ``.nii.gz`` carries no time stamp and no file name."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(np.ascontiguousarray(voxels), affine)
    image.header.set_xyzt_units("mm")
    image.set_sform(affine, code=1)
    image.set_qform(affine, code=1)
    path.write_bytes(gzip.compress(image.to_bytes(), compresslevel=1, mtime=0))


def spacing(affine: np.ndarray) -> tuple[float, float, float]:
    """Voxel size in mm along the three array axes."""
    x, y, z = np.linalg.norm(affine[:3, :3], axis=0)
    return float(x), float(y), float(z)


def has_place(affine: np.ndarray) -> bool:
    """True when a 4x4 affine gives every voxel a place of its own: it is finite and its axes span a volume."""
    if not np.isfinite(affine).all():
        return False
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    return bool((sizes > 1e-6).all() and abs(np.linalg.det(affine[:3, :3] / sizes)) > 1e-3)


def voxel_ml(affine: np.ndarray) -> float:
    """Volume of one voxel in millilitres."""
    return float(abs(np.linalg.det(affine[:3, :3]))) / 1000.0


_RAS_LPS = np.diag([*LPS_RAS, 1.0])


def to_ants(voxels: np.ndarray, affine: np.ndarray) -> ants.ANTsImage:
    """An ANTs image (ITK's LPS world) of a 3D array with a RAS+ affine."""
    import ants

    lps = _RAS_LPS @ affine
    step = np.array(spacing(affine))
    return ants.from_numpy(
        np.ascontiguousarray(voxels, dtype=np.float32),
        origin=lps[:3, 3].tolist(),
        spacing=step.tolist(),
        direction=lps[:3, :3] / step,
    )


def from_ants(image: Any) -> tuple[np.ndarray, np.ndarray]:
    """The array and RAS+ affine of an ANTs image; inverse of :func:`to_ants`."""
    affine = np.eye(4)
    affine[:3, :3] = np.asarray(image.direction) * np.asarray(image.spacing)
    affine[:3, 3] = image.origin
    return image.numpy(), _RAS_LPS @ affine


def grid(affine: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """World coordinates in mm of every voxel centre, shape (*shape, 3)."""
    index = np.stack(np.meshgrid(*[np.arange(n) for n in shape[:3]], indexing="ij"), axis=-1)
    return index @ affine[:3, :3].T + affine[:3, 3]


def seed_ants(seed: int) -> None:
    """Make ANTs' registrations repeatable; it takes a seed here only, and ignores one given as an argument."""
    import ants

    ants.config.set_ants_deterministic(True, seed)
