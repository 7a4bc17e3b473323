"""The model, its training, and what made the page."""

from __future__ import annotations

import pandas as pd
import yaml

from liverstiff.report import plots, provenance
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


def made_with(study: Study) -> Section:
    """Versions, commit, configuration, and the hashes of the tables."""
    shown = yaml.safe_dump(provenance.public(study.config), sort_keys=False, allow_unicode=True)
    facts = {"source": provenance.commit(), **provenance.versions()}
    hashes = "\n".join(f"{digest}  {name}.csv" for name, digest in study.hashes.items())
    blocks = [
        Block("facts", facts, "Software"),
        Block("folded_text", shown, "Configuration, without paths and other free text"),
        Block("folded_text", hashes, "SHA-256 of the tables behind this page"),
        Block(
            "gap",
            "Run times are not on this page, which is the same whenever it is made from the same tables: they are in "
            "the folder of benchmarks and in the page that snakemake --report writes.",
        ),
    ]
    lead = "What is needed to make this page again."
    return Section("provenance", "Software", "Software and configuration", lead, blocks)
