"""A figure of the page: drawn once, saved for a paper, and shown with its caption."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from matplotlib.axes import Axes

from liverstiff.report.drawing import axes, save
from liverstiff.report.study import Figure, Study
from liverstiff.report.wording import Number, partition_text


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


def drawn_of(
    study: Study,
    partition: str,
    what: str,
    draw: Callable[[Axes], None],
    *,
    caption: str,
    alt: str,
    least: int | None = None,
    size: tuple[float, float] = (3.7, 3.2),
) -> Figure:
    """A figure of one partition: its name stands in the file's, and before caption and text.

    Args:
        study: where the figure goes.
        partition: what it is of.
        what: before the partition in the name of its files.
        draw: what to draw.
        caption: below the figure.
        alt: the figure in words.
        least: exams of the smallest group in it; left out, of the partition.
        size: width and height in inches.
    """
    title, exams = partition_text(partition), study.exams(partition) if least is None else least
    return drawn(
        study,
        f"{what}_{_plain(study, partition)}",
        draw,
        caption=f"{title}: {caption}.",
        alt=f"{title}, {alt}.",
        small=study.small(exams),
        size=size,
    )


def _plain(study: Study, partition: str) -> str:
    """The partition in names of files and ids; where it holds what these may not, its number tells it from others."""
    plain = re.sub(r"[^A-Za-z0-9-]+", "-", partition)[:40]
    return plain if plain == partition else f"{plain.strip('-') or 'partition'}-{study.partitions.index(partition) + 1}"


def told(labels: Sequence[str], values: Iterable[Number | str]) -> str:
    """Labels with their values, for the text of a figure."""
    texts = (value if isinstance(value, str) else value.text for value in values)
    return "; ".join(f"{label} {text}" for label, text in zip(labels, texts, strict=True))
