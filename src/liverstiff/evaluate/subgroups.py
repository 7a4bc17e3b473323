"""Agreement in every subgroup that one or several characteristics make, by the thousand."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from liverstiff.evaluate.bootstrap import (
    MIN_PATIENTS,
    SAME,
    THREADS,
    TOO_FEW,
    Interval,
    fisher,
    no_interval,
    percentile_interval,
    studentised_interval,
)
from liverstiff.evaluate.draws import Draws, Indices
from liverstiff.evaluate.performance import level_texts
from liverstiff.evaluate.sample import Array, numbers

BANDS = {
    "age": ((40.0, 60.0), ("under 40", "40 to 59", "60 and over")),
    "bmi": ((25.0, 30.0), ("under 25", "25 to 29", "30 and over")),
}
"""Edges, in years and kg/m2, and names of the bands."""

CHARACTERISTICS = ("site", "vendor", "field_t", "sex", "age", "bmi", "steatosis", "mre_type", "sequences")

COLUMNS = [
    *("partition", "subgroup", "characteristics", "n", "patients"),
    *("pearson_r", "pearson_r_low", "pearson_r_high", "mae", "mae_low", "mae_high"),
    *("bias", "bias_low", "bias_high", "reference_sd", "note"),
]

ESTIMATED = ("pearson_r", "mae", "bias")

Group = tuple[str, int, Indices]
"""Its name, how many characteristics make it, and the places of its exams."""


def subgroups_of(
    analysed: pd.DataFrame, metrics: pd.DataFrame, partitions: list[str], crossed: int, resamples: int, seed: int
) -> pd.DataFrame:
    """A row per partition and subgroup with n, r, MAE and bias; intervals by resampling the partition's patients.

    A subgroup that is a group of ``metrics`` has the numbers and intervals from there.
    """
    rows: list[dict[str, Any]] = []
    for partition in partitions:
        members = analysed[analysed.partition == partition].reset_index(drop=True)
        known = known_of(metrics[metrics.partition == partition])
        found = rows_of(members, crossings(members, crossed), known, resamples, seed)
        rows += [{"partition": partition, **row} for row in found]
    return pd.DataFrame(rows, columns=COLUMNS)


def known_of(metrics: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """What a row needs, by group, from the metrics of a partition."""
    return {str(group): _known(rows.set_index("metric")) for group, rows in metrics.groupby("group")}


def _known(metrics: pd.DataFrame) -> dict[str, Any]:
    found: dict[str, Any] = {"reference_sd": metrics.value["reference_sd"]}
    notes = []
    for name in ESTIMATED:
        value, low, high, note = (metrics[column][name] for column in ("value", "low", "high", "note"))
        found |= {name: value, f"{name}_low": low, f"{name}_high": high}
        notes.append(f"no r: {note}" if name == "pearson_r" and pd.isna(value) else note)
    return {**found, "note": "; ".join(dict.fromkeys(filter(None, notes)))}


def levels_of(rows: pd.DataFrame) -> dict[str, pd.Series]:
    """By characteristic, the level of each exam as text, empty where unknown; none that is nowhere known."""
    levels = {}
    for name in CHARACTERISTICS:
        if name not in rows:
            continue
        values = rows[name]
        if name in BANDS:
            edges, names = BANDS[name]
            band = np.searchsorted(edges, values.to_numpy(float), side="right")
            text = pd.Series(np.array(names)[band], rows.index).where(values.notna(), "")
        else:
            text = level_texts(values)
        if (text != "").any():
            levels[name] = text
    return levels


def crossings(rows: pd.DataFrame, most: int) -> Iterator[Group]:
    """Subgroups of one characteristic, then of two, and so on up to ``most``.

    Left out are characteristics of a single level, and subgroups of the very exams of one with fewer characteristics.
    """
    told: set[bytes] = set()
    levels = {name: text for name, text in levels_of(rows).items() if text[text != ""].nunique() > 1}
    for size in range(1, most + 1):
        for names in combinations(levels, size):
            known = np.all([levels[name] != "" for name in names], axis=0)
            table = pd.DataFrame({name: levels[name][known] for name in names})
            for values, places in table.groupby(list(names), sort=True).indices.items():
                texts = values if isinstance(values, tuple) else (values,)
                title = " & ".join(f"{name}={text}" for name, text in zip(names, texts, strict=True))
                exams = np.flatnonzero(known)[places]
                if size == 1 or exams.tobytes() not in told:
                    yield title, size, exams
                told.add(exams.tobytes())


def rows_of(
    members: pd.DataFrame, groups: Iterator[Group], known: dict[str, dict[str, Any]], resamples: int, seed: int
) -> Iterator[dict[str, Any]]:
    """One row per subgroup of the exams of a partition, of those ``known`` with what is known."""
    draws = Draws.of(numbers(members.patient), resamples, seed)
    x, y = members.estimate.to_numpy(float), members.reference.to_numpy(float)

    def row(group: Group) -> dict[str, Any]:
        title, size, exams = group
        told = {"subgroup": title, "characteristics": size, "n": len(exams), "patients": len(draws.patients(exams))}
        return {**told, **(known.get(title) or agreement_of(draws, exams, x[exams], y[exams]))}

    with ThreadPoolExecutor(THREADS) as pool, threadpool_limits(1, "blas"):
        yield from pool.map(row, groups)


def agreement_of(draws: Draws, exams: Indices, x: Array, y: Array) -> dict[str, Any]:
    """n, r, MAE, bias of one subgroup with intervals; what is undefined is empty and ``note`` says why."""
    found: dict[str, Any] = {"mae": np.mean(np.abs(x - y)), "bias": np.mean(x - y)}
    found["reference_sd"] = np.std(y, ddof=1) if len(y) > 2 else None
    centred = (x - x.mean(), y - y.mean())
    columns = np.column_stack(
        [np.ones_like(x), *centred, centred[0] ** 2, centred[1] ** 2, centred[0] * centred[1], np.abs(x - y), x - y]
    )
    z = fisher(columns[:, :6].sum(axis=0)) if len(x) > 2 else np.nan
    notes = [] if len(x) > 2 else [f"no r: needs 3 exams, has {len(x)}"]
    if len(x) > 2 and not np.isfinite(z):
        notes.append("no r: estimate or reference is constant, or they lie on a line")
    found["pearson_r"] = np.tanh(z) if np.isfinite(z) else None
    intervals = _intervals(draws, exams, columns, float(z))
    for name, (low, high, note) in intervals.items():
        found |= {f"{name}_low": low, f"{name}_high": high}
        notes += [note] if note and (name != "pearson_r" or np.isfinite(z)) else []
    return {**found, "note": "; ".join(dict.fromkeys(notes))}


SINGLE = 1e-5
"""Rounding of sums in single precision, which does for the ends of intervals and halves their time."""

PAIRS = np.triu_indices(6)
"""Of the six sums behind r, each with itself and with those after it."""
TWICE = np.where(PAIRS[0] == PAIRS[1], 1.0, 2.0)[:, None]


def _intervals(draws: Draws, exams: Indices, columns: Array, z: float) -> dict[str, Interval]:
    patients, sums = draws.per_patient(exams, columns)
    if len(patients) < MIN_PATIENTS:
        return dict.fromkeys(ESTIMATED, no_interval(TOO_FEW))
    products = sums[:, PAIRS[0]] * sums[:, PAIRS[1]]
    single = np.hstack([sums, products]).T.astype(np.float32)
    totals = (single @ draws.counts[patients]).astype(float)
    with np.errstate(divide="ignore", invalid="ignore"):
        mae, bias = (percentile_interval(totals[row] / totals[0]) for row in (6, 7))
    r = no_interval("")
    if np.isfinite(z):
        whole = np.r_[sums.sum(axis=0)[:6], products.sum(axis=0)][:, None]
        r = _of_r(np.vstack([totals[:6], totals[8:]]), whole, z)
    return {"pearson_r": r, "mae": mae, "bias": bias}


def _of_r(drawn: Array, whole: Array, z: float) -> Interval:
    """Symmetric bootstrap-t on Fisher's z with the infinitesimal jackknife as standard error.

    The error is that of the linear part of z in each patient's sums (Jaeckel, 1972), which equals the delete-one
    jackknife but for terms of order 1 / patients, and follows from sums of products.

    Args:
        drawn: the six sums and the 21 sums of their products per patient in every resample, (27, resamples).
        whole: the same of the sample, (27, 1).
        z: of the sample.
    """
    error = _error(whole)[0]
    if not error > 0:
        return no_interval(SAME)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = (fisher(drawn[:6], axis=0, tiny=SINGLE) - z) / _error(drawn)
    return studentised_interval(z, float(error), t)


def _error(sums: Array) -> Array:
    """Standard error of z: root of g' M g, with g the slope of z in the six sums and M the sums of their products."""
    n = sums[0]
    with np.errstate(divide="ignore", invalid="ignore"):
        mx, my, mxx, myy, mxy = sums[1:6] / n
        vx, vy = mxx - mx**2, myy - my**2
        root = np.sqrt(vx * vy)
        r = (mxy - mx * my) / root
        of_n = mx * my / root - r / 2 * (mx**2 / vx + my**2 / vy)
        slopes = [of_n, r * mx / vx - my / root, r * my / vy - mx / root, -r / (2 * vx), -r / (2 * vy), 1 / root]
        g = np.stack(slopes) / (n * (1 - r**2))
        return np.asarray(np.sqrt(np.sum(TWICE * g[PAIRS[0]] * g[PAIRS[1]] * sums[6:], axis=0)))
