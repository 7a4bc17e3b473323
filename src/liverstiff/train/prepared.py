"""The exams outside a fold, found, measured and scaled, before anything is learned."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from liverstiff.config import TrainConfig
from liverstiff.errors import DataError
from liverstiff.model import (
    Fitted,
    ModelConfig,
    ValueScale,
    channels_of,
    channels_present,
    find_exams,
    fit_adc,
    fit_intensity,
    fit_values,
    image_shape,
    names,
    raw_values,
    read_batch,
    to_scale,
)
from liverstiff.train.material import Exams, Material, Resident, inverse_density, stream

MIN_EXAMS = 8
"""Fewer training exams than this are refused."""

FREE = {"sensitivity", "tensorboard"}
"""Settings that weights do not depend on."""


@dataclass(frozen=True)
class Prepared:
    """The exams outside a fold."""

    found: pd.DataFrame
    """Where their images lie."""
    values: np.ndarray
    """(n, variable), as they are in the tables."""
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

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels of an image; zeros without."""
        return image_shape(self.found)

    def architecture(self, settings: TrainConfig) -> ModelConfig:
        """The model for images of this shape and these variables."""
        return ModelConfig(
            kind=settings.model,
            shape=self.shape,
            channels=self.fitted.channels,
            variables=self.fitted.values.names,
            patch=settings.patch,
            width=settings.width,
            depth=settings.depth,
            heads=settings.heads,
            dropout=settings.dropout,
            stem=settings.stem,
            linear=settings.linear and settings.model != "published_like",
        )

    def on(self, device: torch.device, settings: TrainConfig, scratch: Path) -> Material:
        """What the loop needs, on the device: all images where they fit in ``resident_gb``, else in ``scratch``."""
        voxels = len(self.found) * float(np.prod(self.shape))
        size = voxels * (2 * len(self.fitted.channels) + 1)  # bytes, images as float16 and masks
        given = self.found, self.values, self.fitted
        exams: Exams
        if size <= settings.resident_gb * 1e9:
            exams = Resident(read_batch(*given).to(device))
        else:
            exams = stream(*given, device, scratch, settings.threads)
        target = torch.tensor(self.target, dtype=torch.float32, device=device)
        training, validation = (
            torch.from_numpy(np.flatnonzero(rows)).to(device) for rows in (~self.validation, self.validation)
        )
        weight = inverse_density(target, training) if settings.inverse_density else torch.ones_like(target)
        return Material(exams, target, weight, training, validation)

    def fingerprint(self, settings: TrainConfig) -> str:
        """What the weights depend on: settings, scales, exams, packs, code, library, weights to start from."""
        plain = [settings.model_dump(mode="json", exclude=FREE), asdict(self.fitted), str(torch.__version__)]
        digest = hashlib.sha256(json.dumps(plain).encode())
        for array in (self.values, self.reference, self.validation):
            digest.update(np.ascontiguousarray(array).data)
        digest.update(self.found.drop(columns="pack", errors="ignore").to_csv().encode())
        for pack in sorted(set(self.found.get("pack", []))):
            for name in ("images.npy", "masks.npy"):
                state = (Path(pack) / name).stat()
                digest.update(f"{state.st_size},{state.st_mtime_ns}".encode())
        package = Path(__file__).parents[1]
        code = [*package.glob("train/*.py"), *package.glob("model/*.py"), package / "checkpoint.py"]
        for path in sorted(code) + ([Path(settings.pretrained)] if settings.pretrained else []):
            digest.update(path.read_bytes())
        return digest.hexdigest()


def prepare(
    exams: pd.DataFrame, cohort: pd.DataFrame, packs: list[Path], settings: TrainConfig, transform: str, fold: int
) -> Prepared:
    """Find the exams of ``training_exams`` and fit the scales on those that are not in the inner validation.

    Raises:
        DataError: for too few exams or patients, an exam that is in no table or pack, or a reference that is the same
            in all exams.
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
    if np.ptp(reference[~validation]) == 0:
        raise DataError(
            f"cohort: all {training} training exams outside fold {fold} have the same reference; expected values that "
            "differ; look at the column reference"
        )
    channels, variables = inputs_of(settings)
    found = find_exams(packs, exams["exam"].tolist(), channels)
    values = raw_values(cohort, found, variables)
    scale = fit_values(values[~validation], variables)
    landmarks = fit_intensity(found[~validation], channels) if settings.intensity == "landmarks" else ()
    fitted = fit(found[~validation], channels, scale, reference[~validation], transform, landmarks)
    return Prepared(found, values, reference, validation, fitted)


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
    channels = channels_of(settings.sequences) if "images" in settings.inputs else ()
    record = settings.record if "record" in settings.inputs else ()
    return channels, (*record, *names(settings.measured, channels))


def fit(
    found: pd.DataFrame,
    channels: tuple[str, ...],
    values: ValueScale,
    reference: np.ndarray,
    transform: str,
    landmarks: tuple[tuple[float, ...], ...] = (),
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
        landmarks=landmarks,
    )
