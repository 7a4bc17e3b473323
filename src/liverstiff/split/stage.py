"""What the stage reads and writes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd

from liverstiff.config import SplitConfig, TargetConfig
from liverstiff.errors import DataError
from liverstiff.records import Reason, read_table
from liverstiff.split.folds import Strata, as_in_ledger, assign_folds, development_patients, leave_out, merged_strata
from liverstiff.split.ledger import Ledger, Plan, extend_ledger
from liverstiff.split.partition import DEVELOPMENT, EXCLUDED, partitions

COLUMNS = ["exam", "patient", "partition", "fold", "reason"]
HOMES = {"kfold": None, "leave-one-site-out": "site", "leave-one-vendor-out": "vendor"}
"""Column of the cohort that names the fold of a scheme."""
UNKNOWN = "unknown"
"""Name of a vendor that no header tells."""


def split_cohort(
    *,
    cohort: Path,
    aliases: Path,
    ledger: Path,
    splits: Path,
    strata: Path,
    used: Path,
    folds: list[str],
    settings: SplitConfig,
    target: TargetConfig,
) -> None:
    """Give every exam of the cohort its partition and, in cross-validation, its fold.

    Of the values of the cohort only the reference of development exams is read.

    Args:
        cohort: table with ``exam, patient, site, vendor, role, day, reference``.
        aliases: table with ``patient, alias``: other pseudonyms under which the ledger may know a patient.
        ledger: private table of the folds given out; extended by the new development patients, never shortened.
        splits: output: ``exam, patient, partition, fold, reason``, in the order of the cohort.
        strata: output: ``fold, name, site, band, merged_into, patients, exams`` of the development.
        used: output: JSON of what the folds stand on: scheme, names of the folds, edges of the bands, and number
            and SHA-256 of the ledger's rows up to the last one used.
        folds: names of the folds, see :meth:`SplitConfig.fold_names`.
        settings: section ``split`` of the configuration.
        target: section ``target``.

    Raises:
        ConfigError: the ledger cannot be written.
        DataError: a cohort without exams; fewer development patients than folds; a fold without exams; an exam of no
            fold; a ledger that is damaged or was made for other folds.
    """
    table, same = read_table(cohort), pd.read_csv(aliases, dtype=str)
    if table.empty:
        raise DataError("no exam is analysable; exclusions.csv of the stage cohort says why of every one")
    table = table.join(partitions(table)).assign(home=_homes(table, settings.scheme))
    kfold = settings.scheme == "kfold"

    def known(so_far: Ledger) -> pd.DataFrame:
        return table.assign(patient=so_far.known_as(table.patient, same))

    def patients_of(so_far: Ledger) -> pd.DataFrame:
        exams = known(so_far)
        return development_patients(exams[exams.partition == DEVELOPMENT], target.bands)

    def strata_of(so_far: Ledger) -> Strata:
        return merged_strata(as_in_ledger(patients_of(so_far), so_far), target.bands, len(folds)) if kfold else {}

    def extend(so_far: Ledger) -> Ledger:
        patients = patients_of(so_far)
        new = assign_folds(patients, so_far, strata_of(so_far)) if kfold else leave_out(patients, so_far)
        extended = so_far.extended(new)
        _check_filled(with_folds(known(extended), extended, settings.scheme), extended)
        print(f"{len(new)} patients are new to the ledger, which had {len(so_far.rows)}")
        return extended

    plan = Plan(settings.scheme, tuple(folds), target.bands)
    _check_enough(patients_of(Ledger.empty(plan.folds)), folds, settings.scheme)
    found = extend_ledger(ledger, plan, lambda so_far: patients_of(so_far).patient, extend)
    placed = with_folds(known(found), found, settings.scheme)
    _check_filled(placed, found)
    counted = count_strata(placed, found, strata_of(found))
    _tell(counted, len(folds))
    _tell_joined(found, placed.patient, same)
    rows, digest = found.used_by(patients_of(found).patient)
    stands_on = {"scheme": settings.scheme, "folds": found.folds, "bands": target.bands, "rows": rows, "sha256": digest}
    for path in (splits, strata, used):
        path.parent.mkdir(parents=True, exist_ok=True)
    placed.assign(patient=table.patient)[COLUMNS].to_csv(splits, index=False)
    counted.to_csv(strata, index=False)
    used.write_text(json.dumps(stands_on, indent=2) + "\n")


def with_folds(table: pd.DataFrame, ledger: Ledger, scheme: str) -> pd.DataFrame:
    """The table with ``fold``; where a site or vendor is left out, a patient's exams elsewhere become excluded."""
    fold = table.patient.map(ledger.rows.set_index("patient").fold).where(table.partition == DEVELOPMENT)
    table = table.assign(fold=fold.astype("Int64"))
    if scheme == "kfold":
        return table
    own = table.home.map({name: fold for fold, name in enumerate(ledger.folds)})
    elsewhere = (table.partition == DEVELOPMENT) & (own != fold)
    table.loc[elsewhere, ["partition", "reason"]] = EXCLUDED, str(Reason.PATIENT_IN_OTHER_FOLD)
    table.loc[elsewhere, "fold"] = pd.NA
    return table


def count_strata(table: pd.DataFrame, ledger: Ledger, merged: Strata) -> pd.DataFrame:
    """Patients and exams by fold, site and band as the ledger has them, and the stratum each was merged into."""
    development = table.loc[table.partition == DEVELOPMENT, ["exam", "patient"]]
    rows = development.merge(ledger.rows, on="patient").groupby(["fold", "site", "band"], as_index=False)
    counted = rows.agg(patients=("patient", "nunique"), exams=("exam", "size"))
    own = counted.site + " " + counted.band
    into = pd.Series([merged.get(pair, "") for pair in zip(counted.site, counted.band, strict=True)], dtype=object)
    counted["merged_into"] = into.where(into != own, "")
    counted["name"] = np.array(ledger.folds)[counted.fold]
    return counted[["fold", "name", "site", "band", "merged_into", "patients", "exams"]]


def _homes(table: pd.DataFrame, scheme: str) -> pd.Series:
    """The site or vendor of every exam, empty for a scheme that leaves out neither."""
    column = HOMES[scheme]
    return table[column].fillna(UNKNOWN) if column else pd.Series("", index=table.index)


def _check_enough(patients: pd.DataFrame, folds: list[str], scheme: str) -> None:
    """Every fold can have a patient, and every patient a fold."""
    if scheme == "kfold":
        if len(patients) < len(folds):
            raise DataError(
                f"{len(patients)} development patients for {len(folds)} folds; "
                "see exclusions.csv of the stage cohort, lower split.folds, or move data.temporal_cut"
            )
        return
    homes = patients.home.value_counts()
    what = HOMES[scheme]
    for name in sorted(set(homes.index) - set(folds)):
        raise DataError(
            f"{what} {name!r} has {homes[name]} development patients, but {scheme} has no fold for it; "
            f"expected {', '.join(folds)}; add it to split.vendors"
        )


def _check_filled(table: pd.DataFrame, ledger: Ledger) -> None:
    """Every fold has an exam to hold out."""
    empty = sorted(set(range(len(ledger.folds))) - set(table.fold.dropna()))
    if empty:
        raise DataError(
            f"fold {ledger.folds[empty[0]]!r} has no development exam; expected one or more in every fold; "
            "use another split.scheme, or fewer folds with a new ledger"
        )


def _tell(counted: pd.DataFrame, folds: int) -> None:
    """Lines of the log: how many patients there are, and which strata were merged."""
    print(f"{counted.patients.sum()} development patients in {folds} folds")
    for (site, band, into), rows in counted[counted.merged_into != ""].groupby(["site", "band", "merged_into"]):
        print(f"{site} {band}: {rows.patients.sum()} patients, counted with {into}, as there are {folds} folds")


def _tell_joined(ledger: Ledger, patients: pd.Series, aliases: pd.DataFrame) -> None:
    """Lines of the log: patients with folds of their own who turned out to be one person."""
    person = ledger.rows.patient.map(aliases.set_index("alias").patient)
    for _, rows in ledger.rows[person.notna()].groupby(person):
        folds = rows.fold.unique()
        if len(folds) > 1 and rows.patient.isin(patients).any():
            moved = ", ".join(ledger.folds[fold] for fold in folds[1:])
            print(f"{rows.patient.iloc[0]}: one person, known as {len(rows)} patients; fold {moved} becomes", end=" ")
            print(f"{ledger.folds[folds[0]]}, the oldest")
