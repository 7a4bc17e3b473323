"""The command ``liverstiff``: single stages by hand. Each command is a thin caller of what the workflow calls."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from liverstiff.check import findings
from liverstiff.errors import LiverStiffError

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
    for what, found in findings(config):
        problems += bool(found)
        table.add_row(what, f"[red]{found}[/red]" if found else "[green]ok[/green]")
    Console().print(table)
    raise typer.Exit(int(problems > 0))


def run() -> None:
    """Entry point: an expected error is one line."""
    try:
        app()
    except LiverStiffError as error:
        sys.exit(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    run()
