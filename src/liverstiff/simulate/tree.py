"""An exam on disk: its files in one of the layouts of real exports, and what is true of each series."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from liverstiff.simulate.dicom import Series, series_uid, uid
from liverstiff.simulate.encode import Encoder
from liverstiff.simulate.exam import Exam


def write_exam(exam: Exam, study: dict[str, Any], layout: str, tree: Path, encoder: Encoder) -> list[dict[str, Any]]:
    """Write the files of one exam.

    Args:
        exam: its series.
        study: attributes of patient, study and equipment by keyword.
        layout: ``series``, ``exam`` or ``flat``.
        tree: folder of the site.
        encoder: for the character set of the study.

    Returns:
        A row a part, of :func:`truth_rows`.
    """
    common = encoder.elements(study)
    truth: list[dict[str, Any]] = []
    made: set[Path] = set()
    for series in exam.series():
        timed = replace(series, attributes=series.attributes | _times(study, series.number))
        paths = file_paths(tree, layout, study, series.number)
        for path, data in zip(paths, encoder.files(timed, series_uid(study, series), common), strict=False):
            if path.parent not in made:
                path.parent.mkdir(parents=True, exist_ok=True)
                made.add(path.parent)
            path.write_bytes(data)
        truth += truth_rows(study, series)
    return truth


def truth_rows(study: dict[str, Any], series: Series) -> list[dict[str, Any]]:
    """What is true of a series: a row a part, told apart by image type, or by echo time (ms) where that is equal."""
    return [
        {
            "study_uid": study["StudyInstanceUID"],
            "series_uid": series_uid(study, series),
            "image_type": "/".join(part.attributes["ImageType"]),
            "kind": part.kind,
            "variant": part.variant,
            "source": part.source,
            "echo_time": (series.attributes | part.attributes).get("EchoTime"),
        }
        for part in series.parts
    ]


def _times(study: dict[str, Any], number: int) -> dict[str, str]:
    """Dates and times of a series: one every three minutes."""
    start = dt.datetime.strptime(study["StudyDate"] + study["StudyTime"], "%Y%m%d%H%M%S")
    begun = (start + dt.timedelta(minutes=2 + 3 * number)).strftime("%H%M%S")
    times = dict.fromkeys(("SeriesTime", "AcquisitionTime", "ContentTime"), begun)
    return times | dict.fromkeys(("SeriesDate", "AcquisitionDate", "ContentDate"), study["StudyDate"])


def file_paths(tree: Path, layout: str, study: dict[str, Any], number: int) -> Iterator[Path]:
    """Names of a series' files: a folder a series, a folder an exam, or all in one folder without extension."""
    image = 0
    while True:
        image += 1
        if layout == "series":
            yield tree / study["PatientID"] / study["StudyDate"] / f"S{number:03d}" / f"IM{image:04d}.dcm"
        elif layout == "exam":
            yield tree / f"{study['PatientID']}_{study['StudyDate']}" / f"{number:02d}-{image:04d}.dcm"
        else:
            yield tree / f"MR.{uid(study['StudyInstanceUID'], number, image)[5:25]}"
