"""A site's health record in standard names, codes and units, under pseudonyms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import pandas as pd

from liverstiff.cohort.units import target_factor, unit_factor, unit_factors
from liverstiff.cohort.variables import CODES, PLAUSIBLE, STANDARD_UNIT, check_variables, coded, plausible
from liverstiff.config import ColumnConfig, RecordConfig, TableConfig
from liverstiff.pseudonyms import patient_pseudonym, person_pseudonym
from liverstiff.record_tables import read_columns
from liverstiff.record_values import as_text, by_value, dates, failed_rules, numbers, row_dates


@dataclass(frozen=True)
class Record:
    """What the tables of a record say; a patient is a pseudonym, missing where the row has no number."""

    values: pd.DataFrame
    """``patient, date, variable, value`` in standard units; a coded value is the place of its code."""
    reported: pd.DataFrame
    """``patient, date, value, failed`` of the target; ``failed``: the rule that the row does not pass, or empty."""
    births: pd.DataFrame
    """``patient, date``."""
    biopsies: pd.DataFrame
    """``patient, date``."""
    persons: pd.DataFrame
    """``patient, person``, both pseudonyms."""
    known: pd.DataFrame
    """``patient``: everyone of whom there is a row."""
    faults: pd.DataFrame
    """``patient, what, detail``: what was left out."""


PARTS = {
    "values": ["patient", "date", "variable", "value"],
    "reported": ["patient", "date", "value", "failed"],
    "births": ["patient", "date"],
    "biopsies": ["patient", "date"],
    "persons": ["patient", "person"],
    "known": ["patient"],
    "faults": ["patient", "what", "detail"],
}
"""The columns of a record's parts."""


@dataclass(frozen=True)
class Rows:
    """One table while it is read."""

    table: TableConfig
    frame: pd.DataFrame
    """Its wanted columns, of the rows that count."""
    patient: pd.Series
    date: pd.Series
    site: str

    def where(self, column: str) -> str:
        """How messages call a column."""
        return f"{self.site}: column {column!r}"

    def days(self, column: str) -> pd.Series:
        """A column of dates."""
        return dates(self.frame[column], self.where(column), self.table.date_format, self.table.timezone)

    def dated(self, **columns: object) -> pd.DataFrame:
        """A table with a row per row."""
        return pd.DataFrame({"patient": self.patient, "date": self.date, **columns})


def read_record(
    files: Sequence[Path | None],
    config: RecordConfig,
    *,
    site: str,
    key: bytes,
    target_unit: str = "kPa",
    patients: pd.Index | None = None,
) -> Record:
    """A site's record.

    A value given as ``<5`` lies just below 5, ``>5`` just above. What is implausible becomes missing, and a fault.

    Args:
        files: the file of each table, None for a database.
        config: the site's ``record``.
        site: its name.
        key: key of the pseudonyms.
        target_unit: unit to which a reported value is brought.
        patients: the pseudonyms whose rows are wanted; left out, everyone's.

    Raises:
        DataError: unknown variable, unit or code, missing column, unreadable value; a column that holds elastography;
            or most values implausible, which a wrong unit would explain.
    """
    for table in config.sources:
        check_variables(table, site)
    parts: dict[str, list[pd.DataFrame]] = {name: [] for name in PARTS}
    for table, path in zip(config.sources, files, strict=True):
        for name, part in _read_table(table, path, config, site, key, target_unit, patients):
            parts[name].append(part)
    joined = {
        field.name: pd.concat(
            [part for part in parts[field.name] if len(part)] or [pd.DataFrame(columns=columns)], ignore_index=True
        )
        for field in fields(Record)
        for columns in [PARTS[field.name]]
    }
    return Record(**joined)


def _read_table(
    table: TableConfig,
    path: Path | None,
    config: RecordConfig,
    site: str,
    key: bytes,
    target_unit: str,
    patients: pd.Index | None,
) -> Iterator[tuple[str, pd.DataFrame]]:
    """The parts of a record that one table holds."""
    frame = read_columns(table, path, _wanted(table), site)
    patient = _pseudonyms(frame[str(table.patient)], site, key)
    nobody = int(patient.isna().sum())
    if nobody:
        yield "faults", _fault(None, "no_patient_number", f"{nobody} of {len(frame)} rows of a table, left out")
    keep = patient.notna() if patients is None else patient.isin(patients)
    frame, patient = frame[keep], patient[keep]
    yield "known", pd.DataFrame({"patient": patient.unique()})
    failed = failed_rules(frame, table.where, site, table.decimal)
    everything = Rows(table, frame, patient, row_dates(table, frame, config.assumed_date, site), site)
    if table.reported:
        yield "reported", _reported(everything, target_unit, failed)
    passed = failed == ""
    rows = Rows(table, frame[passed], patient[passed], everything.date[passed], site)
    undated = int(rows.date.isna().sum())
    if undated and table.date:
        said = f"{undated} of {len(frame)} rows of a table; of them only counts what does not change"
        yield "faults", _fault(None, "no_date", said)
    if table.long:  # a row without a value needs no unit
        given = as_text(rows.frame[table.long.value]).notna()
        measured = Rows(table, rows.frame[given], rows.patient[given], rows.date[given], site)
    for variable, column in table.columns.items():
        yield from _values(measured if table.long else rows, variable, column)
    if table.birth_date:
        yield (
            "births",
            rows.dated()[["patient"]].assign(date=rows.days(table.birth_date)),
        )
    if table.biopsy:
        drawn = rows.dated()[["patient"]].assign(date=rows.days(table.biopsy))
        yield "biopsies", drawn.dropna().drop_duplicates()
    if table.person:
        person = by_value(
            as_text(rows.frame[table.person]), lambda text: text.map(lambda one: person_pseudonym(key, one))
        )
        yield "persons", pd.DataFrame({"patient": rows.patient, "person": person}).dropna().drop_duplicates()


def _wanted(table: TableConfig) -> list[str]:
    """Names of all columns that are read."""
    names = [table.patient, table.date, table.birth_date, table.biopsy, table.person, *table.where]
    names += [table.reported.column] if table.reported else []
    names += [table.long.test, table.long.value, table.long.unit] if table.long else []
    names += [column.column for column in table.columns.values()]
    return [name for name in names if name]


def _pseudonyms(numbers_: pd.Series, site: str, key: bytes) -> pd.Series:
    """Patient numbers as pseudonyms; a row without a number belongs to nobody."""
    return by_value(
        as_text(numbers_), lambda text: text.map(lambda number: patient_pseudonym(key, site, number)).astype(object)
    )


def _values(rows: Rows, variable: str, column: ColumnConfig) -> Iterator[tuple[str, pd.DataFrame]]:
    """One variable of a wide or a long table, and its implausible values."""
    table, units = rows.table, None
    if table.long:
        mine = by_value(as_text(rows.frame[table.long.test]), lambda tests: tests.isin(column.tests)).eq(True)
        name = table.long.value
        where = f"{rows.where(name)}, {variable}"
        if not mine.any():
            said = f"{variable}: no row has a test {', '.join(column.tests)}"
            print(f"{rows.site}: {said}")
            yield "faults", _fault(None, "no_such_test", said)
        rows = Rows(table, rows.frame[mine], rows.patient[mine], rows.date[mine], rows.site)
        units = rows.frame[table.long.unit] if table.long.unit else None
    else:
        name = str(column.column)
        where = rows.where(name)
    raw = rows.frame[name]
    if variable in CODES:
        yield "values", _long(rows, variable, coded(raw, variable, column.codes, where))
        return
    if units is None:
        factor: pd.Series | float = unit_factor(variable, column.unit, where)
    else:
        factor = unit_factors(variable, units, column.unit, where)
    values = numbers(raw, where, table.decimal) * factor
    outside = plausible(values, variable, column.unit, where)
    yield "values", _long(rows, variable, values.where(~outside))
    if outside.any():
        low, high = PLAUSIBLE[variable]
        detail = f"{variable} outside {low:g} to {high:g} {STANDARD_UNIT[variable]}, left out".replace(" ,", ",")
        yield "faults", _fault(rows.patient[outside].drop_duplicates(), "implausible_value", detail)


def _long(rows: Rows, variable: str, values: pd.Series) -> pd.DataFrame:
    """The rows that hold a value."""
    return rows.dated(variable=variable, value=values)[values.notna()]


def _reported(rows: Rows, target_unit: str, failed: pd.Series) -> pd.DataFrame:
    """The reported values in the target's unit."""
    reported = rows.table.reported
    assert reported is not None
    where = rows.where(reported.column)
    values = numbers(rows.frame[reported.column], where, rows.table.decimal)
    return rows.dated(value=values * target_factor(target_unit, reported.unit, where), failed=failed)


def _fault(patients: pd.Series | None, what: str, detail: str) -> pd.DataFrame:
    rows = [None] if patients is None else list(patients)
    return pd.DataFrame({"patient": rows, "what": what, "detail": detail})
