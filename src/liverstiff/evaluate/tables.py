"""The tables of the study: exams analysed, metrics by group, residuals by covariate, Table 1."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from statsmodels.regression.linear_model import OLS

from liverstiff.config import EvaluateConfig, TargetConfig
from liverstiff.errors import DataError
from liverstiff.evaluate.agreement import Sample, UndefinedError, constant, statistics_of
from liverstiff.evaluate.bootstrap import MIN_PATIENTS, Interval, intervals_of

ANALYSED = (
    *("exam", "patient", "site", "partition", "fold", "reference", "estimate", "low", "high", "residual"),
    *("age", "sex", "bmi", "steatosis", "vendor", "field_t"),
)

COVARIATES = {"age": "slope, {unit} per year", "sex": "male - female, {unit}", "bmi": "slope, {unit} per kg/m2"}
"""Effect on the residual by covariate."""

MEASURED = (
    *("reference", "age", "bmi", "ast", "alt", "ggt", "platelets", "albumin", "bilirubin", "inr", "pdff"),
    *("fib4", "apri"),
)
COUNTED = ("diabetes", "steatosis", "t1w", "t2w", "dwi", "sex", "site", "vendor", "field_t")

TOO_FEW = Interval(np.nan, np.nan, f"no interval: needs {MIN_PATIENTS} patients")

YES = {"true": "yes", "1": "yes", "1.0": "yes", "yes": "yes"}
NO = {"false": "no", "0": "no", "0.0": "no", "no": "no"}


def analysed_of(estimates: pd.DataFrame, cohort: pd.DataFrame) -> pd.DataFrame:
    """One row per estimate with its reference, residual (estimate - reference) and covariates.

    Raises:
        DataError: an estimate has no reference.
    """
    table = estimates[["exam", "partition", "fold", "estimate", "low", "high"]].merge(
        cohort.drop(columns=["low", "high"], errors="ignore"), on="exam", how="left", validate="one_to_one"
    )
    lost = table.exam[table.reference.isna()]
    if len(lost):
        raise DataError(f"predictions: {len(lost)} exams without reference in the cohort, first {lost.iloc[0]}")
    table["residual"] = table.estimate - table.reference
    table["steatosis"] = yes_or_no(table["steatosis"]) if "steatosis" in table else ""
    return table.reindex(columns=list(ANALYSED))


def yes_or_no(values: pd.Series) -> pd.Series:
    """``yes``, ``no``, or empty where unknown.

    Raises:
        DataError: a value is none of these.
    """
    text = values.map(lambda value: "" if pd.isna(value) else str(value).strip().lower())
    strange = text[~text.isin([*YES, *NO, ""])]
    if len(strange):
        raise DataError(f"cohort: {values.name} is {strange.iloc[0]!r}; expected 1, 0 or empty")
    return text.map({**YES, **NO, "": ""})


def metrics_of(
    analysed: pd.DataFrame, partitions: list[str], settings: EvaluateConfig, target: TargetConfig
) -> pd.DataFrame:
    """All metrics of each partition and of its groups, long, with 95 % intervals."""
    rows: list[dict[str, Any]] = []
    for partition in partitions:
        for group, members in groups_of(analysed[analysed.partition == partition]).items():
            rows += [
                {"partition": partition, "group": group, **row} for row in metrics_of_group(members, settings, target)
            ]
    return pd.DataFrame(rows)


def groups_of(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """All exams, then by site, steatosis and vendor; exams with an unknown value are in no such group."""
    groups = {"all": rows}
    for name in ("site", "steatosis", "vendor"):
        values = sorted({str(value) for value in rows[name].dropna()} - {""}, reverse=name == "steatosis")
        groups |= {f"{name}={value}": rows[rows[name].astype(str) == value] for value in values}
    return groups


def metrics_of_group(members: pd.DataFrame, settings: EvaluateConfig, target: TargetConfig) -> list[dict[str, Any]]:
    """One row per metric: value, ends of the 95 % interval, or why there is none.

    Every group starts from the same seed, so that two groups of the same exams have the same intervals.
    """
    sample, rng = Sample.of(members), np.random.default_rng(settings.seed)
    enough = sample.patients >= MIN_PATIENTS
    intervals = intervals_of(sample, target.thresholds, settings.resamples, rng) if enough else {}
    size = {"n": sample.exams, "patients": sample.patients}
    rows: list[dict[str, Any]] = []
    for metric, statistic in statistics_of(sample, target.thresholds).items():
        try:
            value = statistic()
        except UndefinedError as why:
            rows.append({"metric": metric, "value": None, "low": None, "high": None, **size, "note": str(why)})
            continue
        low, high, note = intervals.get(metric, TOO_FEW)
        rows.append({"metric": metric, "value": value, "low": low, "high": high, **size, "note": note})
    return rows


def residuals_of(analysed: pd.DataFrame, partitions: list[str], unit: str) -> pd.DataFrame:
    """How the residual changes with age, sex and BMI: a row per partition and covariate."""
    rows: list[dict[str, Any]] = []
    for partition in partitions:
        members = analysed[analysed.partition == partition]
        for covariate, effect in COVARIATES.items():
            known = members[
                members[covariate].isin(["female", "male"]) if covariate == "sex" else members[covariate].notna()
            ]
            size = {"n": len(known), "patients": known.patient.nunique()}
            row = {"partition": partition, "covariate": covariate, "effect": effect.format(unit=unit)}
            rows.append({**row, **residual_effect(known, covariate), **size})
    columns = ["partition", "covariate", "effect", "value", "low", "high", "p", "n", "patients", "note"]
    return pd.DataFrame(rows, columns=columns)


def residual_effect(rows: pd.DataFrame, covariate: str) -> dict[str, Any]:
    """Least-squares effect of one covariate on the residual, with errors robust to repeat exams of a patient.

    The interval and p use Student's t with patients - 1 degrees of freedom (cluster sandwich estimator).
    """
    empty = {"value": None, "low": None, "high": None, "p": None}
    patients = rows.patient.nunique()
    if patients < MIN_PATIENTS:
        return {**empty, "note": f"needs {MIN_PATIENTS} patients, has {patients}"}
    values = np.asarray(rows.sex == "male" if covariate == "sex" else rows[covariate], dtype=np.float64)
    if constant(values):
        return {**empty, "note": f"{covariate} does not vary"}
    design = np.column_stack([np.ones_like(values), values])
    clusters = {"groups": pd.factorize(rows.patient)[0]}
    fit = OLS(rows.residual.to_numpy(float), design).fit(cov_type="cluster", cov_kwds=clusters, use_t=True)
    low, high = fit.conf_int()[1]
    return {"value": fit.params[1], "low": low, "high": high, "p": fit.pvalues[1], "note": ""}


def table1_of(analysed: pd.DataFrame, cohort: pd.DataFrame, partitions: list[str]) -> pd.DataFrame:
    """Each partition described: a row per measured variable, and per level of a counted variable.

    Columns: ``partition, variable, level, n, missing, mean, sd, median, q1, q3, exams, share`` (of those known).
    """
    table = cohort.merge(analysed[["exam", "partition"]], on="exam")
    rows: list[dict[str, Any]] = []
    for partition in partitions:
        members = table[table.partition == partition]
        described: list[dict[str, Any]] = [{"variable": "exams", "exams": len(members)}]
        described.append({"variable": "patients", "exams": members.patient.nunique()})
        described += [_measured(members[name]) for name in MEASURED if name in table]
        for name in COUNTED:
            described += _counted(members[name], table[name]) if name in table else []
        rows += [{"partition": partition, **row} for row in described]
    statistics = ["n", "missing", "mean", "sd", "median", "q1", "q3", "exams", "share"]
    return pd.DataFrame(rows, columns=["partition", "variable", "level", *statistics]).convert_dtypes(
        convert_string=False, convert_floating=False
    )


def _measured(values: pd.Series) -> dict[str, Any]:
    known = values.dropna().astype(float)
    row: dict[str, Any] = {"variable": values.name, "n": len(known), "missing": len(values) - len(known)}
    if len(known):
        q1, median, q3 = known.quantile([0.25, 0.5, 0.75])
        row |= {"mean": known.mean(), "sd": known.std(ddof=1), "median": median, "q1": q1, "q3": q3}
    return row


def _counted(values: pd.Series, everywhere: pd.Series) -> list[dict[str, Any]]:
    """One row per level that occurs in any partition."""
    binary = values.name in ("diabetes", "steatosis", "t1w", "t2w", "dwi")
    values, everywhere = (_levels(column, binary) for column in (values, everywhere))
    known = int((values != "").sum())
    size = {"n": known, "missing": len(values) - known}
    rows = []
    for level in sorted(set(everywhere) - {""}, reverse=binary):
        count = int((values == level).sum())
        rows.append(
            {"variable": values.name, "level": level, **size, "exams": count, "share": count / known if known else None}
        )
    return rows


def _levels(values: pd.Series, binary: bool) -> pd.Series:
    """The levels as text, empty where unknown."""
    return yes_or_no(values) if binary else values.map(lambda value: "" if pd.isna(value) else str(value))
