"""The exams of a site without images: the rows of its record that may hold a reported value of the target."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from liverstiff.config import RecordConfig
from liverstiff.dicom import Frame, SourceFile
from liverstiff.pseudonyms import exam_pseudonym, patient_pseudonym
from liverstiff.record_tables import record_files, reported_exams
from liverstiff.records import Exam

RECORDED = "record"
"""Stands for the modality of an exam that has no images."""


@dataclass(frozen=True)
class RecordedExam:
    """One exam without images."""

    identity: Exam
    patient_id: str
    date: dt.date | None
    """None where the row has none."""

    @property
    def names(self) -> dict[str, str]:
        """The exam's pseudonyms and its site."""
        return {"exam": self.identity.exam, "patient": self.identity.patient, "site": self.identity.site}

    @property
    def duplicates(self) -> list[SourceFile]:
        """No file came twice."""
        return []

    def exam_row(self, duplicate_of: str) -> dict[str, Any]:
        """The private row that links the pseudonyms to the identifiers."""
        return self.names | {
            "patient_id": self.patient_id,
            "study_uid": study_name(self.patient_id, self.date),
            "study_date": f"{self.date:%Y%m%d}" if self.date else "",
            "patients": 1,
            "modalities": RECORDED,
            "duplicate_of": duplicate_of,
        }

    def fingerprint(self) -> bytes:
        """No image to compare."""
        return b""

    def sample(self) -> Frame:
        """Never asked for, since there is no fingerprint."""
        raise LookupError("no image")

    def no_rows(self) -> Iterator[dict[str, Any]]:
        """No series, text or file."""
        return iter(())

    series_rows = text_rows = file_rows = no_rows


def study_name(patient_id: str, date: dt.date | None) -> str:
    """What stands for the StudyInstanceUID: one exam per patient and day, and one without a day."""
    return f"record {patient_id} {f'{date:%Y-%m-%d}' if date else 'undated'}"


def recorded_exams(site: str, key: bytes, files: list[Path], record: RecordConfig) -> list[RecordedExam]:
    """The exams in the order of their pseudonyms.

    Raises:
        DataError: for a table that cannot be read as configured.
    """
    exams = []
    found = reported_exams(record, record_files([record], files)[0], site)
    for patient_id, day in zip(map(str, found.patient_id), found.date, strict=True):
        date = None if pd.isna(day) else day.date()
        pseudonym = exam_pseudonym(key, site, study_name(patient_id, date))
        identity = Exam(pseudonym, patient_pseudonym(key, site, patient_id), site)
        exams.append(RecordedExam(identity, patient_id, date))
    return sorted(exams, key=lambda exam: exam.identity.exam)
