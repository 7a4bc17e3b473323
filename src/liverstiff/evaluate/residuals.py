"""Does the residual depend on who was scanned, or where? Slopes and differences, and whether they are small enough."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.multitest import multipletests

from liverstiff.evaluate.bootstrap import MIN_PATIENTS
from liverstiff.evaluate.performance import level_texts
from liverstiff.evaluate.sample import Array, UndefinedError, constant

SLOPES = {"age": "year", "bmi": "kg/m2"}
"""Covariates that are measured, with the unit of one step."""

GROUPS = ("sex", "steatosis", "vendor", "site", "field_t", "mre_type", "reference_source")

LEVELS = {"sex": ("male", "female"), "steatosis": ("yes", "no")}
"""Levels, the first minus the second; others are in descending order."""

WORDS = {
    "field_t": "field strength",
    "mre_type": "type of elastography",
    "reference_source": "source of the reference",
    "bmi": "body mass index",
}

ALPHA = 0.05

COLUMNS = [
    *("partition", "covariate", "level", "effect", "value", "low", "high", "p", "p_holm", "span"),
    *("span_value", "span_low", "span_high", "margin", "p_equivalence", "power", "verdict", "n", "patients", "note"),
]


@dataclass(frozen=True)
class Contrast:
    """One question about the residual."""

    covariate: str
    level: str
    """The level that is compared, empty for a slope."""
    effect: str
    """What is estimated, with its unit."""
    rows: pd.DataFrame
    """Exams with a known value."""
    values: Array
    """The covariate, or 1 for the level and 0 for the others, (exams,)."""
    span: float
    """Difference of the covariate over which the effect is judged: 10th to 90th percentile, or 1."""


def residuals_of(analysed: pd.DataFrame, partitions: list[str], unit: str, margin: float) -> pd.DataFrame:
    """A row per partition and slope, or difference of a level.

    ``value`` with its 95 % interval and p is per unit of the covariate; ``span_value`` with its 90 % interval is over
    ``span``, and is what the equivalence test compares with ``margin``. ``p_holm`` is over the partition.

    ``verdict``: ``equivalent`` when the equivalence test rejects at 5 %: the effect is smaller than the margin;
    ``different`` when not so and ``p_holm`` is below 5 %; else ``inconclusive``. A claim that several covariates are
    all equivalent needs no correction (Berger, Technometrics 1982;24:295), a claim that some differ does.
    """
    rows: list[dict[str, Any]] = []
    for partition in partitions:
        members = analysed[analysed.partition == partition]
        found = [row for covariate in (*SLOPES, *GROUPS) for row in _rows(members, covariate, unit, margin)]
        rows += [{"partition": partition, **row} for row in judged(found)]
    return pd.DataFrame(rows, columns=COLUMNS)


def _rows(members: pd.DataFrame, covariate: str, unit: str, margin: float) -> Iterator[dict[str, Any]]:
    try:
        contrasts = list(contrasts_of(members, covariate, unit))
    except UndefinedError as why:
        step = SLOPES.get(covariate)
        effect = f"slope, {unit} per {step}" if step else f"difference, {unit}"
        size = {"n": int(known(members, covariate).sum()), "patients": 0}
        size["patients"] = members.patient[known(members, covariate)].nunique()
        yield {"covariate": covariate, "level": "", "effect": effect, "margin": margin, **size, "note": str(why)}
        return
    for contrast in contrasts:
        size = {"n": len(contrast.rows), "patients": contrast.rows.patient.nunique()}
        row = {"covariate": covariate, "level": contrast.level, "effect": contrast.effect, "margin": margin, **size}
        try:
            yield {**row, "span": contrast.span, **effect_of(contrast, margin), "note": ""}
        except UndefinedError as why:
            yield {**row, "note": str(why)}


def known(rows: pd.DataFrame, covariate: str) -> pd.Series:
    """True where the covariate of an exam is known."""
    if covariate not in rows:
        return pd.Series(False, rows.index)
    return rows[covariate].notna() if covariate in SLOPES else _levels(rows, covariate) != ""


def _levels(rows: pd.DataFrame, covariate: str) -> pd.Series:
    text = level_texts(rows[covariate])
    return text.where(text.isin(LEVELS[covariate]), "") if covariate in LEVELS else text


def contrasts_of(members: pd.DataFrame, covariate: str, unit: str) -> Iterator[Contrast]:
    """A slope; or of two levels their difference, of more each level less all others.

    Raises:
        UndefinedError: the covariate is not known, or does not vary.
    """
    word = WORDS.get(covariate, covariate)
    if members.empty:
        raise UndefinedError("no exam analysed")
    rows = members[known(members, covariate)]
    if rows.empty:
        given = covariate in LEVELS and covariate in members and (level_texts(members[covariate]) != "").any()
        raise UndefinedError(f"no value is {' or '.join(LEVELS[covariate])}" if given else f"{word} is not recorded")
    if covariate in SLOPES:
        values = rows[covariate].to_numpy(float)
        low, high = np.quantile(values, [0.1, 0.9])
        if constant(values) or constant(np.array([low, high])):
            raise UndefinedError(f"{word} does not vary")
        yield Contrast(covariate, "", f"slope, {unit} per {SLOPES[covariate]}", rows, values, float(high - low))
        return
    text = _levels(rows, covariate)
    levels = [one for one in LEVELS.get(covariate, sorted(set(text), reverse=True)) if (text == one).any()]
    if len(levels) < 2:
        raise UndefinedError(f"{word} does not vary: {levels[0]}")
    for level in levels[:1] if len(levels) == 2 else sorted(levels):
        rest = levels[1] if len(levels) == 2 else "the others"
        values = np.asarray(text == level, dtype=np.float64)
        yield Contrast(covariate, level, f"{level} - {rest}, {unit}", rows, values, 1.0)


def effect_of(contrast: Contrast, margin: float) -> dict[str, Any]:
    """Least-squares effect on the residual, with errors robust to repeat exams of a patient, and its equivalence test.

    Intervals and p use Student's t with patients - 1 degrees of freedom (cluster sandwich estimator). The equivalence
    test is two one-sided tests at 5 % (Schuirmann, J Pharmacokinet Biopharm 1987;15:657); ``power`` is its chance to
    reject with this standard error were there no effect at all.

    Raises:
        UndefinedError: too few patients, or no scatter.
    """
    patient, values = contrast.rows.patient, contrast.values
    if patient.nunique() < MIN_PATIENTS:
        raise UndefinedError(f"needs {MIN_PATIENTS} patients, has {patient.nunique()}")
    if contrast.level:
        fewest = min(patient[values == side].nunique() for side in (0, 1))
        if fewest < MIN_PATIENTS:
            raise UndefinedError(f"needs {MIN_PATIENTS} patients on either side, has {fewest}")
    design = np.column_stack([np.ones_like(values), values])
    clusters = {"groups": pd.factorize(patient)[0]}
    fit = OLS(contrast.rows.residual.to_numpy(float), design).fit(cov_type="cluster", cov_kwds=clusters, use_t=True)
    error = float(fit.bse[1])
    if not error > 1e-12:
        raise UndefinedError("the residual has no scatter")
    low, high = fit.conf_int()[1]
    estimate, freedom = float(fit.params[1]), patient.nunique() - 1
    return {
        **{"value": estimate, "low": float(low), "high": float(high), "p": float(fit.pvalues[1])},
        **equivalence(estimate * contrast.span, error * contrast.span, freedom, margin),
    }


def equivalence(value: float, error: float, freedom: float, margin: float) -> dict[str, float]:
    """Two one-sided t tests of an effect with its standard error against -margin and +margin."""
    t = stats.t(freedom)
    critical = float(t.ppf(1 - ALPHA))
    return {
        "span_value": value,
        "span_low": value - critical * error,
        "span_high": value + critical * error,
        "p_equivalence": float(max(t.sf((value + margin) / error), t.cdf((value - margin) / error))),
        "power": float(max(0.0, 2 * t.cdf(margin / error - critical) - 1)),
    }


def judged(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with p corrected by Holm over all of them, and a verdict."""
    tested = [row for row in rows if "p" in row]
    for row, corrected in zip(tested, holm([row["p"] for row in tested]), strict=True):
        row["p_holm"] = corrected
        row["verdict"] = verdict(row["p_equivalence"], corrected)
    return rows


def holm(p: list[float]) -> list[float]:
    """p values corrected for their number (Holm, Scand J Stat 1979;6:65)."""
    return [float(value) for value in multipletests(p, method="holm")[1]] if p else []


def verdict(p_equivalence: float, p_holm: float) -> str:
    """``equivalent``, ``different`` or ``inconclusive``."""
    if p_equivalence < ALPHA:
        return "equivalent"
    return "different" if p_holm < ALPHA else "inconclusive"
