"""What a run was: software, configuration, source, checksums, cost; and an RO-Crate of it that may be shared."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from liverstiff.provenance.cost import first_start, stage_costs, with_total, write_costs
from liverstiff.provenance.crate import write_crate
from liverstiff.provenance.facts import checksum, commit, installed, pinned, tools
from liverstiff.provenance.settings import shareable

__all__ = ["write_provenance"]

NOTE = (
    "DICOM, NIfTI and the record are not hashed: the tables of the catalog and of the cohort, which follow from them, "
    "are. Paths, queries, names of columns and other free text of the configuration are not shown."
)


def write_provenance(
    *,
    tables: Mapping[str, Path | Sequence[Path]],
    shared: Mapping[str, Path],
    config: Mapping[str, Any],
    benchmarks: Path,
    cores: Mapping[str, int],
    provenance: Path,
    cost: Path,
    crate: Path,
    source: Path | None = None,
) -> None:
    """Write ``provenance.json``, the table of costs, and a folder that is an RO-Crate.

    Args:
        tables: files whose SHA-256 is written, by name; where a name has several, they are numbered in their order.
        shared: those of them without a row per exam, which the crate takes along.
        config: the whole configuration as plain values.
        benchmarks: folder with a ``<stage>/<job>.tsv`` of Snakemake for every job.
        cores: cores that a job reserves, by rule.
        provenance: output, JSON.
        cost: output, CSV; see :func:`liverstiff.provenance.cost.stage_costs`.
        crate: output folder.
        source: the checkout with Snakefile, rules and envs; the one in use unless given.
    """
    source = source or Path(__file__).resolve().parents[3]
    costs = with_total(stage_costs(benchmarks, cores))
    for path in (provenance, cost):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_costs(costs, cost)
    facts = {
        "started": first_start(benchmarks),
        "finished": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "source": commit(source),
        "tools": tools(),
        "packages": installed(),
        "pinned": pinned(source / "envs"),
        "config": shareable(config),
        "sha256": {
            name: checksum(files)
            if isinstance(files, Path)
            else {str(n): checksum(file) for n, file in enumerate(files)}
            for name, files in tables.items()
        },
        "cost": costs,
        "note": NOTE,
    }
    provenance.write_text(json.dumps(facts, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    write_crate(crate, source, facts, {"provenance": provenance, "cost": cost, **shared})
