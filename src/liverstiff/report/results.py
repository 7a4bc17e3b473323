"""How well the estimate agrees with elastography, overall, in groups, and along the covariates."""

from __future__ import annotations

import pandas as pd

from liverstiff.report import plots
from liverstiff.report.drawing import axes, save
from liverstiff.report.study import Block, Cell, Figure, Head, Row, Section, Study, filled, gap_blocks, head_of, records
from liverstiff.report.wording import (
    EFFECTS,
    Estimate,
    exams_text,
    group_text,
    metric_wording,
    p_text,
    partition_text,
    rounded,
    with_unit,
)

COVARIATES = {"age": "Age, years", "sex": "Sex", "bmi": "Body mass index, kg/m²"}


def agreement(study: Study) -> Section:
    """Scatter and Bland-Altman of each partition."""
    sites = sorted(study.analysed.site.unique())
    blocks = [Block("figures", _agreement_figures(study, name, sites)) for name in filled(study)]
    lead = (
        "First of each pair: a point per exam, on the dashed line where estimate equals elastography. Second: their "
        "difference, with bias, 95 % limits of agreement, and the intervals of these lines in grey."
    )
    return Section("agreement", "Agreement", "Estimate against elastography", lead, [*blocks, *gap_blocks(study)])


def _agreement_figures(study: Study, partition: str, sites: list[str]) -> list[Figure]:
    rows, title, small = study.rows(partition), partition_text(partition), study.small(study.exams(partition))
    metrics = {"lower limit": "limit_low", "bias": "bias", "upper limit": "limit_high"}
    lines = {label: study.estimate(partition, metric) for label, metric in metrics.items()}
    alt = (
        f"{title}, {exams_text(len(rows))}: estimates of {plots.describe(rows, 'estimate')} kPa against "
        f"elastography of {plots.describe(rows, 'reference')} kPa."
    )
    with axes() as (canvas, ax):
        plots.scatter(ax, rows, sites)
        left = save(canvas, study.figures, f"scatter_{partition}", alt)
    told = ", ".join(f"{label} {line.value.text} kPa" for label, line in lines.items() if line.value)
    with axes() as (canvas, ax):
        plots.bland_altman(ax, rows, sites, lines)
        right = save(canvas, study.figures, f"bland-altman_{partition}", f"{title}, difference against mean: {told}.")
    size = exams_text(len(rows))
    return [
        Figure(f"scatter_{partition}", left, f"{title}: estimate against elastography, {size}.", small),
        Figure(f"bland-altman_{partition}", right, f"{title}: difference against mean (Bland–Altman).", small),
    ]


def metrics(study: Study) -> Section:
    """Every metric of each partition."""
    partitions = filled(study)
    names = dict.fromkeys(study.metrics.metric)
    heads = [Head(""), *(head_of(study, partition) for partition in partitions)]
    rows = [
        Row(with_unit(*metric_wording(name)[:2]), [study.estimate(partition, name) for partition in partitions])
        for name in names
    ]
    notes = [
        "In brackets: 95 % interval by resampling patients; for Pearson r, bootstrap-t on Fisher’s z.",
        "Calibration regresses elastography on the estimate: slope 1 and intercept 0 are ideal.",
        "AUROC: telling exams at or above the threshold (by elastography) from those below.",
    ]
    notes = [*why_no_interval(rows), *notes]
    table = [Block("table", rows, "Agreement with elastography", notes, heads)] if partitions else []
    lead = "Pooled over folds, sites and vendors."
    return Section("metrics", "Numbers", "Agreement in numbers", lead, [*table, *gap_blocks(study)])


def subgroups(study: Study) -> Section:
    """Pearson r by site, vendor and steatosis; with and without steatosis in numbers."""
    figures = [figure for partition in filled(study) if (figure := _forest(study, partition))]
    table = study.metrics
    metrics = ["pearson_r", "reference_sd", "mae", "bias"]
    heads = [Head(""), Head("Exams (patients)"), *(Head(with_unit(*metric_wording(name)[:2])) for name in metrics)]
    rows = []
    for partition in filled(study):
        here = table[(table.partition == partition) & table.group.str.startswith("steatosis=")]
        rows.append(Row(partition_text(partition)))
        for group, part in here.groupby("group", sort=False):
            n, patients = int(part.n.iloc[0]), int(part.patients.iloc[0])
            estimates = [study.estimate(partition, name, str(group)) for name in metrics]
            rows.append(Row(group_text(str(group)), [f"{n:,} ({patients:,})", *estimates], study.small(n)))
        if here.empty:
            rows.append(Row("Steatosis not recorded", ["–"] * (1 + len(metrics))))
    blocks = [Block("small_figures", figures)] if figures else []
    blocks += [Block("table", rows, "With and without steatosis", why_no_interval(rows), heads)] if rows else []
    lead = (
        "Does the estimate hold for every site, every vendor, and with fat in the liver? Numbers of exams in brackets."
    )
    return Section("subgroups", "Groups", "Sites, vendors, steatosis", lead, [*blocks, *gap_blocks(study)])


def _forest(study: Study, partition: str) -> Figure | None:
    table = study.metrics
    rows = table[(table.partition == partition) & (table.metric == "pearson_r") & table.value.notna()]
    if rows.empty:
        return None
    told = "; ".join(f"{group_text(row.group)} {rounded(row.value, 2)}" for row in records(rows))
    title = partition_text(partition)
    with axes(3.2, 0.85 + 0.25 * len(rows)) as (canvas, ax):
        plots.forest(ax, rows)
        svg = save(canvas, study.figures, f"forest_{partition}", f"{title}, Pearson r by group: {told}.")
    small = study.small(int(rows.n.min()))
    return Figure(f"forest_{partition}", svg, f"{title}: Pearson r by group, 95 % interval.", small)


def residuals(study: Study) -> Section:
    """Residual against age, sex and BMI."""
    blocks, rows = [], []
    for partition in filled(study):
        here = study.residuals[
            (study.residuals.partition == partition) & study.residuals.covariate.isin(list(COVARIATES))
        ]
        blocks.append(Block("small_figures", [_residual(study, partition, row) for _, row in here.iterrows()]))
        rows.append(Row(partition_text(partition)))
        for _, row in here.iterrows():
            cells: list[Cell] = [
                f"{row.n:,} ({row.patients:,})",
                EFFECTS[row.covariate],
                Estimate.of(row, digits=3),
                p_text(float(row.p)),
            ]
            rows.append(Row(COVARIATES[row.covariate].split(",")[0], cells, study.small(int(row.n))))
    heads = [Head(""), Head("Exams (patients)"), Head("Effect on the residual"), Head("Estimate"), Head("p")]
    notes = [
        "Least squares; interval and p allow for repeat exams of a patient. Residual: estimate − elastography. "
        "A p value above 0.05 does not show that there is no bias: read the interval."
    ]
    blocks += [Block("table", rows, "Residual by age, sex and body mass index", notes, heads)] if rows else []
    lead = "Is the estimate too high or too low for some patients? An unbiased estimate scatters evenly around zero."
    return Section("residuals", "Residuals", "Age, sex, body mass index", lead, [*blocks, *gap_blocks(study)])


def _residual(study: Study, partition: str, row: pd.Series) -> Figure:
    label, title = COVARIATES[row.covariate], partition_text(partition)
    effect = Estimate.of(row, digits=3)
    told = f"{EFFECTS[row.covariate]}: {effect.value.text}" if effect.value else effect.note
    name = f"residual-{row.covariate}_{partition}"
    with axes(3.1, 2.5) as (canvas, ax):
        plots.residual(ax, study.rows(partition), row.covariate, label, effect)
        svg = save(canvas, study.figures, name, f"{title}, residual against {label}; {told}.")
    return Figure(name, svg, f"{title}: {label.split(',')[0].lower()}.", study.small(int(row.n)))


def why_no_interval(rows: list[Row]) -> list[str]:
    """The reasons behind the values of a table that stand without an interval, for a note below it."""
    estimates = [cell for row in rows for cell in row.cells if isinstance(cell, Estimate) and cell.value]
    reasons = dict.fromkeys(one.note.removeprefix("no interval: ") for one in estimates if one.note)
    return [f"No interval: {'; '.join(reasons)}."] if reasons else []
