"""Harmonize to pack against the ordinary recipe, on the same exams in one run: CPU time, Dice, registration error.

Run: .venv/bin/python bench/imaging.py [--quick] [--memory] [--network FOLDER] [--real-networks FOLDER].

The recipe is what an ANTs user would write: N4 at its defaults on T1w, T2w and the lowest b-value, SyN at full
resolution of T2w and of the lowest b-value onto T1w, SyN of each labelled volume onto T1w, majority vote. Ours are the
functions of the workflow, through its files, with all b-values. A simulated exam of full size (T1w 256 x 256 x 40, T2w,
DWI) gives time, true liver and true landmarks; real volumes (CHAOS T2-SPIR, each without its own label) give Dice where
a reader drew the truth. One thread each; on simulated exams the two run side by side. Imports, the reading of atlases
and the training of the network, on the recipe's labelled volumes (or --network), happen once for many exams and are
printed apart. A mask is measured whatever its predicted quality. --real-networks: what bench/segment.py --networks
left; its network that did not see a volume is measured too. --memory: peaks at 512 x 512 x 80 too. The last line is one
JSON object, null where nothing was measured. --quick: one exam, three labelled volumes, few steps (its Dice is not
a figure to quote), no real volume unless --real says so.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"), "1")

import re
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
from register import CHAOS, Landmarks, landmark_errors, registered, simulated

from liverstiff import images
from liverstiff.config import HarmonizeConfig, NetworkConfig, PackConfig, SegmentConfig, SimulateConfig
from liverstiff.errors import ExamExcluded
from liverstiff.harmonize import harmonize_exam
from liverstiff.intensity import standardise
from liverstiff.pack import pack_exam
from liverstiff.records import Exam
from liverstiff.segment import Sources, segment_exam, segment_voxels
from liverstiff.segment.atlas import read_atlas
from liverstiff.segment.fusion import dice
from liverstiff.segment.labelled import labelled_pairs
from liverstiff.simulate import scan, signal, simulate_atlases

import ants  # isort: skip  (after liverstiff.images, which sets the number of threads)

SIZES = {"256x256x40": (256, 40), "512x512x80": (512, 80)}
SIZE = "256x256x40"
STAGES = ("harmonize", "register", "segment", "pack")
SEQUENCES = {"T2w": ("anat", "T2w"), "DWI": ("dwi", "dwi")}
"""Data type and suffix of what is registered to T1w."""

CHAOS_LABELS = {"liver_label": 1, "spleen_label": 4}
ALL_MASKS = {"least_quality": 0.0, "liver_ml": (1.0, 1e5), "most_cut_off": 1.0}
"""Settings under which a poor mask is measured, not excluded."""


def grids(size: str) -> dict[str, signal.Grid]:
    """Grids of an exam whose T1w has this size; T1w 1.5 x 1.5 x 5 mm at 256 x 256 x 40."""
    matrix, slices = SIZES[size]
    side = 384.0 / matrix
    return {
        "T1W_GRID": signal.Grid((matrix, matrix, slices), (side, side, 200.0 / slices)),
        "T2W_GRID": signal.Grid((matrix, matrix, slices * 3 // 4), (side, side, 800 / 3 / slices)),
        "DWI_GRID": signal.Grid((matrix // 2, matrix // 2, slices * 3 // 4), (2 * side, 2 * side, 800 / 3 / slices)),
    }


def simulated_at(size: str, number: int, folder: Path) -> tuple[Exam, Landmarks]:
    """A simulated exam of a size below a folder."""
    with mock.patch.multiple(scan, **grids(size)):
        return simulated(number, folder)


def timed(work: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
    """What a function returns, and its CPU seconds."""
    start = time.process_time()
    result = work(*arguments)
    return result, time.process_time() - start


def run_stage(stage: str, exam: Exam, folder: Path, sources: Sources, settings: SegmentConfig) -> Any:
    """One of our stages, from files to files; ``register`` returns its fits."""
    if stage == "harmonize":
        return harmonize_exam(exam, folder / "harmonized", converted=folder / "converted", settings=HarmonizeConfig())
    if stage == "register":
        return registered(exam, folder)[0]
    if stage == "segment":
        return segment_exam(
            exam, folder / "segmented", registered=folder / "registered", sources=sources, settings=settings
        )
    (folder / "packed" / exam.folder).mkdir(parents=True, exist_ok=True)
    places = {"registered": folder / "registered", "segmented": folder / "segmented"}
    return pack_exam(exam, folder / "packed", **places, settings=PackConfig())


def corrected(exam: Exam, converted: Path) -> dict[str, ants.ANTsImage]:
    """T1w, T2w and the lowest b-value through N4 as it comes."""
    found = {}
    for name, (datatype, suffix) in {"T1w": ("anat", "T1w"), **SEQUENCES}.items():
        path = exam.path(converted, suffix, datatype=datatype)
        voxels, affine = images.load(path)
        if voxels.ndim == 4:
            voxels = voxels[..., np.loadtxt(path.with_name(path.name.replace(".nii.gz", ".bval"))).argmin()]
        found[name] = ants.n4_bias_field_correction(images.to_ants(voxels, affine))
    return found


def syn_landmarks(found: dict[str, ants.ANTsImage], points: np.ndarray) -> dict[str, np.ndarray]:
    """SyN of each sequence onto T1w, the sequence warped; where it takes the landmarks (point, 3), RAS+ mm."""
    lps = pd.DataFrame(points * images.LPS_RAS, columns=list("xyz"))
    moved = {}
    for name in SEQUENCES:
        with tempfile.TemporaryDirectory() as work:
            motion = ants.registration(found["T1w"], found[name], "SyN", outprefix=f"{work}/")["fwdtransforms"]
            ants.apply_transforms(found["T1w"], found[name], motion)
            moved[name] = ants.apply_transforms_to_points(3, lps, motion)[["x", "y", "z"]].to_numpy() * images.LPS_RAS
    return moved


def vote(target: ants.ANTsImage, pairs: list[tuple[Path, Path]], labels: tuple[int, int]) -> list[np.ndarray]:
    """Liver and spleen by SyN of every labelled volume at full resolution and majority vote."""
    votes = np.zeros((2, *target.shape))
    for image, label in pairs:
        with tempfile.TemporaryDirectory() as work:
            moving, drawn = (images.to_ants(*images.load(path)) for path in (image, label))
            motion = ants.registration(target, moving, "SyN", outprefix=f"{work}/")["fwdtransforms"]
            warped = ants.apply_transforms(target, drawn, motion, interpolator="nearestNeighbor").numpy()
        votes += np.stack([warped == name for name in labels])
    return [part > len(pairs) / 2 for part in votes]


def ours_simulated(
    exam: Exam, folder: Path, sources: Sources, settings: SegmentConfig
) -> tuple[dict[str, float], dict, np.ndarray | None]:
    """CPU seconds per stage, the fits of registration, and the liver, if any."""
    seconds: dict[str, float] = {}
    fits: dict = {}
    for stage in STAGES:
        try:
            result, seconds[stage] = timed(run_stage, stage, exam, folder, sources, settings)
        except ExamExcluded as excluded:
            print(f"{exam.exam}: {stage} excluded it: {excluded.detail}", flush=True)
            return seconds, fits, None
        fits = result if stage == "register" else fits
    return seconds, fits, images.load(exam.path(folder / "segmented", "space-frame_mask"))[0] == 1


def recipe_simulated(
    exam: Exam, folder: Path, pairs: list[tuple[Path, Path]], points: np.ndarray
) -> tuple[dict[str, float], dict[str, np.ndarray], np.ndarray]:
    """CPU seconds per step, landmarks as they are warped, and the liver."""
    seconds: dict[str, float] = {}
    found, seconds["N4"] = timed(corrected, exam, folder / "converted")
    warped, seconds["registration"] = timed(syn_landmarks, found, points)
    organs, seconds["label fusion"] = timed(vote, found["T1w"], pairs, (1, 2))
    return seconds, warped, organs[0]


def compare_simulated(folder: Path, marks: Landmarks, ours: tuple, recipe: tuple) -> dict[str, float]:
    """One simulated exam by both: CPU seconds of each step, Dice, median and 95th percentile of landmark errors."""
    liver = images.load(folder / "liver.nii.gz")[0] == 1
    (seconds, fits, mask), (theirs, warped, voted) = ours, recipe
    row = {f"s ours {stage}": s for stage, s in seconds.items()} | {f"s recipe {step}": s for step, s in theirs.items()}
    row |= {"s ours all": sum(seconds.values()), "s recipe all": sum(theirs.values())}
    row |= {"dice ours": 0.0 if mask is None else dice(mask, liver), "dice recipe": dice(voted, liver)}
    motions = {"ours": {name: fit.motion for name, fit in fits.items()}, "recipe": warped, "header": {}}
    for name, motion in motions.items():
        errors = [landmark_errors(marks.frame, marks.truth[s], motion.get(s)) for s in SEQUENCES]
        row |= {f"mm median {name}": float(np.median(errors)), f"mm p95 {name}": float(np.percentile(errors, 95))}
    print({key: round(value, 2) for key, value in row.items()}, flush=True)
    return row


def compare_real(path: Path, volumes: int, methods: dict[str, Sources]) -> dict[str, Any]:
    """One real volume, without its own label, by the recipe and by our methods: Dice and CPU seconds."""
    truth = images.load(path.with_name(path.name.replace("image", "label")))[0]
    voxels, affine = images.load(path)
    pairs = labelled_pairs(path.parent, path)[:volumes]

    def recipe() -> list[np.ndarray]:
        return vote(ants.n4_bias_field_correction(images.to_ants(voxels, affine)), pairs, tuple(CHAOS_LABELS.values()))

    def own(name: str, sources: Sources) -> list[np.ndarray]:
        settings = SegmentConfig(methods=(name,), atlases=str(path.parent), **CHAOS_LABELS, **ALL_MASKS)
        try:
            mask = segment_voxels(standardise(voxels, affine)[0], affine, sources, settings).mask
        except ExamExcluded as excluded:
            print(f"{path.name}: {excluded.detail}", flush=True)
            mask = np.zeros(voxels.shape)
        return [mask == 1, mask == 2]

    row: dict[str, Any] = {"volume": path.name}
    for name, work in {"recipe": (recipe,), **{name: (own, name, given) for name, given in methods.items()}}.items():
        organs, row[f"s {name}"] = timed(*work)
        for organ, found, label in zip(("liver", "spleen"), organs, CHAOS_LABELS.values(), strict=True):
            row[f"{organ} {name}"] = dice(found, truth == label)
    print({key: round(value, 3) if key != "volume" else value for key, value in row.items()}, flush=True)
    return row


def real_methods(path: Path, networks: Path | None) -> dict[str, Sources]:
    """Our methods for a real volume: its own label is left out, and the network is one that was trained without it."""
    methods = {"atlas": Sources(atlases=path.parent, without=path)}
    networks = networks and networks / f"network{fold_of(path)}"
    return methods | ({"network": Sources(network=networks)} if networks and networks.exists() else {})


def fold_of(path: Path, folds: int = 5) -> int:
    """The fold of bench/segment.py in which a volume was held out."""
    numbers = sorted(p.name.split("_")[1].split(".")[0] for p in path.parent.glob("image_*.nii.gz"))
    return numbers.index(path.name.split("_")[1].split(".")[0]) % folds


def peaks(exam: Exam, folder: Path, sources: Sources, settings: SegmentConfig) -> dict[str, float]:
    """Peak memory in MB of each of our stages, from the exam's converted files on."""
    found = {}
    for stage in STAGES:
        if stage == "segment":
            atlas = settings.model_copy(update={"methods": ("atlas",)})
            found["segment by atlas"] = in_child(run_stage, stage, exam, folder, sources, atlas)
        found[stage] = in_child(run_stage, stage, exam, folder, sources, settings)
    return found


def in_child(work: Callable[..., Any], *arguments: Any) -> float:
    """Peak memory in MB of a function in a process of its own, which is started anew."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(peak_of, work, *arguments).result()


def peak_of(work: Callable[..., Any], *arguments: Any) -> float:
    """Peak memory in MB of this process after a function; getrusage would count what the parent held too."""
    work(*arguments)
    return int(re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[0]) / 1024


def trained(network: Path | None, atlases: Path, settings: SegmentConfig) -> Path:
    """The network given, or one trained on the labelled volumes."""
    from liverstiff.segment.training import train_network

    folder = network or atlases.with_name("network")
    if not network:
        _, seconds = timed(lambda: train_network(atlases=atlases, network=folder, settings=settings))
        print(f"network: {settings.network.steps} steps in {seconds:.0f} CPU s, once for all exams", flush=True)
    return folder


def precision() -> str:
    """Of the training: what is fast on this processor."""
    return "bfloat16" if "amx_bf16" in Path("/proc/cpuinfo").read_text() else "float32"


def options() -> argparse.Namespace:
    """The command line, with the defaults of the whole or the quick run filled in."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--network", type=Path, help="trained on simulated volumes; else one is trained")
    parser.add_argument("--real-networks", type=Path)
    parser.add_argument("--data", type=Path, default=CHAOS, help="folder of the CHAOS T2-SPIR volumes")
    parser.add_argument("--memory", action="store_true")
    numbers = {"steps": (400, 120), "exams": (2, 1), "volumes": (5, 3), "real": (2, 0), "real-volumes": (5, 2)}
    for name, (whole, quick) in numbers.items():
        parser.add_argument(f"--{name}", type=int, help=f"{whole}, or {quick} with --quick")
    quick = parser.parse_known_args()[0].quick
    parser.set_defaults(**{name.replace("-", "_"): default[quick] for name, default in numbers.items()})
    return parser.parse_args()


def main() -> None:
    """Measure and print."""
    asked = options()
    importlib.import_module("liverstiff.segment.network")  # torch: before the clock of any stage runs
    print(f"start-up and imports: {time.process_time():.1f} CPU s, once a process", flush=True)
    learning = NetworkConfig(steps=asked.steps, precision=precision())
    settings = SegmentConfig(methods=("network",), atlases="labelled", network=learning, **ALL_MASKS)
    with tempfile.TemporaryDirectory(prefix="liverstiff-bench-") as folder:
        work = Path(folder)
        with mock.patch.multiple(scan, **grids(SIZE)):
            simulate_atlases(config=SimulateConfig(atlases=asked.volumes, seed=9), folder=work / "atlases")
        exams = [(*simulated_at(SIZE, 2000 + k, work / f"exam{k}"), work / f"exam{k}") for k in range(asked.exams)]
        pairs = labelled_pairs(work / "atlases")
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:  # the recipe takes one core, all of ours the other
            recipes = [pool.submit(recipe_simulated, exam, place, pairs, marks.frame) for exam, marks, place in exams]
            sources = Sources(work / "atlases", trained(asked.network, work / "atlases", settings))
            ours = [ours_simulated(exam, place, sources, settings) for exam, _, place in exams]
            memory = {SIZE: peaks(exams[0][0], exams[0][2], sources, settings)}
            for size in set(SIZES) - {SIZE} if asked.memory else ():
                in_child(simulated_at, size, 2000, work / size)
                memory[size] = peaks(exams[0][0], work / size, sources, settings)
            rows = pd.DataFrame(
                compare_simulated(place, marks, own, recipe.result())
                for (_, marks, place), own, recipe in zip(exams, ours, recipes, strict=True)
            )
    report(rows, compare_all_real(asked), memory, asked)


def compare_all_real(asked: argparse.Namespace) -> pd.DataFrame:
    """A row per real volume; none where the data are not there."""
    paths = sorted(asked.data.glob("image_*.nii.gz"))[: asked.real]
    read = (read_atlas(*pair, *CHAOS_LABELS.values()) for pair in labelled_pairs(asked.data)) if paths else ()
    print(f"labelled real volumes: read in {timed(list, read)[1]:.1f} CPU s, once a shard", flush=True)
    return pd.DataFrame(compare_real(p, asked.real_volumes, real_methods(p, asked.real_networks)) for p in paths)


def report(rows: pd.DataFrame, drawn: pd.DataFrame, memory: dict, asked: argparse.Namespace) -> None:
    """Print the tables and the figures."""
    times = rows.filter(regex="^s ").median().round(2).rename(lambda key: key[2:])
    print(f"CPU s an exam, median of {len(rows)}:", times.to_string(), sep="\n")
    if len(drawn):
        print(
            f"real volumes, {asked.real_volumes} labelled ones in the recipe:", drawn.round(3).T.to_string(), sep="\n"
        )
    print("peak MB:", pd.DataFrame(memory).round(0).to_string(), sep="\n")
    print(json.dumps(summary(rows, drawn, memory, asked)))


def summary(rows: pd.DataFrame, drawn: pd.DataFrame, memory: dict, asked: argparse.Namespace) -> dict[str, Any]:
    """The figures; of real volumes "ours" is the network where one was given, else the atlases."""
    middle, real = rows.median(), drawn.mean(numeric_only=True)
    figures = {
        "speedup_vs_recipe": (rows["s recipe all"] / rows["s ours all"]).median(),
        "cpu_s_per_exam": middle["s ours all"],
        "cpu_s_recipe": middle["s recipe all"],
        "recipe_volumes": asked.volumes,
        "dice_ours": rows["dice ours"].mean(),
        "dice_recipe": rows["dice recipe"].mean(),
        "tre_median_mm": middle["mm median ours"],
        "tre_median_mm_recipe": middle["mm median recipe"],
        "tre_median_mm_header": middle["mm median header"],
        "dice_ours_real": real.get("liver network", real.get("liver atlas")),
        "dice_recipe_real": real.get("liver recipe"),
        "real_volumes": len(drawn),
        "recipe_volumes_real": asked.real_volumes,
    }
    figures |= {f"real {name}".replace(" ", "_"): value for name, value in real.items()}
    for size, stages in memory.items():
        figures[f"peak_mb_{size}"] = max(mb for stage, mb in stages.items() if stage in STAGES)
    figures["peak_mb"] = figures[f"peak_mb_{SIZE}"]
    return {name: None if value is None else round(float(value), 3) for name, value in figures.items()}


if __name__ == "__main__":
    main()
