"""Patients as arrays: a log-linear world with known limits of what images and record can tell about stiffness.

Fibrosis, inflammation and the signs of images and record are linear in standard normals; stiffness is exponential in
fibrosis and inflammation. ``draw_patients`` gives one row a patient; the images are rendered from the same rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import pandas as pd

Vendor = Literal["GE", "Siemens", "Philips", "Canon", "UIH"]


@dataclass(frozen=True)
class SiteModel:
    """A hospital of the array-level world: its scanner, and how its patients differ."""

    name: str
    """Name of the site."""
    vendor: Vendor
    """Of the scanner."""
    field_t: float
    """Field strength in tesla."""
    fibrosis: float
    """Shift of fibrosis, in standard deviations."""
    age: float
    """Shift of age in years."""
    bmi: float
    """Shift of body mass index in kg/m2."""


DEVELOPMENT_SITES = (
    SiteModel("ge-1.5", "GE", 1.5, -0.15, -3.0, 1.5),
    SiteModel("siemens-3", "Siemens", 3.0, 0.20, 3.0, -1.0),
    SiteModel("philips-3", "Philips", 3.0, 0.0, 0.0, 0.0),
    SiteModel("ge-3", "GE", 3.0, 0.05, 1.0, 0.5),
    SiteModel("siemens-1.5", "Siemens", 1.5, 0.10, 2.0, 0.5),
    SiteModel("philips-1.5", "Philips", 1.5, -0.10, -1.0, -0.5),
)
"""Three vendors at two field strengths."""

RECORD = ("age", "male", "bmi", "diabetes", "ast", "alt", "ggt", "platelets", "albumin", "bilirubin", "inr")
"""Columns of ``draw_patients`` that the health record holds, in the record's standard units (pdff is not counted)."""

SIGNS = (
    *("liver_t1", "muscle_t1", "spleen_t1", "liver_t2", "muscle_t2", "spleen_t2", "adc", "pdff", "r2star"),
    *("nodularity", "texture", "spleen_ml", "liver_ml", "caudate_ratio"),
)
"""Columns of ``draw_patients`` that the images are rendered from."""


def draw_patients(n: int, site: SiteModel, rng: np.random.Generator, measurement_cv: float = 0.10) -> pd.DataFrame:
    """Draw patients of one site.

    Args:
        n: number of patients.
        site: the scanner and the shifts.
        rng: the only source of randomness; the draws of a column do not depend on the other sites.
        measurement_cv: within-subject coefficient of variation of the measured stiffness.

    Returns:
        A row a patient: latent ``fibrosis`` and ``inflammation``, ``stiffness_kpa`` (true), ``measured_kpa``,
        :data:`SIGNS` (ms, 1e-3 mm2/s, %, 1/s, mm, relative, ml), :data:`RECORD` in standard units, ``site``,
        ``vendor``, ``field_t``.
    """
    e = partial(rng.standard_normal, n)  # a fresh draw each time, as in the equations
    table = pd.DataFrame({"site": [site.name] * n, "vendor": site.vendor, "field_t": site.field_t})
    table["age"] = np.clip(50 + 15 * e() + site.age, 8, 90)
    table["male"] = (rng.random(n) < 0.5).astype(int)
    table["bmi"] = np.clip(29.5 + 6 * e() + site.bmi, 15, 58)
    za, zb = (table["age"] - 50) / 15, (table["bmi"] - 29.5) / 6
    table["diabetes"] = (rng.random(n) < 1 / (1 + np.exp(1.3 - 0.6 * za - 0.5 * zb))).astype(int)
    diabetes = table["diabetes"] - 0.25
    fibrosis = 0.22 * za + 0.25 * diabetes + 0.06 * zb + site.fibrosis + 0.95 * e()
    inflammation, hidden = e(), e()
    table["fibrosis"], table["inflammation"] = fibrosis, inflammation
    table["pdff"] = np.clip(np.exp(np.log(7) + 0.28 * zb + 0.30 * diabetes - 0.10 * fibrosis + 0.75 * e()), 1, 45)
    iron = rng.standard_normal(n)
    table["r2star"] = np.exp(np.log(38) + 0.30 * iron)
    level = (0.85 * fibrosis + 0.40 * inflammation + 0.15 * hidden) / 0.951
    table["stiffness_kpa"] = np.minimum(14, 1.6 + np.exp(0.17 + 0.774 * level))
    table["measured_kpa"] = measure(table["stiffness_kpa"].to_numpy(), rng, measurement_cv)
    _draw_signs(table, iron, rng)
    _draw_record(table, rng)
    return table


def measure(stiffness_kpa: np.ndarray, rng: np.random.Generator, cv: float) -> np.ndarray:
    """One elastographic measurement of each true stiffness: S (1 + cv e), never below 0.6 kPa."""
    return np.maximum(0.6, stiffness_kpa * (1 + cv * rng.standard_normal(len(stiffness_kpa))))


def _draw_signs(table: pd.DataFrame, iron: np.ndarray, rng: np.random.Generator) -> None:
    """Add what the images show: relaxation, diffusion, shape. Age and sex shift it too: the record corrects it."""
    e = partial(rng.standard_normal, len(table))
    F, I, f3 = table["fibrosis"], table["inflammation"], (table["field_t"] > 2).astype(float)  # noqa: E741
    za, zb, male = (table["age"] - 50) / 15, (table["bmi"] - 29.5) / 6, table["male"]
    zf, zi, Fp = (np.log(table["pdff"]) - np.log(7)) / 0.8, iron, np.maximum(F, 0)
    t1 = 1 + 0.060 * F + 0.012 * I + 0.010 * zf - 0.020 * zi - 0.025 * za - 0.020 * (male - 0.5) + 0.022 * e()
    table["liver_t1"] = (590 + 230 * f3) * t1
    table["muscle_t1"] = (900 + 180 * f3) * (1 + 0.020 * e())
    table["spleen_t1"] = (1050 + 180 * f3) * (1 + 0.012 * F + 0.03 * e())
    t2 = 1 + 0.020 * F + 0.070 * I + 0.03 * zf - 0.04 * zi - 0.025 * za + 0.030 * e()
    table["liver_t2"] = (52 - 6 * f3) * t2
    table["muscle_t2"] = (36 - 3 * f3) * (1 + 0.025 * e())
    table["spleen_t2"] = (75 - 10 * f3) * (1 + 0.04 * e())
    table["adc"] = 1.28 * (1 - 0.055 * F - 0.010 * I - 0.020 * zf - 0.015 * zi + 0.025 * za + 0.045 * e())
    table["nodularity"] = 1.2 / (1 + np.exp(-1.4 * (F - 0.9))) + 0.40 * e()
    table["texture"] = 1 + 0.35 * F + 0.5 * e()
    spleen = 5.25 + 0.18 * F + 0.05 * Fp**2 - 0.15 * za + 0.24 * (male - 0.5) + 0.12 * zb + 0.45 * e()
    table["spleen_ml"] = np.exp(spleen)
    table["liver_ml"] = np.exp(7.3 + 0.10 * male + 0.16 * zb + 0.05 * zf - 0.06 * Fp + 0.14 * e())
    table["caudate_ratio"] = 0.30 * (1 + 0.08 * Fp + 0.20 * e())


def _draw_record(table: pd.DataFrame, rng: np.random.Generator) -> None:
    """Add the laboratory, in U/L, 1e9/L, g/dL and mg/dL."""
    e = partial(rng.standard_normal, len(table))
    F, I, E = table["fibrosis"], table["inflammation"], e()  # noqa: E741
    za, male = (table["age"] - 50) / 15, table["male"]
    zf, Fp = (np.log(table["pdff"]) - np.log(7)) / 0.8, np.maximum(F, 0)
    table["ast"] = np.exp(3.30 + 0.10 * F + 0.17 * I + 0.05 * zf + 0.06 * male + 0.25 * E + 0.225 * e())
    table["alt"] = np.exp(3.40 + 0.22 * I + 0.14 * zf + 0.14 * male - 0.06 * za + 0.35 * E + 0.27 * e())
    table["platelets"] = 225 * np.exp(-0.08 * F - 0.04 * Fp**2 - 0.03 * za + 0.34 * e())
    albumin = 4.25 - 0.05 * F - 0.03 * Fp**2 - 0.06 * za - 0.04 * I + 0.49 * e()
    table["albumin"] = np.clip(albumin, 1.5, 5.5)
    table["bilirubin"] = np.exp(-0.45 + 0.06 * F + 0.05 * I + 0.10 * male + 0.63 * e())
    table["inr"] = np.exp(0.03 + 0.02 * Fp + 0.01 * F + 0.12 * e())
    table["ggt"] = np.exp(3.6 + 0.08 * F + 0.25 * I + 0.2 * male + 1.05 * e())


def draw_cohort(n: int, seed: int, sites: tuple[SiteModel, ...] = DEVELOPMENT_SITES, cv: float = 0.10) -> pd.DataFrame:
    """Draw ``n`` patients spread evenly over ``sites``, site by site, from one generator."""
    rng = np.random.default_rng(seed)
    counts = np.full(len(sites), n // len(sites)) + (np.arange(len(sites)) < n % len(sites))
    return pd.concat([draw_patients(int(k), s, rng, cv) for k, s in zip(counts, sites, strict=True)], ignore_index=True)


def fib4(age: pd.Series, ast: pd.Series, alt: pd.Series, platelets: pd.Series) -> pd.Series:
    """FIB-4 = age x AST / (platelets x sqrt(ALT)), Sterling et al., Hepatology 2006."""
    return age * ast / (platelets * np.sqrt(alt))
