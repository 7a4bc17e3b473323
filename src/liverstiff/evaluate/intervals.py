"""Do the intervals of single estimates hold what they promise?"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from liverstiff.evaluate.bootstrap import MIN_PATIENTS, TOO_FEW, no_interval
from liverstiff.evaluate.draws import Draws
from liverstiff.evaluate.sample import numbers

COLUMNS = ["partition", "group", "value", "low", "high", "mean_width", "median_width", "n", "patients", "note"]


def coverage_of(
    analysed: pd.DataFrame,
    metrics: pd.DataFrame,
    partitions: list[str],
    bands: tuple[float, ...],
    resamples: int,
    seed: int,
) -> pd.DataFrame:
    """Share of the references inside their interval: of all, by site, by band of the estimate (``estimate=3-4``).

    A group of ``metrics`` has the share and its interval from there.
    """
    rows: list[dict[str, Any]] = []
    for partition in partitions:
        members = analysed[analysed.partition == partition].reset_index(drop=True)
        draws = Draws.of(numbers(members.patient), resamples, seed)
        known = _known(metrics[metrics.partition == partition])
        for group, part in _groups(members, bands):
            rows.append({"partition": partition, "group": group, **_row(part, draws), **known.get(group, {})})
    return pd.DataFrame(rows, columns=COLUMNS)


def band_names(bands: tuple[float, ...]) -> list[str]:
    """``under 2.5``, ``2.5-3``, ..., ``4 and over``."""
    between = [f"{low:g}-{high:g}" for low, high in pairwise(bands)]
    return [f"under {bands[0]:g}", *between, f"{bands[-1]:g} and over"] if bands else ["any"]


def _known(metrics: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """By group, what the metrics of a partition already say."""
    rows = metrics[metrics.metric == "interval_coverage"].set_index("group")[["value", "low", "high", "note"]]
    return {str(group): dict(row) for group, row in rows.iterrows()}


def _groups(members: pd.DataFrame, bands: tuple[float, ...]) -> list[tuple[str, pd.DataFrame]]:
    band = np.searchsorted(bands, members.estimate.to_numpy(float), side="right")
    return [
        ("all", members),
        *((f"site={site}", members[members.site == site]) for site in sorted(members.site.dropna().unique())),
        *((f"estimate={name}", members[band == number]) for number, name in enumerate(band_names(bands))),
    ]


def _row(rows: pd.DataFrame, draws: Draws) -> dict[str, Any]:
    known = rows[np.isfinite(rows.low) & np.isfinite(rows.high)]
    size = {"n": len(known), "patients": known.patient.nunique()}
    if rows.empty or known.empty:
        return {**size, "note": "no exam has an interval" if len(rows) else "no exam analysed"}
    inside = ((known.low <= known.reference) & (known.reference <= known.high)).to_numpy(float)
    exams = known.index.to_numpy(np.int64)
    enough = size["patients"] >= MIN_PATIENTS
    low, high, note = draws.mean_interval(exams, inside) if enough else no_interval(TOO_FEW)
    width = known.high - known.low
    value = {"value": inside.mean(), "low": low, "high": high}
    return {**value, "mean_width": width.mean(), "median_width": width.median(), **size, "note": note}
