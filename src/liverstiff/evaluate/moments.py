"""Every metric that is made of means, from sums: one product of weights and per-patient sums serves all resamples."""

from __future__ import annotations

import numpy as np

from liverstiff.evaluate.agreement import LIMITS
from liverstiff.evaluate.sample import Array, Sample, Terms

Sums = dict[str, Array]
"""Sums over the exams by name, arrays of the same shape: one element per resample."""


def exam_columns(sample: Sample, terms: Terms) -> dict[str, Array]:
    """What is summed, by name, each (exams,)."""
    x, y = sample.estimate, sample.reference
    known = np.isfinite(sample.low) & np.isfinite(sample.high)
    columns = {
        **{"n": np.ones_like(x), "x": x, "y": y, "xx": x * x, "yy": y * y, "xy": x * y},
        **{"off": np.abs(x - y), "within": np.abs(x - y) <= terms.within * y},
        **{"known": known, "inside": known & (sample.low <= y) & (y <= sample.high)},
    }
    if terms.thresholds:
        below, above = y < terms.thresholds[0], y >= terms.thresholds[-1]
        columns |= {"below": below, "bias_below": below * (x - y), "above": above, "bias_above": above * (x - y)}
    for number, level in enumerate(terms.thresholds):
        columns[f"case_{number}"] = case = y >= level
        if sample.called.size:
            called = sample.called[:, number]
            columns |= {f"called_{number}": called, f"hit_{number}": np.where(case, called, 0 * called)}
    for site in range(sample.sites if sample.sites > 1 else 0):
        here = sample.site == site
        columns |= {f"n_of_{site}": here, f"x_of_{site}": here * x, f"y_of_{site}": here * y}
    return {name: np.asarray(column, dtype=float) for name, column in columns.items()}


def patient_sums(columns: dict[str, Array], sample: Sample) -> Array:
    """The columns summed over each patient's exams, (patients, columns)."""
    return np.stack([np.bincount(sample.patient, weights=column) for column in columns.values()], axis=1)


def moment_metrics(sums: Sums, terms: Terms) -> dict[str, Array]:
    """The metrics of sums of exams; formulas as in ``agreement``, NaN where undefined."""
    with np.errstate(divide="ignore", invalid="ignore"):
        values = {**_agreement(sums), **_of_terms(sums, terms), **_called(sums, terms)}
    return {name: np.where(np.isfinite(value), value, np.nan) for name, value in values.items()}


def variance(mean_of_squares: Array, mean: Array) -> Array:
    """1/n variance; NaN where it is nothing but rounding."""
    found = mean_of_squares - mean**2
    return np.where(found > 1e-12 * np.maximum(mean_of_squares, 1e-12), found, np.nan)


def _agreement(sums: Sums) -> dict[str, Array]:
    n = sums["n"]
    mx, my, mxx, myy, mxy, mad = (sums[name] / n for name in ("x", "y", "xx", "yy", "xy", "off"))
    vx, vy, cov = variance(mxx, mx), variance(myy, my), mxy - mx * my
    spread_x, spread_y = np.nan_to_num(vx), np.nan_to_num(vy)
    bias, mse = mx - my, mxx + myy - 2 * mxy
    sd = np.sqrt(np.maximum(mse - bias**2, 0) * n / (n - 1))
    slope = cov / vx
    return {
        "pearson_r": cov / np.sqrt(vx * vy),
        "reference_sd": np.sqrt(vy * n / (n - 1)),
        "mae": mad,
        "rmse": np.sqrt(np.maximum(mse, 0)),
        "r2": 1 - mse / vy,
        "bias": bias,
        "limit_low": bias - LIMITS * sd,
        "limit_high": bias + LIMITS * sd,
        "proportional_bias": 2 * (spread_x - spread_y) / (spread_x + spread_y + 2 * cov),
        "icc_a1": _icc_a1(n, spread_x + spread_y + 2 * cov, bias, sd),
        "lin_ccc": 2 * cov / (spread_x + spread_y + bias**2),
        "calibration_slope": slope,
        "calibration_intercept": my - slope * mx,
        "interval_coverage": sums["inside"] / sums["known"],
    }


def _icc_a1(n: Array, spread_of_sum: Array, bias: Array, sd: Array) -> Array:
    """ICC(A,1) from mean squares of exams (R), of the two measurements (C) and of the rest (E)."""
    msr = spread_of_sum / 2 * n / (n - 1)
    msc, mse = n * bias**2 / 2, sd**2 / 2
    return (msr - mse) / (msr + mse + 2 / n * (msc - mse))


def _of_terms(sums: Sums, terms: Terms) -> dict[str, Array]:
    n, cv = sums["n"], terms.reference_cv
    my, myy = sums["y"] / n, sums["yy"] / n
    vx, vy = variance(sums["xx"] / n, sums["x"] / n), variance(myy, my)
    reliable = 1 - cv**2 / (1 + cv**2) * myy / vy
    r = (sums["xy"] / n - sums["x"] / n * my) / np.sqrt(vx * vy)
    values = {
        "pearson_r_corrected": r / np.sqrt(np.where(reliable > 0, reliable, np.nan)),
        "share_within": sums["within"] / n,
    }
    if terms.thresholds:
        values[f"bias_below_{terms.thresholds[0]:g}"] = sums["bias_below"] / sums["below"]
        values[f"bias_above_{terms.thresholds[-1]:g}"] = sums["bias_above"] / sums["above"]
    sites = sum(name.startswith("n_of_") for name in sums)
    if sites:
        values["pearson_r_within_site"] = _within(sums, sites)
    return values


def _within(sums: Sums, sites: int) -> Array:
    """Correlation after subtracting the means of the sites; a site that was not drawn counts for nothing."""
    left = {"xx": sums["xx"], "yy": sums["yy"], "xy": sums["xy"]}
    for site in range(sites):
        n, x, y = (sums[f"{name}_of_{site}"] for name in ("n", "x", "y"))
        drawn = np.where(n > 0, n, 1)
        left = {pair: rest - _product(pair, x, y) / drawn for pair, rest in left.items()}
    tiny = 1e-12
    vx, vy = (np.where(left[pair] > tiny * sums[pair], left[pair], np.nan) for pair in ("xx", "yy"))
    return left["xy"] / np.sqrt(vx * vy)


def _product(pair: str, x: Array, y: Array) -> Array:
    first, second = ({"x": x, "y": y}[name] for name in pair)
    return first * second


def _called(sums: Sums, terms: Terms) -> dict[str, Array]:
    """Prevalence, and what follows from who is called at each threshold."""
    n, values = sums["n"], {}
    for number, level in enumerate(terms.thresholds):
        case = sums[f"case_{number}"]
        values[f"prevalence_{level:g}"] = case / n
        if f"hit_{number}" in sums:
            called, hit = sums[f"called_{number}"], sums[f"hit_{number}"]
            values[f"sensitivity_{level:g}"] = hit / case
            values[f"specificity_{level:g}"] = (n - case - called + hit) / (n - case)
            values[f"ppv_{level:g}"] = hit / called
            values[f"npv_{level:g}"] = (n - case - called + hit) / (n - called)
    return values
