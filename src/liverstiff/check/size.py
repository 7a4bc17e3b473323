"""How large the study is: exams and bytes of every site, by its folders and a few headers, not by every file."""

from __future__ import annotations

import math
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from liverstiff.catalog.tree import Entry, folders_below
from liverstiff.config import SIMULATE, Config, SiteConfig
from liverstiff.dicom.elements import tag_of
from liverstiff.dicom.files import BROKEN_PACKING, SourceFile
from liverstiff.dicom.walk import DamagedHeader, NotDicom, read_elements
from liverstiff.nifti_lists import list_images

MOST_PLACES = 300
"""Entries of a site's folder that are looked into; of more, as many are taken at even distances."""
MOST_FILES = 5_000
"""Headers read in one folder that holds several exams; of more files, as many at even distances."""
STUDY = tag_of("StudyInstanceUID")
Item = TypeVar("Item")


@dataclass(frozen=True)
class Size:
    """Exams and images of one site."""

    exams: int | None
    """None when only the run can tell."""
    gigabytes: float
    """Of the images as DICOM without compression; of NIfTI, its own bytes."""
    kind: str
    """``dicom``, ``nifti``, ``simulate`` or ``record``."""
    basis: str
    """How this is known."""


def study_size(config: Config, root: Path, exam_gb: float) -> dict[str, Size]:
    """Size by site; ``exam_gb`` is that of a simulated exam."""
    return {name: _site(config, name, site, root, exam_gb) for name, site in config.data.sites.items()}


def _site(config: Config, name: str, site: SiteConfig, root: Path, exam_gb: float) -> Size:
    if site.record_only:
        return Size(_rows(site, root), 0, "record", "rows of its first table")
    if site.dicom == SIMULATE:
        exams = config.simulate.sites[name].exams
        return Size(exams, exams * exam_gb, "simulate", "simulate.sites")
    if site.nifti is not None:
        images = list_images(root / site.nifti)
        size = sum(image.path.stat().st_size for image in images if image.path.is_file())
        return Size(len({image.exam for image in images}), size / 1e9, "nifti", "names of the images")
    return tree_size(root / str(site.dicom))


def _rows(site: SiteConfig, root: Path) -> int | None:
    """Rows of a record that is a text table: at most so many exams."""
    table = site.record.sources[0]
    if not table.is_file or Path(str(table.table)).suffix.lower() not in (".csv", ".tsv", ".txt"):
        return None
    with (root / str(table.table)).open("rb") as file:
        return max(0, sum(1 for line in file if line.strip()) - 1)


def tree_size(folder: Path) -> Size:
    """Size of a tree of DICOM files.

    Exams are the distinct StudyInstanceUID of the first and the last file of every folder, or of every file where these
    two differ; a zip archive counts as a folder. Of a site's folder with more than :data:`MOST_PLACES` entries a sample
    is looked at, and the rest taken to be like it.
    """
    _, places = next(folders_below(os.fsencode(folder)))
    folders = sorted(place for place in folder.iterdir() if place.is_dir())
    looked, share = _evenly(folders, MOST_PLACES)
    found = [_look(*below) for one in looked for below in folders_below(os.fsencode(one))]
    loose = _look(os.fsencode(folder), places)
    studies = {study for one in found for study in one.studies}
    exams = share * len(studies) + loose.scale * len(loose.studies - studies)
    size = share * sum(one.size for one in found) + loose.size
    basis = "headers of its folders" if share == 1 else f"{len(looked)} of its {len(folders)} folders"
    if max([loose.scale, *(one.scale for one in found)]) > 1:
        basis += ", at most: many exams lie in one folder"
    return Size(round(exams), size / 1e9, "dicom", basis)


@dataclass(frozen=True)
class _Looked:
    """What a folder holds."""

    studies: frozenset[str]
    size: int
    scale: float = 1
    """Files for every one whose header was read, where these are a sample."""


def _look(folder: bytes, entries: list[Entry]) -> _Looked:
    """Studies and bytes of the files of one folder."""
    files = [(os.fsdecode(os.path.join(folder, name)), size) for name, size, _ in entries if size > 0]  # noqa: PTH118
    archives = [path for path, _ in files if path.lower().endswith(".zip")]
    sources = [SourceFile(path) for path, _ in files if not path.lower().endswith(".zip")]
    size = sum(size for _, size in files)
    studies = set().union(*map(_of_archive, archives))
    ends = {_first_study(sources), _first_study(sources[::-1])} - {""}
    if len(ends) < 2:
        return _Looked(frozenset(studies | ends), size)
    taken, scale = _evenly(sources, MOST_FILES)
    return _Looked(frozenset(studies | ends | {_study(one) for one in taken} - {""}), size, scale)


def _of_archive(path: str) -> set[str]:
    """Studies of the first and the last member of a zip archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = [SourceFile(path, one.filename) for one in archive.infolist() if not one.is_dir()]
    except BROKEN_PACKING:
        return set()
    return {_first_study(members), _first_study(members[::-1])} - {""}


def _first_study(sources: list[SourceFile], tries: int = 3) -> str:
    """The study of the first file that has one; of a few, since lists and texts may lie beside the images."""
    return next(filter(None, map(_study, sources[:tries])), "")


def _study(source: SourceFile) -> str:
    """StudyInstanceUID of a file; empty for one that is no DICOM file."""
    try:
        with source.reader() as (read, size):
            return read_elements(read, size, frozenset({STUDY})).elements.text(STUDY)
    except (NotDicom, DamagedHeader, *BROKEN_PACKING):
        return ""


def _evenly(items: list[Item], most: int) -> tuple[list[Item], float]:
    """At most so many items at even distances, and how many each stands for."""
    if len(items) <= most:
        return items, 1
    taken = [items[math.floor(place * len(items) / most)] for place in range(most)]
    return taken, len(items) / most
