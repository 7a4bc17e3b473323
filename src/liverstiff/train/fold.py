"""One fold's model: everything it is fitted on comes from the other folds' patients."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from liverstiff import __version__
from liverstiff.config import TargetConfig, TrainConfig
from liverstiff.model import (
    Description,
    Fitted,
    Model,
    build,
    choose_device,
    from_scale,
    save_model,
    split_sha256,
    start_from,
    training_exams,
    weight_bytes,
)
from liverstiff.records import read_table
from liverstiff.train.curves import curves
from liverstiff.train.familiarity import remember
from liverstiff.train.learning import learn, predict_scaled
from liverstiff.train.material import Material
from liverstiff.train.prepared import prepare
from liverstiff.train.sensitivity import check_images
from liverstiff.train.stopping import stop_on_signals


def train_fold(
    *,
    packs: list[Path],
    cohort: Path,
    splits: Path,
    fold: int,
    model: Path,
    description: Path,
    history: Path,
    validation: Path,
    checkpoint: Path,
    settings: TrainConfig,
    target: TargetConfig,
    ledger: Path | None = None,
    threads: int | None = None,
    tensorboard: Path | None = None,
) -> None:
    """Fit the model of one fold on the cross-validation exams of all others.

    Rows of the fold, of the temporal and of the external test are not read: neither image, record nor reference.

    Args:
        packs: shard folders of the stage pack.
        cohort: ``cohort.csv``.
        splits: ``splits.csv``.
        fold: the fold to leave out.
        model: weights to write, safetensors.
        description: JSON to write: architecture, everything fitted, seed, hash of the split, versions.
        history: CSV to write, a row per epoch.
        validation: CSV to write, ``exam, fold, estimate, spread`` of the inner validation, for cut-points.
        checkpoint: file that lives only while training is unfinished.
        settings: config section ``train``.
        target: config section ``target``.
        ledger: ``ledger.json``, with the hash of the ledger of folds behind the splits, for the description.
        threads: CPU threads; ``settings.threads`` if not given. Sums, and so bytes, depend on it.
        tensorboard: folder for the history as TensorBoard reads it, with ``settings.tensorboard``.

    Raises:
        ConfigError: for a device that is not there, or a shape that patch or heads do not divide.
        DataError: for too few exams or patients, an exam without image or pack, a loss that is not finite.
    """
    device = choose_device(settings.device, "train.device")
    _repeatable(threads or settings.threads, device)
    exams = training_exams(read_table(splits), fold)
    prepared = prepare(exams, read_table(cohort).set_index("exam"), packs, settings, target.transform, fold)
    torch.manual_seed(settings.seed)
    network = build(prepared.architecture(settings))
    if settings.pretrained is not None:
        print(f"train: {start_from(network, Path(settings.pretrained))}", flush=True)
    material = prepared.on(device, settings, checkpoint.parent)
    mark = prepared.fingerprint(settings)
    with stop_on_signals() as stopped, curves(tensorboard if settings.tensorboard else None) as told:
        progress = learn(
            network.to(device), material, prepared.fitted, settings, checkpoint, mark, stopped, after_epoch=told
        )
    whole, voxels = check_images(network, material, settings)
    remember(network, material, settings)
    smearing = _smearing(network, material, prepared.fitted, settings)
    weights = weight_bytes(network)
    described = Description(
        fold=fold,
        architecture=network.config,
        fitted=prepared.fitted,
        smearing=smearing,
        sensitivity=whole,
        voxel_sensitivity=voxels,
        settings=settings.model_dump(mode="json"),
        seed=settings.seed,
        training_exams=len(material.training),
        validation_exams=len(material.validation),
        epoch=progress.best_epoch.epoch,
        split_sha256=split_sha256(exams),
        ledger_sha256=json.loads(ledger.read_text())["sha256"] if ledger else "",
        weights_sha256=hashlib.sha256(weights).hexdigest(),
        versions={"liverstiff": __version__, "torch": str(torch.__version__)},
    )
    save_model(weights, described, model, description)
    pd.DataFrame([asdict(row) for row in progress.history]).to_csv(history, index=False)
    mean, spread = estimated(network, material, material.validation, prepared.fitted, settings)
    exams.loc[prepared.validation, ["exam"]].assign(
        fold=fold, estimate=smearing * from_scale(mean, prepared.fitted.transform), spread=spread
    ).to_csv(validation, index=False, float_format="%.6g")
    checkpoint.unlink(missing_ok=True)


def smearing_factor(training: tuple[np.ndarray, np.ndarray], validation: tuple[np.ndarray, np.ndarray]) -> float:
    """Factor from exp(estimated log) to the mean of what is measured (Duan, J Am Stat Assoc 1983;78:605-610).

    Many training exams tell the level, that their estimates have no bias after it; the few of the inner validation tell
    how much wider residuals are where nothing was learned: Duan's factor there over that of the training.

    Args:
        training: measured and estimated log of the target, (n,) each.
        validation: the same of the inner validation.
    """
    measured, estimated = (np.exp(part) for part in training)
    wider = [np.exp(residual - residual.mean()).mean() for residual in (m - e for m, e in (validation, training))]
    return float(measured.mean() / estimated.mean() * wider[0] / wider[1])


def _smearing(network: Model, material: Material, fitted: Fitted, settings: TrainConfig) -> float:
    """The factor, 1 where the target is learned as it is."""
    if fitted.transform != "log":
        return 1.0
    pairs = []
    for rows in (material.training, material.validation):
        truth = fitted.target_mean + fitted.target_sd * material.target[rows].cpu().double().numpy()
        pairs.append((truth, estimated(network, material, rows, fitted, settings)[0]))
    return smearing_factor(*pairs)


def estimated(
    network: Model, material: Material, rows: torch.Tensor, fitted: Fitted, settings: TrainConfig
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and spread of the exams at ``rows`` on the scale of the target, (n,) each."""
    mean, spread = (part.cpu().double().numpy() for part in predict_scaled(network, material, rows, settings))
    return fitted.target_mean + fitted.target_sd * mean, fitted.target_sd * spread


def _repeatable(threads: int, device: torch.device) -> None:
    """Same seed, same bytes on a CPU; on a GPU operations without a repeatable form are allowed."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # asked for by cuBLAS, read at its first use
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True, warn_only=device.type == "cuda")
