"""How a figure leaves matplotlib: PNG and SVG for a paper, and SVG inside the page that follows light and dark mode."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

INK, MUTED, LINE, SURFACE = "#1d2733", "#5c6b7a", "#d5dce3", "#fdfdfd"
SERIES = ("#0072b2", "#d55e00", "#009e73", "#aa4499", "#b8860b", "#56b4e9")
"""Told apart with any colour vision (after Okabe and Ito); markers repeat the difference."""
MARKERS = ("o", "s", "^", "D", "v", "P")

THEME = {INK: "--ink", MUTED: "--muted", LINE: "--line", SURFACE: "--surface"}
THEME |= {colour: f"--series-{number}" for number, colour in enumerate(SERIES, start=1)}

RASTER_ABOVE = 2000
"""Points above which a scatter is an image inside the figure: the page stays small."""

STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.labelsize": 8.5,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.5,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "legend.labelcolor": INK,
    "text.color": INK,
    "text.parse_math": False,
    "lines.linewidth": 1.3,
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
}


@contextmanager
def axes(width: float = 3.7, height: float = 3.2) -> Iterator[tuple[Canvas, Axes]]:
    """A figure with one pair of axes in the page's style; sizes in inches."""
    with mpl.rc_context(STYLE):
        canvas = Canvas(figsize=(width, height), layout="constrained")
        yield canvas, canvas.subplots()


def save(canvas: Canvas, folder: Path, name: str, alt: str, formats: Sequence[str]) -> str:
    """Write ``name`` in the formats (PNG at 300 dpi), equal bytes for equal drawings; return the page's SVG."""
    with mpl.rc_context({**STYLE, "svg.hashsalt": name}):
        canvas.get_layout_engine().execute(canvas)  # type: ignore[union-attr]
        canvas.set_layout_engine("none")  # laid out once, not for each format
        if "png" in formats:
            canvas.savefig(folder / f"{name}.png", dpi=300, metadata={"Software": None})
        if "pdf" in formats:
            canvas.savefig(folder / f"{name}.pdf", metadata={"CreationDate": None, "Creator": None, "Producer": None})
        text = io.StringIO()
        canvas.savefig(text, format="svg", dpi=200, metadata={"Date": None, "Creator": None})
    if "svg" in formats:
        (folder / f"{name}.svg").write_text(text.getvalue(), encoding="utf-8")
    return for_page(text.getvalue(), name, alt)


def for_page(svg: str, name: str, alt: str) -> str:
    """The SVG without prolog, name spaces and fixed size, with colours of the page's theme and ids of its own."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\s(?:xmlns(?::xlink)?|version)="[^"]*"', "", svg)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    svg = svg.replace("xlink:href", "href").replace("fill: #ffffff", "fill: none")
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = svg.replace("url(#", f"url(#{name}-").replace('href="#', f'href="#{name}-')
    for colour, variable in THEME.items():
        svg = svg.replace(colour, f"var({variable})")
    return svg.replace("<svg", f'<svg role="img" aria-label="{escape(alt)}"', 1)
