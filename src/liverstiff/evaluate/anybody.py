"""The same statistics for anybody's table of estimates and references."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from liverstiff.config import EvaluateConfig, TargetConfig
from liverstiff.errors import DataError
from liverstiff.evaluate.accounting import flow_of
from liverstiff.evaluate.reading import COVARIATES, shaped
from liverstiff.evaluate.study import MODEL, Study, summary_of, tables_of, write
from liverstiff.evaluate.table1 import table1_of
from liverstiff.records import Reason

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
) -> dict[str, Path]:
    """Write the statistics of a table into a folder: the CSVs of the stage, ``summary.json``.

    Args:
        predictions: CSV with a row per exam.
        out: folder to write to.
        columns: which column holds what.
        settings: resamples, seed, noise of the reference.
        target: name, unit, thresholds, bands, margin.

    Returns:
        By name, the CSVs.

    Raises:
        DataError: no row, a column is missing or holds text where numbers belong, or an exam occurs twice.
    """
    site = columns.covariates.get("site", "")
    names = (columns.exam, columns.patient, columns.partition, columns.fold, site)
    table = pd.read_csv(predictions, float_precision="round_trip", dtype=dict.fromkeys(filter(None, names), str))
    rows = _shaped(table, columns)
    partitions = list(rows.partition.dropna().unique())
    if not partitions:
        raise DataError("predictions: no row, or none with a partition; expected a row per exam; fill the column in")
    used = np.isfinite(rows.estimate) & np.isfinite(rows.reference) & rows.partition.notna()
    usable = rows[used]
    gaps = _gaps(rows, usable, columns)
    alone = usable.patient.fillna(usable.row)
    analysed = shaped(usable.assign(patient=alone).reset_index(drop=True))
    study = Study(analysed, partitions, None, _second(usable, columns.second))
    found = tables_of(study, settings, target)
    found |= {"analysed": analysed, "table1": table1_of(analysed, analysed.drop(columns="partition"), partitions)}
    found["flow"] = flow_of(_fates(rows, used), partitions)
    paths = {name: out / f"{name}.csv" for name in found}
    write(found, paths, summary_of(study, found, gaps, settings, target), out / "summary.json")
    return paths


def _shaped(table: pd.DataFrame, columns: Columns) -> pd.DataFrame:
    """The table with our names of its columns, and ``row``, a name for each of its rows; what is missing stays so."""
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
    rows["row"] = pd.Series(rows.index + 1, rows.index).map("row-{:07d}".format)
    rows["exam"] = rows.exam.fillna(rows.row) if "exam" in rows else rows.row
    if rows.exam.duplicated().any():
        raise DataError(f"predictions: {rows.exam.duplicated().sum()} rows name an exam again; expected a row per exam")
    absent: dict[str, Any] = {"patient": rows.exam, "partition": ALL, "fold": "", "site": None}
    return rows.assign(**{name: value for name, value in absent.items() if name not in rows})


def _fates(rows: pd.DataFrame, used: pd.Series) -> pd.DataFrame:
    """What became of every row: analysed in its partition, or excluded because a value is missing."""
    why = {"step": "excluded", "stage": "evaluate", "reason": str(Reason.MISSING_VALUE), "partition": ""}
    fates = rows[["exam", "partition"]].assign(
        patient=rows.patient.fillna(rows.row), step="analysed", stage="", reason=""
    )
    return fates.assign(**{name: fates[name].where(used, value) for name, value in why.items()})


def _gaps(rows: pd.DataFrame, usable: pd.DataFrame, columns: Columns) -> list[str]:
    """What is missing from the table as a whole."""
    measured = np.isfinite(rows.estimate) & np.isfinite(rows.reference)
    counted = {
        "rows without an estimate or a reference, left out": (~measured).sum(),
        "rows without a partition, left out": (measured & rows.partition.isna()).sum(),
        "rows without a patient, each a patient of its own": usable.patient.isna().sum(),
        "rows without a site, in no group of a site": usable.site.isna().sum() if "site" in columns.covariates else 0,
    }
    gaps = [f"{what}: {number}" for what, number in counted.items() if number]
    gaps += [] if columns.patient else ["no column of the patient: every row counts as a patient of its own"]
    return gaps + ([] if columns.second else ["no second model, so there are no comparisons"])


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
    if name == MODEL:
        raise DataError(f"predictions: the second model's column is called {MODEL}, as what is evaluated; rename it")
    table = rows[["exam", "partition", "fold"]].assign(baseline=name, estimate=rows.second)
    return table.dropna(subset="estimate")
