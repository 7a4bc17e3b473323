"""A site's tree of files to frames, by way of a cache: what has not changed on disk is not read again.

The cache is one SQLite file in the private folder. A file that has the path, size and time of change that it had is
taken from there; an edit of the code that reads headers empties it. Studies come out one at a time, so that memory does
not grow with the number of files.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import sqlite3
import zipfile
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field, fields
from functools import lru_cache
from itertools import islice
from pathlib import Path

from liverstiff import dicom
from liverstiff.catalog.tree import BROKEN, NO_PERMISSION, REPEATED, Entry, folders_below
from liverstiff.dicom import Frame, SourceFile, Unused, read_frames
from liverstiff.dicom.header import Header
from liverstiff.pseudonyms import private_folder
from liverstiff.records import FileReason

_HEADER_FIELDS = tuple(one.name for one in fields(Header))

BATCH = 128
"""Files that a worker reads at a time."""

SAVED = 32 * BATCH
"""After so many files the cache is on disk: an interrupted scan goes on from there."""

_NOT_READ = {
    NO_PERMISSION: (FileReason.UNREADABLE, "no permission to look at it"),
    BROKEN: (FileReason.UNREADABLE, "a broken link, or no regular file"),
    REPEATED: (FileReason.LINK_LOOP, "a link to a folder that is read already"),
}

SCHEMA = """
CREATE TABLE IF NOT EXISTS version (code TEXT);
CREATE TABLE IF NOT EXISTS headers (id INTEGER PRIMARY KEY, study TEXT, series TEXT, patient TEXT,
    mark BLOB UNIQUE, facts TEXT);
CREATE TABLE IF NOT EXISTS files (folder BLOB, name BLOB, member TEXT, size INTEGER, changed INTEGER, reason TEXT,
    detail TEXT, header INTEGER, sop TEXT, frames TEXT, PRIMARY KEY (folder, name, member)) WITHOUT ROWID;
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
            number: Header(*json.loads(facts))
            for number, facts in self._database.execute(f"SELECT id, facts FROM headers WHERE id IN ({marks})", headers)
        }
        study, seen = Study(uid, []), set()
        rows = self._database.execute(
            "SELECT folder, name, member, header, sop, frames FROM files INDEXED BY files_of_a_header "
            f"WHERE header IN ({marks}) ORDER BY folder, name, member",
            headers,
        )
        for folder, name, member, header, sop, frames in rows:
            file = _source(folder, name, member)
            if sop and sop in seen:
                study.duplicates.append(file)
                continue
            seen.add(sop)
            study.frames.extend(Frame.restored(known[header], file, values) for values in json.loads(frames))
        return study

    def skipped(self) -> Iterator[Skipped]:
        """Files that gave no image, in the order of their paths."""
        rows = self._database.execute(
            "SELECT folder, name, member, reason, detail FROM files WHERE reason != '' ORDER BY folder, name, member"
        )
        for folder, name, member, reason, detail in rows:
            yield Skipped(_source(folder, name, member), reason, detail)

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
    for batch in _in_parallel(changed(), workers):
        read += batch.files
        _insert(database, batch)
        if read % SAVED < BATCH:
            database.commit()
    _forget_other_folders(database, folders)
    database.commit()
    return Scan(database, read, kept)


def _opened(cache: Path) -> sqlite3.Connection:
    """The cache, empty when it was written by other code or cannot be read."""
    try:
        database = sqlite3.connect(cache)
        database.executescript("PRAGMA synchronous = OFF;" + SCHEMA)
        if database.execute("SELECT code FROM version").fetchall() == [(_code(),)]:
            return database
        database.close()
    except sqlite3.DatabaseError:
        print("catalog: the cache of headers is damaged; every file is read again", flush=True)
    cache.unlink()
    database = sqlite3.connect(cache)
    database.executescript("PRAGMA synchronous = OFF;" + SCHEMA)
    database.execute("INSERT INTO version VALUES (?)", (_code(),))
    return database


@lru_cache
def _code() -> str:
    """Checksum of the code that reads headers."""
    files = [*sorted(Path(dicom.__file__).parent.glob("*.py")), Path(__file__)]
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()


@dataclass(frozen=True)
class _Batch:
    """What a worker read: rows whose ``header`` is a place in ``headers``."""

    files: int
    rows: list[tuple]
    headers: list[Header]


def _in_parallel(entries: Iterable[tuple[bytes, Entry]], workers: int) -> Iterator[_Batch]:
    """Batches of read files; only a few wait at any time, so that memory does not grow with the tree."""
    entries = iter(entries)
    batches = iter(lambda: list(islice(entries, BATCH)), [])
    if workers == 1:
        yield from map(_read_batch, batches)
        return
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("fork")) as pool:
        waiting: deque[Future[_Batch]] = deque()
        for batch in batches:
            waiting.append(pool.submit(_read_batch, batch))
            if len(waiting) > 4 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _read_batch(entries: list[tuple[bytes, Entry]]) -> _Batch:
    """Read the headers of some files."""
    rows: list[tuple] = []
    headers: list[Header] = []
    for folder, (name, size, changed) in entries:
        for member, reason, detail, frames in _read_entry(folder, name, size):
            if not frames:
                rows.append((folder, name, member, size, changed, reason, detail, None, "", ""))
                continue
            if not headers or headers[-1] is not frames[0].header:
                headers.append(frames[0].header)
            kept = _encode([frame.stored() for frame in frames])
            rows.append((folder, name, member, size, changed, "", "", len(headers) - 1, frames[0].sop_uid, kept))
    return _Batch(len(entries), rows, headers)


_encode = json.JSONEncoder(check_circular=False, separators=(",", ":")).encode


def _read_entry(folder: bytes, name: bytes, size: int) -> Iterator[tuple[str, str, str, list[Frame]]]:
    """Member, reason, detail and frames of a file; of an archive, those of each member."""
    if size in _NOT_READ:
        yield ("", *_NOT_READ[size], [])
        return
    file = _source(folder, name, "")
    members = _members(file.path) if name.lower().endswith(b".zip") else [""]
    if members is None:
        yield "", FileReason.DAMAGED, "a zip archive that cannot be opened", []
        return
    for member in members:
        try:
            yield member, "", "", read_frames(SourceFile(file.path, member))
        except Unused as unused:
            yield member, unused.reason, unused.detail, []


def _members(path: str) -> list[str] | None:
    """Files in an archive; None when it cannot be opened."""
    try:
        with zipfile.ZipFile(path) as archive:
            return sorted(info.filename for info in archive.infolist() if not info.is_dir())
    except (OSError, zipfile.BadZipFile, NotImplementedError):
        return None


def _source(folder: bytes, name: bytes, member: str) -> SourceFile:
    return SourceFile(os.fsdecode(os.path.join(folder, name)), member)  # noqa: PTH118  bytes


def _insert(database: sqlite3.Connection, batch: _Batch) -> None:
    """Add what a worker read; headers that are known keep their number."""
    numbers = [_number_of(database, header) for header in batch.headers]
    rows = [(*row[:7], None if row[7] is None else numbers[row[7]], *row[8:]) for row in batch.rows]
    database.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)


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
