"""The chosen T1w, T2w and DWI series of a shard's exams as NIfTI with BIDS names."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import pandas as pd

from liverstiff.config import ConvertConfig
from liverstiff.convert.dataset import SUFFIXES, write_dataset
from liverstiff.convert.faults import NotConverted
from liverstiff.convert.rewrite import is_nifti, rewrite_nifti
from liverstiff.convert.series import convert_stack
from liverstiff.convert.source import read_stack
from liverstiff.errors import ExamExcluded
from liverstiff.records import SEQUENCES, Exam, Reason, read_files
from liverstiff.shards import map_exams


def convert_shard(
    *,
    shard: Path,
    status: Path,
    folder: Path,
    settings: ConvertConfig,
    required: tuple[str, ...] = ("T1w",),
    workers: int = 1,
) -> None:
    """Convert the chosen series of every exam of a shard into a BIDS data set.

    Args:
        shard: private table of the chosen files: ``exam, patient, site, series, kind, variant, volume, b_value, path,
            member, frame``.
        status: what the catalog decided about the shard's exams.
        folder: shard folder to write: ``anat/*_T1w``, ``anat/*_T2w`` and ``dwi/*_dwi`` as ``.nii.gz`` with a
            whitelisted ``.json``; ``dwi`` with ``.bval`` from the header and ``.bvec``; ``measures.csv`` with volumes,
            variant and fault of each sequence, and what was done.
        settings: the time that one exam may take.
        required: sequences without which an exam is excluded; a fault of another costs that sequence alone.
        workers: processes.
    """
    gc.freeze()  # nipype collects garbage at every call; what is loaded by now is none
    after = map_exams(
        convert_exam,
        Path(status),
        Path(folder),
        stage="convert",
        workers=workers,
        inputs=[Path(shard)],
        timeout_s=settings.timeout_s,
        shard=Path(shard),
        required=tuple(required),
    )
    converted = [row.patient for row in after if row.ok]
    write_dataset(Path(folder), "liverstiff: converted images", converted, ["status.csv", "measures.csv"])


def convert_exam(exam: Exam, folder: Path, *, shard: Path, required: tuple[str, ...]) -> dict[str, Any]:
    """Convert one exam's chosen series.

    Returns:
        Of each sequence its volumes (0 where absent), variant, and the code of its fault (empty where it has none);
        and the notes.

    Raises:
        ExamExcluded: when a required sequence, or the last one, cannot be read or converted.
    """
    files = read_files(shard)
    mine = files[files.exam == exam.exam]
    measures: dict[str, Any] = {}
    notes: list[str] = []
    faults: list[ExamExcluded] = []
    for sequence in SEQUENCES:
        rows, name = mine[mine.kind == sequence], sequence.lower()
        volumes, code = 0, ""
        try:
            if len(rows):
                volumes, said = _convert_sequence(exam, folder, sequence, rows)
                notes += [f"{sequence}: {note}" for note in said]
        except NotConverted as fault:
            if sequence in required:
                raise ExamExcluded(fault.reason, f"{sequence} ({fault.code}): {fault.detail}") from None
            code = str(fault.code)
            faults.append(fault)
            notes.append(f"{sequence}: not converted: {fault.detail}")
        variant = str(rows.variant.iloc[0]) if len(rows) else ""
        measures |= {f"{name}_volumes": volumes, f"{name}_variant": variant, f"{name}_fault": code}
    if not any(measures[f"{sequence.lower()}_volumes"] for sequence in SEQUENCES):
        raise ExamExcluded(faults[0].reason if faults else Reason.MISSING_SEQUENCE, _nothing_left(notes))
    return measures | {"notes": "; ".join(notes)}


def _convert_sequence(exam: Exam, folder: Path, sequence: str, rows: pd.DataFrame) -> tuple[int, list[str]]:
    """Write one sequence; its volumes and notes."""
    datatype, suffix = SUFFIXES[sequence]
    out = exam.path(folder, suffix, datatype=datatype)
    if is_nifti(rows):
        shape, _, notes = rewrite_nifti(rows, out)
    else:
        converted = convert_stack(read_stack(rows), out)
        shape, notes = converted.shape, converted.notes
    return shape[3] if len(shape) == 4 else 1, notes


def _nothing_left(notes: list[str]) -> str:
    return f"no sequence is left: {'; '.join(notes) or 'none was chosen'}"
