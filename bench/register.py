"""Landmark errors of registration in livers whose motion is known, and its CPU time and memory.

Run: .venv/bin/python bench/register.py [--quick] [--exams N] [--first SEED] [--data FOLDER].

Simulated exams of five vendors at two field strengths: T2w and DWI shifted by up to 20 mm along the body, DWI distorted
as the simulator distorts it, everything through harmonize_exam and register_exam; half as many of patients who moved by
1 mm at most ("still"): there the header's geometry is right for T2w. Real livers: CHAOS T2-SPIR volumes, moved by a
known shift, rotation and smooth distortion, their contrast remapped (T2w) or inverted (DWI). The error of a landmark is
the distance of where the motion takes it from where it truly went. An exam is worse than the header when its mean error
exceeds the header's by more than 0.1 mm. ITK, BLAS: one thread. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"), "1")

import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
from scipy import ndimage

import liverstiff.register as stage
from liverstiff import images
from liverstiff.config import HarmonizeConfig, RegisterConfig
from liverstiff.harmonize import harmonize_exam
from liverstiff.records import Exam
from liverstiff.simulate import anatomy, dialects, scan, signal
from liverstiff.simulate.population import SiteModel, draw_patients
from liverstiff.simulate.shapes import ORIGIN_MM, STEP_MM

TOLERANCE_MM = 0.1
LANDMARKS = 400
MAX_SHIFT_MM, STILL_MM = 20.0, 1.0
SCANNERS = sorted(dialects.PROTOCOLS)
CHAOS = Path(__file__).resolve().parents[2] / "shared" / "data" / "chaos_t2spir_liver"

Motion = Callable[[np.ndarray], np.ndarray]
"""Takes points of the frame (point, 3), RAS+ mm, to where they lie in the other image."""


@dataclass(frozen=True)
class Landmarks:
    """Points inside the liver."""

    frame: np.ndarray
    """Where they lie in the frame, RAS+ mm (point, 3)."""
    truth: dict[str, np.ndarray]
    """Where they truly lie in each other sequence, RAS+ mm (point, 3)."""


def landmark_errors(points: np.ndarray, truth: np.ndarray, motion: Motion | np.ndarray | None) -> np.ndarray:
    """Error in mm (point,) of a method: its motion as a function, or the landmarks as it warps them; None: header."""
    found = points if motion is None else motion if isinstance(motion, np.ndarray) else motion(points)
    return np.linalg.norm(found - truth, axis=1)


def simulated(seed: int, folder: Path, reach_mm: float = 20.0) -> tuple[Exam, Landmarks]:
    """Harmonise a simulated exam below ``folder / "harmonized"``, its true liver beside it; its landmarks."""
    rng = np.random.default_rng([2026, seed])
    vendor, field_t = SCANNERS[seed % len(SCANNERS)]
    patient = draw_patients(1, SiteModel("bench", vendor, field_t, 0, 0, 0), rng).iloc[0]
    body = anatomy.build({str(name): value for name, value in patient.items()}, rng)
    t2w, dwi = rng.uniform(-reach_mm, reach_mm, 2)
    protocol = dialects.PROTOCOLS[vendor, field_t]
    fields: list[np.ndarray] = []
    with mock.patch.object(signal, "inhomogeneity", recorded(signal.inhomogeneity, fields)):
        scanned = scan.acquire(body, dict(patient), protocol, scan.Breath(float(t2w), float(dwi), 0.0), rng)
    exam = Exam(f"e{seed}", f"p{seed}", "bench")
    volumes = {"T1w": (scanned.t1w, scan.T1W_GRID), "T2w": (scanned.t2w, scan.T2W_GRID)}
    for name, (voxels, grid) in volumes.items():
        images.save(exam.path(folder / "converted", name, datatype="anat"), voxels, grid.affine)
    series = np.moveaxis(scanned.dwi, 0, -1)
    images.save(exam.path(folder / "converted", "dwi", datatype="dwi"), series, scan.DWI_GRID.affine)
    bval = exam.path(folder / "converted", "dwi", ".bval", "dwi")
    bval.write_text(" ".join(f"{b:g}" for b in protocol.b_values))
    harmonize_exam(exam, folder / "harmonized", converted=folder / "converted", settings=HarmonizeConfig())
    images.save(
        folder / "liver.nii.gz", signal.mask(body, "liver", scan.T1W_GRID).astype(np.uint8), scan.T1W_GRID.affine
    )
    where = np.argwhere(body.fraction("liver") > 0.5)
    points = rng.permutation(where)[:LANDMARKS] * np.array(STEP_MM) + np.array(ORIGIN_MM)
    up_t2w, up_dwi = np.array([0, 0, t2w]), np.array([0, 0, dwi])
    return exam, Landmarks(
        points, {"T2w": points + up_t2w, "DWI": distorted(points + up_dwi, fields[0], scan.DWI_GRID)}
    )


def recorded(function: Callable[..., Any], results: list[Any]) -> Callable[..., Any]:
    """The same function; what it returns is also added to a list."""

    def record(*arguments: Any) -> Any:
        results.append(function(*arguments))
        return results[-1]

    return record


def distorted(points: np.ndarray, field: np.ndarray, grid: signal.Grid) -> np.ndarray:
    """Where points (point, 3) appear in the distorted image: y with y + field(x, y, z) = y of the tissue, in voxels."""
    index = ((points - np.array(grid.origin)) / np.array(grid.spacing)).T
    place = index.copy()
    for _ in range(50):
        place[1] = index[1] - ndimage.map_coordinates(field, place, order=1, mode="nearest")
    return place.T * np.array(grid.spacing) + np.array(grid.origin)


def real(number: int, volume: Path, folder: Path) -> tuple[Exam, Landmarks]:
    """A CHAOS volume as T1w, and moved as T2w and DWI."""
    rng = np.random.default_rng([2027, number])
    voxels, affine = images.load(volume)
    liver = images.load(volume.with_name(volume.name.replace("image", "label")))[0] == 1
    exam, out = Exam(f"e{number}", f"p{number}", "chaos"), folder / "harmonized"
    voxels = (voxels - voxels.min()) / np.percentile(voxels - voxels.min(), 99)
    noise = rng.normal(0, 0.02, (2, *voxels.shape)).astype(np.float32)
    contrast = {"T2w": np.sqrt(np.maximum(voxels, 0)), "DWI": np.where(voxels > 0.05, 1.2 - voxels, 0)}
    images.save(exam.path(out, "T1w"), voxels, affine)
    images.save(exam.path(out, "desc-body_mask"), (ndimage.gaussian_filter(voxels, 2) > 0.1).astype(np.uint8), affine)
    points = rng.permutation(np.argwhere(liver))[:LANDMARKS] @ affine[:3, :3].T + affine[:3, 3]
    truth = {}
    for k, (name, image) in enumerate(contrast.items()):
        motion = known_motion(rng, points.mean(axis=0), affine, voxels.shape, name == "DWI")
        coarser = np.diag([2.0, 2.0, 1.0, 1.0])
        grid = images.grid(affine @ coarser, (128, 128, voxels.shape[2]))
        source = (motion(grid.reshape(-1, 3)) - affine[:3, 3]) @ np.linalg.inv(affine[:3, :3]).T
        moved = ndimage.map_coordinates(image, source.T, order=1).reshape(grid.shape[:3])
        images.save(exam.path(out, name), (moved + noise[k][::2, ::2]).astype(np.float32), affine @ coarser)
        truth[name] = inverse(motion, points)
    images.save(exam.path(out, "ADC"), images.load(exam.path(out, "DWI"))[0], affine @ coarser)
    return exam, Landmarks(points, truth)


def known_motion(
    rng: np.random.Generator, centre: np.ndarray, affine: np.ndarray, shape: tuple[int, ...], epi: bool
) -> Motion:
    """Moved image to frame: up to 20 mm along the body, 3 mm across, 2 degrees; smooth, 3 mm SD along y if ``epi``."""
    shift = np.array([*rng.uniform(-3, 3, 2), rng.uniform(-MAX_SHIFT_MM, MAX_SHIFT_MM)])
    turn = np.cross(np.eye(3), np.deg2rad(rng.uniform(-2, 2, 3)))
    field = signal.inhomogeneity(shape, 3.0 if epi else 0.0, rng)

    def motion(points: np.ndarray) -> np.ndarray:
        index = np.linalg.inv(affine[:3, :3]) @ (points - affine[:3, 3]).T
        along = ndimage.map_coordinates(field, index, order=1, mode="nearest")
        return points + (points - centre) @ turn + shift + along[:, None] * [0.0, 1.0, 0.0]

    return motion


def inverse(motion: Motion, points: np.ndarray) -> np.ndarray:
    """Points that a motion takes to ``points``, by fixed-point iteration."""
    found = points.copy()
    for _ in range(50):
        found = found + points - motion(found)
    return found


def registered(exam: Exam, folder: Path) -> tuple[dict[str, stage.Fit], dict[str, Any], float]:
    """What register_exam finds per sequence, its measures, and its CPU seconds."""
    fits: list[stage.Fit] = []
    start = time.process_time()
    with mock.patch.object(stage, "fit_sequence", recorded(stage.fit_sequence, fits)):
        measures = stage.register_exam(
            exam, folder / "registered", harmonized=folder / "harmonized", settings=RegisterConfig()
        )
    seconds = time.process_time() - start
    return (
        dict(zip([n for n in ("T2w", "DWI") if f"{n.lower()}_kept" in measures], fits, strict=True)),
        measures,
        seconds,
    )


def measure(source: str, exam: Exam, landmarks: Landmarks, folder: Path) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
    """Errors of every landmark, and a row per sequence."""
    fits, _, seconds = registered(exam, folder)
    errors, rows = [], []
    for name, fit in fits.items():
        ours = landmark_errors(landmarks.frame, landmarks.truth[name], fit.motion)
        header = landmark_errors(landmarks.frame, landmarks.truth[name], None)
        errors.append(pd.DataFrame({"source": source, "sequence": name, "ours": ours, "header": header}))
        row = {"source": source, "sequence": name, "exam": exam.exam, "transform": fit.motion.name, "cpu_s": seconds}
        rows.append(row | {"ours": ours.mean(), "header": header.mean(), "harm": ours.mean() - header.mean()})
    return pd.concat(errors), rows


def full_size(folder: Path, matrix: int, slices: int) -> tuple[float, float]:
    """CPU seconds and peak memory (MB, in a process of its own) of an exam whose T1w has that many voxels."""
    side = 384.0 / matrix
    t1w = signal.Grid((matrix, matrix, slices), (side, side, 200.0 / slices))
    t2w = signal.Grid((matrix, matrix, slices * 3 // 4), (side, side, 800 / 3 / slices))
    dwi = signal.Grid((matrix // 2, matrix // 2, slices * 3 // 4), (2 * side, 2 * side, 800 / 3 / slices))
    with mock.patch.multiple(scan, T1W_GRID=t1w, T2W_GRID=t2w, DWI_GRID=dwi):
        exam, _ = simulated(3, folder)
    child = os.fork()
    if child == 0:
        seconds = registered(exam, folder)[2]
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        (folder / "measured").write_text(f"{seconds} {peak}")
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        raise RuntimeError("the measured process failed")
    seconds, peak = map(float, (folder / "measured").read_text().split())
    return seconds, peak


def summary(errors: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """A row per source and sequence."""
    table = []
    for key, part in errors.groupby(["source", "sequence"]):
        exams = rows[(rows.source == key[0]) & (rows.sequence == key[1])]
        table.append(
            {
                "source": key[0],
                "sequence": key[1],
                "exams": len(exams),
                "header_median_mm": part.header.median(),
                "header_p95_mm": part.header.quantile(0.95),
                "tre_median_mm": part.ours.median(),
                "tre_p95_mm": part.ours.quantile(0.95),
                "worst_exam_mm": exams.ours.max(),
                "worse_than_header": int((exams.harm > TOLERANCE_MM).sum()),
                "most_harm_mm": exams.harm.max(),
                "header_kept": int((exams["transform"] == "header").sum()),
            }
        )
    return pd.DataFrame(table)


def exams(asked: argparse.Namespace, folder: Path) -> Iterator[tuple[str, Exam, Landmarks, Path]]:
    """Simulated exams, some of them of patients who held still, then real ones if the data are there."""
    for source, reach_mm, count in (("simulated", MAX_SHIFT_MM, asked.exams), ("still", STILL_MM, asked.exams // 2)):
        for seed in range(asked.first, asked.first + count):
            place = folder / f"{source}{seed}"
            yield source, *simulated(seed, place, reach_mm), place
    volumes = sorted(asked.data.glob("image_*.nii.gz"))[: 4 if asked.quick else None]
    for number, volume in enumerate(volumes):
        yield "real", *real(number, volume, folder / f"r{number}"), folder / f"r{number}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="10 simulated exams, 4 real ones, one size")
    parser.add_argument("--exams", type=int, default=None, help="simulated exams (40)")
    parser.add_argument(
        "--first", type=int, default=3000, help="seed of the first; none from 3000 on served for tuning"
    )
    parser.add_argument("--data", type=Path, default=CHAOS, help="folder of the CHAOS T2-SPIR volumes")
    asked = parser.parse_args()
    asked.exams = asked.exams or (10 if asked.quick else 40)
    with tempfile.TemporaryDirectory() as work:
        sizes = [(256, 40)] if asked.quick else [(256, 40), (512, 80)]
        sized = {f"{m}x{m}x{s}": full_size(Path(work) / f"{m}", m, s) for m, s in sizes}
        measured = [measure(*given) for given in exams(asked, Path(work))]
    errors, rows = pd.concat([m[0] for m in measured]), pd.DataFrame([row for m in measured for row in m[1]])
    table = summary(errors, rows)
    pd.set_option("display.width", 200, "display.max_columns", 20)
    print(rows.sort_values("harm").tail(5).to_string(index=False, float_format="%.2f"))
    print(table.to_string(index=False, float_format="%.2f"))
    for size, (seconds, peak) in sized.items():
        print(f"T1w {size}: {seconds:.1f} CPU s an exam, peak {peak:.0f} MB")
    first, peak = sized["256x256x40"]
    result = {
        "tre_median_mm": errors.ours.median(),
        "tre_p95_mm": errors.ours.quantile(0.95),
        "header_median_mm": errors.header.median(),
        "worse_than_header": int((rows.harm > TOLERANCE_MM).sum()),
        "most_harm_mm": rows.harm.max(),
        "sequences": len(rows),
        "cpu_s_per_exam": first,
        "peak_mb": peak,
    }
    print(json.dumps({name: round(value, 3) for name, value in result.items()}))


if __name__ == "__main__":
    main()
