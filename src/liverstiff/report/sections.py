"""The sections of the page, as a declared list: each builds its blocks from the study's tables."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import yaml

from liverstiff.report import plots, provenance
from liverstiff.report.drawing import axes, save
from liverstiff.report.patients import flow, scans, table1
from liverstiff.report.pictures import gallery, registrations
from liverstiff.report.results import agreement, metrics, residuals, subgroups
from liverstiff.report.study import Block, Card, Cell, Figure, Section, Study, filled, gap_blocks
from liverstiff.report.vendors import vendors
from liverstiff.report.wording import exams_text, partition_text


def summary(study: Study) -> Section:
    """The study in plain words and three numbers."""
    cards = [_card(study, partition) for partition in study.partitions if study.exams(partition)]
    steps = study.flow.groupby("step").exams.sum()
    catalogued, excluded = int(steps.get("catalogued", 0)), int(steps.get("excluded", 0))
    lead = (
        f"A model estimated liver stiffness from routine MRI and the health record. Of {exams_text(catalogued)} in the "
        f"catalogue, {len(study.analysed):,} were analysed and {excluded:,} excluded. Each estimate is of an exam that "
        "the model had never seen, and is compared with MR elastography of the same exam."
    )
    reading = (
        "r tells how closely estimate and elastography go together: 1 is perfect, 0 is no relation. CI is the 95 % "
        "confidence interval, which allows for patients who came more than once."
    )
    blocks = [Block("cards", cards, notes=[reading]), *gap_blocks(study)]
    return Section("summary", "Summary", "Summary", lead, blocks)


def _card(study: Study, partition: str) -> Card:
    rows = study.rows(partition)
    r = study.estimate(partition, "pearson_r")
    title, size = partition_text(partition), exams_text(len(rows), rows.patient.nunique())
    return Card(title, size, r, _in_words(study, partition), study.small(len(rows)))


def _in_words(study: Study, partition: str) -> list[Cell]:
    """How far off the estimate is, and how far apart the patients are."""
    mae, sd = (study.estimate(partition, name).value for name in ("mae", "reference_sd"))
    off: list[Cell] = ["Off by ", mae, " kPa on average"] if mae else []
    return [*off, "; stiffness itself varies with an SD of ", sd, " kPa."] if sd else [*off, "."]


def training(study: Study) -> Section:
    """Loss by epoch."""
    histories = [table for path in study.histories if len(table := pd.read_csv(path))]
    losses = [name for name in (histories[0].columns if histories else []) if "loss" in name]
    lead = "Loss by epoch, one line per fold; the validation part is set aside inside the training part of the fold."
    if not losses:
        return Section("training", "Training", "Training", lead, [Block("gap", "No training history was handed over.")])
    exams = study.exams("cross-validation")
    with axes(6.4, 3.0) as (canvas, ax):
        plots.training(ax, histories, losses)
        svg = save(canvas, study.figures, "training", f"{' and '.join(losses)} by epoch of {len(histories)} folds.")
    figure = Figure("training", svg, f"Training of {len(histories)} folds.", study.small(exams))
    return Section("training", "Training", "Training", lead, [Block("wide_figures", [figure])])


def made_with(study: Study) -> Section:
    """Versions, commit, configuration."""
    shown = yaml.safe_dump(provenance.without_paths(study.config), sort_keys=False, allow_unicode=True)
    facts = {"source": provenance.commit(), **provenance.versions()}
    blocks = [Block("facts", facts, "Software"), Block("folded_text", shown, "Configuration, paths left out")]
    lead = "What is needed to make this page again."
    return Section("provenance", "Software", "Software and configuration", lead, blocks)


LIMITS = (
    "The reference is itself a measurement: elastography repeats within about 7 to 15 % in the same patient, so even a "
    "perfect estimate does not reach r = 1.",
    "r grows with the spread of stiffness in a group: compare groups only beside the SD of their reference.",
    "Estimates of such models shrink towards the mean: stiff livers come out too soft, soft livers too stiff. The "
    "calibration slope and the Bland–Altman figures show by how much; r does not.",
    "The temporal and the external test stay honest only while no setting is changed after looking at them. "
    "Cross-validation is optimistic as far as settings were chosen on it.",
    "Intervals count chance in the sampling of patients. They do not count other scanners, other hospitals, or the "
    "exams that were excluded.",
    "The estimate is a research result. It is not a medical device and no basis for a decision about a patient.",
)


def limits(study: Study) -> Section:
    """What the numbers do not show."""
    few = [partition_text(name).lower() for name in filled(study) if study.small(study.exams(name))]
    points = []
    if few:
        points.append(f"Fewer than {study.demonstration_below} exams: {', '.join(few)}. Conclude nothing from these.")
    if study.simulated_sites:
        points.append("The exams are simulated: the numbers show that the software runs, and nothing about patients.")
    return Section("limits", "Limits", "Limits", "What the numbers do not show.", [Block("points", [*points, *LIMITS])])


SECTIONS: tuple[Callable[[Study], Section], ...] = (
    *(
        summary,
        flow,
        scans,
        vendors,
        table1,
        agreement,
        metrics,
        subgroups,
        residuals,
        training,
        gallery,
        registrations,
        made_with,
        limits,
    ),
)
