"""A site's tree of files to frames, by way of a cache: what has not changed on disk is not read again.

The cache is one SQLite file in the private folder. A file that has the path, size and time of change that it had is
taken from there; an edit of the code that reads headers empties it. Studies come out one at a time, so that memory does
not grow with the number of files.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

from liverstiff import dicom
from liverstiff.catalog import reading
from liverstiff.catalog.reading import BATCH, Batch, in_parallel, source_of
from liverstiff.catalog.tree import Entry, folders_below
from liverstiff.dicom import Frame, SourceFile
from liverstiff.dicom.header import Header
from liverstiff.pseudonyms import private_folder
from liverstiff.records import FileReason

_HEADER_FIELDS = tuple(one.name for one in fields(Header))

SAVED = 32 * BATCH
"""After so many files the cache is on disk: an interrupted scan goes on from there."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS version (code TEXT);
CREATE TABLE IF NOT EXISTS headers (id INTEGER PRIMARY KEY, study TEXT, series TEXT, patient TEXT,
    mark BLOB UNIQUE, facts TEXT);
CREATE TABLE IF NOT EXISTS files (folder BLOB, name BLOB, member TEXT, size INTEGER, changed INTEGER, reason TEXT,
    detail TEXT, header INTEGER, frames TEXT, PRIMARY KEY (folder, name, member)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS files_of_a_header ON files (header);
"""


@dataclass(frozen=True)
class Study:
    """The frames that belong to one exam."""

    uid: str
    """The StudyInstanceUID that stands for it."""
    frames: list[Frame]
    duplicates: list[SourceFile] = field(default_factory=list)
    """Files that hold an image which another file holds too."""


@dataclass(frozen=True)
class Skipped:
    """A file that gave no image."""

    file: SourceFile
    reason: str
    detail: str


class Scan:
    """The files of a tree as the cache knows them."""

    def __init__(self, database: sqlite3.Connection, read: int, kept: int) -> None:
        self._database = database
        self.read = read
        """Files read anew."""
        self.kept = kept
        """Files taken from the cache."""

    def studies(self) -> dict[str, list[int]]:
        """Numbers of the headers of each exam, by its StudyInstanceUID.

        A series that lies in two studies of one patient ties these together: archives give studies new numbers. The
        first of the numbers, as text, stands for them.
        """
        rows = self._database.execute(
            "SELECT id, study, series, patient FROM headers WHERE id IN (SELECT header FROM files)"
        ).fetchall()
        root: dict[tuple[str, str], tuple[str, str]] = {}

        def find(study: tuple[str, str]) -> tuple[str, str]:
            while root.setdefault(study, study) != study:
                study = root[study]
            return study

        first: dict[tuple[str, str], tuple[str, str]] = {}
        for _, study, series, patient in sorted(rows):
            one, other = find((study, patient)), find(first.setdefault((series, patient), (study, patient)))
            root[max(one, other)] = min(one, other)
        exams: dict[str, list[int]] = {}
        for number, study, _, patient in rows:
            exams.setdefault(find((study, patient))[0], []).append(number)
        return exams

    def study(self, uid: str, headers: list[int]) -> Study:
        """The frames of one exam, each instance once: of copies the first by path counts."""
        marks = ",".join("?" * len(headers))
        known = {
            number: Header(*_decoded(facts))
            for number, facts in self._database.execute(f"SELECT id, facts FROM headers WHERE id IN ({marks})", headers)
        }
        study = Study(uid, [])
        kept: dict[tuple, list[Frame]] = {}
        rows = self._database.execute(
            "SELECT folder, name, member, header, frames FROM files INDEXED BY files_of_a_header "
            f"WHERE header IN ({marks}) ORDER BY folder, name, member",
            headers,
        )
        for folder, name, member, header, stored in rows:
            file = source_of(folder, name, member)
            frames = [Frame.restored(known[header], file, values) for values in _decoded(stored)]
            first = frames[0]
            mark = (first.sop_uid or file, first.instance, first.position)
            before = kept.setdefault(mark, frames)
            if before is frames:
                continue
            whole = before[0].cut_short and not first.cut_short  # of copies the first that is whole counts
            study.duplicates.append(before[0].file if whole else file)
            kept[mark] = frames if whole else before
        study.frames.extend(frame for frames in kept.values() for frame in frames)
        return study

    def skipped(self) -> Iterator[Skipped]:
        """Files that gave no image, in the order of their paths."""
        rows = self._database.execute(
            "SELECT folder, name, member, reason, detail FROM files WHERE reason != '' ORDER BY folder, name, member"
        )
        for folder, name, member, reason, detail in rows:
            yield Skipped(source_of(folder, name, member), reason, detail)

    def counts(self) -> str:
        """How many files there are (members of archives each for itself), and how many had to be read."""
        number = self._database.execute("SELECT count(*) FROM files").fetchone()[0]
        return f"{number} files, {self.read} read, {self.kept} unchanged"


def scan(tree: Path, cache: Path, workers: int = 1) -> Scan:
    """Bring the cache in step with a tree.

    Args:
        tree: folder in any shape; links are followed, a folder reached twice is read once.
        cache: SQLite file, made when absent; it holds identifiers, so its folder is closed to others.
        workers: processes that read headers.
    """
    private_folder(cache.parent)
    database = _opened(cache)
    kept = 0
    folders: set[bytes] = set()

    def changed() -> Iterator[tuple[bytes, Entry]]:
        """What is new or different on disk; what is gone leaves the cache on the way."""
        nonlocal kept
        for folder, entries in folders_below(os.fsencode(tree)):
            folders.add(folder)
            rows = database.execute(
                "SELECT name, CASE reason WHEN ? THEN NULL ELSE size END, changed FROM files WHERE folder = ?",
                (FileReason.UNREADABLE, folder),  # a change of permission does not show in the time of change
            )
            before, now = set(rows), set(entries)
            kept += len(now & before)
            database.executemany(
                "DELETE FROM files WHERE folder = ? AND name = ?", [(folder, name) for name, *_ in before - now]
            )
            yield from ((folder, entry) for entry in entries if entry not in before)

    read = 0
    for batch in in_parallel(changed(), workers):
        read += batch.files
        _insert(database, batch)
        if read % SAVED < BATCH:
            database.commit()
    _forget_other_folders(database, folders)
    database.commit()
    return Scan(database, read, kept)


def _opened(cache: Path) -> sqlite3.Connection:
    """The cache, empty when it was written by other code."""
    database = _connected(cache)
    if database.execute("SELECT code FROM version").fetchall() != [(_code(),)]:
        database.close()
        cache.unlink()
        database = _connected(cache)
        database.execute("INSERT INTO version VALUES (?)", (_code(),))
    return database


def _connected(cache: Path) -> sqlite3.Connection:
    database = sqlite3.connect(cache, timeout=60)  # written without waiting for the disk: a damaged one is made anew
    database.executescript("PRAGMA synchronous = OFF;" + SCHEMA)
    return database


@lru_cache
def _code() -> str:
    """Checksum of the code that reads headers."""
    files = [*sorted(Path(dicom.__file__).parent.glob("*.py")), Path(__file__), Path(reading.__file__)]
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()


def _insert(database: sqlite3.Connection, batch: Batch) -> None:
    """Add what a worker read; headers that are known keep their number."""
    numbers = [_number_of(database, header) for header in batch.headers]
    rows = [(*row[:7], None if row[7] is None else numbers[row[7]], *row[8:]) for row in batch.rows]
    database.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)


def _decoded(stored: str) -> list[Any]:
    """What was kept as JSON."""
    try:
        return json.loads(stored)
    except ValueError:
        raise sqlite3.DatabaseError("a row that is no JSON") from None


def _number_of(database: sqlite3.Connection, header: Header) -> int:
    """The number under which a header is known; a new one is added."""
    facts = json.dumps([getattr(header, name) for name in _HEADER_FIELDS])
    mark = hashlib.sha256(facts.encode()).digest()
    found = database.execute("SELECT id FROM headers WHERE mark = ?", (mark,)).fetchone()
    if found is not None:
        return found[0]
    row = (header.study_uid, header.series_uid, header.patient_id, mark, facts)
    insert = "INSERT INTO headers (study, series, patient, mark, facts) VALUES (?, ?, ?, ?, ?)"
    return int(database.execute(insert, row).lastrowid or 0)


def _forget_other_folders(database: sqlite3.Connection, folders: set[bytes]) -> None:
    """Files of folders that are gone leave the cache."""
    gone = {folder for (folder,) in database.execute("SELECT DISTINCT folder FROM files")} - folders
    database.executemany("DELETE FROM files WHERE folder = ?", [(folder,) for folder in gone])
