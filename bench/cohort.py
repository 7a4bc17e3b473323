"""The stages cohort and split at the size of a large study: time and memory, against the time to read the same files.

Run: .venv/bin/python bench/cohort.py [--quick]. 100,000 exams of 92,000 patients at four sites, 3,125 shards with the
status tables of six stages, a table of people and a long laboratory table per site with 5 million rows in all. The
floor is `pandas.read_csv` of the laboratory tables as text. Both run in processes of their own; `peak_mb` is that of
cohort and split. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from liverstiff.cohort import build_cohort
from liverstiff.config import CohortConfig, RecordConfig, SiteConfig, SplitConfig, TargetConfig
from liverstiff.pseudonyms import exam_pseudonym, patient_pseudonym
from liverstiff.split import split_cohort

KEY = bytes(range(32))
SITES = ("north", "south", "west", "abroad")
SHARD = 32
STAGES = ("convert", "harmonize", "register", "segment", "elastography", "pack")
TESTS: dict[str, tuple[str, str, float, float]] = {
    # variable: test, unit, median, spread of the logarithm
    "ast": ("ASAT", "ukat/L", 0.5, 0.4),
    "alt": ("ALAT", "U/L", 30.0, 0.5),
    "alp": ("AP", "U/L", 80.0, 0.3),
    "ggt": ("GGT", "U/L", 40.0, 0.7),
    "platelets": ("PLT", "/uL", 220_000.0, 0.3),
    "albumin": ("ALB", "g/L", 42.0, 0.1),
    "bilirubin": ("BILI", "umol/L", 10.0, 0.5),
    "inr": ("INR", "1", 1.05, 0.1),
    "creatinine": ("KREA", "umol/L", 80.0, 0.3),
    "weight": ("KG", "kg", 80.0, 0.2),
    "height": ("CM", "cm", 170.0, 0.05),
    "bmi": ("BMI", "kg/m2", 28.0, 0.2),
}
RECORD = {
    "patient": "PID",
    "tables": [
        {
            "table": "people.csv",
            "birth_date": "DOB",
            "columns": {"sex": {"column": "SEX", "codes": {"F": "female", "M": "male"}}},
        },
        {
            "table": "lab.csv",
            "date": "TIME",
            "long": {"test": "TEST", "value": "VALUE", "unit": "UNIT"},
            "columns": {name: {"tests": [test]} for name, (test, *_) in TESTS.items()},
        },
    ],
}


def make_study(folder: Path, exams: int, rows: int) -> None:
    """Write everything that the two stages read."""
    rng = np.random.default_rng(1)
    site = np.arange(exams) % len(SITES)
    person = np.where(rng.random(exams) < 0.08, rng.permutation(exams), np.arange(exams)) // len(SITES)
    number = [f"{SITES[s][0].upper()}{p:07d}" for s, p in zip(site, person, strict=True)]
    day = np.datetime64("2018-01-01") + rng.integers(0, 2500, exams)
    table = pd.DataFrame(
        {
            "exam": [exam_pseudonym(KEY, SITES[s], f"1.2.{n}") for n, s in enumerate(site)],
            "patient": [patient_pseudonym(KEY, SITES[s], one) for s, one in zip(site, number, strict=True)],
            "site": np.array(SITES)[site],
            "patient_id": number,
            "study_date": pd.Series(day).dt.strftime("%Y%m%d"),
            "vendor": np.array(["GE", "Siemens", "Philips", "Siemens"])[site],
            **{"model": "m", "field_t": 3.0, "t1w": True, "t2w": True, "dwi": True, "mre": True},
            "shard": [f"shard-{n // SHARD:04d}" for n in range(exams)],
            **{"status": "ok", "reason": "", "detail": ""},
        }
    )
    table.drop(columns=["patient_id", "study_date"]).to_csv(folder / "exams.csv", index=False)
    table[["exam", "patient", "site", "patient_id", "study_date"]].to_csv(folder / "linkage.csv", index=False)
    (folder / "key").write_bytes(KEY)
    for shard, mine in table.groupby("shard"):
        stiffness = pd.DataFrame({"exam": mine.exam, "stiffness_kpa": np.exp(rng.normal(1.1, 0.4, len(mine))).round(3)})
        for stage in STAGES:
            at = folder / stage / str(shard)
            at.mkdir(parents=True)
            status = mine[["exam", "patient", "site"]].assign(stage=stage, status="ok", reason="", detail="")
            status.to_csv(at / "status.csv", index=False)
        stiffness.to_csv(folder / "elastography" / str(shard) / "stiffness.csv", index=False)
    for place, name in enumerate(SITES):
        (folder / name).mkdir()
        mine = table[site == place].drop_duplicates("patient_id")
        people = pd.DataFrame({"PID": mine.patient_id, "SEX": rng.choice(["F", "M"], len(mine)), "DOB": "1968-05-04"})
        people.to_csv(folder / name / "people.csv", index=False)
        make_laboratory(folder / name / "lab.csv", table[site == place], rows // len(SITES), rng)


def make_laboratory(path: Path, exams: pd.DataFrame, rows: int, rng: np.random.Generator) -> None:
    """A long table: a row per patient, minute and test, up to two years around the exams; one in a hundred a limit."""
    who = rng.integers(0, len(exams), rows)
    which = rng.integers(0, len(TESTS), rows)
    test, unit, median, spread = (np.array(column) for column in zip(*TESTS.values(), strict=True))
    value = median[which] * np.exp(spread[which] * rng.standard_normal(rows))
    text = pd.Series(np.where(value > 1000, value.round(-3), value.round(2))).map("{:g}".format)
    days = pd.to_datetime(exams.study_date.to_numpy()[who]) + pd.to_timedelta(rng.integers(-730, 730, rows), "D")
    frame = pd.DataFrame(
        {
            "PID": exams.patient_id.to_numpy()[who],
            "TIME": days.strftime("%Y-%m-%d") + np.char.add(" 0", rng.integers(6, 10, rows).astype(str)) + ":30",
            "TEST": test[which],
            "VALUE": text.where(rng.random(rows) > 0.01, "<" + text),
            "UNIT": unit[which],
        }
    )
    frame.to_csv(path, index=False)


def cohort_and_split(folder: Path) -> dict[str, float]:
    """Seconds of the two stages, and the peak of the memory."""
    sites = {
        name: SiteConfig(
            role="external" if name == "abroad" else "development", dicom="x", record=RecordConfig(**RECORD)
        )
        for name in SITES
    }
    outputs = ("cohort", "exclusions", "flow", "missingness", "scanners", "conflicts", "agreements", "aliases")
    started = time.perf_counter()
    build_cohort(
        exams=folder / "exams.csv",
        linkage=folder / "linkage.csv",
        key=folder / "key",
        statuses=[at for stage in STAGES for at in sorted((folder / stage).iterdir())],
        stiffness=sorted((folder / "elastography").iterdir()),
        records=[folder / name / table for name in SITES for table in ("people.csv", "lab.csv")],
        sites=sites,
        temporal_cut=dt.date(2023, 1, 1),
        settings=CohortConfig(),
        target=TargetConfig(),
        **{name: folder / "out" / f"{name}.csv" for name in outputs},
    )
    middle = time.perf_counter()
    split_cohort(
        cohort=folder / "out" / "cohort.csv",
        aliases=folder / "out" / "aliases.csv",
        ledger=folder / "ledger" / "folds.csv",
        splits=folder / "out" / "splits.csv",
        strata=folder / "out" / "strata.csv",
        used=folder / "out" / "ledger.json",
        folds=[str(fold) for fold in range(10)],
        settings=SplitConfig(),
        target=TargetConfig(),
    )
    ended = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": ended - started, "cohort_s": middle - started, "split_s": ended - middle, "peak_mb": peak}


def floor(folder: Path) -> dict[str, float]:
    """Seconds that pandas takes to read the laboratory tables as text."""
    started = time.perf_counter()
    rows = sum(len(pd.read_csv(folder / name / "lab.csv", dtype=str)) for name in SITES)
    return {"floor_s": time.perf_counter() - started, "rows": rows}


def alone(measure: Callable[[Path], dict[str, float]], folder: Path) -> dict[str, float]:
    """The figures of a measurement in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measure, (folder,))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the size")
    size = 10 if parser.parse_args().quick else 1
    with tempfile.TemporaryDirectory() as name:
        make_study(Path(name), 100_000 // size, 5_000_000 // size)
        lowest = alone(floor, Path(name))
        found = alone(cohort_and_split, Path(name))
        analysed = len(pd.read_csv(Path(name) / "out" / "splits.csv", usecols=["exam"]))
    figures = found | lowest | {"exams": analysed, "ratio": found["seconds"] / lowest["floor_s"]}
    print(json.dumps({name: round(value, 2) for name, value in figures.items()}))
