"""What each stage cost, from the tables that Snakemake's ``benchmark:`` writes."""

from __future__ import annotations

import csv
import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Any

TOTAL = "total"
"""Stands for a stage in the last row, which is of all."""

COLUMNS = ("stage", "jobs", "wall_hours", "core_hours", "cpu_hours", "max_rss_mb")


def stage_costs(benchmarks: Path, cores: Mapping[str, int]) -> list[dict[str, Any]]:
    """A row per stage of ``cores`` with a benchmark, in their order.

    ``cores`` are those that a job of a rule reserves; the rules of a stage bear its name, alone or before ``_``. What
    no rule of them made, as a report of an earlier run, is not counted.
    ``jobs`` are those that finished and left a benchmark, the last run of each; ``wall_hours`` their sum;
    ``core_hours`` the wall hours times the cores of the stage's widest rule; ``cpu_hours`` the processor time that
    Snakemake saw in its samples, which misses processes that ended between two of them; ``max_rss_mb`` the largest
    resident memory of one job. What a benchmark does not know (``NA``, a job too short to be sampled) is left out.
    """
    widest: dict[str, int] = {}
    for rule, number in cores.items():
        stage = rule.split("_")[0]
        widest[stage] = max(number, widest.get(stage, 0))
    rows = []
    for stage, number in widest.items():
        jobs = [_last_row(path) for path in sorted((benchmarks / stage).rglob("*.tsv"))]
        if jobs:
            wall = sum(_numbers(jobs, "s")) / 3600
            rows.append(
                {
                    "stage": stage,
                    "jobs": len(jobs),
                    "wall_hours": round(wall, 4),
                    "core_hours": round(wall * number, 4),
                    "cpu_hours": round(sum(_numbers(jobs, "cpu_time")) / 3600, 4),
                    "max_rss_mb": round(max(_numbers(jobs, "max_rss"), default=0)) or None,
                }
            )
    return rows


def with_total(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows and a last one of all stages: sums, and the largest memory of one job."""
    if not rows:
        return []
    sums = {name: round(sum(row[name] for row in rows), 4) for name in COLUMNS[1:-1]}
    most = max((row["max_rss_mb"] for row in rows if row["max_rss_mb"]), default=None)
    return [*rows, {"stage": TOTAL, **sums, "max_rss_mb": most}]


def write_costs(rows: list[dict[str, Any]], path: Path) -> None:
    """The rows as CSV."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def first_start(benchmarks: Path) -> str | None:
    """When the earliest of the jobs began, to the second, in UTC: the time of its benchmark less its seconds."""
    begun = [
        path.stat().st_mtime - max(_numbers([_last_row(path)], "s"), default=0) for path in benchmarks.rglob("*.tsv")
    ]
    return dt.datetime.fromtimestamp(min(begun), dt.UTC).isoformat(timespec="seconds") if begun else None


def _last_row(path: Path) -> dict[str, str]:
    """The last repeat of a benchmark."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return rows[-1] if rows else {}


def _numbers(jobs: list[dict[str, str]], column: str) -> list[float]:
    """The known values of a column."""
    return [float(job[column]) for job in jobs if job.get(column) not in (None, "", "NA", "-")]
