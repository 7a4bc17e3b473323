"""The tables of a hospital's record as they come: CSV, Parquet, Excel, SAS transport or a query; patients and dates.

Read by the stage ``cohort``, and by the stage ``catalog`` for sites without images.
"""

from __future__ import annotations

import csv
import datetime as dt
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from liverstiff.config import RangeConfig, RecordConfig, Rule, TableConfig
from liverstiff.errors import ConfigError, DataError

DELIMITERS = (",", ";", "\t", "|")
DAYS = (
    r"^(?P<y>\d{4})-(?P<m>\d{2})-(?P<d>\d{2})$",
    r"^(?P<y>\d{4})(?P<m>\d{2})(?P<d>\d{2})$",
    r"^(?P<y>\d{4})/(?P<m>\d{2})/(?P<d>\d{2})$",
    r"^(?P<d>\d{1,2})\.(?P<m>\d{1,2})\.(?P<y>\d{4})$",
)
"""Dates whose order is beyond doubt."""
NUMBER = r"^(?:[<>]=?|≤|≥)?\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)$"
SAS_ZERO = 1e-70
"""pandas reads the zero of a SAS transport file as 5.4e-79."""


def record_files(records: Iterable[RecordConfig], files: Iterable[Path]) -> list[list[Path | None]]:
    """The file of every table of every record, None for a database, from the files in the order of the tables."""
    waiting = iter(files)
    return [[None if table.is_database else next(waiting) for table in record.sources] for record in records]


def read_columns(table: TableConfig, path: Path | None, wanted: Sequence[str], site: str) -> pd.DataFrame:
    """The wanted columns of a table, as they are stored; the index is the number of the row, from 1.

    Raises:
        DataError: a table that cannot be read, is empty, lacks a column or has it twice.
        ConfigError: a database without its password.
    """
    wanted = list(dict.fromkeys(wanted))
    suffix = path.name.lower().removesuffix(".gz").rpartition(".")[2] if path else "sql"
    read = {"parquet": _parquet, "xlsx": _excel, "xlsm": _excel, "xpt": _sas, "sql": _query}.get(suffix, _csv)
    try:
        frame = read(table, path, wanted, site)
    except (OSError, ValueError, LookupError) as fault:  # what libraries say may show a row
        raise DataError(f"{site}: the table cannot be read as {suffix or 'csv'} ({type(fault).__name__})") from None
    check_columns(list(frame.columns), wanted, site)
    if not len(frame):
        raise DataError(f"{site}: the table holds no rows; expected the site's health record; export it again")
    return frame[wanted].set_axis(pd.RangeIndex(1, len(frame) + 1))


def check_columns(columns: list[str], wanted: Sequence[str], site: str) -> None:
    """Every wanted column must be there once.

    Raises:
        DataError: otherwise.
    """
    counts = Counter(columns)
    for name in wanted:
        if not counts[name]:
            raise DataError(f"{site}: no column {name!r} in the record; expected one of {', '.join(map(str, columns))}")
        if counts[name] > 1:
            raise DataError(f"{site}: the column {name!r} is there {counts[name]} times; rename or remove one")


def _csv(table: TableConfig, path: Path | None, wanted: list[str], site: str) -> pd.DataFrame:
    """A CSV, every column as text."""
    import pyarrow as pa
    from pyarrow import csv as arrow

    assert path is not None
    delimiter = csv_delimiter(path, table, wanted, site)
    text = pa.dictionary(pa.int32(), pa.string())

    def read(threads: bool) -> pa.Table:
        return arrow.read_csv(
            path,
            read_options=arrow.ReadOptions(encoding=table.encoding, use_threads=threads),
            parse_options=arrow.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            convert_options=arrow.ConvertOptions(
                include_columns=wanted,
                column_types=dict.fromkeys(wanted, text),
                strings_can_be_null=True,
                null_values=[""],
            ),
        )

    try:
        return read(True).unify_dictionaries().to_pandas()
    except (pa.ArrowInvalid, UnicodeDecodeError) as fault:
        said = str(fault)
    try:  # one thread counts the lines
        read(False)
    except (pa.ArrowInvalid, UnicodeDecodeError) as fault:
        said = str(fault)
    raise DataError(f"{site}: {_csv_fault(said, table.encoding)}")


def _csv_fault(said: str, encoding: str) -> str:
    """What is wrong with a CSV, without the row that the library shows."""
    if "UTF8" in said or "utf-8" in said or "codec" in said:
        return f"the CSV is not in {encoding}; set encoding, e.g. latin-1"
    row = re.search(r"Row #(\d+): Expected (\d+) columns, got (\d+)", said)
    if row:
        return f"line {row[1]} of the CSV has {row[3]} columns, the header {row[2]}; correct it or set delimiter"
    return "the record is no readable CSV; export it again"


def csv_delimiter(path: Path, table: TableConfig, wanted: Sequence[str], site: str) -> str:
    """What separates the columns: as configured, else the only sign by which all wanted columns are found.

    Raises:
        DataError: an empty file, another encoding, no such sign, a column that is missing or there twice.
    """
    headers = csv_headers(path, table, site)
    complete = [sign for sign, names in headers.items() if set(wanted) <= set(names)]
    if not complete:
        most = max(headers, key=lambda sign: (len(set(wanted) & set(headers[sign])), len(headers[sign])))
        check_columns(headers[most], wanted, site)
    delimiter = complete[0]
    check_columns(headers[delimiter], wanted, site)
    if delimiter != ",":
        print(f"{site}: the columns of a table are separated by {delimiter!r}")
    return delimiter


def csv_headers(path: Path, table: TableConfig, site: str) -> dict[str, list[str]]:
    """Names of the columns by the sign that would separate them: the configured one, or each possible one."""
    import pyarrow as pa

    with pa.input_stream(path, compression="detect") as stream:
        start = stream.read(1 << 20)
    encoding = "utf-8-sig" if table.encoding.lower() in ("utf-8", "utf8") else table.encoding
    try:
        lines = start[: start.rfind(b"\n") + 1 or None].decode(encoding).splitlines()
    except (UnicodeDecodeError, LookupError):
        raise DataError(f"{site}: {_csv_fault('codec', table.encoding)}") from None
    if not "".join(lines).strip():
        raise DataError(f"{site}: the CSV is empty; expected the site's health record; export it again")
    signs = [table.delimiter] if table.delimiter else DELIMITERS
    return {sign: next(csv.reader(lines, delimiter=sign)) for sign in signs}


def _parquet(table: TableConfig, path: Path | None, wanted: list[str], site: str) -> pd.DataFrame:
    import pyarrow as pa
    from pyarrow import parquet

    schema = parquet.read_schema(path)
    check_columns(schema.names, wanted, site)
    texts = [name for name in wanted if pa.types.is_string(schema.field(name).type)]
    return parquet.read_table(path, columns=wanted, read_dictionary=texts).unify_dictionaries().to_pandas()


def _excel(table: TableConfig, path: Path | None, wanted: list[str], site: str) -> pd.DataFrame:
    rows = pd.read_excel(path, sheet_name=table.sheet or 0, header=None, dtype=object, keep_default_na=False)
    rows = rows.where(rows != "", None)
    if not len(rows):
        raise DataError(f"{site}: the sheet is empty; expected the site's health record; name another sheet")
    return rows.iloc[1:].set_axis([str(name) for name in rows.iloc[0]], axis=1)


def _sas(table: TableConfig, path: Path | None, wanted: list[str], site: str) -> pd.DataFrame:
    assert path is not None
    frame = pd.read_sas(path, format="xport", encoding=table.encoding)
    numeric = frame.select_dtypes("number").columns
    frame[numeric] = frame[numeric].where(frame[numeric].abs() > SAS_ZERO, 0.0).where(frame[numeric].notna())
    texts = frame.select_dtypes("object").columns
    frame[texts] = frame[texts].where(frame[texts] != "", None)
    return frame


def _query(table: TableConfig, path: Path | None, wanted: list[str], site: str) -> pd.DataFrame:
    """The rows of a query; nothing that is printed holds the password."""
    import sqlalchemy as sa

    url = sa.make_url(str(table.table))
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
        raise DataError(f"{site}: there is no such SQLite file; correct the path in table")
    if table.password_env:
        if table.password_env not in os.environ:
            raise ConfigError(f"{site}: no environment variable {table.password_env}; set it to the password")
        url = url.set(password=os.environ[table.password_env])
    try:
        engine = sa.create_engine(url)
        with engine.connect() as connection:
            return pd.read_sql_query(sa.text(str(table.query)), connection)
    except sa.exc.SQLAlchemyError as fault:
        cause = type(getattr(fault, "orig", None) or fault).__name__
        raise DataError(
            f"{site}: the query failed ({cause}); correct it, or see that the database can be reached"
        ) from None
    except ImportError:
        raise ConfigError(f"{site}: no driver for {url.drivername}; install it into the environment") from None


def by_value(values: pd.Series, convert: Callable[[pd.Series], pd.Series]) -> pd.Series:
    """``convert`` applied once to every different value; missing stays missing."""
    codes, different = pd.factorize(values)
    converted = convert(pd.Series(np.asarray(different, dtype=object), dtype=object))
    return converted.reindex(codes).set_axis(values.index)


def as_text(values: pd.Series) -> pd.Series:
    """Values as text: no blanks around, whole numbers without point; missing where nothing is left."""
    return by_value(values, lambda different: different.map(_text)).astype(object)


def _text(value: Any) -> str | None:
    if isinstance(value, float | np.floating) and float(value).is_integer():
        value = int(value)
    return str(value).strip() or None


def first_row(values: pd.Series, wrong: pd.Series) -> tuple[int, Any]:
    """Number of the first row that is wrong, and its value."""
    row = wrong.index[wrong.to_numpy(dtype=bool)][0]
    return int(row), values[row]


def numbers(values: pd.Series, where: str, decimal: str = ".", missing: Sequence[str] = ()) -> pd.Series:
    """Numbers as float; ``<5`` and ``>5`` become their limit.

    Raises:
        DataError: for text that is no number, with its row, and its value unless most of the column is no number.
    """
    if pd.api.types.is_numeric_dtype(values.dtype):
        return values.astype(float)
    text = as_text(values)
    found = by_value(text, lambda different: _parsed(different, decimal, missing))
    wrong = found.isna() & text.notna() & ~text.isin(missing)
    if wrong.any():
        row, value = first_row(text, wrong)
        if wrong.sum() > max(text.notna().sum() / 2, 1):
            shown, hint = "a value that", "is it the right column, are unit and decimal sign right?"
        else:
            shown, hint = repr(re.sub(r"\d(?=.*\d[./-]\d{4})", "9", value[:20])), "correct it or list it in missing"
        if re.fullmatch(r"[<>=≤≥\s-]*[\d.]*\d[.,]\d+", value) and decimal not in value:
            hint = f"its decimal sign is not {decimal!r}; set decimal"
        raise DataError(f"{where}: row {row}: {shown} is no number; {hint}")
    return found.astype(float)


def _parsed(text: pd.Series, decimal: str, missing: Sequence[str]) -> pd.Series:
    """Different texts as numbers, missing where one is none."""
    text = text.where(~text.isin(missing)).astype("string")
    if decimal == ",":
        text = text.where(~text.str.contains(".", regex=False)).str.replace(",", ".")
    return text.str.extract(NUMBER, expand=False).astype("Float64").astype(float)


def dates(values: pd.Series, where: str, date_format: str | None = None) -> pd.Series:
    """Days, from dates with or without a time of day.

    Raises:
        DataError: with the row and the shape of the date only, since dates are private.
    """
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        return values.dt.tz_localize(None).dt.normalize().astype("datetime64[ns]")
    text = as_text(values)
    found = by_value(text, lambda different: _days(different, date_format))
    wrong = found.isna() & text.notna()
    if wrong.any():
        row, value = first_row(text, wrong)
        shape = re.sub(r"\d", "9", re.sub(r"[^\W\d]", "x", value))[:20]
        if re.match(r"\d{1,2}/\d{1,2}/\d{4}", value) and date_format is None:
            hint = "day and month may be either; give date_format, e.g. %d/%m/%Y"
        else:
            hint = f"expected {date_format or '2024-05-31, 20240531, 2024/05/31 or 31.05.2024'}; see date_format"
        raise DataError(f"{where}: row {row}: a date of the form {shape!r}; {hint}")
    return found


def _days(text: pd.Series, date_format: str | None) -> pd.Series:
    """Different texts as days, missing where one is none."""
    if date_format == "sas":
        days = pd.to_numeric(text, errors="coerce") // 1
        return pd.to_datetime(days, unit="D", origin="1960-01-01", errors="coerce").astype("datetime64[ns]")
    day = text.str.split(r"[T ]", n=1, regex=True).str[0]
    if date_format is not None:
        found = pd.to_datetime(text, format=date_format, errors="coerce")
        return found.fillna(pd.to_datetime(day, format=date_format, errors="coerce")).dt.normalize()
    found = pd.Series(pd.NaT, index=text.index, dtype="datetime64[ns]")
    for pattern in DAYS:
        parts = day.astype("string").str.extract(pattern)
        joined = parts.y + "-" + parts.m.str.zfill(2) + "-" + parts.d.str.zfill(2)
        found = found.fillna(pd.to_datetime(joined, format="%Y-%m-%d", errors="coerce"))
    return found


def row_dates(table: TableConfig, frame: pd.DataFrame, assumed: dt.date | None, site: str) -> pd.Series:
    """The date of every row; where the table has none the assumed date, or none."""
    if table.date is None:
        return pd.Series(pd.Timestamp(assumed) if assumed else pd.NaT, index=frame.index, dtype="datetime64[ns]")
    return dates(frame[table.date], f"{site}: column {table.date!r}", table.date_format)


def failed_rule(values: pd.Series, name: str, rule: Rule, site: str) -> pd.Series:
    """By row, what it should be; empty where the value passes."""
    if isinstance(rule, RangeConfig):
        number = numbers(values, f"{site}: column {name!r}")
        low, high = (-np.inf if rule.min is None else rule.min), (np.inf if rule.max is None else rule.max)
        passed = number.between(low, high) & (number < (np.inf if rule.below is None else rule.below))
        passed |= number.isna() & rule.missing
        limits = {"at least": rule.min, "at most": rule.max, "below": rule.below}
        expected = " and ".join(f"{word} {limit:g}" for word, limit in limits.items() if limit is not None)
    else:
        passed = as_text(values).isin(rule)
        expected = " or ".join(rule)
    return pd.Series(np.where(passed, "", f"{name}: expected {expected or 'a value'}"), index=values.index)


def failed_rules(frame: pd.DataFrame, rules: dict[str, Rule], site: str) -> pd.Series:
    """By row, the first rule that it does not pass; empty where it passes all."""
    failed = pd.Series("", index=frame.index)
    for name, rule in rules.items():
        failed = failed.where(failed != "", failed_rule(frame[name], name, rule, site))
    return failed


def reported_exams(record: RecordConfig, files: Sequence[Path | None], site: str) -> pd.DataFrame:
    """The exams of a site without images: ``patient_id`` and ``date`` of the rows that may hold a reported value."""
    table, path = next((table, path) for table, path in zip(record.sources, files, strict=True) if table.reported)
    frame = read_columns(table, path, [name for name in (table.patient, table.date) if name], site)
    rows = pd.DataFrame(
        {"patient_id": as_text(frame[str(table.patient)]), "date": row_dates(table, frame, record.assumed_date, site)}
    )
    return rows.dropna().drop_duplicates().sort_values(["patient_id", "date"], ignore_index=True)
