"""Who was analysed: the flow chart and Table 1."""

from __future__ import annotations

from typing import Any

import pandas as pd

from liverstiff.records import SEQUENCES
from liverstiff.report.study import Block, Head, Row, Section, Study, filled, gap_blocks, head_of, records
from liverstiff.report.wording import REASONS, VARIABLES, partition_text, rounded, with_unit

DETAILS_SHOWN = 200
"""Excluded exams listed one by one."""


def flow(study: Study) -> Section:
    """Exams in = analysed + excluded."""
    counts = study.flow
    excluded = [
        (REASONS.get(row.reason, row.reason.replace("_", " ")), row.stage, int(row.exams))
        for row in records(counts[counts.step == "excluded"])
    ]
    analysed = [
        (partition_text(row.partition), int(row.exams), f"{row.patients:,} patient{'s' * (row.patients != 1)}")
        for row in records(counts[counts.step == "analysed"])
    ]
    catalogued = int(counts.exams[counts.step == "catalogued"].sum())
    content = {"catalogued": catalogued, "excluded": excluded, "analysed": analysed, "total": len(study.analysed)}
    content["small"] = study.small(len(study.analysed))
    lead = "Every exam of the catalogue is counted once: analysed in one partition, or excluded for one reason."
    blocks = [Block("flow", content, "From the catalogue to the analysis")]
    if len(study.exclusions):
        shown = study.exclusions.head(DETAILS_SHOWN)
        rows = [Row(row.exam, [row.site, row.stage, row.detail]) for row in records(shown)]
        heads = [Head(name) for name in ("Exam", "Site", "Stage", "What happened")]
        more = f" (the first {DETAILS_SHOWN} of {len(study.exclusions)})" if len(shown) < len(study.exclusions) else ""
        blocks.append(Block("folded_table", rows, f"Exams excluded before the split, one by one{more}", [], heads))
    return Section("flow", "Exams", "Who was analysed", lead, blocks)


def scans(study: Study) -> Section:
    """Scanners, and which variant of each sequence was taken."""
    heads = [Head(""), Head("Exams"), *(Head(name) for name in SEQUENCES)]
    rows = [
        Row(_scanner(scanner), [str(int(found.exams[found.sequence == SEQUENCES[0]].sum())), *_variants(found)])
        for scanner, found in study.scans.groupby(["site", "vendor", "model", "field_t"], dropna=False)
    ]
    lead = (
        "Which images of the exams in the catalogue go on. Sites that acquire other variants than the rest give a "
        "model a short cut from the site to the stiffness."
    )
    blocks = [Block("table", rows, "Exams by scanner, and the variants taken of each sequence", [], heads)]
    return Section("scans", "Scans", "The scanners and their images", lead, blocks)


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


def table1(study: Study) -> Section:
    """The partitions described."""
    table, partitions = study.table1, filled(study)
    heads = [Head(""), *(head_of(study, partition) for partition in partitions)]
    rows: list[Row] = []
    for variable in dict.fromkeys(table.variable):
        if variable in VARIABLES:
            rows += _described(table[table.variable == variable], variable, partitions)
    notes = ["Measured values: median (first to third quartile). Counts: exams (share of those known)."]
    blocks = [Block("table", rows, "The exams of each partition", notes, heads)] if partitions else []
    lead = "Who the numbers below are about."
    return Section("table1", "Patients", "The patients", lead, [*blocks, *gap_blocks(study)])


def _described(table: pd.DataFrame, variable: str, partitions: list[str]) -> list[Row]:
    """Rows of Table 1 for one variable."""
    label, unit, digits = VARIABLES[variable]
    levels = list(dict.fromkeys(table.level))
    cells = {(row.partition, row.level): row for row in records(table)}
    if levels == [""]:
        return [Row(with_unit(label, unit), [_measured(cells[name, ""], digits) for name in partitions])]
    if set(levels) <= {"yes", "no"}:
        return [Row(label, [_counted(cells.get((name, "yes"))) for name in partitions])]
    return [Row(label)] + [
        Row(f"{level} {unit}".strip(), [_counted(cells.get((name, level))) for name in partitions], nested=True)
        for level in levels
    ]


def _measured(row: Any, digits: int) -> str:
    """Median and quartiles, and how many are missing."""
    if pd.isna(row.median):
        return "not recorded"
    median, q1, q3 = (rounded(value, digits) for value in (row.median, row.q1, row.q3))
    return f"{median} ({q1} to {q3}){_missing(row)}"


def _counted(row: Any) -> str:
    """Exams and share, and how many are unknown."""
    if row is None:  # the level "yes" occurs in no partition
        return "0"
    if pd.isna(row.share):
        return "not recorded"
    return f"{int(row.exams):,} ({rounded(100 * row.share, 0)} %){_missing(row)}"


def _missing(row: Any) -> str:
    return f"; {int(row.missing):,} missing" if row.missing else ""
