"""A user's table of corrections: it wins over the rules, and every use of it is reported."""

from __future__ import annotations

import csv
import fnmatch
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from liverstiff.errors import ConfigError
from liverstiff.records import Kind, SeriesReason

if TYPE_CHECKING:  # the Snakefile reads this module, and a stage's is heavy
    from liverstiff.catalog.choice import Identified

COLUMNS = ("site", "exam", "series", "text", "kind", "take", "note")
"""``site``, ``exam``, ``series`` and ``text`` select (an empty cell selects all); ``kind`` and ``take`` decide."""

TAKE = ("", "yes", "no")

MRE_KINDS = {
    "masked": (Kind.MRE_MASKED, ""),
    "confidence": (Kind.MRE_CONFIDENCE, ""),
    "stiffness": (Kind.MRE_STIFFNESS, ""),
    "magnitude": (Kind.MRE_RAW, "magnitude"),
}
"""Kind and variant of the series that a site's expressions name, the first that matches counting."""


@dataclass(frozen=True)
class Override:
    """One row of the table."""

    table: int
    """Which table it stands in, from 1."""
    row: int
    """Line of the file, the header being line 1."""
    site: str
    exam: str
    """Pseudonym of the exam, as in ``series.csv``."""
    series: str
    """Name of the series within the exam, as in ``series.csv``."""
    text: str
    """Pattern of the series texts in lower case, with ``*`` and ``?``."""
    kind: str
    """What the series is; empty leaves it as identified."""
    take: str
    """``yes``: take it before all others; ``no``: never take it; empty: as the rules choose."""
    note: str = ""

    def selects(self, site: str, exam: str, series: Identified) -> bool:
        """True when this row is about that series."""
        return (
            self.site in ("", site)
            and self.exam in ("", exam)
            and self.series in ("", series.series)
            and (not self.text or any(fnmatch.fnmatch(part, self.text) for part in series.text.split("|")))
        )


@dataclass
class Overrides:
    """The rows of a table and how often each was used."""

    rows: list[Override] = field(default_factory=list)
    used: Counter[Override] = field(default_factory=Counter)
    maps: dict[str, str] = field(default_factory=dict)
    """A site's expressions for its elastograms, by the keys of :data:`MRE_KINDS`."""

    def apply(self, site: str, exam: str, series: Identified) -> Identified:
        """The series as the last row that selects it says; before that, as the site's expressions say."""
        series = _named(series, self.maps)
        for row in self.rows:
            if row.selects(site, exam, series):
                self.used[row] += 1
                series = _overridden(series, row)
        return series

    def report(self) -> Iterator[dict[str, int]]:
        """How many series each row changed; 0 for a row that selects nothing at this site."""
        return ({"table": row.table, "row": row.row, "series": self.used[row]} for row in self.rows)


def _named(series: Identified, maps: dict[str, str]) -> Identified:
    """The series as the map of elastography that the site's expressions name it; pictures are never maps.

    What was found to be such a map and does not match is not taken.
    """
    header = series.stack.first.header
    if header.capture or header.colour or header.burned_in:
        return series
    for name, (kind, variant) in MRE_KINDS.items():
        if name in maps and re.search(maps[name], series.text):
            reason = f"the site's expression for {name}; by its header {series.kind}: {series.reason}"
            return replace(series, kind=kind, variant=variant, confidence=1.0, reason=reason, code=None, declared=True)
    if any(MRE_KINDS[name] == (series.kind, series.variant) for name in maps):
        reason = f"{series.reason}; the site's expression names another"
        return replace(series, code=SeriesReason.OVERRIDDEN, reason=reason)
    return series


def _overridden(series: Identified, row: Override) -> Identified:
    was = f"{series.kind}{' ' + series.variant if series.variant else ''}"
    if row.kind:
        reason = f"row {row.row} of the overrides; by its header {was}: {series.reason}"
        kind = Kind(row.kind)
        variant = series.variant if kind == series.kind else ""
        code = SeriesReason.POST_CONTRAST if kind == Kind.T1W_POST else None
        series = replace(series, kind=kind, variant=variant, confidence=1.0, reason=reason, code=code, declared=True)
    if row.take == "no":
        return replace(series, code=SeriesReason.OVERRIDDEN, reason=f"{series.reason}; row {row.row} of the overrides")
    if row.take == "yes":
        return replace(series, code=None, forced=True, reason=f"{series.reason}; row {row.row} of the overrides")
    return series


def read_overrides(paths: list[Path], maps: dict[str, str] | None = None) -> Overrides:
    """Read the tables, later ones winning.

    Args:
        paths: the tables.
        maps: a site's expressions for its elastograms, by the keys of :data:`MRE_KINDS`.

    Raises:
        ConfigError: one line per mistake: a column, kind or word that does not exist, a row that selects everything.
    """
    rows: list[Override] = []
    mistakes: list[str] = []
    for number, path in enumerate(paths, start=1):
        read = _read(number, Path(path))
        rows += read
        mistakes += [f"catalog.overrides: {path}: {text}" for row in read for text in _mistakes(row)]
    if mistakes:
        raise ConfigError("\n".join(mistakes))
    return Overrides([replace(row, text=row.text.lower()) for row in rows], maps=maps or {})


def _read(number: int, path: Path) -> list[Override]:
    """The rows of one table."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            names = set(reader.fieldnames or ())
            if not names or names - set(COLUMNS):
                raise ConfigError(
                    f"catalog.overrides: {path}: unknown columns {', '.join(sorted(names - set(COLUMNS)))}; "
                    f"expected some of {', '.join(COLUMNS)}"
                )
            return [
                Override(number, line, **{name: (row.get(name) or "").strip() for name in COLUMNS})
                for line, row in enumerate(reader, start=2)
            ]
    except FileNotFoundError:
        raise ConfigError(f"catalog.overrides: no file {path}; expected a CSV table; correct the path") from None
    except UnicodeDecodeError:
        raise ConfigError(f"catalog.overrides: {path} is not UTF-8; save it as UTF-8") from None


def _mistakes(row: Override) -> list[str]:
    """What is wrong with a row."""
    found = []
    if row.kind and row.kind not in set(Kind):
        found.append(f"row {row.row}: kind {row.kind!r}; expected one of {', '.join(Kind)}")
    if row.take not in TAKE:
        found.append(f"row {row.row}: take {row.take!r}; expected yes, no or nothing")
    if not (row.kind or row.take):
        found.append(f"row {row.row}: neither kind nor take is given; fill one or remove the row")
    if not (row.site or row.exam or row.series or row.text):
        found.append(f"row {row.row}: it selects every series; give site, exam, series or text")
    return found
