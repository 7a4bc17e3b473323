"""Table 1: each partition described."""

from __future__ import annotations

from typing import Any

import pandas as pd

from liverstiff.errors import DataError

MEASURED = (
    *("reference", "age", "bmi", "ast", "alt", "ggt", "platelets", "albumin", "bilirubin", "inr", "pdff"),
    *("fib4", "apri"),
)
COUNTED = ("diabetes", "steatosis", "t1w", "t2w", "dwi", "sex", "site", "vendor", "field_t")

YES = {"true": "yes", "1": "yes", "1.0": "yes", "yes": "yes"}
NO = {"false": "no", "0": "no", "0.0": "no", "no": "no"}


def table1_of(analysed: pd.DataFrame, cohort: pd.DataFrame, partitions: list[str]) -> pd.DataFrame:
    """Each partition described: a row per measured variable, and per level of a counted variable.

    Columns: ``partition, variable, level, n, missing, mean, sd, median, q1, q3, exams, share`` (of those known).
    """
    table = cohort.merge(analysed[["exam", "partition"]], on="exam")
    rows: list[dict[str, Any]] = []
    for partition in partitions:
        members = table[table.partition == partition]
        described: list[dict[str, Any]] = [{"variable": "exams", "exams": len(members)}]
        described.append({"variable": "patients", "exams": members.patient.nunique()})
        described += [_measured(members[name]) for name in MEASURED if name in table]
        for name in COUNTED:
            described += _counted(members[name], table[name]) if name in table else []
        rows += [{"partition": partition, **row} for row in described]
    statistics = ["n", "missing", "mean", "sd", "median", "q1", "q3", "exams", "share"]
    return pd.DataFrame(rows, columns=["partition", "variable", "level", *statistics]).convert_dtypes(
        convert_string=False, convert_floating=False
    )


def _measured(values: pd.Series) -> dict[str, Any]:
    known = values.dropna().astype(float)
    row: dict[str, Any] = {"variable": values.name, "n": len(known), "missing": len(values) - len(known)}
    if len(known):
        q1, median, q3 = known.quantile([0.25, 0.5, 0.75])
        row |= {"mean": known.mean(), "sd": known.std(ddof=1), "median": median, "q1": q1, "q3": q3}
    return row


def _counted(values: pd.Series, everywhere: pd.Series) -> list[dict[str, Any]]:
    """One row per level that occurs in any partition."""
    binary = values.name in ("diabetes", "steatosis", "t1w", "t2w", "dwi")
    values, everywhere = (_levels(column, binary) for column in (values, everywhere))
    known = int((values != "").sum())
    size = {"n": known, "missing": len(values) - known}
    rows = []
    for level in sorted(set(everywhere) - {""}, reverse=binary):
        count = int((values == level).sum())
        rows.append(
            {"variable": values.name, "level": level, **size, "exams": count, "share": count / known if known else None}
        )
    return rows


def _levels(values: pd.Series, binary: bool) -> pd.Series:
    """The levels as text, empty where unknown."""
    return yes_or_no(values) if binary else values.map(lambda value: "" if pd.isna(value) else str(value))


def yes_or_no(values: pd.Series) -> pd.Series:
    """``yes``, ``no``, or empty where unknown.

    Raises:
        DataError: a value is none of these.
    """
    text = values.map(lambda value: "" if pd.isna(value) else str(value).strip().lower())
    strange = text[~text.isin([*YES, *NO, ""])]
    if len(strange):
        raise DataError(f"cohort: {values.name} is {strange.iloc[0]!r}; expected 1, 0 or empty")
    return text.map({**YES, **NO, "": ""})
