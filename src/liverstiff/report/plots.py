"""The figures: each takes tables and draws on one pair of axes."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from liverstiff.report.drawing import INK, LINE, MARKERS, MUTED, RASTER_ABOVE, SERIES, SURFACE
from liverstiff.report.study import records
from liverstiff.report.wording import Estimate, group_text, rounded

MANY = 300
"""Points above which they are drawn small."""

SEXES = ("female", "male")


def points(ax: Axes, x: pd.Series, y: pd.Series, exams: int, number: int = 0, label: str | None = None) -> None:
    """Points of one series in a colour and marker of its own, small and clear where ``exams`` in all are many."""
    many = exams > MANY
    ax.scatter(
        x,
        y,
        s=6 if many else 22,
        marker=MARKERS[number % len(MARKERS)],
        c=SERIES[number % len(SERIES)],
        edgecolors="none" if many else SURFACE,
        linewidths=0.4,
        alpha=0.45 if many else 0.85,
        label=label,
        rasterized=exams > RASTER_ABOVE,
        zorder=3,
    )


def by_site(ax: Axes, rows: pd.DataFrame, x: pd.Series, y: pd.Series, sites: list[str]) -> None:
    """Points by site; a site has the same colour in every figure."""
    for number, site in enumerate(sites):
        here = rows.site == site
        if here.any():
            points(ax, x[here], y[here], len(rows), number, site)
    legend = ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4, handletextpad=0.1, columnspacing=1.2)
    for handle in legend.legend_handles:
        handle.set(alpha=1, sizes=[22])  # type: ignore[union-attr]


def scatter(ax: Axes, rows: pd.DataFrame, sites: list[str]) -> None:
    """Estimate against reference with the line of identity, equal axes."""
    values = rows[["estimate", "reference"]].to_numpy()
    low, high = values.min(), values.max()
    margin = 0.05 * (high - low) or 0.5
    ends = (low - margin, high + margin)
    ax.plot(ends, ends, color=MUTED, linestyle=(0, (4, 3)), linewidth=1, zorder=2)
    by_site(ax, rows, rows.reference, rows.estimate, sites)
    ax.set(xlim=ends, ylim=ends, xlabel="Elastography, kPa", ylabel="Estimate, kPa", aspect="equal")
    ax.locator_params(nbins=6)


def bland_altman(ax: Axes, rows: pd.DataFrame, sites: list[str], lines: dict[str, Estimate]) -> None:
    """Difference against mean, with bias and limits of agreement and the bands of their intervals."""
    by_site(ax, rows, (rows.estimate + rows.reference) / 2, rows.residual, sites)
    ax.axhline(0, color=LINE, linewidth=1, zorder=1)
    for label, estimate in lines.items():
        if estimate.value is None:
            continue
        ax.axhline(
            estimate.value.exact, color=INK, linewidth=1, linestyle="-" if label == "bias" else (0, (4, 3)), zorder=2
        )
        if estimate.low and estimate.high:
            ax.axhspan(estimate.low.exact, estimate.high.exact, color=MUTED, alpha=0.13, linewidth=0, zorder=0)
        text = f"{label} {estimate.value.text}"
        where = (1, estimate.value.exact)
        ax.annotate(
            text,
            where,
            (0, 2),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            ha="right",
            fontsize=7.5,
        )
    ax.set(xlabel="Mean of estimate and elastography, kPa", ylabel="Estimate − elastography, kPa")
    ax.margins(y=0.12)


def residual(ax: Axes, rows: pd.DataFrame, covariate: str, label: str, effect: Estimate) -> None:
    """Residual against one covariate, with the least-squares line of the table."""
    known = rows[rows.sex.isin(SEXES) if covariate == "sex" else rows[covariate].notna()]
    ax.axhline(0, color=MUTED, linestyle=(0, (4, 3)), linewidth=1, zorder=2)
    if covariate == "sex":
        _by_sex(ax, known)
    else:
        points(ax, known[covariate], known.residual, len(known))
        if effect.value is not None:
            ends = np.array([known[covariate].min(), known[covariate].max()])
            middle, mean = known[covariate].mean(), known.residual.mean()
            ax.plot(ends, mean + effect.value.exact * (ends - middle), color=SERIES[1], linewidth=1.8, zorder=4)
    ax.set(xlabel=label, ylabel="Residual, kPa")


def _by_sex(ax: Axes, rows: pd.DataFrame) -> None:
    """Residuals side by side, spread sideways by rank order so that points are seen, with their means."""
    for number, sex in enumerate(SEXES):
        values = rows.residual[rows.sex == sex].sort_values()
        side = number + 0.28 * (np.modf(np.arange(len(values)) * 0.618034)[0] - 0.5)
        points(ax, pd.Series(side), values, len(rows))
        if len(values):
            ax.plot([number - 0.25, number + 0.25], [values.mean()] * 2, color=SERIES[1], linewidth=2, zorder=4)
    ax.set_xticks(range(len(SEXES)), SEXES)
    ax.set_xlim(-0.6, len(SEXES) - 0.4)


def forest(ax: Axes, rows: pd.DataFrame) -> None:
    """Pearson r of every group with its interval; rows have ``group, value, low, high, n``."""
    order = rows[::-1].reset_index(drop=True)
    for place, row in enumerate(records(order)):
        whole = row.group == "all"
        colour = INK if whole else SERIES[0]
        if np.isfinite(row.low):
            ax.plot([row.low, row.high], [place, place], color=colour, linewidth=2 if whole else 1.4, zorder=2)
        ax.scatter([row.value], [place], s=38 if whole else 26, marker="D" if whole else "o", c=colour, zorder=3)
    labels = [f"{group_text(row.group)} ({row.n})" for row in records(order)]
    ax.set_yticks(range(len(order)), labels)
    ax.set_ylim(-0.7, len(order) - 0.3)
    ends = order[["value", "low"]].to_numpy()
    ax.set_xlim(min(-0.02, np.nanmin(ends) - 0.05), 1.03)
    ax.set_xlabel("Pearson r")
    ax.grid(axis="y", visible=False)
    ax.tick_params(axis="y", length=0, labelcolor=INK)


def training(ax: Axes, histories: list[pd.DataFrame], losses: list[str]) -> None:
    """Loss by epoch, a line per fold."""
    for table in histories:
        epoch = table["epoch"] if "epoch" in table else table.index + 1
        for number, name in enumerate(losses):
            if name in table:
                ax.plot(epoch, table[name], color=SERIES[number % len(SERIES)], linewidth=1.1, alpha=0.75)
    for number, name in enumerate(losses):
        ax.plot([], [], linewidth=2, color=SERIES[number % len(SERIES)], label=name.replace("_", " "))
    ax.legend(loc="upper right")
    ax.set(xlabel="Epoch", ylabel="Loss")


def describe(rows: pd.DataFrame, column: str) -> str:
    """Range of a column in words, for a text that stands for a figure."""
    return f"{rounded(rows[column].min(), 1)} to {rounded(rows[column].max(), 1)}"
