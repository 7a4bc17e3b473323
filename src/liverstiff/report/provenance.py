"""What made the page: versions, commit, and what may be shown of the configuration."""

from __future__ import annotations

import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from liverstiff.config import SIMULATE, json_schema

PACKAGES = (
    *("liverstiff", "snakemake", "pydicom", "dcm2niix", "nipype", "nibabel", "antspyx", "torch", "monai"),
    *("numpy", "scipy", "pandas", "scikit-learn", "statsmodels", "pingouin", "matplotlib", "jinja2"),
)
HIDDEN = "(not shown)"
SHOWN = (
    *("target", "simulate", "data.temporal_cut", "cohort.eligible", "cohort.required", "split.vendors"),
    *("train.record", "report.title"),
)
"""Where the configuration holds free text that may be shown; elsewhere text may name people or places."""


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that make the numbers."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def commit() -> str:
    """Commit of the source in use, and whether it was changed since; says so when the source is in no repository."""
    here = Path(__file__).resolve()
    try:
        _git(here.parent, "ls-files", "--error-unmatch", here.name)
        changed = _git(here.parents[1], "status", "--porcelain", "--", ".")
        return _git(here.parent, "rev-parse", "HEAD") + (" and changes not committed" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "not recorded: the source is not in a git repository"


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def public(values: Any, place: str = "") -> Any:
    """The configuration without text that is none of the schema's choices, save at places that may be shown.

    Of a site's health record nothing is shown: names of its columns and their codes are text too.
    """
    if isinstance(values, dict) and place.startswith("data.sites.") and place.endswith(".record"):
        return SIMULATE if values.get("table") == SIMULATE else HIDDEN
    if isinstance(values, dict):
        return {name: public(value, f"{place}.{name}".strip(".")) for name, value in values.items()}
    if isinstance(values, list | tuple):
        return [public(value, place) for value in values]
    free = any(place == shown or place.startswith(f"{shown}.") for shown in SHOWN)
    return values if not isinstance(values, str) or free or values in _choices() else HIDDEN


@cache
def _choices() -> frozenset[str]:
    """Every text that the schema of the configuration offers to choose, and what stands for simulated data."""
    found, waiting = {SIMULATE}, [json_schema()]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            found |= {text for text in [*part.get("enum", ()), part.get("const")] if isinstance(text, str)}
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part
    return frozenset(found)
