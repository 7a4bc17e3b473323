"""The figures that are curves: calibration, ROC, net benefit, and the equivalence of residuals."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from liverstiff.report.drawing import INK, MARKERS, MUTED, SERIES
from liverstiff.report.study import records

DASHES = ("-", (0, (6, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)), (0, (3, 1, 1, 1, 1, 1)))
"""Lines told apart without colour."""


def calibration(ax: Axes, points: pd.DataFrame, unit: str) -> None:
    """Mean reference against mean estimate in groups of the estimate, with intervals; ideal on the dashed line."""
    known = points[points.estimate.notna() & points.reference.notna()]
    values = known[["estimate", "reference", "low", "high"]].to_numpy(float)
    low, high = np.nanmin(values), np.nanmax(values)
    margin = 0.06 * (high - low) or 0.5
    ends = (low - margin, high + margin)
    ax.plot(ends, ends, color=MUTED, linestyle=(0, (4, 3)), linewidth=1, zorder=1)
    for row in records(known):
        if np.isfinite(row.low):
            ax.plot([row.estimate] * 2, [row.low, row.high], color=SERIES[0], linewidth=1.2, zorder=2)
    ax.plot(known.estimate, known.reference, color=SERIES[0], marker="o", markersize=4.5, linewidth=1.2, zorder=3)
    ax.set(xlim=ends, ylim=ends, aspect="equal", xlabel=f"Mean estimate, {unit}", ylabel=f"Mean reference, {unit}")
    ax.locator_params(nbins=6)


def roc(ax: Axes, rows: pd.DataFrame, unit: str) -> None:
    """Sensitivity against 1 − specificity, a line per threshold."""
    ax.plot([0, 1], [0, 1], color=MUTED, linestyle=(0, (4, 3)), linewidth=1, zorder=1)
    for number, (threshold, part) in enumerate(rows.groupby("threshold", sort=True)):
        order = part.sort_values("cut_point", ascending=False)
        x = np.concatenate([[0], 1 - order.specificity, [1]])
        y = np.concatenate([[0], order.sensitivity, [1]])
        style = DASHES[number % len(DASHES)]
        label = f"{threshold:g} {unit}"
        ax.step(x, y, where="post", color=SERIES[number % len(SERIES)], linestyle=style, label=label, linewidth=1.5)
    ax.legend(loc="lower right", title=None)
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal", xlabel="1 − specificity", ylabel="Sensitivity")


def decision(ax: Axes, rows: pd.DataFrame) -> None:
    """Net benefit by the risk at which one acts: of each model, of acting always, and of acting never.

    The band is the interval of the first model.
    """
    first = rows[rows.model == rows.model.iloc[0]]
    for number, (model, part) in enumerate(rows.groupby("model", sort=False)):
        colour, style = SERIES[number % len(SERIES)], DASHES[number % len(DASHES)]
        if number == 0 and part.low.notna().any():
            ax.fill_between(part.risk, part.low, part.high, color=colour, alpha=0.13, linewidth=0, zorder=1)
        ax.plot(part.risk, part.net_benefit, color=colour, linestyle=style, label=str(model), zorder=3)
    ax.plot(first.risk, first.treat_all, color=MUTED, linewidth=1, label="act always", zorder=2)
    ax.axhline(0, color=INK, linewidth=0.9, label="act never", zorder=2)
    top = max(float(rows.net_benefit.max()), float(first.treat_all.max()), 0.02)
    ax.set(xlim=(0, 1), ylim=(-0.25 * top, 1.1 * top), xlabel="Risk at which one acts", ylabel="Net benefit")
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1.0))


def equivalence(ax: Axes, labels: list[str], rows: pd.DataFrame, margin: float, xlabel: str) -> None:
    """Effects on the residual with 90 % intervals against the margin: inside the band they are small enough."""
    ax.axvspan(-margin, margin, color=SERIES[2], alpha=0.13, linewidth=0, zorder=0)
    ax.axvline(0, color=MUTED, linewidth=0.9, zorder=1)
    verdicts = {"equivalent": (SERIES[2], MARKERS[0]), "different": (SERIES[1], MARKERS[1])}
    for place, row in enumerate(records(rows[::-1])):
        colour, marker = verdicts.get(row.verdict, (SERIES[0], MARKERS[3]))
        if np.isfinite(row.span_low):
            ax.plot([row.span_low, row.span_high], [place, place], color=colour, linewidth=1.6, zorder=2)
        ax.scatter([row.span_value], [place], s=28, marker=marker, c=colour, zorder=3)
    ax.set_yticks(range(len(labels)), labels[::-1])
    ax.set_ylim(-0.7, len(labels) - 0.3)
    ax.set_xlabel(xlabel)
    ax.grid(axis="y", visible=False)
    ax.tick_params(axis="y", length=0, labelcolor=INK)


def covered(ax: Axes, labels: list[str], rows: pd.DataFrame, nominal: float) -> None:
    """Share of intervals that hold the reference, per group, against the share they promise; in per cent."""
    ax.axvline(100 * nominal, color=MUTED, linestyle=(0, (4, 3)), linewidth=1, zorder=1)
    for place, row in enumerate(records(rows[::-1])):
        if np.isfinite(row.low):
            ax.plot([100 * row.low, 100 * row.high], [place, place], color=SERIES[0], linewidth=1.4, zorder=2)
        ax.scatter([100 * row.value], [place], s=26, c=SERIES[0], zorder=3)
    ax.set_yticks(range(len(labels)), labels[::-1])
    ax.set_ylim(-0.7, len(labels) - 0.3)
    ax.set_xlim(max(-3.0, min(45.0, 100 * float(rows[["value", "low"]].min().min()) - 5)), 103)
    ax.set_xlabel("Coverage, %")
    ax.grid(axis="y", visible=False)
    ax.tick_params(axis="y", length=0, labelcolor=INK)
