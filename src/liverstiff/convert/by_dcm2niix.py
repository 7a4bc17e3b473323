"""A stack through dcm2niix: all at once, or volume by volume; None where the image is not what the header describes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from liverstiff.convert.faults import NotConverted
from liverstiff.convert.grid import lies_where_stated
from liverstiff.convert.interface import run_dcm2niix
from liverstiff.convert.nifti import OtherGrid, RawImage, read_raw, stack_volumes
from liverstiff.convert.pixels import holds_slices
from liverstiff.convert.sidecar import read_sidecar
from liverstiff.convert.source import lay_out
from liverstiff.dicom import Frame, Stack
from liverstiff.records import Reason

REORDERED_BY_DCM2NIIX = ("GE", "Philips")
"""Vendors whose slice-by-slice series dcm2niix puts in order."""

UNEXPECTED = ("_Eq", "_ADC")
"""Marks in the name of an image that dcm2niix interpolated, or split off."""

OVERLAY = "_ROI"
"""Mark in the name of an overlay plane, which dcm2niix writes as an image of its own."""


@dataclass(frozen=True)
class Result:
    """An image in memory with what was said about it."""

    image: RawImage
    sidecar: dict[str, Any]
    """Acquisition parameters by whitelist."""
    b_values: list[float]
    """As dcm2niix read them; empty where it read none."""
    directions: np.ndarray | None
    """(3, volume) in the axes of the image, as dcm2niix read them."""


def convert_whole(stack: Stack, folder: Path) -> Result | None:
    """One run for all volumes. Not tried where the order of instances would scramble them."""
    ordered = len(stack.volumes) == 1 or stack.volume_by_volume()
    if len(stack.scales) > 1 or not (ordered or stack.first.header.vendor in REORDERED_BY_DCM2NIIX):
        return None
    return _checked([frame for volume in stack.volumes for frame in volume.frames], stack, folder)


def convert_each(stack: Stack, folder: Path) -> Result | None:
    """One run per volume, stacked in the order of the header."""
    results = []
    for number, volume in enumerate(stack.volumes):
        one = Stack(volume.frames)
        result = None if len(one.scales) > 1 else _checked(list(volume.frames), one, folder / str(number))
        if result is None:
            return None
        results.append(result)
    try:
        image = stack_volumes([result.image for result in results])
    except OtherGrid:
        return None
    return Result(image, results[0].sidecar, [], None)


def _checked(frames: list[Frame], stack: Stack, folder: Path) -> Result | None:
    """What one run gives, if it is exactly one image, free of interpolation, as the header describes it."""
    try:
        result = _run(frames, folder)
    except NotConverted as fault:
        if fault.code == Reason.UNREADABLE:
            raise
        return None
    return result if result is not None and _is_right(stack, result.image) else None


def _run(frames: list[Frame], folder: Path) -> Result | None:
    folder.mkdir(exist_ok=True)
    lay_out(frames, folder / "in")
    images = [path for path in run_dcm2niix(folder / "in", folder) if OVERLAY not in path.name]
    if len(images) != 1 or any(mark in images[0].name for mark in UNEXPECTED):
        return None
    path = images[0]
    b_values = _numbers(path.with_suffix(".bval"))
    return Result(
        read_raw(path),
        read_sidecar(path.with_suffix(".json")),
        [] if b_values is None else b_values.ravel().tolist(),
        _numbers(path.with_suffix(".bvec")),
    )


def _numbers(path: Path) -> np.ndarray | None:
    return np.loadtxt(path, ndmin=2) if path.exists() else None


def _is_right(stack: Stack, image: RawImage) -> bool:
    """True when the image has the shape and the grid that the header gives, and each volume holds its own slice."""
    header, shape, volumes = stack.first.header, image.stored.shape, len(stack.volumes)
    if shape[3:] != ((volumes,) if volumes > 1 else ()):
        return False
    if header.tiles == 1 and sorted(shape[:3]) != sorted((header.rows, header.columns, stack.slices)):
        return False
    if header.tiles > 1 and shape[2] != stack.slices:
        return False
    return lies_where_stated(image, stack) and holds_slices(image, stack)
