"""All tables of a study from its analysed exams, and the summary of what matters most."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from liverstiff.config import EvaluateConfig, TargetConfig
from liverstiff.evaluate.comparisons import comparisons_of, contrasts_between
from liverstiff.evaluate.curves import calibration_of, decision_of, roc_of
from liverstiff.evaluate.frozen import Development, cutpoints_of
from liverstiff.evaluate.intervals import coverage_of
from liverstiff.evaluate.performance import (
    BOOTSTRAP,
    Question,
    bland_altman_of,
    groups_by_partition,
    metrics_of,
    performance_of,
    thresholds_of,
)
from liverstiff.evaluate.residuals import residuals_of
from liverstiff.evaluate.sample import Terms
from liverstiff.evaluate.subgroups import subgroups_of

MODEL = "model"
"""Name of what is evaluated, beside its baselines."""

HEADLINES = ("pearson_r", "mae", "bias", "icc_a1", "calibration_slope", "reference_sd", "interval_coverage")

Tables = dict[str, pd.DataFrame]


@dataclass(frozen=True)
class Study:
    """What the tables are made of."""

    analysed: pd.DataFrame
    """A row per exam, as in ``analysed.csv``."""
    partitions: list[str]
    """In order; one without exams is a stated gap."""
    validation: pd.DataFrame | None
    """``exam, fold, estimate`` of inner validation exams by their fold's own model, or None."""
    baselines: pd.DataFrame | None
    """``baseline, exam, partition, fold, estimate``, or None."""

    def models(self) -> dict[str, tuple[pd.DataFrame, Development]]:
        """By name, the model's and every baseline's rows with the exams from which their risk follows."""
        models = {MODEL: (self.analysed, Development.of(self.analysed, self.validation))}
        if self.baselines is not None:
            plain = self.analysed.drop(columns=["estimate", "fold"])
            for name, rows in self.baselines.groupby("baseline", sort=False):
                table = plain.merge(rows[["exam", "fold", "estimate"]].dropna(subset="estimate"), on="exam")
                models[str(name)] = (table, Development.of(table, None))
        return models


def tables_of(study: Study, settings: EvaluateConfig, target: TargetConfig) -> Tables:
    """Every table by its name, see the data contract."""
    analysed, partitions, levels = study.analysed, study.partitions, target.thresholds
    question = Question(Terms.of(settings, target), settings.resamples, settings.seed)
    draws = (settings.resamples, settings.seed)
    models = study.models()
    cutpoints = cutpoints_of(analysed, models[MODEL][1], levels)
    groups = groups_by_partition(analysed, partitions)
    performance = performance_of(groups, cutpoints, question)
    metrics = metrics_of(performance)
    return {
        "metrics": metrics,
        "thresholds": thresholds_of(performance, groups, cutpoints, levels),
        "cutpoints": cutpoints,
        "bland_altman": bland_altman_of(performance, groups),
        "residuals": residuals_of(analysed, partitions, target.unit, target.margin),
        "subgroups": subgroups_of(analysed, metrics, partitions, settings.crossed, *draws),
        "contrasts": contrasts_between(groups, question),
        "comparisons": comparisons_of(analysed, partitions, study.baselines, question),
        "coverage": coverage_of(analysed, metrics, partitions, target.bands, *draws),
        "calibration": calibration_of(analysed, partitions, *draws),
        "roc": roc_of(analysed, partitions, levels),
        "decision": decision_of(models, partitions, levels, target.transform, *draws),
    }


def summary_of(study: Study, tables: Tables, gaps: list[str], settings: EvaluateConfig, target: TargetConfig) -> Any:
    """The headline figures and every gap, as plain values; a number that is not defined is null.

    Args:
        study: what the tables are made of.
        tables: of :func:`tables_of`.
        gaps: what is missing from the study as a whole.
        settings: how the tables were made.
        target: what is estimated.
    """
    return {
        "target": {"name": target.name, "unit": target.unit, "margin": target.margin},
        "settings": settings.model_dump(),
        "partitions": {name: _headlines(study, tables, name) for name in study.partitions},
        "gaps": [*gaps, *_gaps(tables)],
    }


def _headlines(study: Study, tables: Tables, partition: str) -> dict[str, Any]:
    rows = study.analysed[study.analysed.partition == partition]
    metrics = tables["metrics"]
    metrics = metrics[(metrics.partition == partition) & (metrics.group == "all")].set_index("metric")
    residuals = tables["residuals"]
    residuals = residuals[(residuals.partition == partition) & residuals.verdict.notna()]
    named = residuals.covariate.where(residuals.level == "", residuals.covariate + "=" + residuals.level)
    figures = {name: _plain(metrics.loc[name, ["value", "low", "high"]].to_dict()) for name in HEADLINES}
    return {
        **{"exams": len(rows), "patients": int(rows.patient.nunique())},
        **figures,
        "residuals": dict(zip(named, residuals.verdict, strict=True)),
    }


def _gaps(tables: Tables) -> list[str]:
    """Why a figure of a whole partition is missing, once each."""
    told: dict[str, None] = {}
    for name, key in (("metrics", "metric"), ("thresholds", "metric"), ("residuals", "covariate")):
        table = tables[name]
        whole = table[(table.group == "all") if "group" in table else slice(None)]
        whole = whole[whole.method == BOOTSTRAP] if "method" in whole else whole
        missing = whole[whole.value.isna() & (whole.note.fillna("") != "")]
        if "threshold" in missing:
            key_text = missing[key] + " at " + missing.threshold.map("{:g}".format)
        else:
            key_text = missing[key]
        told |= dict.fromkeys(missing.partition + ": " + key_text + ": " + missing.note)
    return list(told)


def _plain(values: dict[Any, Any]) -> dict[str, float | None]:
    return {
        str(name): float(value) if pd.notna(value) and np.isfinite(value) else None for name, value in values.items()
    }


def write(tables: Tables, paths: dict[str, Path], summary: Any, summary_path: Path) -> None:
    """Write every table to its path, and the summary."""
    for name, path in paths.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        tables[name].to_csv(path, index=False)
    summary_path.parent.mkdir(parents=True, exist_ok=True)
    summary_path.write_text(json.dumps(summary, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def headlines(folder: Path) -> list[tuple[str, ...]]:
    """The headlines of a written folder as text: partition, exams, patients, figure, value, interval."""
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    lines: list[tuple[str, ...]] = []
    for partition, found in summary["partitions"].items():
        for name in HEADLINES:
            value, low, high = (found[name][end] for end in ("value", "low", "high"))
            shown = "-" if value is None else f"{value:.3f}"
            ends = "-" if low is None else f"{low:.3f} to {high:.3f}"
            lines.append((partition, f"{found['exams']}", f"{found['patients']}", name, shown, ends))
    return lines
