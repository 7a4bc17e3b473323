"""Who is examined when, and the health record in the site's own columns, units and codes."""

import datetime as dt

import numpy as np
import pytest
import yaml

from liverstiff.config import SimulateConfig
from liverstiff.simulate.population import DEVELOPMENT_SITES
from liverstiff.simulate.record import LABS, draw_visits, record_row
from liverstiff.simulate.site import one_patient, schedule


def test_schedule_spreads_days_and_repeats_some_patients():
    settings = SimulateConfig.model_validate({"sites": {"ge": {"dialect": "ge", "field_t": 1.5, "exams": 216}}})
    visits = schedule("ge", settings)
    assert len(visits) == 216
    again = [visit for visit in visits if visit.repeat]
    assert len(again) == 16  # 8 % of 200 patients
    assert all(settings.first_date <= v.first < v.date <= settings.last_date for v in again)
    late = np.mean([visit.first >= dt.date(2024, 1, 1) for visit in visits if not visit.repeat])
    assert late == pytest.approx(0.245, abs=0.01)  # 354 of 1446 days


def test_record_columns_are_those_of_the_default_config(root):
    default = yaml.safe_load((root / "config.yaml").read_text())
    values = dict.fromkeys(("age", "male", "bmi", "diabetes", "ast", "alt", "ggt", "platelets"), 1.0)
    values |= dict.fromkeys(("albumin", "bilirubin", "inr", "pdff"), 1.0)
    for name, site in default["data"]["sites"].items():
        record = site["record"]
        row = record_row(default["simulate"]["sites"][name]["record_style"], "1", "2023-01-31", values)
        assert {record["patient"], record["date"]} | {c["column"] for c in record["columns"].values()} == set(row)
        for variable, zero_one in (("sex", ("female", "male")), ("diabetes", ("0", "1"))):
            column = record["columns"][variable]
            assert column["codes"][row[column["column"]]] == zero_one[1]


def test_record_units_by_hand():
    values = {"age": 61.4, "male": 0, "bmi": 27.04, "diabetes": 1, "ast": 42.0, "alt": 30.0, "ggt": 60.0}
    values |= {"platelets": 187.0, "albumin": 4.1, "bilirubin": 0.25, "inr": float("nan"), "pdff": 12.5}
    german = record_row("german", "77", "2023-01-31", values)
    assert german["ASAT_ukat_l"] == "0.700"  # 42 / 60
    assert (german["Albumin_g_l"], german["Fettfraktion"], german["INR"]) == ("41", "0.125", "")
    assert (german["Geschlecht"], german["Diabetes"], german["Alter"]) == ("w", "ja", "61")
    coded = record_row("coded", "77", "2023-01-31", values)
    assert coded["platelets_per_ul"] == "187000"
    assert coded["bilirubin"] == "<5"  # 0.25 mg/dL is 4.3 umol/L
    french = record_row("french", "77", "2023-01-31", values)
    assert (french["sexe"], french["diabete"], french["albumine_g_l"], french["IPP"]) == ("F", "oui", "41", "77")
    assert french["bilirubine_umol_l"] == "4.3"
    assert record_row("english", "77", "2023-01-31", values)["TBIL_MG_DL"] == "0.25"


def test_visits_around_an_exam():
    rng = np.random.default_rng(0)
    patient = one_patient(DEVELOPMENT_SITES[0], rng)
    drawn = [draw_visits(patient, rng) for _ in range(600)]
    near = [[(days, values) for days, values in visits if -60 <= days <= 5] for visits in drawn]
    assert {len(visits) for visits in near} == {1, 2}
    assert np.mean([len(visits) == 2 for visits in near]) == pytest.approx(0.2, abs=0.05)
    assert all(days < -90 or days > 7 for visits in drawn for days, _ in visits if not -60 <= days <= 5)
    missing = [all(np.isnan(values[lab]) for _, values in visits) for visits in near for lab in LABS]
    assert np.mean(missing) == pytest.approx(0.10, abs=0.02)
    kept = {values[lab] for visits in near for _, values in visits for lab in LABS if not np.isnan(values[lab])}
    assert kept == {float(patient[lab]) for lab in LABS}  # near the exam: the patient's own values
