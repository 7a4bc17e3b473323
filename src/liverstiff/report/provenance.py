"""What made the page and what it took, as the stage ``provenance`` wrote it down."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from liverstiff.report.study import Block, Cell, Head, Row, Section, Study, rows_of
from liverstiff.report.wording import Number

PACKAGES = (
    *("liverstiff", "snakemake", "pydicom", "dcm2niix", "nipype", "nibabel", "antspyx", "torch", "monai"),
    *("numpy", "scipy", "pandas", "scikit-learn", "statsmodels", "pingouin", "matplotlib", "jinja2"),
)
"""Those of the packages that are named on the page; ``provenance.json`` has all."""

TOTAL = "total"
"""The stage of the last row of the costs, which is of all."""

COLUMNS = (("jobs", "Jobs", 0), ("wall_hours", "Wall hours", 2), ("core_hours", "Core hours", 2))
"""Column, head and decimals."""

BASIS = [
    "Basis: what Snakemake measured of every job that finished, of its last run; the job that makes this page is not "
    "counted. Wall hours are summed over the jobs, many of which ran at the same time. Core hours are wall hours times "
    "the cores that a job of the stage holds. Memory is the most that one job held; a job of a few seconds is "
    "often not measured.",
]


def read_facts(path: Path | None) -> dict[str, Any]:
    """What ``provenance.json`` says; nothing without it."""
    facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path else {}
    return facts


def source(facts: Mapping[str, Any]) -> str:
    """Commit of the source, and whether it was changed since."""
    found = facts.get("source", {})
    if not found.get("commit"):
        return "not recorded"
    return f"{found['commit']}{' and changes not committed' * bool(found['changed'])}"


def versions(facts: Mapping[str, Any]) -> dict[str, str]:
    """Versions by name: installed where provenance was written, else as pinned for the environments of the stages."""
    pins = dict(line.split("==", 1) for lines in facts["pinned"].values() for line in lines if "==" in line)
    known = pins | facts["packages"]
    tools = {name: facts["tools"][name] for name in ("python", "system")}
    return tools | {name: known.get(name, "not recorded") for name in PACKAGES}


def made_with(study: Study) -> Section:
    """Software, cost, configuration, and the hashes of the tables."""
    facts = study.provenance
    if not facts:
        blocks = [Block("gap", "Versions, configuration and hashes were not handed over.")]
        return _section([*blocks, *_cost(study.tables["cost"])])
    shown = yaml.safe_dump(facts["config"], sort_keys=False, allow_unicode=True)
    return _section(
        [
            Block("facts", {"source": source(facts), **versions(facts)}, "Software"),
            *_cost(study.tables["cost"]),
            Block("folded_text", shown, "Configuration, without paths and other free text"),
            Block("folded_text", _hashes(facts["sha256"]), "SHA-256 of the tables, models and predictions"),
        ]
    )


def _section(blocks: list[Block]) -> Section:
    lead = "What is needed to make this page again, and what it took."
    return Section("provenance", "Software", "Software, configuration and cost", lead, blocks)


def _hashes(sums: Mapping[str, Any]) -> str:
    """A line per file; those of one name are numbered."""
    flat = {name: one if isinstance(one, dict) else {"": one} for name, one in sums.items()}
    return "\n".join(f"{digest}  {name} {n}".rstrip() for name, one in flat.items() for n, digest in one.items())


def _cost(table: pd.DataFrame) -> list[Block]:
    """The costs by stage; their sum stands below and is not sorted with them."""
    if not len(table):
        return [Block("gap", "What the run took was not handed over.")]
    rows = [Row(row.stage.capitalize(), _cells(row), total=row.stage == TOTAL) for row in rows_of(table)]
    heads = [Head("Stage"), *(Head(head) for _, head, _ in COLUMNS), Head("Memory, MB")]
    return [Block("table", rows, "What it took", BASIS, heads)]


def _cells(row: pd.Series) -> list[Cell]:
    counted = [_number(row[name], digits) for name, _, digits in COLUMNS]
    return [*counted, _number(row.max_rss_mb, 0)]


def _number(value: float, digits: int) -> Cell:
    """The number; one that would be shown as 0 as less than the last decimal."""
    if pd.isna(value):
        return "–"
    least = 10**-digits
    small = digits > 0 and value < least / 2
    return Number(value, digits, shown=f"<\N{NO-BREAK SPACE}{least:g}" if small else "")
