"""The same statistics for anybody's table of estimates and references."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from liverstiff.config import EvaluateConfig, TargetConfig
from liverstiff.errors import DataError
from liverstiff.evaluate.reading import COVARIATES, shaped
from liverstiff.evaluate.study import Study, summary_of, tables_of, write
from liverstiff.evaluate.table1 import table1_of

REQUIRED = ("estimate", "reference")
OPTIONAL = ("patient", "exam", "partition", "fold", "low", "high")

ALL = "all"
"""Name of the partition of a table without partitions."""


@dataclass(frozen=True)
class Columns:
    """Which column of the table holds what; empty where there is none."""

    estimate: str = "estimate"
    reference: str = "reference"
    patient: str = ""
    """Without it every row is a patient of its own."""
    exam: str = ""
    partition: str = ""
    """``cross-validation`` in it stands for development exams, from whose out-of-fold estimates cut-points follow."""
    fold: str = ""
    low: str = ""
    high: str = ""
    second: str = ""
    """Estimates of a second model, to compare."""
    covariates: dict[str, str] = field(default_factory=dict)
    """By covariate (``age, sex, bmi, steatosis, vendor, site, field_t, mre_type``), its column."""

    @classmethod
    def found_in(cls, predictions: Path, **named: str) -> Columns:
        """The columns of a table: those named, else one of the very name that is expected, where there is one."""
        header = {str(name) for name in pd.read_csv(predictions, nrows=0).columns}
        known = {name: name for name in (*OPTIONAL, "site", *COVARIATES) if name in header} | named
        own = {name: known.pop(name) for name in (*REQUIRED, *OPTIONAL, "second") if name in known}
        return cls(**own, covariates=known)


def evaluate_predictions(
    predictions: Path, out: Path, columns: Columns, settings: EvaluateConfig, target: TargetConfig
) -> Path:
    """Write the statistics of a table into a folder: the CSVs of the stage, ``summary.json``; returns the folder.

    Args:
        predictions: CSV with a row per exam.
        out: folder to write to.
        columns: which column holds what.
        settings: resamples, seed, noise of the reference.
        target: name, unit, thresholds, bands, margin.

    Raises:
        DataError: a column is missing, holds text where numbers belong, or an exam occurs twice.
    """
    table = pd.read_csv(predictions, float_precision="round_trip")
    rows = _shaped(table, columns)
    usable = np.isfinite(rows.estimate) & np.isfinite(rows.reference)
    lost = int((~usable).sum())
    analysed = shaped(rows[usable].reset_index(drop=True))
    baselines = _second(rows[usable], columns.second)
    study = Study(analysed, list(rows.partition.drop_duplicates()), None, baselines)
    gaps = [f"{lost} rows have no estimate or no reference and are left out"] if lost else []
    gaps += [] if columns.patient else ["no column of the patient: every row counts as a patient of its own"]
    gaps += [] if columns.second else ["no second model, so there are no comparisons"]
    found = tables_of(study, settings, target)
    found |= {"analysed": analysed, "table1": table1_of(analysed, analysed.drop(columns="partition"), study.partitions)}
    summary = summary_of(study, found, gaps, settings, target)
    write(found, {name: out / f"{name}.csv" for name in found}, summary, out / "summary.json")
    return out


def _shaped(table: pd.DataFrame, columns: Columns) -> pd.DataFrame:
    """The table with our names of its columns."""
    named = {name: getattr(columns, name) for name in ("estimate", "reference", "patient", "exam", "partition", "fold")}
    named |= {"low": columns.low, "high": columns.high, "second": columns.second, **columns.covariates}
    wanted = {name: column for name, column in named.items() if column}
    strange = sorted(set(columns.covariates) - {*COVARIATES, "site"})
    if strange:
        raise DataError(f"covariate {', '.join(strange)}; expected one of {', '.join(('site', *COVARIATES))}")
    lost = [column for column in wanted.values() if column not in table]
    if lost:
        raise DataError(f"predictions: no column {', '.join(lost)}; it has {', '.join(map(str, table.columns))}")
    rows = pd.DataFrame({name: table[column] for name, column in wanted.items()})
    for name in ("estimate", "reference", "low", "high", "second", "age", "bmi"):
        rows[name] = _number(rows, name, named.get(name, ""))
    number = pd.Series(rows.index + 1, rows.index).map("row-{:07d}".format)
    rows["exam"] = rows.exam.astype(str) if "exam" in rows else number
    if rows.exam.duplicated().any():
        raise DataError(f"predictions: {rows.exam.duplicated().sum()} rows name an exam again; expected a row per exam")
    rows["patient"] = rows.patient.astype(str) if "patient" in rows else rows.exam
    rows["partition"] = rows.partition.astype(str) if "partition" in rows else ALL
    rows["fold"] = rows.fold.astype(str) if "fold" in rows else ""
    return rows.assign(site=rows.site.astype(str) if "site" in rows else None)


def _number(rows: pd.DataFrame, name: str, column: str) -> pd.Series:
    if name not in rows:
        return pd.Series(np.nan, rows.index)
    numbers = pd.to_numeric(rows[name], errors="coerce")
    if (numbers.isna() & rows[name].notna()).any():
        raise DataError(f"predictions: column {column} holds text; expected numbers, with empty for missing")
    return numbers.astype(float)


def _second(rows: pd.DataFrame, name: str) -> pd.DataFrame | None:
    if not name:
        return None
    table = rows[["exam", "partition", "fold"]].assign(baseline=name, estimate=rows.second)
    return table.dropna(subset="estimate")
