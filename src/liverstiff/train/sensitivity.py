"""Whether a model looks at the images: what its estimates change by when patients get the images of others.

A network can learn the record alone, with an r that looks like that of a weak model; this tells the two apart.
"""

from __future__ import annotations

import torch

from liverstiff.config import TrainConfig
from liverstiff.model import Batch, Model, is_sign
from liverstiff.train.learning import autocast
from liverstiff.train.material import Material

LEAST_EXAMS = 40
"""Fewer exams of the inner validation say too little."""


@torch.no_grad()
def image_sensitivity(network: Model, material: Material, settings: TrainConfig, with_signs: bool) -> float:
    """SD of the change of the estimates, in SD of the estimates, when each exam gets the images of the next one.

    Args:
        network: trained.
        material: its inner validation is used, in its order, in batches.
        settings: config section ``train``.
        with_signs: what was measured on the images moves with them.
    """
    network.eval()
    own, other = [], []
    signs = torch.tensor([is_sign(name) for name in network.config.variables], dtype=torch.bool)
    for batch in material.exams.batches(material.validation.split(max(2, settings.batch))):
        with autocast(settings):
            own.append(network(batch)[0])
            other.append(network(swapped(batch, signs.to(batch.values.device) & with_signs))[0])
    before, after = torch.cat(own), torch.cat(other)
    return float((after - before).std() / before.std().clamp_min(1e-6))


def swapped(batch: Batch, signs: torch.Tensor) -> Batch:
    """Each exam with the images of the next, and with its values of the variables flagged in ``signs`` (v,)."""
    values, known = (torch.where(signs, tensor.roll(1, dims=0), tensor) for tensor in (batch.values, batch.known))
    images, masks, present = (tensor.roll(1, dims=0) for tensor in (batch.images, batch.masks, batch.present))
    return Batch(images, masks, present, values, known)
