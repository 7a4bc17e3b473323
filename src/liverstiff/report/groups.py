"""For whom the estimate holds: subgroups, differences between them, and residuals along the covariates."""

from __future__ import annotations

import pandas as pd

from liverstiff.report import curves, plots
from liverstiff.report.figure import drawn_of, told
from liverstiff.report.results import why_no_interval
from liverstiff.report.study import Block, Cell, Figure, Head, Row, Section, Study, filled, rows_of
from liverstiff.report.wording import (
    COVARIATES,
    Estimate,
    Number,
    group_text,
    p_value,
    partition_inside,
    partition_text,
)

AXES = {"age": "Age, years", "sex": "Sex", "bmi": "Body mass index, kg/m²"}
"""Covariates against which residuals are drawn."""
COMBINED_SHOWN = 300
"""Combined subgroups listed one by one; all are in the table of subgroups."""
METRICS = ("pearson_r", "mae", "bias")


def subgroups(study: Study) -> Section:
    """r, MAE and bias of every group, as a forest plot and in numbers."""
    figures, blocks = [], []
    for partition in filled(study):
        table = study.of("subgroups", partition)
        single = table[table.characteristics == 1]
        figures += [_forest(study, partition, single)] if single.pearson_r.notna().any() else []
        caption = f"{partition_text(partition)}: single characteristics"
        blocks += [_table(study, single, caption)] if len(single) else [_no_groups(partition)]
        combined = table[table.characteristics > 1].sort_values("n", ascending=False, kind="stable")
        if len(combined):
            shown = combined.head(COMBINED_SHOWN)
            more = f", the {len(shown):,} largest of {len(combined):,}" if len(shown) < len(combined) else ""
            blocks.append(_table(study, shown, f"{partition_text(partition)}: combined characteristics{more}", True))
    steatosis = [partition for partition in filled(study) if not _has_steatosis(study, partition)]
    gaps = [
        Block("gap", f"{partition_text(name)}: steatosis is not recorded, so it cannot be told with from without.")
        for name in steatosis
    ]
    lead = (
        "Does the estimate hold for every site, every vendor, and with fat in the liver? r depends on how far apart "
        "the exams of a group are: read it beside the SD of the reference. Numbers of exams in brackets."
    )
    blocks = [Block("figures", figures), *blocks] if figures else blocks
    blocks += [*_contrasts(study), *gaps]
    return Section("subgroups", "Subgroups", "Sites, vendors, patients", lead, blocks)


def _no_groups(partition: str) -> Block:
    return Block("gap", f"{partition_text(partition)}: no subgroup was formed.")


def _has_steatosis(study: Study, partition: str) -> bool:
    return bool(study.of("subgroups", partition).subgroup.str.contains("steatosis=").any())


def _table(study: Study, table: pd.DataFrame, caption: str, folded: bool = False) -> Block:
    """Numbers of subgroups."""
    rows = []
    for row in rows_of(table):
        numbers = [
            Estimate.of(row, digits=2, names=(name, f"{name}_low", f"{name}_high"))
            if pd.notna(row[name])
            else Estimate.missing(name, row.note.partition("; no interval")[0] or "not computed")
            for name in METRICS
        ]
        spread: Cell = Number(float(row.reference_sd)) if pd.notna(row.reference_sd) else "–"
        size = (Number(int(row.n), 0), " (", Number(int(row.patients), 0), ")")
        rows.append(Row(group_text(row.subgroup), [size, *numbers, spread], study.small(int(row.n))))
    heads = [Head("Subgroup"), Head("Exams (patients)"), *(Head(study.label(name)) for name in METRICS)]
    heads.append(Head(study.label("reference_sd")))
    return Block("folded_table" if folded else "table", rows, caption, why_no_interval(rows), heads)


def _forest(study: Study, partition: str, single: pd.DataFrame) -> Figure:
    """Pearson r of all and of every single group."""
    metrics = study.tables["metrics"]
    whole = metrics[(metrics.partition == partition) & (metrics.group == "all") & (metrics.metric == "pearson_r")]
    ends = {"pearson_r": "value", "pearson_r_low": "low", "pearson_r_high": "high"}
    groups = single.rename(columns=ends)[["subgroup", "value", "low", "high", "n"]]
    first = whole.assign(subgroup="all")[["subgroup", "value", "low", "high", "n"]]
    rows = pd.concat([frame for frame in (first, groups) if len(frame)])
    rows = rows[rows.value.notna()]
    names = [group_text(group) for group in rows.subgroup]
    labels = [f"{name} ({exams:,})" for name, exams in zip(names, rows.n, strict=True)]

    def draw(ax: plots.Axes) -> None:
        plots.forest(ax, labels, rows, "Pearson r", strong=labels[0])
        ax.set_xlim(min(-0.02, rows[["value", "low"]].min().min() - 0.05), 1.03)

    return drawn_of(
        study,
        partition,
        "forest",
        draw,
        caption="Pearson r by group, 95 % interval",
        alt=f"Pearson r by group: {told(names, map(Number, rows.value))}",
        least=int(rows.n.min()),
        size=(4.4, 0.85 + 0.22 * len(rows)),
    )


def _contrasts(study: Study) -> list[Block]:
    """Differences between groups and partitions."""
    table = study.tables["contrasts"]
    rows = []
    for row in rows_of(table):
        other = row.other.removeprefix("all of ")
        first = partition_text(row.partition) if row.group == "all" else group_text(row.group)
        second = partition_text(other) if row.other.startswith("all of ") else group_text(row.other)
        where = "" if row.group == "all" else f", {partition_inside(row.partition)}"
        size = (Number(int(row.n), 0), " and ", Number(int(row.n_other), 0))
        label = study.label(row.metric)
        rows.append(
            Row(
                f"{first} − {second}{where}",
                [label, _estimate(row), size],
                study.small(min(int(row.n), int(row.n_other))),
            )
        )
    heads = [Head("Groups"), Head("Measure"), Head("Difference"), Head("Exams")]
    return [Block("folded_table", rows, "Differences between groups", why_no_interval(rows), heads)] if rows else []


def residuals(study: Study) -> Section:
    """Residual against the covariates, and whether it is small enough."""
    blocks, tables, judgements, gaps = [], [], [], []
    for partition in filled(study):
        here = study.of("residuals", partition)
        axes = [row for row in rows_of(here) if row.covariate in AXES]
        figures = [_residual(study, partition, row) for row in axes if _known(study, partition, row.covariate).any()]
        unknown = [COVARIATES[row.covariate] for row in axes if not _known(study, partition, row.covariate).any()]
        if unknown:
            gaps.append(Block("gap", f"{partition_text(partition)}: not recorded, so not drawn: {', '.join(unknown)}."))
        judged = here[here.span_value.notna()] if "span_value" in here else here.head(0)
        if len(judged):
            judgements.append(_equivalence(study, partition, judged))
        blocks += [Block("small_figures", figures)] if figures else []
        if len(here):
            tables.append(_residual_table(study, partition, here))
    blocks = [Block("small_figures", judgements), *blocks] if judgements else blocks
    margin, unit = f"{study.target.margin:g}", study.unit
    lead = (
        "Is the estimate too high or too low for some patients? An unbiased estimate scatters evenly around zero. A "
        f"difference is called equivalent to none where its 90 % interval lies within ±{margin} {unit}: between two "
        "groups, or between the 10th and the 90th percentile of a covariate."
    )
    return Section("residuals", "Residuals", "Is it biased for some?", lead, [*blocks, *gaps, *tables])


def _residual_table(study: Study, partition: str, here: pd.DataFrame) -> Block:
    rows = []
    for row in rows_of(here):
        size = (Number(int(row.n), 0), " (", Number(int(row.patients), 0), ")")
        span: Cell = Estimate.of(row, digits=2, names=("span_value", "span_low", "span_high"))
        span = span if pd.notna(row.span_value) else "–"
        cells: list[Cell] = [row.verdict or "not judged", span, _estimate(row), p_value(float(row.p_holm)), _power(row)]
        rows.append(Row(_effect(row, study.unit), [*cells, size], study.small(int(row.n))))
    heads = [Head("Covariate"), Head("Verdict"), Head(f"Over the range, {study.unit} (90 %)")]
    heads += [Head(f"Effect, {study.unit} (95 %)"), Head("p (Holm)"), Head("Power"), Head("Exams (patients)")]
    notes = [
        *why_no_interval(rows),
        "Least squares; interval and p allow for repeat exams of a patient; residual: estimate − reference. A large p "
        "does not show that there is no bias: read the verdict. Equivalent: the difference is smaller than the margin. "
        "Inconclusive: the data tell neither. Power: chance of the verdict equivalent if there were no difference.",
    ]
    return Block("table", rows, f"{partition_text(partition)}: residual by covariate", notes, heads)


def _effect(row: pd.Series, unit: str) -> str:
    """The covariate and what is compared: ``Sex: male − female``."""
    said = row.effect.replace(" - ", " − ").replace("m2", "m²").replace(f", {unit}", "")
    return f"{COVARIATES.get(row.covariate, row.covariate)}: {said}"


def _covariate(row: pd.Series) -> str:
    name = COVARIATES.get(row.covariate, row.covariate)
    level = f" {row.level}" + (" T" if row.covariate == "field_t" else "") if row.level else ""
    return name if row.covariate in ("sex", "steatosis") else name + level


def _power(row: pd.Series) -> Cell:
    return (Number(float(row.power), 0, 100), " %") if pd.notna(row.power) else "–"


def _estimate(row: pd.Series) -> Estimate:
    return Estimate.of(row, digits=3)


def _residual(study: Study, partition: str, row: pd.Series) -> Figure:
    label, effect = AXES[row.covariate], Estimate.of(row, digits=3)
    found = f"{row.effect}: {effect.value.text}" if effect.value else effect.note
    known = study.rows(partition)[_known(study, partition, row.covariate)]
    return drawn_of(
        study,
        partition,
        f"residual-{row.covariate}",
        lambda ax: plots.residual(ax, known, row.covariate, label, effect, study.unit),
        caption=label.split(",")[0].lower(),
        alt=f"residual against {label}; {found}",
        least=int(row.n),
        size=(3.1, 2.5),
    )


def _known(study: Study, partition: str, covariate: str) -> pd.Series:
    """Exams of which a covariate is known."""
    rows = study.rows(partition)
    if covariate not in rows:
        return pd.Series(False, rows.index)
    return rows[covariate].isin(plots.SEXES) if covariate == "sex" else rows[covariate].notna()


def _equivalence(study: Study, partition: str, judged: pd.DataFrame) -> Figure:
    labels, margin = [_covariate(row) for row in rows_of(judged)], study.target.margin
    return drawn_of(
        study,
        partition,
        "equivalence",
        lambda ax: curves.equivalence(ax, labels, judged, margin, f"Difference of the residual, {study.unit}"),
        caption=f"all differences with 90 % intervals; band: ±{margin:g} {study.unit}, taken for none",
        alt=told(labels, (verdict or "not judged" for verdict in judged.verdict)),
        least=int(judged.n.min()),
        size=(3.1, 0.8 + 0.2 * len(labels)),
    )
