"""The files that make a folder of images a valid BIDS data set."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from liverstiff import __version__

VERSION = "1.10.0"
"""Of the BIDS standard."""

README = """\
MR images converted by LiverStiff from DICOM or NIfTI sources.

Subjects and sessions are keyed pseudonyms of patients and exams; header texts are blank, and the sidecars hold
acquisition parameters from a list alone. b-values are those of the DICOM headers. A .bvec of zeros means that no
direction is known, as in trace images.
"""

SUFFIXES = {"T1w": ("anat", "T1w"), "T2w": ("anat", "T2w"), "DWI": ("dwi", "dwi")}
"""BIDS data type and suffix of each sequence."""


def write_dataset(folder: Path, name: str, patients: Iterable[str], ignored: Iterable[str]) -> None:
    """Write ``dataset_description.json``, ``README``, ``participants.tsv`` and ``.bidsignore``.

    Args:
        folder: the data set.
        name: what to call it.
        patients: pseudonyms of those who have images.
        ignored: what in the folder is no part of the standard.
    """
    description = {
        "Name": name,
        "BIDSVersion": VERSION,
        "DatasetType": "raw",
        "GeneratedBy": [{"Name": "liverstiff", "Version": __version__}],
    }
    rows = ["participant_id", *(f"sub-{patient}" for patient in sorted(set(patients)))]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dataset_description.json").write_text(json.dumps(description, indent=2) + "\n")
    (folder / "README").write_text(README)
    (folder / "participants.tsv").write_text("\n".join(rows) + "\n")
    (folder / ".bidsignore").write_text("".join(f"{pattern}\n" for pattern in ignored))
