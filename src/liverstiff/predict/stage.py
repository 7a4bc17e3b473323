"""A partition predicted: by an exam's own fold, or by the mean of all folds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from liverstiff.config import PredictConfig, TargetConfig
from liverstiff.errors import ConfigError, DataError
from liverstiff.model import choose_device, load_model
from liverstiff.predict.estimates import Source, check_models, ensemble, out_of_fold
from liverstiff.predict.intervals import (
    conformal_quantile,
    cross_intervals,
    cross_unlike,
    flagged,
    scores_of,
    with_intervals,
    with_likeness,
)
from liverstiff.predict.suspicion import suspicion
from liverstiff.records import PARTITIONS, read_table

COLUMNS = ("exam", "fold", "estimate", "low", "high", "sequences", "flags", "spread", "distance")


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
    target: TargetConfig,
    variant: bool = False,
    threads: int = 1,
) -> None:
    """Write :data:`COLUMNS` of a partition, a row per exam, by exam.

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
        target: config section ``target``.
        variant: the models are a variant beside the study's own: when they know too much of the record alone, their
            exams are flagged ``suspicious_record`` and a line says why, but nothing stops.
        threads: CPU threads.

    Raises:
        ConfigError: for a device that is not there, or an unknown partition.
        DataError: for a model that belongs to another split, an exam without image, missing calibration, or a model
            of the record alone that is too good to be true.
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
        table = cross_unlike(out_of_fold(rows, source, folds, device), settings.unlike)
        if not folds[0][1].fitted.channels:
            wrong = suspicion(table, source.cohort, folds[0][1].architecture.variables, settings, target)
            if wrong and not variant:
                raise DataError(f"predict: {wrong}")
            if wrong:
                print(f"predict: WARNING: {wrong}", flush=True)
                table = flagged(table, np.full(len(table), True), "suspicious_record")
        table = cross_intervals(table, source.cohort["reference"], settings.interval, transform)
    else:
        table = ensemble(rows, source, folds, device)
        crossed = _calibration(calibration, partition)
        limit = conformal_quantile(crossed["distance"].to_numpy(), settings.unlike)
        table = with_likeness(table, np.full(len(table), limit))
        scores = scores_of(crossed, source.cohort["reference"], transform)
        table = with_intervals(table, np.full(len(table), conformal_quantile(scores, settings.interval)), transform)
    table[list(COLUMNS)].to_csv(predictions, index=False, float_format="%.6g")


def _calibration(path: Path | None, partition: str) -> pd.DataFrame:
    """The predictions of the cross-validation."""
    if path is None:
        raise DataError(f"calibration: none given for {partition}; expected the predictions of the cross-validation")
    return pd.read_csv(path, dtype={"exam": str, "fold": str})
