"""The model and its training."""

from __future__ import annotations

import pandas as pd

from liverstiff.report import plots
from liverstiff.report.figure import drawn
from liverstiff.report.methods import model_facts
from liverstiff.report.study import Block, Section, Study


def training(study: Study) -> Section:
    """What the model is, and its loss by epoch."""
    facts = Block("facts", model_facts(study.config), "Model")
    histories = [table for path in study.histories if len(table := pd.read_csv(path))]
    losses = [name for name in (histories[0].columns if histories else []) if "loss" in name]
    lead = "Loss by epoch, one line per fold; the validation part is set aside inside the training part of the fold."
    if not losses:
        return _section(lead, [facts, Block("gap", "No training history was handed over.")])
    if max(len(table) for table in histories) < 2:
        return _section(lead, [facts, Block("gap", "This model is fitted in one step: there is no curve to show.")])
    figure = drawn(
        study,
        "training",
        lambda ax: plots.training(ax, histories, losses),
        caption=f"Training of {len(histories)} fold{'s' * (len(histories) != 1)}.",
        alt=f"{' and '.join(losses)} by epoch of {len(histories)} folds.",
        small=study.small(study.exams("cross-validation")),
        size=(6.4, 3.0),
    )
    return _section(lead, [facts, Block("wide_figures", [figure])])


def _section(lead: str, blocks: list[Block]) -> Section:
    return Section("training", "Model", "The model and its training", lead, blocks)
