"""The pictures by which a person checks masks, registrations and estimates."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from liverstiff.report.study import Block, Head, Row, Section, Study, records
from liverstiff.report.wording import REASONS, Number, exams_text, partition_inside, partition_text, rounded


def gallery(study: Study) -> Section:
    """Segmentations, each with its predicted quality, and the exams that failed."""
    folders = study.shards.get("overlay", [])
    quality, method = _measured(folders, "quality"), _measured(folders, "method")
    images = [
        image(study, path, f"expected Dice {quality[exam]:.2f} ({method[exam]})" if exam in quality else "")
        for exam, path in chosen(study, folders, "overlay")
    ]
    lead = (
        "Liver and spleen as found. The exams are taken from each site in turn in the order "
        "of their pseudonyms, which is random: they are not a selection of good ones."
    )
    block = Block("gallery", images) if images else Block("gap", "No picture of a segmentation was handed over.")
    return Section("gallery", "Segmentations", "Segmentations", lead, [block, _failed(study, "segment")])


def registrations(study: Study) -> Section:
    """Checkerboards of the same exams, and the exams that failed."""
    folders = study.shards.get("checkerboard", [])
    frame = _measured(folders, "frame")
    images = [
        image(study, path, f"frame {frame[exam]}" if exam in frame else "")
        for exam, path in chosen(study, folders, "checkerboard")
    ]
    lead = (
        "Squares of the frame (grey) and of another sequence (orange), before registration and after it, in an axial "
        "and a coronal slice; a row per sequence. Edges should run on across the squares. The same exams as above."
    )
    block = Block("gallery", images) if images else Block("gap", "No picture of a registration was handed over.")
    return Section("registrations", "Registrations", "Registrations", lead, [block, _failed(study, "register")])


def furthest(study: Study) -> Section:
    """The exams whose estimate is furthest off, with their pictures."""
    order = study.analysed.residual.abs().sort_values(ascending=False, kind="stable").index
    rows = study.analysed.loc[order].head(study.settings.furthest)
    lead = (
        f"The {exams_text(len(rows))} with the estimate furthest from the reference, worst first: what a model does "
        "not know shows here. Look for bad masks, artefacts, and a reference that may itself be wrong."
    )
    found = pictures(study.shards.get("overlay", []), "overlay")
    images = [
        image(study, path, f"estimate {rounded(row.estimate, 2)}, reference {rounded(row.reference, 2)} {study.unit}")
        for row in records(rows)
        if (path := found.get(row.exam))
    ]
    heads = [Head(name) for name in ("Exam", "Site", "Partition", f"Estimate, {study.unit}")]
    heads += [Head(f"Reference, {study.unit}"), Head(f"Residual, {study.unit}")]
    listed = [
        Row(
            row.exam,
            [
                row.site,
                partition_text(row.partition),
                *(Number(x) for x in (row.estimate, row.reference, row.residual)),
            ],
        )
        for row in records(rows)
    ]
    table = Block("table", listed, "Estimates furthest from the reference", [], heads)
    blocks = [table] if listed else [Block("gap", "No exam was analysed, or none was to be shown.")]
    blocks += [Block("gallery", images)] if images else []
    return Section("failures", "Failures", "Where the estimate fails", lead, blocks)


def _failed(study: Study, stage: str) -> Block:
    """The exams that were excluded at a stage, by reason."""
    found = study.flow[(study.flow.step == "excluded") & (study.flow.stage == stage)]
    if found.empty:
        return Block("gap", "No exam was excluded here.")
    rows = [Row(REASONS.get(row.reason, row.reason), [Number(row.exams, 0)]) for row in records(found)]
    return Block("table", rows, "Exams excluded here", [], [Head("Failure"), Head("Exams")])


def pictures(folders: Sequence[Path], kind: str) -> dict[str, Path]:
    """By exam, the picture of a kind."""
    found = (path for folder in folders for path in sorted(Path(folder).glob(f"*/*/*desc-{kind}.png")))
    return {_exam(path): path for path in found}


def chosen(study: Study, folders: Sequence[Path], kind: str) -> list[tuple[str, Path]]:
    """Analysed exams and their picture of a kind, one of each site in turn by pseudonym."""
    site = study.analysed.set_index("exam").site.to_dict()
    found = pictures(folders, kind)
    exams = pd.DataFrame({"exam": sorted(exam for exam in found if exam in site)}, dtype=str)
    exams["site"] = exams.exam.map(site)
    exams["turn"] = exams.groupby("site").cumcount()
    return [(exam, found[exam]) for exam in exams.sort_values(["turn", "site"]).exam.head(study.settings.gallery)]


def measures(folders: Sequence[Path], name: str) -> pd.DataFrame:
    """The measures of every exam of some shards, without rows where there are none."""
    tables = [pd.read_csv(path) for folder in folders if (path := Path(folder) / name).exists()]
    tables = [table for table in tables if len(table)]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=["exam"])


def _measured(folders: Sequence[Path], column: str) -> dict[str, Any]:
    """A measure of every exam of some shards."""
    table = measures(folders, "measures.csv")
    return dict(zip(table.exam, table[column], strict=True)) if column in table else {}


def _exam(path: Path) -> str:
    return path.parent.name.removeprefix("ses-")


def image(study: Study, path: Path, said: str, exam: str = "") -> dict[str, str]:
    """A picture for the page, with its exam (left out, that of its folder) and what is said of it."""
    exam = exam or _exam(path)
    row = study.analysed[study.analysed.exam == exam].iloc[0]
    text = f"{row.site}, {partition_inside(row.partition)}" + (f", {said}" if said else "")
    data = base64.b64encode(path.read_bytes()).decode()
    return {"source": f"data:image/png;base64,{data}", "exam": exam, "text": text}
