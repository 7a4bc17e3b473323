"""The pictures by which a person checks masks and registrations."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from liverstiff.report.study import Block, Section, Study
from liverstiff.report.wording import partition_text


def gallery(study: Study) -> Section:
    """Segmentations, each with its predicted quality."""
    quality = _measured(study.overlays, "quality")
    method = _measured(study.overlays, "method")
    images = [
        _image(study, path, f"expected Dice {quality[exam]:.2f} ({method[exam]})" if exam in quality else "")
        for exam, path in chosen(study, study.overlays, "desc-overlay")
    ]
    lead = (
        "Liver and spleen as found. The exams are taken from each site in turn in the order "
        "of their pseudonyms, which is random: they are not a selection of good ones."
    )
    block = Block("gallery", images) if images else Block("gap", "No picture of a segmentation was handed over.")
    return Section("gallery", "Segmentations", "Segmentations", lead, [block])


def registrations(study: Study) -> Section:
    """Checkerboards of the same exams."""
    frame = _measured(study.checkerboards, "frame")
    images = [
        _image(study, path, f"frame {frame[exam]}" if exam in frame else "")
        for exam, path in chosen(study, study.checkerboards, "desc-checkerboard")
    ]
    lead = (
        "Squares of the frame (grey) and of another sequence (orange), before registration and after it, in an axial "
        "and a coronal slice; a row per sequence. Edges should run on across the squares. The same exams as above."
    )
    block = Block("gallery", images) if images else Block("gap", "No picture of a registration was handed over.")
    return Section("registrations", "Registrations", "Registrations", lead, [block])


def chosen(study: Study, folders: Sequence[Path], name: str) -> list[tuple[str, Path]]:
    """Analysed exams and their picture of a name, one of each site in turn by pseudonym."""
    site = study.analysed.set_index("exam").site.to_dict()
    found = {_exam(path): path for folder in folders for path in sorted(Path(folder).glob(f"*/*/*{name}.png"))}
    exams = pd.DataFrame({"exam": sorted(exam for exam in found if exam in site)}, dtype=str)
    exams["site"] = exams.exam.map(site)
    exams["turn"] = exams.groupby("site").cumcount()
    return [(exam, found[exam]) for exam in exams.sort_values(["turn", "site"]).exam.head(study.gallery)]


def _measured(folders: Sequence[Path], column: str) -> dict[str, Any]:
    """A measure of every exam of some shards."""
    tables = [pd.read_csv(path) for folder in folders if (path := Path(folder) / "measures.csv").exists()]
    rows = [table[["exam", column]] for table in tables if column in table]
    table = pd.concat(rows) if rows else pd.DataFrame({"exam": [], column: []})
    return dict(zip(table.exam, table[column], strict=True))


def _exam(path: Path) -> str:
    return path.parent.name.removeprefix("ses-")


def _image(study: Study, path: Path, said: str) -> dict[str, str]:
    exam = _exam(path)
    row = study.analysed[study.analysed.exam == exam].iloc[0]
    text = f"{row.site}, {partition_text(row.partition).lower()}" + (f", {said}" if said else "")
    data = base64.b64encode(path.read_bytes()).decode()
    return {"source": f"data:image/png;base64,{data}", "exam": exam, "text": text}
