"""The tables of a hospital's record as they come: CSV, Parquet, Excel, SAS transport or a query.

Read by the stage ``cohort``, and by the stage ``catalog`` for sites without images.
"""

from __future__ import annotations

import csv
import os
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from liverstiff.config import RecordConfig, TableConfig
from liverstiff.errors import ConfigError, DataError
from liverstiff.record_values import as_text, form, row_dates, without

DELIMITERS = (",", ";", "\t", "|")
SAS_ZERO = 1e-70
"""pandas reads the zero of a SAS transport file as 5.4e-79."""
UNREADABLE = (
    *(OSError, ValueError, LookupError, EOFError, SyntaxError, ImportError, NotImplementedError),
    *(csv.Error, zipfile.BadZipFile, zlib.error),
)
"""What libraries raise on a file that is damaged, or is not what its name says (an encrypted .xlsx)."""
NAMES_SHOWN, LONGEST_NAME = 30, 40
"""How many columns a message lists, and the longest name of one."""


def record_files(records: Iterable[RecordConfig], files: Iterable[Path]) -> list[list[Path | None]]:
    """The file of every table of every record, None for a database, from the files in the order of the tables."""
    waiting = iter(files)
    return [[None if table.is_database else next(waiting) for table in record.sources] for record in records]


def read_columns(table: TableConfig, path: Path | None, wanted: Sequence[str], site: str) -> pd.DataFrame:
    """The wanted columns of a table, as they are stored, less what stands for a missing value.

    The index is the number of the row, from 1.

    Raises:
        DataError: a table that cannot be read, is empty, lacks a column or has it twice.
        ConfigError: a database without its password.
    """
    wanted = list(dict.fromkeys(wanted))
    suffix = path.name.lower().removesuffix(".gz").rpartition(".")[2] if path else "sql"
    read = {"parquet": _parquet, "xlsx": _excel, "xlsm": _excel, "xpt": _sas, "sql": _query}.get(suffix, _csv)
    try:
        frame = read(table, path, wanted, site)
    except UNREADABLE as fault:  # what libraries say may show a row
        raise DataError(
            f"{site}: the table cannot be read as {suffix or 'csv'} ({type(fault).__name__}); "
            "export it again, whole and without a password"
        ) from None
    check_columns(list(frame.columns), wanted, site)
    if not len(frame):
        raise DataError(f"{site}: the table holds no rows; expected the site's health record; export it again")
    frame = frame[wanted].set_axis(pd.RangeIndex(1, len(frame) + 1))
    return frame.apply(without, missing=table.missing) if table.missing else frame


def check_columns(columns: list[str], wanted: Sequence[str], site: str) -> None:
    """Every wanted column must be there once.

    Raises:
        DataError: otherwise.
    """
    counts = Counter(columns)
    for name in wanted:
        if not counts[name]:
            raise DataError(f"{site}: no column {name!r} in the record; {_columns(columns, wanted)}")
        if counts[name] > 1:
            raise DataError(f"{site}: the column {name!r} is there {counts[name]} times; rename or remove one")


def _columns(columns: list[str], wanted: Sequence[str]) -> str:
    """The names of the columns, unless they may be the values of a patient: where a header is missing or damaged."""
    if not set(columns) & set(wanted):
        return f"nor any other that is asked for among the {len(columns)} of the first line; is there a header?"
    names = [name for name in map(str, columns) if len(name) <= LONGEST_NAME and "x" in form(name)][:NAMES_SHOWN]
    return f"expected one of {', '.join(names)}{', ...' if len(names) < len(columns) else ''}"


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
    try:
        return {sign: next(csv.reader(lines, delimiter=sign)) for sign in signs}
    except csv.Error:
        raise DataError(f"{site}: the first line of the CSV has a quote that is not closed; export it again") from None


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

    try:
        url = sa.make_url(str(table.table))
    except (sa.exc.ArgumentError, ValueError):  # what it says shows the URL
        raise ConfigError(
            f"{site}: table is no URL of a database; expected e.g. postgresql+psycopg://host/db"
        ) from None
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


def reported_exams(record: RecordConfig, files: Sequence[Path | None], site: str) -> pd.DataFrame:
    """The exams of a site without images: ``patient_id`` and ``date`` of the rows that may hold a reported value.

    Rows without a date that do hold one are one exam of the patient, whose date is missing.
    """
    table, path = next((table, path) for table, path in zip(record.sources, files, strict=True) if table.reported)
    assert table.reported is not None
    value = table.reported.column
    frame = read_columns(table, path, [name for name in (table.patient, table.date, value) if name], site)
    rows = pd.DataFrame(
        {"patient_id": as_text(frame[str(table.patient)]), "date": row_dates(table, frame, record.assumed_date, site)}
    )
    rows = rows[rows.patient_id.notna() & (rows.date.notna() | as_text(frame[value]).notna())]
    return rows.drop_duplicates().sort_values(["patient_id", "date"], ignore_index=True)
