"""Record tables, units, matching and the flow; every expected number is worked out by hand."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from liverstiff.cohort import COLUMNS, SCHEMA, build_cohort, earliest, flow_counts
from liverstiff.cohort.record import (
    UNITS,
    apri,
    coded,
    fib4,
    nearest_values,
    numbers,
    plausible,
    read_record,
    unit_factor,
)
from liverstiff.config import CohortConfig, ColumnConfig, RecordConfig, SiteConfig
from liverstiff.errors import DataError
from liverstiff.pseudonyms import patient_pseudonym
from liverstiff.records import ExamStatus, write_status

KEY = bytes(range(32))
CUT = dt.date(2024, 1, 1)
FULL = {
    "age": {"column": "AGE", "unit": "y"},
    "sex": {"column": "SEX", "codes": {"F": "female", "M": "male"}},
    "diabetes": {"column": "DM", "codes": {"Y": "1", "N": "0"}},
    "ast": {"column": "AST", "unit": "U/L"},
    "alt": {"column": "ALT", "unit": "U/L"},
    "platelets": {"column": "PLT", "unit": "10^3/uL"},
    "pdff": {"column": "PDFF", "unit": "%"},
}


def site(role="development", columns=FULL):
    record = {"table": "record.csv", "patient": "MRN", "date": "DATE", "columns": columns}
    return SiteConfig(role=role, dicom="dicom", record=RecordConfig(**record))


def text(*values):
    return pd.Series(values, dtype=object)


def read(tmp_path, content, columns):
    (tmp_path / "record.csv").write_text(content)
    return read_record(tmp_path / "record.csv", site(columns=columns).record, site="alba", key=KEY)


@pytest.mark.parametrize(
    ("variable", "value", "unit", "standard"),
    [
        ("ast", 0.5, "ukat/L", 30.0),
        ("alt", 0.5, "µkat/l", 30.0),
        ("ggt", 500, "nkat/L", 30.0),
        ("ast", 30, "U/L", 30.0),
        ("bilirubin", 17.104, "umol/L", 1.0),
        ("bilirubin", 1.0, "mg/dL", 1.0),
        ("albumin", 42, "g/L", 4.2),
        ("albumin", 4.2, "g/dL", 4.2),
        ("platelets", 225_000, "1/uL", 225.0),
        ("platelets", 225, "10^3/uL", 225.0),
        ("platelets", 225, "10^9/L", 225.0),
        ("pdff", 0.12, "fraction", 12.0),
        ("age", 30, "mo", 2.5),
        ("inr", 1.1, None, 1.1),
    ],
)
def test_units_become_standard(variable, value, unit, standard):
    assert value * unit_factor(variable, unit, "alba") == pytest.approx(standard)


def test_every_standard_unit_has_factor_one():
    assert all(1.0 in units.values() for units in UNITS.values())


@pytest.mark.parametrize("unit", ["mmol/L", None, "g/L"])
def test_an_unknown_unit_is_one_line(unit):
    with pytest.raises(DataError, match=r"^alba: column 'AST': .*for ast; expected one of u/l.*$"):
        unit_factor("ast", unit, "alba: column 'AST'")


def test_numbers_with_limits():
    found = numbers(text("12.5", "<5", "> 1000", "≥3", "", None, "1e2", ".5"), "alba")
    np.testing.assert_array_equal(found, [12.5, 5, 1000, 3, np.nan, np.nan, 100, 0.5])


@pytest.mark.parametrize("value", ["haemolytic", "12,5", "5-10", "--5"])
def test_what_is_no_number_is_refused_with_site_column_and_value(value):
    with pytest.raises(DataError, match=f"alba: column 'AST': '{value}'"):
        numbers(text("1", value), "alba: column 'AST'")


def test_codes():
    codes = {"w": "female", "m": "male"}
    assert coded(text("w", " m", None, ""), "sex", codes, "alba").tolist()[:2] == ["female", "male"]
    assert coded(text("w", None, ""), "sex", codes, "alba").isna().sum() == 2
    assert coded(text("ja", "nein"), "diabetes", {"ja": "1", "nein": "0"}, "alba").tolist() == [1.0, 0.0]
    with pytest.raises(DataError, match="'d' has no code for sex"):
        coded(text("d"), "sex", codes, "brook")
    with pytest.raises(DataError, match="code 'woman' for sex"):
        coded(text("w"), "sex", {"w": "woman"}, "brook")


def test_implausible_values_become_missing_and_are_counted(capsys):
    column = ColumnConfig(column="ALT", unit="U/L")
    found = plausible(pd.Series([30.0, -1.0, 40.0]), "alt", column, "alba: column 'ALT'")
    np.testing.assert_array_equal(found, [30, np.nan, 40])
    assert "1 of 3 values of alt" in capsys.readouterr().out


def test_a_wrong_unit_is_noticed():
    column = ColumnConfig(column="PLT", unit="10^9/L")
    with pytest.raises(DataError, match="is the unit '10\\^9/L' right"):
        plausible(pd.Series(np.full(10, 225_000.0)), "platelets", column, "alba")


@pytest.mark.parametrize("name", ["LIVER_STIFFNESS", "VCTE_kPa", "MR-Elastography", "LSM", "Fibroscan", "e_kpa"])
def test_elastography_is_no_input(tmp_path, name):
    with pytest.raises(DataError, match="looks like elastography"):
        read(tmp_path, f"MRN,DATE,{name}\n1,2023-01-01,5\n", {"bmi": {"column": name, "unit": "kg/m2"}})


def test_an_ordinary_name_is_an_input(tmp_path):
    columns = {"bmi": {"column": "premre_bmi_swedish", "unit": "kg/m2"}}
    assert read(tmp_path, "MRN,DATE,premre_bmi_swedish\n1,2023-01-01,25\n", columns).bmi.tolist() == [25]


@pytest.mark.parametrize(
    ("content", "columns", "message"),
    [
        ("MRN,DATE\n1,2023-01-01\n", {"ast": {"column": "AST", "unit": "U/L"}}, "alba: no column 'AST'"),
        ("MRN,DATE,HB\n1,2023-01-01,9\n", {"hb": {"column": "HB", "unit": "g/dL"}}, "unknown variable 'hb'"),
        ("MRN,DATE,AST\n1,01/02/2023,9\n", {"ast": {"column": "AST", "unit": "U/L"}}, "'99/99/9999'"),
        ("", {"ast": {"column": "AST", "unit": "U/L"}}, "no readable CSV"),
    ],
)
def test_a_record_that_cannot_be_used(tmp_path, content, columns, message):
    with pytest.raises(DataError, match=message) as fault:
        read(tmp_path, content, columns)
    assert "\n" not in str(fault.value)


def test_dates_and_leading_zeros(tmp_path):
    rows = ["MRN,DATE,AST", "007,2023-05-04,1", "007,20230504,2", "007,04.05.2023,3", "007,2023-05-04 23:10,4"]
    rows += [",2023-05-04,5", "007,,6", ""]
    record = read(tmp_path, "\n".join(rows), {"ast": {"column": "AST", "unit": "U/L"}})
    assert set(record.date[:5]) == {pd.Timestamp("2023-05-04")}
    assert record.date.isna().tolist() == [False] * 5 + [True]
    assert set(record.patient.dropna()) == {patient_pseudonym(KEY, "alba", "007")}


def test_the_nearest_value_in_the_window():
    exams = pd.DataFrame(
        {"exam": ["e1", "e2"], "patient": ["p1", "p2"], "study_date": pd.to_datetime(["2023-06-01", "2023-06-01"])}
    )
    record = pd.DataFrame(
        [
            ("p1", "2023-03-02", 1, 1),  # 91 days before: out
            ("p1", "2023-03-03", 2, 2),  # 90 days before: in
            ("p1", "2023-05-29", 3, np.nan),  # 3 before
            ("p1", "2023-06-04", 4, 4),  # 3 after: as near, but later
            ("p1", "2023-06-08", 5, 5),  # 7 after: in
            ("p2", "2023-06-09", 6, 6),  # 8 after: out
        ],
        columns=["patient", "date", "ast", "alt"],
    )
    record["date"] = pd.to_datetime(record.date)
    found = nearest_values(exams, record, days_before=90, days_after=7)
    assert found.loc["e1"].tolist() == [3, 4]
    assert found.loc["e2"].isna().all()
    record = record.drop(index=[2, 3, 4])
    assert nearest_values(exams, record, days_before=90, days_after=7).ast["e1"] == 2


def test_fib4_and_apri_by_hand():
    score = fib4(*(pd.Series([float(value)]) for value in (50, 40, 25, 200)))
    assert score[0] == pytest.approx(50 * 40 / (200 * 5))  # 2.0
    assert apri(pd.Series([80.0]), pd.Series([160.0]))[0] == pytest.approx(125.0 / 100)  # 2 / 160 x 100


class Study:
    """Five exams of three patients at one site, on disk."""

    def __init__(self, folder):
        self.folder = folder
        names = {"e1": "A1", "e2": "A1", "e3": "A2", "e4": "A3", "e5": "A4"}
        dates = {"e1": "20230601", "e2": "20240201", "e3": "2023-06-01", "e4": "20230601", "e5": "20230601"}
        rows = [(e, patient_pseudonym(KEY, "alba", m), "alba", m, f"1.2.{e}", dates[e]) for e, m in names.items()]
        columns = ["exam", "patient", "site", "patient_id", "study_uid", "study_date"]
        self.linkage = pd.DataFrame(rows, columns=columns)
        self.exams = self.linkage[["exam", "patient", "site"]].assign(
            vendor="GE", model="m", field_t=1.5, t1w=True, t2w=True, dwi=[True, False, True, True, True], mre=True,
            shard="s1", status=["ok"] * 3 + ["excluded", "ok"], reason=["", "", "", "missing_sequence", ""],
            detail=["", "", "", "no T1w", ""],
        )  # fmt: skip
        self.out = {}

    def status(self, stage, excluded=()):
        """A shard folder; ``excluded`` names exams and reasons."""
        folder = self.folder / stage
        folder.mkdir()
        rows = []
        for row in self.exams.itertuples():
            if row.status == "ok":
                reason = dict(excluded).get(row.exam, "")
                state = "excluded" if reason else "ok"
                detail = "why" if reason else ""
                rows.append(ExamStatus(row.exam, row.patient, row.site, stage, state, reason, detail))
        write_status(rows, folder / "status.csv")
        return folder

    def build(self, statuses, stiffness, record):
        self.exams.to_csv(self.folder / "exams.csv", index=False)
        self.linkage.to_csv(self.folder / "linkage.csv", index=False)
        (self.folder / "record.csv").write_text(record)
        (self.folder / "key").write_bytes(KEY)
        names = ("cohort", "exclusions", "flow")
        build_cohort(
            exams=self.folder / "exams.csv",
            linkage=self.folder / "linkage.csv",
            key=self.folder / "key",
            statuses=statuses,
            stiffness=stiffness,
            records={"alba": self.folder / "record.csv"},
            sites={"alba": site()},
            temporal_cut=CUT,
            settings=CohortConfig(),
            **{name: self.folder / "out" / f"{name}.csv" for name in names},
        )
        return [pd.read_csv(self.folder / "out" / f"{name}.csv", keep_default_na=name == "cohort") for name in names]


RECORD = """MRN,DATE,AGE,SEX,DM,AST,ALT,PLT,PDFF
A1,2023-05-20,50,F,Y,40,25,200,<5
A1,2024-02-03,17.5,F,,40,25,200,
A2,2020-01-01,60,M,N,40,25,200,12
"""


def write_stiffness(folder, values):
    pd.DataFrame({"exam": list(values), "stiffness_kpa": list(values.values())}).to_csv(
        folder / "stiffness.csv", index=False
    )


@pytest.fixture
def study(tmp_path):
    return Study(tmp_path)


def test_cohort_rows(study):
    elastography = study.status("elastography")
    write_stiffness(elastography, {"e1": 2.1, "e2": 3.2, "e3": 4.3, "e5": 5.4})
    cohort, exclusions, flow = study.build([study.status("convert"), elastography], [elastography], RECORD)
    assert list(cohort) == COLUMNS == sorted(COLUMNS, key=COLUMNS.index)
    assert set(COLUMNS) == set(SCHEMA.columns)
    cohort = cohort.set_index("exam")
    assert list(cohort.index) == ["e1", "e2", "e3"]
    one = cohort.loc["e1"]
    assert (one.age, one.sex, one.diabetes, one.platelets, one.pdff) == (50, "female", 1, 200, 5)
    assert (one.fib4, one.apri, one.steatosis) == (2.0, 0.5, 1)
    assert (one.day, one.reference, one.role, one.t2w, one.dwi) == (-214, 2.1, "development", True, True)
    two = cohort.loc["e2"]
    assert (two.day, two.apri, two.dwi) == (31, 0.5, False)
    assert np.isnan([two.fib4, two.steatosis, two.diabetes]).all()  # a child; no PDFF; no diabetes on file
    assert cohort.loc["e3", ["age", "sex", "ast", "fib4", "steatosis"]].isna().all()  # known, but nothing in the window
    assert exclusions.exam.tolist() == ["e4", "e5"]
    assert exclusions.reason.tolist() == ["missing_sequence", "no_record"]
    assert flow.values.tolist() == [
        ["alba", "catalogued", 5],
        ["alba", "missing_sequence", 1],
        ["alba", "no_record", 1],
        ["alba", "analysable", 3],
    ]


def test_the_first_stage_that_excludes_counts(study):
    statuses = [
        study.status("pack", {"e2": "implausible_image", "e5": "implausible_image"}),
        study.status("elastography", {"e1": "area_too_small", "e2": "no_confident_pixel"}),
        study.status("convert", {"e1": "conversion_failed"}),
    ]
    write_stiffness(statuses[1], {"e3": 2.0, "e5": 2.0})
    _, exclusions, _ = study.build(statuses, [statuses[1]], RECORD)
    found = dict(zip(exclusions.exam, exclusions.stage + " " + exclusions.reason, strict=True))
    assert found == {
        "e1": "convert conversion_failed",
        "e2": "elastography no_confident_pixel",
        "e4": "catalog missing_sequence",
        "e5": "cohort no_record",
    }


def test_an_exam_without_a_date_is_excluded(study):
    elastography = study.status("elastography")
    write_stiffness(elastography, {"e1": 2.1, "e2": 3.2, "e3": 4.3, "e5": 5.4})
    study.linkage.loc[0, "study_date"] = None
    _, exclusions, _ = study.build([elastography], [elastography], RECORD)
    assert exclusions.set_index("exam").reason["e1"] == "no_study_date"


def test_an_exam_that_got_lost_is_a_bug(study):
    elastography = study.status("elastography")
    write_stiffness(elastography, {"e1": 2.1, "e3": 4.3})
    with pytest.raises(AssertionError, match="e2, are neither excluded nor done at stage elastography"):
        study.build([elastography], [elastography], RECORD)


def test_an_exam_of_an_unknown_site_is_an_error(study):
    study.exams["site"] = "elm"
    with pytest.raises(DataError, match="'elm'"):
        study.build([], [], RECORD)


def test_no_identifier_and_no_date_leaves(study):
    study.linkage["patient_id"] = study.linkage.patient_id.replace("A1", "MRN-0815")
    study.exams["patient"] = study.linkage["patient"] = [
        patient_pseudonym(KEY, "alba", number) for number in study.linkage.patient_id
    ]
    elastography = study.status("elastography")
    write_stiffness(elastography, {"e1": 2.1, "e2": 3.2, "e3": 4.3, "e5": 5.4})
    cohort, *_ = study.build([elastography], [elastography], RECORD.replace("A1", "MRN-0815"))
    assert "e1" in set(cohort.exam)
    written = "".join(path.read_text() for path in (study.folder / "out").iterdir())
    for secret in ("MRN-0815", "2023", "2024", "1.2.e1"):
        assert secret not in written


def test_earliest_is_by_stage_not_by_row():
    rows = [("e1", stage, reason) for stage, reason in (("pack", "x"), ("catalog", "y"), ("segment", "z"))]
    table = pd.DataFrame(rows, columns=["exam", "stage", "reason"]).assign(patient="p1", site="alba", detail="")
    assert earliest(table).reason.tolist() == ["y"]


def test_counts_that_do_not_add_up_are_a_bug():
    some = pd.DataFrame({"site": ["alba"] * 3, "reason": ["no_record"] * 3})
    with pytest.raises(AssertionError, match="3 exams, but 3 analysable and 1 excluded"):
        flow_counts(some, some[:1], some, ["alba"])
