"""The folders and files below a folder, whatever hospitals put there: links, loops, pipes, names that are no text."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

Entry = tuple[bytes, int, int]
"""Name, size in bytes, time of change in ns; a size below zero stands for what cannot be looked at."""

WORKFLOW_MARK = b".snakemake_timestamp"
"""Snakemake's own file in a folder that a rule made."""

NO_PERMISSION, BROKEN, REPEATED = -1, -2, -3


def folders_below(tree: bytes) -> Iterator[tuple[bytes, list[Entry]]]:
    """Every folder with its files in order; folders that are links are entered, each real folder once."""
    waiting, seen = [tree], {_identity(tree)}
    while waiting:
        folder = waiting.pop()
        entries: list[Entry] = []
        below: list[bytes] = []
        try:
            with os.scandir(folder) as listing:
                found = sorted(
                    (entry for entry in listing if entry.name != WORKFLOW_MARK), key=lambda entry: entry.name
                )
        except OSError:
            yield folder, [(b"", NO_PERMISSION, 0)]
            continue
        for entry in found:
            try:
                info = entry.stat()
            except OSError as error:
                entries.append((entry.name, NO_PERMISSION if isinstance(error, PermissionError) else BROKEN, 0))
                continue
            if stat.S_ISREG(info.st_mode):
                entries.append((entry.name, info.st_size, info.st_mtime_ns))
            elif not stat.S_ISDIR(info.st_mode):
                entries.append((entry.name, BROKEN, 0))
            elif (info.st_dev, info.st_ino) in seen:
                entries.append((entry.name, REPEATED, 0))
            else:
                seen.add((info.st_dev, info.st_ino))
                below.append(entry.path)
        waiting += reversed(below)
        yield folder, entries


def _identity(folder: bytes) -> tuple[int, int]:
    info = os.stat(folder)  # noqa: PTH116  paths are bytes here: names need not be text
    return info.st_dev, info.st_ino
