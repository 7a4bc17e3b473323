"""What exams of the training look like, so that an unlike one can be told later."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.covariance import ledoit_wolf
from threadpoolctl import threadpool_limits

from liverstiff.config import TrainConfig
from liverstiff.model import Familiarity, Model, traits
from liverstiff.train.material import Material


@torch.no_grad()
def remember(network: Model, material: Material, settings: TrainConfig) -> None:
    """Fit ``network.familiarity`` on the training exams as they are."""
    network.eval()
    rows = []
    for batch in material.exams.batches(material.training.split(settings.batch)):
        features = network.embed(batch)
        rows.append(traits(features, batch).double().cpu())
    fit_familiarity(network.familiarity, torch.cat(rows).numpy())


def fit_familiarity(familiarity: Familiarity, rows: np.ndarray) -> None:
    """Mean and whitening of (n, k) features; covariance shrunk as Ledoit and Wolf, J Multivar Anal 2004;88:365-411.

    On one thread: sums of numpy, and so bytes, would depend on how many the machine has.
    """
    middle = rows.mean(axis=0)
    with threadpool_limits(1, "blas"):
        covariance, _ = ledoit_wolf(rows - middle, assume_centered=True)
        values, vectors = np.linalg.eigh(covariance)
    whitening = vectors / np.sqrt(np.maximum(values, 1e-12 + 1e-6 * values.max()))
    familiarity.middle.copy_(torch.from_numpy(middle))
    familiarity.whitening.copy_(torch.from_numpy(whitening))
