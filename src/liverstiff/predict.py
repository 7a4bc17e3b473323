"""Stage ``predict``: the target of exams no model was trained on, with conformal intervals.

An exam of the cross-validation is estimated by the model of its own fold, an exam of the temporal or external test by
the mean of all folds' models.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from liverstiff.config import PredictConfig
from liverstiff.errors import ConfigError, DataError
from liverstiff.model import (
    Description,
    StiffnessNet,
    channels_present,
    choose_device,
    find_exams,
    from_scale,
    load_model,
    raw_values,
    read_batch,
    split_sha256,
    to_scale,
    training_exams,
)
from liverstiff.records import CHANNELS, PARTITIONS, SEQUENCES, read_table

COLUMNS = ("exam", "fold", "estimate", "low", "high", "sequences", "flags", "spread")

BATCH = 16
"""Exams in memory at a time."""

Fold = tuple[StiffnessNet, Description]


@dataclass(frozen=True)
class Source:
    """Where exams are read from."""

    packs: list[Path]
    """Shard folders."""
    cohort: pd.DataFrame
    """``cohort.csv``, indexed by exam."""


def predict_partition(
    *,
    packs: list[Path],
    cohort: Path,
    splits: Path,
    models: list[Path],
    partition: str,
    calibration: Path | None,
    predictions: Path,
    settings: PredictConfig,
    threads: int = 1,
) -> None:
    """Write ``exam, fold, estimate, low, high, sequences, flags, spread`` of a partition, a row per exam, by exam.

    Args:
        packs: shard folders of the stage pack.
        cohort: ``cohort.csv``; of the exams to predict only the record is used, never the stiffness.
        splits: ``splits.csv``.
        models: folders of the folds' models, fold 0 first.
        partition: ``cross-validation``, ``temporal`` or ``external``.
        calibration: predictions of the cross-validation; needed for, and only for, the other two.
        predictions: CSV to write. ``low`` and ``high`` bound an interval that holds the measured target of a share
            ``settings.interval`` of like exams; both are empty where too few residuals exist to give one.
        settings: config section ``predict``.
        threads: CPU threads.

    Raises:
        ConfigError: for a device that is not there, or an unknown partition.
        DataError: for a model that belongs to another split, an exam without image, or missing calibration.
    """
    device = choose_device(settings.device, "predict.device")
    if partition not in PARTITIONS:
        raise ConfigError(f"partition: got {partition!r}; expected one of {', '.join(PARTITIONS)}")
    torch.set_num_threads(threads)
    split = read_table(splits)
    rows = split[split["partition"] == partition].sort_values("exam", ignore_index=True)
    if rows.empty:
        pd.DataFrame(columns=list(COLUMNS)).to_csv(predictions, index=False)
        return
    source = Source(packs, read_table(cohort).set_index("exam"))
    folds = [load_model(folder) for folder in models]
    check_models(folds, split)
    transform = folds[0][1].fitted.transform
    if partition == "cross-validation":
        table = out_of_fold(rows, source, folds, device)
        table = cross_intervals(table, source.cohort["reference"], settings.interval, transform)
    else:
        table = ensemble(rows, source, folds, device)
        scores = scores_of(_calibration(calibration, partition), source.cohort["reference"], transform)
        quantile = conformal_quantile(scores, settings.interval)
        table = with_intervals(table, np.full(len(table), quantile), transform)
    table[list(COLUMNS)].to_csv(predictions, index=False, float_format="%.6g")


def check_models(folds: list[Fold], split: pd.DataFrame) -> None:
    """Every model is the one that never saw its fold of this split.

    Raises:
        DataError: naming the fold.
    """
    for fold, (_, described) in enumerate(folds):
        if described.fold != fold or described.split_sha256 != split_sha256(training_exams(split, fold)):
            raise DataError(f"models: model {fold} is of fold {described.fold} or of another split; train it again")


def out_of_fold(rows: pd.DataFrame, source: Source, folds: list[Fold], device: torch.device) -> pd.DataFrame:
    """Estimates of cross-validation exams, each by the model that never saw its fold."""
    fold_of = rows["fold"].astype(int)
    if fold_of.max() >= len(folds):
        raise DataError(f"splits: fold {fold_of.max()} has no model; {len(folds)} models are given; train it")
    parts = []
    for fold in sorted(fold_of.unique()):
        exams = rows.loc[fold_of == fold, "exam"].tolist()
        network, described = folds[fold]
        values, spread = estimate(network.to(device), described, exams, source)
        parts.append(describe(exams, values, spread, source, [described]).assign(fold=str(fold)))
    return pd.concat(parts).sort_values("exam", ignore_index=True)


def ensemble(rows: pd.DataFrame, source: Source, folds: list[Fold], device: torch.device) -> pd.DataFrame:
    """Estimates of held-out exams: the mean over the folds' models, of target and of spread."""
    exams = rows["exam"].tolist()
    estimates = [estimate(network.to(device), described, exams, source) for network, described in folds]
    values, spread = np.mean(estimates, axis=0)
    return describe(exams, values, spread, source, [described for _, described in folds]).assign(fold="ensemble")


@torch.no_grad()
def estimate(
    network: StiffnessNet, described: Description, exams: list[str], source: Source
) -> tuple[np.ndarray, np.ndarray]:
    """Mean of the target and its predicted SD on its scale of exams, (n,) each."""
    device = next(network.parameters()).device
    fitted = described.fitted
    found = find_exams(source.packs, exams)
    values = raw_values(source.cohort, found, described.architecture.variables)
    parts = []
    for start in range(0, len(exams), BATCH):
        some = slice(start, start + BATCH)
        batch = read_batch(found.iloc[some], values[some], fitted).to(device)
        parts.append(torch.stack(network(batch.of(torch.arange(len(batch.images), device=device)))))
    mean, spread = torch.cat(parts, dim=1).cpu().numpy().astype(np.float64)
    middle = from_scale(fitted.target_mean + fitted.target_sd * mean, fitted.transform)
    return described.smearing * middle, fitted.target_sd * spread


def describe(
    exams: list[str], values: np.ndarray, spread: np.ndarray, source: Source, by: list[Description]
) -> pd.DataFrame:
    """Estimates with the sequences they rest on and what the reader should know about them."""
    trained = np.any([described.fitted.trained for described in by], axis=0)
    present = channels_present(find_exams(source.packs, exams)) & trained
    lowest = min(described.fitted.target_range[0] for described in by)
    highest = max(described.fitted.target_range[1] for described in by)
    flags = [flags_of(row, lowest <= value <= highest) for row, value in zip(present, values, strict=True)]
    sequences = [sequences_of(row) for row in present]
    return pd.DataFrame({"exam": exams, "estimate": values, "spread": spread, "sequences": sequences, "flags": flags})


def sequences_of(present: np.ndarray) -> str:
    """The sequences behind the channels that are present, e.g. ``T1w+DWI``."""
    there = {"DWI" if name == "ADC" else name for name, flag in zip(CHANNELS, present, strict=True) if flag}
    return "+".join(name for name in SEQUENCES if name in there)


def flags_of(present: np.ndarray, in_range: bool) -> str:
    """``missing_<channel>`` and ``out_of_range`` (of the targets seen in training), joined by semicolons."""
    missing = [f"missing_{name}" for name, flag in zip(CHANNELS, present, strict=True) if not flag]
    return ";".join(missing + ([] if in_range else ["out_of_range"]))


def conformal_quantile(scores: np.ndarray, coverage: float) -> float:
    """The k-th smallest score with k = ceil((n + 1) coverage), infinite when k > n.

    Split conformal prediction (Lei et al., J Am Stat Assoc 2018;113:1094-1111): a new score of the same kind is not
    larger with a probability of at least ``coverage``.
    """
    rank = math.ceil((len(scores) + 1) * coverage - 1e-9)  # 0.9 x 20 must not become 19 by rounding
    return float(np.sort(scores)[rank - 1]) if rank <= len(scores) else math.inf


def scores_of(table: pd.DataFrame, reference: pd.Series, transform: str) -> np.ndarray:
    """How many predicted spreads the measured target lies from the estimated on its scale, (n,)."""
    measured = reference.loc[table["exam"]].to_numpy(dtype=float)
    apart = to_scale(measured, transform) - to_scale(table["estimate"].to_numpy(), transform)
    return np.asarray(np.abs(apart) / table["spread"].to_numpy())


def cross_intervals(table: pd.DataFrame, reference: pd.Series, coverage: float, transform: str) -> pd.DataFrame:
    """Intervals of out-of-fold estimates; an exam's follows from the residuals of the other folds."""
    scores = scores_of(table, reference, transform)
    quantile = np.empty(len(table))
    for fold in table["fold"].unique():
        own = (table["fold"] == fold).to_numpy()
        quantile[own] = conformal_quantile(scores[~own], coverage)
    return with_intervals(table, quantile, transform)


def with_intervals(table: pd.DataFrame, quantile: np.ndarray, transform: str) -> pd.DataFrame:
    """``low`` and ``high`` at ``quantile`` spreads on the scale of the target; empty and flagged where infinite."""
    finite = np.isfinite(quantile)
    middle = to_scale(table["estimate"].to_numpy(), transform)
    half = np.where(finite, quantile, np.nan) * table["spread"].to_numpy()
    unavailable = np.where(finite, "", "interval_unavailable")
    flags = [";".join(filter(None, pair)) for pair in zip(table["flags"], unavailable, strict=True)]
    low, high = (from_scale(end, transform) for end in (middle - half, middle + half))
    return table.assign(low=low, high=high, flags=flags)


def _calibration(path: Path | None, partition: str) -> pd.DataFrame:
    """The predictions of the cross-validation."""
    if path is None:
        raise DataError(f"calibration: none given for {partition}; expected the predictions of the cross-validation")
    return pd.read_csv(path, dtype={"exam": str, "fold": str})
