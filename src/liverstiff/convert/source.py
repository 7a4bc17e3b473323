"""The frames that the catalog chose, read again, and their files laid out for dcm2niix."""

from __future__ import annotations

import io
import os
from collections import defaultdict
from pathlib import Path

import pandas as pd
from pydicom import Dataset, dcmread

from liverstiff.convert.faults import NotConverted, not_converted
from liverstiff.dicom import Frame, SourceFile, Stack, Unused, read_frames
from liverstiff.dicom.files import BROKEN_PACKING, TooLarge
from liverstiff.dicom.reading import CannotRead, Damaged, items_of, number_of, reading
from liverstiff.records import Reason


def read_stack(rows: pd.DataFrame) -> Stack:
    """One stack of the frames in a table of files; they may come from several series.

    Args:
        rows: ``path, member, frame`` of each; frame 0 for a single-frame file.

    Raises:
        NotConverted: when the files have changed since the catalog was made.
    """
    wanted = set(zip(map(SourceFile, rows.path, rows.member), rows.frame, strict=True))
    try:
        found = [frame for file in sorted({file for file, _ in wanted}) for frame in read_frames(file)]
    except Unused as fault:
        raise NotConverted(Reason.UNREADABLE, f"one of its files cannot be read: {fault.detail}") from None
    frames = tuple(frame for frame in found if (frame.file, frame.number) in wanted)
    if len(frames) != len(wanted) or len({_grid(frame) for frame in frames}) != 1:
        raise NotConverted(Reason.UNREADABLE, "its files are not those of the catalog; run catalog again")
    return Stack(tuple(sorted(frames, key=lambda frame: (frame.instance, frame.index, frame.number, frame.file))))


def _grid(frame: Frame) -> tuple:
    """What the frames of one stack share."""
    orientation = tuple(round(value, 2) + 0.0 for value in frame.orientation or ())
    return frame.header.rows, frame.header.columns, frame.header.tiles, orientation


def lay_out(frames: list[Frame], folder: Path) -> None:
    """Put the files of the frames into a folder under plain numbers; where they are all of a folder, link to that.

    A multi-frame object of which only some frames are wanted is written anew with those alone.

    Raises:
        NotConverted: when a file cannot be unpacked or read.
    """
    wanted: dict[SourceFile, list[Frame]] = defaultdict(list)
    for frame in frames:
        wanted[frame.file].append(frame)
    alone = _folder_of(wanted)
    if alone is not None:
        folder.symlink_to(alone)
        return
    folder.mkdir()
    for number, (file, kept) in enumerate(wanted.items(), start=1):
        target = folder / f"{number:06d}.dcm"
        try:
            file.put(target)
        except TooLarge as fault:
            raise NotConverted(Reason.UNREADABLE, str(fault)) from None
        except BROKEN_PACKING:
            raise NotConverted(Reason.UNREADABLE, "a packed file is damaged") from None
        if len(kept) < kept[0].frames:
            try:
                content = _with_frames(target, sorted(frame.number for frame in kept))
            except CannotRead as fault:
                raise not_converted(fault) from None
            target.unlink()
            target.write_bytes(content)


def _folder_of(wanted: dict[SourceFile, list[Frame]]) -> Path | None:
    """The folder that holds the wanted files and nothing else; None where something has to be left out or unpacked."""
    if any(file.packed or len(kept) < kept[0].frames for file, kept in wanted.items()):
        return None
    folders = {os.path.dirname(os.path.abspath(file.path)) for file in wanted}  # noqa: PTH100, PTH120  many files
    if len(folders) != 1:
        return None
    (folder,) = folders
    names = {os.path.basename(file.path) for file in wanted}  # noqa: PTH119
    try:
        with os.scandir(folder) as entries:
            return Path(folder) if all(entry.name in names for entry in entries) else None
    except OSError:
        return None


def _with_frames(path: Path, numbers: list[int]) -> bytes:
    """A multi-frame object with only some of its frames, numbered from 1.

    Raises:
        CannotRead: when it is damaged.
    """
    with reading():
        data = dcmread(path)
        if data.file_meta.TransferSyntaxUID.is_compressed:
            data.decompress()
        pixels = bytes(data.PixelData)
    groups, frames = items_of(data, "PerFrameFunctionalGroupsSequence"), int(number_of(data, "NumberOfFrames"))
    if not frames or len(groups) != frames or numbers[-1] > frames:
        raise Damaged("it holds another number of frames than its header lists")
    size = len(pixels) // frames
    kept = b"".join(pixels[(number - 1) * size : number * size] for number in numbers)
    data.PerFrameFunctionalGroupsSequence = [groups[number - 1] for number in numbers]
    data.NumberOfFrames = len(numbers)
    data.PixelData = kept + bytes(len(kept) % 2)
    return _written(data)


def _written(data: Dataset) -> bytes:
    target = io.BytesIO()
    with reading():
        data.save_as(target)
    return target.getvalue()
