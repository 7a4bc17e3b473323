"""The tables that the stage writes beside the cohort, and the schema of the cohort itself."""

from __future__ import annotations

import pandas as pd
import pandera.pandas as pa

from liverstiff.cohort.variables import CODES, PLAUSIBLE, VARIABLES, within
from liverstiff.records import STAGES, Reason

EXCLUSION = ["exam", "patient", "site", "stage", "reason", "detail"]

_BINARY = pa.Column("Int64", pa.Check.isin([0, 1]), nullable=True)
SCHEMA = pa.DataFrameSchema(
    {
        "exam": pa.Column(str, pa.Check.str_matches(r"^e[0-9a-f]+$")),
        "patient": pa.Column(str, pa.Check.str_matches(r"^p[0-9a-f]+$")),
        "site": pa.Column(str),
        "role": pa.Column(str, pa.Check.isin(["development", "external"])),
        "vendor": pa.Column(str),
        "field_t": pa.Column(float, pa.Check.in_range(0.1, 11), nullable=True),
        "shard": pa.Column(str),
        "day": pa.Column(int),
        "t1w": pa.Column(bool),
        "t2w": pa.Column(bool),
        "dwi": pa.Column(bool),
        "reference": pa.Column(float),
        "reference_source": pa.Column(str, pa.Check.isin(["elastogram", "reported"])),
        **{name: pa.Column(float, within(*limits), nullable=True) for name, limits in PLAUSIBLE.items()},
        "sex": pa.Column(object, pa.Check.isin(CODES["sex"]), nullable=True),
        "diabetes": _BINARY,
        "aetiology": pa.Column(object, pa.Check.isin(CODES["aetiology"]), nullable=True),
        "fib4": pa.Column(float, pa.Check.ge(0), nullable=True),
        "apri": pa.Column(float, pa.Check.ge(0), nullable=True),
        "nfs": pa.Column(float, nullable=True),
        "steatosis": _BINARY,
    },
    unique=["exam"],
    strict=True,
)
"""Every column of ``cohort.csv``; the record's variables are in standard units and may be missing."""

COLUMNS = [
    *("exam", "patient", "site", "role", "vendor", "field_t", "shard", "day", "t1w", "t2w", "dwi"),
    *("reference", "reference_source", *VARIABLES, "fib4", "apri", "nfs", "steatosis"),
]


def earliest(excluded: pd.DataFrame) -> pd.DataFrame:
    """Of several exclusions of an exam the one of the earliest stage; sorted by exam."""
    order = excluded.assign(order=excluded.stage.map(STAGES.index)).sort_values(["exam", "order"], kind="stable")
    return order.drop_duplicates("exam")[EXCLUSION].reset_index(drop=True)


def flow_counts(
    catalogued: pd.DataFrame, excluded: pd.DataFrame, analysable: pd.DataFrame, sites: list[str]
) -> pd.DataFrame:
    """Counts of the flow chart by site: catalogued, excluded by reason in the order of the flow, analysable.

    Raises:
        AssertionError: unless exams in = analysable + excluded at every site; that would be a bug.
    """
    rows = []
    for site in sites:
        came, left, stayed = ((frame.site == site).sum() for frame in (catalogued, excluded, analysable))
        if came != left + stayed:
            raise AssertionError(f"{site}: {came} exams, but {stayed} analysable and {left} excluded")
        reasons = excluded.reason[excluded.site == site].value_counts()
        rows.append((site, "catalogued", came))
        rows += [(site, str(reason), reasons[reason]) for reason in Reason if reason in reasons.index]
        rows.append((site, "analysable", stayed))
    return pd.DataFrame(rows, columns=["site", "step", "exams"])


def missing_counts(table: pd.DataFrame) -> pd.DataFrame:
    """``site, variable, exams, missing, share`` of the analysable exams."""
    names = [*VARIABLES, "fib4", "apri", "nfs", "steatosis"]
    counts = table[names].isna().groupby(table.site).sum().rename_axis(columns="variable")
    long = counts.reset_index().melt("site", var_name="variable", value_name="missing")
    exams = long.site.map(table.site.value_counts()).astype(int)
    long = long.assign(exams=exams, share=(long.missing / exams).round(4)).sort_values("site", kind="stable")
    return long[["site", "variable", "exams", "missing", "share"]]


def scanner_counts(table: pd.DataFrame) -> pd.DataFrame:
    """``site, vendor, model, field_t, exams`` of the analysable exams that have images."""
    columns = ["site", "vendor", "model", "field_t"]
    imaged = table[table.shard != ""]
    return imaged.groupby(columns, dropna=False).size().rename("exams").reset_index()
