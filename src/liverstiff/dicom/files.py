"""A DICOM file wherever it lies: plain, packed by gzip, or a member of a zip archive."""

from __future__ import annotations

import gzip
import io
import lzma
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO, NamedTuple

LARGEST_UNPACKED = 4 * 2**30
"""Bytes that a packed file may unpack to."""

CHUNK = 2**20
UNKNOWN_SIZE = 1 << 62
"""Stands for the length of a gzip file, which only its end tells."""

Read = Callable[[int, int], bytes]
"""``read(count, offset)``: up to ``count`` bytes from ``offset``."""

LARGEST_HEADER = 64 * 2**20
"""Bytes before the pixels of a packed file."""


class TooLarge(ValueError):
    """A packed file unpacks to more than the bound."""


BROKEN_PACKING = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, RuntimeError, TooLarge)
"""What the standard library raises for a packed file that is damaged, locked or packed in an unknown way."""


class SourceFile(NamedTuple):
    """Where the bytes of one DICOM or NIfTI file are. Private: paths of hospitals name people."""

    path: str
    """Path of the file, or of the archive."""
    member: str = ""
    """Name within a zip archive; empty for a file of its own."""

    @property
    def packed(self) -> bool:
        """True when it has to be unpacked before another program can read it."""
        return bool(self.member) or self.path.lower().endswith(".gz")

    @contextmanager
    def reader(self, largest: int = LARGEST_HEADER) -> Iterator[tuple[Read, int]]:
        """Any bytes of the file, unpacked as far as they are asked for, up to ``largest``; and its length."""
        if self.member:
            with zipfile.ZipFile(self.path) as archive, member_reader(archive, self.member, largest) as reading:
                yield reading
        elif self.packed:
            with gzip.open(self.path, "rb") as packed:
                yield _unpacking(packed, largest), UNKNOWN_SIZE
        else:
            opened = os.open(self.path, os.O_RDONLY)
            try:
                yield (lambda count, offset: os.pread(opened, count, offset)), os.fstat(opened).st_size
            finally:
                os.close(opened)

    def content(self, largest: int = LARGEST_UNPACKED) -> bytes:
        """All bytes, unpacked.

        Raises:
            TooLarge: when there are more than ``largest``.
            OSError, EOFError, zlib.error, zipfile.BadZipFile, RuntimeError: when the file is damaged or locked.
        """
        with self.reader(largest) as (read, size):
            return read(min(size, largest + 1), 0)

    def open(self) -> BinaryIO:
        """The file for reading; a packed one is unpacked into memory first."""
        return io.BytesIO(self.content()) if self.packed else Path(self.path).open("rb")

    def put(self, target: Path) -> None:
        """Lay the file out at ``target``: a link, or an unpacked copy."""
        if self.packed:
            target.write_bytes(self.content())
        else:
            target.symlink_to(Path(self.path).resolve())


@contextmanager
def member_reader(archive: zipfile.ZipFile, member: str, largest: int = LARGEST_HEADER) -> Iterator[tuple[Read, int]]:
    """As :meth:`SourceFile.reader`, for a member of an open archive; one packed by gzip is unpacked too."""
    with archive.open(member) as packed:
        if member.lower().endswith(".gz"):
            with gzip.open(packed, "rb") as inner:
                yield _unpacking(inner, largest), UNKNOWN_SIZE
        else:
            yield _unpacking(packed, largest), archive.getinfo(member).file_size


def _unpacking(packed: IO[bytes] | gzip.GzipFile, largest: int) -> Read:
    """Bytes of a packed stream; what was unpacked is kept."""
    unpacked = bytearray()

    def read(count: int, offset: int) -> bytes:
        while offset + count > len(unpacked):
            found = packed.read(min(offset + count - len(unpacked), CHUNK))
            if not found:
                break
            unpacked.extend(found)
            if len(unpacked) > largest:
                raise TooLarge(f"a packed file unpacks to more than {largest} bytes")
        return bytes(unpacked[offset : offset + count])

    return read
