"""The ledger of folds: a private CSV that only grows, ``patient, fold, site, band`` under one line of JSON.

The first line says what the folds are, so that a ledger of other folds is never continued. Two studies may share a
ledger: it is read again and replaced as a whole under a lock.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import StringIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd

from liverstiff.errors import ConfigError, DataError
from liverstiff.pseudonyms import private_folder

ROW = ["patient", "fold", "site", "band"]
HEAD = {"scheme", "folds", "bands", "patients"}


def band_names(edges: tuple[float, ...]) -> list[str]:
    """Names of the bands between the edges, e.g. ``0-2.5``; a band starts at its lower edge."""
    return [f"{low}-{high}" for low, high in pairwise(band_ends(edges))]


def band_ends(edges: tuple[float, ...]) -> list[str]:
    """The edges as text, with 0 before and inf after them."""
    return ["0", *(f"{edge:.12g}" for edge in edges), "inf"]


@dataclass(frozen=True)
class Plan:
    """What the configuration asks for."""

    scheme: str
    """``kfold``, ``leave-one-site-out`` or ``leave-one-vendor-out``."""
    folds: tuple[str, ...]
    """Names of the folds: numbers, sites or vendors."""
    bands: tuple[float, ...]
    """Edges of the bands of the target."""


@dataclass(frozen=True)
class Ledger:
    """The folds given out so far."""

    folds: tuple[str, ...]
    """Names of the folds; fold 0 first."""
    rows: pd.DataFrame
    """``patient, fold, site, band``, the oldest first. A row never changes; ``fold`` is an index of ``folds``."""

    @classmethod
    def empty(cls, folds: tuple[str, ...]) -> Ledger:
        """Without rows."""
        return cls(folds, pd.DataFrame({name: pd.Series(dtype=int if name == "fold" else str) for name in ROW}))

    def extended(self, new: pd.DataFrame) -> Ledger:
        """With rows more."""
        return replace(self, rows=pd.concat([self.rows, new[ROW]], ignore_index=True).astype({"fold": int}))

    def known_as(self, patients: pd.Series, aliases: pd.DataFrame) -> pd.Series:
        """The name that the ledger has of each patient: that of the oldest row of any alias, else the patient's own.

        Args:
            patients: pseudonyms.
            aliases: ``patient, alias``.
        """
        rows = self.rows.patient
        patient = rows.map(aliases.set_index("alias").patient).fillna(rows).astype(object)
        first = ~patient.duplicated()
        return patients.map(dict(zip(patient[first], rows[first], strict=True))).fillna(patients)

    def used_by(self, patients: pd.Series) -> tuple[int, str]:
        """Number of rows up to the last one of these patients, and the SHA-256 of these rows as CSV.

        The ledger only grows, so the rows of others that come later change neither.
        """
        used = self.rows.patient.isin(patients).to_numpy().nonzero()[0]
        count = int(used[-1]) + 1 if len(used) else 0
        return count, hashlib.sha256(self.rows[:count].to_csv(index=False).encode()).hexdigest()


def read_ledger(path: Path, plan: Plan) -> Ledger:
    """The ledger so far, empty when there is none.

    Raises:
        ConfigError: when it cannot be read.
        DataError: when it is damaged, or was made for other folds.
    """
    try:
        text = path.read_text()
    except FileNotFoundError:
        return Ledger.empty(plan.folds)
    except OSError as error:
        raise ConfigError(
            f"the ledger of folds {path} cannot be read: {error.strerror}; expected a file; correct data.private"
        ) from None
    except UnicodeDecodeError:
        text = ""
    made, rows = _parse(text, path.name)
    wanted: dict[str, object] = {"split.scheme": plan.scheme, "target.bands": list(plan.bands)}
    found: dict[str, object] = {"split.scheme": made["scheme"], "target.bands": made["bands"]}
    folds = tuple(made["folds"])
    if plan.scheme == "kfold":
        wanted["split.folds"], found["split.folds"] = len(plan.folds), len(folds)
    for key, value in wanted.items():
        if found[key] != value:
            raise DataError(
                f"the ledger of folds {path.name} was made with {key} {found[key]}, the config has {value}; "
                f"set {key} back, or move the ledger away to start new folds"
            )
    gone = [name for name in folds if name not in plan.folds]
    if gone:
        raise DataError(
            f"the ledger of folds {path.name} has a fold {gone[0]!r}, the config has {', '.join(plan.folds)}; "
            "set it back, or move the ledger away to start new folds"
        )
    return Ledger((*folds, *(name for name in plan.folds if name not in folds)), rows)


def extend_ledger(
    path: Path, plan: Plan, patients: Callable[[Ledger], pd.Series], extend: Callable[[Ledger], Ledger]
) -> Ledger:
    """The ledger with a row for every patient; the file is left alone where all have one.

    Args:
        path: of the ledger.
        plan: what the configuration asks for.
        patients: gives the pseudonyms that need a row, as a ledger knows them.
        extend: adds the rows that are missing; what it raises leaves the file as it was.

    Raises:
        ConfigError: when the ledger cannot be read or written.
        DataError: as :func:`read_ledger`.
    """
    ledger = read_ledger(path, plan)
    if patients(ledger).isin(ledger.rows.patient).all():
        return ledger
    with _locked(path):
        ledger = extend(read_ledger(path, plan))
        _write(path, plan, ledger)
    return ledger


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock file beside the ledger; others wait. A folder that cannot be written is one line."""
    try:
        private_folder(path.parent)
        lock = os.open(path.with_name(f".{path.name}.lock"), os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)
    except OSError as error:
        raise ConfigError(
            f"the ledger of folds {path} cannot be written: {error.strerror}; expected a folder that can be written "
            "and locked; correct data.private or its permissions"
        ) from None


def _parse(text: str, name: str) -> tuple[dict[str, Any], pd.DataFrame]:
    """First line and rows of a ledger, each checked."""
    try:
        head, body = text.split("\n", 1)
        made = json.loads(head.removeprefix("# "))
        rows = pd.read_csv(StringIO(body), dtype=dict.fromkeys(ROW, str), keep_default_na=False)
        checks = [
            set(made) == HEAD,
            list(rows) == ROW,
            text.endswith("\n"),
            len(rows) == made["patients"],
            rows.patient.is_unique,
            (rows[["patient", "site"]] != "").all(axis=None),
            rows.astype({"fold": int}).fold.between(0, len(made["folds"]) - 1).all(),
            rows.band.isin(band_names(made["bands"])).all(),
        ]
    except (ValueError, TypeError, KeyError, AttributeError):
        checks = [False]
    if not all(checks):
        raise DataError(
            f"the ledger of folds {name} is damaged; expected a line of settings, the columns {', '.join(ROW)} "
            "and one row for each patient; restore it from a copy, or move it away to start new folds"
        )
    return made, rows.astype({"fold": int})


def _write(path: Path, plan: Plan, ledger: Ledger) -> None:
    """Write the ledger in one step: it must never be lost half way."""
    head = {"scheme": plan.scheme, "folds": ledger.folds, "bands": plan.bands, "patients": len(ledger.rows)}
    partial = path.with_name(f".{path.name}.partial")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(f"# {json.dumps(head)}\n")
        ledger.rows.to_csv(file, index=False)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
