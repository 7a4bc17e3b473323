"""Liver and spleen Dice on real labelled volumes that the method did not see, and how well bad masks are found.

Cross-validation over the volumes of a folder: `python bench/segment.py FOLDER --liver 1 --spleen 4`. Every fold trains
its own network. With --corrupt every held-out volume is also segmented after damage (noise, blur, coil, motion, lost
slices, folding, wrong contrast), and the predicted quality is held against the true Dice.
The last line is one JSON object. --quick: 2 of the folds, few steps of training; its Dice is no figure to quote.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import ndimage
from sklearn.metrics import roc_auc_score

from liverstiff import images
from liverstiff.config import NetworkConfig, SegmentConfig
from liverstiff.errors import ExamExcluded
from liverstiff.intensity import standardise
from liverstiff.segment.fusion import dice
from liverstiff.segment.methods import METHODS, Case, Sources
from liverstiff.segment.organs import implausible, segmentation

BAD = 0.8
"""A mask with a smaller Dice is one that should be found."""


def damages(image: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """The image (x, y, z) with one kind of damage each, of random strength."""
    high = float(np.percentile(image, 99))
    nx, ny, nz = image.shape
    x, y, _ = np.meshgrid(*(np.linspace(-1, 1, n) for n in image.shape), indexing="ij")
    start = rng.integers(0, nz // 3)
    shifts = rng.normal(0, rng.uniform(2, 12), nz)
    ghost = rng.uniform(0.2, 0.9) * np.roll(image, ny // 3, axis=1)
    return {
        "noise": np.abs(image + rng.normal(0, rng.uniform(0.1, 0.6) * high, image.shape)),
        "blur": ndimage.gaussian_filter(image, (rng.uniform(2, 10), rng.uniform(2, 10), 0.5)),
        "coil": image * np.exp(rng.uniform(0.5, 2.0) * (rng.uniform(-1, 1) * x + rng.uniform(-1, 1) * y)),
        "breathing": np.stack([np.roll(image[..., k], round(shifts[k]), axis=1) for k in range(nz)], axis=-1),
        "ghosts": image + ghost,
        "lost slices": image * (np.abs(np.arange(nz) - start - nz // 3) > rng.integers(1, nz // 4)),
        "folding": image + rng.uniform(0.4, 1.0) * np.roll(image, nx // 2, axis=0),
        "inverted": np.where(image > 0.05 * high, np.maximum(high - image, 0), image),
        "upside down": image[:, ::-1],
    }


def judge(number: str, case: Case, truth: np.ndarray, sources: Sources, settings: SegmentConfig, what: str) -> dict:
    """One row: what each method made of a volume."""
    row: dict[str, object] = {"volume": number, "damage": what}
    for method in settings.methods:
        start = time.process_time()
        try:
            found = segmentation(METHODS[method](case, sources, settings), case.affine, method)
        except ExamExcluded as fault:
            row |= {f"{method}_liver": 0.0, f"{method}_quality": 0.0, f"{method}_fault": fault.detail}
            continue
        liver, spleen = (
            dice(found.mask == k, truth == label)
            for k, label in ((1, settings.liver_label), (2, settings.spleen_label))
        )
        row |= {
            f"{method}_liver": liver,
            f"{method}_spleen": spleen,
            f"{method}_quality": found.quality,
            f"{method}_fault": implausible(found, case.affine, settings),
            f"{method}_cpu_s": time.process_time() - start,
        }
    return row


def run_fold(
    fold: int, held_out: list[str], folder: Path, work: Path, networks: Path, settings: SegmentConfig, corrupt: bool
) -> list[dict]:
    """Train without the held-out volumes, then segment them."""
    atlases, network = work / f"atlases{fold}", networks / f"network{fold}"
    atlases.mkdir()
    for path in folder.glob("*.nii.gz"):
        if path.name.split("_")[1].split(".")[0] not in held_out:
            (atlases / path.name).symlink_to(path.resolve())
    if "network" in settings.methods and not network.exists():
        from liverstiff.segment.training import train_network

        train_network(
            atlases=atlases,
            network=network,
            settings=settings,
            checkpoint=network.with_suffix(".checkpoint"),
        )
    sources, rows = Sources(atlases, network), []
    for number in held_out:
        voxels, affine = images.load(folder / f"image_{number}.nii.gz")
        truth = images.load(folder / f"label_{number}.nii.gz")[0]
        image = standardise(voxels, affine)[0]
        rows.append(judge(number, Case(image, affine), truth, sources, settings, "none"))
        print({k: round(v, 3) if isinstance(v, float) else v for k, v in rows[-1].items()}, flush=True)
        rng = np.random.default_rng([int(number), 1])
        for what, damaged in damages(image, rng).items() if corrupt else ():
            case = Case(damaged.astype(np.float32), affine)
            rows.append(judge(number, case, truth, sources, settings, what))
    return rows


def main() -> None:
    """Cross-validate, and print the table and the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--liver", type=int, default=1)
    parser.add_argument("--spleen", type=int, default=2)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=NetworkConfig().steps)
    parser.add_argument("--methods", nargs="+", default=["network", "atlas"])
    parser.add_argument("--corrupt", action="store_true")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--table", type=Path, help="write every row there")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--networks", type=Path, help="keep the trained networks there; use those that are there")
    parser.add_argument("--only", type=int, help="this fold alone")
    parser.add_argument("--quick", action="store_true")
    asked = parser.parse_args()
    settings = SegmentConfig(
        methods=tuple(asked.methods),
        atlases=str(asked.folder),
        liver_label=asked.liver,
        spleen_label=asked.spleen,
        network=NetworkConfig(steps=60 if asked.quick else asked.steps, precision=asked.precision),
    )
    numbers = sorted(path.name.split("_")[1].split(".")[0] for path in asked.folder.glob("image_*.nii.gz"))
    folds = [numbers[k :: asked.folds] for k in range(asked.folds)][: 2 if asked.quick else None]
    with (
        tempfile.TemporaryDirectory(prefix="liverstiff-bench-") as work,
        ProcessPoolExecutor(asked.processes, get_context("spawn")) as pool,
    ):
        jobs = [
            pool.submit(
                run_fold, k, fold, asked.folder, Path(work), asked.networks or Path(work), settings, asked.corrupt
            )
            for k, fold in enumerate(folds)
            if asked.only in (None, k)
        ]
        table = pd.DataFrame([row for job in jobs for row in job.result()])
    if asked.table:
        table.to_csv(asked.table, index=False)
    print(table.to_string(float_format=lambda value: f"{value:.3f}"))
    print(json.dumps(summary(table, settings)))


def summary(table: pd.DataFrame, settings: SegmentConfig) -> dict[str, float | int]:
    """The figures of every method."""
    intact = table[table.damage == "none"]
    figures: dict[str, float | int] = {"volumes": len(intact)}
    for method in settings.methods:
        liver, spleen = intact[f"{method}_liver"], intact[f"{method}_spleen"]
        figures |= {
            f"{method}_liver_mean": round(liver.mean(), 4),
            f"{method}_liver_worst": round(liver.min(), 4),
            f"{method}_spleen_mean": round(spleen.mean(), 4),
            f"{method}_cpu_s": round(intact[f"{method}_cpu_s"].mean(), 2),
        }
        bad = table[f"{method}_liver"] < BAD
        if 0 < bad.sum() < len(table):
            quality = table[f"{method}_quality"].where(table[f"{method}_fault"] == "", 0)
            figures |= {
                f"{method}_bad": int(bad.sum()),
                f"{method}_masks": len(table),
                f"{method}_quality_auroc": round(roc_auc_score(~bad, table[f"{method}_quality"]), 4),
                f"{method}_quality_and_faults_auroc": round(roc_auc_score(~bad, quality), 4),
            }
    return figures


if __name__ == "__main__":
    main()
