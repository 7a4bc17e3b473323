"""Bad input: each a clear error of one line, or a conversion that is flagged; never a silent number."""

import numpy as np
import pandas as pd
import pytest
from made_cohort import AST, FULL, RECORD, Study, column, of, read
from pydantic import ValidationError

from liverstiff.cohort.variables import coded, plausible
from liverstiff.config import RecordConfig
from liverstiff.errors import DataError
from liverstiff.record_values import dates, numbers

ROWS = "MRN,DATE,AST\n1,2023-01-01,40\n2,2023-01-02,50\n"
MANY = "MRN,DATE,PLT\n" + "".join(f"{n},2023-01-01,{200_000 + n}\n" for n in range(20))
PLT = {"platelets": {"column": "PLT", "unit": "10^9/L"}}


def text(*values):
    return pd.Series(values, dtype=object, index=range(1, len(values) + 1))


def refused(tmp_path, content, *parts, columns=AST, **given):
    """The one line of the error, which holds all parts."""
    with pytest.raises(DataError) as fault:
        read(tmp_path, content, columns, **given)
    said = str(fault.value)
    assert "\n" not in said
    assert said.startswith("alba")
    for part in parts:
        assert part in said
    return said


def test_wrong_delimiter(tmp_path, capsys):
    semicolons = ROWS.replace(",", ";")
    refused(tmp_path, semicolons, "no column 'MRN'", delimiter=",")
    assert column(read(tmp_path, semicolons), "ast") == [40, 50]
    assert "separated by ';'" in capsys.readouterr().out
    assert column(read(tmp_path, ROWS.replace(",", "\t")), "ast") == [40, 50]


def test_a_row_with_other_columns_than_the_header(tmp_path):
    said = refused(tmp_path, ROWS + "Muller,2023-01-03,60,7\n", "line 4", "has 4 columns, the header 3")
    assert "Muller" not in said
    refused(tmp_path, ROWS + "3,2023-01-03\n", "has 2 columns, the header 3")


def test_latin_1(tmp_path):
    content = "MRN,DATE,AST,Größe\n1,2023-01-01,40,Ü\n".encode("latin-1")
    height = {"ast": AST["ast"]}
    said = refused(tmp_path, content, "not in utf-8", "set encoding", columns=height)
    assert "Ü" not in said
    late = b"MRN,DATE,AST\n" + b"1,2023-01-01,40\n" * 3 + "Bär,2023-01-01,4\n".encode("latin-1")
    refused(tmp_path, late, "not in utf-8", "set encoding")
    record = read(tmp_path, late, encoding="latin-1")
    assert of("Bär") in set(record.values.patient)
    size = {"height": {"column": "Größe", "unit": "cm"}}
    content = "MRN,DATE,Größe\n1,2023-01-01,180\n".encode("latin-1")
    assert column(read(tmp_path, content, size, encoding="latin-1"), "height") == [180]


def test_a_mark_at_the_start_is_no_part_of_the_name(tmp_path):
    assert column(read(tmp_path, "\ufeff" + ROWS), "ast") == [40, 50]


def test_decimal_comma(tmp_path):
    commas = ROWS.replace(",", ";").replace("40", "40,5")
    refused(tmp_path, commas, "column 'AST': row 1: '40,5' is no number", "set decimal")
    assert column(read(tmp_path, commas, decimal=","), "ast") == [40.5, 50]
    points = commas.replace("40,5", "40.5")
    refused(tmp_path, points, "'40.5' is no number", "decimal sign is not ','", decimal=",")
    refused(tmp_path, commas.replace("40,5", "1.040,5"), "'1.040,5' is no number", decimal=",")


def test_missing_patient_number(tmp_path):
    record = read(tmp_path, ROWS + ",2023-01-03,60\n  ,2023-01-03,60\n")
    assert record.faults.what.tolist() == ["no_patient_number"]
    assert record.faults.detail.tolist() == ["2 of 4 rows of a table, left out"]
    assert column(record, "ast") == [40, 50]


def test_duplicate_rows(tmp_path):
    study = Study(tmp_path)
    elastography = study.elastography({"e1": 2.1, "e2": 3.2, "e3": 4.3, "e5": 5.4})
    row = RECORD.splitlines()[1]
    found = study.build([elastography], [elastography], [RECORD + row + "\n"])
    assert found["cohort"].ast[0] == 40
    conflicts = found["conflicts"].set_index("what").detail
    assert conflicts["repeated_rows"] == "6 values are there more than once; each counts once"
    other = row.replace(",40,25", ",41,25")
    found = study.build([elastography], [elastography], [RECORD + other + "\n"])
    assert np.isnan(found["cohort"].ast[0])
    assert found["cohort"].alt[0] == 25
    listed = found["conflicts"].set_index("what").loc["two_values"]
    assert listed[["site", "patient", "exam"]].tolist() == ["alba", of("A1"), "e1"]
    assert listed.detail == "ast: different values on a day, which does not count"


def test_dates_in_three_orders(tmp_path):
    orders = "MRN,DATE,AST\n1,2023-05-04,1\n1,20230504,2\n1,04.05.2023,3\n1,2023/05/04,4\n1,2023-05-04 23:10,5\n"
    assert set(read(tmp_path, orders).values.date) == {pd.Timestamp("2023-05-04")}
    slashes = "MRN,DATE,AST\n1,03/04/2024,1\n"
    said = refused(tmp_path, slashes, "row 1", "'99/99/9999'", "day and month may be either", "date_format")
    assert "2024" not in said
    day_first = read(tmp_path, slashes, date_format="%d/%m/%Y")
    month_first = read(tmp_path, slashes, date_format="%m/%d/%Y")
    assert day_first.values.date.tolist() == [pd.Timestamp("2024-04-03")]
    assert month_first.values.date.tolist() == [pd.Timestamp("2024-03-04")]
    refused(tmp_path, "MRN,DATE,AST\n1,13/25/2024,1\n", "'99/99/9999'", date_format="%d/%m/%Y")


@pytest.mark.parametrize("date", ["2024-05", "2024", "31.02.2024", "May 2024", "2024-13-01", "24-05-03", "0"])
def test_a_date_that_is_no_day(date):
    with pytest.raises(DataError, match=r"alba: row 2: a date of the form"):
        dates(text("2024-05-31", date), "alba")


def test_sas_days():
    assert dates(pd.Series([0.0, 23131.0]), "alba", "sas").tolist() == [
        pd.Timestamp("1960-01-01"),
        pd.Timestamp("2023-05-01"),
    ]


def test_platelets_per_microlitre(tmp_path):
    refused(tmp_path, MANY, "20 of 20 values of platelets outside", "is the unit '10^9/L' right", columns=PLT)
    per_ul = {"platelets": {"column": "PLT", "unit": "1/uL"}}
    assert column(read(tmp_path, MANY, per_ul), "platelets")[:2] == pytest.approx([200, 200.001])


def test_negative_age(tmp_path):
    study = Study(tmp_path)
    elastography = study.elastography({"e1": 2.1, "e2": 3.2, "e3": 4.3, "e5": 5.4})
    found = study.build([elastography], [elastography], [RECORD.replace(",50,F", ",-50,F")])
    assert np.isnan(found["cohort"].age[0])
    row = found["conflicts"].set_index("what").loc["implausible_value"]
    assert row[["patient", "detail"]].tolist() == [of("A1"), "age outside 0 to 120 y, left out"]


def test_empty_file(tmp_path):
    refused(tmp_path, "", "the CSV is empty")
    refused(tmp_path, "\n\n", "the CSV is empty")
    refused(tmp_path, "MRN,DATE,AST\n", "no rows")


def test_a_column_twice(tmp_path):
    refused(tmp_path, "MRN,DATE,AST,AST\n1,2023-01-01,40,41\n", "column 'AST' is there 2 times")
    other = "MRN,DATE,AST,NOTE,NOTE\n1,2023-01-01,40,a,b\n"
    assert column(read(tmp_path, other), "ast") == [40]


def test_a_column_that_is_not_there(tmp_path):
    refused(tmp_path, "MRN,DATE,ASAT\n1,2023-01-01,9\n", "no column 'AST'", "MRN, DATE, ASAT")
    hb = {"hb": {"column": "HB", "unit": "g/dL"}}
    refused(tmp_path, "MRN,DATE,HB\n1,2023-01-01,9\n", "unknown variable 'hb'", columns=hb)


NAMES = ["Élastographie", "rigidite_hepatique", "rigidez", "shear_wave_speed", "ARFI_m_s", "liverkpa", "dureté du foie"]
NAMES += ["LIVER_STIFFNESS", "VCTE_kPa", "MR-Elastography", "LSM", "Fibroscan", "e_kpa", "CAP", "LUXCAPM", "LUXSMED"]


@pytest.mark.parametrize("name", [*NAMES, "Controlled attenuation"])
def test_elastography_is_no_input(tmp_path, name):
    bmi = {"bmi": {"column": name, "unit": "kg/m2"}}
    refused(tmp_path, f"MRN,DATE,{name}\n1,2023-01-01,5\n", "looks like elastography", columns=bmi)


def test_elastography_is_no_test(tmp_path):
    long = {"test": "T", "value": "V"}
    bmi = {"bmi": {"tests": ["BMI", "CAP"], "unit": "kg/m2"}}
    refused(tmp_path, "MRN,DATE,T,V\n1,2023-01-01,CAP,5\n", "looks like elastography", columns=bmi, long=long)


def test_an_ordinary_name_is_an_input(tmp_path):
    columns = {"bmi": {"column": "premre_bmi_swedish_capital", "unit": "kg/m2"}}
    content = "MRN,DATE,premre_bmi_swedish_capital\n1,2023-01-01,25\n"
    assert column(read(tmp_path, content, columns), "bmi") == [25]


def test_numbers_with_limits():
    found = numbers(text("12.5", "<5", "> 1000", "≥3", "", None, "1e2", ".5", " 7 "), "alba")
    np.testing.assert_allclose(found, [12.5, 5, 1000, 3, np.nan, np.nan, 100, 0.5, 7])
    assert found[2] < 5
    assert found[3] > 1000
    assert found[4] == 3
    below, exact = numbers(text("<5,5", "1,25"), "alba", ",")
    assert below < 5.5 == pytest.approx(below)
    assert exact == 1.25
    below, above = numbers(text("<0", ">0"), "alba")
    assert below < 0 < above


@pytest.mark.parametrize("value", ["12,5", "5-10", "lost", "--5", "0x10", "1_000", "inf", "nan", "1 000"])
def test_what_is_no_number_is_refused_with_site_column_row_and_value(value):
    with pytest.raises(DataError, match=f"alba: column 'AST': row 2: '{value}' is no number"):
        numbers(text("1", value, "3"), "alba: column 'AST'")


def test_a_column_of_something_else_shows_no_value():
    with pytest.raises(DataError, match="row 1: a value that is no number; is it the right column") as fault:
        numbers(text("Muller", "Meier", "3"), "alba")
    assert "Muller" not in str(fault.value)
    with pytest.raises(DataError, match="no number") as fault:
        numbers(text("1", "2", "3", "03.04.1956"), "alba")
    assert "03.04" not in str(fault.value)


def test_codes():
    codes = {"w": "female", "m": "male"}
    assert coded(text("w", " m"), "sex", codes, "alba").tolist() == [0, 1]
    assert coded(text("w", None, ""), "sex", codes, "alba").isna().sum() == 2
    assert coded(text("ja", "nein"), "diabetes", {"ja": "1", "nein": "0"}, "alba").tolist() == [1.0, 0.0]
    assert coded(pd.Series([2.0, 1.0]), "sex", {"1": "male", "2": "female"}, "alba").tolist() == [0, 1]
    with pytest.raises(DataError, match="row 1: 'd' has no code for sex"):
        coded(text("d"), "sex", codes, "brook")
    with pytest.raises(DataError, match="code 'woman' for sex"):
        coded(text("w"), "sex", {"w": "woman"}, "brook")


def test_implausible_values_are_counted(capsys):
    found = plausible(pd.Series([30.0, -1.0, np.nan]), "alt", "U/L", "alba: column 'ALT'")
    assert found.tolist() == [False, True, False]
    assert "1 of 2 values of alt" in capsys.readouterr().out


def test_sex_and_height_of_an_undated_row_count(tmp_path):
    columns = {"sex": FULL["sex"], "ast": AST["ast"]}
    record = read(tmp_path, "MRN,DATE,SEX,AST\n1,,F,40\n2,2023-01-01,M,40\n", columns)
    assert record.faults[["what", "detail"]].to_numpy().tolist() == [
        ["no_date", "1 of 2 rows of a table; of them only counts what does not change"]
    ]


def test_two_sexes_and_a_birth_after_the_exam(tmp_path):
    study = Study(tmp_path)
    elastography = study.elastography({"e1": 2.1, "e2": 3.2, "e3": 4.3, "e5": 5.4})
    text = "MRN,DATE,AGE,SEX,DM,AST,ALT,PLT,PDFF,DOB\n"
    text += "A1,2023-05-20,50,F,Y,40,25,200,,2030-01-01\nA1,2020-05-20,47,M,Y,40,25,200,,2030-01-01\n"
    text += "A2,2023-05-20,,F,Y,40,25,200,,1983-06-01\nA4,2023-05-20,,F,Y,40,25,200,,1983-06-01\n"
    text += "A4,2022-05-20,,F,Y,40,25,200,,1983-06-02\n"
    from made_cohort import config

    from liverstiff.config import SiteConfig

    sites = {"alba": SiteConfig(role="development", dicom="x", record=config(birth_date="DOB"))}
    found = study.build([elastography], [elastography], [text], sites)
    cohort = found["cohort"].set_index("exam")
    assert cohort.loc["e1", ["sex", "age"]].isna().all()
    assert cohort.loc["e3", ["sex", "age"]].tolist() == ["female", 40.0]
    assert np.isnan(cohort.age["e5"])
    conflicts = found["conflicts"]
    assert set(zip(conflicts.what, conflicts.patient, conflicts.exam, strict=True)) == {
        ("two_sexes", of("A1"), ""),
        ("birth_after_exam", of("A1"), "e1"),
        ("birth_after_exam", of("A1"), "e2"),
        ("two_birth_dates", of("A4"), ""),
    }


def test_the_same_exam_twice_is_listed(tmp_path):
    study = Study(tmp_path)
    study.linkage.loc[1, "study_date"] = "20230601"
    elastography = study.elastography({"e1": 2.1, "e2": 3.2, "e3": 4.3, "e5": 5.4})
    found = study.build([elastography], [elastography])
    rows = found["conflicts"][found["conflicts"].what == "same_exam_twice"]
    assert rows.exam.tolist() == ["e1", "e2"]
    assert len(found["cohort"]) == 3


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "no table"),
        ({"table": "a.csv"}, "no patient"),
        ({"table": "a.csv", "patient": "P", "query": "select 1"}, "a database needs a query"),
        ({"table": "sqlite:///a", "patient": "P"}, "a database needs a query"),
        (
            {"table": "postgresql://me:secret@host/db", "patient": "P", "query": "select 1", "date": "D"},
            "a password in the URL",
        ),
        *(
            ({"table": f"{url}pwd-of-me", "patient": "P", "query": "select 1", "date": "D"}, "a password in the URL")
            for url in (
                "postgresql://host/db?user=me&password=",
                "mssql+pyodbc:///?odbc_connect=DRIVER%3Dx%3BPWD%3D",
                "mysql://host/db?ssl_ca=x&sslpassword=",
            )
        ),
        ({"table": "a.csv", "patient": "P", "date": "D", "timezone": "Europe/Klingon"}, "timezone 'Europe/Klingon'"),
        ({"table": "a.csv", "patient": "P", "columns": AST}, "ast without a date"),
        ({"table": "a.csv", "patient": "P", "date": "D", "columns": {"ast": {"tests": ["A"]}}}, "long table"),
        ({"table": "a.csv", "patient": "P", "date": "D", "encoding": "klingon"}, "encoding 'klingon'"),
        ({"table": "a.csv", "patient": "P", "tables": [{"table": "b.csv"}]}, "tables and table"),
        ({"patient": "P", "date": "D", "tables": [{"table": "b.csv"}, {}]}, "tables.1: no table"),
        *(
            ({"patient": "P", "date": "D", name: "X", "tables": [{"table": "b.csv"}]}, f"write {name} into one")
            for name in ("person", "biopsy", "birth_date", "sheet")
        ),
        (
            {
                "table": "a.csv",
                "patient": "P",
                "date": "D",
                "columns": {"sex": {"column": "S", "codes": {True: "male"}}},
            },
            "put quotes around the code",
        ),
    ],
)
def test_a_record_that_is_not_described(given, message):
    with pytest.raises(ValidationError, match=message) as fault:
        RecordConfig(**given)
    said = fault.value.errors()[0]["msg"]
    assert "me:secret" not in said
    assert "pwd-of-me" not in said


def test_full_record_has_no_fault(tmp_path):
    assert len(read(tmp_path, RECORD, FULL).faults) == 0
