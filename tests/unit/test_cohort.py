"""Matching, scores and the flow; every expected number is worked out by hand."""

import numpy as np
import pandas as pd
import pytest
from made_cohort import FULL, KEY, RECORD, Study, column, config, of, read
from made_splits import arguments

from liverstiff.cohort import (
    COLUMNS,
    SCHEMA,
    apri,
    before_biopsies,
    earliest,
    fib4,
    flow_counts,
    nearest_values,
    nfs,
    read_record,
)
from liverstiff.cohort.conflicts import ages_at
from liverstiff.config import RecordConfig, SiteConfig, TargetConfig
from liverstiff.errors import ConfigError, DataError
from liverstiff.pseudonyms import person_pseudonym
from liverstiff.split import split_cohort

READ = {"e1": 2.1, "e2": 3.2, "e3": 4.3, "e5": 5.4}


def long(rows):
    table = pd.DataFrame(rows, columns=["patient", "date", "variable", "value"])
    return table.assign(date=pd.to_datetime(table.date))


def exam_rows(**dates):
    rows = [(exam, patient, pd.Timestamp(date)) for exam, (patient, date) in dates.items()]
    return pd.DataFrame(rows, columns=["exam", "patient", "study_date"])


EXAMS = exam_rows(e1=("p1", "2023-06-01"), e2=("p2", "2023-06-01"))
ROWS = [
    ("p1", "2023-03-02", 1, 1),  # 91 days before: out
    ("p1", "2023-03-03", 2, 2),  # 90 days before: in
    ("p1", "2023-05-29", 3, np.nan),  # 3 before
    ("p1", "2023-06-04", 4, 4),  # 3 after: as near, but later
    ("p1", "2023-06-08", 5, 5),  # 7 after: in
    ("p2", "2023-06-09", 6, 6),  # 8 after: out
    ("p3", "2023-06-01", 9, 9),  # nobody's exam
]


def in_long(rows):
    return long(
        [(p, day, name, value) for p, day, *values in rows for name, value in zip(("ast", "alt"), values, strict=True)]
    )


def near(exams, values, variables=("ast", "alt"), before=90, after=7):
    return nearest_values(exams, values, variables, days_before=before, days_after=after)


def test_the_nearest_value_in_the_window():
    found = near(EXAMS, in_long(ROWS)).values
    assert found.loc["e1"].tolist() == [3, 4]
    assert found.loc["e2"].isna().all()
    assert near(EXAMS, in_long(ROWS[:2] + ROWS[4:])).values.ast["e1"] == 5
    assert near(EXAMS, in_long(ROWS[:2])).values.ast["e1"] == 2


def test_nearest_is_the_same_as_a_search_by_hand():
    rng = np.random.default_rng(3)
    patients = [f"p{number}" for number in range(20)]
    exams = exam_rows(**{f"e{n}": (patients[n % 25 % 20], f"2023-0{1 + n % 9}-1{n % 10}") for n in range(60)})
    rows = [
        (
            patients[rng.integers(20)],
            pd.Timestamp("2023-01-01") + pd.Timedelta(days=int(rng.integers(300))),
            name,
            float(n),
        )
        for n in range(1500)
        for name in [("ast", "alt")[n % 2]]
    ]
    values = pd.DataFrame(rows, columns=["patient", "date", "variable", "value"]).drop_duplicates(
        ["patient", "date", "variable"]
    )
    found = near(exams, values.sample(frac=1, random_state=0), before=20, after=5).values
    for exam in exams.itertuples():
        for name in ("ast", "alt"):
            mine = values[(values.patient == exam.patient) & (values.variable == name)]
            apart = (mine.date - exam.study_date).dt.days
            inside = mine.assign(order=apart.abs() * 2 + (apart > 0))[apart.between(-20, 5)].sort_values("order")
            expected = inside.value.iloc[0] if len(inside) else np.nan
            np.testing.assert_equal(found.loc[exam.exam, name], expected)


def test_nothing_to_match():
    assert near(EXAMS, in_long([])).values.isna().all().all()
    assert len(near(EXAMS[:0], in_long(ROWS)).values) == 0


def test_a_day_with_different_values_does_not_count():
    rows = [("p1", "2023-05-30", "ast", 40.0), ("p1", "2023-05-30", "ast", 41.0), ("p1", "2023-05-20", "ast", 30.0)]
    found = near(EXAMS, long([*rows, rows[2]]))
    assert found.values.ast["e1"] == 30
    assert found.clashes.to_numpy().tolist() == [["e1", "ast"]]
    assert found.repeated == 1
    assert len(near(EXAMS, long([("p1", "2022-05-30", "ast", v) for v in (1.0, 2.0)])).clashes) == 0  # outside


def test_nothing_after_a_biopsy():
    rows = [("p1", day, name, value) for day, value in (("2023-05-20", 1.0), ("2023-05-25", 2.0), ("2023-05-30", 3.0))
            for name in ("ast", "age")]  # fmt: skip
    biopsies = pd.DataFrame({"patient": ["p1", "p2"], "date": pd.to_datetime(["2023-05-25", "2023-01-01"])})
    kept = before_biopsies(long(rows), biopsies, None)
    assert kept.value[kept.variable == "ast"].tolist() == [1, 2]  # the day itself still counts
    assert kept.value[kept.variable == "age"].tolist() == [1, 2, 3]
    assert len(before_biopsies(long(rows), biopsies, 4)) == 6  # five days later: counts again
    assert len(before_biopsies(long(rows), biopsies, 5)) == 5


def test_scores_by_hand():
    one = [pd.Series([float(value)]) for value in (50, 40, 25, 200)]
    assert fib4(*one)[0] == pytest.approx(50 * 40 / (200 * 5))  # 2.0
    assert apri(pd.Series([80.0]), pd.Series([160.0]))[0] == pytest.approx(125.0 / 100)  # 2 / 160 x 100
    values = [pd.Series([float(value)]) for value in (50, 30, 1, 40, 20, 200, 4)]
    assert nfs(*values)[0] == pytest.approx(-1.675 + 1.85 + 2.82 + 1.13 + 1.98 - 2.6 - 2.64)


@pytest.fixture
def study(tmp_path):
    return Study(tmp_path)


def test_cohort_rows(study):
    elastography = study.elastography(READ)
    found = study.build([study.status("convert"), elastography], [elastography])
    cohort = found["cohort"]
    assert list(cohort) == COLUMNS == sorted(COLUMNS, key=COLUMNS.index)
    assert set(COLUMNS) == set(SCHEMA.columns)
    cohort = cohort.set_index("exam")
    assert list(cohort.index) == ["e1", "e2", "e3"]
    one = cohort.loc["e1"]
    assert (one.age, one.sex, one.diabetes, one.platelets, one.pdff) == (50, "female", 1, 200, pytest.approx(5))
    assert (one.fib4, one.apri, one.steatosis) == (2.0, 0.5, 0)  # a PDFF below 5 %
    assert (one.day, one.reference, one.role, one.t2w, one.dwi) == (-214, 2.1, "development", True, True)
    assert one.reference_source == "elastogram"
    two = cohort.loc["e2"]
    assert (two.day, two.apri, two.dwi) == (31, 0.5, False)
    assert np.isnan([two.fib4, two.nfs, two.steatosis, two.diabetes]).all()  # a child; no PDFF; no diabetes on file
    three = cohort.loc["e3"]
    assert three.sex == "male"  # does not change with the years
    assert cohort.loc["e3", ["age", "ast", "fib4", "steatosis"]].isna().all()  # known, but nothing in the window
    assert found["exclusions"].exam.tolist() == ["e4", "e5"]
    assert found["exclusions"].reason.tolist() == ["missing_sequence", "no_record"]
    assert found["flow"].to_numpy().tolist() == [
        ["alba", "catalogued", 5],
        ["alba", "missing_sequence", 1],
        ["alba", "no_record", 1],
        ["alba", "analysable", 3],
    ]
    missing = found["missingness"].set_index("variable")
    assert missing.loc["ast"].tolist() == ["alba", 3, 1, 0.3333]
    assert missing.loc["sex"].missing == 0
    assert missing.loc["weight"].missing == 3
    assert found["scanners"].to_numpy().tolist() == [["alba", "GE", "m", 1.5, 3]]


def test_a_value_below_a_limit_does_not_reach_it(study):
    rows = [
        "A1,2023-05-20,50,F,Y,<40,25,200,<5",
        "A2,2023-05-20,60,M,N,40,25,200,5",
        "A4,2023-05-20,60,M,N,>40,25,200,>5",
    ]
    columns = FULL | {"pdff": {"column": "PDFF", "unit": "fraction"}}
    text = RECORD.splitlines()[0] + "\n" + "\n".join(rows) + "\n"
    elastography = study.elastography(READ)
    cohort = study.build([elastography], [elastography], [text])["cohort"].set_index("exam")
    assert cohort.steatosis[["e1", "e3", "e5"]].tolist() == [0, 1, 1]
    site = {"alba": SiteConfig(role="development", dicom="x", record=config(columns))}
    text = text.replace(",<5", ",<0.05").replace(",5\n", ",0.05\n").replace(",>5", ",>0.05")
    found = study.build([elastography], [elastography], [text], site, eligible={"ast": {"max": 40}})
    cohort = found["cohort"].set_index("exam")
    assert cohort.steatosis[["e1", "e3"]].tolist() == [0, 1]
    assert "e5" not in cohort.index
    least = study.build([elastography], [elastography], [text], site, eligible={"ast": {"min": 40}})["cohort"].exam
    assert least.tolist() == ["e3", "e5"]


def test_bmi_and_nfs_from_their_inputs(study):
    columns = FULL | {
        "height": {"column": "HT", "unit": "m"},
        "weight": {"column": "WT", "unit": "kg"},
        "albumin": {"column": "ALB", "unit": "g/L"},
    }
    text = "MRN,DATE,AGE,SEX,DM,AST,ALT,PLT,PDFF,HT,WT,ALB\nA1,2023-05-20,50,F,Y,40,20,200,,2,120,40\n"
    elastography = study.elastography(READ)
    sites = {"alba": SiteConfig(role="development", dicom="x", record=config(columns))}
    one = study.build([elastography], [elastography], [text], sites)["cohort"].set_index("exam").loc["e1"]
    assert (one.height, one.weight, one.bmi, one.albumin) == (200, 120, 30, 4)
    assert one.nfs == pytest.approx(-1.675 + 1.85 + 2.82 + 1.13 + 1.98 - 2.6 - 2.64)


def test_the_first_stage_that_excludes_counts(study):
    statuses = [
        study.status("pack", {"e2": "implausible_image", "e5": "implausible_image"}),
        study.elastography({"e3": 2.0, "e5": 2.0}, {"e1": "area_too_small", "e2": "no_confident_pixel"}),
        study.status("convert", {"e1": "conversion_failed"}),
    ]
    exclusions = study.build(statuses, [statuses[1]])["exclusions"]
    found = dict(zip(exclusions.exam, exclusions.stage + " " + exclusions.reason, strict=True))
    assert found == {
        "e1": "convert conversion_failed",
        "e2": "elastography no_confident_pixel",
        "e4": "catalog missing_sequence",
        "e5": "cohort no_record",
    }


def test_an_exam_without_a_date_is_excluded(study):
    elastography = study.elastography(READ)
    study.linkage.loc[0, "study_date"] = None
    exclusions = study.build([elastography], [elastography])["exclusions"]
    assert exclusions.set_index("exam").reason["e1"] == "no_study_date"
    study.linkage["study_date"] = None
    exclusions = study.build([elastography], [elastography])["exclusions"]
    assert exclusions.reason.tolist() == ["no_study_date"] * 3 + ["missing_sequence", "no_study_date"]


def test_rules_of_eligibility_and_required_variables(study):
    elastography = study.elastography(READ)
    found = study.build(
        [elastography], [elastography], eligible={"age": {"min": 18, "missing": True}}, required=["ast"]
    )
    rows = found["exclusions"].set_index("exam")
    assert rows.loc["e2", ["reason", "detail"]].tolist() == ["not_eligible", "age: expected at least 18"]
    assert rows.loc["e3", ["reason", "detail"]].tolist() == ["missing_value", "no ast"]
    assert found["cohort"].exam.tolist() == ["e1"]
    with pytest.raises(ConfigError, match="unknown variable 'hb'"):
        study.build([elastography], [elastography], required=["hb"])


def test_an_exam_that_got_lost_is_a_bug(study):
    elastography = study.elastography({"e1": 2.1, "e3": 4.3})
    with pytest.raises(AssertionError, match="e2, are neither excluded nor done at stage elastography"):
        study.build([elastography], [elastography])


def test_an_exam_lost_at_a_stage_of_images_is_a_bug(study):
    elastography = study.elastography(READ)
    pack = study.status("pack")
    rows = (pack / "status.csv").read_text().splitlines()
    (pack / "status.csv").write_text("\n".join(row for row in rows if not row.startswith("e3")) + "\n")
    with pytest.raises(AssertionError, match="e3, are neither excluded nor done at stage pack"):
        study.build([elastography, pack], [elastography])


def test_an_exam_of_an_unknown_site_is_an_error(study):
    study.exams["site"] = "elm"
    with pytest.raises(DataError, match="'elm'"):
        study.build([], [])


def test_no_identifier_and_no_date_leaves(study):
    study.linkage["patient_id"] = study.linkage.patient_id.replace("A1", "MRN-0815")
    study.exams["patient"] = study.linkage["patient"] = [of(number) for number in study.linkage.patient_id]
    elastography = study.elastography(READ)
    text = (
        RECORD.replace("A1", "MRN-0815").replace("PDFF\n", "PDFF,EID,DOB\n").replace("<5\n", "<5,EID-77,1973-02-03\n")
    )
    text = text.replace("200,\n", "200,,EID-77,\n").replace("200,12\n", "200,12,,\n").replace("200,,EID", "200,,EID")
    record = config(person="EID", birth_date="DOB")
    sites = {"alba": SiteConfig(role="development", dicom="x", record=record)}
    found = study.build([elastography], [elastography], [text], sites)
    assert "e1" in set(found["cohort"].exam)
    written = "".join(path.read_text() for path in (study.folder / "out").iterdir())
    for secret in ("MRN-0815", "EID-77", "1973", "2023", "2024", "1.2.e1"):
        assert secret not in written


def test_one_person_at_two_sites_is_one_patient(study):
    study.exams.loc[2, "site"] = study.linkage.loc[2, "site"] = "brook"
    study.exams.loc[2, "patient"] = of("A2", "brook")
    elastography = study.elastography(READ)
    header, *rows = RECORD.splitlines()
    first = "\n".join([header + ",EID", rows[0] + ",7", rows[1] + ",7", "A4,2023-05-20,50,F,Y,40,25,200,5,8"])
    second = header + ",EID\n" + rows[2] + ",7\n"
    record = config(person="EID")
    sites = {name: SiteConfig(role="development", dicom="x", record=record) for name in ("alba", "brook")}
    cohort = study.build([elastography], [elastography], [first, second], sites)["cohort"].set_index("exam").patient
    assert cohort["e1"] == cohort["e2"] == cohort["e3"] != cohort["e5"]
    assert cohort["e1"] not in (of("A1"), of("A2", "brook"))


def test_patients_of_one_person_are_no_conflict_in_two_tables(study):
    header, *rows = RECORD.splitlines()
    text = "\n".join([header + ",EID", *(row + ",7" for row in rows)]) + "\n"
    tables = [{"table": "a.csv", "columns": FULL, "person": "EID"}, {"table": "b.csv", "person": "EID"}]
    record = RecordConfig(patient="MRN", date="DATE", tables=tables)
    elastography = study.elastography(READ)
    site = {"alba": SiteConfig(role="development", dicom="x", record=record)}
    found = study.build([elastography], [elastography], [text, text], site)
    assert "two_persons" not in set(found["conflicts"].what)
    assert set(found["cohort"].patient) == {person_pseudonym(KEY, "7")}
    assert set(found["aliases"].alias) == {person_pseudonym(KEY, "7"), of("A1"), of("A2")}
    assert set(found["aliases"].patient) == {person_pseudonym(KEY, "7")}
    several = study.build([elastography], [elastography], [text, text.replace("12,7", "12,8")], site)["conflicts"]
    row = several[several.what == "two_persons"]
    assert row[["site", "patient"]].to_numpy().tolist() == [["alba", of("A2")]]


def test_a_text_for_no_person_joins_nobody(study):
    study.exams["patient"] = study.linkage["patient"] = [of(f"B{place}") for place in range(5)]
    rows = [f"B{place},2023-05-20,50,F,Y,40,25,200,5" for place in range(5)]
    study.exams["status"], study.exams["reason"], study.exams["detail"] = "ok", "", ""
    more = study.exams.iloc[[0]].assign(exam="e6", patient=of("B5"))
    study.exams = pd.concat([study.exams, more], ignore_index=True)
    study.linkage = pd.concat([study.linkage, study.linkage.iloc[[0]].assign(exam="e6", patient=of("B5"))])
    rows.append("B5,2023-05-20,50,F,Y,40,25,200,5")
    text = RECORD.splitlines()[0] + ",EID\n" + "".join(row + ",n/a\n" for row in rows)
    elastography = study.elastography(dict.fromkeys(study.exams.exam, 2.0))
    for missing, patients in (([], 1), (["n/a"], 6)):
        site = SiteConfig(role="development", dicom="x", record=config(person="EID", missing=missing))
        found = study.build([elastography], [elastography], [text], {"alba": site})
        assert found["cohort"].patient.nunique() == patients
        listed = found["conflicts"][found["conflicts"].what == "many_patients"]
        assert listed.detail.str.startswith("6 patients have one number").tolist() == [True] * (patients == 1)


def test_a_cohort_without_exams_is_written(study, capsys):
    elastography = study.elastography(READ)
    found = study.build([elastography], [elastography], [RECORD.replace("\nA", "\nZ")])
    assert found["exclusions"].reason.tolist() == ["no_record"] * 3 + ["missing_sequence", "no_record"]
    assert list(found["cohort"]) == COLUMNS
    assert len(found["cohort"]) == 0
    assert "0 of 5 exams analysable" in capsys.readouterr().out
    out = study.folder / "out"
    with pytest.raises(DataError, match=r"^no exam is analysable; exclusions\.csv .*$"):
        split_cohort(**arguments(out))


def births(study, *days):
    """The cohort of a record with dates of birth for A1, A2 and A4, by exam, and the conflicts."""
    record = config(FULL | {"height": {"column": "HT", "unit": "cm"}, "weight": {"column": "WT", "unit": "kg"},
                            "bmi": {"column": "BMI", "unit": "kg/m2"}}, birth_date="DOB")  # fmt: skip
    text = "MRN,DATE,AGE,SEX,DM,AST,ALT,PLT,PDFF,HT,WT,BMI,DOB\n" + "".join(
        f"{mrn},2023-05-20,{age},F,Y,40,25,200,5,180,120,{bmi},{day}\n"
        for mrn, (age, bmi, day) in zip(("A1", "A2", "A4"), days, strict=True)
    )
    elastography = study.elastography(READ)
    site = {"alba": SiteConfig(role="development", dicom="x", record=record)}
    found = study.build([elastography], [elastography], [text], site)
    return found["cohort"].set_index("exam"), found["conflicts"]


def test_an_impossible_date_of_birth_gives_no_age(study):
    cohort, conflicts = births(study, ("", 37, "1900-01-01"), ("70", 37, "1900-01-01"), ("", 37, "1983-06-02"))
    assert np.isnan(cohort.age["e1"])
    assert cohort.age[["e3", "e5"]].tolist() == [70, 39]  # 40 the day after the exam
    assert set(conflicts.exam[conflicts.what == "implausible_birth_date"]) == {"e1", "e2", "e3"}


def test_an_age_or_bmi_that_does_not_fit_is_listed(study):
    cohort, conflicts = births(study, (50, 22, "1950-01-01"), (50, 37, "1973-01-01"), (50.9, 36, "1972-07-01"))
    rows = conflicts[conflicts.what.isin(["age_and_birth_date", "bmi_and_height"])]
    assert rows[["exam", "what"]].to_numpy().tolist() == [["e1", "age_and_birth_date"], ["e1", "bmi_and_height"]]
    assert cohort.age.tolist()[::2] == [50, 50]  # completed years
    assert cohort.bmi["e1"] == 22


def test_no_date_of_birth_follows_from_the_cohort(study):
    """From age, day and the cut it is known to half a year at best."""
    exam, rng = pd.Timestamp("2023-06-01"), np.random.default_rng(0)
    births = pd.Timestamp("1930-01-01") + pd.to_timedelta(rng.integers(0, 25000, 2000), "D")
    people = pd.DataFrame({"exam": np.arange(2000), "patient": np.arange(2000), "study_date": exam})
    ages, _ = ages_at(people, pd.Series(births))
    guess = exam - pd.to_timedelta((ages.to_numpy() + 0.5) * 365.25, "D")
    assert np.median(np.abs((guess - births).days)) >= 60
    assert (ages == np.floor(ages)).all()


def test_a_target_of_another_name_uses_the_same_flow(study):
    text = RECORD.replace("PDFF\n", "PDFF,FATFRACTION\n").replace("<5\n", "<5,0.11\n").replace("12\n", "12,0.2\n")
    text = text.replace("200,\n", "200,,\n").replace("2020-01-01", "2023-06-02")
    record = config(reported={"column": "FATFRACTION", "unit": "fraction"})
    sites = {"alba": SiteConfig(role="development", dicom="x", record=record)}
    target = TargetConfig(name="fat fraction", unit="%")
    found = study.build([study.status("pack")], [], [text], sites, target, reference="reported", reported_days=20)
    assert found["cohort"].set_index("exam").reference.to_dict() == {"e1": 11.0, "e3": 20.0}
    assert found["exclusions"].set_index("exam").reason["e2"] == "no_reference"


def test_earliest_is_by_stage_not_by_row():
    rows = [("e1", stage, reason) for stage, reason in (("pack", "x"), ("catalog", "y"), ("segment", "z"))]
    table = pd.DataFrame(rows, columns=["exam", "stage", "reason"]).assign(patient="p1", site="alba", detail="")
    assert earliest(table).reason.tolist() == ["y"]


def test_counts_that_do_not_add_up_are_a_bug():
    some = pd.DataFrame({"site": ["alba"] * 3, "reason": ["no_record"] * 3})
    with pytest.raises(AssertionError, match="3 exams, but 3 analysable and 1 excluded"):
        flow_counts(some, some[:1], some, ["alba"])


def test_only_the_wanted_patients_are_read(tmp_path):
    (tmp_path / "record.csv").write_text(RECORD)
    record = read_record([tmp_path / "record.csv"], config(), site="alba", key=KEY, patients=pd.Index([of("A2")]))
    assert record.known.patient.tolist() == [of("A2")]
    assert column(record, "age") == [60]
    assert column(read(tmp_path, RECORD, FULL), "age") == [50, 17.5, 60]
