"""Everything the configuration points to: folders, images, tables and their columns, programs and weights."""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from liverstiff.config import SIMULATE, Config, SegmentConfig, TableConfig
from liverstiff.errors import ConfigError
from liverstiff.nifti_lists import list_images
from liverstiff.overrides import read_overrides


def check_inputs(config: Config, root: Path = Path()) -> None:
    """Look at everything the config points to, before any work starts.

    Raises:
        ConfigError: one line per problem: site, key, path, what was expected, what to do.
    """
    problems: list[str] = []
    for name, site in config.data.sites.items():
        if site.record_only:
            pass  # its exams are in the record
        elif site.nifti is not None:
            problems += _check_nifti(f"data.sites.{name}.nifti", root / site.nifti)
        elif site.dicom != SIMULATE:
            problems += _check_tree(f"data.sites.{name}.dicom", root / str(site.dicom))
        for place, table in enumerate(site.record.sources):
            key = f"data.sites.{name}.record" + (f".tables.{place}" if site.record.tables else "")
            problems += _check_table(key, root, table)
    problems += _check_segment(config.segment, root)
    if config.catalog.overrides is not None:
        problems += _mistakes(lambda: read_overrides([root / str(config.catalog.overrides)]))
    if problems:
        raise ConfigError("\n".join(problems))


def _check_segment(segment: SegmentConfig, root: Path) -> list[str]:
    """Problems with what the methods of segmentation stand on."""
    problems = []
    if segment.atlases not in (None, SIMULATE) and not list((root / str(segment.atlases)).glob("image_*.nii.gz")):
        problems.append(
            f"segment.atlases: no image_*.nii.gz in {segment.atlases}; expected labelled volumes "
            "image_*.nii.gz and label_*.nii.gz; give that folder"
        )
    if "masks" in segment.methods and not list((root / str(segment.masks)).glob("*.nii.gz")):
        problems.append(f"segment.masks: no .nii.gz in {segment.masks}; expected <exam>.nii.gz; give that folder")
    for method, how in PROGRAMS.items():
        settings = getattr(segment, method)
        if method not in segment.methods:
            continue
        if shutil.which(settings.program) is None:
            problems.append(f"segment.{method}.program: no program {settings.program}; {how.program}")
        for pattern in how.holds:
            if not any((root / settings.weights).glob(pattern)):
                problems.append(f"segment.{method}.weights: no {pattern} in {settings.weights}; {how.weights}")
    return problems


@dataclass(frozen=True)
class Program:
    """How to get an optional program and its weights."""

    program: str
    """What to do where it is missing."""
    holds: tuple[str, ...]
    """File patterns that its folder of weights holds."""
    weights: str
    """What to do where they are missing."""


PROGRAMS = {
    "totalsegmentator": Program(
        "install it in an environment of its own (pip install TotalSegmentator) and give the path of its executable",
        ("Dataset850*/**/checkpoint_final.pth", "Dataset852*/**/checkpoint_final.pth"),
        "on a machine with a network run totalseg_download_weights -t total_mr, and give its folder nnunet/results",
    ),
    "mrsegmentator": Program(
        "install it in an environment of its own (pip install mrsegmentator) and give the path of its executable",
        ("**/plans.json",),
        "unpack the release's weights.zip (github.com/hhaentze/MRSegmentator/releases) and give that folder",
    ),
}


def _mistakes(read: Callable[[], object]) -> list[str]:
    """What reading a table finds wrong with it."""
    try:
        read()
    except ConfigError as error:
        return str(error).splitlines()
    return []


def _check_nifti(key: str, source: Path) -> list[str]:
    """Problems with a site's NIfTI images: a BIDS folder, or a table."""
    if not source.exists():
        return [f"{key}: no folder or table {source}; expected a BIDS folder or a CSV table; correct the path"]
    if source.is_file():
        return [f"{key}: {mistake}" for mistake in _mistakes(lambda: list_images(source))]
    if not list_images(source):
        return [f"{key}: no image with a BIDS name in {source}; expected sub-*/**/*_T1w.nii.gz; correct the path"]
    return []


def _check_tree(key: str, folder: Path) -> list[str]:
    """Problems with a site's folder of DICOM files."""
    if not folder.is_dir():
        return [f"{key}: no folder {folder}; expected the site's DICOM tree; correct the path or mount it"]
    if not any(map(_looks_like_dicom, _files(folder))) and not any(map(_is_dicom, _files(folder))):
        return [f"{key}: no exam in {folder}; expected at least one DICOM file; fill it or remove the site"]
    return []


def _files(folder: Path) -> Iterator[Path]:
    return (Path(parent) / name for parent, _, names in os.walk(folder) for name in names)


def _looks_like_dicom(path: Path) -> bool:
    """True for a file with DICOM's preamble, and for a packed file, which the stage catalog opens."""
    if path.suffix.lower() in (".gz", ".zip"):
        return True
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def _is_dicom(path: Path) -> bool:
    """True for a file that the stage catalog takes for DICOM, with a preamble or without."""
    from liverstiff.dicom.files import SourceFile  # pydicom takes most of a second, and is hardly ever needed here
    from liverstiff.dicom.walk import DamagedHeader, NotDicom, read_elements

    try:
        with SourceFile(str(path)).reader() as (read, size):
            read_elements(read, size, frozenset())
    except (NotDicom, DamagedHeader, OSError):
        return False
    return True


def _check_table(key: str, root: Path, table: TableConfig) -> list[str]:
    """Problems with a table of a record: the file, then, of a CSV, its columns; of a database, its password."""
    if table.is_database:
        absent = table.password_env is not None and table.password_env not in os.environ
        return [f"{key}.password_env: no environment variable {table.password_env}; set it"] if absent else []
    if not table.is_file:
        return []
    path = root / str(table.table)
    if not path.is_file():
        return [f"{key}.table: no file {path}; expected the site's health record; correct the path"]
    if path.suffix.lower() not in (".csv", ".tsv", ".txt"):
        return []
    encoding = "utf-8-sig" if table.encoding == "utf-8" else table.encoding
    with path.open(newline="", encoding=encoding, errors="replace") as file:
        line = file.readline()
    if "\ufffd" in line:
        return [f"{key}.encoding: {path} is not in {table.encoding}; set encoding, e.g. latin-1"]
    signs = [table.delimiter] if table.delimiter else [",", ";", "\t", "|"]
    header = max((next(csv.reader([line], delimiter=sign), []) for sign in signs), key=len)
    wanted = {"patient": table.patient, "date": table.date}
    wanted |= {f"columns.{name}": column.column for name, column in table.columns.items()}
    return [
        f"{key}.{name}: no column {column!r} in {path}; its columns are {', '.join(header)}; correct the name"
        for name, column in wanted.items()
        if column is not None and column not in header
    ]
