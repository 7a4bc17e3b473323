"""Points of the curves: calibration, ROC and precision, net benefit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from liverstiff.evaluate.bootstrap import MIN_PATIENTS, TOO_FEW, no_interval, percentile_interval
from liverstiff.evaluate.draws import Draws
from liverstiff.evaluate.frozen import Development, risks_of
from liverstiff.evaluate.sample import Array, UndefinedError, numbers

TENTHS = 10
MIN_PER_POINT = 5
"""Exams a point of the calibration curve needs; smaller groups have fewer points."""
ROC_POINTS = 200
RISKS = np.arange(1, 100) / 100
"""Chance of a case at and above which one would act."""

CALIBRATION = ["partition", "point", "estimate", "reference", "low", "high", "n", "patients", "note"]
ROC = ["partition", "threshold", "cut_point", "sensitivity", "specificity", "ppv", "n", "cases"]
DECISION = [
    *("partition", "model", "threshold", "risk", "net_benefit", "low", "high", "treat_all", "n", "cases", "note"),
]


def calibration_of(analysed: pd.DataFrame, partitions: list[str], resamples: int, seed: int) -> pd.DataFrame:
    """Mean estimate and mean reference in tenths of the estimate, with the interval of the reference."""
    rows: list[dict[str, Any]] = []
    for partition in partitions:
        members = analysed[analysed.partition == partition].reset_index(drop=True)
        points = min(TENTHS, len(members) // MIN_PER_POINT)
        if points == 0:
            why = f"needs {MIN_PER_POINT} exams, has {len(members)}" if len(members) else "no exam analysed"
            rows.append({"partition": partition, "n": len(members), "patients": members.patient.nunique(), "note": why})
            continue
        draws = Draws.of(numbers(members.patient), resamples, seed)
        order = np.argsort(members.estimate.to_numpy(float), kind="stable")
        for number, exams in enumerate(np.array_split(order, points), start=1):
            some = members.iloc[exams]
            reference, patients = some.reference.to_numpy(float), some.patient.nunique()
            enough = patients >= MIN_PATIENTS
            low, high, note = draws.mean_interval(exams, reference) if enough else no_interval(TOO_FEW)
            row = {"estimate": some.estimate.mean(), "reference": reference.mean(), "low": low, "high": high}
            size = {"n": len(some), "patients": patients, "note": note}
            rows.append({"partition": partition, "point": number, **row, **size})
    return pd.DataFrame(rows, columns=CALIBRATION)


def roc_of(analysed: pd.DataFrame, partitions: list[str], thresholds: tuple[float, ...]) -> pd.DataFrame:
    """Sensitivity, specificity and PPV at every estimate, thinned to 200 of them; no rows where AUROC is undefined."""
    tables = []
    for partition in partitions:
        members = analysed[analysed.partition == partition]
        x, y = members.estimate.to_numpy(float), members.reference.to_numpy(float)
        for level in thresholds:
            case = y >= level
            if len(y) < 3 or case.all() or not case.any():
                continue
            cuts = np.unique(x)
            if len(cuts) > ROC_POINTS:
                cuts = cuts[np.unique(np.linspace(0, len(cuts) - 1, ROC_POINTS).astype(int))]
            called = len(x) - np.searchsorted(np.sort(x), cuts)
            hits = case.sum() - np.searchsorted(np.sort(x[case]), cuts)
            points = {"cut_point": cuts, "sensitivity": hits / case.sum(), "ppv": hits / called}
            points["specificity"] = 1 - (called - hits) / (~case).sum()
            size = {"n": len(x), "cases": int(case.sum())}
            tables.append(pd.DataFrame({"partition": partition, "threshold": level, **points, **size}))
    return pd.concat(tables)[ROC] if tables else pd.DataFrame(columns=ROC)


def decision_of(
    models: dict[str, tuple[pd.DataFrame, Development]],
    partitions: list[str],
    thresholds: tuple[float, ...],
    transform: str,
    resamples: int,
    seed: int,
) -> pd.DataFrame:
    """Net benefit of acting when the risk reaches p: TP / n - FP / n p / (1 - p).

    Vickers and Elkin, Med Decis Making 2006;26:565.

    ``treat_all`` is that of acting always; of acting never it is 0.

    Args:
        models: by name, its rows as in ``analysed.csv`` and the exams from which risk follows.
        partitions: in order.
        thresholds: of the reference.
        transform: ``log`` or ``none``: scale of the estimate in the logistic regression.
        resamples: of patients, for the intervals.
        seed: of the resamples.
    """
    rows: list[pd.DataFrame] = []
    for name, (table, development) in models.items():
        for partition in partitions:
            members = table[table.partition == partition].reset_index(drop=True)
            draws = Draws.of(numbers(members.patient), resamples, seed)
            for level in thresholds:
                case = members.reference.to_numpy(float) >= level
                key = {"partition": partition, "model": name, "threshold": level, "n": len(case), "cases": case.sum()}
                try:
                    if len(case) == 0:
                        raise UndefinedError("no exam analysed")
                    curve = net_benefit(risks_of(members, development, level, transform), case, draws)
                    rows.append(pd.DataFrame({**curve, **key}))
                except UndefinedError as why:
                    rows.append(pd.DataFrame([{**key, "note": str(why)}]))
    return pd.concat(rows, ignore_index=True).reindex(columns=DECISION) if rows else pd.DataFrame(columns=DECISION)


def net_benefit(risk: Array, case: np.ndarray, draws: Draws) -> dict[str, Any]:
    """The curve of one model, with intervals, by risk at which one acts."""
    odds = RISKS / (1 - RISKS)
    worth = np.where(case[:, None], 1.0, -odds)
    gained = worth * (risk[:, None] >= RISKS)
    curve = {"risk": RISKS, "net_benefit": gained.mean(axis=0), "treat_all": worth.mean(axis=0)}
    if len(draws.counts) < MIN_PATIENTS:
        return {**curve, "note": TOO_FEW}
    sums = draws.sums(np.arange(len(case)), np.column_stack([gained, np.ones(len(case))]))
    ends = [percentile_interval(one) for one in sums[:-1] / sums[-1]]
    low, high, note = zip(*ends, strict=True)
    return {**curve, "low": low, "high": high, "note": note}
