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

LEAST_SHOWN = 0.5
"""Of the liver that a sequence must show to count as present."""


def pack_shard(*, registered: Path, segmented: Path, folder: Path, settings: PackConfig, workers: int = 1) -> None:
    """Pack every exam of a shard.

    Args:
        registered: shard folder of the stage ``register``.
        segmented: shard folder of the stage ``segment``.
        folder: shard folder to make: ``images.npy`` float16 (exam, channel, x, y, z), ``masks.npy`` uint8
            (exam, x, y, z), ``table.csv`` (row of each exam, channels present, volumes). Axes are RAS+.
        settings: the section ``pack`` of the config.
        workers: processes.

    A sequence that does not show the liver is marked absent. Exams are excluded with ``segmentation_failed`` when the
    mask has no liver, with ``implausible_image`` when T1w does not show it.
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
    mask, affine = images.load(exam.path(segmented, "space-frame_mask"))
    if not (mask == LIVER).any():
        raise ExamExcluded(Reason.SEGMENTATION_FAILED, "the mask has no liver; look at its picture")
    box = box_affine(mask == LIVER, affine, settings.shape, settings.spacing_mm)
    labels = resample_mask(mask, affine, box, settings.shape)
    boxes = np.zeros((len(CHANNELS), *settings.shape), np.float16)
    present = dict.fromkeys(CHANNELS, False)
    for k, channel in enumerate(CHANNELS):
        source = exam.path(registered, f"space-frame_{channel}")
        voxels = images.load(source)[0] if source.exists() else np.zeros_like(mask)
        present[channel] = shows_liver(voxels, mask == LIVER)
        if present[channel]:
            scale = ADC_SCALE if channel == "ADC" else 1.0
            boxes[k] = np.clip(scale * resample(voxels, affine, box, settings.shape), -FLOAT16_MAX, FLOAT16_MAX)
    if not present["T1w"]:
        raise ExamExcluded(Reason.IMPLAUSIBLE_IMAGE, "T1w shows nothing where the mask has liver; look at both")
    np.save(_part(exam, folder, "images"), boxes)
    np.save(_part(exam, folder, "mask"), labels)
    return dict(present)


def shows_liver(values: np.ndarray, liver: np.ndarray) -> bool:
    """True when an image (x, y, z) has finite values that vary, and data in at least half of the liver.

    A sequence whose field of view misses the liver is 0 there after registration: it counts as absent.
    """
    inside = values[liver]
    return bool(
        inside.size and np.isfinite(inside).all() and np.ptp(inside) > 0 and (inside != 0).mean() >= LEAST_SHOWN
    )


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
