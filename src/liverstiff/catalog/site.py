"""One site: from a tree of files to identified series under pseudonyms."""

from __future__ import annotations

import csv
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pydicom.pixels import pixel_array

from liverstiff.catalog.choice import choose, without_post_contrast
from liverstiff.catalog.exam import CatalogedExam, catalog_exam
from liverstiff.catalog.nifti import NiftiSeries, exam_frame, read_images
from liverstiff.catalog.recorded import RecordedExam, recorded_exams
from liverstiff.catalog.scan import Scan, Skipped, scan
from liverstiff.config import RecordConfig
from liverstiff.dicom import Frame
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


def catalog_site(
    *,
    site: str,
    tree: Path | list[Path],
    key: Path,
    private: Path,
    series: Path,
    skipped: Path,
    overridden: Path,
    cache: Path,
    overrides: list[Path],
    nifti: bool = False,
    record: RecordConfig | None = None,
    mre_series: dict[str, str] | None = None,
    workers: int = 1,
) -> None:
    """Find every MR series of a site, say what it is, and choose the sources of each exam.

    Args:
        site: name of the site.
        tree: folder of DICOM files, in any order and depth, with any names, also packed by gzip or zip; for a site of
            NIfTI images a BIDS folder or a table of images; for a site without images the files of its record.
        key: file of the secret key of the pseudonyms; made when absent.
        private: folder (made with mode 0700) for ``files.csv``, ``exams.csv``, ``texts.csv``, ``skipped.csv`` and
            ``duplicates.csv``, which link pseudonyms to identifiers, texts and paths.
        series: public table of the series, without identifiers.
        skipped: public table: how many files gave no image, by reason.
        overridden: public table: how many series each row of the overrides changed.
        cache: SQLite file of the headers read before; made when absent.
        overrides: the user's tables of corrections.
        nifti: the site's images are NIfTI files.
        record: the record of a site without images.
        mre_series: the site's expressions for the series of its elastograms.
        workers: processes that read files.

    Raises:
        DataError: when there is no exam.
        ConfigError: when a table of overrides or of images holds mistakes.
    """
    secret = ensure_key(key)
    private_folder(private)

    def write() -> None:
        corrections = read_overrides(overrides, mre_series)
        left_out: Iterable[Skipped] = ()
        exams: Iterable[CatalogedExam | RecordedExam]
        if record is not None:
            exams = recorded_exams(site, secret, tree if isinstance(tree, list) else [tree], record)
            counts = "from the record"
        elif isinstance(tree, list):
            raise TypeError("several trees of images")
        elif nifti:
            exams, counts = _nifti_exams(site, secret, tree, corrections, workers)
        else:
            found = scan(tree, cache, workers)
            exams, left_out, counts = _dicom_exams(site, secret, found, corrections), found.skipped(), found.counts()
        reasons, number = _write_exams(exams, private, series)
        if not number:
            raise DataError(f"no exam at site {site!r}; expected MR images in its folder; correct the path")
        reasons += _write_skipped(left_out, private / "skipped.csv")
        with table(skipped, SKIPPED_COUNTS) as rows:
            rows.writerows({"site": site, "reason": reason, "files": reasons[reason]} for reason in sorted(reasons))
        with table(overridden, OVERRIDE_COUNTS) as rows:
            rows.writerows({"site": site} | row for row in corrections.report())
        print(f"catalog: {site}: {number} exams; {counts}, {sum(reasons.values())} not used", flush=True)

    _with_cache(write, cache, site)


def _with_cache(write: Callable[[], None], cache: Path, site: str) -> None:
    """Write the tables; when the cache of headers is damaged, once more without it."""
    try:
        write()
    except sqlite3.DatabaseError as error:
        if "locked" in str(error):
            raise DataError(f"another run reads the headers of site {site!r}; wait until it has ended") from None
        print("catalog: the cache of headers is damaged; every file is read again", flush=True)
        cache.unlink()
        write()


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
    series = without_post_contrast([overrides.apply(site, identity.exam, one) for one in series])
    patients = len({image.header.patient_id for image in images})
    return CatalogedExam(identity, exam_frame(images), patients, choose(series))


def _write_exams(
    exams: Iterable[CatalogedExam | RecordedExam], private: Path, series: Path
) -> tuple[Counter[str], int]:
    """Write the tables exam by exam; count the duplicates and the exams."""
    counts: Counter[str] = Counter()
    number = 0
    first: dict[bytes, tuple[str, Frame]] = {}
    with (
        table(private / "files.csv", FILE_COLUMNS, private=True) as files,
        table(private / "exams.csv", EXAM_COLUMNS, private=True) as rows,
        table(private / "texts.csv", TEXT_COLUMNS, private=True) as texts,
        table(private / "duplicates.csv", [*NAMES, "path", "member"], private=True) as double,
        table(series, SERIES_COLUMNS) as public,
    ):
        for exam in exams:
            number += 1
            mark = exam.fingerprint()
            known, sample = first.get(mark, ("", None))
            copy = sample is not None and _pixels(sample) == _pixels(exam.sample()) != b""
            rows.writerow(exam.exam_row(known if copy else ""))
            if mark:
                first.setdefault(mark, (exam.identity.exam, exam.sample()))
            files.writerows(exam.file_rows())
            texts.writerows(exam.text_rows())
            public.writerows(exam.series_rows())
            double.writerows(exam.names | {"path": path, "member": member} for path, member in exam.duplicates)
            counts[FileReason.DUPLICATE] += len(exam.duplicates)
    return +counts, number


def _pixels(frame: Frame) -> bytes:
    """The pixels of an image; empty when they cannot be read."""
    try:
        with frame.file.open() as file:
            return pixel_array(file, index=max(frame.number - 1, 0)).tobytes()
    except Exception:  # whatever a decoder makes of a damaged file: then it is no proven copy
        return b""


def _write_skipped(left_out: Iterable[Skipped], path: Path) -> Counter[str]:
    """Write which files gave no image; count them by reason."""
    counts: Counter[str] = Counter()
    with table(path, SKIPPED_COLUMNS, private=True) as rows:
        for one in left_out:
            counts[one.reason] += 1
            file = {"path": one.file.path, "member": one.file.member}
            rows.writerow(file | {"reason": one.reason, "detail": one.detail})
    return counts


@contextmanager
def table(path: Path, columns: list[str], private: bool = False) -> Iterator[csv.DictWriter]:
    """A CSV file to write rows to; in a private one odd names of files survive the way through it."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with Path(path).open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.DictWriter(
            file, columns, lineterminator="\n", quoting=csv.QUOTE_ALL if private else csv.QUOTE_MINIMAL
        )
        writer.writeheader()
        yield writer
