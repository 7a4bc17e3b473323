"""How well the estimate agrees with the reference: figures, numbers, calibration."""

from __future__ import annotations

import pandas as pd

from liverstiff.report import curves, plots
from liverstiff.report.figure import drawn_of
from liverstiff.report.study import Block, Cell, Figure, Head, Row, Section, Study, filled, head_of, records
from liverstiff.report.wording import Estimate, Number, exams_text, partition_text, with_unit

LINES = {"lower limit": "limit_low", "bias": "bias", "upper limit": "limit_high"}


def agreement(study: Study) -> Section:
    """Scatter and Bland-Altman of each partition."""
    sites = sorted(study.analysed.site.unique())
    blocks = [Block("figures", _agreement_figures(study, name, sites)) for name in filled(study)]
    blocks += _limits(study)
    lead = (
        "First of each pair: a point per exam, on the dashed line where estimate equals reference. Second: their "
        "difference, with bias, 95 % limits of agreement, and the intervals of these lines in grey."
    )
    title = f"Estimate against {study.target.measured_by}"
    return Section("agreement", "Agreement", title, lead, blocks)


def _agreement_figures(study: Study, partition: str, sites: list[str]) -> list[Figure]:
    rows = study.rows(partition)
    lines = {label: study.estimate(partition, metric) for label, metric in LINES.items()}
    size, unit = exams_text(len(rows)), study.unit
    ranges = (
        f"estimates of {plots.describe(rows, 'estimate')} {unit} against references of "
        f"{plots.describe(rows, 'reference')} {unit}"
    )
    told = ", ".join(f"{label} {line.value.text} {unit}" for label, line in lines.items() if line.value)
    return [
        drawn_of(
            study,
            partition,
            "scatter",
            lambda ax: plots.scatter(ax, rows, sites, study.measured_by, unit),
            caption=f"estimate against {study.target.measured_by}, {size}",
            alt=f"{size}: {ranges}",
        ),
        drawn_of(
            study,
            partition,
            "bland-altman",
            lambda ax: plots.bland_altman(ax, rows, sites, lines, unit),
            caption="difference against mean (Bland–Altman)",
            alt=f"difference against mean: {told or 'bias and limits are not defined'}",
        ),
    ]


def _limits(study: Study) -> list[Block]:
    """Bias, limits and proportional bias of every partition and group."""
    table = study.tables["bland_altman"]
    names = {"bias": study.unit, "limit_low": study.unit, "limit_high": study.unit, "proportional_bias": ""}
    rows = []
    for partition in filled(study):
        here = table[(table.partition == partition) & (table.group == "all")].set_index("statistic")
        cells: list[Cell] = [
            Estimate.of(here.loc[name], digits=2) if name in here.index else "not computed" for name in names
        ]
        size = study.exams(partition)
        rows.append(Row(partition_text(partition), cells, study.small(size)))
    if table.empty or not rows:
        return []
    labels = ("Bias", "Lower limit", "Upper limit", "Proportional bias")
    heads = [Head("Partition"), *(Head(with_unit(*pair)) for pair in zip(labels, names.values(), strict=True))]
    notes = [
        *why_no_interval(rows),
        "Proportional bias: slope of the difference on the mean of both; below 0, high values come out too low.",
    ]
    return [Block("table", rows, "Bias and limits of agreement", notes, heads)]


def metrics(study: Study) -> Section:
    """Every metric of each partition."""
    partitions = filled(study)
    whole = study.tables["metrics"]
    names = dict.fromkeys(whole.metric[whole.group == "all"])
    heads = [Head("Measure"), *(head_of(study, partition) for partition in partitions)]
    rows = [Row(study.label(name), [study.estimate(partition, name) for partition in partitions]) for name in names]
    close = Number(study.evaluation.within, 0, 100).text
    noise = Number(study.evaluation.reference_cv, 0, 100).text
    notes = [
        "In brackets: 95 % interval by resampling patients; for Pearson r, bootstrap-t on Fisher’s z.",
        f"Calibration regresses {study.target.measured_by} on the estimate: slope 1 and intercept 0 are ideal.",
        f"AUROC: telling exams at or above the threshold (by {study.target.measured_by}) from those below.",
        f"Close: within {close} % of the reference. A perfect model does not reach 100 % and r = 1, because the "
        f"reference itself is assumed to differ when it is repeated (coefficient of variation {noise} %).",
    ]
    notes = [*why_no_interval(rows), *notes]
    table = [Block("table", rows, f"Agreement with {study.target.measured_by}", notes, heads)] if partitions else []
    lead = "All exams of a partition together, whatever their fold, site and vendor."
    return Section("metrics", "Numbers", "Performance in numbers", lead, table)


def calibration(study: Study) -> Section:
    """Mean reference by tenth of the estimate."""
    figures, gaps = [], []
    for partition in filled(study):
        points = study.of("calibration", partition)
        title = partition_text(partition)
        if not points.estimate.notna().any():
            why = "; ".join(dict.fromkeys(note for note in points.note if note)) or "no point was handed over"
            gaps.append(Block("gap", f"{title}: no calibration curve: {why}."))
            continue
        slope, shift = (study.estimate(partition, f"calibration_{name}").value for name in ("slope", "intercept"))
        told = f"slope {slope.text}, intercept {shift.text} {study.unit}" if slope and shift else "slope not defined"
        figures.append(_calibration(study, points, partition, told))
    lead = (
        "Exams sorted by their estimate and cut into groups of equal size: what was estimated on average against what "
        "was measured on average. On the dashed line, an estimate means what it says."
    )
    rows = [
        Row(
            f"{partition_text(row.partition)}, group {row.point:g}",
            [Number(row.n, 0), Number(row.estimate), Estimate.of(_as_estimate(row), digits=2)],
        )
        for row in records(study.tables["calibration"])
        if pd.notna(row.estimate)
    ]
    heads = [Head("Group"), Head("Exams"), Head(f"Mean estimate, {study.unit}"), Head(f"Mean reference, {study.unit}")]
    blocks = [Block("small_figures", figures)] if figures else []
    caption = "The points of the calibration curves"
    blocks += [Block("folded_table", rows, caption, why_no_interval(rows), heads)] if rows else []
    return Section("calibration", "Calibration", "Calibration", lead, [*blocks, *gaps])


def _calibration(study: Study, points: pd.DataFrame, partition: str, told: str) -> Figure:
    return drawn_of(
        study,
        partition,
        "calibration",
        lambda ax: curves.calibration(ax, points, study.unit),
        caption=told,
        alt=f"mean reference against mean estimate in {len(points)} groups; {told}",
        size=(3.1, 3.0),
    )


def _as_estimate(row: object) -> pd.Series:
    """A point's mean reference and its interval."""
    values = {"value": row.reference, "low": row.low, "high": row.high, "note": row.note}  # type: ignore[attr-defined]
    return pd.Series(values, dtype=object)


def why_no_interval(rows: list[Row]) -> list[str]:
    """The reasons behind the values of a table that stand without an interval, for a note below it."""
    estimates = [cell for row in rows for cell in row.cells if isinstance(cell, Estimate) and cell.value]
    parts = [part for one in estimates if not one.low for part in one.note.split("; ") if part]
    told = [part for part in parts if part.startswith("no interval: ")] or parts
    reasons = dict.fromkeys(part.removeprefix("no interval: ") for part in told)
    return [f"No interval: {'; '.join(reasons)}."] if reasons else []
