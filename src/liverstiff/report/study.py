"""Everything the page is made from, read once, and the blocks of which a section is made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from liverstiff.config import SIMULATE
from liverstiff.report.wording import Estimate, Number, exams_text, partition_text

DEMONSTRATION = "demonstration, not evidence"


TEXT = (
    *("exam", "patient", "site", "partition", "fold", "stage", "reason", "detail", "step", "group", "metric"),
    *("covariate", "effect", "note", "variable", "level", "sex", "steatosis", "vendor", "model", "sequence", "variant"),
    "when",
)

Cell = str | Number | Estimate
"""What stands in a cell of a table, or in a sentence."""


@dataclass(frozen=True)
class Study:
    """The tables of the study and where figures go."""

    flow: pd.DataFrame
    """``step, stage, reason, partition, exams, patients``."""
    analysed: pd.DataFrame
    """A row per analysed exam."""
    metrics: pd.DataFrame
    """``partition, group, metric, value, low, high, n, patients, note``."""
    residuals: pd.DataFrame
    """``partition, covariate, effect, value, low, high, p, n, patients, note``."""
    table1: pd.DataFrame
    """A row per partition, variable and level."""
    exclusions: pd.DataFrame
    """A row per exam excluded up to the cohort."""
    scans: pd.DataFrame
    """``site, vendor, model, field_t, sequence, variant, exams``."""
    probe: pd.DataFrame
    """``when, exams, patients, vendors, accuracy, chance, excess, excess_ratio, note``."""
    overlays: list[Path]
    """Shard folders of the segmentation."""
    checkerboards: list[Path]
    """Shard folders of the registration."""
    histories: list[Path]
    """``history.csv`` of each fold."""
    config: dict[str, Any]
    """The configuration as plain values."""
    figures: Path
    """Folder of the figures."""
    gallery: int
    """How many segmentations to show."""
    demonstration_below: int
    """Estimates from fewer exams are a demonstration."""

    @classmethod
    def read(cls, tables: dict[str, Path], **others: Any) -> Study:
        """Read the tables; an empty text stays an empty text."""
        read: dict[str, Any] = {}
        for name, path in tables.items():
            table = pd.read_csv(path, dtype=dict.fromkeys(TEXT, str))
            read[name] = table.fillna({column: "" for column in table.columns if column in TEXT})
        return cls(**read, **others)

    @property
    def partitions(self) -> list[str]:
        """Partitions in the order of the flow chart."""
        return list(self.flow.partition[self.flow.step == "analysed"])

    def exams(self, partition: str) -> int:
        """Number of exams analysed in a partition."""
        return int((self.analysed.partition == partition).sum())

    def rows(self, partition: str) -> pd.DataFrame:
        """The analysed exams of a partition."""
        return self.analysed[self.analysed.partition == partition]

    def small(self, exams: int) -> bool:
        """True when an estimate from so many exams is no evidence."""
        return exams < self.demonstration_below

    def estimate(self, partition: str, metric: str, group: str = "all") -> Estimate:
        """One metric with its interval, for the page."""
        table = self.metrics
        rows = table[(table.partition == partition) & (table.group == group) & (table.metric == metric)]
        return Estimate.of(rows.iloc[0]) if len(rows) else Estimate.missing(metric, "not computed")

    @property
    def simulated_sites(self) -> list[str]:
        """Sites whose exams or record are simulated."""
        sites = self.config.get("data", {}).get("sites", {})
        return [
            name for name, site in sites.items() if SIMULATE in (site.get("dicom"), site.get("record", {}).get("table"))
        ]


@dataclass(frozen=True)
class Card:
    """The headline of one partition."""

    partition: str
    size: str
    r: Estimate
    words: Sequence[Cell]
    small: bool


@dataclass(frozen=True)
class Figure:
    """One drawn figure."""

    name: str
    svg: str
    caption: str
    small: bool


@dataclass(frozen=True)
class Head:
    """Head of a column."""

    text: str
    below: str = ""
    small: bool = False


@dataclass(frozen=True)
class Row:
    """A row of a table: its head, then its cells; a row without cells is a heading inside the table."""

    head: str
    cells: Sequence[Cell] = ()
    small: bool = False
    nested: bool = False


@dataclass(frozen=True)
class Block:
    """A part of a section: the template has a macro of the same name as ``kind``."""

    kind: str
    content: Any
    caption: str = ""
    notes: list[str] = field(default_factory=list)
    heads: list[Head] = field(default_factory=list)


@dataclass(frozen=True)
class Section:
    """A section of the page."""

    name: str
    label: str
    title: str
    lead: str
    blocks: list[Block]


def records(table: pd.DataFrame) -> list[Any]:
    """The rows of a table, cells by name of the column."""
    return list(table.itertuples(index=False))


def filled(study: Study) -> list[str]:
    """Partitions with an exam."""
    return [name for name in study.partitions if study.exams(name)]


def gap_blocks(study: Study) -> list[Block]:
    """A stated gap for every partition without exams."""
    return [
        Block("gap", f"{partition_text(name)}: no exam was analysed, so there is nothing to show.")
        for name in study.partitions
        if not study.exams(name)
    ]


def head_of(study: Study, partition: str) -> Head:
    """Head of a partition's column."""
    rows = study.rows(partition)
    size = exams_text(len(rows), rows.patient.nunique())
    return Head(partition_text(partition), size, study.small(len(rows)))
