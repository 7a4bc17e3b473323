"""Reading the headers of many files, by several processes, of which none that is killed ends the run."""

from __future__ import annotations

import json
import multiprocessing
import os
import struct
import zipfile
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import chain, islice

from liverstiff.catalog.tree import BROKEN, NO_PERMISSION, REPEATED, Entry
from liverstiff.dicom import Frame, SourceFile, Unused, read_frames
from liverstiff.dicom.files import BROKEN_PACKING, member_reader
from liverstiff.dicom.frames import frames_of
from liverstiff.dicom.header import Header
from liverstiff.records import FileReason

BATCH = 128
"""Files that a worker reads at a time."""

_NOT_READ = {
    NO_PERMISSION: (FileReason.UNREADABLE, "no permission to look at it"),
    BROKEN: (FileReason.UNREADABLE, "a broken link, or no regular file"),
    REPEATED: (FileReason.LINK_LOOP, "a link to a folder that is read already"),
}


@dataclass(frozen=True)
class Batch:
    """What a worker read: rows whose ``header`` is a place in ``headers``."""

    files: int
    rows: list[tuple]
    headers: list[Header]


def in_parallel(entries: Iterable[tuple[bytes, Entry]], workers: int) -> Iterator[Batch]:
    """Batches of read files; only a few wait at any time, so that memory does not grow with the tree."""
    entries = iter(entries)
    batches = iter(lambda: list(islice(entries, BATCH)), [])
    if workers == 1:
        yield from map(_read_batch, batches)
        return
    waiting: deque[tuple[list[tuple[bytes, Entry]], Future[Batch]]] = deque()
    pool = _pool(workers)
    try:
        for batch in batches:
            waiting.append((batch, pool.submit(_read_batch, batch)))
            if len(waiting) > 4 * workers:
                yield waiting[0][1].result()
                waiting.popleft()
        while waiting:
            yield waiting[0][1].result()
            waiting.popleft()
    except BrokenProcessPool:  # a worker was killed, as for want of memory: find the file that it was
        print("catalog: a worker that read headers was killed; its files are read one by one", flush=True)
        left = [entry for batch, _ in waiting for entry in batch]
        yield from (_read_alone(entry) for entry in chain(left, entries))
    finally:
        pool.shutdown(cancel_futures=True)


def _pool(workers: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("fork"))


def _read_alone(entry: tuple[bytes, Entry]) -> Batch:
    """One file in a process of its own; a file that ends its process is damaged."""
    with _pool(1) as pool:
        try:
            return pool.submit(_read_batch, [entry]).result()
        except BrokenProcessPool:
            folder, (name, size, changed) = entry
            why = (FileReason.DAMAGED, "reading it ended the process")
            return Batch(1, [(folder, name, "", size, changed, *why, None, "")], [])


def _read_batch(entries: list[tuple[bytes, Entry]]) -> Batch:
    """Read the headers of some files."""
    rows: list[tuple] = []
    headers: list[Header] = []
    for folder, (name, size, changed) in entries:
        for member, reason, detail, frames in _read_entry(folder, name, size):
            if not frames:
                rows.append((folder, name, member, size, changed, reason, detail, None, ""))
                continue
            if not headers or headers[-1] is not frames[0].header:
                headers.append(frames[0].header)
            kept = _encode([frame.stored() for frame in frames])
            rows.append((folder, name, member, size, changed, "", "", len(headers) - 1, kept))
    return Batch(len(entries), rows, headers)


_encode = json.JSONEncoder(check_circular=False, separators=(",", ":")).encode


Read = tuple[str, str, str, list[Frame]]
"""Member of an archive, reason and detail where there is no image, frames where there is."""


def _read_entry(folder: bytes, name: bytes, size: int) -> Iterator[Read]:
    """What a file holds; of an archive, each member."""
    if size in _NOT_READ:
        yield ("", *_NOT_READ[size], [])
        return
    file = source_of(folder, name, "")
    if file.path.lower().endswith(".zip"):
        yield from _read_archive(file.path)
        return
    try:
        yield "", "", "", read_frames(file)
    except Unused as unused:
        yield "", unused.reason, unused.detail, []


def _read_archive(path: str) -> Iterator[Read]:
    """The members of a zip archive, which is opened once."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = sorted(info.filename for info in archive.infolist() if not info.is_dir())
            if not members:
                yield "", FileReason.NO_IMAGE, "an archive without files", []
            for member in members:
                yield _read_member(archive, SourceFile(path, member))
    except PermissionError:
        yield "", FileReason.UNREADABLE, "no permission to read it", []
    except BROKEN_ARCHIVE:
        yield "", FileReason.DAMAGED, "a zip archive that cannot be opened", []


def _read_member(archive: zipfile.ZipFile, file: SourceFile) -> Read:
    try:
        with member_reader(archive, file.member) as (read, size):
            return file.member, "", "", frames_of(file, read, size)
    except Unused as unused:
        return file.member, unused.reason, unused.detail, []
    except BROKEN_ARCHIVE:
        return file.member, FileReason.DAMAGED, "its packing is damaged, locked, unknown or too large", []


BROKEN_ARCHIVE = (*BROKEN_PACKING, UnicodeDecodeError, IndexError, struct.error)
"""What the standard library makes of a damaged archive."""


def source_of(folder: bytes, name: bytes, member: str) -> SourceFile:
    """A file by the bytes of its path: names need not be text."""
    return SourceFile(os.fsdecode(os.path.join(folder, name)), member)  # noqa: PTH118  bytes
