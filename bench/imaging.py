"""Harmonize to pack against the ordinary recipe, on the same exams in one run: CPU time, Dice, registration error.

Run: .venv/bin/python bench/imaging.py [--quick] [--network FOLDER] [--real-networks FOLDER].

The recipe is what an ANTs user would write: N4 at its defaults on every image, SyN at full resolution of T2w and of the
lowest b-value onto T1w, SyN of labelled volumes onto T1w, majority vote. Ours are the functions of the workflow.
A simulated exam of full size (T1w 256 x 256 x 40, T2w, DWI) gives time, true liver and true landmarks; real volumes
(CHAOS T2-SPIR, each without its own label) give Dice where the truth is drawn by a reader. One thread everywhere. The
network is trained on the labelled volumes first, or taken from --network; that time is not an exam's and is printed
apart. --real-networks: the folder that bench/segment.py --networks left, for the network on real volumes.
The last line is one JSON object. --quick: one exam, fewer labelled volumes for both, one real volume, few steps.
"""

from __future__ import annotations

import argparse
import json
import os

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"), "1")

import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
from register import CHAOS, Landmarks, landmark_errors, registered, simulated

from liverstiff import images
from liverstiff.config import AtlasConfig, HarmonizeConfig, NetworkConfig, PackConfig, SegmentConfig, SimulateConfig
from liverstiff.harmonize import harmonize_exam
from liverstiff.intensity import standardise
from liverstiff.pack import pack_exam
from liverstiff.records import Exam
from liverstiff.segment import Sources, segment_exam
from liverstiff.segment.fusion import dice
from liverstiff.segment.labelled import labelled_pairs
from liverstiff.segment.methods import METHODS, Case
from liverstiff.segment.organs import segmentation
from liverstiff.simulate import scan, signal, simulate_atlases

import ants  # isort: skip  (after liverstiff.images, which sets the number of threads)

SIZES = {"256x256x40": (256, 40), "512x512x80": (512, 80)}
SEQUENCES = ("T2w", "DWI")


def grids(matrix: int, slices: int) -> dict[str, signal.Grid]:
    """Grids of an exam whose T1w has this matrix."""
    side = 384.0 / matrix
    t2w = signal.Grid((matrix, matrix, slices * 3 // 4), (side, side, 800 / 3 / slices))
    dwi = signal.Grid((matrix // 2, matrix // 2, slices * 3 // 4), (2 * side, 2 * side, 800 / 3 / slices))
    return {
        "T1W_GRID": signal.Grid((matrix, matrix, slices), (side, side, 200.0 / slices)),
        "T2W_GRID": t2w,
        "DWI_GRID": dwi,
    }


def timed(work: Callable[[], object]) -> tuple[object, float]:
    """What a function returns, and its CPU seconds."""
    start = time.process_time()
    result = work()
    return result, time.process_time() - start


def ours(exam: Exam, folder: Path, network: Path, settings: SegmentConfig) -> tuple[dict[str, float], dict]:
    """CPU seconds per stage, and the motions that registration found."""
    seconds: dict[str, float] = {}
    out = {stage: folder / stage for stage in ("segmented", "packed")}
    _, seconds["harmonize"] = timed(
        lambda: harmonize_exam(exam, folder / "harmonized", converted=folder / "converted", settings=HarmonizeConfig())
    )
    fits, _, seconds["register"] = registered(exam, folder)
    _, seconds["segment"] = timed(
        lambda: segment_exam(
            exam,
            out["segmented"],
            registered=folder / "registered",
            sources=Sources(network=network),
            settings=settings,
        )
    )
    (out["packed"] / exam.folder).mkdir(parents=True)
    _, seconds["pack"] = timed(
        lambda: pack_exam(
            exam,
            out["packed"],
            registered=folder / "registered",
            segmented=out["segmented"],
            settings=PackConfig(),
        )
    )
    return seconds, fits


def n4(image: ants.ANTsImage) -> ants.ANTsImage:
    """N4 as it comes."""
    return ants.n4_bias_field_correction(image)


def vote(target: ants.ANTsImage, pairs: list[tuple[Path, Path]], labels: tuple[int, int]) -> list[np.ndarray]:
    """Liver and spleen by SyN of every labelled volume at full resolution and majority vote."""
    votes = np.zeros((2, *target.shape))
    for image, label in pairs:
        with tempfile.TemporaryDirectory() as work:
            moving, drawn = (images.to_ants(*images.load(path)) for path in (image, label))
            found = ants.registration(target, moving, "SyN", outprefix=f"{work}/")
            warped = ants.apply_transforms(
                target, drawn, found["fwdtransforms"], interpolator="nearestNeighbor"
            ).numpy()
        votes += np.stack([warped == name for name in labels])
    return [vote > len(pairs) / 2 for vote in votes]


def recipe(
    exam: Exam, folder: Path, pairs: list[tuple[Path, Path]], landmarks: Landmarks
) -> tuple[dict[str, float], dict[str, np.ndarray], np.ndarray]:
    """CPU seconds per step, landmarks as they are warped, and the liver."""
    seconds: dict[str, float] = {}
    names = {"T1w": ("anat", "T1w"), "T2w": ("anat", "T2w"), "DWI": ("dwi", "dwi")}
    raw = {}
    for name, (datatype, suffix) in names.items():
        voxels, affine = images.load(exam.path(folder / "converted", suffix, datatype=datatype))
        raw[name] = images.to_ants(voxels if voxels.ndim == 3 else voxels[..., 0], affine)
    corrected, seconds["N4"] = timed(lambda: {name: n4(image) for name, image in raw.items()})
    warped = {}
    start = time.process_time()
    for name in SEQUENCES:
        with tempfile.TemporaryDirectory() as work:
            found = ants.registration(corrected["T1w"], corrected[name], "SyN", outprefix=f"{work}/")
            ants.apply_transforms(corrected["T1w"], corrected[name], found["fwdtransforms"])
            points = pd.DataFrame(landmarks.frame * [-1, -1, 1], columns=list("xyz"))
            moved = ants.apply_transforms_to_points(3, points, found["fwdtransforms"])
        warped[name] = moved[["x", "y", "z"]].to_numpy() * [-1, -1, 1]
    seconds["registration"] = time.process_time() - start
    found, seconds["label fusion"] = timed(lambda: vote(corrected["T1w"], pairs, (1, 2)))
    return seconds, warped, found[0]


def compare_simulated(
    number: int, work: Path, network: Path, volumes: int, settings: SegmentConfig
) -> dict[str, float]:
    """One simulated exam by both."""
    folder = work / f"exam{number}"
    with mock.patch.multiple(scan, **grids(*SIZES["256x256x40"])):
        exam, landmarks = simulated(number, folder)
    liver = images.load(folder / "liver.nii.gz")[0] == 1
    seconds, fits = ours(exam, folder, network, settings)
    mask = images.load(exam.path(folder / "segmented", "space-frame_mask"))[0] == 1
    theirs, warped, voted = recipe(exam, folder, labelled_pairs(work / "atlases")[:volumes], landmarks)
    for name, stages in (("ours", seconds), ("recipe", theirs)):
        print(
            f"exam {number}, {name}: " + ", ".join(f"{stage} {s:.1f}" for stage, s in stages.items()) + " CPU s",
            flush=True,
        )
    errors = {
        name: [landmark_errors(landmarks.frame, landmarks.truth[s], motion(s)) for s in SEQUENCES]
        for name, motion in (("ours", lambda s: fits[s].motion), ("recipe", warped.get), ("header", lambda _: None))
    }
    return {
        "cpu_s": sum(seconds.values()),
        "cpu_s_recipe": sum(theirs.values()),
        "dice": dice(mask, liver),
        "dice_recipe": dice(voted, liver),
        **{f"tre_{name}": float(np.median(np.concatenate(found))) for name, found in errors.items()},
        **{f"tre_p95_{name}": float(np.percentile(np.concatenate(found), 95)) for name, found in errors.items()},
    }


def compare_real(path: Path, volumes: int, networks: Path | None) -> dict[str, float | str]:
    """One real volume, without its own label, by the recipe and by our methods."""
    pairs = labelled_pairs(path.parent, path)
    truth = images.load(path.with_name(path.name.replace("image", "label")))[0]
    voxels, affine = images.load(path)
    settings = SegmentConfig(methods=("atlas",), atlases=str(path.parent), spleen_label=4, atlas=AtlasConfig())
    (liver, spleen), seconds = timed(lambda: vote(n4(images.to_ants(voxels, affine)), pairs[:volumes], (1, 4)))
    row: dict[str, float | str] = {"volume": path.name}
    row |= {"recipe": dice(liver, truth == 1), "recipe_spleen": dice(spleen, truth == 4), "recipe_cpu_s": seconds}
    methods = {"atlas": Sources(atlases=path.parent, without=path)}
    if networks:
        methods["network"] = Sources(network=networks / f"network{fold_of(path)}")
    for name, sources in methods.items():
        found, seconds = timed(
            lambda name=name, sources=sources: segmentation(
                METHODS[name](Case(standardise(voxels, affine)[0], affine), sources, settings), affine
            )
        )
        row |= {name: dice(found.mask == 1, truth == 1), f"{name}_spleen": dice(found.mask == 2, truth == 4)}
        row |= {f"{name}_cpu_s": seconds}
    return row


def fold_of(path: Path, folds: int = 5) -> int:
    """The fold of bench/segment.py in which a volume was held out."""
    numbers = sorted(p.name.split("_")[1].split(".")[0] for p in path.parent.glob("image_*.nii.gz"))
    return numbers.index(path.name.split("_")[1].split(".")[0]) % folds


def peaks(size: str, network: Path, atlases: Path, settings: SegmentConfig) -> dict[str, float]:
    """Peak memory in MB of every stage, each in a process of its own, of an exam of a size."""
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        with mock.patch.multiple(scan, **grids(*SIZES[size])):
            in_child(lambda: simulated(3, folder) and None)
        exam = Exam("e3", "p3", "bench")
        atlas = settings.model_copy(update={"methods": ("atlas",)})
        stages: dict[str, Callable[[], object]] = {
            "harmonize": lambda: harmonize_exam(
                exam, folder / "harmonized", converted=folder / "converted", settings=HarmonizeConfig()
            ),
            "register": lambda: registered(exam, folder),
            "segment by atlas": lambda: segment_exam(
                exam, folder / "s", registered=folder / "registered", sources=Sources(atlases), settings=atlas
            ),
            "segment by network": lambda: segment_exam(
                exam,
                folder / "s",
                registered=folder / "registered",
                sources=Sources(network=network),
                settings=settings,
            ),
            "pack": lambda: pack_exam(
                exam, folder, registered=folder / "registered", segmented=folder / "s", settings=PackConfig()
            ),
        }
        return {stage: in_child(work) for stage, work in stages.items()}


def in_child(work: Callable[[], object]) -> float:
    """Run in a child and give its peak memory in MB, this process's own share included."""
    child = os.fork()
    if child == 0:
        work()
        os._exit(0)
    _, status, used = os.wait4(child, 0)
    if status:
        raise RuntimeError("the measured process failed")
    return used.ru_maxrss / 1024


def trained(network: Path | None, work: Path, settings: SegmentConfig) -> Path:
    """The network given, or one trained on the labelled volumes."""
    from liverstiff.segment.training import train_network

    if network:
        return network
    _, seconds = timed(lambda: train_network(atlases=work / "atlases", network=work / "network", settings=settings))
    print(f"network: {settings.network.steps} steps of training in {seconds:.0f} CPU s, once for all exams", flush=True)
    return work / "network"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--network", type=Path, help="trained on simulated volumes; else one is trained")
    parser.add_argument("--steps", type=int, help="of its training (150; 60 with --quick)")
    parser.add_argument("--exams", type=int, help="simulated exams (3; 1)")
    parser.add_argument("--volumes", type=int, help="labelled volumes of the recipe (5; 2)")
    parser.add_argument("--real", type=int, help="real volumes (4; 1)")
    parser.add_argument("--real-networks", type=Path)
    parser.add_argument("--data", type=Path, default=CHAOS)
    parser.add_argument("--memory", action="store_true", help="peak memory at both sizes too")
    asked = parser.parse_args()
    steps, exams, volumes, real = (
        given if given is not None else quick if asked.quick else full
        for given, quick, full in (
            (asked.steps, 60, 150),
            (asked.exams, 1, 3),
            (asked.volumes, 2, 5),
            (asked.real, 1, 4),
        )
    )
    settings = SegmentConfig(
        methods=("network",), least_quality=0, liver_ml=(1, 1e5), atlases="labelled", network=NetworkConfig(steps=steps)
    )
    with tempfile.TemporaryDirectory(prefix="liverstiff-bench-") as folder:
        work = Path(folder)
        with mock.patch.multiple(scan, **grids(*SIZES["256x256x40"])):
            simulate_atlases(config=SimulateConfig(atlases=max(volumes, 4), seed=9), folder=work / "atlases")
        network = trained(asked.network, work, settings)
        rows = pd.DataFrame([compare_simulated(2000 + k, work, network, volumes, settings) for k in range(exams)])
        print(rows.round(3).to_string())
        paths = sorted(asked.data.glob("image_*.nii.gz"))[:real]
        drawn = pd.DataFrame([compare_real(path, volumes, asked.real_networks) for path in paths])
        print(drawn.round(3).to_string())
        sizes = [size for size in SIZES if asked.memory]
        memory = {size: peaks(size, network, work / "atlases", settings) for size in sizes}
        for size, stages in memory.items():
            print(f"{size}: " + ", ".join(f"{stage} {peak:.0f} MB" for stage, peak in stages.items()))
    print(json.dumps(summary(rows, drawn, memory, volumes)))


def summary(rows: pd.DataFrame, drawn: pd.DataFrame, memory: dict, volumes: int) -> dict[str, float | int]:
    """The figures."""
    middle = rows.median()
    figures: dict[str, float | int] = {
        "speedup_vs_recipe": float((rows.cpu_s_recipe / rows.cpu_s).median()),
        "cpu_s_per_exam": middle.cpu_s,
        "cpu_s_recipe": middle.cpu_s_recipe,
        "recipe_volumes": volumes,
        "dice_ours": rows.dice.mean(),
        "dice_recipe": rows.dice_recipe.mean(),
        "tre_median_mm": middle.tre_ours,
        "tre_median_mm_recipe": middle.tre_recipe,
        "tre_median_mm_header": middle.tre_header,
        "peak_mb_process": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    for method in ("recipe", "atlas", "network"):
        for organ, name in (("", ""), ("_spleen", "spleen_")):
            if f"{method}{organ}" in drawn:
                figures[f"dice_{name}{method}_real"] = drawn[f"{method}{organ}"].mean()
    figures["dice_ours_real"] = figures.get("dice_network_real", figures.get("dice_atlas_real", np.nan))
    for size, stages in memory.items():
        figures[f"peak_mb_{size}"] = max(stages.values())
    return {name: round(float(value), 3) for name, value in figures.items()}


if __name__ == "__main__":
    main()
