"""What the estimate rests on: pictures and numbers of occlusion."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from liverstiff.config import TrainConfig
from liverstiff.report.pictures import image
from liverstiff.report.study import Block, Cell, Head, Row, Section, Study, read_cells, records
from liverstiff.report.wording import Number, partition_text

TABLE = "explained.csv"


def occlusion(study: Study) -> Section:
    """Some exams with the change of their estimate when a block of the images is covered."""
    lead = (
        "Occlusion: each block of the images is covered in turn, and the estimate is made again. Where it changes "
        "most, the estimate rests. Every picture shows the images that the model was given in the slice with the most "
        "liver, whose border is white, and last the change, brighter where it is larger. The exams are spread evenly "
        "over the reference."
    )
    explained = [(folder, row) for folder in study.shards.get("explained", []) for row in _explained(study, folder)]
    if not explained:
        return _section(lead, [Block("gap", _why_none(study))])
    images = [image(study, folder / f"{row.exam}.png", _said(row), row.exam) for folder, row in explained]
    return _section(lead, [Block("wide_gallery", images), _table(study, [row for _, row in explained])])


def _section(lead: str, blocks: list[Block]) -> Section:
    return Section("occlusion", "Occlusion", "What the estimate rests on", lead, blocks)


def _explained(study: Study, folder: Path) -> list[Any]:
    """The rows of the analysed exams: ``exam, partition, liver, elsewhere, share``."""
    table = read_cells(folder / TABLE)
    return records(table[table.exam.isin(study.analysed.exam)])


def _why_none(study: Study) -> str:
    if "images" not in TrainConfig(**study.config.get("train", {})).inputs:
        return "No picture of occlusion: the model is given no images."
    return "No picture of occlusion was made in this run."


def _said(row: Any) -> str:
    if pd.isna(row.share):
        return "covering changes nothing"
    return f"{Number(row.share, 0, 100).text} % of the change is in the liver"


def _table(study: Study, rows: list[Any]) -> Block:
    """The changes by blocks of mostly liver and by the others."""
    log = study.target.transform == "log"
    scale, unit = (100, "%") if log else (1, study.unit)

    def change(value: float) -> Cell:
        return "–" if pd.isna(value) else Number(value, 1 if log else 2, scale)

    listed = [
        Row(
            row.exam,
            [
                partition_text(row.partition),
                change(row.liver),
                change(row.elsewhere),
                "–" if pd.isna(row.share) else Number(row.share, 0, 100),
            ],
        )
        for row in rows
    ]
    heads = [Head("Exam"), Head("Partition"), Head(f"Change by a block of liver, {unit}")]
    heads += [Head(f"Change by another block, {unit}"), Head("Share of all change in the liver, %")]
    notes = ["Means over blocks; liver: blocks that are mostly liver."]
    notes += ["The change was taken on the log scale, on which 0.01 is about 1 %."] if log else []
    return Block("folded_table", listed, "The change of the estimate by covered blocks", notes, heads)
