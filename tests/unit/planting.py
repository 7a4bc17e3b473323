"""Identifiers planted in every text field of DICOM files, and the search for them in what comes out."""

from __future__ import annotations

import gzip
import re
import subprocess
import tempfile
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from pydicom import Dataset, dcmread

MARK = "PLANTED"
TEXTS = {"AE", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"}
KEPT = {"PatientID", "SpecificCharacterSet", "StationAETitle"}
"""Left as they are: the health record is joined by PatientID."""
ADDED = {"SeriesDescription", "ProtocolName", "SequenceName", "PulseSequenceName", "Manufacturer", "ImageComments"}
"""The mark stands behind what the scanner wrote: a series is known by it."""
NO_AGENT = {"", "NONE", "None", "No contrast"}
EXTRA = {
    "OtherPatientNames": "PN",
    "PatientAddress": "LO",
    "PatientTelephoneNumbers": "SH",
    "PatientComments": "LT",
    "AdditionalPatientHistory": "LT",
    "ImageComments": "LT",
    "InstitutionalDepartmentName": "LO",
    "PerformingPhysicianName": "PN",
    "RequestingPhysician": "PN",
    "AdmissionID": "LO",
    "PerformedProcedureStepDescription": "LO",
    "DerivationDescription": "ST",
    "AcquisitionComments": "LT",
    "ReceiveCoilName": "SH",
    "BodyPartExamined": "CS",
    "RetrieveAETitle": "AE",
}
SECONDS = ".731946"
"""Fraction of a second of every time of day."""


def plant(tree: Path) -> set[bytes]:
    """Plant in every DICOM file below a folder; what must not be found anywhere afterwards."""
    paths = sorted(path for path in tree.rglob("*") if path.is_file() and path.name != ".snakemake_timestamp")
    with ProcessPoolExecutor(2) as pool:
        found = set().union(*pool.map(_plant_file, paths, chunksize=64))
    return {token.encode() for token in found if len(token) >= 6} | {MARK.encode(), SECONDS.encode()}


def _plant_file(path: Path) -> set[str]:
    """Plant in one file; the identifiers it had."""
    data = dcmread(path)
    for keyword, vr in EXTRA.items():
        if keyword not in data:
            data.add_new(keyword, vr, "")
    item = Dataset()
    item.RequestedProcedureDescription = item.ScheduledProcedureStepDescription = "x"
    data.RequestAttributesSequence = [item]
    data.private_block(0x0099, "A HOSPITAL", create=True).add_new(0x01, "LO", "x")
    found: set[str] = set()
    _plant(data, found)
    data.save_as(path)
    return found


def _plant(data: Dataset, found: set[str]) -> None:
    for element in data:
        keyword, vr = element.keyword, element.VR
        no_agent = keyword == "ContrastBolusAgent" and element.value in NO_AGENT
        if vr == "SQ":
            for item in element.value:
                _plant(item, found)
        elif keyword in KEPT or keyword.endswith(("InstanceUID", "Date")):
            found |= set(re.split(r"[\^=]", str(element.value)))
        elif vr == "TM" and element.value:
            element.value = str(element.value).split(".")[0] + SECONDS
        elif (vr in TEXTS or keyword == "BodyPartExamined") and not no_agent and not element.tag.is_private_creator:
            mark = f"{MARK}{element.tag.group:04x}{element.tag.element:04x}"
            before = f"{element.value} " if keyword in ADDED and element.value else ""
            element.value = (before + mark)[: 16 if vr in ("SH", "AE", "CS") and not before else 64]


def traces(tokens: set[bytes], tops: Iterable[Path], without: Iterable[Path] = ()) -> tuple[int, list[str]]:
    """How many files were searched, and every place where a token stands: in a name or in what a file holds."""
    searched, places = 0, []
    with tempfile.NamedTemporaryFile() as patterns:
        patterns.write(b"\n".join(sorted(tokens)) + b"\n")
        patterns.flush()
        for top in tops:
            for path in sorted(path for path in top.rglob("*") if path.is_file()):
                if any(path.is_relative_to(folder) for folder in without):
                    continue
                searched += 1
                content = path.read_bytes()
                content = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
                grep = [
                    "grep",
                    "--text",
                    "--ignore-case",
                    "--only-matching",
                    "--fixed-strings",
                    "--file",
                    patterns.name,
                ]
                name = str(path.relative_to(top)).encode() + b"\n"
                found = subprocess.run(
                    grep, input=name + content, capture_output=True, env={"LC_ALL": "C"}, check=False
                )
                assert found.returncode in (0, 1), found.stderr
                places += [f"{path}: {match!r}" for match in found.stdout.splitlines()[:3]]
    return searched, places
