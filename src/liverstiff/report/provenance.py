"""What made the page: versions, commit, configuration without paths."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from liverstiff.config import SIMULATE

PACKAGES = (
    *("liverstiff", "snakemake", "pydicom", "dcm2niix", "nipype", "nibabel", "antspyx", "torch", "monai"),
    *("numpy", "scipy", "pandas", "scikit-learn", "statsmodels", "pingouin", "matplotlib", "jinja2"),
)
HIDDEN = "(a path, not shown)"
PATHS = (*("dicom", "nifti", "table", "atlases", "masks", "private", "overrides", "program", "weights", "pretrained"),)
"""Keys whose values are paths: these may name people or places, and stay off the page."""


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


def without_paths(values: Any, key: str = "") -> Any:
    """The configuration with every path replaced; ``simulate`` is no path."""
    if isinstance(values, dict):
        return {name: without_paths(value, str(name)) for name, value in values.items()}
    if isinstance(values, list | tuple):
        return [without_paths(value) for value in values]
    return HIDDEN if key in PATHS and values != SIMULATE else values
