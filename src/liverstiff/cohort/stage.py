"""The stage: the record joined to the exams; one reason for every exam that is not analysed.

Calendar dates end here: what leaves is ``day``, counted from the temporal cut.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

from liverstiff.cohort import conflicts as clash
from liverstiff.cohort.nearest import before_biopsies, nearest_values
from liverstiff.cohort.record import Record, read_record
from liverstiff.cohort.reference import (
    Reported,
    agreement,
    choose_reference,
    reported_values,
    without_contradictions,
)
from liverstiff.cohort.scores import with_bmi, with_scores
from liverstiff.cohort.tables import COLUMNS, EXCLUSION, SCHEMA, earliest, flow_counts, missing_counts, scanner_counts
from liverstiff.cohort.variables import CODES, PLAUSIBLE, VARIABLES
from liverstiff.config import CohortConfig, SiteConfig, TargetConfig
from liverstiff.errors import ConfigError, DataError
from liverstiff.pseudonyms import read_key
from liverstiff.record_tables import record_files
from liverstiff.record_values import failed_rules
from liverstiff.records import Reason, read_status, read_table

SAME_DAY = "different values on a day, which does not count"


@dataclass(frozen=True)
class Site:
    """What a site's record says about its exams."""

    values: pd.DataFrame
    """By exam: the variables, in standard units, coded ones as the place of their code."""
    reported: Reported
    known: pd.DataFrame
    persons: pd.DataFrame
    conflicts: pd.DataFrame


def build_cohort(
    *,
    exams: Path,
    linkage: Path,
    key: Path,
    statuses: list[Path],
    stiffness: list[Path],
    records: list[Path],
    sites: dict[str, SiteConfig],
    temporal_cut: date,
    settings: CohortConfig,
    target: TargetConfig,
    cohort: Path,
    exclusions: Path,
    flow: Path,
    missingness: Path,
    scanners: Path,
    conflicts: Path,
    agreements: Path,
    aliases: Path,
) -> None:
    """Write the analysable exams, the excluded ones with their reason, and what describes both.

    Args:
        exams: the catalog's ``exams.csv``.
        linkage: the catalog's private ``linkage.csv``; only ``exam`` and ``study_date`` are read.
        key: key of the pseudonyms, to hash the record's patient numbers.
        statuses: shard folders of the exam-level stages, in any order.
        stiffness: shard folders of the stage ``elastography``.
        records: the files of the sites' records, in the order of sites and tables, without the databases.
        sites: section ``data.sites`` of the configuration.
        temporal_cut: day 0.
        settings: section ``cohort``.
        target: section ``target``.
        cohort: output, columns as in :data:`~liverstiff.cohort.tables.SCHEMA`.
        exclusions: output: ``exam, patient, site, stage, reason, detail``.
        flow: output: ``site, step, exams``; steps ``catalogued``, a reason each, ``analysable``.
        missingness: output: ``site, variable, exams, missing, share``.
        scanners: output: ``site, vendor, model, field_t, exams``.
        conflicts: output: ``site, patient, exam, what, detail``.
        agreements: output: ``exam, elastogram, reported`` of the exams with both.
        aliases: output: ``patient, alias``: every pseudonym of a patient of the cohort whom the record names a person.

    Raises:
        DataError: for a record that cannot be read as configured, or an exam of an unknown site.
    """
    catalogued = _read_exams(exams, linkage)
    unknown = sorted(set(catalogued.site) - set(sites))
    if unknown:
        raise DataError(f"exams of site {unknown[0]!r}, which is not in data.sites; add it or run the catalog again")
    wrong = sorted({*settings.required, *settings.eligible} - set(VARIABLES))
    if wrong:
        raise ConfigError(f"cohort: unknown variable {wrong[0]!r}; expected one of {', '.join(VARIABLES)}; correct it")
    found = _read_sites(catalogued, records, sites, read_key(key), settings, target)
    elastogram = _read_stiffness(stiffness)
    reported = pd.concat([site.reported.value for site in found]).dropna()
    used, contradictions = without_contradictions(elastogram, reported, settings.reference)
    chosen = choose_reference(elastogram, used, catalogued.exam, settings.reference)
    rows = _read_statuses(statuses, chosen)
    values = pd.concat([site.values for site in found])
    everyone = _described(catalogued, values, chosen, sites, pd.Timestamp(temporal_cut), settings)
    failed = pd.concat([site.reported.failed for site in found])
    known = {patient for site in found for patient in site.known.patient}
    excluded = _exclusions(everyone, rows, known, failed, settings)
    table = everyone[~everyone.exam.isin(excluded.exam)].reset_index(drop=True)
    _check_passed(table, rows[rows.status == "ok"])
    same, doubled = clash.persons_of(pd.concat([site.persons for site in found]))
    persons = dict(zip(same.alias, same.patient, strict=True))
    contradicting = [*(site.conflicts for site in found), contradictions, doubled]
    listed = clash.in_order(contradicting, catalogued)
    person = {name: _as_person(frame, persons) for name, frame in (("cohort", table), ("exclusions", excluded))}
    counts = flow_counts(catalogued, excluded, table, list(sites))
    for frame, path in (
        (_typed(person["cohort"]), cohort),
        (person["exclusions"], exclusions),
        (counts, flow),
        (missing_counts(table), missingness),
        (scanner_counts(table), scanners),
        (listed, conflicts),
        (agreement(elastogram, reported), agreements),
        (same[same.patient.isin(person["cohort"].patient)], aliases),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        frame.to_csv(path, index=False)
    print(f"cohort: {len(table)} of {len(catalogued)} exams analysable; {len(listed)} conflicts in {conflicts.name}")


def _read_exams(exams: Path, linkage: Path) -> pd.DataFrame:
    """The catalogued exams, by pseudonym, with ``study_date`` (missing where the header has none)."""
    table = read_table(exams).sort_values("exam", ignore_index=True)
    text = ["vendor", "model", "shard", "status", "reason", "detail"]
    table[text] = table[text].fillna("").astype(str)
    present = ["t1w", "t2w", "dwi"]
    table[present] = table[present].astype(object).where(table[present].notna(), False).astype(bool)
    linked = pd.read_csv(linkage, dtype=str)
    dates = pd.to_datetime(linked.study_date.str.replace("-", ""), format="%Y%m%d", errors="coerce")
    return table.assign(study_date=table.exam.map(pd.Series(dates.array, index=linked.exam)))


def _read_sites(
    catalogued: pd.DataFrame,
    records: list[Path],
    sites: dict[str, SiteConfig],
    key: bytes,
    settings: CohortConfig,
    target: TargetConfig,
) -> list[Site]:
    """Every site's record at its exams."""
    files = record_files([site.record for site in sites.values()], records)
    found = []
    for (name, config), paths in zip(sites.items(), files, strict=True):
        mine = catalogued[catalogued.site == name]
        patients = pd.Index(mine.patient.unique())
        record = read_record(paths, config.record, site=name, key=key, target_unit=target.unit, patients=patients)
        days = 0 if config.record_only else settings.reported_days  # there a row with a value is the exam
        found.append(site_values(name, mine, record, days, settings, target))
    return found


def site_values(
    name: str, exams: pd.DataFrame, record: Record, reported_days: int, settings: CohortConfig, target: TargetConfig
) -> Site:
    """One site's record at its exams, and what contradicts itself.

    Args:
        name: of the site.
        exams: ``exam, patient, site, study_date``.
        record: everything the site's tables say.
        reported_days: how far a reported value may be from its exam.
        settings: section ``cohort``.
        target: section ``target``.
    """
    values = before_biopsies(record.values, record.biopsies, settings.biopsy_days)
    windowed = [variable for variable in VARIABLES if variable != "sex"]
    near = nearest_values(exams, values, windowed, days_before=settings.days_before, days_after=settings.days_after)
    sex, two_sexes = clash.one_each(values[values.variable == "sex"], "value", "two_sexes", "the sex is missing")
    births, two_births = clash.one_each(record.births, "date", "two_birth_dates", "no age follows from them")
    ages, unborn = clash.ages_at(exams, births)
    lasting = values[(values.variable == "height") & values.date.isna()]
    height, two_heights = clash.one_each(lasting, "value", "two_values", "height: it is missing")
    table = near.values.assign(sex=exams.set_index("exam").patient.map(sex))
    table["height"] = table.height.fillna(exams.set_index("exam").patient.map(height))
    contradicting = clash.contradicting(table, ages)
    after = unborn.exam[unborn.what == "birth_after_exam"]
    table["age"] = np.floor(table.age.fillna(ages).where(~table.index.isin(after)))  # no date of birth follows from it
    reported = reported_values(exams, record.reported, reported_days, settings, target)
    days = near.clashes.groupby("exam", sort=False).variable.agg(", ".join)
    listed = [
        record.faults,
        *(two_sexes, two_births, unborn, two_heights, contradicting, clash.crowds(record.persons)),
        *(reported.conflicts, clash.same_exam_twice(exams)),
        clash.of_exams(days.index.to_series(), "two_values", days + ": " + SAME_DAY),
    ]
    if near.repeated:
        said = f"{near.repeated} values are there more than once; each counts once"
        listed.append(pd.DataFrame({"patient": [None], "what": "repeated_rows", "detail": said}))
    rows = pd.concat([part for part in listed if len(part)] or [pd.DataFrame(columns=["what"])], ignore_index=True)
    return Site(table, reported, record.known, record.persons, rows.assign(site=name))


def _read_stiffness(folders: list[Path]) -> pd.Series:
    """Stiffness in kPa by exam."""
    tables = [read_table(folder / "stiffness.csv").reindex(columns=["exam", "stiffness_kpa"]) for folder in folders]
    rows = [row for table in tables for row in table.itertuples(index=False)]
    found = pd.DataFrame(rows, columns=["exam", "stiffness_kpa"]).set_index("exam").stiffness_kpa
    return found.astype(float)


def _read_statuses(folders: list[Path], chosen: pd.DataFrame) -> pd.DataFrame:
    """The status rows of the stages; a failed elastogram does not exclude an exam with a reported value."""
    rows = pd.DataFrame(
        [vars(row) for folder in folders for row in read_status(folder)], columns=[*EXCLUSION, "status"]
    )
    reported = chosen.index[chosen.reference_source == "reported"]
    return rows[~((rows.stage == "elastography") & rows.exam.isin(reported))]


def _described(
    catalogued: pd.DataFrame,
    values: pd.DataFrame,
    chosen: pd.DataFrame,
    sites: Mapping[str, SiteConfig],
    cut: pd.Timestamp,
    settings: CohortConfig,
) -> pd.DataFrame:
    """Every catalogued exam with its variables, scores and reference."""
    table = catalogued.join(values.reindex(columns=list(VARIABLES)), on="exam").join(chosen, on="exam")
    for name, codes in CODES.items():
        words = dict(enumerate((0, 1) if name == "diabetes" else codes))
        table[name] = table[name].map(words).astype("Int64" if name == "diabetes" else object)
    numeric = [*PLAUSIBLE, "field_t"]
    table[numeric] = table[numeric].astype(float)
    table = table.assign(
        role=table.site.map({name: site.role for name, site in sites.items()}), day=(table.study_date - cut).dt.days
    )
    return with_scores(with_bmi(table), settings.steatosis_pdff)


def _exclusions(
    table: pd.DataFrame, rows: pd.DataFrame, known: set[str], failed: pd.Series, settings: CohortConfig
) -> pd.DataFrame:
    """One row per exam that is not analysed: the catalog's, those of later stages, and those of the record."""
    here = table.assign(stage="cohort")
    undated = here.study_date.isna()
    ineligible = failed_rules(here, settings.eligible, "cohort.eligible")
    rule = here.exam.map(failed).fillna("")
    lacking = pd.Series("", index=here.index)
    for name in reversed(settings.required):
        lacking = lacking.mask(here[name].isna(), name)
    lost = here.reference.isna() & (settings.reference != "elastogram")  # of an elastogram its own stage says why
    no_value = "no reported value within cohort.reported_days of the exam"
    frames: Sequence[pd.DataFrame] = [
        table[table.status != "ok"].assign(stage="catalog"),
        rows[rows.status != "ok"],
        _because(here[undated], Reason.NO_STUDY_DATE, "the exam's headers hold no study date"),
        _because(here[~here.patient.isin(known)], Reason.NO_RECORD, "the patient is not in the site's record"),
        _because(here[ineligible != ""], Reason.NOT_ELIGIBLE, ineligible),
        _because(here[lost & (rule != "")], Reason.NOT_ELIGIBLE, rule),
        _because(here[lost & (rule == "")], Reason.NO_REFERENCE, no_value),
        _because(here[lacking != ""], Reason.MISSING_VALUE, "no " + lacking),
    ]
    return earliest(pd.concat([frame[EXCLUSION] for frame in frames], ignore_index=True))


def _because(exams: pd.DataFrame, reason: Reason, detail: str | pd.Series) -> pd.DataFrame:
    return exams.assign(reason=str(reason), detail=detail if isinstance(detail, str) else detail.loc[exams.index])


def _check_passed(table: pd.DataFrame, passed: pd.DataFrame) -> None:
    """Every analysable exam must have a reference, and one with images must have passed every stage.

    Raises:
        AssertionError: otherwise; that would be a bug.
    """
    imaged = table[table.shard != ""]
    measured = table.exam[table.reference.notna()]
    read = imaged.exam[imaged.reference_source != "reported"]
    of_stage = [
        (stage, read if stage == "elastography" else imaged.exam, names)
        for stage, names in passed.groupby("stage").exam
    ]
    for stage, exams, names in [*of_stage, ("elastography", table.exam, measured)]:
        lost = sorted(set(exams) - set(names))
        if lost:
            raise AssertionError(f"{len(lost)} exams, e.g. {lost[0]}, are neither excluded nor done at stage {stage}")


def _as_person(frame: pd.DataFrame, persons: Mapping[str, str]) -> pd.DataFrame:
    """The patient of each exam is the person, where the record names one."""
    return frame.assign(patient=frame.patient.map(persons).fillna(frame.patient))


def _typed(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of ``cohort.csv``."""
    table = table.assign(day=table.day.astype(int), reference=table.reference.astype(float))[COLUMNS]
    return SCHEMA.validate(table) if len(table) else table
