"""Images that are NIfTI already: checked and written anew without texts, voxels and geometry as they are."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd

from liverstiff.convert.diffusion import write_gradients
from liverstiff.convert.faults import NotConverted
from liverstiff.convert.nifti import RawImage, write_raw
from liverstiff.convert.sidecar import read_sidecar, write_sidecar
from liverstiff.dicom import SourceFile
from liverstiff.dicom.files import BROKEN_PACKING, TooLarge
from liverstiff.images import UNREADABLE, has_place, is_nifti_path
from liverstiff.records import SeriesReason

NIFTI2_BYTES = 540


def is_nifti(rows: pd.DataFrame) -> bool:
    """True when a table of files names NIfTI images."""
    return any(is_nifti_path(path) for path in rows.path)


def rewrite_nifti(rows: pd.DataFrame, out: Path) -> tuple[tuple[int, ...], list[float], list[str]]:
    """Write a NIfTI image anew: no text, no extension; voxels, affine and scale unchanged.

    Args:
        rows: ``path, member, volume, b_value`` of one image, a row per volume.
        out: the ``.nii.gz`` to write, with a ``.json`` of whitelisted entries of the one beside the source, and for
            diffusion ``.bval`` and ``.bvec``.

    Returns:
        Shape, b-values in s/mm2 (empty where there are none), notes.

    Raises:
        NotConverted: when the image cannot be read, or is not what the catalog found.
    """
    files = set(map(SourceFile, rows.path, rows.member))
    if len(files) != 1:
        raise NotConverted(SeriesReason.CONTRADICTION, f"{len(files)} NIfTI images of one sequence, expected one")
    source = files.pop()
    image = _read(source)
    volumes = image.stored.shape[3] if image.stored.ndim == 4 else 1
    ordered = rows.drop_duplicates("volume").sort_values("volume")
    if volumes != len(ordered):
        detail = f"it has {volumes} volumes, the catalog found {len(ordered)}; run catalog again"
        raise NotConverted(SeriesReason.CONTRADICTION, detail)
    write_raw(image, out)
    base = out.name.removesuffix(".nii.gz")
    write_sidecar(read_sidecar(_beside(source, ".json")), out.with_name(f"{base}.json"))
    b_values = [] if ordered.b_value.isna().any() else [float(b) for b in ordered.b_value]
    notes: list[str] = []
    if b_values:
        directions = _directions(_beside(source, ".bvec"), volumes)
        notes = [] if directions is not None else ["no readable directions beside the image: zeros are written"]
        write_gradients(b_values, np.zeros((3, volumes)) if directions is None else directions, out)
    return image.stored.shape, b_values, notes


def _read(source: SourceFile) -> RawImage:
    """Stored voxels and geometry as little-endian NIfTI-1."""
    try:
        content = source.content()
        made = nib.Nifti2Image if NIFTI2_BYTES in _lengths(content) else nib.Nifti1Image
        image: Any = made.from_bytes(content)
        stored = np.asanyarray(image.dataobj.get_unscaled())
        scale = float(image.dataobj.slope), float(image.dataobj.inter)
    except TooLarge as fault:
        raise NotConverted(SeriesReason.UNREADABLE, str(fault)) from None
    except (*BROKEN_PACKING, *UNREADABLE) as error:
        raise NotConverted(SeriesReason.UNREADABLE, f"it cannot be read ({type(error).__name__})") from None
    stored = stored[..., 0] if stored.shape[3:] == (1,) else stored
    _refuse(stored, image.affine)
    return RawImage(_header(image.header, stored, scale), stored.astype(stored.dtype.newbyteorder("<"), copy=False))


def _lengths(content: bytes) -> tuple[int, int]:
    """The header's length in both byte orders."""
    return int.from_bytes(content[:4], "little"), int.from_bytes(content[:4], "big")


def _refuse(stored: np.ndarray, affine: np.ndarray) -> None:
    """Refuse what is no volume of numbers with a place."""
    if stored.dtype.kind not in "iuf":
        raise NotConverted(SeriesReason.SECONDARY_CAPTURE, "a colour image holds a picture, not values")
    if stored.ndim not in (3, 4) or not stored.size:
        raise NotConverted(SeriesReason.IMPLAUSIBLE, f"it has {stored.ndim} dimensions, expected 3 or 4")
    if not has_place(affine):
        raise NotConverted(SeriesReason.IMPLAUSIBLE, "its affine gives no place in the patient")


def _header(source: Any, stored: np.ndarray, scale: tuple[float, float]) -> nib.Nifti1Header:
    """A header with type, shape, spacing, units, transforms and scale of another, and nothing else of it."""
    header = nib.Nifti1Header()
    header.set_data_dtype(stored.dtype.newbyteorder("<"))
    header.set_data_shape(stored.shape)
    header.set_zooms(source.get_zooms()[: stored.ndim])
    header["pixdim"][0] = source["pixdim"][0]
    for field in ("qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d", "xyzt_units"):
        header[field] = source[field]
    for field in ("qoffset_x", "qoffset_y", "qoffset_z", "srow_x", "srow_y", "srow_z"):
        header[field] = source[field]
    header.set_slope_inter(*scale)
    return header


def _directions(path: Path, volumes: int) -> np.ndarray | None:
    """Directions (3, volume) of a ``.bvec`` file; None when there are none."""
    try:
        found = np.loadtxt(path, ndmin=2)
    except (OSError, ValueError):
        return None
    return found if found.shape == (3, volumes) and np.isfinite(found).all() else None


def _beside(source: SourceFile, ext: str) -> Path:
    path = Path(source.path)
    return path.with_name(re.sub(r"\.nii(\.gz)?$", "", path.name, flags=re.IGNORECASE) + ext)
