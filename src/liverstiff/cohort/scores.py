"""Scores of fibrosis, and what else follows from other variables."""

from __future__ import annotations

import numpy as np
import pandas as pd

ADULT_YEARS = 18


def fib4(age: pd.Series, ast: pd.Series, alt: pd.Series, platelets: pd.Series) -> pd.Series:
    """FIB-4 = age x AST / (platelets x sqrt(ALT)) with y, U/L, 10^9/L (Sterling et al., Hepatology 2006)."""
    return age * ast / (platelets * np.sqrt(alt))


def apri(ast: pd.Series, platelets: pd.Series, upper_limit: float = 40.0) -> pd.Series:
    """APRI = (AST / upper limit of normal) / platelets x 100 with U/L, 10^9/L (Wai et al., Hepatology 2003)."""
    return ast / upper_limit / platelets * 100


def nfs(
    age: pd.Series,
    bmi: pd.Series,
    diabetes: pd.Series,
    ast: pd.Series,
    alt: pd.Series,
    platelets: pd.Series,
    albumin: pd.Series,
) -> pd.Series:
    """NAFLD fibrosis score with y, kg/m2, 0 or 1, U/L, 10^9/L, g/dL (Angulo et al., Hepatology 2007).

    -1.675 + 0.037 age + 0.094 BMI + 1.13 diabetes + 0.99 AST / ALT - 0.013 platelets - 0.66 albumin; impaired fasting
    glucose, which counts like diabetes there, is not among the variables.
    """
    return -1.675 + 0.037 * age + 0.094 * bmi + 1.13 * diabetes + 0.99 * ast / alt - 0.013 * platelets - 0.66 * albumin


def with_bmi(table: pd.DataFrame) -> pd.DataFrame:
    """BMI in kg/m2 from height (cm) and weight (kg), where it is absent."""
    computed = table.weight / (table.height / 100) ** 2
    return table.assign(bmi=table.bmi.fillna(computed.where(computed.between(8, 100)).round(2)))


def with_scores(table: pd.DataFrame, steatosis_pdff: float) -> pd.DataFrame:
    """FIB-4 and NFS (adults only: not validated in children), APRI and steatosis; missing where an input is."""
    adult = table.age >= ADULT_YEARS
    diabetes = table.diabetes.astype(float)
    nafld = nfs(table.age, table.bmi, diabetes, table.ast, table.alt, table.platelets, table.albumin)
    return table.assign(
        fib4=fib4(table.age, table.ast, table.alt, table.platelets).where(adult).round(4),
        apri=apri(table.ast, table.platelets).round(4),
        nfs=nafld.where(adult).round(4),
        steatosis=(table.pdff >= steatosis_pdff).astype("Int64").where(table.pdff.notna()),
    )
