"""Public health records: what our reading of them gives, against what others published or counted."""

import pandas as pd
import pytest
from public_data import DATA

from liverstiff.cohort.record import apri, nearest_values, read_record
from liverstiff.config import RecordConfig

KEY = bytes(32)


def table(name):
    path = DATA / name
    if not path.exists():
        pytest.skip(f"no public data at {path}; set LIVERSTIFF_DATA")
    return pd.read_csv(path, dtype=str)


def read(folder, rows, columns):
    """The table through the stage's own reader."""
    rows.to_csv(folder / "record.csv", index=False)
    config = RecordConfig(table="record.csv", patient="patient", date="date", columns=columns)
    return read_record(folder / "record.csv", config, site="real", key=KEY)


def test_apri_of_the_mayo_trial(tmp_path):
    rows = table("pbc_mayo/pbc_survival_R.csv").rename(columns={"id": "patient"}).assign(date="2000-01-01")
    columns = {
        "age": {"column": "age", "unit": "y"},
        "sex": {"column": "sex", "codes": {"f": "female", "m": "male"}},
        "ast": {"column": "ast", "unit": "U/L"},
        "platelets": {"column": "platelet", "unit": "10^3/uL"},
        "bilirubin": {"column": "bili", "unit": "mg/dL"},
        "albumin": {"column": "albumin", "unit": "g/dL"},
    }
    record = read(tmp_path, rows, columns)
    assert (len(record), record.patient.nunique()) == (418, 418)
    assert (record.ast.isna().sum(), record.platelets.isna().sum()) == (106, 11)
    exams = record[["patient"]].assign(exam=record.patient, study_date=pd.Timestamp("2000-01-08"))
    near = nearest_values(exams, record, days_before=90, days_after=7)
    score = apri(near.ast, near.platelets)
    assert score[:3].round(4).tolist() == [1.8151, 1.2842, 1.5911]
    assert (score > 2).sum() == 57


def test_missing_values_and_units_of_the_hepatitis_table(tmp_path):
    rows = table("hcv_uci/hcvdat0.csv")
    rows = rows.assign(patient=range(len(rows)), date="20000101")
    columns = {
        "age": {"column": "Age", "unit": "y"},
        "sex": {"column": "Sex", "codes": {"f": "female", "m": "male"}},
        "ast": {"column": "AST", "unit": "U/L"},
        "alt": {"column": "ALT", "unit": "U/L"},
        "ggt": {"column": "GGT", "unit": "U/L"},
        "albumin": {"column": "ALB", "unit": "g/L"},
        "bilirubin": {"column": "BIL", "unit": "umol/L"},
    }
    record = read(tmp_path, rows, columns)
    assert record.sex.value_counts().to_dict() == {"male": 377, "female": 238}
    missing = record.isna().sum()
    assert missing[missing > 0].to_dict() == {"alt": 1, "albumin": 1}
    assert record.albumin[0] == pytest.approx(3.85)
    assert record.bilirubin[0] == pytest.approx(7.5 / 17.104)
