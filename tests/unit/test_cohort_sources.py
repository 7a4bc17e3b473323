"""The same record from every kind of source, wide and long, in one table and in several."""

import sqlite3

import pandas as pd
import pytest
import sqlalchemy as sa
from made_cohort import AST, KEY, column, config, of, read

from liverstiff.cohort import read_record
from liverstiff.config import RecordConfig
from liverstiff.errors import ConfigError, DataError

TABLE = pd.DataFrame(
    {
        "MRN": ["007", "8"],
        "DATE": ["2023-05-04", "2023-05-05"],
        "SEX": ["F", None],
        "AST": ["40", "<50"],
        "X": ["a", "b"],
    }
)
TYPED = TABLE.assign(MRN=[7, 8], DATE=pd.to_datetime(TABLE.DATE), AST=[40.0, 50.5])
COLUMNS = AST | {"sex": {"column": "SEX", "codes": {"F": "female", "M": "male"}}}


def check(record, first="007", second=50.0):
    """What every source must give."""
    assert record.known.patient.tolist() == [of(first), of("8")]
    assert column(record, "ast") == [40, pytest.approx(second)]
    assert column(record, "sex") == [0]
    assert record.values.date.tolist()[:2] == [pd.Timestamp("2023-05-04"), pd.Timestamp("2023-05-05")]


def of_file(path, columns=COLUMNS, **given):
    return read_record([path], config(columns, **given), site="alba", key=KEY)


def test_csv_plain_and_packed(tmp_path):
    check(read(tmp_path, TABLE.to_csv(index=False), COLUMNS))
    TABLE.to_csv(tmp_path / "record.csv.gz", index=False)
    check(of_file(tmp_path / "record.csv.gz"))
    quoted = TABLE.assign(X=['a "b", c', "two\nlines"])
    check(read(tmp_path, quoted.to_csv(index=False), COLUMNS))


@pytest.mark.parametrize(("table", "expected"), [(TABLE, ("007", 50.0)), (TYPED, ("7", 50.5))])
def test_parquet(tmp_path, table, expected):
    table.to_parquet(tmp_path / "record.parquet")
    check(of_file(tmp_path / "record.parquet"), *expected)
    with pytest.raises(DataError, match="no column 'ALT'"):
        of_file(tmp_path / "record.parquet", {"alt": {"column": "ALT", "unit": "U/L"}})


@pytest.mark.parametrize(("table", "expected"), [(TABLE, ("007", 50.0)), (TYPED, ("7", 50.5))])
def test_excel(tmp_path, table, expected):
    path = tmp_path / "record.xlsx"
    with pd.ExcelWriter(path) as book:
        TABLE[:0].to_excel(book, sheet_name="notes", index=False)
        table.to_excel(book, sheet_name="lab", index=False)
    check(of_file(path, sheet="lab"), *expected)
    with pytest.raises(DataError, match="no rows"):
        of_file(path)
    with pytest.raises(DataError, match="cannot be read as xlsx"):
        of_file(path, sheet="nowhere")
    twice = pd.concat([table, table[["AST"]]], axis=1)
    twice.to_excel(tmp_path / "twice.xlsx", index=False)
    with pytest.raises(DataError, match="'AST' is there 2 times"):
        of_file(tmp_path / "twice.xlsx")


@pytest.mark.parametrize("name", ["record.parquet", "record.xlsx", "record.xpt"])
def test_a_file_that_is_none(tmp_path, name):
    (tmp_path / name).write_bytes(b"MRN,DATE\n")
    with pytest.raises(DataError, match=f"cannot be read as {name.split('.')[1]}"):
        of_file(tmp_path / name)


def by_query(url, query="select MRN, DATE, SEX, AST from lab", **given):
    return read_record([None], config(COLUMNS, table=url, query=query, **given), site="alba", key=KEY)


def test_sqlite(tmp_path):
    path = tmp_path / "record.sqlite"
    with sqlite3.connect(path) as connection:
        TABLE.to_sql("lab", connection, index=False)
    check(by_query(f"sqlite:///{path}"))
    for query, message in (("select * from nowhere", "failed"), ("select MRN from lab", "no column 'DATE'")):
        with pytest.raises(DataError, match=message) as fault:
            by_query(f"sqlite:///{path}", query)
        assert "\n" not in str(fault.value)
    with pytest.raises(DataError, match="'AST' is there 2 times"):
        by_query(f"sqlite:///{path}", "select *, AST from lab")
    with pytest.raises(DataError, match="no such SQLite file"):
        by_query(f"sqlite:///{tmp_path}/absent.sqlite")
    assert not (tmp_path / "absent.sqlite").exists()


@pytest.fixture(scope="module")
def postgres(tmp_path_factory):
    """Address of a PostgreSQL server that asks for a password."""
    import pgserver

    folder = tmp_path_factory.mktemp("postgres")
    with pgserver.get_server(folder / "data", cleanup_mode="stop") as server:
        url = sa.make_url(server.get_uri()).set(drivername="postgresql+psycopg")
        engine = sa.create_engine(url)
        with engine.begin() as connection:
            TYPED.rename(columns=str.lower).to_sql("lab", connection, index=False)
            connection.execute(sa.text("create role reader login password 'not-for-eyes'"))
            connection.execute(sa.text("grant select on lab to reader"))
        rules = folder / "data" / "pg_hba.conf"
        rules.write_text("local all reader scram-sha-256\n" + rules.read_text())
        with engine.connect() as connection:
            connection.execute(sa.text("select pg_reload_conf()"))
        engine.dispose()
        yield sa.URL.create(url.drivername, "reader", database=url.database, query=url.query).render_as_string()


QUERY = """select mrn as "MRN", date as "DATE", sex as "SEX", ast as "AST" from lab order by mrn"""


def test_postgresql_with_a_password_from_the_environment(postgres, monkeypatch):
    monkeypatch.setenv("LIVER_PASSWORD", "not-for-eyes")
    check(by_query(postgres, QUERY, password_env="LIVER_PASSWORD"), "7", 50.5)
    with pytest.raises(DataError, match="failed"):
        by_query(postgres, "insert into lab values (1)", password_env="LIVER_PASSWORD")


def test_a_password_that_is_wrong_or_absent_is_never_shown(postgres, monkeypatch, capsys):
    monkeypatch.setenv("LIVER_PASSWORD", "wrong-secret")
    with pytest.raises(DataError, match="the query failed") as fault:
        by_query(postgres, QUERY, password_env="LIVER_PASSWORD")
    assert "wrong-secret" not in str(fault.value) + "".join(capsys.readouterr())
    monkeypatch.delenv("LIVER_PASSWORD")
    with pytest.raises(ConfigError, match="no environment variable LIVER_PASSWORD"):
        by_query(postgres, QUERY, password_env="LIVER_PASSWORD")


LONG = """PID,WHEN,TEST,VALUE,UNIT
1,2023-05-04 08:00,ASAT,0.5,ukat/L
1,2023-05-04 08:00,ALAT,30,U/L
1,2023-05-05,GOT,40,
2,2023-05-04,PLT,225000,/uL
2,2023-05-06,PLT,200,10*9/L
2,2023-05-06,HB,anything,g/dL
2,2023-05-06,PLT,clotted,10*9/L
"""
TESTS = {
    "ast": {"tests": ["ASAT", "GOT"], "unit": "U/L"},
    "alt": {"tests": ["ALAT"]},
    "platelets": {"tests": ["PLT"]},
}
KEYS = {"patient": "PID", "date": "WHEN", "long": {"test": "TEST", "value": "VALUE", "unit": "UNIT"}}


def test_long_layout(tmp_path):
    record = read(tmp_path, LONG, TESTS, **KEYS, missing=["clotted"])
    found = [(row.patient, row.date.day, row.variable, row.value) for row in record.values.itertuples()]
    assert found == [
        (of("1"), 4, "ast", 30.0),
        (of("1"), 5, "ast", 40.0),
        (of("1"), 4, "alt", 30.0),
        (of("2"), 4, "platelets", 225.0),
        (of("2"), 6, "platelets", 200.0),
    ]


def test_long_layout_names_the_row(tmp_path):
    with pytest.raises(DataError, match=r"column 'VALUE', platelets: row 7: a value of the form 'xxxxxxx' is no"):
        read(tmp_path, LONG, TESTS, **KEYS)
    with pytest.raises(DataError, match=r"column 'VALUE', alt: row 2: unit 'mg' for alt"):
        read(tmp_path, LONG.replace("30,U/L", "30,mg"), TESTS, **KEYS, missing=["clotted"])
    unitless = {**TESTS, "ast": {"tests": ["ASAT", "GOT"]}}
    with pytest.raises(DataError, match=r"row 3: no unit for ast"):
        read(tmp_path, LONG, unitless, **KEYS, missing=["clotted"])


def test_rows_that_count(tmp_path):
    text = "MRN,DATE,AST,STATE\n1,2023-05-04,40,final\n1,2023-05-05,50,draft\n1,2023-05-06,900,final\n"
    where = {"STATE": ["final"], "AST": {"max": 500}}
    assert column(read(tmp_path, text, where=where), "ast") == [40]


def test_several_tables(tmp_path):
    (tmp_path / "people.csv").write_text("NR;SEX;DOB;HT;BX\n1;F;1983-05-04;1,80;2023-01-05\n2;M;;;\n")
    (tmp_path / "lab.csv").write_text(LONG.replace("clotted", "230"))
    record = RecordConfig(
        missing=["?"],
        tables=[
            {
                "table": "people.csv",
                "patient": "NR",
                "decimal": ",",
                "birth_date": "DOB",
                "biopsy": "BX",
                "columns": {
                    "sex": {"column": "SEX", "codes": {"F": "female", "M": "male"}},
                    "height": {"column": "HT", "unit": "m"},
                },
            },
            {"table": "lab.csv", "columns": TESTS, **KEYS},
        ],
    )
    files = [tmp_path / "people.csv", tmp_path / "lab.csv"]
    found = read_record(files, record, site="alba", key=KEY)
    assert column(found, "sex") == [0, 1]
    assert column(found, "height") == [180]
    assert column(found, "platelets") == [225, 200, 230]
    assert found.births.dropna().date.tolist() == [pd.Timestamp("1983-05-04")]
    assert found.biopsies.date.tolist() == [pd.Timestamp("2023-01-05")]
    assert found.values.date[found.values.variable == "sex"].isna().all()


def test_a_table_may_set_a_value_back(tmp_path):
    (tmp_path / "one.csv").write_bytes("MRN;DATE;AST\nBär;01/02/2023;40,5\n".encode("latin-1"))
    (tmp_path / "two.csv").write_text("MRN,DATE,AST\nBär,2023-03-02,41.5\n")
    shared = {"patient": "MRN", "date": "DATE", "encoding": "latin-1", "decimal": ",", "date_format": "%d/%m/%Y"}
    back = {"encoding": "utf-8", "decimal": ".", "date_format": None}
    tables = [{"table": "one.csv", "columns": AST}, {"table": "two.csv", "columns": AST, **back}]
    record = RecordConfig(**shared, tables=tables)
    assert [table.encoding for table in record.sources] == ["latin-1", "utf-8"]
    again = RecordConfig(**record.model_dump(mode="json"))  # as a job gets it
    found = read_record([tmp_path / "one.csv", tmp_path / "two.csv"], again, site="alba", key=KEY)
    assert found.known.patient.tolist() == [of("Bär")] * 2
    assert column(found, "ast") == [40.5, 41.5]
    assert found.values.date.dt.month.tolist() == [2, 3]


SENTINEL = pd.DataFrame({"MRN": [1, 2], "DATE": ["2023-05-04"] * 2, "AST": [40, 999], "SEX": [1.0, 9.0]})


@pytest.mark.parametrize("kind", ["csv", "parquet", "xlsx", "sqlite"])
def test_what_stands_for_missing_does_so_in_every_source(tmp_path, kind):
    columns = AST | {"sex": {"column": "SEX", "codes": {"1": "male", "1.0": "male"}}}
    path = tmp_path / f"record.{kind}"
    if kind == "sqlite":
        with sqlite3.connect(path) as connection:
            SENTINEL.to_sql("lab", connection, index=False)
    else:
        writers = {"csv": SENTINEL.to_csv, "parquet": SENTINEL.to_parquet, "xlsx": SENTINEL.to_excel}
        writers[kind](path, index=False)
    given = {"table": f"sqlite:///{path}", "query": "select * from lab"} if kind == "sqlite" else {}
    record = read_record(
        [None if given else path], config(columns, missing=[999, 9, "9.0"], **given), site="alba", key=KEY
    )
    assert (column(record, "ast"), column(record, "sex")) == ([40], [1])


def test_missing_holds_for_numbers_of_patients_persons_dates_and_rules(tmp_path):
    text = "MRN,DATE,AST,DOB,EID,IQR\n1,2023-05-04,40,n/a,n/a,n/a\n2,n/a,41,1950-02-03,7,10\nn/a,2023-05-04,42,,8,10\n"
    given = {"missing": ["n/a"], "birth_date": "DOB", "person": "EID"}
    record = read(tmp_path, text, where={"IQR": {"below": 30, "missing": True}}, **given)
    assert record.known.patient.tolist() == [of("1"), of("2")]
    assert record.births.date.notna().tolist() == [False, True]
    assert record.persons.patient.tolist() == [of("2")]
    assert record.values.date.notna().tolist() == [True, False]
    assert record.faults.what.tolist() == ["no_patient_number", "no_date"]


def test_a_rule_reads_numbers_as_the_table_writes_them(tmp_path):
    text = "MRN;DATE;AST;IQR\n1;2023-05-04;40;10,5\n2;2023-05-04;41;30,5\n"
    assert column(read(tmp_path, text, decimal=",", where={"IQR": {"below": 30}}), "ast") == [40]


def test_the_day_of_a_time_with_an_offset_is_that_of_the_place(tmp_path):
    late = pd.to_datetime(["2023-06-02 00:30", "2023-12-01 12:00"]).tz_localize("Europe/Berlin")
    table = pd.DataFrame({"MRN": ["1", "2"], "DATE": late.tz_convert("UTC"), "AST": [40, 41]})
    table.to_parquet(tmp_path / "r.parquet")
    lines = "MRN,DATE,AST\n1,2023-06-01T22:30:00Z,40\n2,2023-12-01 13:00:00+02:00,41\n"
    berlin = {"timezone": "Europe/Berlin"}
    records = [
        of_file(tmp_path / "r.parquet", AST, **berlin),
        read(tmp_path, lines, **berlin),
        read(tmp_path, lines.replace(" 13", "T13"), **berlin, date_format="%Y-%m-%dT%H:%M:%S%z"),
    ]
    for record in records:
        assert record.values.date.tolist() == [pd.Timestamp("2023-06-02"), pd.Timestamp("2023-12-01")]
    for refused in (lambda: of_file(tmp_path / "r.parquet", AST), lambda: read(tmp_path, lines)):
        with pytest.raises(DataError, match=r"column 'DATE': row 1: a time with an offset.*give timezone"):
            refused()


def test_a_test_that_no_row_has_is_listed(tmp_path, capsys):
    record = read(tmp_path, LONG, {**TESTS, "ggt": {"tests": ["GGTP"]}}, **KEYS, missing=["clotted"])
    assert record.faults[["what", "detail"]].to_numpy().tolist() == [["no_such_test", "ggt: no row has a test GGTP"]]
    assert "alba: ggt: no row has a test GGTP" in capsys.readouterr().out


def test_a_long_row_without_a_value_needs_no_unit(tmp_path):
    text = LONG + "1,2023-05-07,ALAT,,\n1,2023-05-07,ALAT,clotted,\n1,2023-05-07,ALAT, ,\n"
    assert column(read(tmp_path, text, TESTS, **KEYS, missing=["clotted"]), "alt") == [30]


def damaged(path, kind):
    """A file that a library cannot read, and what the record's config says of it."""
    if kind == "half a workbook":
        TABLE.to_excel(path / "r.xlsx", index=False)
        (path / "r.xlsx").write_bytes((path / "r.xlsx").read_bytes()[:2000])
    elif kind == "an encrypted workbook":
        (path / "r.xlsx").write_bytes(bytes.fromhex("D0CF11E0A1B11AE1") + b"\0" * 5000)
    elif kind == "a quote that stays open":
        (path / "r.csv").write_text('"MRN,DATE,AST\n' + "1,2023-01-01,Mueller\n" * 20000)
    elif kind == "half a packed file":
        TABLE.to_csv(path / "r.csv.gz", index=False)
        (path / "r.csv.gz").write_bytes((path / "r.csv.gz").read_bytes()[:40])
    elif kind == "a year that pandas has not":
        days = pd.Series(["2023-01-01", "9999-12-31"]).to_numpy("datetime64[us]")
        TABLE.assign(DATE=days).to_parquet(path / "r.parquet")
    elif kind == "an offset in the format":
        (path / "r.csv").write_text("MRN,DATE,AST\n1,2023-01-01T10:00:00+0100,40\n1,2023-07-01T10:00:00+0200,40\n")
        return {"date_format": "%Y-%m-%dT%H:%M:%S%z"}
    else:
        return {"table": kind, "query": "select 1"}
    return {}


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("half a workbook", "cannot be read as xlsx"),
        ("an encrypted workbook", "cannot be read as xlsx.*without a password"),
        ("a quote that stays open", "a quote that is not closed"),
        ("half a packed file", "cannot be read"),
        ("a year that pandas has not", "row 2: a date of the form '9999-99-99'.*list it in missing"),
        ("an offset in the format", "give timezone"),
        ("://", "no URL of a database"),
        ("postgresql://h:port/db", "no URL of a database"),
        ("nosuch://h/db", "the query failed|no driver"),
    ],
)
def test_what_cannot_be_read_is_one_line(tmp_path, kind, said):
    given = damaged(tmp_path, kind)
    path = next(iter(tmp_path.iterdir()), None)
    with pytest.raises((DataError, ConfigError), match=said) as fault:
        read_record([path], config(AST, **given), site="alba", key=KEY)
    assert str(fault.value).startswith("alba: ")
    assert "\n" not in str(fault.value)
    assert "Mueller" not in str(fault.value)
    assert len(str(fault.value)) < 300


def test_a_day_that_stands_for_none(tmp_path):
    damaged(tmp_path, "a year that pandas has not")
    record = of_file(tmp_path / "r.parquet", AST, missing=["9999-12-31"])
    assert record.values.date.notna().tolist() == [True, False]
