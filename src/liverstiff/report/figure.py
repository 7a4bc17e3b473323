"""A figure of the page: drawn once, saved for a paper, and shown with its caption."""

from __future__ import annotations

from collections.abc import Callable

from matplotlib.axes import Axes

from liverstiff.report.drawing import axes, save
from liverstiff.report.study import Figure, Study


def drawn(
    study: Study,
    name: str,
    draw: Callable[[Axes], None],
    *,
    caption: str,
    alt: str,
    small: bool = False,
    size: tuple[float, float] = (3.7, 3.2),
) -> Figure:
    """Draw on one pair of axes and save.

    Args:
        study: where the figure goes.
        name: of its files, ``what_partition``; ``_all`` is added where it is of all partitions.
        draw: what to draw.
        caption: below the figure.
        alt: the figure in words.
        small: from too few exams to be evidence.
        size: width and height in inches.
    """
    name = name if "_" in name else f"{name}_all"
    with axes(*size) as (canvas, ax):
        draw(ax)
        return Figure(name, save(canvas, study.figures, name, alt, study.settings.formats), caption, small)
