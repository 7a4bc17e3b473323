"""What the cells of a health record say: texts, numbers, days, and whether a row passes a rule.

Messages never show what may be a person's: see :func:`shown`.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from liverstiff.config import RangeConfig, Rule, TableConfig
from liverstiff.errors import DataError

DAYS = (
    r"^(?P<y>\d{4})-(?P<m>\d{2})-(?P<d>\d{2})$",
    r"^(?P<y>\d{4})(?P<m>\d{2})(?P<d>\d{2})$",
    r"^(?P<y>\d{4})/(?P<m>\d{2})/(?P<d>\d{2})$",
    r"^(?P<d>\d{1,2})\.(?P<m>\d{1,2})\.(?P<y>\d{4})$",
)
"""Dates whose order is beyond doubt."""
OFFSET = r"[T ]\d{1,2}:\d{2}.*(?:Z|[+-]\d{2}(?::?\d{2})?)$"
"""A time of day with its offset from UTC."""
YEARS = (1678, 2261)
"""Years of which every day is one of pandas."""
NUMBER = r"^(?P<limit>[<>]=?|≤|≥)?\s*(?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)$"
BESIDE = 1e-12
"""By how much of it a value given as ``<x`` or ``>x`` lies beside x: less than any rounding, kept by every unit."""
PRIVATE = re.compile(r"\d{5}|\d([./-])\d+\1\d|\^|[^\W\d_]{5}|[^\W\d_]\s|\s[^\W\d_]|\b[A-Z][a-z]{2}")
"""What may be a number or date of a person, or a name: one long word, several words, one in capitals."""


def by_value(values: pd.Series, convert: Callable[[pd.Series], pd.Series]) -> pd.Series:
    """``convert`` applied once to every different value; missing stays missing."""
    codes, different = pd.factorize(values)
    converted = convert(pd.Series(np.asarray(different, dtype=object), dtype=object))
    return converted.reindex(codes).set_axis(values.index)


def as_text(values: pd.Series) -> pd.Series:
    """Values as text: no blanks around, whole numbers without point, days without time; missing where none is left."""
    return by_value(values, lambda different: different.map(_text)).astype(object)


def _text(value: Any) -> str | None:
    if isinstance(value, float | np.floating) and float(value).is_integer():
        value = int(value)
    if isinstance(value, dt.datetime) and value.tzinfo is None and value.time() == dt.time():
        value = value.date()
    return str(value).strip() or None


def without(values: pd.Series, missing: Sequence[str]) -> pd.Series:
    """The values less those whose text stands for a missing one."""
    gone = as_text(values).isin(missing)
    if not gone.any():
        return values
    return (values.astype("Int64") if pd.api.types.is_integer_dtype(values.dtype) else values).mask(gone)


def first_row(values: pd.Series, wrong: pd.Series) -> tuple[int, Any]:
    """Number of the first row that is wrong, and its value."""
    row = wrong.index[wrong.to_numpy(dtype=bool)][0]
    return int(row), values[row]


def mostly(wrong: pd.Series, given: pd.Series) -> bool:
    """True where more than half of the values are wrong: then the column is something else, and none is shown."""
    return bool(wrong.sum() > max(given.notna().sum() / 2, 1))


def shown(value: str) -> str:
    """A value in a message: as it is where it is short and can be nobody's name, number or date, else its form."""
    return repr(value) if len(value) <= 12 and not PRIVATE.search(value) else f"a value of the form {form(value)!r}"


def form(value: str) -> str:
    """A value with every letter and digit replaced."""
    return re.sub(r"\d", "9", re.sub(r"[^\W\d]", "x", value))[:20]


def numbers(values: pd.Series, where: str, decimal: str = ".") -> pd.Series:
    """Numbers as float; ``<5`` lies just below 5, ``>5`` just above, so that limits treat them as they are meant.

    Raises:
        DataError: for text that is no number, with its row, and its value unless most of the column is no number.
    """
    if pd.api.types.is_numeric_dtype(values.dtype):
        return values.astype(float)
    text = as_text(values)
    found = by_value(text, lambda different: _parsed(different, decimal))
    wrong = found.isna() & text.notna()
    if wrong.any():
        row, value = first_row(text, wrong)
        if mostly(wrong, text):
            said, hint = "a value that", "is it the right column, are unit and decimal sign right?"
        else:
            said, hint = shown(value), "correct it or list it in missing"
        if re.fullmatch(r"[<>=≤≥\s-]*[\d.]*\d[.,]\d+", value) and decimal not in value:
            hint = f"its decimal sign is not {decimal!r}; set decimal"
        raise DataError(f"{where}: row {row}: {said} is no number; {hint}")
    return found.astype(float)


def _parsed(text: pd.Series, decimal: str) -> pd.Series:
    """Different texts as numbers, missing where one is none."""
    text = text.astype("string")
    if decimal == ",":
        text = text.where(~text.str.contains(".", regex=False)).str.replace(",", ".")
    parts = text.str.extract(NUMBER)
    number = parts.number.astype("Float64").astype(float)
    beside = number.abs().where(number != 0, 1.0) * BESIDE
    return number + beside * parts.limit.astype(object).map({"<": -1.0, ">": 1.0}).astype(float).fillna(0.0)


def dates(values: pd.Series, where: str, date_format: str | None = None, timezone: str | None = None) -> pd.Series:
    """Days, from dates with or without a time of day; of times with an offset from UTC the day in ``timezone``.

    Raises:
        DataError: with the row and the shape of the date only, since dates are private; times with an offset where no
            ``timezone`` is given, as their day depends on it.
    """
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        if values.dt.tz is not None:
            _check_zone(values.notna(), where, timezone)
            values = values.dt.tz_convert(timezone).dt.tz_localize(None)
        beyond = values.notna() & ~values.dt.year.between(*YEARS)
        if beyond.any():
            raise _no_day(as_text(values), beyond, where, date_format)
        return values.dt.normalize().astype("datetime64[ns]")
    text = as_text(values)
    if date_format != "sas":
        _check_zone(by_value(text, lambda different: _aware(different, date_format)).eq(True), where, timezone)
    found = by_value(text, lambda different: _days(different, date_format, timezone))
    wrong = found.isna() & text.notna()
    if wrong.any():
        raise _no_day(text, wrong, where, date_format)
    return found


def _check_zone(aware: pd.Series, where: str, timezone: str | None) -> None:
    """Raises: DataError for times with an offset whose day is not told."""
    if aware.any() and timezone is None:
        row, _ = first_row(aware, aware)
        raise DataError(
            f"{where}: row {row}: a time with an offset from UTC, whose day depends on the place; "
            "give timezone, e.g. Europe/Berlin"
        )


def _no_day(text: pd.Series, wrong: pd.Series, where: str, date_format: str | None) -> DataError:
    row, value = first_row(text, wrong)
    if re.match(r"\d{1,2}/\d{1,2}/\d{4}", value) and date_format is None:
        hint = "day and month may be either; give date_format, e.g. %d/%m/%Y"
    else:
        usual = "2024-05-31, 20240531, 2024/05/31 or 31.05.2024"
        hint = f"expected {date_format or usual}; see date_format, or list it in missing"
    return DataError(f"{where}: row {row}: a date of the form {form(value)!r}; {hint}")


def _aware(text: pd.Series, date_format: str | None) -> pd.Series:
    """True for texts that hold an offset from UTC."""
    return text.astype("string").str.contains(OFFSET) | ("%z" in (date_format or ""))


def _days(text: pd.Series, date_format: str | None, timezone: str | None) -> pd.Series:
    """Different texts as days, missing where one is none."""
    if date_format == "sas":
        days = pd.to_numeric(text, errors="coerce") // 1
        return pd.to_datetime(days, unit="D", origin="1960-01-01", errors="coerce").astype("datetime64[ns]")
    aware = _aware(text, date_format).to_numpy(bool)
    found = pd.Series(pd.NaT, index=text.index, dtype="datetime64[ns]")
    times = pd.to_datetime(text[aware], format=date_format or "ISO8601", errors="coerce", utc=True)
    found[aware] = times.dt.tz_convert(timezone).dt.tz_localize(None)
    text = text[~aware]
    day = text.str.split(r"[T ]", n=1, regex=True).str[0]
    if date_format is not None:
        for one in (text, day):
            found = found.fillna(pd.to_datetime(one, format=date_format, errors="coerce"))
        return found.dt.normalize()
    for pattern in DAYS:
        parts = day.astype("string").str.extract(pattern)
        joined = parts.y + "-" + parts.m.str.zfill(2) + "-" + parts.d.str.zfill(2)
        found = found.fillna(pd.to_datetime(joined, format="%Y-%m-%d", errors="coerce"))
    return found.dt.normalize()


def row_dates(table: TableConfig, frame: pd.DataFrame, assumed: dt.date | None, site: str) -> pd.Series:
    """The date of every row; where the table has none the assumed date, or none."""
    if table.date is None:
        return pd.Series(pd.Timestamp(assumed) if assumed else pd.NaT, index=frame.index, dtype="datetime64[ns]")
    return dates(frame[table.date], f"{site}: column {table.date!r}", table.date_format, table.timezone)


def failed_rule(values: pd.Series, name: str, rule: Rule, site: str, decimal: str = ".") -> pd.Series:
    """By row, what it should be; empty where the value passes."""
    if isinstance(rule, RangeConfig):
        number = numbers(values, f"{site}: column {name!r}", decimal)
        low, high = (-np.inf if rule.min is None else rule.min), (np.inf if rule.max is None else rule.max)
        passed = number.between(low, high) & (number < (np.inf if rule.below is None else rule.below))
        passed |= number.isna() & rule.missing
        limits = {"at least": rule.min, "at most": rule.max, "below": rule.below}
        expected = " and ".join(f"{word} {limit:g}" for word, limit in limits.items() if limit is not None)
    else:
        passed = as_text(values).isin(rule)
        expected = " or ".join(rule)
    return pd.Series(np.where(passed, "", f"{name}: expected {expected or 'a value'}"), index=values.index)


def failed_rules(frame: pd.DataFrame, rules: dict[str, Rule], site: str, decimal: str = ".") -> pd.Series:
    """By row, the first rule that it does not pass; empty where it passes all."""
    failed = pd.Series("", index=frame.index)
    for name, rule in rules.items():
        failed = failed.where(failed != "", failed_rule(frame[name], name, rule, site, decimal))
    return failed
