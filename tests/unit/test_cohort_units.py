"""The table of units, both ways, against factors worked out here from what they are cited from."""

import math

import pandas as pd
import pytest

from liverstiff.cohort import UNITS, unit_factor
from liverstiff.cohort.units import TARGET_UNITS, spelled, target_factor, unit_factors
from liverstiff.errors import DataError

MINUTE_S = 60  # 1 U = 1 umol/min, 1 kat = 1 mol/s (CGPM 1999, resolution 12)
BILIRUBIN = 33 * 12.011 + 36 * 1.008 + 4 * 14.007 + 6 * 15.999  # g/mol, C33H36N4O6 (IUPAC standard atomic weights)
CREATININE = 4 * 12.011 + 7 * 1.008 + 3 * 14.007 + 15.999  # C4H7N3O
ENZYME = {"U/L": 1, "IU/L": 1, "UI/L": 1, "ukat/L": MINUTE_S, "nkat/L": MINUTE_S / 1000}
CITED = {
    "age": {"y": 1, "a": 1, "mo": 1 / 12},
    "height": {"cm": 1, "m": 100, "mm": 0.1, "in": 2.54},  # inch, NIST SP 811, B.8
    "weight": {"kg": 1, "g": 1e-3, "lb": 0.45359237},  # avoirdupois pound, NIST SP 811, B.8
    "bmi": {"kg/m2": 1},
    **dict.fromkeys(("ast", "alt", "alp", "ggt"), ENZYME),
    "platelets": {
        **dict.fromkeys(("10^9/L", "Gpt/L", "G/L", "10^3/uL", "K/uL", "Tsd/uL", "10^3/mm3", "1/nL"), 1),
        **dict.fromkeys(("1/uL", "1/mm3"), 1e6 / 1e9),  # 1 L = 10^6 uL
    },
    "albumin": {"g/dL": 1, "g/L": 0.1},
    "bilirubin": {"mg/dL": 1, "mg/L": 0.1, "umol/L": BILIRUBIN * 1e-6 * 1e3 / 10},  # g/mol -> mg/dL
    "inr": {"": 1, "1": 1},
    "creatinine": {"mg/dL": 1, "mg/L": 0.1, "umol/L": CREATININE * 1e-6 * 1e3 / 10},
    "pdff": {"%": 1, "fraction": 100},
}


def test_every_unit_is_cited_and_tested():
    assert {name: {spelled(unit) for unit in units} for name, units in CITED.items()} == {
        name: set(units) for name, units in UNITS.items()
    }
    assert all(unit.source for units in (*UNITS.values(), *TARGET_UNITS.values()) for unit in units.values())


@pytest.mark.parametrize(("variable", "unit"), [(name, unit) for name, units in CITED.items() for unit in units])
def test_conversion_there_and_back(variable, unit):
    factor, cited = unit_factor(variable, unit, "alba"), CITED[variable][unit]
    assert 7.0 * factor == pytest.approx(7.0 * cited, rel=5e-5)  # molar masses are given to 5 digits
    assert 7.0 / factor == pytest.approx(7.0 / cited, rel=5e-5)
    assert math.isfinite(factor)


@pytest.mark.parametrize(
    ("variable", "value", "unit", "standard"),
    [
        ("ast", 0.5, "µkat/l", 30.0),
        ("bilirubin", 17.104, "umol/L", 1.0),
        ("creatinine", 88.402, "μmol/L", 1.0),
        ("albumin", 42, "g/L", 4.2),
        ("platelets", 225_000, "/µL", 225.0),
        ("platelets", 225, "10*3/uL", 225.0),
        ("platelets", 225, "x10⁹/L", 225.0),
        ("platelets", 225, "10E9/L", 225.0),
        ("platelets", 225, "10 ^ 9 / L", 225.0),
        ("height", 1.75, "m", 175.0),
        ("bmi", 25, "kg/m²", 25.0),
        ("inr", 1.1, None, 1.1),
    ],
)
def test_spellings_of_units(variable, value, unit, standard):
    assert value * unit_factor(variable, unit, "alba") == pytest.approx(standard)


def test_the_first_unit_is_the_standard_one():
    assert all(next(iter(units.values())).factor == 1.0 for units in UNITS.values())


@pytest.mark.parametrize("unit", ["mmol/L", None, "g/L", "kPa"])
def test_an_unknown_unit_is_one_line(unit):
    with pytest.raises(DataError, match=r"^alba: column 'AST': .*for ast; expected one of u/l.*$"):
        unit_factor("ast", unit, "alba: column 'AST'")


def test_a_unit_per_row():
    units = pd.Series(["g/L", "g/dL", None, " G/L "], index=[1, 2, 3, 4])
    assert unit_factors("albumin", units, "g/dL", "alba").tolist() == [0.1, 1.0, 1.0, 0.1]
    with pytest.raises(DataError, match=r"alba: row 3: no unit for albumin"):
        unit_factors("albumin", units, None, "alba")
    with pytest.raises(DataError, match=r"alba: row 2: unit 'mmol/L' for albumin"):
        unit_factors("albumin", units.replace("g/dL", "mmol/L"), "g/L", "alba")
    assert unit_factors("inr", pd.Series([None], dtype=object, index=[1]), None, "alba").tolist() == [1.0]


def test_units_of_the_target():
    assert 2500 * target_factor("kPa", "Pa", "alba") == pytest.approx(2.5)
    assert 2.5 / target_factor("kPa", "Pa", "alba") == pytest.approx(2500)
    assert target_factor("kPa", "kPa", "alba") == target_factor("kPa", None, "alba") == 1
    assert 0.12 * target_factor("%", "fraction", "alba") == pytest.approx(12)
    assert target_factor("stage", "stage", "alba") == 1
    with pytest.raises(DataError, match="unit 'm/s' for the target; expected one of kpa, pa"):
        target_factor("kPa", "m/s", "alba")
    with pytest.raises(DataError, match="expected one of stage"):
        target_factor("stage", "kPa", "alba")
