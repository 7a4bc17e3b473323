"""One site: from a tree of files to identified series under pseudonyms."""

from __future__ import annotations

import multiprocessing
import os
from collections import Counter, defaultdict
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from liverstiff.catalog.choice import Identified, choose, without_post_contrast
from liverstiff.catalog.features import features
from liverstiff.catalog.identify import identify
from liverstiff.catalog.rules import RULES
from liverstiff.config import CatalogConfig
from liverstiff.dicom import Frame, Stack, read_frames, split_stacks
from liverstiff.errors import DataError
from liverstiff.pseudonyms import ensure_key, exam_pseudonym, patient_pseudonym, private_folder
from liverstiff.records import Exam

FILE_COLUMNS = ["exam", "patient", "site", "series", "kind", "chosen", "volume", "b_value", "path", "frame"]
EXAM_COLUMNS = [
    "exam",
    "patient",
    "site",
    "patient_id",
    "study_uid",
    "study_date",
    "vendor",
    "model",
    "field_t",
    "patients",
]
SERIES_COLUMNS = [
    "exam",
    "patient",
    "site",
    "series",
    "kind",
    "confidence",
    "reason",
    "chosen",
    "files",
    "volumes",
    "b_values",
    "rows",
    "columns",
    "slices",
]


@dataclass(frozen=True)
class CatalogedExam:
    """One exam of a site and all its series."""

    identity: Exam
    frame: Frame
    """A frame that stands for the exam; its header holds the identifiers."""
    patients: int
    """Number of PatientIDs in the study; more than one is a fault of the archive."""
    series: list[Identified]

    def exam_row(self) -> dict[str, Any]:
        """The private row that links the pseudonyms to the identifiers."""
        header = self.frame.header
        return self._names() | {
            "patient_id": header.patient_id,
            "study_uid": header.study_uid,
            "study_date": header.study_date,
            "vendor": header.vendor,
            "model": header.model,
            "field_t": header.field_t,
            "patients": self.patients,
        }

    def series_rows(self) -> list[dict[str, Any]]:
        """A public row per series."""
        return [self._names() | _series_row(series) for series in self.series]

    def file_rows(self) -> list[dict[str, Any]]:
        """A private row per file, or per frame of a multi-frame file."""
        return [
            self._names()
            | {
                "series": series.series,
                "kind": str(series.kind),
                "chosen": series.chosen,
                "volume": number,
                "b_value": volume.b_value,
                "path": str(frame.header.path),
                "frame": frame.number,
            }
            for series in self.series
            for number, volume in enumerate(series.stack.volumes)
            for frame in volume.frames
        ]

    def _names(self) -> dict[str, Any]:
        return {"exam": self.identity.exam, "patient": self.identity.patient, "site": self.identity.site}


def catalog_site(
    *, site: str, tree: Path, key: Path, private: Path, series: Path, settings: CatalogConfig, workers: int = 1
) -> None:
    """Find every MR series below a folder, say what it is, and choose the sources of each exam.

    Args:
        site: name of the site.
        tree: folder of DICOM files, in any order and depth, with any names, also packed by gzip.
        key: file of the secret key of the pseudonyms; made when absent.
        private: folder (made with mode 0700) for ``files.csv`` and ``exams.csv``, which link pseudonyms to identifiers.
        series: public table of the series, without identifiers.
        settings: the section ``catalog``; so far only :func:`catalog_study` decides by it.
        workers: processes that read headers.

    Raises:
        DataError: when there is no MR exam below the folder.
    """
    secret = ensure_key(key)
    paths = files_below(tree)
    found = read_all(paths, workers)
    frames = [frame for file in found for frame in file or []]
    studies = by_study(frame for frame in frames if frame.header.modality in ("MR", ""))
    if not studies:
        raise DataError(f"no MR exam in data.sites.{site}.dicom; expected DICOM files of MR series; correct the path")
    exams = [catalog_exam(site, secret, frames) for frames in studies.values()]
    exams.sort(key=lambda exam: exam.identity.exam)
    skipped = sum(file is None for file in found)
    print(
        f"catalog: {site}: {len(exams)} exams in {len(paths)} files, of which {skipped} are no DICOM image", flush=True
    )
    private_folder(private)
    _write([row for exam in exams for row in exam.file_rows()], FILE_COLUMNS, private / "files.csv")
    _write([exam.exam_row() for exam in exams], EXAM_COLUMNS, private / "exams.csv")
    _write([row for exam in exams for row in exam.series_rows()], SERIES_COLUMNS, series)


def files_below(tree: Path) -> list[Path]:
    """All regular files below a folder, in the order of their paths."""
    paths = (Path(parent) / name for parent, _, names in os.walk(tree) for name in names)
    return sorted(path for path in paths if path.is_file())


def read_all(paths: list[Path], workers: int) -> list[list[Frame] | None]:
    """Frames of every file, None for what is no DICOM image."""
    if workers == 1 or len(paths) < 256:
        return [read_frames(path) for path in paths]
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("fork")) as pool:
        return list(pool.map(read_frames, paths, chunksize=64))


def by_study(frames: Iterable[Frame]) -> dict[str, list[Frame]]:
    """Frames of each StudyInstanceUID."""
    studies: dict[str, list[Frame]] = defaultdict(list)
    for frame in frames:
        studies[frame.header.study_uid].append(frame)
    return studies


def catalog_exam(site: str, key: bytes, frames: list[Frame]) -> CatalogedExam:
    """One exam: its pseudonyms, its series and which of them are taken."""
    patients = Counter(frame.header.patient_id for frame in frames)
    patient_id = min(patients, key=lambda name: (-patients[name], name))
    frame = next(frame for frame in frames if frame.header.patient_id == patient_id)
    identity = Exam(exam_pseudonym(key, site, frame.header.study_uid), patient_pseudonym(key, site, patient_id), site)
    return CatalogedExam(identity, frame, len(patients), choose(without_post_contrast(identify_all(frames))))


def identify_all(frames: list[Frame]) -> list[Identified]:
    """Every stack of an exam, with its kind by the table of rules; numbered in the order of the series numbers."""
    groups: dict[tuple[int, str], list[Frame]] = defaultdict(list)
    for frame in frames:
        groups[frame.header.series_number, frame.header.series_uid].append(frame)
    return [
        _identified(stack, f"s{number:03d}" + (f"-{part}" if len(stacks) > 1 else ""))
        for number, group in enumerate(sorted(groups), start=1)
        for stacks in [split_stacks(groups[group])]
        for part, stack in enumerate(stacks, start=1)
    ]


def _identified(stack: Stack, name: str) -> Identified:
    rule = identify(features(stack), RULES)
    return Identified(stack, name, rule.kind, rule.confidence, rule.reason, rule.rank)


def _series_row(series: Identified) -> dict[str, Any]:
    """What the public table says about a series."""
    stack = series.stack
    header = stack.first.header
    return {
        "series": series.series,
        "kind": str(series.kind),
        "confidence": series.confidence,
        "reason": series.reason,
        "chosen": series.chosen,
        "files": len({frame.header.path for frame in stack.frames}),
        "volumes": len(stack.volumes),
        "b_values": " ".join(f"{b:g}" for b in stack.b_values),
        "rows": header.rows,
        "columns": header.columns,
        "slices": stack.slices,
    }


def _write(rows: list[dict[str, Any]], columns: list[str], path: Path) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows, columns=columns).to_csv(path, index=False)
