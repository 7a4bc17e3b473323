"""The health record of a simulated site, in that site's own columns, units and codes.

The factors of the units are written here on their own, so that a mistake in the reading of a record shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

RecordStyle = Literal["english", "german", "coded", "plain", "french"]

LABS = ("ast", "alt", "ggt", "platelets", "albumin", "bilirubin", "inr", "pdff")
"""Variables that may be missing on a date."""

_SPREAD = {
    "ast": 0.3,
    "alt": 0.3,
    "ggt": 0.3,
    "platelets": 0.15,
    "albumin": 0.08,
    "bilirubin": 0.3,
    "inr": 0.05,
    "pdff": 0.2,
}
"""How much a value moves in months (SD of its logarithm)."""

KEYS: dict[RecordStyle, tuple[str, str]] = {
    "english": ("MRN", "LAB_DATE"),
    "german": ("Patienten_ID", "Labordatum"),
    "coded": ("patient_id", "sample_date"),
    "plain": ("MRN", "DATE"),
    "french": ("IPP", "date_prelevement"),
}
"""Columns of the patient and of the date."""

_COLUMNS: dict[RecordStyle, dict[str, tuple[str, float, int]]] = {
    # variable: column, factor from years, kg/m2, U/L, 10^9/L, g/dL, mg/dL and % to the site's unit, decimals
    "english": {
        "age": ("AGE_AT_LAB", 1, 0),
        "bmi": ("BMI", 1, 1),
        "ast": ("AST_U_L", 1, 0),
        "alt": ("ALT_U_L", 1, 0),
        "ggt": ("GGT_U_L", 1, 0),
        "platelets": ("PLT_K_UL", 1, 0),
        "albumin": ("ALB_G_DL", 1, 1),
        "bilirubin": ("TBIL_MG_DL", 1, 2),
        "inr": ("INR", 1, 2),
        "pdff": ("PDFF_PCT", 1, 1),
    },
    "german": {
        "age": ("Alter", 1, 0),
        "bmi": ("BMI", 1, 1),
        "ast": ("ASAT_ukat_l", 1 / 60, 3),
        "alt": ("ALAT_ukat_l", 1 / 60, 3),
        "ggt": ("GGT_ukat_l", 1 / 60, 3),
        "platelets": ("Thrombozyten_Gpt_l", 1, 0),
        "albumin": ("Albumin_g_l", 10, 0),
        "bilirubin": ("Bilirubin_umol_l", 17.104, 1),
        "inr": ("INR", 1, 2),
        "pdff": ("Fettfraktion", 0.01, 3),
    },
    "coded": {
        "age": ("age_years", 1, 0),
        "bmi": ("bmi", 1, 1),
        "ast": ("ast", 1, 0),
        "alt": ("alt", 1, 0),
        "ggt": ("ggt", 1, 0),
        "platelets": ("platelets_per_ul", 1000, 0),
        "albumin": ("albumin", 10, 0),
        "bilirubin": ("bilirubin", 17.104, 1),
        "inr": ("inr", 1, 2),
        "pdff": ("pdff", 1, 1),
    },
    "plain": {
        "age": ("AGE", 1, 0),
        "bmi": ("BMI", 1, 1),
        "ast": ("AST", 1, 0),
        "alt": ("ALT", 1, 0),
        "ggt": ("GGT", 1, 0),
        "platelets": ("PLATELETS", 1, 0),
        "albumin": ("ALBUMIN", 1, 1),
        "bilirubin": ("BILIRUBIN", 1, 2),
        "inr": ("INR", 1, 2),
        "pdff": ("PDFF", 1, 1),
    },
    "french": {
        "age": ("age", 1, 0),
        "bmi": ("IMC", 1, 1),
        "ast": ("ASAT_UI_l", 1, 0),
        "alt": ("ALAT_UI_l", 1, 0),
        "ggt": ("GGT_UI_l", 1, 0),
        "platelets": ("plaquettes_G_l", 1, 0),
        "albumin": ("albumine_g_l", 10, 0),
        "bilirubin": ("bilirubine_umol_l", 17.104, 1),
        "inr": ("INR", 1, 2),
        "pdff": ("PDFF_pourcent", 1, 1),
    },
}

_CODES: dict[RecordStyle, dict[str, tuple[str, tuple[str, str]]]] = {
    # variable: column, code of 0 (female, no diabetes), code of 1
    "english": {"male": ("SEX", ("F", "M")), "diabetes": ("T2DM", ("N", "Y"))},
    "german": {"male": ("Geschlecht", ("w", "m")), "diabetes": ("Diabetes", ("nein", "ja"))},
    "coded": {"male": ("gender", ("2", "1")), "diabetes": ("diabetes", ("0", "1"))},
    "plain": {"male": ("SEX", ("F", "M")), "diabetes": ("DM", ("0", "1"))},
    "french": {"male": ("sexe", ("F", "H")), "diabetes": ("diabete", ("non", "oui"))},
}

_DETECTION_LIMIT: dict[RecordStyle, dict[str, float]] = {"coded": {"bilirubin": 5.0}}
"""Below this, in the site's unit, the laboratory writes ``<limit``."""


def record_row(style: RecordStyle, patient_id: str, date: str, values: Mapping[str, float]) -> dict[str, str]:
    """One row of a site's record.

    Args:
        style: the site's way.
        patient_id: the medical record number.
        date: of the sample, ISO.
        values: age, male, bmi, diabetes and laboratory in standard units; NaN where it was not measured.
    """
    row: dict[str, str] = dict(zip(KEYS[style], (patient_id, date), strict=True))
    for name, (column, codes) in _CODES[style].items():
        row[column] = codes[int(values[name])]
    for name, (column, factor, digits) in _COLUMNS[style].items():
        limit = _DETECTION_LIMIT.get(style, {}).get(name, 0.0)
        row[column] = _text(values[name] * factor, digits, limit)
    return row


def _text(value: float, digits: int, limit: float) -> str:
    """A number as a laboratory prints it; empty when it was not measured."""
    if np.isnan(value):
        return ""
    return f"<{limit:g}" if value < limit else f"{value:.{digits}f}"


def vary(values: Mapping[str, Any], rng: np.random.Generator, amount: float) -> dict[str, float]:
    """The laboratory of another day: values that moved by ``amount`` times what they do in months."""
    return {name: values[name] * float(np.exp(amount * _SPREAD[name] * rng.standard_normal())) for name in LABS}


def draw_visits(patient: Mapping[str, Any], rng: np.random.Generator) -> list[tuple[int, dict[str, float]]]:
    """Laboratory visits around one exam: days from the exam, values in standard units.

    One visit within 60 days before to 5 after holds the patient's values; in a fifth of the patients its laboratory is
    spread over two visits. One or two visits lie far outside and hold other values.
    """
    names = ("age", "male", "bmi", "diabetes", *LABS)
    near = {name: float(patient[name]) for name in names}
    near |= {name: np.nan for name in LABS if rng.random() < 0.10}
    visits = [(int(rng.integers(-60, 6)), near)]
    if rng.random() < 0.2:
        first, second = dict(near), dict(near)
        for name in LABS:
            (first if rng.random() < 0.5 else second)[name] = np.nan
        visits = [(int(rng.integers(-60, -30)), first), (int(rng.integers(-29, 6)), second)]
    for low, high in ((-500, -150), (60, 300))[: int(rng.integers(1, 3))]:
        days = int(rng.integers(low, high))
        far = vary(near, rng, 1.0)
        visits.append((days, near | far | {"age": near["age"] + days / 365.25}))
    return visits
