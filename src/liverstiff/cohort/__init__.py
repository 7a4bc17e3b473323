"""Stage ``cohort``: the health record joined to the exams; one reason for every exam that is not analysed.

Calendar dates end here: what leaves is ``day``, counted from the temporal cut.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pandas as pd
import pandera.pandas as pa

from liverstiff.cohort.record import PLAUSIBLE, VARIABLES, apri, fib4, nearest_values, read_record
from liverstiff.config import CohortConfig, SiteConfig
from liverstiff.errors import DataError
from liverstiff.pseudonyms import read_key
from liverstiff.records import STAGES, Reason, read_status, read_table

EXCLUSION = ["exam", "patient", "site", "stage", "reason", "detail"]
ADULT_YEARS = 18

_FRACTION = pa.Column(float, pa.Check.ge(0), nullable=True)
_BINARY = pa.Column("Int64", pa.Check.isin([0, 1]), nullable=True)
SCHEMA = pa.DataFrameSchema(
    {
        "exam": pa.Column(str, pa.Check.str_matches(r"^e[0-9a-f]+$")),
        "patient": pa.Column(str, pa.Check.str_matches(r"^p[0-9a-f]+$")),
        "site": pa.Column(str),
        "role": pa.Column(str, pa.Check.isin(["development", "external"])),
        "vendor": pa.Column(str),
        "field_t": pa.Column(float, pa.Check.in_range(0.1, 11), nullable=True),
        "shard": pa.Column(str),
        "day": pa.Column(int),
        "t1w": pa.Column(bool),
        "t2w": pa.Column(bool),
        "dwi": pa.Column(bool),
        "reference": pa.Column(float, pa.Check.gt(0)),
        **{name: pa.Column(float, pa.Check.in_range(*limits), nullable=True) for name, limits in PLAUSIBLE.items()},
        "sex": pa.Column(object, pa.Check.isin(["female", "male"]), nullable=True),
        "diabetes": _BINARY,
        "fib4": _FRACTION,
        "apri": _FRACTION,
        "steatosis": _BINARY,
    },
    unique=["exam"],
    strict=True,
)
"""Every column of ``cohort.csv``; the record's variables are in standard units and may be missing."""

COLUMNS = [
    *("exam", "patient", "site", "role", "vendor", "field_t", "shard", "day", "t1w", "t2w", "dwi", "reference"),
    *VARIABLES,
    *("fib4", "apri", "steatosis"),
]


def build_cohort(
    *,
    exams: Path,
    linkage: Path,
    key: Path,
    statuses: list[Path],
    stiffness: list[Path],
    records: dict[str, Path],
    sites: dict[str, SiteConfig],
    temporal_cut: date,
    settings: CohortConfig,
    cohort: Path,
    exclusions: Path,
    flow: Path,
) -> None:
    """Write the analysable exams, the excluded ones with their reason, and the counts of the flow chart.

    Args:
        exams: the catalog's ``exams.csv``.
        linkage: the catalog's private ``linkage.csv``; only ``exam`` and ``study_date`` are read.
        key: key of the pseudonyms, to hash the record's patient numbers.
        statuses: shard folders of the exam-level stages, in any order.
        stiffness: shard folders of the stage ``elastography``.
        records: the record table of each site.
        sites: section ``data.sites`` of the configuration.
        temporal_cut: day 0.
        settings: section ``cohort``.
        cohort: output, columns as in :data:`SCHEMA`.
        exclusions: output: ``exam, patient, site, stage, reason, detail``.
        flow: output: ``site, step, exams``; steps ``catalogued``, a reason each, ``analysable``.

    Raises:
        DataError: for a record that cannot be read as configured, or an exam of an unknown site.
    """
    catalogued = _read_exams(exams, linkage)
    unknown = sorted(set(catalogued.site) - set(sites))
    if unknown:
        raise DataError(f"exams of site {unknown[0]!r}, which is not in data.sites; add it or run the catalog again")
    secret = read_key(key)
    record = pd.concat(
        [read_record(records[site], sites[site].record, site=site, key=secret) for site in sites], ignore_index=True
    )
    rows = pd.DataFrame(
        [vars(row) for folder in statuses for row in read_status(folder)], columns=[*EXCLUSION, "status"]
    )
    excluded = _exclusions(catalogued, rows, set(record.patient.dropna()))
    analysable = catalogued[~catalogued.exam.isin(excluded.exam)]
    values = _stiffness(stiffness, analysable.exam, rows[rows.status == "ok"])
    table = _table(analysable, values, record, sites, pd.Timestamp(temporal_cut), settings)
    counts = flow_counts(catalogued, excluded, table, list(sites))
    for frame, path in ((SCHEMA.validate(table), cohort), (excluded, exclusions), (counts, flow)):
        path.parent.mkdir(parents=True, exist_ok=True)
        frame.to_csv(path, index=False)


def _read_exams(exams: Path, linkage: Path) -> pd.DataFrame:
    """The catalogued exams, by pseudonym, with ``study_date`` (missing where the header has none)."""
    table = read_table(exams).sort_values("exam", ignore_index=True)
    text = ["vendor", "status", "reason", "detail"]
    table[text] = table[text].fillna("").astype(str)
    present = ["t1w", "t2w", "dwi"]
    table[present] = table[present].astype(object).where(table[present].notna(), False).astype(bool)
    linked = pd.read_csv(linkage, dtype=str)
    dates = pd.to_datetime(linked.study_date.str.replace("-", ""), format="%Y%m%d", errors="coerce")
    return table.assign(study_date=table.exam.map(pd.Series(dates.array, index=linked.exam)))


def _exclusions(catalogued: pd.DataFrame, rows: pd.DataFrame, known: set[str]) -> pd.DataFrame:
    """One row per exam that is not analysed, from the catalog, the status rows of later stages, and the record."""
    here = catalogued.assign(stage="cohort")
    undated = here.study_date.isna()
    absent = ~here.patient.isin(known) & ~undated
    frames = [
        catalogued[catalogued.status != "ok"].assign(stage="catalog"),
        rows[rows.status != "ok"],
        here[undated].assign(reason=str(Reason.NO_STUDY_DATE), detail="the exam's headers hold no study date"),
        here[absent].assign(reason=str(Reason.NO_RECORD), detail="the patient is not in the site's record"),
    ]
    return earliest(pd.concat([frame[EXCLUSION] for frame in frames], ignore_index=True))


def earliest(excluded: pd.DataFrame) -> pd.DataFrame:
    """Of several exclusions of an exam the one of the earliest stage; sorted by exam."""
    order = excluded.assign(order=excluded.stage.map(STAGES.index)).sort_values(["exam", "order"], kind="stable")
    return order.drop_duplicates("exam")[EXCLUSION].reset_index(drop=True)


def _stiffness(folders: list[Path], exams: pd.Series, passed: pd.DataFrame) -> pd.Series:
    """Stiffness in kPa by exam; every analysable exam must have one, and have passed every stage."""
    tables = [read_table(folder / "stiffness.csv").reindex(columns=["exam", "stiffness_kpa"]) for folder in folders]
    rows = [row for table in tables for row in table.itertuples(index=False)]
    found = pd.DataFrame(rows, columns=["exam", "stiffness_kpa"]).set_index("exam").stiffness_kpa.astype(float)
    for stage, names in [*passed.groupby("stage").exam, ("elastography", found.index)]:
        lost = sorted(set(exams) - set(names))
        if lost:
            raise AssertionError(f"{len(lost)} exams, e.g. {lost[0]}, are neither excluded nor done at stage {stage}")
    return found


def _table(
    analysable: pd.DataFrame,
    stiffness: pd.Series,
    record: pd.DataFrame,
    sites: dict[str, SiteConfig],
    cut: pd.Timestamp,
    settings: CohortConfig,
) -> pd.DataFrame:
    """The rows of ``cohort.csv``."""
    near = nearest_values(analysable, record, days_before=settings.days_before, days_after=settings.days_after).reindex(
        columns=list(VARIABLES)
    )
    table = analysable.reset_index(drop=True).assign(**{name: near[name].array for name in VARIABLES})
    numeric = list(PLAUSIBLE)
    table[numeric] = table[numeric].astype(float)
    table = table.assign(
        role=table.site.map({name: site.role for name, site in sites.items()}),
        field_t=table.field_t.astype(float),
        day=(table.study_date - cut).dt.days.astype(int),
        reference=table.exam.map(stiffness),
        sex=table.sex.astype(object),
        diabetes=table.diabetes.astype(float).astype("Int64"),
    )
    return _indices(table, settings.steatosis_pdff)[COLUMNS]


def _indices(table: pd.DataFrame, steatosis_pdff: float) -> pd.DataFrame:
    """FIB-4 (adults only: it is not validated in children), APRI and steatosis; missing where an input is."""
    score = fib4(table.age, table.ast, table.alt, table.platelets)
    return table.assign(
        fib4=score.where(table.age >= ADULT_YEARS).round(4),
        apri=apri(table.ast, table.platelets).round(4),
        steatosis=(table.pdff >= steatosis_pdff).astype("Int64").where(table.pdff.notna()),
    )


def flow_counts(
    catalogued: pd.DataFrame, excluded: pd.DataFrame, analysable: pd.DataFrame, sites: list[str]
) -> pd.DataFrame:
    """Counts of the flow chart by site: catalogued, excluded by reason in the order of the flow, analysable.

    Raises:
        AssertionError: unless exams in = analysable + excluded at every site; that would be a bug.
    """
    rows = []
    for site in sites:
        came, left, stayed = ((frame.site == site).sum() for frame in (catalogued, excluded, analysable))
        if came != left + stayed:
            raise AssertionError(f"{site}: {came} exams, but {stayed} analysable and {left} excluded")
        reasons = excluded.reason[excluded.site == site].value_counts()
        rows.append((site, "catalogued", came))
        rows += [(site, str(reason), reasons[reason]) for reason in Reason if reason in reasons.index]
        rows.append((site, "analysable", stayed))
    return pd.DataFrame(rows, columns=["site", "step", "exams"])
