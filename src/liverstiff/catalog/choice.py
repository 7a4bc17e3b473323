"""Which series of an exam are taken: pre-contrast proved, one T1w, T2w and DWI, one set of elastography maps."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from liverstiff.catalog.identify import says
from liverstiff.dicom import Stack
from liverstiff.records import SEQUENCES, Kind

MRE_MAPS = (Kind.MRE_STIFFNESS, Kind.MRE_MASKED, Kind.MRE_CONFIDENCE)

AFTER_CONTRAST = (
    r"art|arterial\w*|pvp?|portal\w*|port[ _-]?ven\w*|ven|venous\w*|delay\w*|equil\w*|hbp|hepatobil\w*|post|gd|c\+"
)
"""Words of phases after contrast agent. The word ``pre`` proves nothing."""


@dataclass(frozen=True)
class Identified:
    """One stack of an exam and what it was found to be."""

    stack: Stack
    series: str
    """Name of the series within its exam: no part of the header."""
    kind: Kind
    confidence: float
    reason: str
    rank: int
    chosen: bool = False

    @property
    def time(self) -> str:
        """When its acquisition began; empty when not stated."""
        return min(frame.header.time for frame in self.stack.frames)


def without_post_contrast(exam: list[Identified]) -> list[Identified]:
    """T1w series that cannot be proved to precede the contrast agent become ``T1w_post``.

    The proof: no agent in the header, no word of a later phase in the text, and, where the exam has a series with
    either, an acquisition time before the first of those.
    """
    first = min((series.time for series in exam if _after_contrast(series)), default=None)
    return [_proved(series, first) if series.kind == Kind.T1W else series for series in exam]


def _after_contrast(series: Identified) -> bool:
    """True for a series with contrast agent by its header, and for a T1w series of a later phase by its text."""
    later = series.kind == Kind.T1W_POST or (series.kind == Kind.T1W and says_after(series.stack.first.header.text))
    return later or series.stack.first.header.contrast_agent


def says_after(text: str) -> bool:
    """True when a series text names a phase after contrast agent."""
    return says(text, AFTER_CONTRAST) or re.search(r"\+ ?c(?![a-z])", text) is not None


def _proved(series: Identified, first: str | None) -> Identified:
    """The series itself when it starts before ``first``, the first after contrast agent; else as ``T1w_post``."""
    header = series.stack.first.header
    if header.contrast_agent:
        why = "the header names a contrast agent"
    elif says_after(header.text):
        why = "the text names a phase after contrast agent"
    elif first is not None and not (series.time and first):
        why = "not proved to precede contrast agent: no acquisition time"
    elif first is not None and series.time >= first:
        why = "acquired after the first series with contrast agent"
    else:
        return replace(series, reason=f"{series.reason}; before any contrast agent")
    return replace(series, kind=Kind.T1W_POST, reason=why)


def choose(exam: list[Identified]) -> list[Identified]:
    """Mark the series that are taken; a source that is unfit gets the fault added to its reason."""
    exam = [_with_fault(series) for series in exam]
    taken = [best for kind in SEQUENCES if (best := _best(series for series in exam if series.kind == kind))]
    taken += _elastography_set(exam)
    names = {series.series for series in taken}
    return [replace(series, chosen=series.series in names) for series in exam]


def unfit(series: Identified) -> str | None:
    """Why a source cannot be taken, as a sentence; None when it can."""
    if series.kind == Kind.DWI and len({round(b, -1) for b in series.stack.b_values}) < 2:
        return "one b-value gives no diffusion coefficient"
    return series.stack.fault()


def _with_fault(series: Identified) -> Identified:
    fault = unfit(series) if series.kind in SEQUENCES else None
    return replace(series, reason=f"{series.reason}; not taken: {fault}") if fault else series


def _best(candidates: Iterable[Identified]) -> Identified | None:
    """The preferred variant; then the most certain, the one with more b-values, more slices, the earliest."""
    return min(
        (series for series in candidates if unfit(series) is None),
        key=lambda series: (
            series.rank,
            -series.confidence,
            -len(set(series.stack.b_values)),
            -series.stack.slices,
            series.time,
            series.series,
        ),
        default=None,
    )


def _elastography_set(exam: list[Identified]) -> list[Identified]:
    """Stiffness, masked stiffness and confidence that belong together: the most complete set, of equals the latest."""
    sets = [
        [stiffness, *_mates(stiffness, exam)] for stiffness in exam if stiffness.kind == Kind.MRE_STIFFNESS
    ]  # a repeat replaces the attempt before it
    return max(sets, key=lambda maps: (len(maps), maps[0].time, maps[0].series), default=[])


def _mates(stiffness: Identified, exam: list[Identified]) -> list[Identified]:
    """Masked stiffness and confidence at the same slices; of several, those nearest in series number."""
    mates = []
    for kind in MRE_MAPS[1:]:
        same = [series for series in exam if series.kind == kind and _same_slices(series.stack, stiffness.stack)]
        if same:
            mates.append(min(same, key=lambda series: (_distance(series, stiffness), series.series)))
    return mates


def _distance(series: Identified, other: Identified) -> int:
    return abs(series.stack.first.header.series_number - other.stack.first.header.series_number)


def _same_slices(stack: Stack, other: Stack) -> bool:
    """True when two stacks have the same grid to a tenth of a millimetre."""
    one, two = stack.first, other.first
    return (
        (one.header.rows, one.header.columns) == (two.header.rows, two.header.columns)
        and len(stack.positions) == len(other.positions)
        and all(abs(a - b) < 0.1 for a, b in zip(stack.positions, other.positions, strict=True))
    )
