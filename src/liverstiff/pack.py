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

BOX_COLUMNS = ("liver_cut", "margin_mm", "margin_short", "liver_at_edge", *(f"{name}_shown" for name in CHANNELS))
"""What ``table.csv`` says of the box."""


def pack_shard(*, registered: Path, segmented: Path, folder: Path, settings: PackConfig, workers: int = 1) -> None:
    """Pack every exam of a shard.

    Args:
        registered: shard folder of the stage ``register``.
        segmented: shard folder of the stage ``segment``.
        folder: shard folder to make: ``images.npy`` float16 (exam, channel, x, y, z), ``masks.npy`` uint8
            (exam, x, y, z), ``table.csv`` (row of each exam, channels present, volumes, what the box shows). Axes are
            RAS+.
        settings: the section ``pack`` of the config.
        workers: processes.

    A sequence that does not show the liver is marked absent. Exams are excluded with ``segmentation_failed`` when the
    mask has no liver, with ``implausible_image`` when the frame does not show it.
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
    """Write one exam's box (to be stacked later); the measures: channels that are present, what the box shows."""
    mask, affine = images.load(exam.path(segmented, "space-frame_mask"))
    mask = mask.astype(np.uint8)
    liver = mask == LIVER
    if not liver.any():
        raise ExamExcluded(Reason.SEGMENTATION_FAILED, "the mask has no liver; look at its picture")
    box = box_affine(liver, affine, settings.shape, settings.spacing_mm)
    boxes = np.zeros((len(CHANNELS), *settings.shape), np.float16)
    shown = dict.fromkeys(CHANNELS, 0.0)
    for k, channel in enumerate(CHANNELS):
        source = exam.path(registered, f"space-frame_{channel}")
        if not source.exists():
            continue
        voxels = images.load(source)[0]
        shown[channel] = shown_share(voxels, liver)
        if shown[channel] >= LEAST_SHOWN:
            scale = ADC_SCALE if channel == "ADC" else 1.0
            boxes[k] = np.clip(scale * resample(voxels, affine, box, settings.shape), -FLOAT16_MAX, FLOAT16_MAX)
    frame = exam.frame(registered).name.removesuffix(".nii.gz").rpartition("_")[2]
    if shown[frame] < LEAST_SHOWN:
        raise ExamExcluded(Reason.IMPLAUSIBLE_IMAGE, f"{frame} shows nothing where the mask has liver; look at both")
    np.save(_part(exam, folder, "images"), boxes)
    np.save(_part(exam, folder, "mask"), resample_mask(mask, affine, box, settings.shape))
    present = {channel: share >= LEAST_SHOWN for channel, share in shown.items()}
    return present | describe_box(liver, affine, box, settings) | {f"{c}_shown": round(shown[c], 4) for c in CHANNELS}


def shown_share(values: np.ndarray, liver: np.ndarray) -> float:
    """Share of the liver in which an image (x, y, z) has data; 0 where a value is not finite or all are the same.

    A sequence whose field of view misses the liver is 0 there after registration.
    """
    inside = values[liver]
    if not inside.size or not np.isfinite(values).all() or np.ptp(inside) == 0:
        return 0.0
    return float((inside != 0).mean())


def box_affine(
    liver: np.ndarray, affine: np.ndarray, shape: tuple[int, int, int], spacing_mm: tuple[float, float, float]
) -> np.ndarray:
    """Affine (4x4) of a box along the patient's axes (RAS+ mm), whatever the image's, with the liver in its middle.

    Where the liver is larger than the box, the box lies where it holds most of it.
    """
    places = world(np.argwhere(liver), affine)
    middle = [
        _best_middle(places[:, axis], shape[axis] * spacing_mm[axis], np.abs(affine[axis, :3]).max())
        for axis in range(3)
    ]
    box = np.diag([*spacing_mm, 1.0])
    box[:3, 3] = middle - (np.array(shape) - 1) / 2 * np.array(spacing_mm)
    return box


def _best_middle(places: np.ndarray, width: float, step: float) -> float:
    """Middle in mm of the interval of ``width`` that holds most of ``places`` (mm); of their range where all fit."""
    low, high = places.min() - step / 2, places.max() + step / 2
    if high - low <= width:
        return float(low + high) / 2
    places = np.sort(places)
    held = np.searchsorted(places, places + width - step, side="right") - np.arange(len(places))
    return float(places[held.argmax()] + (width - step) / 2)


def world(index: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Places in mm (n, 3) of voxels (n, 3)."""
    return index @ affine[:3, :3].T + affine[:3, 3]


def describe_box(liver: np.ndarray, affine: np.ndarray, box: np.ndarray, settings: PackConfig) -> dict[str, Any]:
    """What the box shows of the liver.

    Returns:
        ``liver_cut``, the share of the liver outside the box; ``margin_mm``, the least surroundings on any side (0
        where the liver is cut); ``margin_short``, True where that is less than wanted; ``liver_at_edge``, True where
        the liver reaches the first or last slice of the image, so that there may be more of it than was acquired.
    """
    index = np.argwhere(liver)
    places = world(index, affine) @ np.linalg.inv(box[:3, :3]).T - np.linalg.inv(box[:3, :3]) @ box[:3, 3]
    beyond = np.minimum(places + 0.5, np.array(settings.shape) - 0.5 - places)  # box voxels to the nearest face
    margin = max(0.0, float((beyond * settings.spacing_mm).min()))
    ends = (index[:, 2] == 0) | (index[:, 2] == liver.shape[2] - 1)
    return {
        "liver_cut": round(float((beyond < 0).any(axis=1).mean()), 4),
        "margin_mm": round(margin, 2),
        "margin_short": margin < settings.margin_mm,
        "liver_at_edge": bool(ends.any()),
    }


def resample(voxels: np.ndarray, affine: np.ndarray, box: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """Image (x, y, z) on a box, linear; smoothed first where the box is coarser; 0 outside.

    A Gaussian whose variance is what the wider voxel has more than the own one, (k^2 - 1) / 12 for k voxels, keeps
    fine texture from turning into false coarse texture. Only the part that the box sees is worked on.
    """
    to_image = np.linalg.inv(affine) @ box
    matrix, start = to_image[:3, :3], to_image[:3, 3]
    sigma = np.sqrt(np.maximum((matrix**2).sum(axis=1) - 1, 0) / 12)
    seen = _seen_part(matrix, start, shape, voxels.shape, sigma)
    part = voxels[seen].astype(np.float32)
    if not part.size:
        return np.zeros(shape, np.float32)
    start = start - [axis.start for axis in seen]
    smooth = ndimage.gaussian_filter(part, sigma, mode="nearest", output=part)
    return ndimage.affine_transform(smooth, matrix, start, tuple(shape), order=1, mode="constant")


def _seen_part(
    matrix: np.ndarray, start: np.ndarray, shape: tuple[int, int, int], size: tuple[int, ...], sigma: np.ndarray
) -> tuple[slice, ...]:
    """The part of an image of a size that a box of a shape sees, with room for the smoothing."""
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in shape], indexing="ij")).reshape(3, -1).T @ matrix.T + start
    room = np.ceil(4 * sigma) + 2  # scipy cuts the Gaussian off at 4 sigma
    low = np.clip(np.floor(corners.min(axis=0) - room), 0, size).astype(int)
    high = np.clip(np.ceil(corners.max(axis=0) + room) + 1, 0, size).astype(int)
    return tuple(slice(a, max(a, b)) for a, b in zip(low, high, strict=True))


def resample_mask(mask: np.ndarray, affine: np.ndarray, box: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """Mask (x, y, z) on a box, uint8: the organ that fills at least half of a voxel."""
    out = np.zeros(shape, np.uint8)
    for label in (LIVER, SPLEEN):
        out[resample(mask == label, affine, box, shape) >= 0.5] = label
    return out


def write_table(packed: pd.DataFrame, volumes: pd.DataFrame, path: Path) -> None:
    """``table.csv``: the row of every exam in the stacks, its channels, its volumes in ml, what its box shows."""
    measured = ["liver_ml", "spleen_ml"]
    table = packed.reset_index(names="row").merge(volumes.reindex(columns=["exam", *measured]), on="exam", how="left")
    table.reindex(columns=["exam", "row", *CHANNELS, *measured, *BOX_COLUMNS]).to_csv(path, index=False)


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
