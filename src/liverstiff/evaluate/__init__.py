"""Compare held-out estimates with the elastogram: every exam accounted for, every estimate with its interval."""

from __future__ import annotations

from pathlib import Path

from liverstiff.config import EvaluateConfig, TargetConfig
from liverstiff.evaluate.accounting import fates_of, flow_of, read_predictions
from liverstiff.evaluate.tables import analysed_of, metrics_of, residuals_of, table1_of
from liverstiff.records import read_table

__all__ = ["evaluate_study"]


def evaluate_study(
    *,
    predictions: dict[str, Path],
    cohort: Path,
    exclusions: Path,
    splits: Path,
    exams: Path,
    flow: Path,
    analysed: Path,
    metrics: Path,
    residuals: Path,
    table1: Path,
    settings: EvaluateConfig,
    target: TargetConfig,
) -> None:
    """Write the study's numbers, unrounded; a number that is not defined is empty and its ``note`` says why.

    Args:
        predictions: by partition, the table of its estimates (``exam, fold, estimate, low, high``).
        cohort: one row per analysable exam, with ``reference`` and the record.
        exclusions: exams excluded from the catalogue to the cohort, with stage and reason.
        splits: ``exam, partition, fold, reason``.
        exams: every catalogued exam.
        flow: output, ``step, stage, reason, partition, exams, patients``.
        analysed: output, a row per exam with estimate, reference, residual (estimate - reference), covariates.
        metrics: output, ``partition, group, metric, value, low, high, n, patients, note``; 95 % intervals.
        residuals: output, how the residual depends on age, sex and BMI, by partition.
        table1: output, the description of each partition, one row per variable and level.
        settings: resamples, seed.
        target: unit, thresholds.

    Raises:
        DataError: an exam has no fate or two, or an estimate or its reference is missing.
    """
    catalogued, records, estimates = read_table(exams), read_table(cohort), read_predictions(predictions)
    fates = fates_of(catalogued, read_table(exclusions), read_table(splits), estimates)
    rows = analysed_of(estimates, records)
    partitions = list(predictions)
    for path, table in (
        (flow, flow_of(fates, partitions)),
        (analysed, rows),
        (metrics, metrics_of(rows, partitions, settings, target)),
        (residuals, residuals_of(rows, partitions, target.unit)),
        (table1, table1_of(rows, records, partitions)),
    ):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        table.to_csv(path, index=False)
