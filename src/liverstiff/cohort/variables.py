"""The variables of the record: their names, codes and plausible values, and what is no variable."""

from __future__ import annotations

import re
import unicodedata

import pandas as pd
import pandera.pandas as pa

from liverstiff.cohort.units import UNITS
from liverstiff.config import TableConfig
from liverstiff.errors import DataError
from liverstiff.record_values import BESIDE, as_text, by_value, first_row, mostly, shown

CODES = {
    "sex": ("female", "male"),
    "diabetes": ("0", "1"),
    "aetiology": ("viral", "alcohol", "steatotic", "autoimmune", "cholestatic", "other"),
}
"""The variables that are coded, and their standard codes; a value is the place of its code."""

VARIABLES = (
    *("age", "sex", "height", "weight", "bmi", "diabetes", "aetiology", "ast", "alt", "alp", "ggt", "platelets"),
    *("albumin", "bilirubin", "inr", "creatinine", "pdff"),
)

PLAUSIBLE: dict[str, tuple[float, float]] = {
    "age": (0, 120),
    "height": (40, 250),
    "weight": (2, 400),
    "bmi": (8, 100),
    "ast": (0.5, 20000),
    "alt": (0.5, 20000),
    "alp": (1, 10000),
    "ggt": (0.5, 10000),
    "platelets": (1, 2000),
    "albumin": (0.5, 10),
    "bilirubin": (0.02, 80),
    "inr": (0.5, 20),
    "creatinine": (0.05, 40),
    "pdff": (0, 100),
}
"""Values a living patient can have, in standard units; others become missing."""

FROM_ELASTOGRAPHY = re.compile(
    r"stiff|steif|elasto|rigid|durete|shear|arfi|kpa|fibroscan|vcte|attenuation|^lu[ax][a-z]"
    r"|(?<![a-z])(lsm|swe|mre|cap)(?![a-z])",
    re.IGNORECASE,
)
"""Names of what elastography measures, without accents; ``^lu[ax]`` are its columns in NHANES."""


def check_variables(table: TableConfig, site: str) -> None:
    """No variable but those known, and none from elastography.

    Raises:
        DataError: otherwise.
    """
    for variable, column in table.columns.items():
        for name in filter(None, (variable, column.column, *column.tests)):
            if FROM_ELASTOGRAPHY.search(unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()):
                raise DataError(
                    f"{site}: {name!r} for {variable!r} looks like elastography, which is what is to be predicted; "
                    "remove it from the record's columns"
                )
        if variable not in VARIABLES:
            raise DataError(f"{site}: unknown variable {variable!r}; one of {', '.join(VARIABLES)}")


def coded(values: pd.Series, variable: str, codes: dict[str, str] | None, where: str) -> pd.Series:
    """A coded variable as the place of its standard code.

    Raises:
        DataError: for a value without a code, with its row, and the value where it can be nobody's name.
    """
    standard = CODES[variable]
    codes = codes or {code: code for code in standard}
    wrong_codes = sorted(set(codes.values()) - set(standard))
    if wrong_codes:
        raise DataError(f"{where}: code {wrong_codes[0]!r} for {variable}; expected one of {', '.join(standard)}")
    places = {code: float(standard.index(meaning)) for code, meaning in codes.items()}
    text = as_text(values)
    found = by_value(text, lambda different: different.map(places)).astype(float)
    wrong = found.isna() & text.notna()
    if wrong.any():
        row, value = first_row(text, wrong)
        said = "this value, like most," if mostly(wrong, text) else shown(value)
        raise DataError(
            f"{where}: row {row}: {said} has no code for {variable}; the codes are {', '.join(codes)}; add it, "
            "list it in missing, or correct column"
        )
    return found


def plausible(values: pd.Series, variable: str, unit: str | None, where: str) -> pd.Series:
    """True where a value is outside the plausible range.

    Raises:
        DataError: when that is more than half of at least ten values: the unit is likely wrong.
    """
    limits = PLAUSIBLE[variable]
    outside = out_of(values, limits, variable)
    count, given = int(outside.sum()), int(values.notna().sum())
    if count:
        print(f"{where}: {count} of {given} values of {variable} outside {limits[0]} to {limits[1]}, set to missing")
    if given >= 10 and count > given / 2:
        row, value = first_row(values, outside)
        raise DataError(
            f"{where}: {count} of {given} values of {variable} outside {limits[0]} to {limits[1]}, e.g. {value:.2g} "
            f"in row {row}; is the unit {unit!r} right?"
        )
    return outside


def within(low: float, high: float) -> pa.Check:
    """A check of limits, which a value given as less than the lower or more than the upper one passes."""
    return pa.Check.in_range(low - 2 * BESIDE * max(abs(low), 1.0), high + 2 * BESIDE * max(abs(high), 1.0))


def out_of(values: pd.Series, limits: tuple[float, float], name: str) -> pd.Series:
    """True where a value is outside the limits, by row."""
    schema = pa.SeriesSchema(float, within(*limits), nullable=True, name=name)
    outside = pd.Series(False, index=values.index)
    try:
        schema.validate(values.rename(name), lazy=True)
    except pa.errors.SchemaErrors as faults:
        outside[faults.failure_cases["index"].astype(int)] = True
    return outside


STANDARD_UNIT = {variable: next(iter(units)) for variable, units in UNITS.items()}
"""The unit of every value that leaves the stage, in small letters."""
