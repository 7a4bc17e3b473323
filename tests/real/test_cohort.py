"""Public health records: what our reading of them gives, against what others published or counted."""

import pandas as pd
import pytest
from public_data import DATA, needs

from liverstiff.cohort import apri, nearest_values, read_record
from liverstiff.config import RecordConfig

KEY = bytes(32)
DAY = pd.Timestamp("2000-01-01")


def read(path, patient, columns):
    """The table through the stage's own reader; without a day of its own every row is of one assumed day."""
    config = RecordConfig(table="t.csv", patient=patient, assumed_date=DAY.date(), columns=columns, missing=["NA"])
    return read_record([path], config, site="real", key=KEY)


def at_the_day(record, variables):
    """The values of every patient seven days later."""
    exams = record.known.assign(exam=record.known.patient, study_date=DAY + pd.Timedelta(days=7))
    return nearest_values(exams, record.values, variables, days_before=90, days_after=7).values


@needs("pbc_mayo")
def test_apri_of_the_mayo_trial():
    columns = {
        "age": {"column": "age", "unit": "y"},
        "sex": {"column": "sex", "codes": {"f": "female", "m": "male"}},
        "ast": {"column": "ast", "unit": "U/L"},
        "alp": {"column": "alk.phos", "unit": "U/L"},
        "platelets": {"column": "platelet", "unit": "10^3/uL"},
        "bilirubin": {"column": "bili", "unit": "mg/dL"},
        "albumin": {"column": "albumin", "unit": "g/dL"},
    }
    near = at_the_day(read(DATA / "pbc_mayo" / "pbc_survival_R.csv", "id", columns), list(columns))
    assert len(near) == 418
    assert (near.ast.isna().sum(), near.platelets.isna().sum()) == (106, 11)
    score = apri(near.ast, near.platelets)
    assert score[:3].round(4).tolist() == [1.8151, 1.2842, 1.5911]
    assert (score > 2).sum() == 57


@needs("hcv_uci")
def test_missing_values_and_units_of_the_hepatitis_table(tmp_path):
    rows = pd.read_csv(DATA / "hcv_uci" / "hcvdat0.csv", dtype=str)
    rows.assign(patient=range(len(rows))).to_csv(tmp_path / "numbered.csv", index=False)
    columns = {
        "age": {"column": "Age", "unit": "y"},
        "sex": {"column": "Sex", "codes": {"f": "female", "m": "male"}},
        "ast": {"column": "AST", "unit": "U/L"},
        "alt": {"column": "ALT", "unit": "U/L"},
        "alp": {"column": "ALP", "unit": "U/L"},
        "ggt": {"column": "GGT", "unit": "U/L"},
        "albumin": {"column": "ALB", "unit": "g/L"},
        "bilirubin": {"column": "BIL", "unit": "umol/L"},
        "creatinine": {"column": "CREA", "unit": "umol/L"},
    }
    near = at_the_day(read(tmp_path / "numbered.csv", "patient", columns), list(columns))
    assert near.sex.value_counts().to_dict() == {1.0: 377, 0.0: 238}
    missing = near.isna().sum()
    assert missing[missing > 0].to_dict() == {"alt": 1, "alp": 18, "albumin": 1}
    assert near.albumin.iloc[0] == pytest.approx(3.85)
    assert near.bilirubin.iloc[0] == pytest.approx(7.5 / 17.104)
