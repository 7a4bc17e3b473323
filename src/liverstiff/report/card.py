"""The model card: what the model is, for what it is meant, and how well it did."""

from __future__ import annotations

from typing import Any

from liverstiff import __version__
from liverstiff.config import PredictConfig
from liverstiff.report.methods import model_facts, paragraphs
from liverstiff.report.provenance import source
from liverstiff.report.study import DEMONSTRATION, Study, filled
from liverstiff.report.summary import bias_in_words, limits
from liverstiff.report.wording import Estimate, partition_inside, partition_text

METRICS = ("pearson_r", "mae", "bias", "calibration_slope", "interval_coverage")


def card_values(study: Study) -> dict[str, Any]:
    """What the template of the card is filled with."""
    partitions = [_partition(study, name) for name in study.partitions]
    bias = [text for name in filled(study) if (text := bias_in_words(study, name))]
    unknown = "No residual was tested against a covariate."
    return {
        "title": study.settings.title,
        "simulated": study.simulated_sites,
        "facts": model_facts(study.config),
        "target": study.target,
        "interval": PredictConfig(**study.config.get("predict", {})).interval,
        "source": source(study.provenance),
        "version": __version__,
        "partitions": partitions,
        "labels": [study.label(name) for name in METRICS],
        "excluded": int(study.flow.exams[study.flow.step == "excluded"].sum()),
        "small": [partition_inside(name) for name in filled(study) if study.small(study.exams(name))],
        "below": study.evaluation.demonstration_below,
        "demonstration": DEMONSTRATION,
        "fairness": bias or [unknown],
        "limits": limits(study).blocks[0].content,
        "methods": paragraphs(study),
    }


def _partition(study: Study, name: str) -> dict[str, Any]:
    rows = study.rows(name)
    values = [_text(study.estimate(name, metric)) for metric in METRICS] if len(rows) else ["no exam"] * len(METRICS)
    return {"name": partition_text(name), "exams": len(rows), "patients": rows.patient.nunique(), "figures": values}


def _text(estimate: Estimate) -> str:
    """``0.77 (0.56 to 0.90)``, or why there is no number."""
    if estimate.value is None:
        return f"– ({estimate.note or 'not computed'})"
    ends = f" ({estimate.low.text} to {estimate.high.text})" if estimate.low and estimate.high else ""
    return f"{estimate.value.text}{ends}"
