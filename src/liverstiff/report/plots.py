"""The figures: each takes tables and draws on one pair of axes."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from liverstiff.report.drawing import INK, LINE, MARKERS, MUTED, RASTER_ABOVE, SERIES, SURFACE
from liverstiff.report.study import records
from liverstiff.report.wording import Estimate, rounded

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
    """Points by site; a site has the same colour in every figure. Without sites there is no legend."""
    for number, site in enumerate(sites):
        here = rows.site == site
        if here.any():
            points(ax, x[here], y[here], len(rows), number, site or "site unknown")
    if not any(sites):
        return
    legend = ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4, handletextpad=0.1, columnspacing=1.2)
    for handle in legend.legend_handles:
        handle.set(alpha=1, sizes=[22])  # type: ignore[union-attr]


def scatter(ax: Axes, rows: pd.DataFrame, sites: list[str], measured_by: str, unit: str) -> None:
    """Estimate against reference with the line of identity, equal axes."""
    _diagonal(ax, rows[["estimate", "reference"]].to_numpy())
    by_site(ax, rows, rows.reference, rows.estimate, sites)
    ax.set(xlabel=f"{measured_by}, {unit}", ylabel=f"Estimate, {unit}", aspect="equal")
    ax.locator_params(nbins=6)


def identity(ax: Axes, x: pd.Series, y: pd.Series) -> None:
    """Points and the line of identity, equal axes."""
    _diagonal(ax, np.stack([x, y]))
    points(ax, x, y, len(x))
    ax.set_aspect("equal")
    ax.locator_params(nbins=6)


def _diagonal(ax: Axes, values: np.ndarray) -> None:
    low, high = values.min(), values.max()
    margin = 0.05 * (high - low) or 0.5
    ends = (low - margin, high + margin)
    ax.plot(ends, ends, color=MUTED, linestyle=(0, (4, 3)), linewidth=1, zorder=2)
    ax.set(xlim=ends, ylim=ends)


def bland_altman(ax: Axes, rows: pd.DataFrame, sites: list[str], lines: dict[str, Estimate], unit: str) -> None:
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
    ax.set(xlabel=f"Mean of estimate and reference, {unit}", ylabel=f"Estimate − reference, {unit}")
    ax.margins(y=0.12)


def residual(ax: Axes, rows: pd.DataFrame, covariate: str, label: str, effect: Estimate, unit: str) -> None:
    """Residual against one covariate, known in all rows, with the least-squares line of the table."""
    ax.axhline(0, color=MUTED, linestyle=(0, (4, 3)), linewidth=1, zorder=2)
    if covariate == "sex":
        _by_sex(ax, rows)
    else:
        points(ax, rows[covariate], rows.residual, len(rows))
        if effect.value is not None:
            ends = np.array([rows[covariate].min(), rows[covariate].max()])
            middle, mean = rows[covariate].mean(), rows.residual.mean()
            ax.plot(ends, mean + effect.value.exact * (ends - middle), color=SERIES[1], linewidth=1.8, zorder=4)
    ax.set(xlabel=label, ylabel=f"Residual, {unit}")


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


def forest(ax: Axes, labels: list[str], rows: pd.DataFrame, xlabel: str, strong: str = "") -> None:
    """A value of every row with its interval, first row on top; rows have ``value, low, high``.

    Args:
        ax: where to draw.
        labels: what stands at the rows.
        rows: the numbers.
        xlabel: what the numbers are.
        strong: the label that is drawn strongly.
    """
    for place, (label, row) in enumerate(zip(labels[::-1], records(rows[::-1]), strict=True)):
        whole = label == strong
        colour = INK if whole else SERIES[0]
        if np.isfinite(row.low):
            ax.plot([row.low, row.high], [place, place], color=colour, linewidth=2 if whole else 1.4, zorder=2)
        ax.scatter([row.value], [place], s=38 if whole else 26, marker="D" if whole else "o", c=colour, zorder=3)
    ax.set_yticks(range(len(labels)), labels[::-1])
    ax.set_ylim(-0.7, len(labels) - 0.3)
    ax.set_xlabel(xlabel)
    ax.grid(axis="y", visible=False)
    ax.tick_params(axis="y", length=0, labelcolor=INK)


def histograms(ax: Axes, values: list[pd.Series], labels: list[str]) -> None:
    """Shares of exams by value, an outline for each series."""
    every = np.concatenate([np.asarray(series, float) for series in values])
    edges = np.histogram_bin_edges(every, bins=min(24, max(6, int(np.sqrt(len(every))))))
    for number, (series, label) in enumerate(zip(values, labels, strict=True)):
        counts, _ = np.histogram(series, edges)
        style = (0, ((), (5, 2), (1, 1.5))[number % 3])
        colour = SERIES[number % len(SERIES)]
        ax.stairs(counts / len(series), edges, color=colour, linewidth=1.6, linestyle=style if number else "-")
        ax.plot([], [], color=colour, linewidth=1.6, linestyle=style if number else "-", label=label)
    ax.legend(loc="upper right")
    ax.set_ylim(bottom=0)


def strips(ax: Axes, values: list[pd.Series], labels: list[str], start: int = 0) -> None:
    """Values side by side, spread sideways by rank order so that points are seen, with their medians."""
    everyone = sum(len(series) for series in values)
    for place, series in enumerate(values):
        ordered = series.sort_values()
        side = place + 0.5 * (np.modf(np.arange(len(ordered)) * 0.618034)[0] - 0.5)
        points(ax, pd.Series(side), ordered, everyone, start + place)
        if len(ordered):
            ax.plot([place - 0.32, place + 0.32], [ordered.median()] * 2, color=INK, linewidth=1.8, zorder=4)
    ax.set_xticks(range(len(labels)), labels)
    ax.set_xlim(-0.6, len(labels) - 0.4)


def training(ax: Axes, histories: list[pd.DataFrame], losses: list[str]) -> None:
    """Loss by epoch, a line per fold."""
    for table in histories:
        epoch = table["epoch"] if "epoch" in table else table.index + 1
        for number, name in enumerate(losses):
            if name in table:
                ax.plot(epoch, table[name], color=SERIES[number % len(SERIES)], linewidth=1.1, alpha=0.75)
    for number, name in enumerate(losses):
        label = name.removesuffix("_loss").replace("train", "training").replace("_", " ")
        ax.plot([], [], linewidth=2, color=SERIES[number % len(SERIES)], label=label)
    ax.legend(loc="upper right")
    ax.set(xlabel="Epoch", ylabel="Loss")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))


def describe(rows: pd.DataFrame, column: str) -> str:
    """Range of a column in words, for a text that stands for a figure."""
    return f"{rounded(rows[column].min(), 1)} to {rounded(rows[column].max(), 1)}"
