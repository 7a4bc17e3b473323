"""Who was analysed: the flow chart, Table 1, scanners, missing values and contradictions."""

from __future__ import annotations

from typing import Any

import pandas as pd

from liverstiff.records import SEQUENCES
from liverstiff.report import flowchart
from liverstiff.report.figure import drawn
from liverstiff.report.study import Block, Cell, Head, Row, Section, Study, filled, head_of, records
from liverstiff.report.wording import (
    REASONS,
    UNIT,
    VARIABLES,
    Number,
    exams_text,
    partition_inside,
    with_unit,
)

DETAILS_SHOWN = 200
"""Excluded exams listed one by one."""


def flow(study: Study) -> Section:
    """Exams in = analysed + excluded."""
    counts = study.flow
    boxes = flowchart.boxes_of(study)
    alt = ". ".join(" ".join(line.strip() for line in box.lines) for box in boxes) + "."
    figure = drawn(
        study,
        "flow",
        lambda ax: flowchart.draw(ax, boxes),
        caption="From the catalogue to the analysis; numbers of exams, by site.",
        alt=alt,
        small=study.small(len(study.analysed)),
        size=(3.9, flowchart.height_of(boxes)),
    )
    heads = [Head("Step"), Head("Stage"), Head("Exams"), Head("Patients")]
    rows = [Row(_step(row), [row.stage, Number(row.exams, 0), Number(row.patients, 0)]) for row in records(counts)]
    lead = "Every exam of the catalogue is counted once: analysed in one partition, or excluded for one reason."
    blocks = [Block("flow", [figure]), Block("folded_table", rows, "The flow in numbers", [], heads)]
    if len(study.tables["exclusions"]):
        blocks.append(_one_by_one(study.tables["exclusions"]))
    return Section("flow", "Exams", "Who was analysed", lead, blocks)


def _step(row: Any) -> str:
    if row.step == "excluded":
        return f"Excluded: {REASONS.get(row.reason, row.reason.replace('_', ' '))}"
    return f"Analysed: {partition_inside(row.partition)}" if row.step == "analysed" else row.step.capitalize()


def _one_by_one(excluded: pd.DataFrame) -> Block:
    """The excluded exams with what happened."""
    shown = excluded.head(DETAILS_SHOWN)
    rows = [Row(row.exam, [row.site, row.stage, row.detail]) for row in records(shown)]
    heads = [Head(name) for name in ("Exam", "Site", "Stage", "What happened")]
    more = f" (the first {DETAILS_SHOWN} of {len(excluded)})" if len(shown) < len(excluded) else ""
    return Block("folded_table", rows, f"Exams excluded before the split, one by one{more}", [], heads)


def scans(study: Study) -> Section:
    """Scanners, and which variant of each sequence was taken."""
    heads = [Head("Scanner"), Head("Exams"), *(Head(name) for name in SEQUENCES)]
    rows = [
        Row(_scanner(scanner), [str(int(found.exams[found.sequence == SEQUENCES[0]].sum())), *_variants(found)])
        for scanner, found in study.tables["scans"].groupby(["site", "vendor", "model", "field_t"], dropna=False)
    ]
    lead = (
        "Which images of the exams in the catalogue go on. Sites that acquire other variants than the rest give a "
        f"model a short cut from the site to {study.target.name}."
    )
    caption = "Exams by scanner, and the variants taken of each sequence"
    blocks = [Block("table", rows, caption, [], heads)] if rows else [Block("gap", "No scan was catalogued.")]
    taken = study.tables["scanners"]
    if len(taken):
        last = [Head("Scanner"), Head("Exams")]
        rows = [
            Row(_scanner((row.site, row.vendor, row.model, row.field_t)), [Number(row.exams, 0)])
            for row in records(taken)
        ]
        blocks.append(Block("folded_table", rows, "Exams that could be analysed, by scanner", [], last))
    return Section("scans", "Scanners", "The scanners and their images", lead, blocks)


def _scanner(facts: tuple[Any, ...]) -> str:
    """Site, vendor, model and field strength."""
    site, vendor, model, field_t = facts
    return f"{site}: {' '.join(filter(None, (vendor, model)))}" + (f", {field_t:g} T" if pd.notna(field_t) else "")


def _variants(found: pd.DataFrame) -> list[str]:
    """Per sequence the variants with their number of exams, the most frequent first."""
    return [
        ", ".join(
            f"{row.variant or 'taken'} {int(row.exams)}"
            for row in records(found[found.sequence == name].sort_values("exams", ascending=False, kind="stable"))
        )
        for name in SEQUENCES
    ]


def missing(study: Study) -> Section:
    """Missing values by site, and contradictions in the record."""
    table = study.tables["missingness"]
    lead = "A missing value stays missing: the model reads it as unknown. Nothing is filled in by hand."
    if table.empty:
        gap = Block("gap", "The counts of missing values were not handed over.")
        return Section("missing", "Missing data", "Missing data", lead, [gap, *_conflicts(study)])
    sites = list(dict.fromkeys(table.site))
    exams = table.drop_duplicates("site").set_index("site").exams
    heads = [Head("Variable"), *(Head(site, exams_text(int(exams[site]))) for site in sites)]
    cells = {(row.variable, row.site): Number(float(row.share), 0, 100) for row in records(table)}
    rows = [
        Row(VARIABLES.get(name, (name.capitalize(),))[0], [cells.get((name, site), "–") for site in sites])
        for name in dict.fromkeys(table.variable)
    ]
    block = Block("table", rows, "Share of exams without the value, %", [], heads)
    return Section("missing", "Missing data", "Missing data", lead, [block, *_conflicts(study)])


def _conflicts(study: Study) -> list[Block]:
    """How often the record contradicts itself."""
    table = study.tables["conflicts"]
    if table.empty:
        return []
    counts = table.groupby(["what", "site"], sort=True).size().rename("cases").reset_index()
    rows = [Row(row.what.replace("_", " ").capitalize(), [row.site, Number(row.cases, 0)]) for row in records(counts)]
    caption = "Where the health record contradicts itself or cannot be right"
    notes = ["None of these was settled by a guess; the documentation of the cohort says what followed from each."]
    return [Block("folded_table", rows, caption, notes, [Head("What"), Head("Site"), Head("Cases")])]


def table1(study: Study) -> Section:
    """The partitions described."""
    table, partitions = study.tables["table1"], filled(study)
    heads = [Head("Characteristic"), *(head_of(study, partition) for partition in partitions)]
    rows: list[Row] = []
    for variable in dict.fromkeys(table.variable):
        if variable in VARIABLES:
            rows += _described(study, table[table.variable == variable], variable, partitions)
    notes = ["Measured values: median (first to third quartile). Counts: exams (share of those known)."]
    blocks = [Block("table", rows, "The exams of each partition", notes, heads)] if partitions else []
    lead = "Who the numbers below are about."
    return Section("table1", "Patients", "The patients", lead, blocks)


def _described(study: Study, table: pd.DataFrame, variable: str, partitions: list[str]) -> list[Row]:
    """Rows of Table 1 for one variable."""
    label, unit, digits = VARIABLES[variable]
    if unit == UNIT:
        label, unit = f"{study.name} by {study.target.measured_by}", study.unit
    levels = list(dict.fromkeys(table.level))
    cells = {(row.partition, row.level): row for row in records(table)}
    if levels == [""]:
        return [Row(with_unit(label, unit), [_measured(cells.get((name, "")), digits) for name in partitions])]
    if set(levels) <= {"yes", "no"}:
        return [Row(label, [_counted(cells.get((name, "yes"))) for name in partitions])]
    return [Row(label)] + [
        Row(f"{level} {unit}".strip(), [_counted(cells.get((name, level))) for name in partitions], nested=True)
        for level in levels
    ]


def _measured(row: Any, digits: int) -> Cell:
    """Median and quartiles, and how many are missing."""
    if row is None or pd.isna(row.median):
        return "not recorded"
    median, q1, q3 = (Number(float(value), digits) for value in (row.median, row.q1, row.q3))
    return (median, " (", q1, " to ", q3, ")", *_missing(row))


def _counted(row: Any) -> Cell:
    """Exams and share, and how many are unknown."""
    if row is None:  # the level occurs in no partition
        return "0"
    if pd.isna(row.share):
        return "not recorded"
    return (Number(int(row.exams), 0), " (", Number(float(row.share), 0, 100), " %)", *_missing(row))


def _missing(row: Any) -> tuple[str | Number, ...]:
    return ("; ", Number(int(row.missing), 0), " missing") if row.missing else ()
