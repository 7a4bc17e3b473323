"""A simulated hospital: a DICOM tree, a health record, and what is true."""

from __future__ import annotations

import datetime as dt
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from liverstiff import images
from liverstiff.config import SimulateConfig, SimulatedSiteConfig
from liverstiff.simulate import anatomy, dialects, scan, signal
from liverstiff.simulate.contents import Acquired, Rendered
from liverstiff.simulate.elastogram import FAILURES, acquire_elastogram, slice_grids
from liverstiff.simulate.encode import Encoder
from liverstiff.simulate.exam import Exam
from liverstiff.simulate.identity import Visit, character_set, identify
from liverstiff.simulate.plan import Draw, draw_plan
from liverstiff.simulate.population import DEVELOPMENT_SITES, SIGNS, SiteModel, draw_patients, measure
from liverstiff.simulate.record import KEYS, draw_visits, record_row, vary
from liverstiff.simulate.tree import write_exam
from liverstiff.simulate.wording import LANGUAGES, Wording


def simulate_site(
    *, site: str, config: SimulateConfig, tree: Path, record: Path, truth: Path, truth_series: Path
) -> None:
    """Write one hospital of the simulated cohort; the same config gives the same bytes.

    Args:
        site: a key of ``config.sites``.
        config: the section ``simulate``.
        tree: folder for the DICOM files.
        record: CSV for the health record.
        truth: CSV for what is true, by PatientID and StudyInstanceUID; for tests only.
        truth_series: CSV for what is true of each series and part: ``study_uid``, ``series_uid``, ``image_type``,
            ``kind``, ``variant``, ``source``, ``echo_time`` (ms); for tests only.
    """
    settings = config.sites[site]
    rows: list[dict[str, Any]] = []
    labs: list[dict[str, str]] = []
    parts: list[dict[str, Any]] = []
    encoder = Encoder(character_set(settings.record_style))
    for number, visit in enumerate(schedule(site, config)):
        patient = draw_patient(site, config, visit)
        exam = acquire_exam(patient, settings, config, generator(config.seed, site, "exam", number))
        study = identify(site, settings, config.seed, visit, patient)
        planned = planned_exam(number, site, settings, config.seed, exam.acquired)
        parts += write_exam(planned, study, settings.layout, Path(tree), encoder)
        rows.append(truth_row(study, exam))
        labs += lab_rows(
            settings, study["PatientID"], visit.date, patient, generator(config.seed, site, "labs", number)
        )
    for path in (record, truth, truth_series):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(labs).sort_values(list(KEYS[settings.record_style]), kind="stable").to_csv(record, index=False)
    pd.DataFrame(rows).to_csv(truth, index=False)
    pd.DataFrame(parts).to_csv(truth_series, index=False)


def simulate_atlases(*, config: SimulateConfig, folder: Path) -> None:
    """Write ``image_<n>.nii.gz`` (T1w) and ``label_<n>.nii.gz`` (1 liver, 2 spleen), n from 1, patients of no site."""
    models = DEVELOPMENT_SITES
    for n in range(1, config.atlases + 1):
        rng = generator(config.seed, "atlas", "patient", n)
        model = models[(n - 1) % len(models)]
        patient = one_patient(model, rng)
        body = anatomy.build(patient, rng)
        protocol = dialects.PROTOCOLS[model.vendor, model.field_t]
        scanned = scan.acquire(body, patient, protocol, scan.Breath(0, 0, 0), rng)
        label = signal.mask(body, "liver", scan.T1W_GRID).astype(np.uint8)
        label[signal.mask(body, "spleen", scan.T1W_GRID)] = 2
        images.save(Path(folder) / f"image_{n}.nii.gz", np.rint(scanned.t1w).astype(np.uint16), scan.T1W_GRID.affine)
        images.save(Path(folder) / f"label_{n}.nii.gz", label, scan.T1W_GRID.affine)


def generator(seed: int, site: str, purpose: str, number: int) -> np.random.Generator:
    """A generator of its own for every purpose, so that adding a site or an exam changes no other."""
    return np.random.default_rng(np.random.SeedSequence([seed, zlib.crc32(f"{site}/{purpose}".encode()), number]))


def schedule(site: str, config: SimulateConfig) -> list[Visit]:
    """Exams of a site in the order of their patients: days spread evenly over the period, some patients twice."""
    exams = config.sites[site].exams
    repeats = round(exams * config.repeat_fraction / (1 + config.repeat_fraction))
    patients = exams - repeats
    rng = generator(config.seed, site, "schedule", 0)
    days = (config.last_date - config.first_date).days
    first = np.floor((rng.permutation(patients) + rng.random(patients)) / patients * days).astype(int)
    dates = [config.first_date + dt.timedelta(days=int(day)) for day in first]
    visits = [Visit(k, 0, date, date) for k, date in enumerate(dates)]
    for k in rng.permutation(np.argsort(first, kind="stable")[: patients // 2 + 1])[:repeats]:
        later = min(dates[k] + dt.timedelta(days=int(rng.integers(180, 720))), config.last_date)
        visits.append(Visit(int(k), 1, later, dates[k]))
    return sorted(visits, key=lambda visit: (visit.patient, visit.repeat))


def site_model(site: str, settings: SimulatedSiteConfig) -> SiteModel:
    """The array-level model of a simulated site: that of its vendor and field, or one without shifts."""
    vendor = dialects.VENDORS[settings.dialect]
    known = (m for m in DEVELOPMENT_SITES if (m.vendor, m.field_t) == (vendor, settings.field_t))
    return replace(next(known, SiteModel(site, vendor, settings.field_t, 0.0, 0.0, 0.0)), name=site)


def one_patient(model: SiteModel, rng: np.random.Generator, cv: float = 0.10) -> dict[str, Any]:
    """One row of the array-level world."""
    return {str(name): value for name, value in draw_patients(1, model, rng, cv).iloc[0].items()}


def draw_patient(site: str, config: SimulateConfig, visit: Visit) -> dict[str, Any]:
    """The patient of an exam: at a second exam the same person and signs, older, with new measurements."""
    rng = generator(config.seed, site, "patient", visit.patient)
    model = site_model(site, config.sites[site])
    patient = one_patient(model, rng, config.measurement_cv)
    if visit.repeat:
        again = generator(config.seed, site, "repeat", visit.patient)
        patient["measured_kpa"] = float(measure(np.array([patient["stiffness_kpa"]]), again, config.measurement_cv)[0])
        patient["age"] += (visit.date - visit.first).days / 365.25
        patient |= vary(patient, again, 0.3)
    return patient


@dataclass(frozen=True)
class Simulated:
    """An exam and what was planted in it."""

    acquired: Acquired
    failure: str


def acquire_exam(
    patient: dict[str, Any], settings: SimulatedSiteConfig, config: SimulateConfig, rng: np.random.Generator
) -> Simulated:
    """Build the abdomen and acquire everything; some elastograms fail, some exams lack T2w or DWI."""
    vendor = dialects.VENDORS[settings.dialect]
    failure = str(rng.choice(FAILURES)) if rng.random() < config.mre_failure_fraction else ""
    absent = str(rng.choice(("T2w", "DWI"))) if rng.random() < config.missing_sequence_fraction else ""
    uneven = 3.0 if (vendor == "GE" or settings.clutter) and rng.random() < 0.3 else 0.0
    ge_offset = bool(rng.random() < 0.5)
    body = anatomy.build(patient, rng)
    breath = scan.Breath.draw(rng)
    scanned = scan.acquire(body, patient, dialects.PROTOCOLS[vendor, settings.field_t], breath, rng)
    mre = acquire_elastogram(body, patient, slice_grids(uneven), breath.mre, failure, rng)
    return Simulated(Acquired(body, patient, scanned, mre, absent, ge_offset), failure)


def planned_exam(number: int, site: str, settings: SimulatedSiteConfig, seed: int, acquired: Acquired) -> Exam:
    """What the site makes of an acquisition: its plan and its texts follow from the exam's number."""
    scanner = dialects.Scanner(settings.dialect, settings.field_t)
    rng = generator(seed, site, "plan", number)
    plan = draw_plan(scanner, acquired.absent, Draw(settings.clutter, rng))
    wording = Wording(scanner.vendor, LANGUAGES[settings.record_style], settings.clutter, rng)
    return Exam(scanner, Rendered(acquired, scanner.protocol), plan, wording, acquired.ge_offset)


def truth_row(study: dict[str, Any], exam: Simulated) -> dict[str, Any]:
    """What is true of an exam."""
    patient = exam.acquired.patient
    row = {"patient_id": study["PatientID"], "study_uid": study["StudyInstanceUID"], "study_date": study["StudyDate"]}
    row |= {name: patient[name] for name in ("stiffness_kpa", "measured_kpa")}
    row |= {"failure": exam.failure, "absent": exam.acquired.absent, "ge_offset": exam.acquired.ge_offset}
    return row | {name: patient[name] for name in ("fibrosis", "inflammation", *SIGNS)}


def lab_rows(
    settings: SimulatedSiteConfig, patient_id: str, date: dt.date, patient: dict[str, Any], rng: np.random.Generator
) -> list[dict[str, str]]:
    """Rows of the record around one exam."""
    return [
        record_row(settings.record_style, patient_id, (date + dt.timedelta(days=days)).isoformat(), values)
        for days, values in draw_visits(patient, rng)
    ]
