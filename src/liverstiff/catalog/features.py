"""What the rules of identification look at: the facts of one stack, as declared fields."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from liverstiff.dicom import Stack

AXIAL_COSINE = 0.8
"""A stack is axial when its slice normal lies within 37 degrees of the body axis; oblique liver scans do."""


@dataclass(frozen=True)
class Features:
    """The facts of one stack that tell what it is. Free text stays inside: no rule may quote it."""

    tokens: frozenset[str]
    """Values of the image type, upper case."""
    text: str
    """Series texts, lower case."""
    mr_object: bool
    colour: bool
    phase: bool
    unit: str
    """Unit of the real-world value mapping, lower case."""
    echo: str
    echo_planar: bool
    te: float | None
    tr: float | None
    b_max: float
    b_count: int
    """Number of distinct b-values (to the nearest 25 s/mm2)."""
    axial: bool
    several_directions: bool
    """The series holds slices of more than one orientation."""
    slices: int
    volumes: int
    contrast_agent: bool
    fat_suppressed: bool
    three_d: bool


def features(stack: Stack) -> Features:
    """The facts of a stack."""
    frame, header = stack.first, stack.first.header
    b_values = stack.b_values
    tokens = frozenset(token for value in frame.image_type for token in (value, *value.replace("-", "_").split("_")))
    return Features(
        tokens=tokens,
        text=header.text,
        mr_object=header.mr_object,
        colour=header.colour,
        phase=frame.component == "PHASE" or "P" in frame.image_type,
        unit=frame.unit.lower(),
        echo=header.echo,
        echo_planar=header.echo_planar,
        te=frame.echo_time,
        tr=header.tr,
        b_max=max(b_values, default=0.0),
        b_count=len({round(b / 25) for b in b_values}),
        axial=is_axial(stack.normal) or header.tiles > 1,
        several_directions=stack.directions > 1,
        slices=stack.slices,
        volumes=len(stack.volumes),
        contrast_agent=header.contrast_agent,
        fat_suppressed=header.fat_suppressed,
        three_d=header.three_d,
    )


def is_axial(normal: np.ndarray | None) -> bool:
    """True when the slice normal (LPS) is closer to the body axis than to the others."""
    return normal is not None and abs(float(normal[2])) >= AXIAL_COSINE
