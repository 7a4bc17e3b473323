"""Whether a model looks at the images: what its estimates change by when patients get the images of others.

A network can learn the record alone, with an r that looks like that of a weak model; this tells the two apart. What is
measured on images by hand (signs) moves with them, so a model of signs that reads no voxel passes; the share of the
voxels alone is told beside.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from liverstiff.config import TrainConfig
from liverstiff.errors import DataError
from liverstiff.model import Batch, Model, Ridge, is_sign
from liverstiff.train.material import Material

LEAST_EXAMS = 40
"""Fewer exams of the inner validation say too little."""

LEAST_VOXELS = 0.01
"""A network whose estimates the voxels alone change by less, in SD of the estimates, does not read them."""


def check_images(network: Model, material: Material, settings: TrainConfig) -> tuple[float | None, float | None]:
    """The shares by which other patients' images, and their voxels alone, change estimates.

    Both are None where there is nothing to tell them from, which a line says for a model of images. A line also warns
    when a network does not read the voxels; that is no error, since signs carry the images too.

    Raises:
        DataError: when the images, with what is measured on them, are not used.
    """
    if not network.config.channels:
        return None, None
    count = len(material.validation)
    if count < LEAST_EXAMS:
        print(f"train: not tested whether images are used: inner validation of {count}, expected {LEAST_EXAMS} or more")
        return None, None
    whole = image_sensitivity(network, material, settings, lambda batch: with_images(batch, network.config.variables))
    voxels = image_sensitivity(network, material, settings, with_voxels)
    print(
        f"train: images of other patients, with what is measured on them, change estimates by {whole:.2f} of their SD; "
        f"their voxels alone by {voxels:.2f}",
        flush=True,
    )
    if whole < settings.sensitivity:
        raise DataError(
            f"train: images not used: those of other patients change estimates by {whole:.2f} of their SD; expected "
            f"{settings.sensitivity:g} or more; lower train.learning_rate, train longer, set train.measured to signs, "
            "look at the packed images, or leave images out of train.inputs"
        )
    if voxels < LEAST_VOXELS and not isinstance(network, Ridge):
        print(
            f"train: WARNING: voxels not used: those of other patients change estimates by {voxels:.4f} of their SD; "
            "what the images tell comes from the numbers measured on them alone, as in train.model ridge",
            flush=True,
        )
    return round(whole, 4), round(voxels, 4)


@torch.no_grad()
def image_sensitivity(
    network: Model, material: Material, settings: TrainConfig, change: Callable[[Batch], Batch]
) -> float:
    """SD of what ``change`` changes the estimates of the inner validation by, in SD of the estimates.

    Args:
        network: trained.
        material: its inner validation is used, in its order, in batches.
        settings: config section ``train``.
        change: gives each exam of a batch something of the others.
    """
    network.eval()
    own, other = [], []
    for batch in material.exams.batches(material.validation.split(max(2, settings.batch))):
        own.append(network(batch)[0])
        other.append(network(change(batch))[0])
    before, after = torch.cat(own), torch.cat(other)
    return float((after - before).std() / before.std().clamp_min(1e-6))


def with_images(batch: Batch, variables: tuple[str, ...]) -> Batch:
    """Each exam with images, masks, present channels and signs of the one before; its own record."""
    signs = torch.tensor([is_sign(name) for name in variables], dtype=torch.bool, device=batch.values.device)
    values, known = (torch.where(signs, tensor.roll(1, dims=0), tensor) for tensor in (batch.values, batch.known))
    images, masks, present = (tensor.roll(1, dims=0) for tensor in (batch.images, batch.masks, batch.present))
    return Batch(images, masks, present, values, known)


def with_voxels(batch: Batch) -> Batch:
    """Each exam with its channels from the one before that has them; its own masks, present channels and numbers."""
    images = batch.images.clone()
    for channel, present in enumerate(batch.present.T):
        rows = torch.nonzero(present).flatten()
        images[rows, channel] = batch.images[rows.roll(1), channel]
    return batch._replace(images=images)
