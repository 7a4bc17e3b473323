"""The study: the sites' exams together, which of them go on, and which share a job."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from liverstiff.catalog.recorded import RECORDED
from liverstiff.config import CatalogConfig
from liverstiff.pseudonyms import private_folder
from liverstiff.records import SEQUENCES, ExamStatus, Kind, Reason, SeriesReason, read_table, write_status

SHARD_FILE_COLUMNS = [
    *("exam", "patient", "site", "series", "kind", "variant", "volume", "b_value", "path", "member", "frame"),
]
LINKAGE_COLUMNS = ["exam", "patient", "site", "patient_id", "study_uid", "study_date"]
VARIANTS = [f"{name.lower()}_variant" for name in SEQUENCES]
EXAM_COLUMNS = [
    *("exam", "patient", "site", "vendor", "model", "field_t", "t1w", "t2w", "dwi", "mre", *VARIANTS),
    *("shard", "status", "reason", "detail"),
]
CHUNK = 200_000
"""Rows of the table of files that are in memory at a time."""


def catalog_study(
    *,
    private_sites: list[Path],
    series_sites: list[Path],
    skipped_sites: list[Path],
    overridden_sites: list[Path],
    series: Path,
    exams: Path,
    skipped: Path,
    overridden: Path,
    scans: Path,
    shards: Path,
    shard_tables: Path,
    linkage: Path,
    shard_size: int,
    settings: CatalogConfig,
) -> None:
    """Merge the sites, decide which exams go on, and assign all exams to shards.

    Args:
        private_sites: folders with ``files.csv`` and ``exams.csv`` of each site.
        series_sites: public tables of the series of each site.
        skipped_sites: public tables of how many files gave no image, by reason.
        overridden_sites: public tables of how many series each override changed.
        series: public table of all series.
        exams: public table of all exams, with their status.
        skipped: public table of the files that gave no image.
        overridden: public table of the overrides.
        scans: public table of the exams that go on: how many of each site, scanner and variant of a sequence.
        shards: ``exam, shard``; exams that an existing file names keep their shard, others get new shards.
        shard_tables: private folder (mode 0700): per shard the chosen files, and the status of its exams.
        linkage: private table from pseudonyms to identifiers.
        shard_size: exams per shard.
        settings: what an exam must hold.
    """
    listed = pd.concat([_read_exams(folder / "exams.csv") for folder in private_sites]).sort_values(["site", "exam"])
    all_series = pd.concat([read_table(path) for path in series_sites])
    before = read_table(shards) if Path(shards).exists() else pd.DataFrame(columns=["exam", "shard"])
    imaged = listed.exam[listed.modalities != RECORDED]
    assigned = assign_shards(list(imaged), dict(zip(before.exam, before.shard, strict=True)), shard_size)
    table = exam_table(listed, all_series, settings).assign(shard=lambda rows: rows.exam.map(assigned).fillna(""))
    private_folder(Path(linkage).parent)
    _write_shards(table, [folder / "files.csv" for folder in private_sites], private_folder(shard_tables))
    for rows, path in (
        (listed[LINKAGE_COLUMNS], linkage),
        (all_series, series),
        (table[EXAM_COLUMNS], exams),
        (pd.concat([read_table(path) for path in skipped_sites]), skipped),
        (pd.concat([read_table(path) for path in overridden_sites]), overridden),
        (scan_counts(table), scans),
        (table.loc[table.shard != "", ["exam", "shard"]].sort_values(["shard", "exam"]), shards),
    ):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        rows.to_csv(path, index=False)
    print(
        f"catalog: {len(table)} exams, {(table.status == 'ok').sum()} go on, {len(set(assigned.values()))} shards",
        flush=True,
    )


def _read_exams(path: Path) -> pd.DataFrame:
    """A site's private table of exams; numbers with leading zeros stay as they are."""
    table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding_errors="surrogateescape")
    return table.assign(patients=table.patients.astype(int))


def assign_shards(exams: list[str], before: dict[str, str], size: int) -> dict[str, str]:
    """A shard for every exam: the one it had, else new shards of ``size`` exams after the last one ever used."""
    added = [exam for exam in exams if exam not in before]
    start = max((int(shard.rsplit("-", 1)[1]) + 1 for shard in before.values()), default=0)
    kept = {exam: before[exam] for exam in exams if exam in before}
    return kept | {exam: f"shard-{start + place // size:04d}" for place, exam in enumerate(added)}


def exam_table(listed: pd.DataFrame, series: pd.DataFrame, settings: CatalogConfig) -> pd.DataFrame:
    """Every exam with the sequences that were chosen and its status.

    Args:
        listed: a row per exam with ``exam, patient, site, vendor, model, field_t, patients, modalities,
            duplicate_of``.
        series: a row per series with ``exam, kind, variant, chosen, code``.
        settings: what an exam must hold.
    """
    by_exam: dict[Any, pd.DataFrame] = dict(iter(series.groupby("exam", sort=False)))
    none = series.iloc[:0]
    kinds: list[set[str]] = []
    variants: list[dict[str, str]] = []
    decided: list[tuple[str, str]] = []
    for row in listed.itertuples():
        rows = by_exam.get(row.exam, none)
        taken = rows[rows.chosen.astype(bool)]
        kinds.append(set(taken.kind))
        variants.append(dict(zip(taken.kind, taken.variant.fillna(""), strict=True)))
        decided.append(_decide(row, rows, settings))
    columns: dict[str, list] = {name.lower(): [name in found for found in kinds] for name in SEQUENCES}
    columns |= {f"{name.lower()}_variant": [found.get(name, "") for found in variants] for name in SEQUENCES}
    return listed.assign(
        **columns,
        mre=[str(Kind.MRE_STIFFNESS) in found for found in kinds],
        status=["excluded" if reason else "ok" for reason, _ in decided],
        reason=[reason for reason, _ in decided],
        detail=[detail for _, detail in decided],
    )


def scan_counts(table: pd.DataFrame) -> pd.DataFrame:
    """Exams that go on by site, scanner, sequence and variant; a sequence that an exam lacks is ``absent``.

    Sites that differ in the variants they acquire give a network a short cut from the site to the stiffness.
    """
    going_on = table[(table.status == "ok") & (table.modalities != RECORDED)]
    parts = [
        going_on.assign(
            sequence=name, variant=going_on[f"{name.lower()}_variant"].where(going_on[name.lower()], "absent")
        )
        for name in SEQUENCES
    ]
    columns = ["site", "vendor", "model", "field_t", "sequence", "variant"]
    return pd.concat(parts).groupby(columns, dropna=False).size().rename("exams").reset_index()


def _decide(exam: Any, rows: pd.DataFrame, settings: CatalogConfig) -> tuple[str, str]:
    """Reason and detail of an exam that cannot go on; both empty for one that can."""
    if exam.modalities == RECORDED:
        return "", ""
    if exam.patients > 1:
        return Reason.CONFLICTING_IDENTITY, (
            f"its study holds images of {exam.patients} patients; correct it in the archive"
        )
    if not exam.patient_id:
        return Reason.NO_PATIENT_ID, "its header states no PatientID; nobody knows whose it is"
    if exam.duplicate_of:
        return Reason.DUPLICATE_EXAM, f"the same images as {exam.duplicate_of}"
    kinds = set(rows.kind[rows.chosen.astype(bool)])
    found = [name for name in SEQUENCES if name in kinds]
    if len(rows) and (rows.code == SeriesReason.WRONG_MODALITY).all():
        return Reason.WRONG_MODALITY, "it holds no MR image"
    missing = [name for name in settings.required if name not in kinds]
    if missing or len(found) < settings.least_sequences:
        what = "; ".join(f"no usable {name}: {_why(name, rows)}" for name in missing or set(SEQUENCES) - set(found))
        return Reason.MISSING_SEQUENCE, f"{what}; the table of series says more"
    if settings.require_mre and Kind.MRE_STIFFNESS not in kinds:
        return Reason.MISSING_MRE, f"no map of stiffness: {_why(Kind.MRE_STIFFNESS, rows)}"
    return "", ""


def _why(kind: str, rows: pd.DataFrame) -> str:
    """Reason codes of the series of a kind that were not taken, with their numbers."""
    kinds = [kind, Kind.T1W_POST] if kind == Kind.T1W else [kind]
    codes = Counter(rows.code[rows.kind.isin(kinds)].dropna())
    return ", ".join(f"{count} {code}" for code, count in sorted(codes.items())) or "none was found"


def _write_shards(table: pd.DataFrame, files: list[Path], folder: Path) -> None:
    """Per shard: the chosen files of the exams that go on, and the status of all its exams."""
    for old in folder.glob("shard-*.csv"):
        old.unlink()
    for shard, rows in table[table.shard != ""].groupby("shard"):
        write_status([_status(row) for row in rows.to_dict("records")], folder / f"{shard}.status.csv")
        pd.DataFrame(columns=SHARD_FILE_COLUMNS).to_csv(folder / f"{shard}.csv", index=False)
    going_on = dict(table.loc[(table.status == "ok") & (table.shard != ""), ["exam", "shard"]].to_numpy())
    for rows in _chosen_rows(files):
        mine_of = rows[rows.exam.isin(going_on)].assign(shard=lambda chosen: chosen.exam.map(going_on))
        for shard, mine in mine_of.groupby("shard"):
            path = folder / f"{shard}.csv"
            with path.open("a", newline="", encoding="utf-8", errors="surrogateescape") as file:
                mine[SHARD_FILE_COLUMNS].to_csv(file, index=False, header=False, quoting=csv.QUOTE_ALL)


def _chosen_rows(files: list[Path]) -> Iterator[pd.DataFrame]:
    """Rows of chosen series as text, some at a time; sites and exams follow each other in order."""
    for path in files:
        parts = pd.read_csv(path, dtype=str, keep_default_na=False, encoding_errors="surrogateescape", chunksize=CHUNK)
        for part in parts:
            yield part[part.chosen == "True"].reset_index(drop=True)


def _status(row: dict) -> ExamStatus:
    return ExamStatus(row["exam"], row["patient"], row["site"], "catalog", row["status"], row["reason"], row["detail"])
