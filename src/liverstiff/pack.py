"""Packing: one array per shard on the model's grid, a box around the liver, ready to be mapped into memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import ndimage

from liverstiff import images
from liverstiff.config import PackConfig
from liverstiff.errors import ExamExcluded
from liverstiff.records import CHANNELS, LIVER, SPLEEN, Exam, Reason, read_table
from liverstiff.shards import map_exams

ADC_SCALE = 1000.0
"""ADC is stored in 1e-3 mm2/s: in mm2/s float16 would keep three digits at best."""

FLOAT16_MAX = 65504.0


def pack_shard(*, registered: Path, segmented: Path, folder: Path, settings: PackConfig, workers: int = 1) -> None:
    """Pack every exam of a shard.

    Args:
        registered: shard folder of the stage ``register``.
        segmented: shard folder of the stage ``segment``.
        folder: shard folder to make: ``images.npy`` float16 (exam, channel, x, y, z), ``masks.npy`` uint8
            (exam, x, y, z), ``table.csv`` (row of each exam, channels present, volumes). Axes are RAS+.
        settings: the section ``pack`` of the config.
        workers: processes.

    Exams are excluded with ``segmentation_failed`` when the mask has no liver.
    """
    folder = Path(folder)
    rows = map_exams(
        pack_exam,
        Path(segmented),
        folder,
        stage="pack",
        workers=workers,
        measures="table.csv",
        registered=Path(registered),
        segmented=Path(segmented),
        settings=settings,
    )
    _stack([row.identity for row in rows if row.ok], folder, settings.shape)
    volumes = read_table(Path(segmented) / "measures.csv")
    write_table(read_table(folder / "table.csv"), volumes, folder / "table.csv")


def pack_exam(exam: Exam, folder: Path, *, registered: Path, segmented: Path, settings: PackConfig) -> dict[str, Any]:
    """Write one exam's box (to be stacked later); its measures say which channels are present."""
    mask, affine = images.load(exam.path(segmented, "space-T1w_mask"))
    if not (mask == LIVER).any():
        raise ExamExcluded(Reason.SEGMENTATION_FAILED, "the mask has no liver; look at its picture")
    box = box_affine(mask == LIVER, affine, settings.shape, settings.spacing_mm)
    sources = {channel: exam.path(registered, f"space-T1w_{channel}") for channel in CHANNELS}
    boxes = np.zeros((len(CHANNELS), *settings.shape), np.float16)
    for k, (channel, source) in enumerate(sources.items()):
        if source.exists():
            scale = ADC_SCALE if channel == "ADC" else 1.0
            values = scale * resample(*images.load(source), box, settings.shape)
            boxes[k] = np.clip(values, -FLOAT16_MAX, FLOAT16_MAX)
    np.save(_part(exam, folder, "images"), boxes)
    np.save(_part(exam, folder, "mask"), resample_mask(mask, affine, box, settings.shape))
    return {channel: source.exists() for channel, source in sources.items()}


def box_affine(
    liver: np.ndarray, affine: np.ndarray, shape: tuple[int, int, int], spacing_mm: tuple[float, float, float]
) -> np.ndarray:
    """Affine (4x4, RAS+ mm) of a box along the image's axes whose centre is the middle of the liver's bounding box."""
    where = np.argwhere(liver)
    middle = (where.min(axis=0) + where.max(axis=0)) / 2
    step = np.array(spacing_mm) / np.array(images.spacing(affine))
    box = np.eye(4)
    box[:3, :3] = affine[:3, :3] * step
    box[:3, 3] = affine[:3, :3] @ middle + affine[:3, 3] - box[:3, :3] @ ((np.array(shape) - 1) / 2)
    return box


def resample(voxels: np.ndarray, affine: np.ndarray, box: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """Image (x, y, z) on a box with parallel axes, linear; smoothed first where the box is coarser; 0 outside.

    A Gaussian whose variance is what the wider voxel has more than the own one, (k^2 - 1) / 12 for k voxels, keeps
    fine texture from turning into false coarse texture.
    """
    to_image = np.linalg.inv(affine) @ box
    factor = np.diag(to_image[:3, :3])
    sigma = np.sqrt(np.maximum(factor**2 - 1, 0) / 12)
    smooth = ndimage.gaussian_filter(voxels.astype(np.float32), sigma, mode="nearest")
    return ndimage.affine_transform(smooth, np.diag(factor), to_image[:3, 3], tuple(shape), order=1, mode="constant")


def resample_mask(mask: np.ndarray, affine: np.ndarray, box: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """Mask (x, y, z) on a box, uint8: the organ that fills at least half of a voxel."""
    parts = {label: resample(mask == label, affine, box, shape) for label in (LIVER, SPLEEN)}
    out = np.zeros(shape, np.uint8)
    for label, part in parts.items():
        out[part >= 0.5] = label
    return out


def write_table(present: pd.DataFrame, volumes: pd.DataFrame, path: Path) -> None:
    """``table.csv``: the row of every exam in the stacks, its channels, its volumes in ml."""
    measured = ["liver_ml", "spleen_ml"]
    table = present.reset_index(names="row").merge(volumes.reindex(columns=["exam", *measured]), on="exam", how="left")
    table.reindex(columns=["exam", "row", *CHANNELS, *measured]).to_csv(path, index=False)


def _part(exam: Exam, folder: Path, what: str) -> Path:
    return exam.path(folder, what, ".npy")


def _stack(exams: list[Exam], folder: Path, shape: tuple[int, int, int]) -> None:
    """Gather the exams' boxes in two arrays, exam by exam, and remove them."""
    for name, part, dtype, inner in (
        ("images", "images", np.float16, (len(CHANNELS), *shape)),
        ("masks", "mask", np.uint8, shape),
    ):
        stack = np.lib.format.open_memmap(folder / f"{name}.npy", "w+", dtype, (len(exams), *inner))
        for row, exam in enumerate(exams):
            stack[row] = np.load(_part(exam, folder, part), allow_pickle=False)
            _part(exam, folder, part).unlink()
        stack.flush()
    for exam in exams:
        (folder / exam.folder).rmdir()
        if not any((folder / exam.folder).parent.iterdir()):
            (folder / exam.folder).parent.rmdir()
