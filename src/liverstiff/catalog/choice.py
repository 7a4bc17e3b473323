"""Which series of an exam are taken: pre-contrast proved, one T1w, T2w and DWI, one set of elastography maps."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

from liverstiff.catalog.features import plain_text, says
from liverstiff.catalog.words import (
    AFTER_CONTRAST,
    AGENT_GIVEN,
    BEFORE_CONTRAST,
    BOLUS,
    DYNAMIC,
    NOT_GIVEN,
    SHORT_TE,
    SUBTRACTION,
    WHOLE_EXAM,
)
from liverstiff.dicom import Fault, Stack, in_plane
from liverstiff.records import SEQUENCES, Kind, SeriesReason

MRE_MAPS = (Kind.MRE_STIFFNESS, Kind.MRE_MASKED, Kind.MRE_CONFIDENCE)

SAME_PLACE_MM = 1.0
"""A slice of the magnitude is one of the map where it lies this near."""

REPEATS = 3
"""This many T1w acquisitions with the same parameters are a dynamic series, whether or not its header says so."""

LATER = SeriesReason.POST_CONTRAST


@dataclass(frozen=True)
class Identified:
    """One stack of an exam and what it was found to be."""

    stack: Stack
    series: str
    """Name of the series within its exam: no part of the header."""
    kind: Kind
    variant: str
    """Which kind of that kind, e.g. ``water``; may be empty."""
    confidence: float
    reason: str
    """A sentence: why it is of this kind."""
    rank: int = 0
    """Preference among series of the same kind, the lowest first."""
    code: SeriesReason | None = None
    """Why it is not taken, or what to know when it is."""
    why: str = ""
    """A sentence: why it is taken or not."""
    chosen: bool = False
    forced: bool = False
    """A user's table says that it is to be taken."""
    declared: bool = False
    """Its kind was stated by a person, not found."""

    @cached_property
    def time(self) -> str:
        """When its acquisition began; empty when not stated."""
        return min(frame.time for frame in self.stack.frames)

    @property
    def text(self) -> str:
        """Its texts. Private."""
        return plain_text(self.stack.first.header.text)


def without_post_contrast(exam: list[Identified]) -> list[Identified]:
    """T1w series that cannot be proved to precede the contrast agent become ``T1w_post``.

    The proof: no agent in the header, no word of a later phase in the text, and an acquisition time before the first
    series of the exam that shows a sign of contrast agent. Three or more T1w series with the same parameters count as a
    dynamic series of which only the first precedes the agent.
    """
    firsts = [series.time for series in exam if _after_contrast(series)]
    repeated = _second_of_a_dynamic(exam)
    first = min([*firsts, *([repeated] if repeated else [])], default=None)
    return [_proved(series, first) if series.kind == Kind.T1W and not series.declared else series for series in exam]


def _after_contrast(series: Identified) -> bool:
    """True for a sign that contrast agent was given: in the header, a phase in the text of a T1-weighted or derived
    series of any plane, several volumes over time, the tracking of a bolus, a subtraction, an agent by its name.
    """
    frame = series.stack.first
    if series.declared or series.kind == Kind.LOCALIZER or series.kind.startswith("MRE"):
        return series.kind == Kind.T1W_POST
    gradient = frame.header.echo == "gradient" and (frame.echo_time or 0) <= SHORT_TE[1]
    later = series.kind == Kind.T1W_POST or (series.kind == Kind.T1W and _dynamic(series))
    if gradient or series.kind == Kind.DERIVED:  # a late T2w says nothing: the word is weak there
        later = later or says_after(series.text) or says(series.text, rf"{BOLUS}|{SUBTRACTION}")
    return later or says(_without_negations(series.text), AGENT_GIVEN) or frame.header.contrast_agent


def _dynamic(series: Identified) -> bool:
    """Several whole volumes over time: those before and after the agent are in one series."""
    sizes = [len(volume.frames) for volume in series.stack.volumes]
    return len(sizes) > 1 and len(set(sizes)) == 1


def _second_of_a_dynamic(exam: list[Identified]) -> str | None:
    """When the second of three or more T1w series with the same parameters began; None without such."""
    times: dict[tuple, set[str]] = {}
    for series in exam:
        if series.kind == Kind.T1W and series.time:
            frame, header = series.stack.first, series.stack.first.header
            same = (header.rows, header.columns, series.stack.slices, frame.echo_time, header.tr, series.variant)
            times.setdefault(same, set()).add(series.time)
    return min((sorted(found)[1] for found in times.values() if len(found) >= REPEATS), default=None)


def says_after(text: str) -> bool:
    """True when a series text (plain, lower case) names a phase after contrast agent.

    ``without contrast`` and the like count for nothing, and words that name the whole examination only where no word
    of the native phase stands beside them.
    """
    text = _without_negations(text)
    if says(text, AFTER_CONTRAST) or re.search(r"\+ ?(c|gd|km|gad)(?![a-z])", text):
        return True
    return says(text, DYNAMIC) and not says(text, BEFORE_CONTRAST)


def _without_negations(text: str) -> str:
    """A text without names of the whole examination, where it names the native phase, and without ``no contrast``."""
    series_text = re.sub(WHOLE_EXAM, " ", text)
    return re.sub(NOT_GIVEN, " pre ", series_text if says(series_text, BEFORE_CONTRAST) else text)


def _proved(series: Identified, first: str | None) -> Identified:
    """The series itself when it starts before ``first``, the first after contrast agent; else as ``T1w_post``."""
    if series.stack.first.header.contrast_agent:
        why = "the header names a contrast agent"
    elif says_after(series.text):
        why = "the text names a phase after contrast agent"
    elif _dynamic(series):
        why = "several volumes over time"
    elif first is not None and not (series.time and first):
        why = "not proved to precede contrast agent: no acquisition time"
    elif first is not None and series.time >= first:
        why = "acquired after the first series with contrast agent"
    else:
        return replace(series, reason=f"{series.reason}; before any contrast agent")
    return replace(series, kind=Kind.T1W_POST, code=LATER, reason=f"{series.reason}; {why}")


def without_made_traces(exam: list[Identified]) -> list[Identified]:
    """A trace image at one b-value is derived where the exam holds the directions that it was made from.

    Several of them, of different b-values, are a set of their own.
    """
    diffusion = [series for series in exam if series.kind == Kind.DWI]
    raw = [series for series in diffusion if series.variant == "directions"]
    single = [series for series in diffusion if series.variant == "trace" and len(_distinct_b(series.stack)) == 1]

    def made(series: Identified) -> bool:
        beside = [other for other in single if _same_slices(series.stack, other.stack)]
        alone = series in single and len(set().union(*(_distinct_b(other.stack) for other in beside))) == 1
        return alone and any(_same_slices(series.stack, other.stack) for other in raw)

    why = "a trace image at one b-value, made from another series of this exam"
    return [
        replace(series, kind=Kind.DERIVED, variant="", reason=why, code=SeriesReason.NOT_A_SOURCE)
        if made(series)
        else series
        for series in exam
    ]


def choose(exam: list[Identified]) -> list[Identified]:
    """Mark the series that are taken, and say of every other why it is not."""
    taken: dict[str, tuple[Identified, ...]] = {}
    for kind in SEQUENCES:
        best = _best(_candidates(series for series in exam if series.kind == kind))
        taken |= {series.series: best for series in best}
    taken |= {series.series: (series,) for series in _elastography_set(exam)}
    preferred = {taken[name][0].kind: taken[name][0] for name in sorted(taken, reverse=True)}
    return [_explained(series, taken.get(series.series), preferred.get(series.kind)) for series in exam]


def _explained(series: Identified, taken: tuple[Identified, ...] | None, best: Identified | None) -> Identified:
    """The series with the choice and its reason."""
    if taken:
        code, why = None, "as overridden" if series.forced else "preferred"
        if len(taken) > 1:
            why = f"taken together with {', '.join(other.series for other in taken if other is not series)}"
        if series.kind == Kind.DWI and 0.0 not in set().union(*(_distinct_b(one.stack) for one in taken)):
            code, why = SeriesReason.NO_B_ZERO, f"{why}; there is no image at b = 0"
        return replace(series, chosen=True, code=code, why=f"taken: {why}")
    if series.code is not None:
        return replace(series, why=f"not taken: {_never(series)}")
    fault = unfit(series)
    if fault is None and series.kind not in (*SEQUENCES, *MRE_MAPS):
        fault = Fault(SeriesReason.NOT_A_SOURCE, f"{series.kind} is no sequence that can be taken")
    if fault:
        return replace(series, code=fault.reason, why=f"not taken: {fault.detail}")
    if best is None:
        return replace(series, code=SeriesReason.LESS_PREFERRED, why="not taken: it belongs to no complete set")
    why = f"{best.series} is preferred" + (f": {best.variant}" if best.variant else "")
    return replace(series, code=SeriesReason.LESS_PREFERRED, why=f"not taken: {why}")


def _never(series: Identified) -> str:
    """Why a series with a code of its own is never taken."""
    if series.code == LATER:
        return "not proved to precede contrast agent"
    return f"never a source: {series.reason}" if series.code == SeriesReason.NOT_A_SOURCE else series.reason


def unfit(series: Identified) -> Fault | None:
    """Why a source cannot be taken; None when it can."""
    if series.stack.first.header.burned_in:
        return Fault(SeriesReason.BURNED_IN, "the header says that text is burned into the pixels")
    if series.kind in (*MRE_MAPS, Kind.MRE_RAW):  # slices of a map may lie anywhere
        fault = series.stack.fault()
        return None if fault and fault.reason in (SeriesReason.UNEVEN_SLICES, SeriesReason.MISSING_SLICE) else fault
    if series.kind == Kind.DWI and len(_distinct_b(series.stack)) < 2:
        return Fault(SeriesReason.ONE_B_VALUE, "one b-value gives no diffusion coefficient")
    if series.kind in (Kind.T1W, Kind.T2W) and len(series.stack.volumes) > 1 and series.stack.fault() is None:
        return Fault(SeriesReason.SEVERAL_VOLUMES, "several volumes where one is expected")
    return series.stack.fault()


def _distinct_b(stack: Stack) -> set[float]:
    return {round(b, -1) for b in stack.b_values} or {0.0}


def _candidates(series: Iterable[Identified]) -> list[tuple[Identified, ...]]:
    """What may be taken as one source: each series, and diffusion series of one b-value each that make a set."""
    sources = [one for one in series if one.code is None]
    single = [one for one in sources if one.kind == Kind.DWI and len(_distinct_b(one.stack)) == 1]
    groups: list[list[Identified]] = []
    for one in sorted(single, key=lambda one: (one.time, one.series)):
        for group in groups:
            known = set().union(*(_distinct_b(other.stack) for other in group))
            if _same_slices(one.stack, group[0].stack) and not known & _distinct_b(one.stack):
                group.append(one)
                break
        else:
            groups.append([one])
    together = [tuple(group) for group in groups if len(group) > 1 and _merged(group).fault() is None]
    return [(one,) for one in sources if unfit(one) is None or one.forced] + together


def _merged(group: Iterable[Identified]) -> Stack:
    return Stack(tuple(frame for series in group for frame in series.stack.frames))


def _best(candidates: list[tuple[Identified, ...]]) -> tuple[Identified, ...]:
    """The preferred variant; then the most certain, the one with more b-values, the earliest, more slices."""
    return min(
        candidates,
        key=lambda taken: (
            not any(series.forced for series in taken),
            taken[0].rank,
            -taken[0].confidence,
            -len(set().union(*(_distinct_b(series.stack) for series in taken))),
            taken[0].time,
            -taken[0].stack.slices,
            taken[0].series,
        ),
        default=(),
    )


def _elastography_set(exam: list[Identified]) -> list[Identified]:
    """Stiffness, masked stiffness and confidence that belong together: the most complete set, of equals the latest."""
    maps = [series for series in exam if series.kind in MRE_MAPS and series.code is None and unfit(series) is None]
    sets = [
        [stiffness, *_mates(stiffness, maps)] for stiffness in maps if stiffness.kind == Kind.MRE_STIFFNESS
    ]  # a repeat replaces the attempt before it
    best = max(sets, key=lambda found: (found[0].forced, len(found), found[0].time, found[0].series), default=[])
    return best + (_magnitude(best[0], exam) if best else [])


def _magnitude(stiffness: Identified, exam: list[Identified]) -> list[Identified]:
    """The magnitude by which the liver is placed in a stiffness map: at its slices, nearest in series number."""
    found = [
        series
        for series in exam
        if (series.kind, series.variant) == (Kind.MRE_RAW, "magnitude")
        and series.code != SeriesReason.OVERRIDDEN
        and unfit(series) is None
        and _at_the_places(series.stack, stiffness.stack)
    ]
    return sorted(found, key=lambda series: (_distance(series, stiffness), series.series))[:1]


def _at_the_places(stack: Stack, other: Stack) -> bool:
    """True when the slices of two stacks are as many, parallel, and as far along their normal."""
    if stack.normal is None or other.normal is None or len(stack.positions) != len(other.positions):
        return False
    near = zip(stack.positions, other.positions, strict=True)
    return float(stack.normal @ other.normal) > 0.999 and all(abs(a - b) < SAME_PLACE_MM for a, b in near)


def _mates(stiffness: Identified, maps: list[Identified]) -> list[Identified]:
    """Masked stiffness and confidence at the same slices; of several, those nearest in series number."""
    mates = []
    for kind in MRE_MAPS[1:]:
        same = [series for series in maps if series.kind == kind and _same_slices(series.stack, stiffness.stack)]
        if same:
            mates.append(min(same, key=lambda series: (_distance(series, stiffness), series.series)))
    return mates


def _distance(series: Identified, other: Identified) -> int:
    return abs(series.stack.first.header.series_number - other.stack.first.header.series_number)


def _same_slices(stack: Stack, other: Stack) -> bool:
    """True when two stacks have the same grid to a tenth of a millimetre or pixel."""
    one, two = stack.first, other.first
    matrix = (one.header.rows, one.header.columns) == (two.header.rows, two.header.columns)
    placed = all(min(frame.spacing or (0,)) > 0 and frame.orientation and frame.position for frame in (one, two))
    if not matrix or not placed or len(stack.positions) != len(other.positions):
        return False
    sizes = zip(one.spacing or (), two.spacing or (), strict=True)
    axes = zip(one.orientation or (), two.orientation or (), strict=False)
    return (
        all(abs(a - b) < 0.1 for a, b in zip(stack.positions, other.positions, strict=True))
        and all(abs(a - b) < 0.01 for a, b in sizes)
        and all(abs(a - b) < 0.01 for a, b in axes)
        and all(abs(a - b) < 0.1 for a, b in zip(in_plane(one, one), in_plane(two, one), strict=True))
    )


def missing(exam: list[Identified], kind: str) -> str:
    """Why an exam has no usable series of a kind: reason codes with their numbers; empty when it has one."""
    if any(series.chosen for series in exam if series.kind == kind):
        return ""
    found = Counter(str(series.code) for series in exam if series.kind == kind and series.code)
    if kind == Kind.T1W and any(series.kind == Kind.T1W_POST for series in exam):
        found[str(LATER)] += sum(series.kind == Kind.T1W_POST for series in exam)
    return ", ".join(f"{count} {code}" for code, count in sorted(found.items())) or "none was found"
