"""Accuracy of the model against what can be known, and speed of its training against the usual recipe of MONAI.

    python bench/learning.py --quick                       # under 5 minutes on two cores
    python bench/learning.py --parts accuracy --seeds 3     # and: rivals, missing, coverage, shuffled, left_out,
                                                           # throughput

The cohort is rendered at array level (``rendered.py``); its ceiling is a ridge on perfect signs and the record, fitted
on the same training exams and scored once on the same test exams. Tables and models lie in a temporary folder. The last
line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from rendered import draw, perfect_signs, write_study

from liverstiff.config import PredictConfig, TargetConfig, TrainConfig
from liverstiff.model import Description, load_model
from liverstiff.predict import predict_partition
from liverstiff.predict.baselines import Baseline, all_baselines, fitted, ridge
from liverstiff.predict.estimates import Source, estimate
from liverstiff.records import CHANNELS, read_table
from liverstiff.train import train_fold

NO_FOLD = 99
"""A fold without exams: the model learns from all exams of the cross-validation."""

TARGET = TargetConfig()
SEQUENCES = {"T1w": ["T1w"], "T2w": ["T2w"], "DWI": ["DWI", "ADC"]}


class Cohort:
    """A rendered cohort on disk, and models of it."""

    def __init__(
        self,
        folder: Path,
        exams: int,
        test: int,
        shape: tuple[int, int, int],
        seed: int,
        folds: int = 5,
        **scanners: bool,
    ):
        self.folder, self.table = folder, draw(exams, seed, test, folds=folds)
        self.inputs = write_study(folder, self.table, shape, seed, missing=0.05, **scanners)
        self.cohort = read_table(self.inputs["cohort"]).set_index("exam")
        self.test = self.table[self.table.partition == "temporal"].sort_values("exam")
        self.truth = self.test.measured_kpa.to_numpy()

    def train(self, name: str, settings: TrainConfig, fold: int = NO_FOLD) -> tuple[Path, float]:
        """Folder of the model, and the minutes it took."""
        folder = self.folder / name / f"fold-{fold}"
        files = {"model": "model.safetensors", "description": "model.json"}
        files |= {key: f"{key}.csv" for key in ("history", "validation")} | {"checkpoint": "checkpoint"}
        start = time.perf_counter()
        outputs = {key: folder / file for key, file in files.items()}
        train_fold(**self.inputs, **outputs, fold=fold, settings=settings, target=TARGET)
        return folder, (time.perf_counter() - start) / 60

    def estimates(self, folder: Path, packs: list[Path] | None = None) -> tuple[np.ndarray, Description]:
        """kPa of the test exams, and what is known of the model."""
        network, described = load_model(folder)
        source = Source(packs or self.inputs["packs"], self.cohort)
        return estimate(network, described, self.test.exam.tolist(), source)["estimate"].to_numpy(), described

    def baseline(self, baseline: Baseline) -> np.ndarray:
        """kPa of the test exams by something fitted on the same training exams."""
        rows = self.table.sort_values("exam")
        training = (rows.partition == "cross-validation").to_numpy()
        return fitted(baseline, rows.measured_kpa.to_numpy(), training, "log")[
            (rows.partition == "temporal").to_numpy()
        ]

    def baselines(self) -> dict[str, np.ndarray]:
        """Every baseline of the stage predict, and ``ceiling``."""
        rows = self.table.sort_values("exam")
        signs = pd.DataFrame(perfect_signs(rows))
        named = all_baselines(self.cohort.loc[rows.exam], self.inputs["packs"], TrainConfig())
        found = {name: self.baseline(one) for name, one in named.items()}
        raw = rows.age * rows.ast / (rows.platelets * np.sqrt(rows["alt"]))
        found["fib4_raw"] = raw[rows.partition == "temporal"].to_numpy()
        return found | {"ceiling": self.baseline(Baseline(signs, ridge))}


def r(estimates: np.ndarray, truth: np.ndarray) -> float:
    """Pearson's r."""
    return float(np.corrcoef(estimates, truth)[0, 1])


def mae(estimates: np.ndarray, truth: np.ndarray) -> float:
    """Mean absolute error."""
    return float(np.abs(estimates - truth).mean())


def difference(
    ours: np.ndarray, rival: np.ndarray, truth: np.ndarray, figure: Callable[..., float] = r, seed: int = 0
) -> tuple[float, float, float]:
    """Figure of ours - that of the rival on the same exams, with the 95 % percentile interval of 2,000 resamples."""
    rng = np.random.default_rng(seed)
    draws = rng.integers(0, len(truth), (2000, len(truth)))
    values = [figure(ours[rows], truth[rows]) - figure(rival[rows], truth[rows]) for rows in draws]
    low, high = np.percentile(values, [2.5, 97.5])
    return figure(ours, truth) - figure(rival, truth), float(low), float(high)


def accuracy(make, settings: TrainConfig, seeds: int) -> dict[str, float]:
    """r of the model with all inputs and of the ceiling, for each seed: another cohort, other weights."""
    shares, found = [], {}
    for seed in range(1, seeds + 1):
        cohort = make(f"accuracy-{seed}", seed)
        folder, minutes = cohort.train("all", settings.model_copy(update={"seed": seed}))
        estimates, described = cohort.estimates(folder)
        rivals = cohort.baselines()
        values = {
            name: r(rivals[name], cohort.truth)
            for name in ("ceiling", "signs_record_ridge", "record_ridge", "fib4_raw")
        }
        own = r(estimates, cohort.truth)
        bias = float((estimates - cohort.truth).mean())
        told = ", ".join(f"{name} {value:.3f}" for name, value in values.items())
        print(
            f"seed {seed}: r {own:.3f} = {own / values['ceiling']:.3f} x ceiling; {told}; bias {bias:+.3f} kPa, "
            f"image sensitivity {described.sensitivity}, voxels alone {described.voxel_sensitivity}, {minutes:.1f} min",
            flush=True,
        )
        shares.append(own / values["ceiling"])
        if seed == 1:
            found = {
                "r": own,
                "r_ceiling": values["ceiling"],
                "r_record_only": values["record_ridge"],
                "r_ridge": values["signs_record_ridge"],
                "image_sensitivity": described.sensitivity,
                "bias_kpa": bias,
                "train_minutes": minutes,
            }
    return found | {"least_share_of_ceiling": min(shares)}


def rivals(make, settings: TrainConfig) -> dict[str, float]:
    """The model against baselines and against itself with fewer inputs, on the same test exams."""
    cohort = make("rivals", 1)
    folder, _ = cohort.train("all", settings)
    ours, _ = cohort.estimates(folder)
    found = cohort.baselines()
    kinds = {"network, image only": {"inputs": ("images",)}, "network, record only": {"inputs": ("record",)}}
    kinds |= {f"network, {name} alone": {"inputs": ("images",), "sequences": (name,)} for name in SEQUENCES}
    for name, changes in kinds.items():
        found[name] = cohort.estimates(cohort.train(name, settings.model_copy(update=changes))[0])[0]
    print(f"all inputs: r {r(ours, cohort.truth):.3f}, MAE {mae(ours, cohort.truth):.3f} kPa")
    for name, rival in found.items():
        error = "MAE {:+.3f} ({:+.3f} to {:+.3f}) kPa".format(*difference(ours, rival, cohort.truth, mae))
        error = "no MAE (an index, not kPa)" if name == "fib4_raw" else error
        if rival.std() < 1e-9:
            print(f"  {name}: ours - it: {error}")
            continue
        apart, low, high = difference(ours, rival, cohort.truth)
        verdict = "ours is better" if low > 0 else "IT IS BETTER" if high < 0 else "neither is shown to be better"
        print(
            f"  {name}: r {r(rival, cohort.truth):.3f}; ours - it: r {apart:+.3f} ({low:+.3f} to {high:+.3f}), "
            f"{error}; by r {verdict}"
        )
    order = ["network, image only", "network, record only", "fib4_raw"]
    return {"ordering": [r(ours, cohort.truth), *(r(found[name], cohort.truth) for name in order)]}


def missing(make, settings: TrainConfig) -> dict[str, float]:
    """One sequence after the other taken from every test exam."""
    cohort = make("missing", 1)
    folder, _ = cohort.train("all", settings)
    ours, _ = cohort.estimates(folder)
    record = cohort.baselines()["record_ridge"]
    drops = {}
    for name, channels in SEQUENCES.items():
        pack = cohort.folder / f"without-{name}"
        pack.mkdir()
        whole = cohort.inputs["packs"][0]
        for file in ("images.npy", "masks.npy"):
            (pack / file).symlink_to(whole / file)
        table = read_table(whole / "table.csv")
        table[channels] = False
        table.to_csv(pack / "table.csv", index=False)
        without, _ = cohort.estimates(folder, [pack])
        lost = "r {:+.3f} ({:+.3f} to {:+.3f})".format(*difference(without, ours, cohort.truth))
        above = "r {:+.3f} ({:+.3f} to {:+.3f})".format(*difference(without, record, cohort.truth))
        print(f"without {name}: r {r(without, cohort.truth):.3f}; against all {lost}; against record only {above}")
        drops[name] = r(without, cohort.truth) - r(ours, cohort.truth)
    return {"largest_gain_without_a_sequence": max(drops.values())}


def coverage(make, settings: TrainConfig, folds: int) -> dict[str, float]:
    """Cross-validation, then the temporal test by all folds: r, bias, how often intervals hold the measured value."""
    cohort = make("coverage", 1, least=2000)
    models = [cohort.train("all", settings, fold)[0] for fold in range(folds)]
    files = {name: cohort.folder / f"{name}.csv" for name in ("cross-validation", "temporal")}
    for name, file in files.items():
        predict_partition(
            **cohort.inputs,
            models=models,
            partition=name,
            calibration=None if name == "cross-validation" else files["cross-validation"],
            predictions=file,
            settings=PredictConfig(),
            target=TARGET,
        )
        table = pd.read_csv(file).merge(cohort.table[["exam", "measured_kpa"]], on="exam")
        truth, own = table.measured_kpa, table.estimate
        inside = (table.low <= truth) & (truth <= table.high)
        bands = pd.cut(own, [0, 2.5, 3, 4, 5, 20])
        by_band = ", ".join(
            f"{band} {share:.3f}" for band, share in inside.groupby(bands, observed=True).mean().items()
        )
        print(
            f"{name}: n {len(table)}, r {r(own, truth):.3f}, bias {(own - truth).mean():+.3f} kPa, coverage "
            f"{inside.mean():.3f}, measured >= 5 kPa {inside[truth >= 5].mean():.3f}, by predicted band {by_band}, "
            f"median width {(table.high - table.low).median():.2f} kPa, "
            f"unlike {table['flags'].fillna('').str.contains('unlike').mean():.3f}",
            flush=True,
        )
    return {
        "coverage": float(inside.mean()),
        "bias_kpa_temporal": float((own - truth).mean()),
        "r_ensemble": r(own, truth),
    }


def shuffled(make, settings: TrainConfig, folds: int) -> dict[str, float]:
    """Labels shuffled within each site: what is left of r inside fold and site, against 200 permutations."""
    cohort = make("shuffled", 1)
    inside = cohort.table.partition == "cross-validation"
    rng = np.random.default_rng(1)
    mixed = cohort.table[inside].groupby("site").measured_kpa.transform(lambda y: rng.permutation(y.to_numpy()))
    cohort.cohort.loc[cohort.table.exam[inside], "reference"] = mixed.to_numpy()
    cohort.cohort.reset_index().to_csv(cohort.inputs["cohort"], index=False)
    free = settings.model_copy(update={"sensitivity": 0.0})
    models = [cohort.train("all", free, fold)[0] for fold in range(folds)]
    file = cohort.folder / "shuffled.csv"
    shared = {"models": models, "partition": "cross-validation", "calibration": None, "predictions": file}
    predict_partition(**cohort.inputs, **shared, settings=PredictConfig(), target=TARGET)
    table = pd.read_csv(file).merge(cohort.table[["exam", "site"]], on="exam")
    table["truth"] = cohort.cohort.loc[table.exam, "reference"].to_numpy()
    cells = [cell for _, cell in table.groupby(["fold", "site"]) if len(cell) > 4]

    def within(draw) -> float:
        return float(np.mean([np.arctanh(r(cell.estimate.to_numpy(), draw(cell.truth.to_numpy()))) for cell in cells]))

    own = within(lambda y: y)
    low, high = np.percentile([within(rng.permutation) for _ in range(200)], [2.5, 97.5])
    pooled = r(table.estimate.to_numpy(), table.truth.to_numpy())
    rows = cohort.table.sort_values("exam")
    named = all_baselines(cohort.cohort.loc[rows.exam], cohort.inputs["packs"], settings)
    print(
        f"shuffled: mean z inside fold and site {own:+.3f}, permutations {low:+.3f} to {high:+.3f}; "
        f"pooled r {pooled:+.3f}"
    )
    for name in ("site_mean", "scanner", "missingness"):
        print(f"  true labels, {name}: r {r(cohort.baseline(named[name]), cohort.truth):+.3f}")
    return {"shuffled_z": own, "shuffled_low": float(low), "shuffled_high": float(high)}


def left_out(make, settings: TrainConfig) -> dict[str, float]:
    """A site, then a vendor kept from the training: r of its test exams, against the model that knows it."""
    found = {}
    for harmonised in (False, True):
        name = "harmonised" if harmonised else "as acquired"
        cohort = make(f"left-out-{harmonised}", 1, coils=True, harmonised=harmonised)
        splits = read_table(cohort.inputs["splits"])
        known = cohort.estimates(cohort.train("all", settings)[0])[0]
        for kind in ("site", "vendor"):
            codes, groups = pd.factorize(cohort.table[kind], sort=True)
            folds = pd.Series(codes).where(cohort.table.partition == "cross-validation").astype("Int64")
            splits.assign(fold=folds).to_csv(cohort.inputs["splits"], index=False)
            drops = []
            for fold, group in enumerate(groups):
                without = cohort.estimates(cohort.train(kind, settings, fold)[0])[0]
                rows = (cohort.test[kind] == group).to_numpy()
                drops.append(r(known[rows], cohort.truth[rows]) - r(without[rows], cohort.truth[rows]))
                print(f"{name}, without {group}: drop in r {drops[-1]:+.3f} over {rows.sum()} exams of it", flush=True)
            found[f"drop_{kind}_{name.replace(' ', '_')}"] = float(np.mean(drops))
    return found


def throughput(quick: bool, device: str) -> dict[str, float]:
    """Ours against the recipe, with a small and with a larger network."""
    from throughput import PEAK, compare, flops

    sizes = {"small network": ((48, 48, 24), 32, 1, 48), "larger network": ((48, 48, 24), 96, 4, 32)}
    found = {}
    for name, (shape, width, depth, exams) in list(sizes.items())[: 1 if quick else 2]:
        if device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        rates = compare(shape, width, depth, exams, 3 if quick else 5, device)
        share = rates["ours"] / rates["network"]
        told = ", ".join(f"{key} {value:.1f}" for key, value in rates.items() if not key.startswith("wait"))
        print(
            f"{name} (width {width}, depth {depth}, {shape}): exams/s {told}; the network takes {share:.0%} of our "
            f"loop, waiting for data {rates['wait']:.1%} resident, {rates['wait_streamed']:.1%} streamed"
        )
        rate = rates["ours"] * flops(shape, width, depth)
        gpu = torch.cuda.get_device_name() if device == "cuda" else ""
        peak = next((top for part, top in PEAK.items() if part in gpu), None)
        of_peak = f" = {rate / peak:.1%} of the peak in bfloat16" if peak else ""
        print(f"  model {rate / 1e12:.3f} TFLOP/s{of_peak}")
        hours = 10 * 0.9 * 3680 * TrainConfig().epochs / rates["ours"] / 3600
        resident = 3680 * float(np.prod(shape)) * (2 * len(CHANNELS) + 1) / 1e9
        print(f"  10 folds x 3,680 exams, {TrainConfig().epochs} epochs: {hours:.1f} h on this {device}", end="; ")
        held = torch.cuda.max_memory_allocated() / 1e9 if device == "cuda" else None
        told = "GPU memory: no GPU" if held is None else f"GPU memory of a step and {exams} exams {held:.1f} GB"
        print(f"images of 3,680 exams take {resident:.1f} GB; {told}")
        if device == "cuda":
            half = rates["ours_bfloat16"]
            factors = half / rates["ours_float32"], rates["ours"] / half
            print("  bfloat16 x {:.2f}, compiled x {:.2f} on top".format(*factors))
        else:
            print("  bfloat16 and compile: not measured, no GPU")
        key = "" if name == "small network" else "_large"
        found[f"augmentation_speedup{key}"] = rates["ours_augment"] / rates["recipe_augment"]
        found[f"throughput_speedup_vs_monai_recipe{key}"] = rates["ours"] / rates["recipe"]
        found[f"wait_fraction{key}"] = rates["wait"]
        found[f"wait_fraction_streamed{key}"] = rates["wait_streamed"]
        found[f"network_share{key}"] = share
    return found


PARTS = ("accuracy", "rivals", "missing", "coverage", "shuffled", "left_out", "throughput")


def main() -> None:
    """Run the parts and print what they found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a small cohort, accuracy and throughput alone")
    parser.add_argument("--parts", nargs="+", choices=PARTS, help="what to measure; all unless --quick")
    parser.add_argument("--exams", type=int, help="training exams (1,200, coverage 2,000; on a GPU 3,680)")
    parser.add_argument("--test", type=int, default=1200, help="test exams")
    parser.add_argument("--shape", type=int, nargs=3, help="voxels (32 32 16; on a GPU 96 96 32)")
    parser.add_argument("--seeds", type=int, default=3, help="cohorts of the part accuracy")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--model", default="transformer", choices=["transformer", "ridge"])
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    gpu = torch.cuda.is_available()
    device = torch.cuda.get_device_name() if gpu else "cpu"
    exams = given.exams or (500 if given.quick else 3680 if gpu else 1200)
    shape = tuple(given.shape or ((96, 96, 32) if gpu else (32, 32, 16)))
    speed = {"device": "cuda", "precision": "bfloat16", "compile": True} if gpu else {"threads": given.threads}
    size = {"width": 192, "depth": 6, "heads": 6, "batch": 32} if gpu else {"width": 48, "depth": 2, "batch": 32}
    settings = TrainConfig(
        epochs=4 if given.quick else given.epochs, patience=30, dropout=0.1, model=given.model, **size, **speed
    )
    parts = given.parts or (("accuracy", "throughput") if given.quick else PARTS)
    found: dict[str, object] = {"device": device, "model": given.model, "exams": exams, "shape": list(shape)}
    with tempfile.TemporaryDirectory() as scratch:

        def make(name: str, seed: int, folds: int = 5, least: int = 0, **scanners: bool) -> Cohort:
            test = 400 if given.quick else given.test
            count = given.exams or max(exams, least)
            return Cohort(Path(scratch) / name, count, test, shape, seed, folds, **scanners)

        steps = {
            "accuracy": lambda: accuracy(make, settings, 1 if given.quick else given.seeds),
            "rivals": lambda: rivals(make, settings),
            "missing": lambda: missing(make, settings),
            "coverage": lambda: coverage(make, settings, 5),
            "shuffled": lambda: shuffled(make, settings, 5),
            "left_out": lambda: left_out(make, settings),
            "throughput": lambda: throughput(given.quick, "cuda" if gpu else "cpu"),
        }
        for part in parts:
            found |= steps[part]()
    print(json.dumps({key: round(value, 4) if isinstance(value, float) else value for key, value in found.items()}))


if __name__ == "__main__":
    main()
