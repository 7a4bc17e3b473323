"""Networks of MONAI behind the same interface: the encoder of SwinUNETR, and DenseNet121.

All channels go into one network, so an absent one is zeros and a flag; the variables join before the head.
"""

from __future__ import annotations

import torch
from monai.networks.nets import DenseNet121, SwinUNETR
from torch import Tensor, nn

from liverstiff.errors import ConfigError
from liverstiff.model.contract import Batch, Model, ModelConfig, design
from liverstiff.model.network import Head
from liverstiff.records import LIVER, SPLEEN

SMALLEST = 32
"""Voxels along each axis: both halve the grid five times."""

DENSE = 1024
"""Features of DenseNet121 before its last layer."""

GROUPS = 8
"""Of normalisation in DenseNet121; divides the channels of every layer."""


class Volumes(Model):
    """Features of one network over all channels, then the variables and which channels there are, then the head."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        channels = len(config.channels) + 2  # and liver and spleen
        self.body, features = _swin(config, channels) if config.kind == "swin" else _densenet(config, channels)
        together = features + len(config.channels) + 2 * len(config.variables)
        self.head = Head(together, config.width, config.dropout)
        self.expect(together)

    def embed(self, batch: Batch) -> Tensor:
        """(n, k): features of the images, flags of the channels, the variables."""
        images = batch.images.masked_fill(~batch.present[:, :, None, None, None], 0.0)
        organs = torch.stack([batch.masks == LIVER, batch.masks == SPLEEN], dim=1).to(images.dtype)
        seen = self.body(_enlarge(torch.cat([images, organs], dim=1)))
        return torch.cat([seen, batch.present.to(seen.dtype), design(batch).to(seen.dtype)], dim=1)

    def read(self, features: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Mean (n,) and spread (n,)."""
        added, spread = self.head(features)
        return self.linear(batch) + added, spread


def _enlarge(images: Tensor) -> Tensor:
    """(n, c, x, y, z) padded with zeros at the far ends to a multiple of 32 voxels along each axis."""
    pad = [extra for n in reversed(images.shape[2:]) for extra in (0, -n % SMALLEST)]
    return nn.functional.pad(images, pad)


class _Swin(nn.Module):
    """The deepest features of the encoder, averaged over the grid."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.encoder = SwinUNETR(in_channels=channels, out_channels=1, feature_size=width).swinViT

    def forward(self, images: Tensor) -> Tensor:
        """(n, c, x, y, z) -> (n, 16 w)."""
        deepest: Tensor = self.encoder(images)[-1]
        return deepest.mean(dim=(2, 3, 4))


def _swin(config: ModelConfig, channels: int) -> tuple[nn.Module, int]:
    """The encoder and the number of its features."""
    if config.width % 12:
        raise ConfigError(f"train.width: got {config.width}; expected a multiple of 12 for train.model swin, e.g. 24")
    return _Swin(channels, config.width), 16 * config.width


def _densenet(config: ModelConfig, channels: int) -> tuple[nn.Module, int]:
    """DenseNet121 without its last layer, and the number of its features.

    With group in place of batch normalisation: averaged weights have no statistics of batches that belong to them, an
    exam may be alone in a batch, and the deepest grid may be one voxel.
    """
    norm = ("group", {"num_groups": GROUPS})
    net = DenseNet121(spatial_dims=3, in_channels=channels, out_channels=1, norm=norm, dropout_prob=config.dropout)
    net.class_layers.out = nn.Identity()
    return net, DENSE
