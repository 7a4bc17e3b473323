"""What an estimate rests on: how much it changes when a block of the images is covered.

Zeiler and Fergus, Visualizing and understanding convolutional networks, ECCV 2014. The packed images are covered before
anything is measured or scaled on them, so that signs and network are explained together.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from scipy import ndimage

from liverstiff.config import PredictConfig
from liverstiff.model import Batch, Description, Model, choose_device, load_model
from liverstiff.model.inputs import channels_present, condition, exam_arrays, find_exams, raw_values
from liverstiff.model.signs import measure
from liverstiff.predict.estimates import Fold, Source, check_models
from liverstiff.records import CHANNELS, LIVER, read_table

BLOCKS = (8, 8, 4)
"""Blocks along x, y, z."""

COLUMNS = ("exam", "partition", "liver", "elsewhere", "share")

SEEN = ("temporal", "external", "cross-validation")
"""Where the exams of the gallery come from: the first that has any."""


def explain_partition(
    *,
    packs: list[Path],
    cohort: Path,
    splits: Path,
    models: list[Path],
    folder: Path,
    settings: PredictConfig,
    threads: int = 1,
) -> None:
    """Write ``<exam>.png`` for some exams no shown model was trained on, and ``explained.csv``.

    Held-out exams are explained by the mean over all folds, those of the cross-validation by their own.

    Args:
        packs: shard folders of the stage pack.
        cohort: ``cohort.csv``.
        splits: ``splits.csv``.
        models: folders of the folds' models, fold 0 first.
        folder: to make. ``explained.csv`` has the mean change (on the scale of the target) by blocks of mostly liver,
            by the others, and the share of all change that blocks of mostly liver hold.
        settings: config section ``predict``.
        threads: CPU threads.

    Raises:
        ConfigError: for a device that is not there.
        DataError: for a model that belongs to another split.
    """
    device = choose_device(settings.device, "predict.device")
    torch.set_num_threads(threads)
    folder.mkdir(parents=True, exist_ok=True)
    source = Source(packs, read_table(cohort).set_index("exam"))
    folds = [(network.to(device), described) for network, described in map(load_model, models)]
    split = read_table(splits)
    check_models(folds, split)
    rows = []
    for exam, partition, shown in gallery(split, source.cohort, folds, settings.gallery):
        images, mask, maps = explain_exam(exam, shown, source)
        draw(images, mask, maps, folder / f"{exam}.png")
        rows.append({"exam": exam, "partition": partition} | summary(maps, mask))
    pd.DataFrame(rows, columns=list(COLUMNS)).to_csv(folder / "explained.csv", index=False, float_format="%.6g")


def gallery(
    splits: pd.DataFrame, cohort: pd.DataFrame, folds: list[Fold], count: int
) -> Iterator[tuple[str, str, list[Fold]]]:
    """Exams evenly spread over the measured target, their partition, and the models that explain each."""
    if not folds[0][1].fitted.channels:
        return
    partition = next((name for name in SEEN if (splits["partition"] == name).any()), None)
    rows = splits[splits["partition"] == partition].set_index("exam")
    ordered = cohort.loc[rows.index, "reference"].sort_values(kind="stable").index
    places = np.linspace(0, len(ordered) - 1, min(count, len(ordered))).astype(int)
    for exam in ordered[places]:
        own = [folds[int(rows.loc[exam, "fold"])]] if partition == "cross-validation" else folds
        yield exam, str(partition), own


def explain_exam(exam: str, folds: list[Fold], source: Source) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images (channel, x, y, z) and mask (x, y, z) of an exam, and the change by each block, mean over folds."""
    channels = folds[0][1].fitted.channels
    found = find_exams(source.packs, [exam], channels)
    images, mask = exam_arrays(found, exam)
    values = covered_values(found, images, mask, source.cohort, folds[0][1].architecture.variables)
    maps = [occlude(network, described, found, images, mask, values) for network, described in folds]
    which = [CHANNELS.index(name) for name in channels]
    return images[which], mask, np.mean(maps, axis=0)


def covered_values(
    found: pd.DataFrame, images: np.ndarray, mask: np.ndarray, cohort: pd.DataFrame, names: tuple[str, ...]
) -> np.ndarray:
    """Numbers (1 + block, variable) of an exam, as it is and with each block covered: signs change, the record not."""
    values = raw_values(cohort, found, names)[0]
    present = found[list(CHANNELS)].to_numpy(dtype=bool)[0]
    rows = [values]
    for covered in cover(images):
        signs = measure(covered, mask, present)
        rows.append(np.array([signs.get(name, value) for name, value in zip(names, values, strict=True)]))
    return np.array(rows, dtype=float).reshape(len(rows), len(names))


@torch.no_grad()
def occlude(
    network: Model,
    described: Description,
    found: pd.DataFrame,
    images: np.ndarray,
    mask: np.ndarray,
    values: np.ndarray,
) -> np.ndarray:
    """Absolute change of the estimate (on the scale of the target) when a block is covered; (block x, y, z).

    A block is covered in all channels by the mean of that channel over the box; ``values`` are those of
    :func:`covered_values`.
    """
    device = next(network.buffers()).device
    fitted, n = described.fitted, len(values)
    present = channels_present(found, fitted.channels)[0] & np.array(fitted.trained, dtype=bool)
    which = [CHANNELS.index(name) for name in fitted.channels]
    every = chain([images.astype(np.float32)], cover(images))
    voxels = [condition(covered[which], mask == LIVER, present, fitted) for covered in every]
    scaled, known = fitted.values.apply(values, [str(found.index[0])] * n)
    batch = Batch(
        torch.from_numpy(np.stack(voxels)),
        torch.from_numpy(np.array(mask)).expand(n, -1, -1, -1),
        torch.from_numpy(present).expand(n, -1),
        torch.from_numpy(scaled),
        torch.from_numpy(known),
    )
    parts = torch.arange(n).split(16)
    mean = torch.cat([network(batch.of(rows_).to(device))[0] for rows_ in parts]).cpu().double().numpy()
    return np.asarray(fitted.target_sd * np.abs(mean[1:] - mean[0])).reshape(BLOCKS)


def cover(images: np.ndarray) -> Iterator[np.ndarray]:
    """Copies of images (channel, x, y, z), float32, each with one block covered; blocks along z first."""
    level = images.astype(np.float32).mean(axis=(1, 2, 3), keepdims=True)
    for block in np.ndindex(*BLOCKS):
        covered = images.astype(np.float32)
        place = (slice(None), *_place(block, images.shape[1:]))
        covered[place] = level
        yield covered


def _place(block: tuple[int, ...], shape: tuple[int, ...]) -> tuple[slice, ...]:
    """Voxels of a block."""
    edges = [(b * n // k, (b + 1) * n // k) for b, n, k in zip(block, shape, BLOCKS, strict=True)]
    return tuple(slice(low, high) for low, high in edges)


def summary(maps: np.ndarray, mask: np.ndarray) -> dict[str, float]:
    """Mean change by blocks of mostly liver and by the others, and the share of all change that the former hold."""
    inside = np.zeros(BLOCKS, bool)
    for block in np.ndindex(*BLOCKS):
        inside[block] = (mask[_place(block, mask.shape)] == LIVER).mean() > 0.5
    share = maps[inside].sum() / maps.sum() if maps.sum() > 0 else np.nan
    means = {"liver": maps[inside], "elsewhere": maps[~inside]}
    return {name: float(part.mean()) if part.size else np.nan for name, part in means.items()} | {"share": float(share)}


def draw(images: np.ndarray, mask: np.ndarray, maps: np.ndarray, path: Path) -> None:
    """The slice with most liver: each channel, with the liver's border, and the change in colour over the first."""
    z = int((mask == LIVER).sum(axis=(0, 1)).argmax())
    heat = ndimage.zoom(maps, [n / k for n, k in zip(mask.shape, BLOCKS, strict=True)], order=1)[..., z]
    figure = Figure(figsize=(2.2 * (len(images) + 1), 2.4), dpi=110, facecolor="black")
    axes = figure.subplots(1, len(images) + 1)
    for axis, image in zip(axes, [*images, images[0]], strict=True):
        axis.imshow(image[..., z].T.astype(np.float32), cmap="gray", origin="lower")
        axis.contour((mask[..., z] == LIVER).T, [0.5], colors="w", linewidths=0.7)
        axis.set_axis_off()
    colours = matplotlib.colormaps["inferno"]
    axes[-1].imshow(heat.T, cmap=colours, origin="lower", alpha=0.6, vmin=0)
    for axis in axes:
        axis.invert_xaxis()  # the patient's right on the left
    figure.savefig(path, bbox_inches="tight", metadata={"Software": None})
