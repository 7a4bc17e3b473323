"""The vendor probe in words and numbers."""

from __future__ import annotations

import math
from typing import Any

from liverstiff.report.study import Block, Cell, Head, Row, Section, Study, records
from liverstiff.report.wording import Number, exams_text

WHEN = {
    "before": "T1w, T2w and diffusion as they came from the scanner",
    "after": "The same images harmonised",
    "adc": "ADC, in physical units, left as it is",
    "all": "The harmonised images and ADC together",
}


def vendors(study: Study) -> Section:
    """How much of the vendor is left in the intensities."""
    lead = (
        "Scanners of different vendors draw the same liver in different greys, and a model could learn the vendor in "
        "place of the liver. Here a simple classifier tries to name the vendor of an exam from the brightness of its "
        "images alone; the nearer it comes to chance, the less of the vendor is left. It describes the images and is "
        "no part of the model."
    )
    table = study.tables["probe"]
    notes = [note for note in dict.fromkeys(table.note) if note]
    if notes or table.empty:
        said = f"The vendor probe was not made: {'; '.join(notes) or 'no exam was harmonised'}."
        return Section("vendors", "Vendors", "Can the scanner be told from the images?", lead, [Block("gap", said)])
    heads = [
        Head("Images"),
        Head("Vendor named correctly, %"),
        Head("Always naming the most frequent, %"),
        Head("Above chance, %"),
    ]
    rows = [_row(row, study) for row in records(table)]
    first = table.iloc[0]
    caption = f"Naming the vendor of {exams_text(int(first.exams), int(first.patients))}, {int(first.vendors)} vendors"
    note = (
        "Each exam is named by a classifier trained on other patients. True differences remain: tissue looks different "
        "at 1.5 and at 3 tesla, and vendors choose other echo times."
    )
    return Section(
        "vendors",
        "Vendors",
        "Can the scanner be told from the images?",
        lead,
        [Block("table", rows, caption, [_in_words(table.excess_ratio[table.when == "after"].iloc[0]), note], heads)],
    )


def _row(row: Any, study: Study) -> Row:
    cells: list[Cell] = [Number(float(value), 0, 100) for value in (row.accuracy, row.chance, row.excess)]
    return Row(WHEN.get(row.when, row.when), cells, study.small(int(row.exams)))


def _in_words(ratio: float) -> str:
    """What became of the excess over chance."""
    if not math.isfinite(ratio):
        return "Even before harmonisation the vendor could not be named better than by chance."
    if ratio <= 0:
        return "After harmonisation the vendor cannot be named better than by chance."
    share = Number(float(ratio), 0, 100).text
    return f"Harmonisation leaves {share} % of what T1w, T2w and diffusion told about the vendor above chance."
