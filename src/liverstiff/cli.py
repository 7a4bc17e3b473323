"""The command ``liverstiff``: single stages by hand. Each command is a thin caller of what the workflow calls."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer
import yaml
from rich.console import Console
from rich.table import Table

from liverstiff.config import Config, check_inputs, load_config
from liverstiff.errors import ConfigError, LiverStiffError

app = typer.Typer(help="Liver stiffness (kPa) from routine MRI and the health record.", no_args_is_help=True)


@app.callback()
def main() -> None:
    """Keep one command a sub-command: ``liverstiff check``."""


@app.command()
def check(config: Annotated[Path, typer.Option(help="the configuration to check")] = Path("config.yaml")) -> None:
    """Tell before a run what is missing. Exits with 1 when something is.

    Example: liverstiff check --config config.yaml
    """
    table = Table("what", "finding")
    problems = 0
    for what, found in _findings(config):
        problems += bool(found)
        table.add_row(what, f"[red]{found}[/red]" if found else "[green]ok[/green]")
    Console().print(table)
    raise typer.Exit(int(problems > 0))


def _findings(path: Path) -> list[tuple[str, str]]:
    """What was looked at, and what is wrong with it (empty when nothing is)."""
    try:
        config = read_config(path)
    except LiverStiffError as error:
        return [(str(path), str(error))]
    return [
        (str(path), ""),
        ("sites, records, atlases", _error(config, path.parent)),
        ("device of train", _no_device(config.train.device)),
        ("device of predict", _no_device(config.predict.device)),
        ("dcm2niix", _no_dcm2niix()),
        ("free disk space", _little_space(path.parent)),
    ]


def read_config(path: Path) -> Config:
    """The checked configuration of a YAML file.

    Raises:
        ConfigError: for a file that is missing, is no YAML, or holds mistakes.
    """
    try:
        values = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise ConfigError(f"no file {path}; expected the configuration; give --config") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    return load_config(values if isinstance(values, dict) else {}, str(path))


def _error(config: Config, root: Path) -> str:
    try:
        check_inputs(config, root)
    except ConfigError as error:
        return str(error)
    return ""


def _no_device(device: str) -> str:
    """A CUDA device that is asked for must be there; a CPU always is."""
    if device == "cpu":
        return ""
    import torch

    return "" if torch.cuda.is_available() else f"{device} is asked for, and this machine has none"


def _no_dcm2niix() -> str:
    import dcm2niix

    return "" if Path(dcm2niix.bin).is_file() else f"no binary at {dcm2niix.bin}; reinstall the package dcm2niix"


def _little_space(folder: Path, least_gb: float = 5) -> str:
    free = shutil.disk_usage(folder).free / 1e9
    return "" if free >= least_gb else f"{free:.1f} GB free in {folder.resolve()}; at least {least_gb:g} GB are advised"


def run() -> None:
    """Entry point: an expected error is one line."""
    try:
        app()
    except LiverStiffError as error:
        sys.exit(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    run()
