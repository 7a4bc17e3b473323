"""The study: the sites' exams together, which of them go on, and which share a job."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from liverstiff.config import CatalogConfig
from liverstiff.pseudonyms import private_folder
from liverstiff.records import SEQUENCES, ExamStatus, Kind, Reason, read_table, write_status

SHARD_FILE_COLUMNS = ["exam", "patient", "site", "series", "kind", "volume", "b_value", "path", "frame"]
LINKAGE_COLUMNS = ["exam", "patient", "site", "patient_id", "study_uid", "study_date"]
EXAM_COLUMNS = [
    "exam",
    "patient",
    "site",
    "vendor",
    "model",
    "field_t",
    "t1w",
    "t2w",
    "dwi",
    "mre",
    "shard",
    "status",
    "reason",
    "detail",
]


def catalog_study(
    *,
    private_sites: list[Path],
    series_sites: list[Path],
    series: Path,
    exams: Path,
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
        series: public table of all series.
        exams: public table of all exams, with their status.
        shards: ``exam, shard``; exams that an existing file names keep their shard, others get new shards.
        shard_tables: private folder (mode 0700): per shard the chosen files, and the status of its exams.
        linkage: private table from pseudonyms to identifiers.
        shard_size: exams per shard.
        settings: what an exam must hold.
    """
    identifiers = {"patient_id": str, "study_uid": str, "study_date": str, "exam": str, "patient": str, "site": str}
    listed = pd.concat(
        [pd.read_csv(folder / "exams.csv", dtype=identifiers, keep_default_na=False) for folder in private_sites]
    ).sort_values(["site", "exam"])
    files = pd.concat([read_table(folder / "files.csv") for folder in private_sites])
    all_series = pd.concat([read_table(path) for path in series_sites])
    before = read_table(shards) if Path(shards).exists() else pd.DataFrame(columns=["exam", "shard"])
    assigned = assign_shards(list(listed.exam), dict(zip(before.exam, before.shard, strict=True)), shard_size)
    table = exam_table(listed, all_series, settings).assign(shard=lambda rows: rows.exam.map(assigned))
    _write_shards(table, files[files.chosen], private_folder(shard_tables))
    private_folder(Path(linkage).parent)
    for rows, path in (
        (listed[LINKAGE_COLUMNS], linkage),
        (all_series, series),
        (table[EXAM_COLUMNS], exams),
        (table[["exam", "shard"]].sort_values(["shard", "exam"]), shards),
    ):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        rows.to_csv(path, index=False)
    print(
        f"catalog: {len(table)} exams, {(table.status == 'ok').sum()} go on, {table.shard.nunique()} shards", flush=True
    )


def assign_shards(exams: list[str], before: dict[str, str], size: int) -> dict[str, str]:
    """A shard for every exam: the one it had, else new shards of ``size`` exams after the last one ever used."""
    added = [exam for exam in exams if exam not in before]
    start = max((int(shard.rsplit("-", 1)[1]) + 1 for shard in before.values()), default=0)
    kept = {exam: before[exam] for exam in exams if exam in before}
    return kept | {exam: f"shard-{start + place // size:04d}" for place, exam in enumerate(added)}


def exam_table(listed: pd.DataFrame, series: pd.DataFrame, settings: CatalogConfig) -> pd.DataFrame:
    """Every exam with the sequences that were chosen and its status.

    Args:
        listed: a row per exam with ``exam, patient, site, vendor, model, field_t, patients``.
        series: a row per series with ``exam, kind, chosen``.
        settings: what an exam must hold.
    """
    chosen = series[series.chosen].groupby("exam").kind.agg(set)
    kinds = [chosen.get(exam, set()) for exam in listed.exam]
    table = listed.assign(
        **{name.lower(): [name in found for found in kinds] for name in SEQUENCES},
        mre=[str(Kind.MRE_STIFFNESS) in found for found in kinds],
    )
    decided = [_decide(set(found), patients, settings) for found, patients in zip(kinds, listed.patients, strict=True)]
    return table.assign(
        status=["excluded" if reason else "ok" for reason, _ in decided],
        reason=[reason for reason, _ in decided],
        detail=[detail for _, detail in decided],
    )


def _decide(kinds: set[str], patients: int, settings: CatalogConfig) -> tuple[str, str]:
    """Reason and detail of an exam that cannot go on; both empty for one that can."""
    if patients > 1:
        return str(
            Reason.CONFLICTING_IDENTITY
        ), f"its study holds images of {patients} patients; correct it in the archive"
    missing = [name for name in settings.required if name not in kinds]
    if missing:
        return str(Reason.MISSING_SEQUENCE), f"no usable {', '.join(missing)} was found; the table of series says why"
    if settings.require_mre and Kind.MRE_STIFFNESS not in kinds:
        return str(Reason.MISSING_MRE), "no map of stiffness was found; the table of series says why"
    return "", ""


def _write_shards(table: pd.DataFrame, files: pd.DataFrame, folder: Path) -> None:
    """Per shard: the chosen files of the exams that go on, and the status of all its exams."""
    for old in folder.glob("shard-*.csv"):
        old.unlink()
    for shard, rows in table.groupby("shard"):
        going_on = rows.exam[rows.status == "ok"]
        mine = files[files.exam.isin(going_on)].sort_values(["site", "exam", "series", "volume"], kind="stable")
        mine[SHARD_FILE_COLUMNS].to_csv(folder / f"{shard}.csv", index=False)
        write_status([_status(row) for row in rows.to_dict("records")], folder / f"{shard}.status.csv")


def _status(row: dict) -> ExamStatus:
    return ExamStatus(row["exam"], row["patient"], row["site"], "catalog", row["status"], row["reason"], row["detail"])
