"""Folds of new patients: balanced over strata one patient at a time, or the site or vendor that is left out."""

from __future__ import annotations

import hashlib
from collections import defaultdict

import numpy as np
import pandas as pd

from liverstiff.split.ledger import ROW, Ledger, band_ends, band_names

Strata = dict[tuple[str, str], str]
"""Name of the stratum by site and band."""


def development_patients(development: pd.DataFrame, edges: tuple[float, ...]) -> pd.DataFrame:
    """``patient, exams, site, band, home`` of the development patients, in the order of their pseudonyms.

    Site, band and home are those of the first exam.

    Args:
        development: ``patient, exam, day, site, reference, home`` of the development exams.
        edges: of the bands, in the unit of the target.
    """
    ordered = development.sort_values(["patient", "day", "exam"])
    patients = ordered.groupby("patient", as_index=False).agg(
        exams=("exam", "size"), site=("site", "first"), reference=("reference", "first"), home=("home", "first")
    )
    band = np.searchsorted(edges, patients.reference.to_numpy(dtype=float), side="right")
    return patients.assign(band=np.array(band_names(edges))[band]).drop(columns="reference")


def as_in_ledger(patients: pd.DataFrame, ledger: Ledger) -> pd.DataFrame:
    """The patients with the site and band that the ledger has of them: a corrected value moves nobody."""
    known = ledger.rows.set_index("patient")
    return patients.assign(
        **{name: patients.patient.map(known[name]).fillna(patients[name]) for name in ("site", "band")}
    )


def merged_strata(patients: pd.DataFrame, edges: tuple[float, ...], least: int) -> Strata:
    """The stratum of every site and band, merged until each has ``least`` patients or more.

    Sites with fewer patients are counted together, with the next larger site if need be. In a site, a band that is too
    small joins the smaller of its neighbours.

    Args:
        patients: ``site, band``, a row per patient.
        edges: of the bands.
        least: patients of a stratum.
    """
    bands, ends = band_names(edges), band_ends(edges)
    counts = patients.groupby(["site", "band"]).size().unstack(fill_value=0).reindex(columns=bands, fill_value=0)
    totals = counts.sum(axis=1).sort_values(kind="stable")
    pooled = list(totals.index[totals < least])
    while pooled and totals[pooled].sum() < least and len(pooled) < len(totals):
        pooled.append(totals.index[len(pooled)])
    groups = [[site] for site in counts.index if site not in pooled] + ([sorted(pooled)] if pooled else [])
    strata: Strata = {}
    for sites in groups:
        for run in _runs(counts.loc[sites].sum().tolist(), least):
            name = f"{'+'.join(sites)} {ends[run[0]]}-{ends[run[-1] + 1]}"
            strata |= {(site, bands[band]): name for site in sites for band in run}
    return strata


def _runs(counts: list[int], least: int) -> list[list[int]]:
    """Neighbouring bands with patients, joined until every run has ``least`` or one run is left."""
    runs = [([band], count) for band, count in enumerate(counts) if count]
    while len(runs) > 1 and min(count for _, count in runs) < least:
        smallest = min(range(len(runs)), key=lambda i: runs[i][1])
        neighbours = [i for i in (smallest - 1, smallest + 1) if 0 <= i < len(runs)]
        first, second = sorted((smallest, min(neighbours, key=lambda i: runs[i][1])))
        runs[first : second + 1] = [(runs[first][0] + runs[second][0], runs[first][1] + runs[second][1])]
    return [bands for bands, _ in runs]


def assign_folds(patients: pd.DataFrame, ledger: Ledger, strata: Strata) -> pd.DataFrame:
    """Rows ``patient, fold, site, band`` of the patients that are not in the ledger, balanced over the strata.

    New patients, those with most exams first and else in the order of their pseudonyms (keyed hashes, so at random),
    go to the fold with the fewest exams of their stratum, then the fewest exams in all, then by a hash.

    Args:
        patients: ``patient, exams, site, band`` of the development patients.
        ledger: what is given out already; patients that are not among ``patients`` have no exams.
        strata: result of :func:`merged_strata` for the same patients as :func:`as_in_ledger` gives them.
    """
    count = len(ledger.folds)
    exams = dict(zip(patients.patient, patients.exams, strict=True))
    in_stratum: dict[str, list[int]] = defaultdict(lambda: [0] * count)
    in_all = [0] * count
    known = ledger.rows[ledger.rows.patient.isin(patients.patient)]
    for patient, fold, site, band in known[ROW].itertuples(index=False):
        in_stratum[strata[site, band]][fold] += exams[patient]
        in_all[fold] += exams[patient]
    rows = []
    new = _new(patients, ledger).sort_values("exams", ascending=False, kind="stable")
    for patient, site, band in new[["patient", "site", "band"]].itertuples(index=False):
        sizes = in_stratum[strata[site, band]]
        fold = _emptiest(sizes, in_all, patient)
        sizes[fold] += exams[patient]
        in_all[fold] += exams[patient]
        rows.append((patient, fold, site, band))
    return pd.DataFrame(rows, columns=ROW)


def leave_out(patients: pd.DataFrame, ledger: Ledger) -> pd.DataFrame:
    """Rows ``patient, fold, site, band`` of the patients that are not in the ledger: the fold of their home.

    Args:
        patients: ``patient, site, band, home``.
        ledger: its ``folds`` are names of homes.
    """
    new = _new(patients, ledger)
    return new.assign(fold=new.home.map({name: fold for fold, name in enumerate(ledger.folds)}).astype(int))[ROW]


def _new(patients: pd.DataFrame, ledger: Ledger) -> pd.DataFrame:
    return patients[~patients.patient.isin(ledger.rows.patient)].sort_values("patient")


def _emptiest(in_stratum: list[int], in_all: list[int], patient: str) -> int:
    """The fold with the fewest exams of the stratum, then in all, then by a hash."""
    fewest = min(in_stratum)
    folds = [fold for fold, exams in enumerate(in_stratum) if exams == fewest]
    fewest = min(in_all[fold] for fold in folds)
    folds = [fold for fold in folds if in_all[fold] == fewest]
    if len(folds) == 1:
        return folds[0]
    return min(folds, key=lambda fold: hashlib.sha256(f"{patient}|{fold}".encode()).digest())
