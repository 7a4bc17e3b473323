"""Reading an elastogram: its slices from DICOM frames or a NIfTI image, and one map at the pixels of another."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from liverstiff.config import ElastographySiteConfig
from liverstiff.dicom import SourceFile
from liverstiff.dicom.reading import CannotRead, Damaged, NotAMap
from liverstiff.dicom.values import MapSlice, read_values
from liverstiff.elastography.region import confidence_fraction, unmasked
from liverstiff.errors import ExamExcluded
from liverstiff.images import UNREADABLE, has_place, is_nifti_path, voxels_of
from liverstiff.records import Kind, Reason, read_files

NAMES = {
    "stiffness": (Kind.MRE_STIFFNESS, ""),
    "masked": (Kind.MRE_MASKED, ""),
    "confidence": (Kind.MRE_CONFIDENCE, ""),
    "magnitude": (Kind.MRE_RAW, "magnitude"),
}
"""Kind and variant of each map; of the magnitude the first of its volumes is enough."""

MASKED_MAP_CONFIDENCE = 0.95
"""What a confidence-masked map stands for: scanners mask at 95 %."""

THICKNESS_MM = 2.0
"""A slice answers for points up to 1 mm from its plane."""


def read_map(chosen: Mapping[SourceFile, Collection[int]], name: str) -> list[MapSlice]:
    """The slices of one map, from classic one-slice files, enhanced objects or NIfTI, in the order of the files.

    Args:
        chosen: files, also packed, and of each DICOM file the numbers of its frames from 1; none or 0 means all.
        name: what to call the map in a message; file names never leave the private folder.

    Raises:
        ExamExcluded: ``unreadable_image`` for a file that is no greyscale map with a place in the patient.
    """
    slices: list[MapSlice] = []
    for number, (file, frames) in enumerate(chosen.items(), start=1):
        try:
            slices += _nifti(file) if is_nifti_path(file.path) else read_values(file, frames)
        except CannotRead as fault:
            raise ExamExcluded(Reason.UNREADABLE, f"{name}: file {number} cannot be read ({fault})") from None
    centres = {tuple(np.round(part.affine[:3, 3], 1)) for part in slices}
    if len(centres) < len(slices):
        raise ExamExcluded(Reason.UNREADABLE, f"{name}: two slices at one position; choose one series")
    return slices


def rows_of(shard: Path, exam: str) -> dict[str, dict[SourceFile, list[int]]]:
    """The files of an exam's maps by :data:`NAMES`, and of each file the numbers of its frames."""
    table = read_files(shard)
    mine = table[table.exam == exam]
    found: dict[str, dict[SourceFile, list[int]]] = {}
    for name, (kind, variant) in NAMES.items():
        rows = mine[(mine.kind == kind) & (mine.volume == 0)] if variant else mine[mine.kind == kind]
        files: dict[SourceFile, list[int]] = {}
        for path, member, frame in zip(rows.path, rows.member, rows.frame, strict=True):
            files.setdefault(SourceFile(path, member), []).append(frame)
        if files:
            found[name] = files
    return found


def scaled(slices: list[MapSlice], rule: ElastographySiteConfig) -> list[MapSlice]:
    """A stiffness map as the rule of its site says."""
    if rule.unit is None:
        return slices
    return [replace(part, values=part.values * rule.scale, unit=rule.unit) for part in slices]


def confidence_at(
    slices: list[MapSlice], maps: Mapping[str, list[MapSlice]], wanted: float, rule: ElastographySiteConfig
) -> list[np.ndarray]:
    """Confidence from 0 to 1 at every pixel of the stiffness slices: from its own map, else from the masked map.

    Args:
        slices: of the stiffness map.
        maps: all maps by :data:`NAMES`.
        wanted: the confidence that will be asked for.
        rule: of the site.

    Returns:
        Arrays (row, column); NaN everywhere at a site that has no confidence, and where the map of confidence has no
        slice in the plane of the stiffness slice.

    Raises:
        ExamExcluded: ``no_confident_pixel`` where there is no such map, ``unit_unclear`` where its scale is.
    """
    if rule.confidence == "none":
        return [np.full(part.values.shape, np.nan) for part in slices]
    if maps.get("confidence") and rule.confidence != "masked":
        own = maps["confidence"]
        stated = {part.unit for part in own} - {""}
        unit = stated.pop() if len(stated) == 1 else ""
        shares = confidence_fraction([part.values for part in own], unit, rule.confidence_full)
        return [on_slice([MapSlice(v, p.affine) for v, p in zip(shares, own, strict=True)], part) for part in slices]
    masked = maps.get("masked") or (slices if rule.confidence == "masked" else [])
    if not masked or rule.confidence == "map":
        missing = {"map": "no confidence map", "masked": "no masked map"}.get(
            str(rule.confidence), "neither a confidence map nor a confidence-masked map"
        )
        raise ExamExcluded(Reason.NO_CONFIDENT_PIXEL, f"{missing} was chosen")
    if wanted > MASKED_MAP_CONFIDENCE:
        raise ExamExcluded(
            Reason.NO_CONFIDENT_PIXEL,
            f"a masked map tells {MASKED_MAP_CONFIDENCE:g}, not {wanted:g}; lower elastography.confidence",
        )
    kept = [unmasked(part.values, on_slice(masked, part)) for part in slices]
    return [np.where(pixels, MASKED_MAP_CONFIDENCE, 0.0) for pixels in kept]


def _nifti(file: SourceFile) -> list[MapSlice]:
    """The slices of a NIfTI map along its third axis; it states no unit."""
    try:
        image: Any = nib.load(file.path)
        voxels, affine = voxels_of(image).astype(np.float64), np.array(image.affine)
    except UNREADABLE as fault:
        raise Damaged(type(fault).__name__) from None
    voxels = voxels[..., 0] if voxels.shape[3:] == (1,) else voxels
    if voxels.ndim != 3 or not has_place(affine):
        raise NotAMap("not one volume with a place in the patient")
    return [MapSlice(voxels[..., place], _plane(affine, place)) for place in range(voxels.shape[2])]


def _plane(affine: np.ndarray, place: int) -> np.ndarray:
    """(i, j, 0) of a slice to RAS+ mm; the third column is the unit normal of the slice."""
    plane = np.array(affine, float)
    plane[:3, 3] += place * plane[:3, 2]
    normal = np.cross(plane[:3, 0], plane[:3, 1])
    plane[:3, 2] = normal / np.linalg.norm(normal)
    return plane


def nearest(voxels: np.ndarray, affine: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Value of the nearest voxel at each point.

    Args:
        voxels: (x, y, z).
        affine: 4x4, voxel index to RAS+ mm.
        points: (..., 3), RAS+ mm.

    Returns:
        Shape (...), float64, NaN outside the volume.
    """
    index = np.rint((points - affine[:3, 3]) @ np.linalg.inv(affine[:3, :3]).T).astype(int)
    inside = ((index >= 0) & (index < voxels.shape)).all(axis=-1)
    values = np.full(points.shape[:-1], np.nan)
    values[inside] = voxels[tuple(index[inside].T)]
    return values


def on_slice(others: list[MapSlice], target: MapSlice) -> np.ndarray:
    """Another map's values at the pixels of ``target``; NaN where no slice of it lies in the same plane."""
    normal = target.affine[:3, 2]
    apart = [abs((other.affine[:3, 3] - target.affine[:3, 3]) @ normal) for other in others]
    other = others[int(np.argmin(apart))]
    plate = other.affine.copy()
    plate[:3, 2] *= THICKNESS_MM
    return nearest(other.values[..., None], plate, target.points)
