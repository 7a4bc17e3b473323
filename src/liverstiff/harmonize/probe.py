"""The vendor probe: can the scanner's vendor be told from the intensities, before and after harmonisation?

A description of the images, never a part of the model: nothing that is fitted here reaches another stage. Held-out
exams may therefore be among those it describes. What it names right above chance after harmonisation is a short cut
that a network could take from the site to the stiffness; true differences between 1.5 and 3 T are part of that.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from liverstiff.errors import DataError
from liverstiff.records import read_table

FEATURES = {
    "before": r"(t1w|t2w|dwi)_before_(p\d+|snr)",
    "after": r"(t1w|t2w|dwi)_after_(p\d+|snr)",
    "adc": r"adc_after_p\d+",
    "all": r"(t1w|t2w|dwi)_after_(p\d+|snr)|adc_after_p\d+",
}
"""Names of the features of each row: the same of the same images before and after.

ADC is a physical quantity: harmonisation has no scale to put right in it and must not even out what is true of it. So
it is no part of what ``before`` and ``after`` compare. The network sees it, though: what it tells alone, and together
with the others, has rows of its own. ``adc_before_p..`` in ``measures.csv``, of the lowest and highest b-value without
weights or noise floor, is for ``bench/harmonize.py``.
"""

LEAST_EXAMS = 20
"""Fewer exams say nothing."""

LEAST_PATIENTS = 5
"""Of a vendor; the exams of a vendor with fewer are left out, as not every fold could hold one."""

FOLDS = 5

COLUMNS = ("when", "exams", "patients", "vendors", "accuracy", "chance", "excess", "excess_ratio", "note")


def probe_vendor(*, harmonized: Sequence[Path], exams: Path, probe: Path, confusion: Path) -> None:
    """Write how well the vendor is told from the intensity features of each exam.

    Args:
        harmonized: shard folders of the stage ``harmonize``.
        exams: ``exams.csv`` of the catalog, with ``vendor``.
        probe: CSV to write, a row for each of :data:`FEATURES` (the last two only with diffusion): ``when, exams,
            patients, vendors, accuracy, chance, excess, excess_ratio, note``. ``chance`` is the share of the most
            frequent vendor, ``excess`` is accuracy less chance, ``excess_ratio`` that of after over before; where they
            are empty, ``note`` says why.
        confusion: CSV to write: ``when, vendor, named, exams``.
    """
    table = _features(harmonized, read_table(exams))
    result, named = evaluate_probe(table)
    for path, written in ((probe, result), (confusion, named)):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        written.to_csv(path, index=False, float_format="%.6g")


def _features(harmonized: Sequence[Path], exams: pd.DataFrame) -> pd.DataFrame:
    """A row per exam: ``exam, patient, vendor`` and its intensity features, by exam."""
    tables = [read_table(Path(folder) / "measures.csv") for folder in harmonized]
    filled = [table for table in tables if len(table)] or tables[:1]
    measures = pd.concat(filled) if filled else pd.DataFrame({"exam": pd.Series(dtype=str)})
    if not {"exam", "vendor", "patient"} <= set(exams):
        raise DataError("exams.csv: expected the columns exam, patient, vendor; run the catalog again")
    known = exams[["exam", "patient", "vendor"]].drop_duplicates("exam")
    return measures.merge(known, on="exam").sort_values("exam", ignore_index=True)


def evaluate_probe(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The two tables of :func:`probe_vendor` from ``exam, patient, vendor`` and the features of each exam."""
    table = table[table.vendor.notna()]
    patients = table.groupby("vendor").patient.nunique()
    table = table[table.vendor.isin(patients.index[patients >= LEAST_PATIENTS])].reset_index(drop=True)
    note = too_little(table)
    rows, confusions = [], []
    for when in FEATURES:
        features = feature_columns(table, when)
        if when in ("adc", "all") and not feature_columns(table, "adc"):
            continue  # no exam has diffusion
        row = {"when": when, "exams": len(table), "patients": table.patient.nunique()}
        row |= {"vendors": table.vendor.nunique(), "note": note}
        if not note:
            named = name_vendors(table, features)
            right, chance = (
                float((named == table.vendor).mean()),
                float(table.vendor.value_counts(normalize=True).max()),
            )
            row |= {"accuracy": right, "chance": chance, "excess": right - chance}
            pairs = pd.DataFrame({"when": when, "vendor": table.vendor, "named": named})
            confusions.append(pairs.groupby(["when", "vendor", "named"]).size().reset_index(name="exams"))
        rows.append(row)
    result = pd.DataFrame(rows).reindex(columns=list(COLUMNS))
    if not note and result.excess[0] > 0:
        result.loc[1, "excess_ratio"] = result.excess[1] / result.excess[0]
    empty = pd.DataFrame(columns=["when", "vendor", "named", "exams"])
    return result, pd.concat(confusions, ignore_index=True) if confusions else empty


def too_little(table: pd.DataFrame) -> str:
    """Why nothing can be said; empty if something can."""
    if table.vendor.nunique() < 2:
        return f"fewer than two vendors with {LEAST_PATIENTS} patients or more"
    if len(table) < LEAST_EXAMS:
        return f"only {len(table)} exams; {LEAST_EXAMS} are needed"
    return ""


def feature_columns(table: pd.DataFrame, when: str) -> list[str]:
    """Names of the intensity features of one row, e.g. ``t1w_before_p10``."""
    return sorted(name for name in table.columns if re.fullmatch(FEATURES[when], name))


def name_vendors(table: pd.DataFrame, features: list[str]) -> np.ndarray:
    """The vendor named for each exam (n,) by a model of the other folds; a patient is in one fold only.

    Logistic regression after the median for what is missing and standardisation, both inside the fold.
    """
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(
        SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler(), LogisticRegression(max_iter=5000)
    )
    folds = StratifiedGroupKFold(FOLDS)
    values = table[features].to_numpy(dtype=float)
    return cross_val_predict(model, values, table.vendor.to_numpy(dtype=str), groups=table.patient, cv=folds)
