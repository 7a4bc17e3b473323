"""An RO-Crate of a run by the profile Workflow Run Crate (https://w3id.org/ro/wfrun/workflow/0.5).

The folder holds the workflow's own text, the configuration that may be shown, and tables without a row per exam: it can
be given away as it is.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rocrate.model.contextentity import ContextEntity
from rocrate.model.file import File
from rocrate.rocrate import ROCrate

from liverstiff.provenance.facts import checksum

TERMS = "https://w3id.org/ro/terms/workflow-run/context"
PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": ("Process Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/workflow/0.5": ("Workflow Run Crate", "0.5"),
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": ("Workflow RO-Crate", "1.0"),
}
LICENSE = "https://spdx.org/licenses/Apache-2.0"
FORMATS = {".csv": "text/csv", ".json": "application/json", ".yaml": "application/yaml", ".smk": "text/plain"}


def write_crate(folder: Path, source: Path, facts: Mapping[str, Any], results: Mapping[str, Path]) -> None:
    """Write the crate.

    Args:
        folder: to make; one that is there is replaced.
        source: the checkout with ``Snakefile``, ``rules`` and ``envs``.
        facts: what ``provenance.json`` says.
        results: files that the crate takes along, by their name without suffix.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    crate = ROCrate(version="1.1")
    crate.metadata.extra_contexts.append(TERMS)
    crate.name = "A run of LiverStiff"
    crate.description = (
        "Liver stiffness from routine MRI and the health record: the workflow, its settings, its results"
    )
    crate.datePublished = facts["finished"]
    crate.license = "The workflow: Apache-2.0. The results belong to those who ran it."
    workflow = crate.add_workflow(
        source / "Snakefile", "Snakefile", main=True, lang="snakemake", lang_version=_version("snakemake")
    )
    workflow["name"] = "LiverStiff"
    workflow["license"] = crate.add(
        ContextEntity(crate, LICENSE, properties={"@type": "CreativeWork", "name": "Apache-2.0"})
    )
    workflow["version"] = facts["source"]["commit"] or _version("liverstiff")
    for path in sorted([*source.glob("rules/*.smk"), *source.glob("envs/*.yaml")]):
        workflow.append_to("hasPart", _file(crate, path, f"{path.parent.name}/{path.name}"))
    crate.root_dataset["conformsTo"] = [
        crate.add(ContextEntity(crate, at, properties={"@type": "CreativeWork", "name": name, "version": number}))
        for at, (name, number) in PROFILES.items()
    ]
    with tempfile.TemporaryDirectory() as scratch:
        config = Path(scratch) / "config.json"
        config.write_text(json.dumps(facts["config"], indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        action = crate.add_action(
            workflow,
            identifier="#run",
            object=[_file(crate, config, config.name)],
            result=[_file(crate, path, f"{name}{path.suffix}") for name, path in results.items()],
            properties={
                "name": "The run",
                "endTime": facts["finished"],
                "actionStatus": "http://schema.org/CompletedActionStatus",
                **({"startTime": facts["started"]} if facts["started"] else {}),
            },
        )
        crate.root_dataset["mentions"] = [action]
        crate.write(folder)


def _file(crate: ROCrate, path: Path, name: str) -> File:
    """A file of the crate, with its checksum."""
    properties = {
        "name": name,
        "encodingFormat": FORMATS.get(path.suffix, "text/plain"),
        "contentSize": str(path.stat().st_size),
        "sha256": checksum(path),
    }
    added: File = crate.add_file(path, name, properties=properties)
    return added


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not recorded"
