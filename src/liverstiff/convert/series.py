"""One series to one NIfTI image. The header defines the volumes; dcm2niix writes the voxels and is checked against it.

dcm2niix can be silently wrong about b-values, and about the order of volumes and slices. So the count, the order and
the b-value of each volume are known from the header beforehand; a series whose order is not plainly volume by volume is
handed over one volume at a time; and of every volume of a 4D image one slice is compared with the DICOM pixels.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from liverstiff.convert.interface import run_dcm2niix
from liverstiff.convert.nifti import RawImage, read_raw, stack_volumes, write_raw
from liverstiff.convert.pixels import holds_slice
from liverstiff.convert.sidecar import read_sidecar, write_sidecar
from liverstiff.convert.source import lay_out
from liverstiff.dicom import Stack, read_frames, split_stacks
from liverstiff.errors import ExamExcluded
from liverstiff.records import Reason

REORDERED_BY_DCM2NIIX = ("GE", "Philips")
"""Vendors whose slice-by-slice series dcm2niix puts in order."""

UNEXPECTED = ("_Eq", "_ADC")
"""Marks in the name of an image that dcm2niix interpolated, or split off."""

OVERLAY = "_ROI"
"""Mark in the name of an overlay plane, which dcm2niix writes as an image of its own."""


@dataclass(frozen=True)
class Converted:
    """What became of a series."""

    path: Path
    """The image, ``.nii.gz``; its ``.json``, ``.bval`` and ``.bvec`` lie beside it."""
    shape: tuple[int, ...]
    """(x, y, z[, volume])."""
    b_values: list[float]
    """s/mm2 of each volume, from the header; empty where the series is no diffusion."""
    notes: list[str]
    """What was done differently from a plain conversion, and where dcm2niix disagreed."""


@dataclass(frozen=True)
class _Result:
    """An image in memory with what dcm2niix said about it."""

    image: RawImage
    sidecar: dict[str, Any]
    b_values: list[float]
    directions: np.ndarray | None


def convert_series(files: Iterable[Path], out: Path) -> Converted:
    """Convert the files of one MR series, of any body part, to one NIfTI image.

    Args:
        files: DICOM files of one series, in any order, also packed by gzip; others are passed over.
        out: the ``.nii.gz`` to write. Voxels, axes and affine are those of dcm2niix. Diffusion also gets ``.bval``
            (from the header) and, where directions are known, ``.bvec``.

    Raises:
        ExamExcluded: when the files are not exactly one series of one kind of image, or cannot be converted.
    """
    frames = [frame for path in files for frame in read_frames(Path(path)) or [] if frame.header.mr_object]
    series = {frame.header.series_uid for frame in frames}
    if len(series) != 1:
        raise _failed(f"the files hold {len(series)} MR series, expected one")
    stacks = split_stacks(frames)
    if len(stacks) != 1:
        raise _failed(f"the series holds {len(stacks)} kinds of image; convert each on its own")
    return convert_stack(stacks[0], out)


def convert_stack(stack: Stack, out: Path) -> Converted:
    """Convert one stack; as :func:`convert_series`."""
    fault = stack.fault()
    if fault:
        raise _failed(fault)
    with tempfile.TemporaryDirectory(prefix="liverstiff-") as folder:  # mode 0700: it holds links to identified files
        result, notes = _convert(stack, Path(folder))
    notes += _compare_b_values(stack, result.b_values)
    write_raw(result.image, out)
    _write_companions(stack, result, out)
    return Converted(out, result.image.stored.shape, stack.b_values, notes)


def _convert(stack: Stack, folder: Path) -> tuple[_Result, list[str]]:
    """The whole stack at once where that is safe and comes out right, else volume by volume."""
    if len(stack.volumes) == 1 or stack.volume_by_volume() or stack.first.header.vendor in REORDERED_BY_DCM2NIIX:
        result = _convert_whole(stack, folder / "whole")
        if result is not None and _is_right(stack, result):
            return result, []
        if len(stack.volumes) == 1:
            raise _failed("dcm2niix did not write the one image that the header describes")
    return _convert_each(stack, folder), ["converted volume by volume"]


def _convert_whole(stack: Stack, folder: Path) -> _Result | None:
    """One run for all volumes; None when it does not give exactly one image, free of interpolation."""
    frames = [frame for volume in stack.volumes for frame in volume.frames]
    return _run(frames, folder)


def _run(frames: list, folder: Path) -> _Result | None:
    source, written = folder / "in", folder / "out"
    lay_out(frames, source)
    written.mkdir(parents=True)
    images = [path for path in run_dcm2niix(source, written) if OVERLAY not in path.name]
    if len(images) != 1 or any(mark in images[0].name for mark in UNEXPECTED):
        return None
    path = images[0]
    b_values = _numbers(path.with_suffix(".bval"))
    directions = _numbers(path.with_suffix(".bvec"))
    return _Result(
        read_raw(path),
        read_sidecar(path.with_suffix(".json")),
        [] if b_values is None else b_values.ravel().tolist(),
        directions,
    )


def _convert_each(stack: Stack, folder: Path) -> _Result:
    """One run per volume, stacked in the order of the header."""
    results = []
    for number, volume in enumerate(stack.volumes):
        result = _run(list(volume.frames), folder / str(number))
        if result is None or not _is_right(Stack(volume.frames), result):
            raise _failed(f"dcm2niix did not write volume {number + 1} as the header describes it")
        results.append(result)
    try:
        image = stack_volumes([result.image for result in results])
    except ValueError as error:
        raise _failed(str(error)) from error
    return _Result(image, results[0].sidecar, [], None)


def _is_right(stack: Stack, result: _Result) -> bool:
    """True when the image has the shape that the header gives, and each volume of several holds its own slice."""
    header, shape, volumes = stack.first.header, result.image.stored.shape, len(stack.volumes)
    if shape[3:] != ((volumes,) if volumes > 1 else ()):
        return False
    if header.tiles == 1 and sorted(shape[:3]) != sorted((header.rows, header.columns, stack.slices)):
        return False
    if header.tiles > 1 and shape[2] != stack.slices:
        return False
    return volumes == 1 or all(holds_slice(result.image, number, volume) for number, volume in enumerate(stack.volumes))


def _compare_b_values(stack: Stack, b_values: list[float]) -> list[str]:
    """A note when dcm2niix reads other b-values than the header has."""
    ours = stack.b_values
    if b_values and (len(b_values) != len(ours) or not np.allclose(b_values, ours, rtol=0.01, atol=2)):
        return ["dcm2niix reads other b-values; those of the header are kept"]
    return []


def _write_companions(stack: Stack, result: _Result, out: Path) -> None:
    """Sidecar, b-values and directions beside the image."""
    base = out.name.removesuffix(".nii.gz")
    write_sidecar(result.sidecar, out.with_name(f"{base}.json"))
    if stack.b_values:
        out.with_name(f"{base}.bval").write_text(" ".join(f"{b:g}" for b in stack.b_values) + "\n")
    if stack.b_values and result.directions is not None and result.directions.any():
        rows = [" ".join(f"{value:g}" for value in row) for row in result.directions]
        out.with_name(f"{base}.bvec").write_text("\n".join(rows) + "\n")


def _numbers(path: Path) -> np.ndarray | None:
    return np.loadtxt(path, ndmin=2) if path.exists() else None


def _failed(detail: str) -> ExamExcluded:
    return ExamExcluded(Reason.CONVERSION_FAILED, detail)
