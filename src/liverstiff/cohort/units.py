"""Units: the factor from each unit to the standard unit of a variable, and where the factor comes from.

Sources: SI, the SI Brochure (BIPM, 9th edition) with its prefixes and powers of ten; katal, 1 U = 1 umol/min and
1 kat = 1 mol/s (CGPM 1999, resolution 12), so 1 ukat/L = 60 U/L exactly; bilirubin C33H36N4O6, 584.66 g/mol, and
creatinine C4H7N3O, 113.12 g/mol (PubChem 5280352 and 588); inch and pound, exact since 1959 (NIST SP 811,
appendix B.8); UCUM, how units are spelled (10*3/uL).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import pandas as pd

from liverstiff.errors import DataError
from liverstiff.record_values import as_text, by_value, first_row, mostly, shown


@dataclass(frozen=True)
class Unit:
    """A unit of a variable."""

    factor: float
    """Multiplied by it, a value is in the standard unit."""
    source: str
    """Where the factor comes from, see the head of this module."""


SAME = Unit(1.0, "the standard unit")
ENZYME = {
    "u/l": SAME,
    "iu/l": Unit(1.0, "U and IU of an enzyme are one"),
    "ui/l": Unit(1.0, "IU/L in French and Spanish"),
    "ukat/l": Unit(60.0, "katal"),
    "nkat/l": Unit(0.06, "katal, SI"),
}
CELLS = {
    "10^9/l": SAME,
    "gpt/l": Unit(1.0, "giga particles, SI"),
    "g/l": Unit(1.0, "giga per litre, SI"),
    "10^3/ul": Unit(1.0, "SI: 1 L = 10^6 uL"),
    "k/ul": Unit(1.0, "SI: 1 L = 10^6 uL"),
    "tsd/ul": Unit(1.0, "SI: 1 L = 10^6 uL"),
    "10^3/mm3": Unit(1.0, "SI: 1 uL = 1 mm3"),
    "1/nl": Unit(1.0, "SI: 1 L = 10^9 nL"),
    "1/ul": Unit(1e-3, "SI: 1 L = 10^6 uL"),
    "1/mm3": Unit(1e-3, "SI: 1 uL = 1 mm3"),
}
UNITS: dict[str, dict[str, Unit]] = {
    "age": {"y": SAME, "a": Unit(1.0, "UCUM: year"), "mo": Unit(1 / 12, "12 months are a year")},
    "height": {"cm": SAME, "m": Unit(100.0, "SI"), "mm": Unit(0.1, "SI"), "in": Unit(2.54, "inch")},
    "weight": {"kg": SAME, "g": Unit(1e-3, "SI"), "lb": Unit(0.45359237, "pound")},
    "bmi": {"kg/m2": SAME},
    "ast": ENZYME,
    "alt": ENZYME,
    "alp": ENZYME,
    "ggt": ENZYME,
    "platelets": CELLS,
    "albumin": {"g/dl": SAME, "g/l": Unit(0.1, "SI")},
    "bilirubin": {"mg/dl": SAME, "mg/l": Unit(0.1, "SI"), "umol/l": Unit(1 / 17.104, "bilirubin")},
    "inr": {"": SAME, "1": Unit(1.0, "UCUM: a pure number")},
    "creatinine": {"mg/dl": SAME, "mg/l": Unit(0.1, "SI"), "umol/l": Unit(1 / 88.402, "creatinine")},
    "pdff": {"%": SAME, "fraction": Unit(100.0, "per cent")},
}
"""By variable and unit (small letters); the first unit is the standard one."""

TARGET_UNITS: dict[str, dict[str, Unit]] = {
    "kPa": {"kpa": SAME, "pa": Unit(1e-3, "SI")},
    "%": {"%": SAME, "fraction": Unit(100.0, "per cent")},
}
"""By the target's unit; another unit than these converts into itself alone."""

SPELLINGS = (
    (r"\s", ""),
    (r"[µμ]", "u"),
    (r"²", "2"),
    (r"³", "3"),
    (r"⁹", "^9"),
    (r"^[x×]", ""),
    (r"10(?:\*\*|\*|e)(?=\d)", "10^"),
    (r"10([39])/", r"10^\1/"),
    (r"^/", "1/"),
)

FEW = 5
"""A column with more different units than this, none of them known, holds something else: none is shown."""


def spelled(unit: str | None) -> str:
    """A unit as the tables spell it."""
    name = (unit or "").lower()
    for pattern, instead in SPELLINGS:
        name = re.sub(pattern, instead, name)
    return name


def unit_factor(variable: str, unit: str | None, where: str) -> float:
    """Factor from a unit to the standard unit of a variable.

    Raises:
        DataError: for a unit that is not in the table.
    """
    return _factor(UNITS[variable], variable, unit, where)


def unit_factors(variable: str, units: pd.Series, default: str | None, where: str) -> pd.Series:
    """The factor of every row of a long table.

    Raises:
        DataError: for a unit that is not in the table, with its row.
    """
    text = as_text(units)
    if default is not None:
        text = text.fillna(default)
    known = by_value(text, lambda different: different.map(lambda unit: spelled(unit) in UNITS[variable]))
    wrong = ~known.astype(object).where(known.notna(), spelled(None) in UNITS[variable]).astype(bool)
    if wrong.any():
        row, unit = first_row(text, wrong)
        if mostly(wrong & text.notna(), text) and text[wrong].nunique() > FEW:
            raise DataError(f"{where}: row {row}: most rows hold no unit of {variable}; correct long.unit")
        unit_factor(variable, None if pd.isna(unit) else unit, f"{where}: row {row}")
    factors = by_value(text, lambda different: different.map(lambda unit: UNITS[variable][spelled(unit)].factor))
    return factors.astype(float).fillna(1.0)


def target_factor(target_unit: str, unit: str | None, where: str) -> float:
    """Factor from the unit of a reported value to the target's unit.

    Raises:
        DataError: for a unit from which there is no way.
    """
    known = TARGET_UNITS.get(target_unit, {spelled(target_unit): SAME})
    return _factor(known, "the target", target_unit if unit is None else unit, where)


def _factor(known: dict[str, Unit], variable: str, unit: str | None, where: str) -> float:
    if spelled(unit) not in known:
        said = f"unit {shown(unit)}" if unit else "no unit"
        raise DataError(f"{where}: {said} for {variable}; expected one of {', '.join(filter(None, known))}")
    return known[spelled(unit)].factor
