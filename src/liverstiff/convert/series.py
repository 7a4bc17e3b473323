"""One series to one NIfTI image. The header defines the volumes; whoever writes the voxels is checked against it.

dcm2niix can be silently wrong about b-values, scales, and the order of volumes and slices. So the count, the order and
the b-value of each volume are known from the header beforehand; a series whose order is not plainly volume by volume is
handed over one volume at a time; of every volume one slice is compared with the DICOM pixels; and what still does not
come out as the header describes it is read frame by frame by pydicom, as quantitative maps always are.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from liverstiff.convert.by_dcm2niix import Result, convert_each, convert_whole
from liverstiff.convert.by_pydicom import convert_frames, convert_quantities
from liverstiff.convert.diffusion import directions_usable, header_directions, write_gradients
from liverstiff.convert.faults import NotConverted
from liverstiff.convert.nifti import write_raw
from liverstiff.convert.sidecar import write_sidecar
from liverstiff.dicom import Frame, SourceFile, Stack, Unused, read_frames, split_stacks
from liverstiff.records import Kind, Reason, SeriesReason

MAPS = frozenset({Kind.ADC, Kind.MRE_STIFFNESS, Kind.MRE_MASKED, Kind.MRE_CONFIDENCE})
"""Kinds whose values are physical quantities."""


@dataclass(frozen=True)
class Converted:
    """What became of a series."""

    paths: tuple[Path, ...]
    """The image, ``.nii.gz``, its ``.json``, ``.bval`` and ``.bvec`` beside it; of a map one per uneven slice."""
    shape: tuple[int, ...]
    """(x, y, z[, volume]) of the first."""
    b_values: list[float]
    """s/mm2 of each volume, from the header; empty where the series is no diffusion."""
    notes: list[str]
    """What was done differently from a plain conversion, and where dcm2niix disagreed."""

    @property
    def path(self) -> Path:
        """The image, or the first of several."""
        return self.paths[0]


def convert_series(files: Iterable[Path | SourceFile], out: Path, kind: str = "") -> Converted:
    """Convert the files of one MR series, of any body part, to one NIfTI image.

    Args:
        files: DICOM files of one series, in any order, also packed by gzip or zip; others are passed over.
        out: the ``.nii.gz`` to write. Voxels, axes and affine are those of dcm2niix. Diffusion also gets ``.bval``
            (from the header) and ``.bvec`` (zero where no direction is known).
        kind: a :class:`Kind` when it is known; maps among them keep their physical units.

    Raises:
        NotConverted: when the files are not exactly one series of one kind of image, or cannot be converted.
    """
    frames = [frame for file in files for frame in _frames(file) if frame.header.mr_object]
    series = {frame.header.series_uid for frame in frames}
    if len(series) != 1:
        raise NotConverted(Reason.CONVERSION_FAILED, f"the files hold {len(series)} MR series, expected one")
    stacks = split_stacks(frames)
    if len(stacks) != 1:
        detail = f"the series holds {len(stacks)} kinds of image; convert each on its own"
        raise NotConverted(Reason.CONVERSION_FAILED, detail)
    return convert_stack(stacks[0], out, kind)


def _frames(file: Path | SourceFile) -> list[Frame]:
    """Frames of a file; none of one that holds none."""
    try:
        return read_frames(file if isinstance(file, SourceFile) else SourceFile(str(file)))
    except Unused:
        return []


def convert_stack(stack: Stack, out: Path, kind: str = "") -> Converted:
    """Convert one stack; as :func:`convert_series`."""
    _refuse_pictures(stack)
    if kind in MAPS:
        return _convert_map(stack, out)
    fault = stack.fault()
    if fault:
        raise NotConverted(fault.reason, fault.detail)
    with tempfile.TemporaryDirectory(prefix="liverstiff-") as folder:  # mode 0700: it holds links to identified files
        result, notes = _convert(stack, Path(folder))
    notes += _compare_b_values(stack, result.b_values)
    write_raw(result.image, out)
    notes += _write_companions(stack, result, out)
    return Converted((out,), result.image.stored.shape, stack.b_values, notes)


def _refuse_pictures(stack: Stack) -> None:
    """Refuse what shows values instead of holding them, what may show a name, and what lies nowhere."""
    header = stack.first.header
    if header.capture or header.colour:
        raise NotConverted(SeriesReason.SECONDARY_CAPTURE, "a capture or colour image holds a picture, not values")
    if header.burned_in:
        raise NotConverted(SeriesReason.BURNED_IN, "the header says that text is burned into the pixels")
    if header.tiles == 1 and any(frame.position is None or frame.orientation is None for frame in stack.frames):
        raise NotConverted(SeriesReason.IMPLAUSIBLE, "images without a position or orientation have no place")


def _convert(stack: Stack, folder: Path) -> tuple[Result, list[str]]:
    """All at once where that is safe and comes out right, else volume by volume, else frame by frame."""
    plain = stack.first.header.tiles == 1
    if plain and len(stack.scales) > 1:
        return convert_frames(stack), ["read frame by frame: slices have scales of their own"]
    result = convert_whole(stack, folder)
    if result is not None:
        return result, []
    if len(stack.volumes) > 1:
        result = convert_each(stack, folder)
        if result is not None:
            return result, ["converted volume by volume"]
    if not plain:
        raise NotConverted(Reason.CONVERSION_FAILED, "dcm2niix did not write the image that the header describes")
    return convert_frames(stack), ["read frame by frame: dcm2niix did not write the image that the header describes"]


def _convert_map(stack: Stack, out: Path) -> Converted:
    """A quantitative map by pydicom; slices at uneven distances become files of their own."""
    fault = stack.fault()
    uneven = fault is not None and len({len(volume.frames) for volume in stack.volumes}) == 1
    apart = uneven and fault is not None and fault.reason in (SeriesReason.UNEVEN_SLICES, SeriesReason.MISSING_SLICE)
    if fault is not None and not apart:
        raise NotConverted(fault.reason, fault.detail)
    found = convert_quantities(stack, apart)
    paths = tuple(chunk_path(out, number) for number in range(1, len(found.images) + 1)) if apart else (out,)
    units = {"Units": found.unit} if found.unit else {}
    for image, path in zip(found.images, paths, strict=True):
        write_raw(image, path)
        write_sidecar(found.sidecar | units, _beside(path, ".json"))
    notes = [f"read frame by frame, in {found.unit}" if found.unit else "read frame by frame; no unit is stated"]
    notes += [f"slices are unevenly spaced: {len(paths)} files of one slice"] if apart else []
    return Converted(paths, found.images[0].stored.shape, [], notes)


def chunk_path(out: Path, number: int) -> Path:
    """The file of one of several slices: BIDS entity ``chunk``, before ``desc`` and the suffix."""
    base = out.name.removesuffix(".nii.gz")
    first, *rest = base.split("_")
    place = next((k for k, part in enumerate(rest) if part.startswith("desc-")), max(len(rest) - 1, 0))
    return out.with_name("_".join([first, *rest[:place], f"chunk-{number}", *rest[place:]]) + ".nii.gz")


def _compare_b_values(stack: Stack, b_values: list[float]) -> list[str]:
    """A note when dcm2niix reads other b-values than the header has."""
    ours = stack.b_values
    if b_values and (len(b_values) != len(ours) or not np.allclose(b_values, ours, rtol=0.01, atol=2)):
        return ["dcm2niix reads other b-values; those of the header are kept"]
    return []


def _write_companions(stack: Stack, result: Result, out: Path) -> list[str]:
    """Sidecar, b-values and directions beside the image; what to note about them."""
    write_sidecar(result.sidecar, _beside(out, ".json"))
    if not stack.b_values:
        return []
    theirs, volumes = result.directions, len(stack.volumes)
    if theirs is not None and theirs.shape == (3, volumes) and np.isfinite(theirs).all():
        write_gradients(stack.b_values, theirs, out)
        return []
    usable = directions_usable(stack)
    known = header_directions(stack, result.image.affine) if usable else np.zeros((3, volumes))
    write_gradients(stack.b_values, known, out)
    return [] if usable else ["directions are stated in axes of the vendor: zeros are written"]


def _beside(image: Path, ext: str) -> Path:
    return image.with_name(image.name.removesuffix(".nii.gz") + ext)
