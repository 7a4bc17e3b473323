"""One exam: its frames become identified series under pseudonyms, and rows of tables."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import combinations
from typing import Any

from liverstiff.catalog.choice import Identified, choose, without_made_traces, without_post_contrast
from liverstiff.catalog.features import features
from liverstiff.catalog.identify import identify
from liverstiff.catalog.rules import RULES
from liverstiff.catalog.scan import Study
from liverstiff.dicom import Frame, SourceFile, Stack, split_stacks, without_copies
from liverstiff.overrides import Overrides
from liverstiff.pseudonyms import exam_pseudonym, patient_pseudonym
from liverstiff.records import Exam


@dataclass(frozen=True)
class CatalogedExam:
    """One exam of a site and all its series."""

    identity: Exam
    frame: Frame
    """A frame that stands for the exam; its header holds the identifiers."""
    patients: int
    """Number of patients by PatientID, or by names that have nothing in common; more than one is a fault."""
    series: list[Identified]
    duplicates: list[SourceFile] = field(default_factory=list)

    def fingerprint(self) -> bytes:
        """What a copy of the exam under another number shares with it: patient, times and places of what is taken."""
        taken = [series for series in self.series if series.chosen and series.time]
        places = sorted((series.time, str(series.kind), series.stack.positions) for series in taken)
        return sha256(repr((self.identity.patient, places)).encode()).digest() if places else b""

    def sample(self) -> Frame:
        """The image in the middle of the first series that is taken."""
        frames = next(series.stack for series in self.series if series.chosen).frames
        return frames[len(frames) // 2]

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


def catalog_exam(site: str, key: bytes, study: Study, overrides: Overrides) -> CatalogedExam:
    """One exam: its pseudonyms, its series and which of them are taken."""
    frames, copies = without_copies(study.frames)
    measured = [frame for frame in frames if frame.header.mr_object] or frames
    patients = Counter(frame.header.patient_id for frame in measured)
    if len(patients) > 1:
        patients.pop("", None)  # some images do not say whose they are
    patient_id = min(patients, key=lambda name: (-patients[name], name))
    frame = next(frame for frame in measured if frame.header.patient_id == patient_id)
    # without a number nobody knows who it is: nobody else's exam may be taken for the same patient's
    patient = patient_pseudonym(key, site, patient_id or f"study {study.uid}")
    identity = Exam(exam_pseudonym(key, site, study.uid), patient, site)
    series = [overrides.apply(site, identity.exam, one) for one in identify_all(frames)]
    series = without_made_traces(without_post_contrast(series))
    double = [*study.duplicates, *dict.fromkeys(frame.file for frame in copies)]
    names = {frame.header.patient_name for frame in measured}
    number = max(len(patients), 2 if different_people(names) else 1)
    return CatalogedExam(identity, frame, number, choose(series), double)


def different_people(names: set[str]) -> bool:
    """True when two of the names have no part in common; case, order, further components and scripts do not count.

    Archives cut names, add a title or leave them out; that is no second patient.
    """
    parts = [set(re.split(r"[^\w]+", "^".join(name.split("=")[0].split("^")[:2]).upper())) - {""} for name in names]
    return any(one and other and not _share_a_part(one, other) for one, other in combinations(parts, 2))


def _share_a_part(one: set[str], other: set[str]) -> bool:
    return any(a.startswith(b) or b.startswith(a) for a in one for b in other)


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
