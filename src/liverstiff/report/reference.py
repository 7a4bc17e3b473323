"""How good the reference is: pictures, measured area, spread between slices, failures, agreement with the record."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from liverstiff.report import plots
from liverstiff.report.drawing import MUTED
from liverstiff.report.figure import drawn
from liverstiff.report.pictures import chosen, image, measures
from liverstiff.report.study import Block, Figure, Head, Row, Section, Study, filled, records
from liverstiff.report.wording import REASONS, Number, exams_text, partition_text

STAGE = "elastography"


def reference(study: Study) -> Section:
    """What the estimate is compared with."""
    lead = (
        f"The reference is {study.target.name} by {study.target.measured_by}, in {study.unit}. No estimate can agree "
        "better with it than it agrees with itself."
    )
    table = measures(study.shards.get("elastogram", []), "stiffness.csv")
    if len(table):
        table = table[table.exam.isin(study.analysed.exam)]
    figures = [_distribution(study)] if len(study.analysed) else []
    figures += [_quality(study, table, *what) for what in MEASURED if what[0] in table and table[what[0]].notna().any()]
    figures += _reported(study)
    blocks = [Block("small_figures", figures)] if figures else []
    if table.empty:
        blocks.append(Block("gap", "No measurement on an elastogram was handed over: area and slices are unknown."))
    else:
        blocks.append(Block("facts", _facts(table)))
    if study.tables["agreements"].empty:
        said = "No exam has both an elastogram and a reported value, so the reading is not checked against reports."
        blocks.append(Block("gap", said))
    return Section("reference", "Reference", "The reference and its quality", lead, [*blocks, *_rest(study, table)])


def _rest(study: Study, table: pd.DataFrame) -> list[Block]:
    return [_failures(study), *_gallery(study, table)]


def _facts(table: pd.DataFrame) -> dict[str, str]:
    """How many elastograms were read, and what frequency and unit they state."""
    facts = {"Elastograms read": f"{len(table):,}"}
    for column, name, unit in (("frequency_hz", "Frequency as stated", " Hz"), ("unit", "Unit of the map", "")):
        if column in table:
            counts = table[column].value_counts()
            told = [f"{value:g}{unit}" if unit else f"{value}" for value in counts.index]
            known = [f"{what} in {exams:,}" for what, exams in zip(told, counts, strict=True)]
            lacking = int(table[column].isna().sum())
            facts[name] = ", ".join([*known, *([f"not stated in {lacking:,}"] if lacking else [])])
    return facts


MEASURED = (
    ("area_mm2", 0.01, "Area of the region, cm²", "the area that was averaged"),
    ("slice_cv", 1, "Coefficient of variation between slices", "the spread from slice to slice"),
)


def _distribution(study: Study) -> Figure:
    """The reference by partition."""
    names = filled(study)
    values = [study.rows(name).reference for name in names]

    def draw(ax: Axes) -> None:
        plots.histograms(ax, values, [partition_text(name) for name in names])
        ax.set(xlabel=f"{study.measured_by}, {study.unit}", ylabel="Share of exams")
        for level in study.target.thresholds:
            ax.axvline(level, color=MUTED, linewidth=0.7, linestyle=(0, (1, 2)), zorder=1)

    ranges = [f"{partition_text(name)} {plots.describe(study.rows(name), 'reference')}" for name in names]
    caption = f"Distribution of the reference; dotted lines: thresholds. {exams_text(len(study.analysed))}."
    alt = f"Histogram of the reference, {study.unit}: {'; '.join(ranges)}."
    return drawn(
        study, "reference", draw, caption=caption, alt=alt, small=study.small(len(study.analysed)), size=(3.1, 2.6)
    )


def _quality(study: Study, table: pd.DataFrame, column: str, scale: float, label: str, words: str) -> Figure:
    """A measure of the elastogram by site."""
    known = table[["exam", column]].dropna().merge(study.analysed[["exam", "site"]], on="exam")
    known[column] *= scale
    sites = sorted(known.site.unique())

    def draw(ax: Axes) -> None:
        plots.strips(ax, [known[column][known.site == site] for site in sites], sites)
        ax.set_ylabel(label)

    caption = f"{words[:1].upper()}{words[1:]}, by site; bars: medians. {exams_text(len(known))}."
    alt = f"{label} by site: " + "; ".join(
        f"{site} {plots.describe(known[known.site == site], column)}" for site in sites
    )
    return drawn(
        study,
        f"reference-{column.replace('_', '-')}",
        draw,
        caption=caption,
        alt=alt + ".",
        small=study.small(len(known)),
        size=(3.1, 2.6),
    )


def _failures(study: Study) -> Block:
    """Elastograms from which nothing could be read, by reason."""
    found = study.flow[(study.flow.step == "excluded") & (study.flow.stage == STAGE)]
    if found.empty:
        return Block("gap", "No exam was excluded because its elastogram could not be read.")
    rows = [Row(REASONS.get(row.reason, row.reason), [Number(row.exams, 0)]) for row in records(found)]
    heads = [Head("Failure"), Head("Exams")]
    return Block("table", rows, "Exams excluded because of their elastogram", [], heads)


def _reported(study: Study) -> list[Figure]:
    """Reported value against the one read from the elastogram."""
    table = study.tables["agreements"]
    if table.empty:
        return []

    def draw(ax: Axes) -> None:
        plots.identity(ax, table.reported, table.elastogram)
        ax.set(xlabel=f"Reported, {study.unit}", ylabel=f"Read from the elastogram, {study.unit}")

    alt = f"Read {plots.describe(table, 'elastogram')} against reported {plots.describe(table, 'reported')}."
    caption = f"Value read from the elastogram against the reported one, {exams_text(len(table))} with both."
    small = study.small(len(table))
    return [drawn(study, "reference-reported", draw, caption=caption, alt=alt, small=small, size=(3.1, 2.6))]


def _gallery(study: Study, table: pd.DataFrame) -> list[Block]:
    """Elastograms with the region that was averaged."""
    folders: list[Path] = study.shards.get("elastogram", [])
    stated = table.set_index("exam") if len(table) else pd.DataFrame(columns=["area_mm2", "slices"])

    def said(exam: str) -> str:
        if exam not in stated.index or not np.isfinite(stated.area_mm2[exam]):
            return ""
        return f"{stated.area_mm2[exam] / 100:.0f} cm² in {stated.slices[exam]:.0f} slices"

    images = [image(study, path, said(exam)) for exam, path in chosen(study, folders, "elastogram")]
    if not images:
        return [Block("gap", "No picture of an elastogram was handed over.")]
    return [Block("gallery", images, "Elastograms with the outline of the region that was averaged")]
