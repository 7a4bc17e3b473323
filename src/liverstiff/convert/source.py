"""The files of some frames laid out for dcm2niix: links, unpacked copies, and parts of multi-frame objects."""

from __future__ import annotations

import gzip
import io
import zlib
from collections import defaultdict
from pathlib import Path
from typing import BinaryIO

from pydicom import dcmread

from liverstiff.dicom import Frame
from liverstiff.errors import ExamExcluded
from liverstiff.records import Reason

LARGEST_UNPACKED = 4 * 2**30
"""Bytes that a packed file may unpack to."""

CHUNK = 2**20


def lay_out(frames: list[Frame], folder: Path) -> None:
    """Put the files of the frames into a folder under plain numbers.

    A multi-frame object of which only some frames are wanted is written anew with those alone.

    Raises:
        ExamExcluded: when a file cannot be unpacked or read.
    """
    folder.mkdir(parents=True)
    wanted: dict[Path, list[Frame]] = defaultdict(list)
    for frame in frames:
        wanted[frame.header.path].append(frame)
    for number, (path, kept) in enumerate(wanted.items(), start=1):
        target = folder / f"{number:06d}.dcm"
        if path.suffix == ".gz":
            unpack(path, target)
        else:
            target.symlink_to(path.resolve())
        if len(kept) < kept[0].header.frames:
            _keep_frames(target, sorted(frame.number for frame in kept))


def unpack(path: Path, target: Path, largest: int = LARGEST_UNPACKED) -> None:
    """Unpack a gzip file, up to a bound.

    Raises:
        ExamExcluded: when the file is damaged or unpacks to more than ``largest`` bytes.
    """
    size = 0
    try:
        with gzip.open(path, "rb") as packed, target.open("wb") as file:
            while chunk := packed.read(CHUNK):
                size += len(chunk)
                if size > largest:
                    raise ExamExcluded(Reason.UNREADABLE, f"a packed file unpacks to more than {largest} bytes")
                file.write(chunk)
    except (OSError, EOFError, zlib.error) as error:
        raise ExamExcluded(Reason.UNREADABLE, "a packed file is damaged") from error


def _keep_frames(path: Path, numbers: list[int]) -> None:
    """Replace a multi-frame object, or a link to it, by one with only some of its frames, numbered from 1."""
    data = dcmread(path)
    if data.file_meta.TransferSyntaxUID.is_compressed:
        data.decompress()
    size = len(data.PixelData) // int(data.NumberOfFrames)
    pixels = b"".join(data.PixelData[(number - 1) * size : number * size] for number in numbers)
    groups = data.PerFrameFunctionalGroupsSequence
    data.PerFrameFunctionalGroupsSequence = [groups[number - 1] for number in numbers]
    data.NumberOfFrames = len(numbers)
    data.PixelData = pixels + bytes(len(pixels) % 2)
    path.unlink()
    data.save_as(path)


def open_dicom(path: Path) -> BinaryIO:
    """A DICOM file for reading, also a packed one."""
    return io.BytesIO(gzip.decompress(path.read_bytes())) if path.suffix == ".gz" else path.open("rb")
