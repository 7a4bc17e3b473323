"""A site's health record in standard names and units, and the values nearest to an exam.

Factors between units: 1 U = 1 umol/min, so 1 ukat/L = 60 U/L (exact). Bilirubin has 584.66 g/mol, so 1 mg/dL =
17.104 umol/L. Gpt/L (giga particles) = 10^9/L = 10^3/uL = 1/nL. A month is 1/12 of a year.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd

from liverstiff.config import ColumnConfig, RecordConfig
from liverstiff.errors import DataError
from liverstiff.pseudonyms import patient_pseudonym

ENZYME = {"u/l": 1.0, "iu/l": 1.0, "ukat/l": 60.0, "nkat/l": 0.06}
UNITS: dict[str, dict[str, float]] = {
    "age": {"y": 1.0, "a": 1.0, "mo": 1 / 12},
    "bmi": {"kg/m2": 1.0},
    "ast": ENZYME,
    "alt": ENZYME,
    "ggt": ENZYME,
    "platelets": {"10^9/l": 1.0, "gpt/l": 1.0, "10^3/ul": 1.0, "k/ul": 1.0, "1/nl": 1.0, "1/ul": 1e-3},
    "albumin": {"g/dl": 1.0, "g/l": 0.1},
    "bilirubin": {"mg/dl": 1.0, "mg/l": 0.1, "umol/l": 1 / 17.104},
    "inr": {"": 1.0, "1": 1.0},
    "pdff": {"%": 1.0, "fraction": 100.0},
}
"""Factor from a unit (lower case) to the standard unit: y, kg/m2, U/L, 10^9/L, g/dL, mg/dL, ratio, %."""

CODES = {"sex": ("female", "male"), "diabetes": ("0", "1")}
"""The variables that are coded, and their standard codes."""

VARIABLES = ("age", "sex", "bmi", "diabetes", "ast", "alt", "ggt", "platelets", "albumin", "bilirubin", "inr", "pdff")

PLAUSIBLE = {
    "age": (0, 120),
    "bmi": (8, 100),
    "ast": (0.5, 20000),
    "alt": (0.5, 20000),
    "ggt": (0.5, 10000),
    "platelets": (1, 2000),
    "albumin": (0.5, 10),
    "bilirubin": (0.02, 80),
    "inr": (0.5, 20),
    "pdff": (0, 100),
}
"""Values a living patient can have, in standard units; others become missing."""

FROM_ELASTOGRAPHY = re.compile(r"stiff|steif|elasto|fibroscan|vcte|(?<![a-z])(kpa|lsm|swe|mre)(?![a-z])", re.IGNORECASE)
NUMBER = r"^(?:[<>]=?|≤|≥)?\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)$"
DATE_FORMATS = ("%Y-%m-%d", "%Y%m%d", "%d.%m.%Y")


def read_record(path: Path, config: RecordConfig, *, site: str, key: bytes) -> pd.DataFrame:
    """A site's record: ``patient`` (pseudonym), ``date``, and the variables it has, in standard units.

    A value given as ``<5`` or ``>5`` counts as the limit, 5. What is implausible becomes missing, counted in the log.

    Raises:
        DataError: unknown variable, unit or code, missing column, unreadable value; a column that holds elastography;
            or most values implausible, which a wrong unit would explain.
    """
    table = _read_text(path, config, site)
    record = pd.DataFrame(
        {
            "patient": _pseudonyms(table[config.patient], site, key),
            "date": _dates(table[config.date], f"{site}: column {config.date!r}"),
        }
    )
    for variable, column in config.columns.items():
        where = f"{site}: column {column.column!r}"
        if variable in CODES:
            record[variable] = coded(table[column.column], variable, column.codes, where)
        else:
            values = numbers(table[column.column], where) * unit_factor(variable, column.unit, where)
            record[variable] = plausible(values, variable, column, where)
    undated = int(record.date.isna().sum())
    if undated:
        print(f"{site}: {undated} of {len(record)} record rows have no date and cannot be matched")
    return record


def _read_text(path: Path, config: RecordConfig, site: str) -> pd.DataFrame:
    """The wanted columns as text, after the checks of names."""
    for variable, column in config.columns.items():
        if FROM_ELASTOGRAPHY.search(variable) or FROM_ELASTOGRAPHY.search(column.column):
            raise DataError(
                f"{site}: column {column.column!r} for {variable!r} looks like elastography, which is what is to be "
                "predicted; remove it from the record's columns"
            )
        if variable not in VARIABLES:
            raise DataError(f"{site}: unknown variable {variable!r}; one of {', '.join(VARIABLES)}")
    try:
        table = pd.read_csv(path, dtype=str, encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as fault:
        raise DataError(f"{site}: the record is no readable CSV in UTF-8 ({type(fault).__name__})") from None
    wanted = [config.patient, config.date, *(column.column for column in config.columns.values())]
    missing = [name for name in wanted if name not in table]
    if missing:
        raise DataError(f"{site}: no column {missing[0]!r} in the record; expected one of {', '.join(table.columns)}")
    return table


def _pseudonyms(patients: pd.Series, site: str, key: bytes) -> pd.Series:
    """Patient numbers as pseudonyms; a row without a number belongs to nobody."""
    patients = patients.str.strip()
    return patients.map({number: patient_pseudonym(key, site, number) for number in patients.dropna().unique()})


def _dates(text: pd.Series, where: str) -> pd.Series:
    """Dates as 2024-05-31, 20240531 or 31.05.2024, with or without a time of day.

    Raises:
        DataError: with the shape of the date only, since dates are private.
    """
    day = text.str.strip().str.split(r"[T ]", n=1, regex=True).str[0]
    dates = pd.Series(pd.NaT, index=text.index, dtype="datetime64[ns]")
    for form in DATE_FORMATS:
        dates = dates.fillna(pd.to_datetime(day, format=form, errors="coerce"))
    wrong = day[dates.isna() & day.notna()]
    if len(wrong):
        shape = re.sub(r"\d", "9", re.sub(r"[^\W\d]", "x", wrong.iloc[0]))[:20]
        raise DataError(f"{where}: a date of the form {shape!r}; expected 2024-05-31, 20240531 or 31.05.2024")
    return dates


def numbers(text: pd.Series, where: str) -> pd.Series:
    """Numbers; ``<5`` and ``>5`` become their limit.

    Raises:
        DataError: for text that is no number.
    """
    text = text.str.strip()
    found = text.str.extract(NUMBER, expand=False)
    wrong = text[found.isna() & text.notna() & (text != "")]
    if len(wrong):
        raise DataError(f"{where}: {wrong.iloc[0][:40]!r} is no number; correct the table or leave the cell empty")
    return found.astype(float)


def unit_factor(variable: str, unit: str | None, where: str) -> float:
    """Factor from a site's unit to the standard unit of a variable.

    Raises:
        DataError: for a unit that is not in the table.
    """
    known = UNITS[variable]
    name = (unit or "").lower().replace(" ", "").replace("µ", "u").replace("μ", "u").replace("²", "2")
    if name not in known:
        said = f"unit {unit!r}" if unit else "no unit"
        raise DataError(f"{where}: {said} for {variable}; expected one of {', '.join(filter(None, known))}")
    return known[name]


def coded(text: pd.Series, variable: str, codes: dict[str, str] | None, where: str) -> pd.Series:
    """A coded variable in standard codes; ``diabetes`` as 0 and 1.

    Raises:
        DataError: for a value without a code.
    """
    standard = CODES[variable]
    codes = codes or {code: code for code in standard}
    wrong_codes = sorted(set(codes.values()) - set(standard))
    if wrong_codes:
        raise DataError(f"{where}: code {wrong_codes[0]!r} for {variable}; expected one of {', '.join(standard)}")
    text = text.str.strip()
    found = text.map(codes)
    wrong = text[found.isna() & text.notna() & (text != "")]
    if len(wrong):
        raise DataError(
            f"{where}: {wrong.iloc[0][:40]!r} has no code for {variable}; the codes are {', '.join(codes)}; add it"
        )
    return found.astype(float) if variable == "diabetes" else found


def plausible(values: pd.Series, variable: str, column: ColumnConfig, where: str) -> pd.Series:
    """Values outside the plausible range become missing.

    Raises:
        DataError: when that is more than half of at least ten values: the unit is likely wrong.
    """
    low, high = PLAUSIBLE[variable]
    outside = values.notna() & ~values.between(low, high)
    count, given = int(outside.sum()), int(values.notna().sum())
    if count:
        print(f"{where}: {count} of {given} values of {variable} outside {low} to {high}, set to missing")
    if given >= 10 and count > given / 2:
        raise DataError(
            f"{where}: {count} of {given} values of {variable} outside {low} to {high}, e.g. "
            f"{values[outside].iloc[0]:g}; is the unit {column.unit!r} right?"
        )
    return values.where(~outside)


def nearest_values(exams: pd.DataFrame, record: pd.DataFrame, *, days_before: int, days_after: int) -> pd.DataFrame:
    """For each exam and variable the value drawn nearest to the exam, within a window.

    Args:
        exams: ``exam``, ``patient``, ``study_date``.
        record: ``patient``, ``date`` and variables.
        days_before: how many days before the exam a value may be drawn; both ends count.
        days_after: how many days after.

    Returns:
        Variables by ``exam``, in the order of ``exams``; of two values equally near, the one before the exam.
    """
    pairs = exams[["exam", "patient", "study_date"]].merge(record, on="patient")
    pairs["apart"] = (pairs.date - pairs.study_date).dt.days
    pairs = pairs[pairs.apart.between(-days_before, days_after)]
    pairs = pairs.assign(distance=pairs.apart.abs()).sort_values(["distance", "apart"], kind="stable")
    variables = [name for name in record if name not in ("patient", "date")]
    return pairs.groupby("exam", sort=False)[variables].first().reindex(exams.exam)


def fib4(age: pd.Series, ast: pd.Series, alt: pd.Series, platelets: pd.Series) -> pd.Series:
    """FIB-4 = age x AST / (platelets x sqrt(ALT)) with y, U/L, 10^9/L (Sterling et al., Hepatology 2006)."""
    return age * ast / (platelets * np.sqrt(alt))


def apri(ast: pd.Series, platelets: pd.Series, upper_limit: float = 40.0) -> pd.Series:
    """APRI = (AST / upper limit of normal) / platelets x 100 with U/L, 10^9/L (Wai et al., Hepatology 2003)."""
    return ast / upper_limit / platelets * 100
