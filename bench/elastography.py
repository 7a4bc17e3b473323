"""Our reading of simulated elastograms against the stiffness as written, and what errors of the mask do to it.

Run: .venv/bin/python bench/elastography.py [--quick]. Exams of GE, Siemens (classic, XA) and Philips (classic,
enhanced) are written as DICOM: the maps and their magnitude, nothing else; beside them the true liver mask and a T1w as
the frame. The catalog chooses the series. One exam in five has a planted failure. Measured:

- the reading against the mean of the simulated map over the pixels that the reading used (unit, scale, place of every
  pixel) and against the liver's own mean stiffness (``truth``);
- planted failures by the code they were given;
- the change of the reading by a mask 10 % too large, a mask shifted 5 mm, and holes in the confidence;
- the breathing between frame and elastogram before and after the registration, as it is and with 10 mm more of it.

The last two in every fourth chunk of 50 exams. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import resource
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pingouin
from scipy import ndimage

from liverstiff import images
from liverstiff.catalog import catalog_site
from liverstiff.config import ElastographyConfig, SimulatedSiteConfig
from liverstiff.elastography import Reading, elastography_shard, read_exam
from liverstiff.errors import ExamExcluded
from liverstiff.records import Exam, ExamStatus, read_table, write_status
from liverstiff.simulate import anatomy, scan, signal
from liverstiff.simulate import exam as written
from liverstiff.simulate.dialects import Dialect, Scanner
from liverstiff.simulate.elastogram import FAILURES, Elastogram, acquire_elastogram, slice_grids
from liverstiff.simulate.encode import Encoder
from liverstiff.simulate.identity import Visit, identify
from liverstiff.simulate.plan import Plan, elastography, usual_elastogram
from liverstiff.simulate.population import DEVELOPMENT_SITES, draw_patients
from liverstiff.simulate.tree import write_exam
from liverstiff.simulate.wording import LANGUAGES, Wording

DIALECTS: tuple[Dialect, ...] = ("ge", "siemens", "siemens-xa", "philips", "philips-enhanced")
SITE = "bench"
CHUNK = 50
"""Exams on disk at a time."""

PER_ABDOMEN = 5
"""Exams of one abdomen: each with its own stiffness, breathing, confidence and noise."""

PLANTED_EVERY = 5
FAULTS_EVERY = 4
"""Faults of mask, breathing and confidence are made in one chunk of so many."""
SHIFT_MM, LARGER, HOLES, HOLE_MM = 5.0, 1.10, 6, 10.0
BREATH_MM = 10.0
DIRECTIONS = np.array([(1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1)])
T1W_MS = (4.2, 1.9, 10.0, 0.1)
"""TR, TE in ms, flip angle in degrees, share of fat left, of the frame."""


@dataclass(frozen=True)
class Pixels:
    """The elastogram as the pixels of an exam that holds nothing else."""

    mre: Elastogram
    offsets: int = 2

    def grid(self, content: str) -> signal.Grid:
        """Where the images lie."""
        return self.mre.grids[0]


@dataclass(frozen=True)
class Made:
    """One simulated exam and what is true of it."""

    number: int
    dialect: Dialect
    failure: str
    kpa: float
    """Mean stiffness of the liver where it is confident."""
    breath_mm: float
    """By which the liver lies higher in the elastogram than in the frame."""
    mre: Elastogram
    frame: np.ndarray
    liver: np.ndarray

    def expected(self, reading: Reading) -> float:
        """Area-weighted mean of the simulated map over the pixels that a reading used, in kPa."""
        heights = np.array([grid.centre_z for grid in self.mre.grids])
        total, count = 0.0, 0
        for region in reading.used:
            k = int(np.argmin(np.abs(heights - region.part.affine[2, 3])))
            stiffness = self.mre.stiffness[::-1, ::-1, k].T  # rows run to the back, columns to the left
            total, count = total + float(stiffness[region.counts].sum()), count + int(region.counts.sum())
        return total / count


def made_exams(number: int) -> Iterator[Made]:
    """Simulated exams, one in :data:`PLANTED_EVERY` with a failure, all kinds of it in turn at every dialect."""
    people = draw_patients(number, DEVELOPMENT_SITES[0], np.random.default_rng(7)).to_dict("records")
    for n, person in enumerate(people):
        rng = np.random.default_rng([11, n])
        if n % PER_ABDOMEN == 0:
            body_rng = np.random.default_rng([12, n])
            of_body = {str(key): value for key, value in person.items()}
            body = anatomy.build(of_body, body_rng)
            table = {name: signal.spoiled_gradient_echo(t, *T1W_MS) for name, t in signal.tissues(of_body).items()}
            frame = signal.rician(signal.render(body, table, scan.T1W_GRID, 0.0, 0.07), 0.0025, body_rng)
            liver = signal.mask(body, "liver", scan.T1W_GRID)
        turn, place = divmod(n, PLANTED_EVERY)
        failure = FAILURES[(turn + turn // len(DIALECTS)) % len(FAILURES)] if place == turn % PLANTED_EVERY else ""
        breath = scan.Breath.draw(rng).mre
        patient = of_body | {"measured_kpa": person["measured_kpa"]}
        grids = slice_grids(3.0 if rng.random() < 0.3 else 0.0)
        mre = acquire_elastogram(body, patient, grids, breath, failure, rng)
        yield Made(n, DIALECTS[n % len(DIALECTS)], failure, person["measured_kpa"], breath, mre, frame, liver)


def write_and_catalog(made: list[Made], folder: Path) -> tuple[Path, dict[int, Exam]]:
    """DICOM of some exams and the table of the chosen files; the exams by number."""
    tree, by_study = folder / "dicom", {}
    encoder = Encoder("ISO_IR 100")
    for one in made:
        settings = SimulatedSiteConfig(dialect=one.dialect, field_t=1.5, exams=1)
        day = dt.date(2022, 1, 3)
        study = identify(SITE, settings, 1, Visit(one.number, 0, day, day), {"age": 50.0, "male": 0, "bmi": 27.0})
        scanner = Scanner(one.dialect, 1.5)
        steps = tuple(elastography("mre", roles) for roles in usual_elastogram(scanner.vendor))
        wording = Wording(scanner.vendor, LANGUAGES["english"], 0.0, np.random.default_rng(one.number))
        write_exam(written.Exam(scanner, Pixels(one.mre), Plan(steps), wording, False), study, "exam", tree, encoder)
        by_study[study["StudyInstanceUID"]] = one.number
    tables = {name: folder / f"{name}.csv" for name in ("series", "skipped", "overridden")}
    paths = {"key": folder / "key", "private": folder / "private", "cache": folder / "cache.sqlite"}
    catalog_site(site=SITE, tree=tree, **paths, **tables, overrides=[])
    files = pd.read_csv(folder / "private" / "files.csv", dtype=str, keep_default_na=False)
    files[files.chosen == "True"].drop(columns="chosen").to_csv(folder / "shard.csv", index=False)
    listed = pd.read_csv(folder / "private" / "exams.csv", dtype=str)
    rows = zip(listed.study_uid, listed.exam, listed.patient, strict=True)
    return folder / "shard.csv", {by_study[uid]: Exam(exam, patient, SITE) for uid, exam, patient in rows}


def write_images(one: Made, exam: Exam, folder: Path, liver: np.ndarray, lower_mm: float = 0.0) -> None:
    """Mask and frame as the stages before leave them, both so much nearer to the feet."""
    affine = scan.T1W_GRID.affine
    affine[2, 3] -= lower_mm
    images.save(exam.path(folder / "segment", "space-frame_mask"), liver.astype(np.uint8), affine)
    images.save(exam.path(folder / "register", "space-frame_T1w"), one.frame, affine)


def larger(liver: np.ndarray) -> np.ndarray:
    """A mask of 110 % of the volume, grown evenly outwards."""
    away = ndimage.distance_transform_edt(~liver, sampling=scan.T1W_GRID.spacing)
    return away <= np.partition(away.ravel(), int(LARGER * liver.sum()))[int(LARGER * liver.sum())]


def shifted(liver: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """A mask moved by 5 mm."""
    step = SHIFT_MM * direction / np.array(scan.T1W_GRID.spacing)
    return ndimage.shift(liver.astype(np.float32), step, order=1) > 0.5


def with_holes(mre: Elastogram, rng: np.random.Generator) -> Elastogram:
    """Discs of no confidence in every slice, where there was some."""
    confidence = mre.confidence.copy()
    x, y = np.indices(confidence.shape[:2])
    for k, grid in enumerate(mre.grids):
        sure = np.argwhere(confidence[:, :, k] >= 0.95)
        for i, j in sure[rng.integers(0, len(sure), HOLES)] if len(sure) else ():
            confidence[np.hypot((x - i) * grid.spacing[0], (y - j) * grid.spacing[1]) < HOLE_MM, k] = 0.3
    return replace(mre, confidence=confidence)


def read(exam: Exam, folder: Path, shard: Path, **settings: bool) -> Reading | str:
    """The reading, or the code of its failure."""
    places = {"shard": shard, "segmented": folder / "segment", "registered": folder / "register"}
    try:
        return read_exam(exam, **places, settings=ElastographyConfig(**settings))
    except ExamExcluded as fault:
        return str(fault.reason)


def kpa(reading: Reading | str) -> float:
    """Stiffness of a reading; NaN for a failure."""
    return reading.stiffness_kpa if isinstance(reading, Reading) else np.nan


def judged(made: list[Made], folder: Path, faults: bool = True) -> list[dict]:
    """A row per exam; with ``faults`` also of the mask, the breathing and the confidence."""
    shard, exams = write_and_catalog(made, folder)
    if faults:
        holed = [replace(m, mre=with_holes(m.mre, np.random.default_rng(m.number))) for m in made if not m.failure]
        holed_shard, holed_exams = write_and_catalog(holed, folder / "holes")
    rows = []
    for one in made:
        exam = exams[one.number]
        write_images(one, exam, folder, one.liver)
        start = time.perf_counter()
        reading = read(exam, folder, shard)
        row = {
            "number": one.number,
            "exam": exam.exam,
            "patient": exam.patient,
            "dialect": one.dialect,
            "failure": one.failure,
        }
        row |= {"truth": one.kpa, "seconds": time.perf_counter() - start, "breath_mm": one.breath_mm}
        row["faults"] = faults
        row |= {"code": reading} if isinstance(reading, str) else seen(one, reading)
        if faults and not one.failure:
            row["by_header"] = kpa(read(exam, folder, shard, refine=False))
            write_images(one, exam, folder, larger(one.liver))
            row["larger"] = kpa(read(exam, folder, shard))
            write_images(one, exam, folder, shifted(one.liver, DIRECTIONS[one.number % len(DIRECTIONS)]))
            row["shifted"] = kpa(read(exam, folder, shard))
            write_images(one, holed_exams[one.number], folder, one.liver)
            row["holes"] = kpa(read(holed_exams[one.number], folder, holed_shard))
            write_images(one, exam, folder, one.liver, BREATH_MM)
            moved = read(exam, folder, shard)
            row["breathed"], row["breathed_by_header"] = kpa(moved), kpa(read(exam, folder, shard, refine=False))
            if isinstance(moved, Reading):
                row["breathed_error_mm"] = float(moved.shift_mm[2]) - one.breath_mm - BREATH_MM
            write_images(one, exam, folder, one.liver)
        rows.append(row)
    return rows


def seen(one: Made, reading: Reading) -> dict:
    """What a reading says beside the truth."""
    return {
        "code": "",
        "kpa": reading.stiffness_kpa,
        "written": one.expected(reading),
        "area_mm2": reading.area_mm2,
        "frequency_hz": reading.frequency_hz,
        "shift_z_mm": float(reading.shift_mm[2]),
        "shift_xy_mm": float(np.hypot(*reading.shift_mm[:2])),
        "moved": bool(reading.shift_mm.any()),
    }


def same_by_the_stage(rows: list[dict], folder: Path) -> bool:
    """Whether the stage itself gives the same numbers and codes."""
    exams = {
        path.name.removeprefix("ses-"): path.parent.name.removeprefix("sub-")
        for path in folder.glob("segment/sub-*/ses-*")
    }
    status = [ExamStatus(row["exam"], exams[row["exam"]], SITE, "segment", "ok") for row in rows]
    write_status(status, folder / "segment" / "status.csv")
    out = folder / "elastography"
    elastography_shard(
        shard=folder / "shard.csv",
        segmented=folder / "segment",
        registered=folder / "register",
        folder=out,
        settings=ElastographyConfig(),
    )
    table = read_table(out / "stiffness.csv").set_index("exam").stiffness_kpa
    pictures = len(list(out.rglob("*_desc-elastogram.png")))
    good = [row for row in rows if not row["code"]]
    return pictures == len(good) == len(table) and all(abs(table[row["exam"]] - row["kpa"]) < 1e-3 for row in good)


def agreement(found: pd.Series, reference: pd.Series) -> dict[str, float]:
    """ICC(A,1), two-way random effects, and 95 % limits of agreement in per cent of the mean."""
    both = pd.DataFrame({"ours": found, "reference": reference}).dropna()
    long = both.reset_index().melt("index", var_name="rater", value_name="kpa")
    icc = pingouin.intraclass_corr(long, targets="index", raters="rater", ratings="kpa").set_index("Type")["ICC"]
    percent = 200 * (both.ours - both.reference) / (both.ours + both.reference)
    low, high = percent.mean() - 1.96 * percent.std(), percent.mean() + 1.96 * percent.std()
    name = next(kind for kind in icc.index if kind in ("ICC2", "ICC(A,1)"))
    return {"icc": round(float(icc[name]), 5), "low_percent": round(low, 3), "high_percent": round(high, 3)}


def change(rows: pd.DataFrame, name: str) -> dict[str, float]:
    """How much a fault of the input changes the reading, in per cent: median, 95th percentile, largest; lost exams."""
    rows = rows[rows.faults]
    percent = 100 * (rows[name] / rows.kpa - 1).abs()
    return {
        "exams": len(rows),
        "median": round(float(percent.median()), 2),
        "p95": round(float(percent.quantile(0.95)), 2),
        "max": round(float(percent.max()), 2),
        "over_5_percent": int((percent > 5).sum()),
        "lost": int(rows[name].isna().sum()),
    }


def summary(rows: pd.DataFrame) -> dict:
    """All figures."""
    intact, planted = rows[rows.failure == ""], rows[rows.failure != ""]
    read_ones = intact[intact.code == ""]
    codes = Counter(zip(planted.failure, planted.code, strict=True))
    for (failure, code), count in sorted(codes.items()):
        print(f"planted {failure}: {count} got {code or 'a reading'}")
    off = (read_ones.kpa / read_ones.written).clip(1e-9)
    error = (read_ones.shift_z_mm - read_ones.breath_mm).abs()
    return {
        "exams": len(rows),
        "by_dialect": {str(k): int(v) for k, v in intact.dialect.value_counts().sort_index().items()},
        "intact": len(intact),
        "intact_not_read": int((intact.code != "").sum()),
        "unit_errors": int(((off > 2) | (off < 0.5)).sum()),
        "as_written": agreement(read_ones.kpa, read_ones.written),
        "truth": agreement(read_ones.kpa, read_ones.truth),
        "truth_by_header": agreement(read_ones.by_header, read_ones.truth),
        "planted": len(planted),
        "planted_with_own_code": int((planted.failure == planted.code).sum()),
        "larger_10_percent": change(read_ones, "larger"),
        "shifted_5_mm": change(read_ones, "shifted"),
        "confidence_holes": change(read_ones, "holes"),
        "breathed_10_mm": change(read_ones, "breathed"),
        "breathed_10_mm_by_header": change(read_ones, "breathed_by_header"),
        "breathed_10_mm_error_median_p95_mm": [
            round(float(read_ones.breathed_error_mm.abs().quantile(q)), 2) for q in (0.5, 0.95)
        ],
        "moved_by_registration": round(float(read_ones.moved.mean()), 3),
        "breath_mm_before": round(float(read_ones.breath_mm.abs().median()), 2),
        "breath_mm_after": round(float(error.median()), 2),
        "breath_p95_before_after": [
            round(float(read_ones.breath_mm.abs().quantile(0.95)), 2),
            round(float(error.quantile(0.95)), 2),
        ],
        "in_plane_p95_mm": round(float(read_ones.shift_xy_mm.quantile(0.95)), 2),
        "area_mm2_median": round(float(read_ones.area_mm2.median())),
        "s_per_exam": round(float(rows.seconds.mean()), 3),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def measure(exams: int, keep: Path | None = None) -> dict:
    """Everything, a chunk of exams at a time."""
    rows: list[dict] = []
    chunk: list[Made] = []
    same = True
    for made in made_exams(exams):
        chunk.append(made)
        if len(chunk) == CHUNK or made.number == exams - 1:
            with tempfile.TemporaryDirectory() as name:
                new = judged(chunk, Path(name), faults=(made.number // CHUNK) % FAULTS_EVERY == 0)
                same = same and (bool(rows) or same_by_the_stage(new, Path(name)))
            rows += new
            chunk = []
            print(f"{len(rows)} exams", flush=True)
    table = pd.DataFrame(rows)
    if keep:
        table.to_csv(keep, index=False)
    return summary(table) | {"stage_gives_the_same": same}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="100 exams")
    parser.add_argument("--exams", type=int, default=1000)
    parser.add_argument("--rows", type=Path, help="CSV to write a row per exam to")
    asked = parser.parse_args()
    start = time.perf_counter()
    figures = measure(100 if asked.quick else asked.exams, asked.rows)
    print(json.dumps(figures | {"seconds": round(time.perf_counter() - start, 1)}))
