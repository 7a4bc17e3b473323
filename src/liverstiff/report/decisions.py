"""What the estimate is good for: thresholds, comparison with baselines, intervals, decision curves."""

from __future__ import annotations

import pandas as pd

from liverstiff.report import curves, plots
from liverstiff.report.figure import drawn
from liverstiff.report.results import why_no_interval
from liverstiff.report.study import Block, Cell, Figure, Head, Row, Section, Study, filled, gap_blocks, records, rows_of
from liverstiff.report.wording import Estimate, Number, group_text, metric_wording, p_text, partition_text

SHOWN = ("auroc", "auprc", "sensitivity", "specificity", "ppv", "npv")
BOOTSTRAP = "patient bootstrap"


def thresholds(study: Study) -> Section:
    """ROC curves, and sensitivity and specificity at cut-points fixed beforehand."""
    figures, tables, gaps = [], [], []
    for partition in filled(study):
        title, points = partition_text(partition), study.of("roc", partition)
        if len(points):
            figures.append(_roc(study, partition, points))
        else:
            gaps.append(Block("gap", f"{title}: no ROC curve: at every threshold all exams lie on one side of it."))
        here = study.of("thresholds", partition)
        here = here[(here.group == "all") & (here.method == BOOTSTRAP)]
        if len(here):
            tables.append(_threshold_table(study, partition, here))
    lead = (
        f"Telling exams at or above a threshold of {study.target.name} from those below. Cut-points of the estimate "
        "were fixed on other exams than those they are tested on."
    )
    blocks = [Block("small_figures", figures)] if figures else []
    return Section("thresholds", "Thresholds", "Thresholds", lead, [*blocks, *tables, *gaps, *gap_blocks(study)])


def _roc(study: Study, partition: str, points: pd.DataFrame) -> Figure:
    table = study.tables["metrics"]
    here = table[(table.partition == partition) & (table.group == "all") & table.metric.str.startswith("auroc_")]
    told = ", ".join(
        f"{metric_wording(row.metric, study.target)[0]} {Number(row.value).text}"
        for row in records(here)
        if pd.notna(row.value)
    )
    title = partition_text(partition)
    return drawn(
        study,
        f"roc_{partition}",
        lambda ax: curves.roc(ax, points, study.unit),
        caption=f"{title}: ROC curves by threshold.",
        alt=f"{title}, ROC curves: {told or 'area not defined'}.",
        small=study.small(study.exams(partition)),
        size=(3.1, 3.1),
    )


def _threshold_table(study: Study, partition: str, here: pd.DataFrame) -> Block:
    rows = []
    for level, part in here.groupby("threshold", sort=True):
        by_metric = part.set_index("metric")
        cells = [
            Estimate.of(pd.Series({**by_metric.loc[name].to_dict(), "metric": name}))
            if name in by_metric.index
            else "not computed"
            for name in SHOWN
        ]
        first = part.iloc[0]
        cases = (Number(int(first.cases), 0), " of ", Number(int(first.n), 0)) if pd.notna(first.cases) else "–"
        rows.append(Row(f"{level:g} {study.unit}", [cases, *cells], study.small(int(first.n))))
    heads = [Head("Threshold"), Head("Cases"), *(Head(study.label(name)) for name in SHOWN)]
    sources = [source for source in dict.fromkeys(here.cut_source) if source] if "cut_source" in here else []
    notes = [*why_no_interval(rows), *([f"Cut-points from: {'; '.join(sources)}."] if sources else [])]
    return Block("table", rows, f"{partition_text(partition)}: detection at each threshold", notes, heads)


def comparisons(study: Study) -> Section:
    """The model against every baseline, on the same exams."""
    table = study.tables["comparisons"]
    lead = (
        "Is the model better than something simpler? Every comparison is of the same exams. For r and AUROC a "
        "difference above 0 is in favour of the model; for errors, below 0."
    )
    title = "Comparison with baselines"
    if table.empty:
        gap = Block("gap", "No estimates of a baseline were handed over, so the model is compared with none.")
        return Section("comparisons", "Baselines", title, lead, [gap])
    blocks = []
    for partition in [name for name in filled(study) if (table.partition == name).any()]:
        here = study.of("comparisons", partition)
        figure = _difference_of_r(study, partition, here)
        blocks += [Block("small_figures", [figure])] if figure else []
        blocks.append(_comparison_table(study, partition, here[here.method == BOOTSTRAP], "table"))
        others = here[here.method != BOOTSTRAP]
        if len(others):
            blocks.append(_comparison_table(study, partition, others, "folded_table"))
    return Section("comparisons", "Baselines", title, lead, blocks)


def _comparison_table(study: Study, partition: str, here: pd.DataFrame, kind: str) -> Block:
    rows = [
        Row(
            f"{row.baseline}: {study.label(row.metric)}",
            [_value(row.model), _value(row.rival), _difference(row), p_text(float(row.p)), p_text(float(row.p_holm))]
            + ([] if kind == "table" else [row.method]),
            study.small(int(row.n)),
        )
        for row in rows_of(here)
    ]
    heads = [Head("Baseline and measure"), Head("Model"), Head("Baseline"), Head("Difference"), Head("p")]
    heads += [Head("p (Holm)")] + ([] if kind == "table" else [Head("Method")])
    title = partition_text(partition)
    caption = f"{title}: model and baselines" if kind == "table" else f"{title}: other tests, one exam per patient"
    return Block(kind, rows, caption, why_no_interval(rows), heads)


def _value(value: object) -> Cell:
    number = float(value) if value not in ("", None) else float("nan")  # type: ignore[arg-type]
    return Number(number, 3) if pd.notna(number) else "–"


def _difference(row: pd.Series) -> Estimate:
    return Estimate.of(row, digits=3)


def _difference_of_r(study: Study, partition: str, here: pd.DataFrame) -> Figure | None:
    """r of the model less r of each baseline."""
    rows = here[(here.metric == "pearson_r") & (here.method == BOOTSTRAP) & here.value.notna()]
    if rows.empty:
        return None
    labels = list(rows.baseline)
    told = "; ".join(f"{row.baseline} {Number(row.value).text}" for row in records(rows))

    def draw(ax: plots.Axes) -> None:
        ax.axvline(0, color=plots.MUTED, linewidth=1, zorder=1)
        plots.forest(ax, labels, rows, "r of the model − r of the baseline")

    return drawn(
        study,
        f"comparison_{partition}",
        draw,
        caption=f"{partition_text(partition)}: what the model adds in r, 95 % interval; right of 0 it is better.",
        alt=f"{partition_text(partition)}, r of the model less r of the baseline: {told}.",
        small=study.small(int(rows.n.min())),
        size=(3.4, 0.9 + 0.26 * len(labels)),
    )


def uncertainty(study: Study) -> Section:
    """Do the intervals hold what they promise, everywhere?"""
    promised = float(study.config.get("predict", {}).get("interval", 0.90))
    text = Number(promised, 0, 100).text
    figures, tables, gaps = [], [], []
    for partition in filled(study):
        here = study.of("coverage", partition)
        known = here[here.value.notna()]
        if len(known):
            figures.append(_coverage(study, partition, known, promised))
            tables.append(_coverage_table(study, partition, here))
        else:
            gaps.append(Block("gap", f"{partition_text(partition)}: the estimates came without intervals."))
    lead = (
        f"Each estimate comes with an interval that should hold the reference in {text} % of exams (dashed line). "
        "Overall, by band of the estimate, and by site: an interval that is right on average may be wrong for some."
    )
    blocks = [Block("small_figures", figures)] if figures else []
    return Section("uncertainty", "Uncertainty", "Uncertainty", lead, [*blocks, *tables, *gaps, *gap_blocks(study)])


def _coverage(study: Study, partition: str, known: pd.DataFrame, promised: float) -> Figure:
    labels = [f"{_group(study, row.group)} ({int(row.n):,})" for row in records(known)]
    told = "; ".join(f"{_group(study, row.group)} {Number(row.value, 0, 100).text} %" for row in records(known))
    title = partition_text(partition)
    return drawn(
        study,
        f"coverage_{partition}",
        lambda ax: curves.covered(ax, labels, known, promised),
        caption=f"{title}: intervals that hold the reference; dashed: promised.",
        alt=f"{title}, intervals that hold the reference: {told}.",
        small=study.small(int(known.n.min())),
        size=(3.2, 0.85 + 0.23 * len(labels)),
    )


def _coverage_table(study: Study, partition: str, here: pd.DataFrame) -> Block:
    rows = []
    for row in rows_of(here):
        share = Estimate.of(pd.Series({**row.to_dict(), "metric": "interval_coverage"}))
        width: Cell = Number(float(row.mean_width)) if pd.notna(row.mean_width) else "–"
        rows.append(Row(_group(study, row.group), [Number(int(row.n), 0), share, width], study.small(int(row.n))))
    heads = [Head("Group"), Head("Exams"), Head("Intervals that hold the reference, %")]
    heads.append(Head(f"Mean width, {study.unit}"))
    caption = f"{partition_text(partition)}: coverage of the intervals"
    return Block("folded_table", rows, caption, why_no_interval(rows), heads)


def _group(study: Study, group: str) -> str:
    return f"{group_text(group)} {study.unit}" if group.startswith("estimate=") else group_text(group)


def decision(study: Study) -> Section:
    """Net benefit at the middle threshold."""
    levels = study.target.thresholds
    level = levels[len(levels) // 2] if levels else None
    figures, gaps = [], []
    for partition in filled(study):
        here = study.of("decision", partition)
        here = here[here.threshold == level]
        known = here[here.net_benefit.notna()]
        if len(known):
            figures.append(_decision(study, partition, known))
        else:
            why = "; ".join(dict.fromkeys(note for note in here.note if note)) or "no curve was handed over"
            gaps.append(Block("gap", f"{partition_text(partition)}: no decision curve: {why}."))
    lead = (
        f"Would acting on the estimate do more good than harm? Case: {level:g} {study.unit} or more. A curve above "
        "both “act always” and “act never” is of use at that risk."
        if level is not None
        else "No threshold is configured, so no decision follows from the estimate."
    )
    blocks = [Block("small_figures", figures)] if figures else []
    return Section("decision", "Decisions", "Decision curve", lead, [*blocks, *gaps, *gap_blocks(study)])


def _decision(study: Study, partition: str, known: pd.DataFrame) -> Figure:
    title, models = partition_text(partition), list(dict.fromkeys(known.model))
    return drawn(
        study,
        f"decision_{partition}",
        lambda ax: curves.decision(ax, known),
        caption=f"{title}: net benefit by the risk at which one acts; band: 95 % interval of the model.",
        alt=f"{title}, net benefit of {', '.join(models)} between risks of 1 and 99 %.",
        small=study.small(study.exams(partition)),
        size=(3.2, 2.8),
    )
