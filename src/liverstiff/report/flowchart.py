"""The flow chart: from the catalogue to the partitions, with the exams of every site."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch

from liverstiff.report.drawing import LINE, MUTED, SURFACE
from liverstiff.report.study import Study, filled, records
from liverstiff.report.wording import REASONS, exams_text, partition_text, patients_text

WIDTH = 100.0
LINE_HEIGHT = 5.2
CHARACTERS = 55
"""Characters of a line in a box as wide as the chart."""
ASIDE, INDENT = 18.0, 10.0
"""Where the box of excluded exams and those of the partitions start."""


@dataclass(frozen=True)
class Box:
    """A box: the first line is its head."""

    lines: list[str]
    left: float = 0.0
    aside: bool = False

    @property
    def height(self) -> float:
        """Height of the box in units of its axes."""
        return LINE_HEIGHT * len(self.lines) + 4.5


def boxes_of(study: Study) -> list[Box]:
    """The boxes from top to bottom; those aside are excluded exams."""
    flow, came = study.flow, study.tables["by_site"]
    catalogued = flow[flow.step == "catalogued"]
    excluded = flow[flow.step == "excluded"]
    first = came[came.step == "catalogued"].set_index("site").exams
    top = Box([f"{exams_text(int(catalogued.exams.sum()))} in the catalogue", *_wrapped(_sites(first))])
    aside = Box([f"{excluded.exams.sum():,} excluded", *_reasons(study, excluded)], left=ASIDE, aside=True)
    total = Box([f"{exams_text(len(study.analysed))} analysed"])
    return [top, aside, total, *(_partition(study, partition) for partition in filled(study))]


def _reasons(study: Study, excluded: pd.DataFrame) -> list[str]:
    """Number, reason and sites of the excluded exams, wrapped."""
    listed = study.tables["exclusions"]
    lines = []
    for row in records(excluded):
        where = listed[(listed.stage == row.stage) & (listed.reason == row.reason)].site.value_counts().sort_index()
        reason = REASONS.get(row.reason, row.reason.replace("_", " "))
        text = f"{row.exams:,}  {reason}" + (f" ({_sites(where)})" if len(where) else f" ({row.stage})")
        lines += _wrapped(text, ASIDE, "   ")
    return lines


def _partition(study: Study, partition: str) -> Box:
    rows = study.rows(partition)
    where = _sites(rows.site.value_counts().sort_index())
    head = f"{partition_text(partition)}: {exams_text(len(rows))}"
    return Box([head, *_wrapped(f"{patients_text(rows.patient.nunique())}; {where}", INDENT)], left=INDENT)


def _sites(counts: pd.Series) -> str:
    return ", ".join(f"{site}\N{NO-BREAK SPACE}{int(exams):,}" for site, exams in counts.items())


def _wrapped(text: str, left: float = 0.0, indent: str = "") -> list[str]:
    """The lines of a text in a box that starts at ``left``."""
    width = int(CHARACTERS * (1 - left / WIDTH))
    return textwrap.wrap(text, width, subsequent_indent=indent, break_on_hyphens=False)


def height_of(boxes: list[Box]) -> float:
    """Height of the chart in inches, for a width of 3.9."""
    return 3.9 / WIDTH * (sum(box.height for box in boxes) + 6.0 * len(boxes))


def draw(ax: Axes, boxes: list[Box]) -> None:
    """Draw boxes from top to bottom with the lines between them."""
    top = 0.0
    ends: list[float] = []
    for box in boxes:
        place = (box.left, top - box.height)
        shape = "round,pad=0,rounding_size=1.6"
        ax.add_patch(
            FancyBboxPatch(
                place,
                WIDTH - box.left,
                box.height,
                boxstyle=shape,
                facecolor=SURFACE,
                edgecolor=LINE if box.aside else MUTED,
                linewidth=0.9,
                zorder=2,
            )
        )
        for number, line in enumerate(box.lines):
            where = (box.left + 3, top - 2.6 - LINE_HEIGHT * (number + 0.5))
            style = {"fontsize": 9.0, "fontweight": "bold"} if number == 0 else {"fontsize": 7.5, "color": MUTED}
            text = ax.text(*where, line, va="center", zorder=3, **style)  # type: ignore[arg-type]
            text.set_in_layout(False)
        ends.append(top - box.height / 2)
        top -= box.height + 6.0
    ax.plot([5, 5], [-boxes[0].height, ends[-1]], color=MUTED, linewidth=0.9, zorder=1)
    for box, middle in zip(boxes, ends, strict=True):
        if box.left:
            ax.plot([5, box.left], [middle, middle], color=MUTED, linewidth=0.9, zorder=1)
    ax.set(xlim=(-0.5, WIDTH + 0.5), ylim=(top + 5.5, 0.5))
    ax.set_axis_off()
