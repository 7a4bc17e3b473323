"""Estimates of exams by models that never saw them, and what a reader should know about each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from liverstiff.errors import DataError
from liverstiff.model import (
    Description,
    Model,
    channels_present,
    find_exams,
    from_scale,
    raw_values,
    read_batch,
    split_sha256,
    to_scale,
    training_exams,
    traits,
)
from liverstiff.records import SEQUENCES

BATCH = 16
"""Exams in memory at a time."""

Fold = tuple[Model, Description]


@dataclass(frozen=True)
class Source:
    """Where exams are read from."""

    packs: list[Path]
    """Shard folders."""
    cohort: pd.DataFrame
    """``cohort.csv``, indexed by exam."""


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
        table = estimate(network.to(device), described, exams, source)
        parts.append(describe(table, source, [described]).assign(fold=str(fold)))
    return pd.concat(parts).sort_values("exam", ignore_index=True)


def ensemble(rows: pd.DataFrame, source: Source, folds: list[Fold], device: torch.device) -> pd.DataFrame:
    """Estimates of held-out exams: the mean over the folds' models.

    The spread is that of a mixture: the root of the mean squared spread and the variance between the folds.
    """
    exams = rows["exam"].tolist()
    found, values = gather(exams, source, folds[0][1])
    tables = [apply(network.to(device), described, found, values) for network, described in folds]
    transform = folds[0][1].fitted.transform
    values, spread = (np.stack([table[name].to_numpy() for table in tables]) for name in ("estimate", "spread"))
    apart = to_scale(values, transform).std(axis=0)
    joined = {"estimate": values.mean(axis=0), "spread": np.hypot(np.sqrt((spread**2).mean(axis=0)), apart)}
    joined["distance"] = np.mean([table["distance"] for table in tables], axis=0)
    table = pd.DataFrame({"exam": exams, **joined})
    return describe(table, source, [described for _, described in folds]).assign(fold="ensemble")


def gather(exams: list[str], source: Source, described: Description) -> tuple[pd.DataFrame, np.ndarray]:
    """Where exams lie, and their numbers (n, variable): the same for the models of all folds, so measured once."""
    found = find_exams(source.packs, exams, described.fitted.channels)
    return found, raw_values(source.cohort, found, described.architecture.variables)


def estimate(network: Model, described: Description, exams: list[str], source: Source) -> pd.DataFrame:
    """The estimates of :func:`apply` of exams that are found and measured for this model."""
    return apply(network, described, *gather(exams, source, described))


@torch.no_grad()
def apply(network: Model, described: Description, found: pd.DataFrame, values: np.ndarray) -> pd.DataFrame:
    """``exam, estimate`` (in the unit of the target), ``spread``, its predicted SD on the scale of the target, and
    ``distance`` from the training exams.

    Args:
        network: on its device.
        described: of the network.
        found: where the n exams lie.
        values: (n, variable), as they were measured and recorded.
    """
    device = next(network.buffers()).device
    fitted = described.fitted
    parts = []
    for start in range(0, len(found), BATCH):
        some = slice(start, start + BATCH)
        batch = read_batch(found.iloc[some], values[some], fitted).to(device)
        batch = batch.of(torch.arange(batch.size, device=device))
        features = network.embed(batch)
        distance = network.familiarity(traits(features, batch))
        parts.append(torch.stack([*network.read(features, batch), distance]))
    mean, spread, distance = torch.cat(parts, dim=1).cpu().numpy().astype(np.float64)
    middle = from_scale(fitted.target_mean + fitted.target_sd * mean, fitted.transform)
    columns = {"estimate": described.smearing * middle, "spread": fitted.target_sd * spread, "distance": distance}
    return pd.DataFrame({"exam": list(found.index), **columns})


def describe(table: pd.DataFrame, source: Source, by: list[Description]) -> pd.DataFrame:
    """Estimates with the sequences they rest on and what the reader should know about them."""
    channels = by[0].fitted.channels
    trained = np.any([described.fitted.trained for described in by], axis=0)
    present = channels_present(find_exams(source.packs, table["exam"].tolist(), channels), channels) & trained
    lowest = min(described.fitted.target_range[0] for described in by)
    highest = max(described.fitted.target_range[1] for described in by)
    inside = table["estimate"].between(lowest, highest)
    flags = [flags_of(channels, row, within) for row, within in zip(present, inside, strict=True)]
    return table.assign(sequences=[sequences_of(channels, row) for row in present], flags=flags)


def sequences_of(channels: Sequence[str], present: np.ndarray) -> str:
    """The sequences behind the channels that are present, e.g. ``T1w+DWI``; empty without any."""
    there = {"DWI" if name == "ADC" else name for name, flag in zip(channels, present, strict=True) if flag}
    return "+".join(name for name in SEQUENCES if name in there)


def flags_of(channels: Sequence[str], present: np.ndarray, in_range: bool) -> str:
    """``missing_<channel>`` and ``out_of_range`` (of the targets seen in training), joined by semicolons."""
    missing = [f"missing_{name}" for name, flag in zip(channels, present, strict=True) if not flag]
    return ";".join(missing + ([] if in_range else ["out_of_range"]))
