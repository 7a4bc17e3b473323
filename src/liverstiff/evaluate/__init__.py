"""Compare held-out estimates with the reference: every exam accounted for, every figure with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from liverstiff.config import EvaluateConfig, TargetConfig
from liverstiff.evaluate.accounting import fates_of, flow_of
from liverstiff.evaluate.anybody import Columns, evaluate_predictions
from liverstiff.evaluate.reading import analysed_of, read_baselines, read_predictions, read_validation, without_estimate
from liverstiff.evaluate.study import Study, headlines, summary_of, tables_of, write
from liverstiff.evaluate.table1 import table1_of
from liverstiff.records import read_table

__all__ = ["Columns", "evaluate_predictions", "evaluate_study", "headlines"]


def evaluate_study(
    *,
    predictions: dict[str, Path],
    cohort: Path,
    exclusions: Path,
    splits: Path,
    exams: Path,
    tables: dict[str, Path],
    summary: Path,
    settings: EvaluateConfig,
    target: TargetConfig,
    baselines: Path | None = None,
    validation: Sequence[Path] = (),
) -> None:
    """Write the study's numbers, unrounded; a number that is not defined is empty and its ``note`` says why.

    Args:
        predictions: by partition, the table of its estimates (``exam, fold, estimate, low, high``).
        cohort: one row per analysable exam, with ``reference`` and the record.
        exclusions: exams excluded from the catalogue to the cohort, with stage and reason.
        splits: ``exam, partition, fold, reason``.
        exams: every catalogued exam.
        tables: output by name: ``flow``, ``analysed``, ``table1`` and those of ``study.tables_of``.
        summary: output, JSON: headline figures and gaps.
        settings: resamples, seed, noise of the reference.
        target: unit, thresholds, bands, margin.
        baselines: ``baseline, exam, partition, fold, estimate``; None is a stated gap.
        validation: per fold, ``exam, fold, estimate`` of its inner validation exams by its own model; without them
            cut-points come from out-of-fold estimates.

    Raises:
        DataError: an exam has no fate or two, or an estimate has no reference.
    """
    catalogued, records, estimates = read_table(exams), read_table(cohort), read_predictions(predictions)
    fates = fates_of(catalogued, read_table(exclusions), read_table(splits), estimates)
    lost = without_estimate(estimates)
    rows, partitions = analysed_of(estimates[~lost], records), list(predictions)
    study = Study(rows, partitions, read_validation(list(validation)), read_baselines(baselines))
    gaps = [f"{lost.sum()} exams have no estimate and are excluded"] if lost.any() else []
    gaps += ["no baselines were handed over, so there are no comparisons"] if study.baselines is None else []
    gaps += ["no validation estimates were handed over"] if study.validation is None else []
    found = tables_of(study, settings, target)
    found |= {"flow": flow_of(fates, partitions), "analysed": rows, "table1": table1_of(rows, records, partitions)}
    write(found, tables, summary_of(study, found, gaps, settings, target), summary)
