"""What a fold learns from: images that lie on the device, or are read from the packs while training goes on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from liverstiff.model import Batch, Fitted, read_batch


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
    """Exams read from the packs, mapped into memory: one batch is read while the one before is learned from."""

    def __init__(self, found: pd.DataFrame, values: np.ndarray, fitted: Fitted, device: torch.device) -> None:
        self.found, self.values, self.fitted, self.device = found, values, fitted, device
        self.numbers = self._numbers().to(device)

    def batches(self, parts: Iterable[Tensor]) -> Iterator[Batch]:
        """One batch for the rows of each part."""
        with ThreadPoolExecutor(1) as reader:
            waiting = None
            for rows in parts:
                reading = reader.submit(self._read, rows.cpu().numpy())
                if waiting is not None:
                    yield self._put(waiting.result())
                waiting = reading
            if waiting is not None:
                yield self._put(waiting.result())

    def _read(self, rows: np.ndarray) -> Batch:
        """Exams on the CPU."""
        batch = read_batch(self.found.iloc[rows], self.values[rows], self.fitted)
        return Batch(*(tensor.pin_memory() for tensor in batch)) if self.device.type == "cuda" else batch

    def _put(self, batch: Batch) -> Batch:
        """Exams on the device, images as float32."""
        images, *others = (tensor.to(self.device, non_blocking=True) for tensor in batch)
        return Batch(images.float(), *others)

    def _numbers(self) -> Batch:
        """Everything but the images."""
        scaled, known = self.fitted.values.apply(self.values)
        n, c = len(self.found), len(self.fitted.channels)
        present = torch.ones(n, c, dtype=torch.bool)  # stands there for the number of exams; nothing reads it
        images, masks = torch.zeros(n, c, 0, 0, 0), torch.zeros(n, 0, 0, 0, dtype=torch.uint8)
        return Batch(images, masks, present, torch.from_numpy(scaled), torch.from_numpy(known))


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
