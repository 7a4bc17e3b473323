"""What crosses a file between two stages: names, reason codes, and the columns of the shared tables."""

from __future__ import annotations

import csv
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from pathlib import Path

import pandas as pd

STAGES = (
    "simulate",
    "catalog",
    "convert",
    "harmonize",
    "register",
    "segment",
    "elastography",
    "cohort",
    "split",
    "pack",
    "train",
    "predict",
    "evaluate",
    "report",
)

SEQUENCES = ("T1w", "T2w", "DWI")
"""The three routine sequences of an exam, as they are acquired."""

CHANNELS = ("T1w", "T2w", "DWI", "ADC")
"""The image channels of the model. ``DWI`` is the image at one standard b-value, ``ADC`` is in mm2/s."""

PARTITIONS = ("cross-validation", "temporal", "external")

LIVER, SPLEEN = 1, 2
"""Labels of every mask."""


class Kind(StrEnum):
    """What a series is."""

    T1W = "T1w"
    T1W_POST = "T1w_post"
    T2W = "T2w"
    DWI = "DWI"
    ADC = "ADC"
    MRE_STIFFNESS = "MRE_stiffness"
    MRE_MASKED = "MRE_masked_stiffness"
    MRE_CONFIDENCE = "MRE_confidence"
    MRE_WAVE = "MRE_wave"
    MRE_RAW = "MRE_raw"
    LOCALIZER = "localizer"
    DERIVED = "derived"
    OTHER = "other"


class FileReason(StrEnum):
    """Why a file gives no image. ``skipped.csv`` counts these."""

    EMPTY = "empty_file"
    UNREADABLE = "unreadable_file"
    NOT_DICOM = "not_dicom"
    DAMAGED = "damaged_file"
    NO_IMAGE = "no_image"
    DUPLICATE = "duplicate"
    LINK_LOOP = "link_loop"


class SeriesReason(StrEnum):
    """Why a series that was identified is not taken as a source, or what to know when it is."""

    NOT_A_SOURCE = "not_a_source"
    POST_CONTRAST = "post_contrast"
    LESS_PREFERRED = "less_preferred"
    OVERRIDDEN = "overridden"
    WRONG_MODALITY = "wrong_modality"
    SECONDARY_CAPTURE = "secondary_capture"
    BURNED_IN = "burned_in_annotation"
    CUT_SHORT = "truncated_pixels"
    MISSING_SLICE = "missing_slice"
    DUPLICATED_SLICE = "duplicated_slice"
    UNEVEN_SLICES = "uneven_slices"
    TOO_FEW_SLICES = "too_few_slices"
    NO_B_VALUES = "no_b_values"
    ONE_B_VALUE = "one_b_value"
    NO_B_ZERO = "no_b_zero"
    SEVERAL_VOLUMES = "several_volumes"
    CONTRADICTION = "contradiction"
    UNREADABLE = "unreadable_image"
    IMPLAUSIBLE = "implausible_image"


class Reason(StrEnum):
    """Why an exam is not analysed. The flow chart of the report counts these."""

    # catalog
    CONFLICTING_IDENTITY = "conflicting_identity"
    MISSING_SEQUENCE = "missing_sequence"
    MISSING_MRE = "missing_mre"
    WRONG_MODALITY = "wrong_modality"
    DUPLICATE_EXAM = "duplicate_exam"
    NO_PATIENT_ID = "no_patient_id"
    # convert, harmonize, register, segment, pack
    UNREADABLE = "unreadable_image"
    CONVERSION_FAILED = "conversion_failed"
    IMPLAUSIBLE_IMAGE = "implausible_image"
    REGISTRATION_FAILED = "registration_failed"
    SEGMENTATION_FAILED = "segmentation_failed"
    OUT_OF_TIME = "out_of_time"
    OUT_OF_MEMORY = "out_of_memory"
    # elastography
    NO_CONFIDENT_PIXEL = "no_confident_pixel"
    AREA_TOO_SMALL = "area_too_small"
    WRONG_FREQUENCY = "wrong_frequency"
    UNIT_UNCLEAR = "unit_unclear"
    STIFFNESS_OUT_OF_RANGE = "stiffness_out_of_range"
    # cohort, split
    NO_STUDY_DATE = "no_study_date"
    NO_RECORD = "no_record"
    NOT_ELIGIBLE = "not_eligible"
    NO_REFERENCE = "no_reference"
    MISSING_VALUE = "missing_value"
    PATIENT_IN_DEVELOPMENT = "patient_in_development"
    PATIENT_AT_DEVELOPMENT_SITE = "patient_at_development_site"
    PATIENT_IN_OTHER_FOLD = "patient_in_other_fold"
    # predict
    NO_ESTIMATE = "no_estimate"


@dataclass(frozen=True)
class Exam:
    """One MRI exam, by pseudonyms."""

    exam: str
    """Pseudonym of the study: ``e`` and 12 hexadecimal digits."""
    patient: str
    """Pseudonym of the patient: ``p`` and 12 hexadecimal digits."""
    site: str
    """Name of the site in the config."""

    def __post_init__(self) -> None:
        for prefix, name in (("e", self.exam), ("p", self.patient)):
            if not (name.startswith(prefix) and name[1:].isalnum()):
                raise ValueError(f"not a pseudonym: {name!r}")

    @property
    def folder(self) -> str:
        """The exam's folder inside a shard, in BIDS entities."""
        return f"sub-{self.patient}/ses-{self.exam}"

    def path(self, shard_folder: Path, suffix: str, ext: str = ".nii.gz", datatype: str = "") -> Path:
        """Path of one of the exam's files, e.g. ``sub-p1/ses-e1/sub-p1_ses-e1_space-frame_mask.nii.gz``."""
        name = f"sub-{self.patient}_ses-{self.exam}_{suffix}{ext}"
        return Path(shard_folder) / self.folder / datatype / name

    def frame(self, registered: Path) -> Path:
        """The registered image that gave the space of all others: the exam's first of T1w, T2w and DWI.

        Raises:
            FileNotFoundError: when ``registered``, a shard folder of the stage ``register``, has none.
        """
        for sequence in SEQUENCES:
            path = self.path(registered, f"space-frame_{sequence}")
            if path.exists():
                return path
        raise FileNotFoundError(self.path(registered, "space-frame"))


@dataclass(frozen=True)
class ExamStatus:
    """One row of ``status.csv``: what became of an exam, and at which stage."""

    exam: str
    """Pseudonym of the exam."""
    patient: str
    """Pseudonym of the patient."""
    site: str
    """Name of the site."""
    stage: str
    """The stage that decided: the present one if ``ok``, else the one that excluded the exam."""
    status: str
    """``ok`` or ``excluded``."""
    reason: str = ""
    """A :class:`Reason`, empty when ``ok``."""
    detail: str = ""
    """A sentence a person can act on, empty when ``ok``."""

    def __post_init__(self) -> None:
        if self.stage not in STAGES:
            raise ValueError(f"unknown stage {self.stage!r}; one of {', '.join(STAGES)}")
        if self.status not in ("ok", "excluded"):
            raise ValueError(f"status is 'ok' or 'excluded', not {self.status!r}")
        if (self.status == "excluded") != bool(self.reason):
            raise ValueError("an excluded exam has a reason, an exam that is ok has none")
        if self.reason:
            Reason(self.reason)

    @property
    def ok(self) -> bool:
        """True when the exam goes on."""
        return self.status == "ok"

    @property
    def identity(self) -> Exam:
        """The exam this row is about."""
        return Exam(self.exam, self.patient, self.site)


def read_status(path: str | Path) -> list[ExamStatus]:
    """Rows of a ``status.csv`` (or of a shard folder that holds one), in file order."""
    path = Path(path)
    with (path / "status.csv" if path.is_dir() else path).open(newline="", encoding="utf-8") as file:
        return [ExamStatus(**row) for row in csv.DictReader(file)]


def write_status(rows: list[ExamStatus], path: str | Path) -> None:
    """Write a ``status.csv``."""
    columns = [field.name for field in fields(ExamStatus)]
    pd.DataFrame([asdict(row) for row in rows], columns=columns).to_csv(path, index=False)


def read_table(path: str | Path) -> pd.DataFrame:
    """A CSV between two stages; pseudonyms and the names of site, shard and series stay text."""
    text = {"exam": str, "patient": str, "site": str, "shard": str, "series": str}
    return pd.read_csv(path, dtype=text)


def read_files(path: str | Path) -> pd.DataFrame:
    """A private table of files, a row per image or frame; paths come back as the file system gave them.

    ``volume`` and ``frame`` are integers, ``b_value`` (s/mm2) is missing where it is empty; all else is text as it
    stands: a path may hold commas, quotes, line breaks and bytes that are no text, and none is taken for missing.
    """
    table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding_errors="surrogateescape")
    return table.assign(
        volume=table.volume.astype(int),
        frame=table.frame.astype(int),
        b_value=pd.to_numeric(table.b_value.where(table.b_value != "")),
    )
