"""How numbers and codes are worded on the page. Rounding happens here and nowhere else."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from liverstiff.config import TargetConfig

UNIT = "(unit of the target)"
"""Stands for ``target.unit``."""

METRICS = {
    "pearson_r": ("Pearson r", "", 2),
    "pearson_r_within_site": ("Pearson r within sites", "", 2),
    "pearson_r_corrected": ("Pearson r corrected for the noise of the reference", "", 2),
    "spearman_rho": ("Spearman rho", "", 2),
    "reference_sd": ("SD of the reference", UNIT, 2),
    "mae": ("Mean absolute error", UNIT, 2),
    "rmse": ("Root mean squared error", UNIT, 2),
    "r2": ("R² (1 − SSE/SST)", "", 2),
    "bias": ("Bias (estimate − reference)", UNIT, 2),
    "limit_low": ("Lower limit of agreement", UNIT, 2),
    "limit_high": ("Upper limit of agreement", UNIT, 2),
    "proportional_bias": ("Proportional bias (slope of difference on mean)", "", 2),
    "icc_a1": ("ICC(A,1)", "", 2),
    "lin_ccc": ("Lin’s concordance", "", 2),
    "calibration_slope": ("Calibration slope", "", 2),
    "calibration_intercept": ("Calibration intercept", UNIT, 2),
    "share_within": ("Estimates close to the reference", "%", 0),
    "share_within_perfect": ("The same of a perfect model", "%", 0),
    "interval_coverage": ("Intervals that hold the reference", "%", 0),
    "auroc": ("AUROC", "", 2),
    "auprc": ("AUPRC", "", 2),
    "prevalence": ("Cases", "%", 0),
    "sensitivity": ("Sensitivity", "%", 0),
    "specificity": ("Specificity", "%", 0),
    "ppv": ("PPV", "%", 0),
    "npv": ("NPV", "%", 0),
}
"""Label, unit and decimals. A metric at a threshold, ``auroc_3``, is worded by :func:`metric_wording`."""

PARTITIONS = {
    "cross-validation": "Cross-validation",
    "temporal": "Temporal test",
    "external": "External test",
    "all": "All exams",
}

COVARIATES = {
    "age": "Age",
    "bmi": "Body mass index",
    "sex": "Sex",
    "steatosis": "Steatosis",
    "vendor": "Vendor",
    "site": "Site",
    "field_t": "Field strength",
    "mre_type": "Type of elastography",
    "reference_source": "Source of the reference",
}

BASELINES = {
    "model": "Model",
    "mean": "Mean of the training exams",
    "fib4": "FIB-4",
    "record_ridge": "Record, linear",
    "record_boosting": "Record, boosted trees",
    "signs_ridge": "Image measures, linear",
    "signs_combat_ridge": "Image measures after ComBat, linear",
    "signs_record_ridge": "Image measures and record, linear",
    "T1w_ridge": "T1w measures, linear",
    "T2w_ridge": "T2w measures, linear",
    "DWI_ridge": "DWI measures, linear",
    "site_mean": "Mean of the site",
    "scanner": "Scanner",
    "missingness": "Which values are missing",
}
"""Baselines of the stage predict; a variant keeps its own name."""

REASONS = {
    "missing_sequence": "a required sequence is missing",
    "missing_mre": "no elastogram",
    "wrong_modality": "no MR image",
    "conflicting_identity": "images of several patients in one study",
    "duplicate_exam": "the same exam under another number",
    "no_patient_id": "no number of the patient",
    "unreadable_image": "an image cannot be read",
    "conversion_failed": "conversion failed",
    "implausible_image": "implausible image",
    "registration_failed": "registration failed",
    "segmentation_failed": "segmentation failed",
    "out_of_time": "not finished in time",
    "out_of_memory": "not finished within memory",
    "no_confident_pixel": "no confident pixel in the elastogram",
    "area_too_small": "too little confident liver in the elastogram",
    "wrong_frequency": "elastogram at another frequency",
    "unit_unclear": "unit of the elastogram unclear",
    "stiffness_out_of_range": "stiffness out of range",
    "no_study_date": "no date of the exam",
    "no_record": "no health record",
    "not_eligible": "not eligible",
    "no_reference": "no reported value of the target",
    "missing_value": "a required value is missing",
    "patient_in_development": "patient is also in the development data",
    "patient_at_development_site": "patient is also seen at a development site",
    "patient_in_other_fold": "patient belongs to another site or vendor",
    "no_estimate": "no estimate",
}

VARIABLES = {
    "reference": ("Reference", UNIT, 2),
    "age": ("Age", "years", 0),
    "bmi": ("Body mass index", "kg/m²", 1),
    "height": ("Height", "cm", 0),
    "weight": ("Weight", "kg", 0),
    "ast": ("AST", "U/L", 0),
    "alt": ("ALT", "U/L", 0),
    "ggt": ("GGT", "U/L", 0),
    "alp": ("ALP", "U/L", 0),
    "platelets": ("Platelets", "10⁹/L", 0),
    "albumin": ("Albumin", "g/dL", 1),
    "bilirubin": ("Bilirubin", "mg/dL", 1),
    "inr": ("INR", "", 2),
    "creatinine": ("Creatinine", "mg/dL", 2),
    "pdff": ("Fat fraction (PDFF)", "%", 1),
    "fib4": ("FIB-4", "", 2),
    "apri": ("APRI", "", 2),
    "nfs": ("NAFLD fibrosis score", "", 2),
    "sex": ("Sex", "", 0),
    "diabetes": ("Diabetes", "", 0),
    "aetiology": ("Aetiology", "", 0),
    "steatosis": ("Steatosis", "", 0),
    "site": ("Site", "", 0),
    "vendor": ("Scanner vendor", "", 0),
    "field_t": ("Field strength", "T", 0),
    "t1w": ("T1-weighted images", "", 0),
    "t2w": ("T2-weighted images", "", 0),
    "dwi": ("Diffusion-weighted images", "", 0),
}


def rounded(value: float, digits: int) -> str:
    """The value with so many decimals, a true minus sign, and no minus before zero."""
    text = f"{value:.{digits}f}"
    if float(text) == 0:
        text = text.lstrip("-")
    return text.replace("-", "−")


@dataclass(frozen=True)
class Number:
    """A number as it is in its file, and as it is shown."""

    exact: float
    digits: int = 2
    scale: float = 1
    shown: str = ""
    """Stands for the rounded number where that would mislead, as with a very small p."""

    @property
    def text(self) -> str:
        """The number rounded."""
        return self.shown or rounded(self.exact * self.scale, self.digits)


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval; ``None`` where there is none, and ``note`` says why."""

    metric: str
    value: Number | None
    low: Number | None
    high: Number | None
    note: str = ""

    @classmethod
    def of(
        cls, row: Any, digits: int | None = None, names: tuple[str, str, str] = ("value", "low", "high")
    ) -> Estimate:
        """From a row with value, low, high (of these names), ``note``, and ``metric`` unless digits are given."""
        metric = row.get("metric", "")
        _, unit, usual = metric_wording(metric)
        decimals, scale = usual if digits is None else digits, 100 if unit == "%" else 1
        value, low, high = (_number(float(row[name]), decimals, scale) for name in names)
        return cls(metric, value, low, high, row.get("note", ""))

    @classmethod
    def missing(cls, metric: str, note: str) -> Estimate:
        """No value."""
        return cls(metric, None, None, None, note)


def _number(value: float, digits: int, scale: float) -> Number | None:
    return Number(value, digits, scale) if math.isfinite(value) else None


def metric_wording(metric: str, target: TargetConfig | None = None) -> tuple[str, str, int]:
    """Label, unit and decimals of a metric."""
    shown = (target or TargetConfig()).unit
    name, _, level = metric.rpartition("_")
    if name == "auroc":
        return f"AUROC at {level} {shown}", "", 2
    if name in ("bias_below", "bias_above"):
        return f"Bias where the reference is {'below' if name == 'bias_below' else 'at least'} {level}", shown, 2
    label, unit, digits = METRICS.get(metric, (metric, "", 2))
    return label, shown if unit == UNIT else unit, digits


def with_unit(label: str, unit: str) -> str:
    """``label, unit``, or the label alone."""
    return f"{label}, {unit}" if unit else label


def exams_text(exams: int, patients: int | None = None) -> str:
    """``34 exams of 31 patients``."""
    text = f"{exams:,} exam{'s' * (exams != 1)}"
    return text if patients is None else f"{text} of {patients_text(patients)}"


def patients_text(patients: int) -> str:
    """``31 patients``."""
    return f"{patients:,} patient{'s' * (patients != 1)}"


def listed(values: Any, last: str = "and") -> str:
    """``a, b and c``."""
    texts = [str(value) for value in values]
    return f" {last} ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts)


def days_text(days: int) -> str:
    """``1 day``, ``90 days``."""
    return f"{days:,} day{'s' * (days != 1)}"


def variable_text(name: str) -> str:
    """Name of a variable inside a sentence."""
    label = VARIABLES.get(name, (name.replace("_", " "),))[0]
    return label[:1].lower() + label[1:] if label[1:2].islower() else label


def partition_text(partition: str) -> str:
    """Name of a partition on the page."""
    return PARTITIONS.get(partition, partition[:1].upper() + partition[1:])


def partition_inside(partition: str) -> str:
    """Name of a partition inside a sentence."""
    return PARTITIONS[partition].lower() if partition in PARTITIONS else partition


def group_text(group: str) -> str:
    """Name of a group on the page; of a combination its parts."""
    if group == "all":
        return "All"
    return ", ".join(_level_text(part) for part in group.split(" & "))


def _level_text(group: str) -> str:
    name, _, value = group.partition("=")
    value = value.replace("-", "–") if name == "estimate" else value
    if name == "steatosis":
        return {"yes": "With steatosis", "no": "Without steatosis"}.get(value, value)
    if name in ("vendor", "sex"):
        return value
    unit = " T" if name == "field_t" else ""
    label = {"bmi": "BMI"}.get(name) or VARIABLES.get(name, (name.replace("_", " ").capitalize(),))[0]
    return f"{label} {value}{unit}"


def p_value(p: float) -> Number | str:
    """A p value: two decimals, three when small."""
    if not math.isfinite(p):
        return "–"
    return Number(p, 3 if p < 0.1 else 2, shown="<\N{NO-BREAK SPACE}0.001" if p < 0.001 else "")
