"""Cohorts for the tests of splitting, and one call of the stage."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from liverstiff.config import SplitConfig, TargetConfig
from liverstiff.records import read_table
from liverstiff.split import Ledger, Plan, split_cohort

BANDS = TargetConfig().bands
VENDORS = {"alba": "GE", "brook": "Siemens", "cedar": "Philips", "delta": "Siemens", "elm": "GE"}
EXTERNAL = ("delta",)


def table(rows: list[tuple[Any, ...]]) -> pd.DataFrame:
    """A cohort from (patient number, site, day, reference[, vendor])."""
    whole = [(f"p{row[0]:04x}", *row[1:4], row[4] if len(row) > 4 else VENDORS[row[1]]) for row in rows]
    cohort = pd.DataFrame(whole, columns=["patient", "site", "day", "reference", "vendor"])
    cohort["exam"] = [f"e{i:04x}" for i in range(len(cohort))]
    return cohort.assign(role=cohort.site.isin(EXTERNAL).map({True: "external", False: "development"}))


def arguments(folder: Path, scheme: str = "kfold", folds: int | list[str] = 3, **target: Any) -> dict[str, Any]:
    """Keyword arguments of ``split_cohort`` in a folder; ``folds`` is their number, or their names."""
    names = folds if isinstance(folds, list) else [str(fold) for fold in range(folds)]
    return {
        "cohort": folder / "cohort.csv",
        "aliases": folder / "aliases.csv",
        "ledger": folder / "private" / "folds.csv",
        "splits": folder / "splits.csv",
        "strata": folder / "strata.csv",
        "used": folder / "ledger.json",
        "folds": names,
        "settings": SplitConfig(scheme=scheme),
        "target": TargetConfig(**target),
    }


def save(folder: Path, cohort: pd.DataFrame, aliases: Iterable[tuple[str, str]] = ()) -> None:
    """Write what the stage reads; ``aliases``: patient and another pseudonym of the same person."""
    cohort.to_csv(folder / "cohort.csv", index=False)
    pd.DataFrame(aliases, columns=["patient", "alias"]).to_csv(folder / "aliases.csv", index=False)


def split(
    folder: Path, cohort: pd.DataFrame, scheme: str = "kfold", folds: int | list[str] = 3, aliases=(), **target: Any
):
    """Run the stage in a folder that keeps its ledger; the splits."""
    paths = arguments(folder, scheme, folds, **target)
    save(folder, cohort, aliases)
    split_cohort(**paths)
    return read_table(paths["splits"]).fillna({"reason": ""})


def plan(folds: int = 3) -> Plan:
    """Folds by number."""
    return Plan("kfold", tuple(str(fold) for fold in range(folds)), BANDS)


def ledger(rows: list[tuple[str, int, str, str]] | None = None, folds: int = 3) -> Ledger:
    """A ledger of these rows."""
    made = pd.DataFrame(rows or [], columns=["patient", "fold", "site", "band"]).astype({"fold": int})
    return Ledger(plan(folds).folds, made)
