"""What the rules of identification look at: the facts of one stack, as declared fields."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from liverstiff.catalog.words import FAT_KEPT, FAT_SUPPRESSED, INVERSION
from liverstiff.dicom import Stack

AXIAL_COSINE = 0.8
"""A stack is axial when its slice normal lies within 37 degrees of the body axis; oblique liver scans do."""

PHASE_TOLERANCE = 0.13
"""Share of a turn by which in-phase and opposed-phase echo times are missed in practice."""


@dataclass(frozen=True)
class Features:
    """The facts of one stack that tell what it is. Free text stays inside: no rule may quote it."""

    tokens: frozenset[str]
    """Values of the image type, upper case."""
    text: str
    """Series texts, lower case, without accents."""
    mr_modality: bool
    mr_object: bool
    capture: bool
    """A secondary capture object."""
    burned_in: bool
    colour: bool
    phase: bool
    unit: str
    """Unit of the real-world value mapping or of the rescaled values, lower case."""
    echo: str
    echo_planar: bool
    echo_train: int
    te: float | None
    tr: float | None
    field_t: float | None
    b_stated: bool
    """A b-value is stated, be it zero."""
    b_max: float
    b_count: int
    """Number of distinct b-values (to the nearest 25 s/mm2)."""
    directions: int
    """Distinct diffusion directions."""
    axial: bool
    several_planes: bool
    """The series holds slices of more than one orientation."""
    slices: int
    volumes: int
    echoes: int
    """Number of echo times in the series."""
    contrast_agent: bool
    fat_suppressed: bool
    """By the header or by the text."""
    in_phase: bool
    """Water and fat are in phase at the echo time."""
    opposed_phase: bool
    three_d: bool


def features(stack: Stack) -> Features:
    """The facts of a stack."""
    frame, header = stack.first, stack.first.header
    b_values = stack.b_values
    tokens = frozenset(token for value in frame.image_type for token in (value, *value.replace("-", "_").split("_")))
    return Features(
        tokens=tokens,
        text=plain_text(header.text),
        mr_modality=header.modality in ("MR", ""),
        mr_object=header.mr_object,
        capture=header.capture,
        burned_in=header.burned_in,
        colour=header.colour,
        phase=frame.component == "PHASE" or not {"P", "PHASE"}.isdisjoint(frame.image_type),
        unit=frame.unit.lower(),
        echo=header.echo,
        echo_planar=header.echo_planar,
        echo_train=header.echo_train,
        te=frame.echo_time,
        tr=header.tr,
        field_t=header.field_t,
        b_stated=any(frame.b_value is not None for frame in stack.frames),
        b_max=max(b_values, default=0.0),
        b_count=len({round(b / 25) for b in b_values}),
        directions=len({frame.direction for frame in stack.frames if frame.direction and any(frame.direction)}),
        axial=is_axial(stack.normal) or header.tiles > 1,
        several_planes=stack.directions > 1,
        slices=stack.slices,
        volumes=len(stack.volumes),
        echoes=stack.echoes,
        contrast_agent=header.contrast_agent,
        fat_suppressed=header.fat_suppressed or _fat_suppressed(plain_text(header.text)),
        in_phase=abs(_cycle(frame.echo_time, header.field_t)) <= PHASE_TOLERANCE,
        opposed_phase=abs(_cycle(frame.echo_time, header.field_t)) >= 0.5 - PHASE_TOLERANCE,
        three_d=header.three_d,
    )


def _fat_suppressed(text: str) -> bool:
    """True when a text names fat suppression, and not the lack of it."""
    return says(text, rf"{FAT_SUPPRESSED}|{INVERSION}") and not says(text, FAT_KEPT)


def _cycle(te_ms: float | None, field_t: float | None) -> float:
    """Share of a turn of fat against water at an echo time, -0.5 to 0.5; 0.25, which is neither phase, when unknown.

    The chemical shift between them is 3.4 ppm: 217 Hz at 1.5 T, so that in phase are 4.6 ms there and 2.3 ms at 3 T.
    """
    if not te_ms or not field_t:
        return 0.25
    turns = te_ms / 1000 * 3.4 * 42.577 * field_t
    return turns - round(turns)


@lru_cache(4096)
def plain_text(text: str) -> str:
    """Lower case without accents: ``différé`` becomes ``differe``; other scripts stay."""
    letters = unicodedata.normalize("NFKD", text.lower())
    return "".join(letter for letter in letters if not unicodedata.combining(letter))


def is_axial(normal: np.ndarray | None) -> bool:
    """True when the slice normal (LPS) is closer to the body axis than to the others."""
    return normal is not None and abs(float(normal[2])) >= AXIAL_COSINE


def says(text: str, expression: str) -> bool:
    """True when the expression stands in the text as words of its own: ``art`` is in ``art_20s``, not in ``start``."""
    return _words(expression).search(text) is not None


@lru_cache
def _words(expression: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![a-z0-9])(?:{expression})(?![a-z])")
