"""Random changes of a whole batch at once, such as scanners and positioning make. Left and right are never swapped."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, avg_pool3d, grid_sample, interpolate

from liverstiff.model import Batch, ModelConfig, channel_of, is_sign

STRETCH = 0.06
"""Largest entry added to the affine matrix: scale, shear and rotation of about 3 degrees."""

SHIFT = 0.10
"""Largest shift, in half lengths of the grid."""

GAIN, RAMP, NOISE = 0.10, 0.10, 0.10
"""SD of the log gain, of a linear ramp across the grid, of the noise, in units of a conditioned image."""

COARSE = 0.2
"""Chance that an exam is given half its resolution."""


class Augmentation:
    """Changes of a batch for one model: the images moved, bent and shaded, sequences, values and signs left out."""

    def __init__(self, config: ModelConfig, drop_sequence: float, drop_value: float, drop_signs: float = 0.0) -> None:
        sequence = ["DWI" if name == "ADC" else name for name in config.channels]
        self.channels_of = torch.tensor([[own == name for own in sequence] for name in dict.fromkeys(sequence)])
        """(sequence, channel): True where the channel comes from the sequence."""
        self.measured_on = torch.tensor([[channel_of(v) == c for v in config.variables] for c in config.channels])
        """(channel, variable): True where the number was measured on the channel."""
        self.free = torch.tensor([name != "ADC" for name in config.channels])
        """(channel,): True where intensities have no unit."""
        self.signs = torch.tensor([is_sign(name) for name in config.variables], dtype=torch.bool)
        """(variable,): True where it is measured on the images."""
        self.drop_sequence, self.drop_value, self.drop_signs = drop_sequence, drop_value, drop_signs

    def __call__(self, batch: Batch) -> Batch:
        """Another batch of the same exams, drawn from torch's seed."""
        known = batch.known & (torch.rand(batch.known.shape, device=batch.known.device) >= self.drop_value)
        if not len(self.free):
            return batch._replace(known=known)
        images, masks = move(batch.images, batch.masks)
        present = drop(batch.present, self.channels_of.to(images.device), self.drop_sequence)
        lost = (batch.present & ~present).float() @ self.measured_on.to(images.device).float() > 0
        unseen = torch.rand(batch.size, 1, device=images.device) < self.drop_signs
        known = known & ~lost & ~(unseen & self.signs.to(images.device))
        images = shade(coarsen(images), self.free.to(images.device))
        return Batch(images, masks, present, batch.values, known)


def move(images: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """A small affine per exam of (n, c, x, y, z) images, linear, and their (n, x, y, z) masks, nearest."""
    n = len(images)
    bend = STRETCH * (2 * torch.rand(n, 3, 3, device=images.device) - 1)
    shift = SHIFT * (2 * torch.rand(n, 3, 1, device=images.device) - 1)
    matrix = torch.cat([torch.eye(3, device=images.device) + bend, shift], dim=2)  # (n, 3, 4)
    grid = affine_grid(matrix, list(images.shape), align_corners=False)  # (n, x, y, z, 3)
    moved = grid_sample(images, grid, padding_mode="border", align_corners=False)
    labels = grid_sample(masks[:, None].to(images.dtype), grid, mode="nearest", align_corners=False)
    return moved, labels[:, 0].to(masks.dtype)


def coarsen(images: Tensor) -> Tensor:
    """Images (n, c, x, y, z), some exams of them as if acquired in voxels of twice the size."""
    rows = torch.nonzero(torch.rand(len(images), device=images.device) < COARSE).flatten()
    if not len(rows):
        return images
    coarse = interpolate(avg_pool3d(images[rows], 2, ceil_mode=True), size=images.shape[2:], mode="trilinear")
    return images.index_copy(0, rows, coarse)


def shade(images: Tensor, free: Tensor) -> Tensor:
    """Gain, ramp and noise on every channel that is ``free`` (c,); ADC is physical and gets noise only."""
    n, c = images.shape[:2]
    free = free.to(images.dtype).view(1, c, 1, 1, 1)
    ramp = torch.zeros(n, c, 1, 1, 1, device=images.device)
    for axis in (2, 3, 4):
        line = torch.linspace(-1, 1, images.shape[axis], device=images.device)
        slope = RAMP * free * torch.randn(n, c, 1, 1, 1, device=images.device)
        ramp = ramp + slope * line.view([-1 if a == axis else 1 for a in range(5)])
    gain = torch.exp(GAIN * free * torch.randn(n, c, 1, 1, 1, device=images.device))
    return torch.addcmul(ramp, images, gain).add_(torch.randn_like(images), alpha=NOISE)


def drop(present: Tensor, channels_of: Tensor, probability: float) -> Tensor:
    """Flags (n, channel) with, by chance, one sequence of an exam marked absent, never its only one.

    ``channels_of`` (sequence, channel) tells which channels a sequence gives.
    """
    acquired = (present[:, None] & channels_of).any(dim=2)  # (n, sequence)
    chosen = torch.where(acquired, torch.rand(acquired.shape, device=present.device), -1.0).argmax(dim=1)  # (n,)
    dropped = (torch.rand(len(present), device=present.device) < probability) & (acquired.sum(dim=1) > 1)
    return present & ~(channels_of[chosen] & dropped[:, None])
