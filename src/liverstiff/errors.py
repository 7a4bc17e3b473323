"""Expected errors: each prints one line. Anything else is a bug and keeps its traceback."""

from __future__ import annotations


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
