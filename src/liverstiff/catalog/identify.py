"""How one row of the table of rules is applied to the facts of a stack."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from liverstiff.catalog.features import Features, says
from liverstiff.records import Kind, SeriesReason

Range = tuple[float, float]
EVERY = float("inf")


@dataclass(frozen=True)
class Rule:
    """One row of the table: every condition that is stated must hold."""

    kind: Kind
    confidence: float
    """From 0 to 1: how far the evidence alone carries."""
    reason: str
    """A sentence for the public table; it quotes no text of the header."""
    variant: str = ""
    """Which kind of that kind, e.g. ``water`` or ``single-shot``."""
    code: SeriesReason | None = SeriesReason.NOT_A_SOURCE
    """Why it is never a source; None when it may be one."""
    rank: int = 0
    """Preference among sources of the same kind: the lowest is chosen."""
    tokens: tuple[str, ...] = ()
    """At least one of these values is in the image type."""
    text: str = ""
    """This expression is found in the series texts, as words of its own."""
    not_text: str = ""
    """This expression is not."""
    echo: str = ""
    """``gradient`` or ``spin``."""
    te_ms: Range | None = None
    slices: Range | None = None
    volumes: Range | None = None
    echoes: Range | None = None
    directions: Range | None = None
    b_max: Range | None = None
    b_count: Range | None = None
    unit: tuple[str, ...] = ()
    """The values are mapped to one of these units."""
    flags: tuple[str, ...] = ()
    """Names of features that are true; with a leading ``no_``, of features that are false."""

    def holds(self, facts: Features) -> bool:
        """True when all stated conditions hold."""
        return all(check(self, facts) for check in CHECKS)


never = Rule
"""A row for what is never a source."""
source = partial(Rule, code=None)
"""A row for what may be taken."""


def identify(facts: Features, rules: tuple[Rule, ...]) -> Rule:
    """The first rule that holds; the last rule of a table has no condition."""
    return next(rule for rule in rules if rule.holds(facts))


def _within(bounds: Range | None, value: float | None) -> bool:
    return bounds is None or (value is not None and bounds[0] <= value <= bounds[1])


def _flag(name: str, facts: Features) -> bool:
    return not getattr(facts, name[3:]) if name.startswith("no_") else getattr(facts, name)


CHECKS: tuple[Callable[[Rule, Features], bool], ...] = (
    lambda rule, facts: not rule.tokens or not facts.tokens.isdisjoint(rule.tokens),
    lambda rule, facts: not rule.text or says(facts.text, rule.text),
    lambda rule, facts: not rule.not_text or not says(facts.text, rule.not_text),
    lambda rule, facts: not rule.echo or rule.echo == facts.echo,
    lambda rule, facts: _within(rule.te_ms, facts.te),
    lambda rule, facts: _within(rule.slices, facts.slices),
    lambda rule, facts: _within(rule.volumes, facts.volumes),
    lambda rule, facts: _within(rule.echoes, facts.echoes),
    lambda rule, facts: _within(rule.directions, facts.directions),
    lambda rule, facts: _within(rule.b_max, facts.b_max),
    lambda rule, facts: _within(rule.b_count, facts.b_count),
    lambda rule, facts: not rule.unit or facts.unit in rule.unit,
    lambda rule, facts: all(_flag(name, facts) for name in rule.flags),
)
