"""Between Snakemake and the stages: what every script in ``workflow_scripts/`` needs."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from liverstiff.errors import LiverStiffError


def paths(named: Any, *without: str) -> dict[str, Path | list[Path]]:
    """Named inputs or outputs of a job as keywords for its function, less ``code`` and those ``without``."""
    return {
        name: Path(value) if isinstance(value, str) else [Path(item) for item in value]
        for name, value in named.items()
        if name not in ("code", *without)
    }


@contextmanager
def stage_log(path: str | Path) -> Iterator[None]:
    """Send everything a stage prints to its log file; on an expected error print one line and exit with 1."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", buffering=1) as log, redirect_stdout(log), redirect_stderr(log):
        try:
            yield
        except LiverStiffError as error:
            line = f"{type(error).__name__}: {error}"
            print(line)
            print(line, file=sys.__stderr__)
            raise SystemExit(1) from None
        except Exception:
            traceback.print_exc()
            raise
