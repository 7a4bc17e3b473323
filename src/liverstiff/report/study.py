"""Everything the page is made from, read once, and the blocks of which a section is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import pandas as pd

from liverstiff.config import SIMULATE, EvaluateConfig, ReportConfig, TargetConfig
from liverstiff.errors import DataError
from liverstiff.report.wording import BASELINES, Estimate, Number, exams_text, metric_wording, partition_text, with_unit

DEMONSTRATION = "demonstration, not evidence"

TEXT = (
    *("exam", "patient", "site", "partition", "fold", "stage", "reason", "detail", "step", "group", "metric"),
    *("covariate", "effect", "note", "variable", "level", "sex", "steatosis", "vendor", "model", "sequence", "variant"),
    *("when", "method", "cut_source", "statistic", "subgroup", "verdict", "baseline", "source", "what", "other"),
    *("mre_type", "reference_source", "flags"),
)

Cell: TypeAlias = "str | Number | Estimate | tuple[str | Number | Estimate, ...]"
"""What stands in a cell of a table, or in a sentence."""

TABLES: dict[str, tuple[str, ...]] = {
    "flow": ("step", "stage", "reason", "partition", "exams", "patients"),
    "analysed": ("exam", "patient", "site", "partition", "fold", "reference", "estimate", "residual"),
    "metrics": ("partition", "group", "metric", "value", "low", "high", "n", "patients", "note"),
    "thresholds": ("partition", "group", "threshold", "metric", "value", "low", "high", "method", "n", "note"),
    "cutpoints": ("fold", "threshold", "cut_point", "source", "exams", "cases", "note"),
    "bland_altman": ("partition", "group", "statistic", "value", "low", "high", "note"),
    "residuals": ("partition", "covariate", "level", "effect", "value", "low", "high", "n", "patients", "note"),
    "subgroups": ("partition", "subgroup", "characteristics", "n", "patients", "pearson_r", "reference_sd", "note"),
    "contrasts": ("partition", "group", "other", "metric", "method", "value", "low", "high", "n", "n_other", "note"),
    "comparisons": ("partition", "baseline", "metric", "method", "model", "rival", "value", "low", "high", "note"),
    "coverage": ("partition", "group", "value", "low", "high", "mean_width", "n", "patients", "note"),
    "calibration": ("partition", "point", "estimate", "reference", "low", "high", "n", "note"),
    "roc": ("partition", "threshold", "cut_point", "sensitivity", "specificity"),
    "decision": ("partition", "model", "threshold", "risk", "net_benefit", "low", "high", "treat_all", "note"),
    "table1": ("partition", "variable", "level", "n", "missing", "median", "q1", "q3", "exams", "share"),
    "exclusions": ("exam", "site", "stage", "reason", "detail"),
    "scans": ("site", "vendor", "model", "field_t", "sequence", "variant", "exams"),
    "probe": ("when", "exams", "patients", "vendors", "accuracy", "chance", "excess", "excess_ratio", "note"),
    "by_site": ("site", "step", "exams"),
    "missingness": ("site", "variable", "exams", "missing", "share"),
    "scanners": ("site", "vendor", "model", "field_t", "exams"),
    "conflicts": ("site", "patient", "exam", "what", "detail"),
    "agreements": ("exam", "elastogram", "reported"),
    "cost": ("stage", "jobs", "wall_hours", "core_hours", "max_rss_mb"),
}
"""The tables of the page and their columns; one that is not given is empty."""


@dataclass(frozen=True)
class Study:
    """The tables of the study and where figures go."""

    tables: dict[str, pd.DataFrame]
    """By name, see :data:`TABLES`; text is never missing."""
    shards: dict[str, list[Path]]
    """By kind of picture, the folders that hold it."""
    given: set[str]
    """What was handed over: names of tables, kinds of pictures, sections of the configuration."""
    histories: list[Path]
    """``history.csv`` of each fold."""
    config: dict[str, Any]
    """The configuration as plain values."""
    figures: Path
    """Folder of the figures."""
    settings: ReportConfig
    """How many pictures to show."""
    target: TargetConfig
    """What is estimated."""
    evaluation: EvaluateConfig
    """How numbers were made, and from how few exams they are a demonstration."""
    provenance: dict[str, Any] = field(default_factory=dict)
    """What ``provenance.json`` says; empty where it was not given."""

    @classmethod
    def read(cls, tables: Mapping[str, Path], config: dict[str, Any], **others: Any) -> Study:
        """Read the tables; an empty text stays an empty text.

        Raises:
            DataError: a table is none of the page's.
        """
        unknown = sorted(set(tables) - set(TABLES))
        if unknown:
            raise DataError(f"report: no table {unknown[0]!r} on the page; expected some of {', '.join(TABLES)}")
        read = {name: pd.DataFrame(columns=list(columns)) for name, columns in TABLES.items()}
        read |= {name: read_cells(path) for name, path in tables.items()}
        target, evaluation = config.get("target", {}), config.get("evaluate", {})
        return cls(
            tables=read,
            given={*tables, *others.get("shards", ()), *config},
            config=config,
            target=TargetConfig(**target),
            evaluation=EvaluateConfig(**evaluation),
            **others,
        )

    @property
    def of_workflow(self) -> bool:
        """True when exams and model are of a run of the workflow, False for anybody's estimates."""
        return "data" in self.config

    @property
    def flow(self) -> pd.DataFrame:
        """``step, stage, reason, partition, exams, patients``."""
        return self.tables["flow"]

    @property
    def analysed(self) -> pd.DataFrame:
        """A row per analysed exam."""
        return self.tables["analysed"]

    def of(self, name: str, partition: str) -> pd.DataFrame:
        """The rows of a table that belong to a partition."""
        table = self.tables[name]
        return table[table.partition == partition]

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
        return exams < self.evaluation.demonstration_below

    def estimate(self, partition: str, metric: str) -> Estimate:
        """One metric of a whole partition with its interval, for the page."""
        table = self.of("metrics", partition)
        rows = table[(table.group == "all") & (table.metric == metric)]
        return Estimate.of(rows.iloc[0]) if len(rows) else Estimate.missing(metric, "not computed")

    def label(self, metric: str) -> str:
        """Name of a metric with its unit."""
        return with_unit(*metric_wording(metric, self.target)[:2])

    def baseline(self, name: str) -> str:
        """Name of a baseline on the page; anybody's other model is called as its author did."""
        return BASELINES.get(name, name) if self.of_workflow or name == "model" else name

    @property
    def unit(self) -> str:
        """Unit of the target."""
        return self.target.unit

    @property
    def name(self) -> str:
        """Name of the target, with a capital."""
        return self.target.name[:1].upper() + self.target.name[1:]

    @property
    def measured_by(self) -> str:
        """What measures the reference, with a capital."""
        return self.target.measured_by[:1].upper() + self.target.measured_by[1:]

    @property
    def simulated_sites(self) -> list[str]:
        """Sites whose exams or record are simulated."""
        sites = self.config.get("data", {}).get("sites", {})
        return [name for name, site in sites.items() if SIMULATE in _origins(site)]


def _origins(site: dict[str, Any]) -> list[str | None]:
    """Where the images and the record of a site come from."""
    record = site.get("record") or {}
    return [site.get("dicom"), record.get("table"), *(table.get("table") for table in record.get("tables") or ())]


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
    total: bool = False
    """Stands below the others, whatever they are sorted by."""


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


def read_cells(path: Path) -> pd.DataFrame:
    """A table with its text as text, and its numbers as they are written."""
    table = pd.read_csv(path, dtype=dict.fromkeys(TEXT, str), float_precision="round_trip")
    return table.fillna({column: "" for column in table.columns if column in TEXT})


def records(table: pd.DataFrame) -> list[Any]:
    """The rows of a table, cells by name of the column."""
    return list(table.itertuples(index=False))


def rows_of(table: pd.DataFrame) -> list[Any]:
    """The rows of a table, cells by key of the column; for columns that a table may lack."""
    return [row for _, row in table.iterrows()]


def filled(study: Study) -> list[str]:
    """Partitions with an exam."""
    return [name for name in study.partitions if study.exams(name)]


def head_of(study: Study, partition: str) -> Head:
    """Head of a partition's column."""
    rows = study.rows(partition)
    size = exams_text(len(rows), rows.patient.nunique())
    return Head(partition_text(partition), size, study.small(len(rows)))
