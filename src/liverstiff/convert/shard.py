"""The chosen T1w, T2w and DWI series of a shard's exams as NIfTI with BIDS names."""

from __future__ import annotations

import gc
import json
from pathlib import Path
from typing import Any

from liverstiff.config import ConvertConfig
from liverstiff.convert.series import convert_stack
from liverstiff.dicom import Stack, read_frames, split_stacks
from liverstiff.errors import ExamExcluded
from liverstiff.records import SEQUENCES, Exam, Reason, read_table
from liverstiff.shards import map_exams

SUFFIXES = {"T1w": ("anat", "T1w"), "T2w": ("anat", "T2w"), "DWI": ("dwi", "dwi")}
"""BIDS data type and suffix of each sequence."""

DATASET = {"Name": "liverstiff: converted images", "BIDSVersion": "1.10.0", "DatasetType": "derivative"}


def convert_shard(*, shard: Path, status: Path, folder: Path, settings: ConvertConfig, workers: int = 1) -> None:
    """Convert the chosen series of every exam of a shard.

    Args:
        shard: private table of the chosen files: ``exam, patient, site, series, kind, volume, b_value, path, frame``.
        status: what the catalog decided about the shard's exams.
        folder: shard folder to write: ``anat/*_T1w``, ``anat/*_T2w`` and ``dwi/*_dwi`` as ``.nii.gz`` with a
            whitelisted ``.json``; ``dwi`` with ``.bval`` from the header; ``measures.csv`` with the volumes of each.
        settings: the time that one exam may take.
        workers: processes.
    """
    gc.freeze()  # nipype collects garbage at every call; what is loaded by now is none
    map_exams(
        convert_exam,
        Path(status),
        Path(folder),
        stage="convert",
        workers=workers,
        inputs=[Path(shard)],
        timeout_s=settings.timeout_s,
        shard=Path(shard),
    )
    (Path(folder) / "dataset_description.json").write_text(json.dumps(DATASET, indent=2) + "\n")


def convert_exam(exam: Exam, folder: Path, *, shard: Path) -> dict[str, Any]:
    """Convert one exam's chosen series; its measures: volumes of each sequence (0 where absent) and notes.

    Raises:
        ExamExcluded: when a chosen series cannot be read or converted.
    """
    files = read_table(shard)
    mine = files[files.exam == exam.exam]
    measures: dict[str, Any] = {}
    notes: list[str] = []
    for sequence in SEQUENCES:
        rows = mine[mine.kind == sequence]
        measures[f"{sequence.lower()}_volumes"] = 0
        if len(rows):
            stack = read_stack([Path(path) for path in rows.path], [int(number) for number in rows.frame], sequence)
            datatype, suffix = SUFFIXES[sequence]
            converted = convert_stack(stack, exam.path(folder, suffix, datatype=datatype))
            measures[f"{sequence.lower()}_volumes"] = len(stack.volumes)
            notes += [f"{sequence}: {note}" for note in converted.notes]
    return measures | {"notes": "; ".join(notes)}


def read_stack(paths: list[Path], numbers: list[int], sequence: str) -> Stack:
    """The frames that the catalog chose, read again.

    Args:
        paths: a file per frame.
        numbers: the frame's number in its file; 0 for a single-frame file.
        sequence: name of the sequence, for the message.

    Raises:
        ExamExcluded: when files have changed since the catalog was made.
    """
    wanted = set(zip(paths, numbers, strict=True))
    frames = [frame for path in dict.fromkeys(paths) for frame in read_frames(path) or []]
    stacks = split_stacks(frame for frame in frames if (frame.header.path, frame.number) in wanted)
    if len(stacks) != 1 or len(stacks[0].frames) != len(wanted):
        raise ExamExcluded(
            Reason.UNREADABLE, f"the files of {sequence} are not those of the catalog; run catalog again"
        )
    return stacks[0]
