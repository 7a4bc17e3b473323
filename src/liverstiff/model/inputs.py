"""What a model is given: images conditioned by the liver's own intensities, and standardised numbers beside them.

The scale of T1w, T2w and DWI is each image's own (mean and SD inside the liver), so it needs no fitting and holds for
a new scanner; landmarks fitted in the fold are an ablation. The image is not masked: the contrast of liver, spleen and
muscle is what is kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from liverstiff.errors import DataError
from liverstiff.model import signs
from liverstiff.model.contract import Batch
from liverstiff.model.landmarks import landmarks_of, standard_scale, to_standard
from liverstiff.model.values import ValueScale
from liverstiff.records import CHANNELS, LIVER, read_table

CODES: dict[str, dict[str, float]] = {"sex": {"female": 0.0, "male": 1.0}}
"""Variables that are words."""

LIVER_SD = 3.0
"""In-liver standard deviations per unit of a conditioned image."""

LIMIT = 5.0
"""Conditioned images are clipped here: bright fat and vessels say little and would dominate a patch."""

NO_CONTRAST = "expected tissue contrast; look at its images"


@dataclass(frozen=True)
class Fitted:
    """Everything that was estimated on the training part of a fold."""

    values: ValueScale
    """Scales of the numbers beside the images."""
    channels: tuple[str, ...]
    """Channels that are read."""
    adc_mean: float
    """Mean of ADC x 1000 (mm2/s) over the liver voxels of all exams."""
    adc_sd: float
    """Its standard deviation."""
    trained: tuple[bool, ...]
    """Per channel: at least one training exam has it. A channel never seen is not used."""
    target_mean: float
    """Mean of the target on its scale."""
    target_sd: float
    """Its standard deviation."""
    target_range: tuple[float, float]
    """Smallest and largest target, in its unit."""
    transform: str
    """Scale of the target: ``log`` or ``none``."""
    landmarks: tuple[tuple[float, ...], ...] = ()
    """Per channel, the standard scale of intensities, empty for ADC; none where the liver gives the scale."""


def channels_of(sequences: Sequence[str]) -> tuple[str, ...]:
    """The channels that sequences give, in the order of the packs; diffusion gives two."""
    return tuple(name for name in CHANNELS if ("DWI" if name == "ADC" else name) in sequences)


def training_exams(splits: pd.DataFrame, fold: int) -> pd.DataFrame:
    """Rows ``exam, patient`` of the cross-validation that a fold's model may see: all but that fold's, by exam."""
    seen = (splits["partition"] == "cross-validation") & (pd.to_numeric(splits["fold"]) != fold)
    return splits.loc[seen, ["exam", "patient"]].sort_values("exam", ignore_index=True)


def split_sha256(exams: pd.DataFrame) -> str:
    """Hash of the exams and patients a model was made from, to tell a model from a split it does not belong to."""
    lines = [f"{row.exam},{row.patient}" for row in exams.itertuples()]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def find_exams(packs: Sequence[Path], exams: Sequence[str], channels: Sequence[str]) -> pd.DataFrame:
    """Where exams lie: a row per exam, in the order asked, with ``pack, row``, channels and volumes.

    Without channels no pack is read, and the rows have no columns.

    Raises:
        DataError: for an exam that no shard holds.
    """
    if not channels:
        return pd.DataFrame(index=pd.Index(list(exams), name="exam"))
    tables = [read_table(pack / "table.csv").assign(pack=str(pack)) for pack in packs]
    filled = [table for table in tables if len(table)] or tables[:1] or [pd.DataFrame({"exam": []})]
    table = pd.concat(filled).set_index("exam")
    missing = [exam for exam in exams if exam not in table.index]
    if missing:
        raise DataError(
            f"packs: {len(missing)} of {len(exams)} exams of the split are in no pack table, the first {missing[0]}; "
            "expected every exam of the cohort; run the stages pack, cohort and split again, or leave images out of "
            "train.inputs for a study without"
        )
    return table.loc[list(exams)]


def image_shape(found: pd.DataFrame) -> tuple[int, int, int]:
    """Voxels (x, y, z) of the images of :func:`find_exams`; zeros without."""
    if "pack" not in found or found.empty:
        return 0, 0, 0
    x, y, z = np.load(Path(found["pack"].iloc[0]) / "masks.npy", mmap_mode="r").shape[1:]
    return int(x), int(y), int(z)


def channels_present(found: pd.DataFrame, channels: Sequence[str]) -> np.ndarray:
    """Flags (n, channel)."""
    return found[list(channels)].to_numpy(dtype=bool).reshape(len(found), len(channels))


def raw_values(cohort: pd.DataFrame, found: pd.DataFrame, variables: Sequence[str]) -> np.ndarray:
    """Numbers (n, variable) of the exams of ``found``, NaN where unknown.

    Args:
        cohort: indexed by exam.
        found: result of :func:`find_exams`.
        variables: signs, measured on the packs, and columns of ``cohort``.

    Raises:
        DataError: for a column that is not there, or holds words.
    """
    recorded = [name for name in variables if not signs.is_sign(name)]
    unknown = [name for name in recorded if name not in cohort]
    if unknown:
        raise DataError(f"train.record: no column {', '.join(unknown)} in the cohort table; name columns it has")
    rows = cohort.loc[found.index]
    measured = measure_signs(found, variables)
    columns = [_numbers(rows[name], name) if name in recorded else measured[name].to_numpy() for name in variables]
    return np.stack(columns, axis=1) if columns else np.empty((len(found), 0))


def measure_signs(found: pd.DataFrame, variables: Sequence[str]) -> pd.DataFrame:
    """The signs among ``variables``, a row per exam; images are read only where a sign needs them."""
    wanted = [name for name in variables if signs.is_sign(name)]
    volumes = found[[name for name in wanted if name in signs.VOLUMES]].astype(float)
    if len(volumes.columns) == len(wanted):
        return volumes
    flags = channels_present(found, CHANNELS)
    rows = [signs.measure(images, mask, row) for (_, images, mask), row in zip(_each(found), flags, strict=True)]
    return volumes.join(pd.DataFrame(rows, index=found.index))[wanted]


def _numbers(column: pd.Series, name: str) -> np.ndarray:
    """One variable as float64, NaN where unknown."""
    if name in CODES:
        return column.map(CODES[name]).to_numpy(dtype=float)
    try:
        return column.to_numpy(dtype=float)
    except ValueError:
        raise DataError(f"train.record: {name} holds words in the cohort table; name columns of numbers") from None


def fit_adc(found: pd.DataFrame) -> tuple[float, float]:
    """Mean and SD of ADC x 1000 over the liver voxels of all exams that have it; 0 and 1 when none has."""
    sums = np.zeros(3)
    if "ADC" not in found:
        return 0.0, 1.0
    for _, images, masks in _each(found[found["ADC"].astype(bool)]):
        adc = images[CHANNELS.index("ADC")][masks == LIVER].astype(np.float64)
        sums += (adc.size, adc.sum(), (adc**2).sum())
    if not sums[0]:
        return 0.0, 1.0
    mean, square = sums[1] / sums[0], sums[2] / sums[0]
    return float(mean), float(np.sqrt(max(square - mean**2, 1e-12)))


def fit_intensity(found: pd.DataFrame, channels: Sequence[str]) -> tuple[tuple[float, ...], ...]:
    """Per channel, the standard scale over all exams that have it; ADC has a unit and needs none.

    Raises:
        DataError: for an image without contrast, naming the exam.
    """
    scales: list[tuple[float, ...]] = []
    for name in channels:
        marks = []
        for exam, images, _ in _each(found[found[name].astype(bool) & (name != "ADC")]):
            try:
                marks.append(landmarks_of(images[CHANNELS.index(name)]))
            except ValueError as error:
                raise DataError(f"packs: exam {exam}: {name}: {error}; {NO_CONTRAST}") from None
        scales.append(standard_scale(marks))
    return tuple(scales)


def condition(images: np.ndarray, liver: np.ndarray, present: np.ndarray, fitted: Fitted) -> np.ndarray:
    """One exam as the network sees it: T1w, T2w, DWI in in-liver SD / 3 about the liver's mean, ADC in the fold's SD.

    Where the fold has landmarks, T1w, T2w and DWI are on their standard scale instead.

    Args:
        images: (channel, x, y, z), the channels of ``fitted``, ADC x 1000.
        liver: (x, y, z), True in the liver.
        present: (channel,).
        fitted: constants of the fold.

    Returns:
        float32 (channel, x, y, z), 0 in an absent channel.

    Raises:
        ValueError: where a channel that is present cannot be scaled.
    """
    conditioned = np.zeros(images.shape, dtype=np.float32)
    for channel in np.flatnonzero(present):
        voxels = images[channel].astype(np.float32)
        inside = voxels[liver].astype(np.float64)
        name = fitted.channels[channel]
        if not (inside.size and np.isfinite(voxels).all() and inside.std() > 0):
            raise ValueError(f"{name} is constant or not finite inside the liver")
        if fitted.landmarks and name != "ADC":
            conditioned[channel] = np.clip(to_standard(voxels, fitted.landmarks[channel]), -LIMIT, LIMIT)
            continue
        mean, sd = (fitted.adc_mean, fitted.adc_sd) if name == "ADC" else (inside.mean(), inside.std())
        conditioned[channel] = np.clip((voxels - mean) / (LIVER_SD * sd), -LIMIT, LIMIT)
    return conditioned


def read_batch(found: pd.DataFrame, values: np.ndarray, fitted: Fitted) -> Batch:
    """The exams of ``found`` as tensors on the CPU, images as float16; only their rows of the packs are read.

    Raises:
        DataError: for an exam without a usable channel, or whose image cannot be scaled.
    """
    scaled, known = fitted.values.apply(values, found.index.tolist())
    present = channels_present(found, fitted.channels) & np.array(fitted.trained, dtype=bool)
    numbers = torch.from_numpy(present), torch.from_numpy(scaled), torch.from_numpy(known)
    if not fitted.channels:
        nothing = torch.zeros(len(found), 0, 0, 0, 0, dtype=torch.float16)
        return Batch(nothing, torch.zeros(len(found), 0, 0, 0, dtype=torch.uint8), *numbers)
    imaged = channels_present(found, CHANNELS).any(axis=1)
    if not imaged.all():
        exam = found.index[np.flatnonzero(~imaged)[0]]
        raise DataError(
            f"packs: exam {exam} has none of {', '.join(CHANNELS)}; expected one; exclude it in the catalog"
        )
    which = [CHANNELS.index(name) for name in fitted.channels]
    shape = image_shape(found)
    images = torch.empty(len(found), len(which), *shape, dtype=torch.float16)
    masks = torch.empty(len(found), *shape, dtype=torch.uint8)
    for row, ((exam, voxels, mask), channels) in enumerate(zip(_each(found), present, strict=True)):
        try:
            conditioned = condition(voxels[which], mask == LIVER, channels, fitted)
        except ValueError as error:
            raise DataError(f"packs: exam {exam}: {error}; {NO_CONTRAST}") from None
        images[row] = torch.from_numpy(conditioned)
        masks[row] = torch.from_numpy(np.array(mask))
    return Batch(images, masks, *numbers)


def exam_arrays(found: pd.DataFrame, exam: str) -> tuple[np.ndarray, np.ndarray]:
    """Images (channel, x, y, z) and mask (x, y, z) of one exam of :func:`find_exams`."""
    _, images, mask = next(_each(found.loc[[exam]]))
    return images, mask


def _each(found: pd.DataFrame) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Exam, images (channel, x, y, z) and mask (x, y, z), mapped into memory: no other row of a pack is read."""
    for exam, pack, row in zip(found.index, found["pack"], found["row"], strict=True):
        images, masks = (np.load(Path(pack) / name, mmap_mode="r") for name in ("images.npy", "masks.npy"))
        yield exam, images[int(row)], masks[int(row)]
