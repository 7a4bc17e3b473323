"""Tables read and brought into one shape: estimates, baselines, validation, and the exams they are compared in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from liverstiff.errors import DataError
from liverstiff.evaluate.table1 import yes_or_no

NUMBERS = ("estimate", "low", "high")
ESTIMATES = ("exam", "fold", *NUMBERS)
COVARIATES = ("age", "sex", "bmi", "steatosis", "vendor", "field_t", "mre_type", "reference_source", "sequences")

ANALYSED = (
    *("exam", "patient", "site", "partition", "fold", "reference", "estimate", "low", "high", "residual"),
    *COVARIATES,
)


def read_predictions(predictions: dict[str, Path]) -> pd.DataFrame:
    """The estimates of all partitions in one table, with the column ``partition``; an estimate may be missing."""
    tables = [_read(path, ESTIMATES).assign(partition=name) for name, path in predictions.items()]
    return pd.concat(tables, ignore_index=True)


def read_baselines(path: Path | None) -> pd.DataFrame | None:
    """``baseline, exam, partition, fold, estimate``, or None without a table or a row."""
    table = _read(path, ("baseline", "exam", "partition", "fold", "estimate")) if path else pd.DataFrame()
    return None if table.empty else table


def read_validation(paths: list[Path]) -> pd.DataFrame | None:
    """``exam, fold, estimate`` of the folds' inner validation exams by their own models, or None without a row."""
    tables = [_read(path, ("exam", "fold", "estimate")).dropna(subset="estimate") for path in paths]
    table = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
    return None if table.empty else table


def _read(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    table = pd.read_csv(path, dtype={"exam": str, "fold": str, "baseline": str, "partition": str})
    lost = [name for name in columns if name not in table]
    if lost:
        raise DataError(f"{path.name}: no column {', '.join(lost)}; expected {', '.join(columns)}; make it again")
    kept = [*columns, *(["sequences"] if "sequences" in table and "low" in columns else [])]
    table = table[kept]
    return table.astype({name: float for name in NUMBERS if name in table})


def without_estimate(estimates: pd.DataFrame) -> pd.Series:
    """True where an estimate is missing or not finite."""
    return ~estimates.estimate.astype(float).abs().lt(np.inf)


def analysed_of(estimates: pd.DataFrame, cohort: pd.DataFrame) -> pd.DataFrame:
    """One row per estimate with its reference, residual (estimate - reference) and covariates.

    Raises:
        DataError: an estimate has no reference.
    """
    own = [name for name in ("exam", "partition", *ESTIMATES[1:], "sequences") if name in estimates]
    table = estimates[own].merge(
        cohort.drop(columns=["low", "high", "sequences"], errors="ignore"), on="exam", how="left", validate="one_to_one"
    )
    lost = table.exam[table.reference.isna()]
    if len(lost):
        raise DataError(f"predictions: {len(lost)} exams without reference in the cohort, first {lost.iloc[0]}")
    return shaped(table)


def shaped(table: pd.DataFrame) -> pd.DataFrame:
    """The columns of ``analysed.csv`` in order, with the residual; a covariate that is not there is empty."""
    table = table.assign(residual=table.estimate - table.reference)
    table["steatosis"] = yes_or_no(table["steatosis"]) if "steatosis" in table else ""
    return table.reindex(columns=list(ANALYSED))
