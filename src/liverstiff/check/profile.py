"""What a Snakemake profile asks for, as far as it can fail before the first job."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from liverstiff.errors import ConfigError

NAMES = re.compile(r"[A-Za-z0-9_.,-]+")


@dataclass(frozen=True)
class Profile:
    """Of a profile: where jobs run."""

    slurm: bool = False
    """Jobs go to SLURM."""
    conda: bool = False
    """Jobs run in environments made by conda."""
    account: str = ""
    partitions: tuple[str, ...] = ()
    """Names of the partitions that any rule may go to, in alphabetical order."""


def read_profile(path: Path) -> Profile:
    """A profile from its folder or its file; of a folder the file for the newest Snakemake counts.

    A partition may be written as a name, as names with commas, or as an expression with names in quotes.

    Raises:
        ConfigError: there is no such file, or it is no YAML.
    """
    file = path if path.is_file() else _file_of(path)
    values = _read(file)
    defaults = _resources(values.get("default-resources"))
    of_rules = [_resources(given) for given in _by_rule(values.get("set-resources"))]
    partitions = {name for one in (defaults, *of_rules) for name in _names(one.get("slurm_partition"))}
    listed = values.get("slurm-partition-config")
    if listed:
        at = Path(str(listed))
        partitions |= set(_read(at if at.is_file() else file.parent / at.name).get("partitions") or {})
    deployment = values.get("software-deployment-method") or ()
    return Profile(
        slurm=values.get("executor") == "slurm",
        conda=bool(values.get("use-conda")) or "conda" in ([deployment] if isinstance(deployment, str) else deployment),
        account=str(defaults.get("slurm_account") or "").strip("'\""),
        partitions=tuple(sorted(partitions)),
    )


def _file_of(folder: Path) -> Path:
    """``config.v8+.yaml`` and the like before ``config.yaml``."""
    versioned = sorted(folder.glob("config.v*+.yaml"), key=lambda one: int(re.sub(r"\D", "", one.name) or 0))
    return versioned[-1] if versioned else folder / "config.yaml"


def _read(file: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(file.read_text())
    except OSError:
        raise ConfigError(
            f"no file {file}; expected a Snakemake profile, e.g. profiles/slurm; give --profile"
        ) from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{file}: not YAML: {' '.join(str(error).split())}") from None
    return (
        {str(key).replace("_", "-"): value for key, value in (values or {}).items()} if isinstance(values, dict) else {}
    )


def _resources(given: Any) -> dict[str, Any]:
    """Resources by name: from a mapping, or from a list of ``name=value``."""
    if isinstance(given, list):
        return dict(str(one).split("=", 1) for one in given if "=" in str(one))
    return dict(given or {})


def _by_rule(given: Any) -> list[Any]:
    """The resources of each rule: from a mapping, or from a list of ``rule:name=value``."""
    if isinstance(given, list):
        return [[str(one).split(":", 1)[-1]] for one in given]
    return list((given or {}).values())


def _names(given: Any) -> list[str]:
    """Names of partitions in the value of ``slurm_partition``."""
    text = str(given or "").strip()
    if NAMES.fullmatch(text):
        return text.split(",")
    return [name for quoted in re.findall(r"['\"]([^'\"]+)['\"]", text) for name in quoted.split(",")]
