"""Software, source and checksums."""

from __future__ import annotations

import hashlib
import platform
import re
import subprocess
from collections.abc import Sequence
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import yaml


def installed() -> dict[str, str]:
    """Version by name of every package that the job of this rule could import."""
    found = {item.name.lower(): item.version for item in distributions() if item.name}
    return dict(sorted(found.items()))


def pinned(envs: Path) -> dict[str, list[str]]:
    """What each conda environment of the checkout pins, by its name: under --use-conda a stage runs in one of them."""
    found = {}
    for path in sorted(envs.glob("*.yaml")):
        dependencies = yaml.safe_load(path.read_text())["dependencies"]
        found[path.stem] = [
            line for part in dependencies for line in (part["pip"] if isinstance(part, dict) else [str(part)])
        ]
    return found


def tools() -> dict[str, str]:
    """Versions of what is no Python package."""
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "dcm2niix": _dcm2niix(),
        "git": _first_line(["git", "--version"]),
    }


def _dcm2niix() -> str:
    import dcm2niix

    said = _first_line([str(dcm2niix.bin), "-v"])
    version = re.search(r"v\d[\w.]*", said)
    return version.group() if version else said


def _first_line(command: Sequence[str]) -> str:
    """What a program says of itself."""
    try:
        said = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return "not found"
    return next(iter((said.stdout or said.stderr).splitlines()), "").strip()


def commit(source: Path) -> dict[str, Any]:
    """Commit of the checkout, and whether tracked files were changed since; none where it is in no repository."""
    try:
        _git(source, "ls-files", "--error-unmatch", "Snakefile")  # not a repository that only surrounds it
        changed = bool(_git(source, "status", "--porcelain", "--untracked-files=no", "--", "."))
        return {"commit": _git(source, "rev-parse", "HEAD"), "changed": changed}
    except (OSError, subprocess.CalledProcessError):
        return {"commit": None, "changed": None}


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def checksum(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
