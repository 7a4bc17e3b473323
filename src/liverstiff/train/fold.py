"""One fold's model: everything it is fitted on comes from the other folds' patients."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from liverstiff import __version__
from liverstiff.config import TargetConfig, TrainConfig
from liverstiff.errors import DataError
from liverstiff.model import (
    Batch,
    Description,
    Fitted,
    Model,
    ModelConfig,
    ValueScale,
    build,
    channels_present,
    choose_device,
    find_exams,
    fit_adc,
    fit_values,
    names,
    raw_values,
    read_batch,
    save_model,
    split_sha256,
    to_scale,
    training_exams,
    weight_bytes,
)
from liverstiff.records import CHANNELS, read_table
from liverstiff.train.learning import learn, predict_scaled
from liverstiff.train.material import Material

MIN_EXAMS = 8
"""Fewer training exams than this are refused."""


def train_fold(
    *,
    packs: list[Path],
    cohort: Path,
    splits: Path,
    fold: int,
    model: Path,
    description: Path,
    history: Path,
    checkpoint: Path,
    settings: TrainConfig,
    target: TargetConfig,
    threads: int | None = None,
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
        checkpoint: file that lives only while training is unfinished.
        settings: config section ``train``.
        target: config section ``target``.
        threads: CPU threads; ``settings.threads`` if not given. Sums, and so bytes, depend on it.

    Raises:
        ConfigError: for a device that is not there, or a shape that patch or heads do not divide.
        DataError: for too few exams or patients, an exam without image or pack, a loss that is not finite.
    """
    device = choose_device(settings.device, "train.device")
    _repeatable(threads or settings.threads)
    exams = training_exams(read_table(splits), fold)
    prepared = prepare(exams, read_table(cohort).set_index("exam"), packs, settings, target.transform, fold)
    torch.manual_seed(settings.seed)
    network = build(_architecture(settings, prepared)).to(device)
    material = prepared.on(device)
    progress = learn(network, material, prepared.fitted, settings, checkpoint, prepared.fingerprint(settings))
    weights = weight_bytes(network)
    described = Description(
        fold=fold,
        architecture=network.config,
        fitted=prepared.fitted,
        smearing=_smearing(network, material, prepared.fitted, settings.batch),
        settings=settings.model_dump(mode="json"),
        seed=settings.seed,
        training_exams=len(material.training),
        validation_exams=len(material.validation),
        epoch=progress.best_epoch.epoch,
        split_sha256=split_sha256(exams),
        weights_sha256=hashlib.sha256(weights).hexdigest(),
        versions={"liverstiff": __version__, "torch": str(torch.__version__)},
    )
    save_model(weights, described, model, description)
    pd.DataFrame([asdict(row) for row in progress.history]).to_csv(history, index=False)
    checkpoint.unlink(missing_ok=True)


@dataclass(frozen=True)
class Prepared:
    """The exams outside a fold, read and scaled."""

    batch: Batch
    """Every one of them, on the CPU."""
    reference: np.ndarray
    """(n,), in the unit of the target."""
    validation: np.ndarray
    """(n,), True for the inner validation."""
    fitted: Fitted
    """Scales from the others."""

    @property
    def target(self) -> np.ndarray:
        """(n,), the reference on the scale of the target, in SD about the mean of the training exams."""
        return (to_scale(self.reference, self.fitted.transform) - self.fitted.target_mean) / self.fitted.target_sd

    def on(self, device: torch.device) -> Material:
        """What the loop needs, on the device."""
        return Material(
            self.batch.to(device),
            torch.tensor(self.target, dtype=torch.float32, device=device),
            torch.from_numpy(np.flatnonzero(~self.validation)).to(device),
            torch.from_numpy(np.flatnonzero(self.validation)).to(device),
        )

    def fingerprint(self, settings: TrainConfig) -> str:
        """What the weights depend on: settings, scales, exams, code, library."""
        plain = [settings.model_dump(mode="json"), asdict(self.fitted), str(torch.__version__)]
        digest = hashlib.sha256(json.dumps(plain).encode())
        for array in (self.reference, self.validation, *(tensor.numpy() for tensor in self.batch)):
            digest.update(np.ascontiguousarray(array).data)
        package = Path(__file__).parents[1]
        for path in sorted([*package.glob("train/*.py"), *package.glob("model/*.py"), package / "checkpoint.py"]):
            digest.update(path.read_bytes())
        return digest.hexdigest()


def prepare(
    exams: pd.DataFrame, cohort: pd.DataFrame, packs: list[Path], settings: TrainConfig, transform: str, fold: int
) -> Prepared:
    """Read the exams of ``training_exams`` and fit the scales on those that are not in the inner validation.

    Raises:
        DataError: as :func:`train_fold`.
    """
    missing = exams.loc[~exams["exam"].isin(cohort.index), "exam"]
    if len(missing):
        raise DataError(
            f"splits: {len(missing)} training exams of fold {fold} are not in the cohort table, the first "
            f"{missing.iloc[0]}; run the stage split again"
        )
    reference = cohort.loc[exams["exam"], "reference"].to_numpy(dtype=float)
    validation = inner_validation(exams["patient"], reference, settings.inner_validation, settings.seed)
    training = int((~validation).sum())
    if training < MIN_EXAMS:
        raise DataError(
            f"splits: {training} training exams outside fold {fold} and its inner validation of "
            f"{len(exams) - training}; expected {MIN_EXAMS} or more; add exams"
        )
    channels, variables = inputs_of(settings)
    found = find_exams(packs, exams["exam"].tolist(), channels)
    values = raw_values(cohort, found, variables)
    scale = fit_values(values[~validation], variables)
    fitted = fit(found[~validation], channels, scale, reference[~validation], transform)
    return Prepared(read_batch(found, values, fitted), reference, validation, fitted)


def inner_validation(patients: pd.Series, reference: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Which exams choose the epoch: a share of the patients, one drawn from each band of equally many by reference.

    Args:
        patients: (n,), patient of each exam.
        reference: (n,), kPa.
        share: share of the patients; at least one of them.
        seed: of the draw.

    Returns:
        (n,), True for the inner validation. All exams of a patient are on the same side.
    """
    highest = pd.Series(reference, index=patients.to_numpy()).groupby(level=0).max()
    ordered = highest.sort_index().sort_values(kind="stable").index.to_numpy()
    bands = np.array_split(ordered, max(1, round(share * len(ordered)))) if len(ordered) else []
    generator = np.random.default_rng(seed)
    drawn = [generator.choice(band) for band in bands]
    return np.isin(patients.to_numpy(dtype=str), drawn)


def inputs_of(settings: TrainConfig) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the channels and of the variables that the config asks for."""
    images = "images" in settings.inputs
    channels = tuple(name for name in CHANNELS if images and ("DWI" if name == "ADC" else name) in settings.sequences)
    record = settings.record if "record" in settings.inputs else ()
    return channels, (*record, *names(settings.measured, channels))


def fit(
    found: pd.DataFrame, channels: tuple[str, ...], values: ValueScale, reference: np.ndarray, transform: str
) -> Fitted:
    """Scales of images and target from the training exams alone."""
    adc_mean, adc_sd = fit_adc(found)
    target = to_scale(reference, transform)
    return Fitted(
        values=values,
        channels=channels,
        adc_mean=adc_mean,
        adc_sd=adc_sd,
        trained=tuple(bool(column.any()) for column in channels_present(found, channels).T),
        target_mean=float(target.mean()),
        target_sd=float(max(target.std(), 1e-6)),
        target_range=(float(reference.min()), float(reference.max())),
        transform=transform,
    )


def smearing_factor(residual: np.ndarray) -> float:
    """Mean of exp(residual) for residuals of log reference, centred (Duan, J Am Stat Assoc 1983;78:605-610).

    Centred, since a few validation exams tell the variance of log reference better than a shift of it.
    """
    return float(np.exp(residual - residual.mean()).mean())


def _smearing(network: Model, material: Material, fitted: Fitted, size: int) -> float:
    """The factor on the inner validation."""
    if fitted.transform != "log":
        return 1.0
    mean, _ = predict_scaled(network, material, material.validation, size)
    residual = (material.target[material.validation] - mean).cpu().numpy().astype(np.float64)
    return smearing_factor(fitted.target_sd * residual)


def _repeatable(threads: int) -> None:
    """Same seed, same bytes."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # asked for by cuBLAS, read at its first use
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)


def _architecture(settings: TrainConfig, prepared: Prepared) -> ModelConfig:
    """The model for images of this shape."""
    x, y, z = prepared.batch.images.shape[2:]
    return ModelConfig(
        kind=settings.model,
        shape=(x, y, z),
        channels=prepared.fitted.channels,
        variables=prepared.fitted.values.names,
        patch=settings.patch,
        width=settings.width,
        depth=settings.depth,
        heads=settings.heads,
        dropout=settings.dropout,
        stem=settings.stem,
        linear=settings.linear,
    )
