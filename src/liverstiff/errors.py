"""Expected errors: each prints one line. Anything else is a bug and keeps its traceback."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path


class LiverStiffError(Exception):
    """Base of all expected errors. The message says what, where, the value, what was expected, what to do."""


class ConfigError(LiverStiffError):
    """The configuration, or a path it names, cannot be used."""


class DataError(LiverStiffError):
    """The data of a whole site or study cannot be used."""


class ExamExcluded(LiverStiffError):
    """One exam cannot go on: raised inside a stage, becomes a row of ``status.csv``, never stops a shard."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail

    def __reduce__(self) -> tuple[type[ExamExcluded], tuple[str, str]]:
        return type(self), (self.reason, self.detail)


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
