"""How fast the intervals are made, and whether they hold what they promise.

Run: .venv/bin/python bench/evaluate.py [--quick] [--coverage] [--studies 3000] [--cores 2].

Speed: cluster bootstrap of every metric of 3,680 exams (3,376 patients, 10,000 resamples), against loops that build
each resample and call pingouin (r, Spearman, ICC), or numpy and scipy (r, Spearman); the loops are timed on a few
resamples and scaled to all, and compared on one core, each the best of three. Then the whole stage on a study of that
size with 6 baselines and at least 10,000 rows of subgroups.

--coverage: studies of 365 and 1,224 exams drawn from a population with known truth (skewed reference, noise of 10 %,
8 % repeat exams): how often 95 % intervals hold it, and how often the equivalence test claims what is not so.

--quick: a tenth of the resamples, subgroups of two characteristics, and 20 studies of coverage: less than a minute.
The last line is one JSON object.
"""

import argparse
import json
import resource
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pingouin
from scipy import stats

from liverstiff.config import EvaluateConfig, TargetConfig
from liverstiff.evaluate import evaluate_study
from liverstiff.evaluate.agreement import statistics_of
from liverstiff.evaluate.bootstrap import (
    STUDENTISED,
    bca_interval,
    bootstrap_t_interval,
    centred_sums,
    fisher,
    intervals_of,
    percentile_interval,
    resampled,
    z_and_error,
)
from liverstiff.evaluate.draws import Draws
from liverstiff.evaluate.residuals import contrasts_of, effect_of
from liverstiff.evaluate.sample import Sample, Terms
from liverstiff.evaluate.subgroups import agreement_of

EXAMS, PATIENTS, RESAMPLES = 3680, 3376, 10_000
LOOPED = {"pingouin": 3, "scipy": 60}
"""Resamples on which the loops are timed."""
SPLITS = {"cross-validation": 2091, "temporal": 1224, "external": 365}
THRESHOLDS = TargetConfig().thresholds
MARGIN = TargetConfig().margin
LIVE = Terms((4.0,))
CUT = 3.6


def population(patients: int, exams: int, rng: np.random.Generator) -> pd.DataFrame:
    """Exams of a population: skewed reference with noise, two estimates (r about 0.80 and 0.73), age, sex.

    An estimate is the mean of the true value given a noisy sign of it. Half of the noise is the patient's, half the
    exam's; patients with a second exam are the first ones.
    """
    patient = np.r_[np.arange(patients), np.arange(exams - patients)]
    level = rng.standard_normal(patients)[patient]
    true = np.minimum(14.0, 1.6 + np.exp(0.17 + 0.774 * level))
    seen = {}
    for name, noise in (("estimate", 0.61), ("rival", 0.77)):
        error = np.sqrt(0.5) * (rng.standard_normal(patients)[patient] + rng.standard_normal(exams))
        told = 1 / (1 + noise**2)
        seen[name] = 1.6 + np.exp(0.17 + 0.774 * told * (level + noise * error) + 0.774**2 * (1 - told) / 2)
    table = pd.DataFrame({"patient": patient, "reference": true * (1 + 0.10 * rng.standard_normal(exams)), **seen})
    table = table.assign(age=rng.normal(52, 14, patients)[patient])
    return table.assign(sex=np.where(rng.random(patients) < 0.5, "male", "female")[patient], low=np.nan, high=np.nan)


def sample_of(table: pd.DataFrame, column: str = "estimate") -> Sample:
    """The sample of one of the two estimates, called at a fixed cut-point."""
    x = table[column].to_numpy()
    none = np.full(len(x), np.nan)
    called = (x >= CUT).astype(float)[:, None]
    return Sample(x, table.reference.to_numpy(), none, none, table.patient.to_numpy(), called=called)


def truth_of(exams: int = 4_000_000) -> dict[str, float]:
    """Every metric in the population, and differences of the two estimates."""
    table = population(exams, exams, np.random.default_rng(99))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        values = {}
        for column in ("estimate", "rival"):
            skipped = ("icc_a1", "pearson_r_within_site", "interval_coverage")
            named = {n: f for n, f in statistics_of(sample_of(table, column), LIVE).items() if n not in skipped}
            values[column] = {name: function() for name, function in named.items()}
            values[column]["icc_a1"] = values[column]["lin_ccc"]  # the same for many exams
    pairs = {f"difference {name}": values["estimate"][name] - values["rival"][name] for name in ("pearson_r", "mae")}
    return {**values["estimate"], **pairs, "kurtosis": float(stats.kurtosis(table.reference))}


def one_study(seed: int, exams: int, resamples: int, truth: dict[str, float]) -> Counter:
    """Which intervals of one study hold the truth, and what its equivalence tests claim."""
    rng = np.random.default_rng([7, seed, exams])
    table = population(round(exams / 1.08), exams, rng)
    first, second = sample_of(table), sample_of(table, "rival")
    values = resampled(first, LIVE, resamples, seed, threads=1)
    other = resampled(second, LIVE, resamples, seed, threads=1, studentised=False)
    t = values.pop(STUDENTISED)
    intervals = {name: percentile_interval(column) for name, column in values.items() if name in truth}
    plain_r = values["pearson_r"]
    sums = centred_sums(first)
    r = np.tanh(fisher(sums.sum(axis=0)))
    intervals |= {
        "pearson_r": bootstrap_t_interval(first, t),
        "pearson_r by t of equal tails": equal_tails(sums, t),
        "pearson_r by percentiles": percentile_interval(plain_r),
        "pearson_r by BCa": bca_interval(plain_r, float(r), np.tanh(fisher(sums.sum(axis=0) - sums))),
        "pearson_r by n - 3": np.tanh(np.arctanh(r) + np.array([-1, 1]) * 1.959964 / np.sqrt(exams - 3)),
    }
    x, y = first.estimate, first.reference
    quick = agreement_of(Draws.of(first.patient, resamples, seed), np.arange(exams), x, y)
    intervals["pearson_r of subgroups"] = (quick["pearson_r_low"], quick["pearson_r_high"])
    intervals["mae of subgroups"] = (quick["mae_low"], quick["mae_high"])
    for name in ("pearson_r", "mae"):
        intervals[f"difference {name}"] = percentile_interval(values[name] - other[name])
    found = Counter()
    for name, (low, high, *_) in intervals.items():
        found[name] = int(low <= truth[name.split(" by ")[0].split(" of ")[0]] <= high)
    found.update(_claims(table))
    return found


def equal_tails(sums: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Bootstrap-t interval of r with 2.5 % on either side."""
    z, error = z_and_error(sums, np.ones((1, len(sums))))
    return np.tanh(z - np.nanquantile(t, [0.975, 0.025]) * error)


def _claims(table: pd.DataFrame) -> dict[str, int]:
    """Claims of equivalence where the effect is as large as the margin and where there is none, and of a difference."""
    age = (table.age - 52) / (2 * 1.281552 * 14)  # 1 from the 10th to the 90th percentile of the population
    male = table.sex == "male"
    residual, claims = table.estimate - table.reference, {}
    for name, shape in (("sex", male.astype(float)), ("age", age)):
        for what, size in (("at margin", MARGIN), ("at none", 0.0)):
            rows = table.assign(residual=residual + size * shape)
            contrast = next(contrasts_of(rows, name, "kPa"))
            effect = effect_of(contrast, MARGIN)
            claims[f"equivalent {name} {what}"] = int(effect["p_equivalence"] < 0.05)
            if size == 0:
                claims[f"different {name} {what}"] = int(effect["p"] < 0.05)
    return claims


def shares_of(found: Iterable[Counter]) -> dict[str, float]:
    """Share of the studies in which each thing is so."""
    studies = list(found)
    return {name: sum(one[name] for one in studies) / len(studies) for name in studies[0]}


def coverage(
    studies: int, resamples: int, cores: int, sizes: tuple[int, ...] = (365, 1224), population_size: int = 4_000_000
) -> dict[str, float]:
    """Share of the studies whose intervals hold the truth, by size."""
    truth = truth_of(population_size)
    print(f"truth: r {truth['pearson_r']:.4f}, MAE {truth['mae']:.4f}, kurtosis {truth['kurtosis']:.1f}")
    shares: dict[int, dict[str, float]] = {}
    for exams in sizes:
        start = time.perf_counter()
        with ProcessPoolExecutor(cores) as pool:
            study = partial(one_study, exams=exams, resamples=resamples, truth=truth)
            shares[exams] = shares_of(pool.map(study, range(studies), chunksize=10))
        print(f"{studies} studies of {exams} exams, {resamples} resamples: {time.perf_counter() - start:.0f} s")
    for name in sorted(shares[sizes[0]]):
        print(f"{name:32s}" + "".join(f"{shares[exams][name]:9.4f}" for exams in sizes))
    kept = ("pearson_r", "mae", "difference pearson_r", "difference mae", "equivalent sex at margin")
    return {f"{name.replace(' ', '_')}_{exams}": shares[exams][name] for name in kept for exams in sizes}


def large_study() -> Sample:
    """3,680 exams of 3,376 patients at four sites."""
    table = population(PATIENTS, EXAMS, np.random.default_rng(1))
    x, y = table.estimate.to_numpy(), table.reference.to_numpy()
    called = (x[:, None] >= np.array(THRESHOLDS)).astype(float)
    site = np.random.default_rng(2).integers(4, size=EXAMS)
    return Sample(x, y, x - 1.1, x + 1.2, table.patient.to_numpy(), site, called)


def literal(sample: Sample, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Estimates and references of one resample of patients, built exam by exam."""
    order = np.argsort(sample.patient, kind="stable")
    ends = np.searchsorted(sample.patient[order], np.arange(PATIENTS + 1))
    drawn = rng.integers(PATIENTS, size=PATIENTS)
    rows = np.concatenate([order[ends[one] : ends[one + 1]] for one in drawn])
    return sample.estimate[rows], sample.reference[rows]


def by_pingouin(x: np.ndarray, y: np.ndarray) -> None:
    """r, Spearman, ICC(A,1)."""
    pingouin.corr(x, y)
    pingouin.corr(x, y, method="spearman")
    exam = np.tile(np.arange(len(x)), 2)
    long = pd.DataFrame({"exam": exam, "by": np.repeat(["x", "y"], len(x)), "value": np.concatenate([x, y])})
    pingouin.intraclass_corr(long, targets="exam", raters="by", ratings="value")


def by_scipy(x: np.ndarray, y: np.ndarray) -> None:
    """r, Spearman."""
    np.corrcoef(x, y)
    stats.spearmanr(x, y)


def loop_seconds(function: Callable, sample: Sample, times: int) -> float:
    """CPU seconds of a resample in a loop of so many."""
    rng = np.random.default_rng(3)

    def loop() -> None:
        for _ in range(times):
            function(*literal(sample, rng))

    return best(loop, time.process_time) / times


def best(function: Callable, clock: Callable) -> float:
    """Least seconds of three calls."""
    seconds = []
    for _ in range(3):
        start = clock()
        function()
        seconds.append(clock() - start)
    return min(seconds)


def speed(cores: int, resamples: int) -> dict[str, float]:
    """Seconds of the bootstrap and of the loops."""
    sample, terms = large_study(), Terms(THRESHOLDS)
    intervals = intervals_of(sample, terms, resamples, 1, threads=cores)
    wall = best(lambda: intervals_of(sample, terms, resamples, 1, threads=cores), time.perf_counter)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    one_core = best(lambda: intervals_of(sample, terms, resamples, 1, threads=1), time.process_time)
    print(f"{len(intervals)} metrics, {EXAMS} exams, {resamples} resamples of {PATIENTS} patients, peak {peak:.0f} MB")
    print(f"{cores} threads: {wall:.2f} s; one thread: CPU {one_core:.2f} s")
    loops = {"pingouin": by_pingouin, "scipy": by_scipy}
    seconds = {name: resamples * loop_seconds(loop, sample, LOOPED[name]) for name, loop in loops.items()}
    for name, loop in loops.items():
        print(
            f"loop of {name} ({str(loop.__doc__).rstrip('.')}), timed on {LOOPED[name]} resamples and scaled to "
            f"{resamples}: CPU {seconds[name]:.0f} s, {seconds[name] / one_core:.1f} times as long"
        )
    return {
        **{"resamples": resamples, "exams": EXAMS, "metrics": len(intervals)},
        **{"bootstrap_s": wall, "bootstrap_one_core_s": one_core, "peak_mb": peak},
        **{f"{name}_loop_scaled_s": seconds[name] for name in loops},
        **{f"{name}_loop_timed_on": LOOPED[name] for name in loops},
        **{f"speedup_vs_{name}_loop": seconds[name] / one_core for name in loops},
    }


def write_study(folder: Path) -> dict:
    """Inputs of the stage: 3,680 exams with a full record and 6 baselines."""
    rng = np.random.default_rng(4)
    table = population(PATIENTS, EXAMS, rng)
    number = rng.permutation(np.repeat(list(SPLITS), list(SPLITS.values())))[: len(table)]
    table["partition"] = pd.Series(number).groupby(table.patient.to_numpy()).transform("first")
    external = table.partition == "external"
    site = np.where(external, "delta", rng.choice(["alba", "brook", "cedar"], EXAMS))
    vendor = np.where(site == "delta", "Siemens", rng.choice(["GE", "Siemens", "Philips"], EXAMS))
    table = table.assign(
        **{"exam": [f"e{row:06d}" for row in range(EXAMS)], "site": site, "vendor": vendor},
        **{"field_t": rng.choice([1.5, 3.0], EXAMS), "bmi": rng.normal(29, 5, EXAMS)},
        **{"steatosis": rng.integers(0, 2, EXAMS), "mre_type": rng.choice(["GRE", "EPI"], EXAMS)},
    )
    table["patient"] = "p" + table.patient.astype(str)
    fold = np.where(table.partition == "cross-validation", np.arange(EXAMS) % 10, "ensemble")
    predicted = table[["exam", "estimate"]].assign(fold=fold, low=table.estimate - 1.1, high=table.estimate + 1.2)
    predicted["sequences"] = rng.choice(["T1w+T2w+DWI", "T1w+T2w", "T1w+DWI"], EXAMS)
    paths = {name: folder / f"{name}.csv" for name in SPLITS}
    for name, path in paths.items():
        predicted[table.partition == name].to_csv(path, index=False)
    rivals = [
        table[["exam", "partition"]].assign(
            baseline=f"rival {n}", fold=fold, estimate=table.rival + rng.normal(0, 0.2, EXAMS)
        )
        for n in range(6)
    ]
    tables = {
        "cohort": table.drop(columns=["partition", "estimate", "rival", "low", "high"]),
        "exclusions": pd.DataFrame(columns=["exam", "patient", "site", "stage", "reason", "detail"]),
        "splits": table[["exam", "partition"]].assign(fold=fold, reason=""),
        "exams": table[["exam", "patient", "site"]],
        "baselines": pd.concat(rivals),
    }
    for name, rows in tables.items():
        rows.to_csv(folder / f"in-{name}.csv", index=False)
    return {"predictions": paths, **{name: folder / f"in-{name}.csv" for name in tables}}


OUTPUTS = (
    *("flow", "analysed", "metrics", "thresholds", "cutpoints", "bland_altman", "residuals", "subgroups", "contrasts"),
    *("comparisons", "coverage", "calibration", "roc", "decision", "table1"),
)


def whole_stage(resamples: int, crossed: int) -> dict[str, float]:
    """Seconds and rows of the whole stage."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        inputs = write_study(folder)
        tables = {table: folder / "out" / f"{table}.csv" for table in OUTPUTS}
        settings = EvaluateConfig(resamples=resamples, crossed=crossed)
        start, cpu = time.perf_counter(), time.process_time()
        evaluate_study(
            **inputs, tables=tables, summary=folder / "out/summary.json", settings=settings, target=TargetConfig()
        )
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
        rows = len(pd.read_csv(tables["subgroups"]))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"whole stage, {resamples} resamples, {rows} rows of subgroups: {seconds:.0f} s, CPU {cpu:.0f} s, {peak:.0f} MB"
    )
    return {"evaluate_s": seconds, "evaluate_cpu_s": cpu, "subgroup_rows": rows, "evaluate_peak_mb": peak}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--coverage", action="store_true")
    parser.add_argument("--studies", type=int, default=3000)
    parser.add_argument("--resamples", type=int, default=1000, help="of each study of the coverage")
    parser.add_argument("--cores", type=int, default=2)
    arguments = parser.parse_args()
    if arguments.coverage:
        print(json.dumps(coverage(arguments.studies, arguments.resamples, arguments.cores)))
        return
    if arguments.quick:
        found = speed(arguments.cores, RESAMPLES // 10) | whole_stage(200, crossed=2)
        found |= coverage(20, 200, arguments.cores, population_size=500_000)
    else:
        found = speed(arguments.cores, RESAMPLES) | whole_stage(2000, crossed=4)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
