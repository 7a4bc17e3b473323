"""The health record of a site: its tables, how they are read, and what their columns mean."""

from __future__ import annotations

import codecs
import datetime as dt
import re
import zoneinfo
from typing import Annotated, Any, Literal
from urllib.parse import unquote

from pydantic import BeforeValidator, Field, model_validator

from liverstiff.config.section import SIMULATE, Section


def _quoted(code: Any) -> Any:
    if isinstance(code, bool):
        raise ValueError("YAML reads yes, no, on, off without quotes as true or false; put quotes around the code")
    return code


Code = Annotated[str, Field(coerce_numbers_to_str=True), BeforeValidator(_quoted)]

SHARED = ("password_env", "delimiter", "encoding", "decimal", "patient", "date", "date_format", "timezone", "missing")
"""What a table leaves out is taken from the record."""
OWN = ("table", "query", "sheet", "columns", "long", "where", "birth_date", "biopsy", "person", "reported")
"""What of several tables each says for itself."""
PASSWORD = re.compile(r"://[^/@:]*:.*@|[?&;][^=&;]*(password|passwd|pwd)[^=&;]*=", re.IGNORECASE)
"""A password in a URL: before the host, or among what follows the question mark."""


class ColumnConfig(Section):
    """How one variable is read."""

    column: str | None = None
    """Name of the column in a wide table."""
    tests: tuple[Code, ...] = ()
    """Names of the variable in the column `long.test` of a long table."""
    unit: str | None = None
    """Unit of its values, e.g. `U/L`, `ukat/L`, `mg/dL`; empty for values without one. In a long table it stands for
    rows without a unit."""
    codes: dict[Code, Code] | None = None
    """What the column's codes mean, e.g. `{F: female, M: male}` or `{"yes": "1", "no": "0"}`."""

    @model_validator(mode="after")
    def _one_place(self) -> ColumnConfig:
        if (self.column is None) == (not self.tests):
            raise ValueError("give either column, of a wide table, or tests, of a long one")
        return self


class LongConfig(Section):
    """The columns of a long table: a row per patient, time and test."""

    test: str
    """Column with the name or code of the test."""
    value: str
    """Column with the value."""
    unit: str | None = None
    """Column with the unit of the row."""


class RangeConfig(Section):
    """Values that pass: within all limits that are given."""

    min: float | None = None
    """Smallest value that passes."""
    max: float | None = None
    """Largest value that passes."""
    below: float | None = None
    """Values below this pass."""
    missing: bool = False
    """A missing value passes too."""


Rule = tuple[Code, ...] | RangeConfig
"""The codes that pass, or a range."""


class ReportedConfig(Section):
    """The column with a reported value of the target."""

    column: str
    """Name of the column."""
    unit: str | None = None
    """Unit of its values; left out, that of the target."""


def _known(encoding: str) -> bool:
    try:
        codecs.lookup(encoding)
    except LookupError:
        return False
    return True


def _is_zone(name: str) -> bool:
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


class TableConfig(Section):
    """One table of a record. What is left out here is taken from the record; `date: null` and the like take nothing."""

    table: str | None = None
    """Path of a CSV, Parquet, Excel (.xlsx) or SAS transport (.xpt) file, the URL of a database as SQLAlchemy takes it,
    or `simulate`."""
    query: str | None = None
    """SQL query whose rows are the table, where `table` is the URL of a database."""
    password_env: str | None = None
    """Environment variable that holds the password of the database."""
    delimiter: str | None = Field(None, min_length=1, max_length=1)
    """What separates the columns of a CSV; left out, the one of `,` `;` tab `|` by which all columns are found."""
    encoding: str = "utf-8"
    """Encoding of a CSV, e.g. `latin-1`."""
    decimal: Literal[".", ","] = "."
    """Decimal sign of numbers that are text."""
    sheet: str | None = None
    """Sheet of an Excel file; left out, the first."""
    patient: str | None = None
    """Column with the patient's number, the same as PatientID in DICOM."""
    date: str | None = None
    """Column with the date of the values; a table without one may hold what does not change."""
    date_format: str | None = None
    """Order of the dates as in `%d/%m/%Y`, or `sas` for days since 1960; left out, `2024-05-31`, `20240531`,
    `2024/05/31` and `31.05.2024` are read."""
    timezone: str | None = None
    """Time zone of the hospital, e.g. `Europe/Berlin`: of times with an offset from UTC the day there counts."""
    missing: tuple[Code, ...] = ()
    """Texts that stand for a missing value, e.g. `n/a`."""
    where: dict[str, Rule] = Field({})
    """Rows that are read, by column: the codes, or a range, that pass."""
    columns: dict[str, ColumnConfig] = Field({})
    """Where each variable is found: age, sex, height, weight, bmi, diabetes, aetiology, ast, alt, alp, ggt, platelets,
    albumin, bilirubin, inr, creatinine, pdff."""
    long: LongConfig | None = None
    """The columns of a long table; left out, the table is wide."""
    birth_date: str | None = None
    """Column with the date of birth, from which the age follows where none is given."""
    biopsy: str | None = None
    """Column with the date of a liver biopsy; values drawn after it do not count."""
    person: str | None = None
    """Column with a number that is the same at all sites (national or enterprise): the same person is one patient."""
    reported: ReportedConfig | None = None
    """Where a reported value of the target is found."""

    @property
    def is_database(self) -> bool:
        """True for the URL of a database."""
        return "://" in (self.table or "")

    @property
    def is_file(self) -> bool:
        """True for a file that lies there before the run."""
        return not self.is_database and self.table != SIMULATE

    def mistake(self) -> str:
        """What is wrong with the table once it is filled; empty when nothing is."""
        if self.table is None:
            return "no table; give the path of a file or the URL of a database"
        if self.patient is None:
            return "no patient; name the column with the patient's number"
        if not _known(self.encoding):
            return f"encoding {self.encoding!r} is unknown; expected e.g. utf-8, latin-1 or cp1252"
        if self.is_database != (self.query is not None):
            return "a database needs a query, and only a database has one; correct table or query"
        if self.timezone is not None and not _is_zone(self.timezone):
            return f"timezone {self.timezone!r} is unknown; expected e.g. Europe/Berlin"
        if self.is_database and PASSWORD.search(unquote(self.table)):
            return "a password in the URL; put it into an environment variable and name that in password_env"
        for name, column in self.columns.items():
            if bool(column.tests) != (self.long is not None):
                return f"columns.{name}: tests belong to a long table, column to a wide one; correct it"
        return ""


class RecordConfig(TableConfig):
    """A site's health record: one table, or several."""

    tables: tuple[TableConfig, ...] = ()
    """Several tables that share the patient's number; each holds its own columns."""
    assumed_date: dt.date | None = None
    """Date of all rows of the tables without a column `date`, for a survey with one visit."""

    @property
    def sources(self) -> tuple[TableConfig, ...]:
        """The tables, each complete."""
        return self.tables or (self,)

    @property
    def has_reported(self) -> bool:
        """True when a table holds a reported value of the target."""
        return any(table.reported for table in self.sources)

    @model_validator(mode="before")
    @classmethod
    def _filled(cls, given: Any) -> Any:
        """Every table with what it leaves out taken from the record."""
        if not isinstance(given, dict) or not isinstance(given.get("tables"), list | tuple):
            return given
        shared = {name: given[name] for name in SHARED if name in given}
        return given | {"tables": [shared | one if isinstance(one, dict) else one for one in given["tables"]]}

    @model_validator(mode="after")
    def _complete(self) -> RecordConfig:
        own = [name for name in OWN if getattr(self, name)]
        if self.tables and own:
            raise ValueError(f"tables and {own[0]}; write {own[0]} into one of the tables")
        for place, table in enumerate(self.sources):
            where = f"tables.{place}: " if self.tables else ""
            mistake = table.mistake() or self._undated(table)
            if mistake:
                raise ValueError(where + mistake)
        if sum(table.reported is not None for table in self.sources) > 1:
            raise ValueError("several tables with a reported value; give one")
        return self

    def _undated(self, table: TableConfig) -> str:
        """What a table without dates may not hold."""
        if table.date is not None or self.assumed_date is not None:
            return ""
        changing = sorted(set(table.columns) - {"sex", "height"}) + ["reported"] * (table.reported is not None)
        return f"{changing[0]} without a date; name the column date, or give assumed_date" if changing else ""
