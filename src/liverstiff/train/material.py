"""What a fold learns from: images that lie on the device, or are read from a scratch file while training goes on."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from liverstiff.errors import DataError
from liverstiff.model import Batch, Fitted, image_shape, read_batch

CHUNK = 16
"""Exams that one thread conditions before it writes them."""


class Exams(Protocol):
    """Exams by row."""

    numbers: Batch
    """All of them on the device, for what needs no image; images may be left out."""

    def batches(self, parts: Iterable[Tensor]) -> Iterator[Batch]:
        """One batch on the device for the rows of each part."""
        ...


class Resident:
    """All exams on the device."""

    def __init__(self, exams: Batch) -> None:
        self.numbers = exams

    def batches(self, parts: Iterable[Tensor]) -> Iterator[Batch]:
        """One batch for the rows of each part."""
        return (self.numbers.of(rows) for rows in parts)


class Streamed:
    """Exams in memory maps: one batch is read while the one before is learned from.

    Args:
        numbers: everything but the images, on the device.
        images: (n, channel, x, y, z), conditioned, float16.
        masks: (n, x, y, z).
    """

    def __init__(self, numbers: Batch, images: np.ndarray, masks: np.ndarray) -> None:
        self.numbers, self.images, self.masks = numbers, images, masks
        self.device = numbers.values.device

    def batches(self, parts: Iterable[Tensor]) -> Iterator[Batch]:
        """One batch for the rows of each part."""
        with ThreadPoolExecutor(1) as reader:
            waiting = None
            for rows in parts:
                reading = rows, reader.submit(self._read, rows.cpu().numpy())
                if waiting is not None:
                    yield self._put(*waiting)
                waiting = reading
            if waiting is not None:
                yield self._put(*waiting)

    def _read(self, rows: np.ndarray) -> tuple[Tensor, Tensor]:
        """Images and masks on the CPU."""
        images, masks = (torch.from_numpy(np.asarray(array[rows])) for array in (self.images, self.masks))
        return (images.pin_memory(), masks.pin_memory()) if self.device.type == "cuda" else (images, masks)

    def _put(self, rows: Tensor, read: Future[tuple[Tensor, Tensor]]) -> Batch:
        """Exams on the device, images as float32."""
        images, masks = (tensor.to(self.device, non_blocking=True) for tensor in read.result())
        return self.numbers.of(rows)._replace(images=images.float(), masks=masks)


def stream(
    found: pd.DataFrame, values: np.ndarray, fitted: Fitted, device: torch.device, folder: Path, threads: int
) -> Streamed:
    """Exams conditioned once, into files without a name in ``folder``, which end with the process however it ends.

    Args:
        found: where the n exams lie.
        values: (n, variable), as they are in the tables.
        fitted: scales of the fold.
        device: where batches are wanted.
        folder: with room for the images as float16; it is made.
        threads: exams that are conditioned at a time.

    Raises:
        DataError: where the folder has too little room.
    """
    n, shape = len(found), image_shape(found)
    images = _scratch(folder, (n, len(fitted.channels), *shape), np.float16)
    masks = _scratch(folder, (n, *shape), np.uint8)

    def fill(rows: np.ndarray) -> Batch:
        batch = read_batch(found.iloc[rows], values[rows], fitted)
        images[rows], masks[rows] = batch.images.numpy(), batch.masks.numpy()
        return batch._replace(images=batch.images[..., :0, :0, :0], masks=batch.masks[..., :0, :0, :0])

    with ThreadPoolExecutor(threads) as pool:
        parts = list(pool.map(fill, np.array_split(np.arange(n), max(1, n // CHUNK))))
    numbers = Batch(*(torch.cat(column) for column in zip(*parts, strict=True)))
    return Streamed(numbers.to(device), images, masks)


def _scratch(folder: Path, shape: tuple[int, ...], dtype: type) -> np.ndarray:
    """An array in a file without a name, whose room is taken at once: a full disk must not end a job later on."""
    folder.mkdir(parents=True, exist_ok=True)
    size = math.prod(shape) * np.dtype(dtype).itemsize
    with tempfile.TemporaryFile(dir=folder) as file:
        try:
            os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:
            raise DataError(
                f"train: {size / 1e9:.1f} GB for conditioned images beside the checkpoint cannot be had "
                f"({error.strerror}); free room, or raise train.resident_gb where there is memory"
            ) from None
        return np.memmap(file, dtype, "r+", shape=shape)


@dataclass(frozen=True)
class Material:
    """Every exam outside the fold, and which of them are learned from."""

    exams: Exams
    """Every exam outside the fold."""
    target: Tensor
    """(n,), the measured target in SD about the mean of the training exams."""
    weight: Tensor
    """(n,), how much an exam counts; 1 on average over the training exams."""
    training: Tensor
    """Rows of the exams the weights are fitted on."""
    validation: Tensor
    """Rows of the exams that choose the epoch, of other patients."""


def inverse_density(target: Tensor, training: Tensor) -> Tensor:
    """(n,) weights: one over a normal kernel density (Silverman's width) of the training targets, at most 10 times.

    The least weight of a training exam is a tenth of the largest; their mean is 1.
    """
    known = target[training]
    width = 0.9 * float(known.std()) * len(known) ** -0.2 + 1e-6
    density = torch.exp(-0.5 * ((target[:, None] - known[None]) / width) ** 2).mean(dim=1)
    weight = 1 / density.clamp_min(float(density[training].max()) / 10)
    return weight / weight[training].mean()
