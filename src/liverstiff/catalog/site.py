"""One site: from a tree of files to identified series under pseudonyms."""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from liverstiff.catalog.choice import Identified, choose, without_made_traces, without_post_contrast
from liverstiff.catalog.features import features
from liverstiff.catalog.identify import identify
from liverstiff.catalog.nifti import NiftiSeries, exam_frame, read_images
from liverstiff.catalog.rules import RULES
from liverstiff.catalog.scan import Scan, Skipped, Study, scan
from liverstiff.dicom import Frame, SourceFile, Stack, split_stacks
from liverstiff.errors import DataError
from liverstiff.nifti_lists import list_images
from liverstiff.overrides import Overrides, read_overrides
from liverstiff.pseudonyms import ensure_key, exam_pseudonym, patient_pseudonym, private_folder
from liverstiff.records import Exam, FileReason

NAMES = ["exam", "patient", "site"]
FILE_COLUMNS = [*NAMES, "series", "kind", "variant", "chosen", "volume", "b_value", "path", "member", "frame"]
TEXT_COLUMNS = [*NAMES, "series", "series_number", "text", "series_uid"]
EXAM_COLUMNS = [
    *NAMES,
    *("patient_id", "study_uid", "study_date", "vendor", "model", "field_t", "patients", "modalities", "duplicate_of"),
]
SERIES_COLUMNS = [
    *NAMES,
    *("series", "kind", "variant", "confidence", "reason", "chosen", "code", "why", "vendor", "model", "field_t"),
    *("files", "volumes", "b_values", "rows", "columns", "slices"),
]
SKIPPED_COLUMNS = ["path", "member", "reason", "detail"]
SKIPPED_COUNTS = ["site", "reason", "files"]
OVERRIDE_COUNTS = ["site", "table", "row", "series"]


@dataclass(frozen=True)
class CatalogedExam:
    """One exam of a site and all its series."""

    identity: Exam
    frame: Frame
    """A frame that stands for the exam; its header holds the identifiers."""
    patients: int
    """Number of PatientIDs in the study; more than one is a fault of the archive."""
    series: list[Identified]
    duplicates: list[SourceFile] = field(default_factory=list)

    def fingerprint(self) -> tuple:
        """What a copy of the exam under another number shares with it: patient, time and grid of what is taken."""
        taken = [series for series in self.series if series.chosen]
        grids = tuple(sorted((s.time, s.stack.first.header.rows, len(s.stack.frames), str(s.kind)) for s in taken))
        return (self.identity.patient, *grids) if grids and all(time for time, *_ in grids) else ()

    def exam_row(self, duplicate_of: str) -> dict[str, Any]:
        """The private row that links the pseudonyms to the identifiers."""
        header = self.frame.header
        return self.names | {
            "patient_id": header.patient_id,
            "study_uid": header.study_uid,
            "study_date": header.study_date,
            "vendor": header.vendor,
            "model": header.model,
            "field_t": header.field_t,
            "patients": self.patients,
            "modalities": " ".join(sorted({series.stack.first.header.modality for series in self.series})),
            "duplicate_of": duplicate_of,
        }

    def series_rows(self) -> Iterator[dict[str, Any]]:
        """A public row per series."""
        return (self.names | _series_row(series) for series in self.series)

    def text_rows(self) -> Iterator[dict[str, Any]]:
        """A private row per series with what its header calls it, to write overrides by."""
        for series in self.series:
            header = series.stack.first.header
            yield self.names | {
                "series": series.series,
                "series_number": header.series_number,
                "text": series.text,
                "series_uid": header.series_uid,
            }

    def file_rows(self) -> Iterator[dict[str, Any]]:
        """A private row per file, or per frame of a multi-frame file."""
        for series in self.series:
            common = self.names | {
                "series": series.series,
                "kind": str(series.kind),
                "variant": series.variant,
                "chosen": series.chosen,
            }
            for number, volume in enumerate(series.stack.volumes):
                images = dict.fromkeys((*frame.file, frame.number) for frame in volume.frames)
                for path, member, image in images:  # the slices of a NIfTI volume are one image
                    place = {"path": path, "member": member, "frame": image}
                    yield common | {"volume": number, "b_value": volume.b_value} | place

    @property
    def names(self) -> dict[str, Any]:
        """Pseudonyms and site, as the first columns of every table."""
        return {"exam": self.identity.exam, "patient": self.identity.patient, "site": self.identity.site}


def catalog_site(
    *,
    site: str,
    tree: Path,
    key: Path,
    private: Path,
    series: Path,
    skipped: Path,
    overridden: Path,
    cache: Path,
    overrides: list[Path],
    nifti: bool = False,
    workers: int = 1,
) -> None:
    """Find every MR series of a site, say what it is, and choose the sources of each exam.

    Args:
        site: name of the site.
        tree: folder of DICOM files, in any order and depth, with any names, also packed by gzip or zip; for a site of
            NIfTI images a BIDS folder or a table of images.
        key: file of the secret key of the pseudonyms; made when absent.
        private: folder (made with mode 0700) for ``files.csv``, ``exams.csv``, ``texts.csv``, ``skipped.csv`` and
            ``duplicates.csv``, which link pseudonyms to identifiers, texts and paths.
        series: public table of the series, without identifiers.
        skipped: public table: how many files gave no image, by reason.
        overridden: public table: how many series each row of the overrides changed.
        cache: SQLite file of the headers read before; made when absent.
        overrides: the user's tables of corrections.
        nifti: the site's images are NIfTI files.
        workers: processes that read files.

    Raises:
        DataError: when there is no exam.
        ConfigError: when a table of overrides or of images holds mistakes.
    """
    secret = ensure_key(key)
    corrections = read_overrides(overrides)
    if nifti:
        exams, counts = _nifti_exams(site, secret, tree, corrections, workers)
        left_out: Iterable[Skipped] = ()
    else:
        found = scan(tree, cache, workers)
        exams, left_out, counts = _dicom_exams(site, secret, found, corrections), found.skipped(), found.counts()
    private_folder(private)
    reasons, number = _write_exams(exams, private, series)
    if not number:
        raise DataError(f"no MR exam at site {site!r}; expected images of MR series in its folder; correct the path")
    reasons += _write_skipped(left_out, private / "skipped.csv")
    with table(skipped, SKIPPED_COUNTS) as rows:
        rows.writerows({"site": site, "reason": reason, "files": reasons[reason]} for reason in sorted(reasons))
    with table(overridden, OVERRIDE_COUNTS) as rows:
        rows.writerows({"site": site} | row for row in corrections.report())
    print(f"catalog: {site}: {number} exams; {counts}, {sum(reasons.values())} not used", flush=True)


def _dicom_exams(site: str, key: bytes, found: Scan, overrides: Overrides) -> Iterator[CatalogedExam]:
    """The exams of a scanned tree by pseudonym: the order of study numbers would tell their order in time."""
    studies = {exam_pseudonym(key, site, uid): (uid, headers) for uid, headers in found.studies().items()}
    for pseudonym in sorted(studies):
        yield catalog_exam(site, key, found.study(*studies[pseudonym]), overrides)


def _nifti_exams(
    site: str, key: bytes, source: Path, overrides: Overrides, workers: int
) -> tuple[Iterator[CatalogedExam], str]:
    """The exams of a BIDS folder or a table, in the order of their pseudonyms, and how many files there are."""
    images = read_images(list_images(source), workers)
    by_exam: dict[str, list[NiftiSeries]] = defaultdict(list)
    for image in images:
        by_exam[exam_pseudonym(key, site, image.header.study_uid)].append(image)
    exams = (_nifti_exam(site, key, by_exam[exam], overrides) for exam in sorted(by_exam))
    return exams, f"{len(images)} images"


def _nifti_exam(site: str, key: bytes, images: list[NiftiSeries], overrides: Overrides) -> CatalogedExam:
    """One exam of NIfTI images."""
    header = images[0].header
    identity = Exam(exam_pseudonym(key, site, header.study_uid), patient_pseudonym(key, site, header.patient_id), site)
    series = [image.identified(f"s{number:03d}") for number, image in enumerate(images, start=1)]
    series = [overrides.apply(site, identity.exam, one) for one in without_post_contrast(series)]
    patients = len({image.header.patient_id for image in images})
    return CatalogedExam(identity, exam_frame(images), patients, choose(series))


def _write_exams(exams: Iterable[CatalogedExam], private: Path, series: Path) -> tuple[Counter[str], int]:
    """Write the tables exam by exam; count the duplicates and the exams."""
    counts: Counter[str] = Counter()
    number = 0
    first: dict[tuple, str] = {}
    with (
        table(private / "files.csv", FILE_COLUMNS) as files,
        table(private / "exams.csv", EXAM_COLUMNS) as rows,
        table(private / "texts.csv", TEXT_COLUMNS) as texts,
        table(private / "duplicates.csv", [*NAMES, "path", "member"]) as double,
        table(series, SERIES_COLUMNS) as public,
    ):
        for exam in exams:
            number += 1
            mark = exam.fingerprint()
            rows.writerow(exam.exam_row(first.get(mark, "")))
            if mark:
                first.setdefault(mark, exam.identity.exam)
            files.writerows(exam.file_rows())
            texts.writerows(exam.text_rows())
            public.writerows(exam.series_rows())
            double.writerows(exam.names | {"path": path, "member": member} for path, member in exam.duplicates)
            counts[FileReason.DUPLICATE] += len(exam.duplicates)
    return +counts, number


def _write_skipped(left_out: Iterable[Skipped], path: Path) -> Counter[str]:
    """Write which files gave no image; count them by reason."""
    counts: Counter[str] = Counter()
    with table(path, SKIPPED_COLUMNS) as rows:
        for one in left_out:
            counts[one.reason] += 1
            file = {"path": one.file.path, "member": one.file.member}
            rows.writerow(file | {"reason": one.reason, "detail": one.detail})
    return counts


@contextmanager
def table(path: Path, columns: list[str]) -> Iterator[csv.DictWriter]:
    """A CSV file to write rows to; odd names of files survive the way through it."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with Path(path).open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        yield writer


def catalog_exam(site: str, key: bytes, study: Study, overrides: Overrides) -> CatalogedExam:
    """One exam: its pseudonyms, its series and which of them are taken."""
    frames = study.frames
    patients = Counter(frame.header.patient_id for frame in frames)
    patient_id = min(patients, key=lambda name: (-patients[name], name))
    frame = next(frame for frame in frames if frame.header.patient_id == patient_id)
    identity = Exam(exam_pseudonym(key, site, study.uid), patient_pseudonym(key, site, patient_id), site)
    names = Counter((frame.header.patient_id, _name_key(frame.header.patient_name)) for frame in frames)
    series = without_made_traces(without_post_contrast(identify_all(frames)))
    series = [overrides.apply(site, identity.exam, one) for one in series]
    return CatalogedExam(identity, frame, len(names), choose(series), study.duplicates)


def _name_key(name: str) -> str:
    """A patient's name for comparison: case, separators and spaces do not count."""
    return "".join(sorted(name.upper().replace("^", " ").split()))


def identify_all(frames: list[Frame]) -> list[Identified]:
    """Every stack of an exam, with its kind by the table of rules; numbered in the order of the series numbers."""
    groups: dict[tuple[int, str], list[Frame]] = defaultdict(list)
    for frame in frames:
        groups[frame.header.series_number, frame.header.series_uid].append(frame)
    return [
        identified(stack, f"s{number:03d}" + (f"-{part}" if len(stacks) > 1 else ""))
        for number, group in enumerate(sorted(groups), start=1)
        for stacks in [split_stacks(groups[group])]
        for part, stack in enumerate(stacks, start=1)
    ]


def identified(stack: Stack, name: str) -> Identified:
    """A stack with its kind by the table of rules."""
    rule = identify(features(stack), RULES)
    return Identified(stack, name, rule.kind, rule.variant, rule.confidence, rule.reason, rule.rank, rule.code)


def _series_row(series: Identified) -> dict[str, Any]:
    """What the public table says about a series."""
    stack = series.stack
    header = stack.first.header
    return {
        "series": series.series,
        "kind": str(series.kind),
        "variant": series.variant,
        "confidence": series.confidence,
        "reason": series.reason,
        "chosen": series.chosen,
        "code": str(series.code or ""),
        "why": series.why,
        "vendor": header.vendor,
        "model": header.model,
        "field_t": header.field_t,
        "files": len({frame.file for frame in stack.frames}),
        "volumes": len(stack.volumes),
        "b_values": " ".join(f"{b:g}" for b in stack.b_values),
        "rows": header.rows,
        "columns": header.columns,
        "slices": stack.slices,
    }
