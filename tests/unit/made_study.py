"""A made study: the tables that the stages before hand to ``evaluate`` and ``report``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from liverstiff.config import EvaluateConfig, TargetConfig
from liverstiff.evaluate import evaluate_study

TABLES = (
    *("flow", "analysed", "metrics", "residuals", "table1", "thresholds", "cutpoints", "bland_altman", "subgroups"),
    *("contrasts", "comparisons", "coverage", "calibration", "roc", "decision"),
)
SITES = {"alba": "GE", "brook": "Siemens", "cedar": "Philips", "delta": "Siemens"}
SPLITS = {"cross-validation": 34, "temporal": 12, "external": 14}
EXCLUDED = [
    *(("alba", "elastography", "no_confident_pixel", "no pixel of the liver above 95 % confidence"),) * 3,
    *(("brook", "catalog", "missing_sequence", "no T1w before contrast"),) * 2,
    ("delta", "segment", "segmentation_failed", "liver of 210 ml outside 400 to 5000 ml"),
]


def write_inputs(folder: Path, sizes: dict[str, int] | None = None) -> dict[str, object]:
    """Write a study of these sizes per partition and return the keyword arguments of ``evaluate_study``."""
    sizes = SPLITS if sizes is None else sizes
    rng = np.random.default_rng(7)
    cohort = pd.concat([_exams(rng, name, size) for name, size in sizes.items()], ignore_index=True)
    cohort["exam"] = [f"e{row:012x}" for row in range(len(cohort))]
    cohort["patient"] = [f"p{row - (row % 12 == 5):012x}" for row in range(len(cohort))]
    gone = pd.DataFrame(EXCLUDED, columns=["site", "stage", "reason", "detail"])
    gone["exam"] = [f"ea{row:011x}" for row in range(len(gone))]
    gone["patient"] = [f"pa{row:011x}" for row in range(len(gone))]
    late = pd.DataFrame({"exam": ["eb" + "0" * 11], "patient": [f"p{0:012x}"], "site": ["alba"]})
    exams = pd.concat([cohort[["exam", "patient", "site"]], gone[["exam", "patient", "site"]], late])
    splits = cohort[["exam", "partition"]].assign(fold=np.arange(len(cohort)) % 5, reason="")
    splits = pd.concat([splits, late[["exam"]].assign(partition="excluded", reason="patient_in_development")])
    folder.mkdir(parents=True, exist_ok=True)
    predictions = {}
    for name in sizes:
        rows = cohort[cohort.partition == name]
        estimate = 0.8 + 0.75 * rows.reference + rng.normal(0, 0.6, len(rows))
        fold = np.arange(len(rows)) % 5 if name == "cross-validation" else "ensemble"
        table = pd.DataFrame({"exam": rows.exam, "fold": fold, "estimate": estimate})
        table = table.assign(low=estimate - 1.2, high=estimate + 1.4, sequences="T1w+T2w+DWI", flags="")
        predictions[name] = folder / f"{name}.csv"
        table.to_csv(predictions[name], index=False)
    tables = {"cohort": cohort.drop(columns="partition"), "exclusions": gone, "splits": splits, "exams": exams}
    paths = {name: folder / f"in-{name}.csv" for name in tables}
    for name, table in tables.items():
        table.to_csv(paths[name], index=False)
    outputs = {name: folder / "out" / f"{name}.csv" for name in TABLES}
    return {
        "predictions": predictions,
        **paths,
        "tables": outputs,
        "summary": folder / "out" / "summary.json",
        "settings": EvaluateConfig(resamples=200),
        "target": TargetConfig(),
    }


def _exams(rng: np.random.Generator, partition: str, size: int) -> pd.DataFrame:
    """Exams of one partition with a skewed stiffness and a partly missing record."""
    sites = ["delta"] if partition == "external" else ["alba", "brook", "cedar"]
    site = np.resize(sites, size)
    age = rng.normal(57, 13, size).round(1)
    age[3::11] = np.nan
    return pd.DataFrame(
        {
            "partition": partition,
            "site": site,
            "vendor": [SITES[name] for name in site],
            "field_t": np.where(np.isin(site, ["alba", "delta"]), 1.5, 3.0),
            "t1w": True,
            "t2w": rng.random(size) > 0.1,
            "dwi": rng.random(size) > 0.05,
            "reference": 1.9 + rng.gamma(1.3, 1.1, size),
            "age": age,
            "sex": np.where(rng.random(size) < 0.45, "female", "male"),
            "bmi": rng.normal(28, 5, size),
            "diabetes": rng.integers(0, 2, size),
            "alt": rng.lognormal(3.5, 0.5, size),
            "steatosis": np.where(rng.random(size) < 0.1, np.nan, rng.integers(0, 2, size)),
            "fib4": rng.lognormal(0.5, 0.5, size),
        }
    )


def evaluated(folder: Path, sizes: dict[str, int] | None = None) -> dict[str, Path]:
    """Write and evaluate a made study; paths of the tables by name."""
    arguments = write_inputs(folder, sizes)
    evaluate_study(**arguments)  # type: ignore[arg-type]
    return arguments["tables"]  # type: ignore[return-value]
