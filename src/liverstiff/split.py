"""Stage ``split``: folds by patient, a temporal test, an external test.

The folds come from a ledger that is kept outside the results: a patient that once got a fold keeps it, so adding
exams never moves an earlier patient. A new patient goes to the fold with the fewest exams of its stratum (site and
band of the target).
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

from liverstiff.config import SplitConfig, TargetConfig
from liverstiff.errors import DataError
from liverstiff.records import PARTITIONS, Reason, read_table

DEVELOPMENT, TEMPORAL, EXTERNAL = PARTITIONS
COLUMNS = ["exam", "patient", "partition", "fold", "reason"]
LEDGER = ["patient", "fold", "stratum"]


def split_cohort(*, cohort: Path, ledger: Path, splits: Path, settings: SplitConfig, target: TargetConfig) -> None:
    """Give every exam of the cohort its partition and, in cross-validation, its fold.

    Args:
        cohort: table with ``exam, patient, site, role, day, reference``.
        ledger: private table ``patient, fold, stratum``; read, extended by the new development patients, never
            shortened.
        splits: output: ``exam, patient, partition, fold, reason``, in the order of the cohort.
        settings: section ``split`` of the configuration.
        target: section ``target``.

    Raises:
        DataError: fewer development patients than folds; a ledger of another number of folds; a patient on both sides.
    """
    table = read_table(cohort)
    table = table.assign(partition=partitions(table))
    development = table[table.partition == DEVELOPMENT]
    old = _read_ledger(ledger, settings.folds)
    if development.patient.nunique() < settings.folds:
        raise DataError(
            f"{development.patient.nunique()} development patients for {settings.folds} folds; "
            "see exclusions.csv of the stage cohort, lower split.folds, or move data.temporal_cut"
        )
    rows = assign_folds(_patients(development, target.bands), old, settings.folds)
    if len(rows) > len(old):
        _write_ledger(rows, ledger)
    fold = table.patient.map(rows.set_index("patient").fold).where(table.partition == DEVELOPMENT)
    reason = np.where(table.partition == "excluded", str(Reason.PATIENT_IN_DEVELOPMENT), "")
    splits.parent.mkdir(parents=True, exist_ok=True)
    table.assign(fold=fold.astype("Int64"), reason=reason)[COLUMNS].to_csv(splits, index=False)


def partitions(table: pd.DataFrame) -> pd.Series:
    """Partition of every exam; a patient is never on both sides of anything.

    External sites are external. A patient first seen before day 0 belongs to development, and that patient's exams from
    day 0 on are ``excluded``; a patient first seen on day 0 or later is the temporal test.

    Args:
        table: ``patient, role, day``.

    Raises:
        DataError: for a patient at a development and an external site.
    """
    external = table.role == "external"
    both = sorted(set(table.patient[external]) & set(table.patient[~external]))
    if both:
        raise DataError(
            f"patient {both[0]} is at a development site and at an external one; take it out of one of them"
        )
    first_day = table.groupby("patient").day.transform("min")
    late = table.day >= 0
    choices = [external, late & (first_day < 0), late]
    return pd.Series(np.select(choices, [EXTERNAL, "excluded", TEMPORAL], DEVELOPMENT), index=table.index)


def stratum(site: str, reference: float, bands: tuple[float, ...]) -> str:
    """Site and band of stiffness, e.g. ``alba 2.5-3``; a band starts at its lower edge."""
    edges = ["0", *(f"{edge:g}" for edge in bands), "inf"]
    band = int(np.searchsorted(bands, reference, side="right"))
    return f"{site} {edges[band]}-{edges[band + 1]}"


def _patients(development: pd.DataFrame, bands: tuple[float, ...]) -> pd.DataFrame:
    """Development patients in the order of their pseudonyms: number of exams, stratum of the first exam."""
    ordered = development.sort_values(["patient", "day", "exam"])
    patients = ordered.groupby("patient", as_index=False).agg(
        exams=("exam", "size"), site=("site", "first"), reference=("reference", "first")
    )
    values = zip(patients.site, patients.reference, strict=True)
    return patients.assign(stratum=[stratum(site, reference, bands) for site, reference in values])


def assign_folds(patients: pd.DataFrame, ledger: pd.DataFrame, folds: int) -> pd.DataFrame:
    """The ledger with a row for every new patient; rows that are there stay as they are.

    New patients, in the order of their pseudonyms (keyed hashes, so at random), go to the fold with the fewest
    exams of their stratum, then the fewest exams in all, then by a hash.

    Args:
        patients: ``patient, exams, stratum`` of the development patients.
        ledger: ``patient, fold, stratum``.
        folds: their number.
    """
    exams = dict(zip(patients.patient, patients.exams, strict=True))
    in_stratum: Counter[tuple[str, int]] = Counter()
    in_all: Counter[int] = Counter()
    for patient, fold, name in ledger[LEDGER].itertuples(index=False):
        in_stratum[name, fold] += exams.get(patient, 0)
        in_all[fold] += exams.get(patient, 0)
    rows = []
    new = patients[~patients.patient.isin(ledger.patient)].sort_values("patient")
    for patient, name in new[["patient", "stratum"]].itertuples(index=False):
        fold = min(range(folds), key=lambda k: (in_stratum[name, k], in_all[k], _hash(patient, k)))
        in_stratum[name, fold] += exams[patient]
        in_all[fold] += exams[patient]
        rows.append((patient, fold, name))
    return pd.DataFrame([*ledger[LEDGER].itertuples(index=False), *rows], columns=LEDGER)


def _hash(patient: str, fold: int) -> str:
    return hashlib.sha256(f"{patient}|{fold}".encode()).hexdigest()


def _read_ledger(path: Path, folds: int) -> pd.DataFrame:
    """The ledger so far; empty when there is none."""
    if not path.exists():
        return pd.DataFrame({"patient": [], "fold": [], "stratum": []}).astype({"fold": int, "patient": str})
    ledger = pd.read_csv(path, dtype={"patient": str, "stratum": str})
    if list(ledger) != LEDGER or ledger.patient.duplicated().any():
        raise DataError(f"the ledger of folds {path.name} is damaged; expected {', '.join(LEDGER)}, one row a patient")
    found = set(ledger.fold)
    if len(ledger) and found != set(range(folds)):
        raise DataError(
            f"the ledger of folds {path.name} has {len(found)} folds, split.folds is {folds}; "
            "set split.folds back, or move the ledger away to start new folds"
        )
    return ledger


def _write_ledger(ledger: pd.DataFrame, path: Path) -> None:
    """Write the ledger in one step: it must never be lost half way."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("w") as file:
        ledger.to_csv(file, index=False)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
