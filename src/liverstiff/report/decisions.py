"""What the estimate is good for: thresholds, comparison with baselines, intervals, decision curves."""

from __future__ import annotations

import pandas as pd

from liverstiff.config import PredictConfig
from liverstiff.report import curves, cutpoints, plots
from liverstiff.report.figure import drawn_of, told
from liverstiff.report.results import why_no_interval
from liverstiff.report.study import Block, Cell, Figure, Head, Row, Section, Study, filled, rows_of
from liverstiff.report.wording import (
    Estimate,
    Number,
    group_text,
    metric_wording,
    p_value,
    partition_text,
)

COMPARED = ("pearson_r", "mae")
"""Measures of the comparison that are not folded away."""
SHOWN = ("auroc", "auprc", "sensitivity", "specificity", "ppv", "npv")
BOOTSTRAP = "patient bootstrap"
MODEL = "model"
"""Name of the model among its baselines, in the table of decision curves."""
RIVALS = 2
"""Baselines drawn beside the model in a decision curve; all are in the table."""


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
        f"Telling exams at or above a threshold of {study.target.name} from those below, at "
        f"{cutpoints.in_words(study.tables['cutpoints'])}. None was chosen on the exams that it is tested on."
    )
    blocks = [Block("small_figures", figures)] if figures else []
    return Section("thresholds", "Thresholds", "Thresholds", lead, [*blocks, *tables, *gaps])


def _roc(study: Study, partition: str, points: pd.DataFrame) -> Figure:
    table = study.of("metrics", partition)
    here = table[(table.group == "all") & table.metric.str.startswith("auroc_") & table.value.notna()]
    areas = told([metric_wording(metric, study.target)[0] for metric in here.metric], map(Number, here.value))
    return drawn_of(
        study,
        partition,
        "roc",
        lambda ax: curves.roc(ax, points, study.unit),
        caption="ROC curves by threshold",
        alt=f"ROC curves: {areas or 'area not defined'}",
        size=(3.1, 3.1),
    )


def _threshold_table(study: Study, partition: str, here: pd.DataFrame) -> Block:
    rows, cuts = [], cutpoints.of_partition(study, partition)
    for level in sorted(here.threshold.unique()):
        part = here[here.threshold == level]
        by_metric = part.set_index("metric")
        cells: list[Cell] = [
            Estimate.of(pd.Series({**by_metric.loc[name].to_dict(), "metric": name}))
            if name in by_metric.index
            else "not computed"
            for name in SHOWN
        ]
        first = part.iloc[0]
        cases = (
            (Number(int(first.cases), 0), "\N{NO-BREAK SPACE}of\N{NO-BREAK SPACE}", Number(int(first.n), 0))
            if pd.notna(first.cases)
            else "–"
        )
        cells = [cases, cutpoints.shown(cuts, level), *cells]
        rows.append(Row(f"{level:g} {study.unit}", cells, study.small(int(first.n))))
    heads = [Head("Threshold"), Head("Cases"), Head(f"Cut-point, {study.unit}")]
    heads += [Head(study.label(name)) for name in SHOWN]
    sources = [source for source in dict.fromkeys(here.cut_source) if source] if "cut_source" in here else []
    notes = [*why_no_interval(rows), *cutpoints.lacking(cuts, study.unit)]
    folds = "; the range is over folds" if cuts.fold.nunique() > 1 else ""
    notes += [f"Cut-points from: {'; '.join(sources)}{folds}."] if sources else []
    return Block("table", rows, f"{partition_text(partition)}: detection at each threshold", notes, heads)


def comparisons(study: Study) -> Section:
    """The model against every baseline, on the same exams."""
    table = study.tables["comparisons"]
    lead = (
        "Is the model better than a baseline: something simpler, or another model? Every comparison is of the same "
        "exams. For r and AUROC a difference above 0 is in favour of the model; for errors, below 0."
    )
    title = "Comparison with baselines"
    if table.empty:
        gap = Block("gap", "No estimates of a baseline were handed over, so the model is compared with none.")
        return Section("comparisons", "Baselines", title, lead, [gap])
    figures, tables = [], []
    for partition in [name for name in filled(study) if (table.partition == name).any()]:
        here = study.of("comparisons", partition)
        figures += _difference_of_r(study, partition, here)
        paired, others = here[here.method == BOOTSTRAP], here[here.method != BOOTSTRAP]
        first = paired.metric.isin(COMPARED)
        tables.append(_comparison_table(study, partition, paired[first], "model and baselines"))
        if len(paired[~first]):
            tables.append(_comparison_table(study, partition, paired[~first], "other measures", "folded_table"))
        if len(others):
            caption = "other tests, one exam per patient"
            tables.append(_comparison_table(study, partition, others, caption, "folded_table"))
    blocks = [Block("small_figures", figures)] if figures else []
    return Section("comparisons", "Baselines", title, lead, [*blocks, *tables])


def _comparison_table(study: Study, partition: str, here: pd.DataFrame, caption: str, kind: str = "table") -> Block:
    methods = here.method.nunique() > 1
    rows = [
        Row(
            f"{study.baseline(row.baseline)}: {study.label(row.metric)}",
            [_value(row.model), _value(row.rival), _difference(row), p_value(float(row.p)), p_value(float(row.p_holm))]
            + ([row.method] if methods else []),
            study.small(int(row.n)),
        )
        for row in rows_of(here)
    ]
    heads = [Head("Baseline and measure"), Head("Model"), Head("Baseline"), Head("Difference"), Head("p")]
    heads += [Head("p\N{NO-BREAK SPACE}(Holm)"), *([Head("Method")] if methods else [])]
    return Block(kind, rows, f"{partition_text(partition)}: {caption}", why_no_interval(rows), heads)


def _value(value: object) -> Cell:
    number = float(value) if value not in ("", None) else float("nan")  # type: ignore[arg-type]
    return Number(number, 3) if pd.notna(number) else "–"


def _difference(row: pd.Series) -> Estimate:
    return Estimate.of(row, digits=3)


def _difference_of_r(study: Study, partition: str, here: pd.DataFrame) -> list[Figure]:
    """r of the model less r of each baseline."""
    rows = here[(here.metric == "pearson_r") & (here.method == BOOTSTRAP) & here.value.notna()]
    if rows.empty:
        return []
    labels = [study.baseline(name) for name in rows.baseline]

    def draw(ax: plots.Axes) -> None:
        ax.axvline(0, color=plots.MUTED, linewidth=1, zorder=1)
        plots.forest(ax, labels, rows, "Difference in r")

    figure = drawn_of(
        study,
        partition,
        "comparison",
        draw,
        caption="what the model adds in r, 95 % interval; right of 0 it is better",
        alt=f"r of the model less r of the baseline: {told(labels, map(Number, rows.value))}",
        least=int(rows.n.min()),
        size=(3.4, 0.9 + 0.26 * len(labels)),
    )
    return [figure]


def uncertainty(study: Study) -> Section:
    """Do the intervals hold what they promise, everywhere?"""
    promised = PredictConfig(**study.config.get("predict", {})).interval
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
        f"The interval of an estimate should hold the reference in {text} % of exams (dashed line). "
        "Overall, by band of the estimate, and by site: an interval that is right on average may be wrong for some."
    )
    blocks = [Block("small_figures", figures)] if figures else []
    return Section("uncertainty", "Uncertainty", "Uncertainty", lead, [*blocks, *tables, *gaps])


def _coverage(study: Study, partition: str, known: pd.DataFrame, promised: float) -> Figure:
    names = [_group(study, group) for group in known.group]
    labels = [f"{name} ({int(exams):,})" for name, exams in zip(names, known.n, strict=True)]
    shares = (f"{Number(share, 0, 100).text} %" for share in known.value)
    return drawn_of(
        study,
        partition,
        "coverage",
        lambda ax: curves.covered(ax, labels, known, promised),
        caption="share of intervals that hold the reference; dashed: promised",
        alt=f"intervals that hold the reference: {told(names, shares)}",
        least=int(known.n.min()),
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
        own = here[here.model == MODEL]
        if (known.model == MODEL).any():
            figures.append(_decision(study, partition, _strongest(study, known)))
        else:
            why = (
                "; ".join(dict.fromkeys(note.removeprefix("no risk: ") for note in own.note if note))
                or "no curve was handed over"
            )
            gaps.append(Block("gap", f"{partition_text(partition)}: no decision curve: {why}."))
    lead = (
        f"Would acting on the estimate do more good than harm? Case: {level:g} {study.unit} or more. A curve above "
        "both “act always” and “act never” is of use at that risk."
        if level is not None
        else "No threshold is configured, so no decision follows from the estimate."
    )
    blocks = [Block("small_figures", figures)] if figures else []
    return Section("decision", "Decisions", "Decision curve", lead, [*blocks, *gaps])


def _strongest(study: Study, known: pd.DataFrame) -> pd.DataFrame:
    """The curves of the model and of the baselines with the largest net benefit on average, the model's first."""
    rivals = known[known.model != MODEL].groupby("model", sort=False).net_benefit.mean().nlargest(RIVALS).index
    names = [MODEL, *rivals]
    place = known.model.map({name: number for number, name in enumerate(names)})
    rows = known[place.notna()].assign(place=place).sort_values("place", kind="stable")
    return rows.assign(model=[study.baseline(name) for name in rows.model])


def _decision(study: Study, partition: str, known: pd.DataFrame) -> Figure:
    models = list(dict.fromkeys(known.model))
    beside = "; the strongest baselines beside it" if len(models) > 1 else ""
    return drawn_of(
        study,
        partition,
        "decision",
        lambda ax: curves.decision(ax, known),
        caption=f"net benefit by the risk at which one acts; band: 95 % interval of the model{beside}",
        alt=f"net benefit of {', '.join(models)} between risks of 1 and 99 %",
        size=(3.2, 3.4),
    )
