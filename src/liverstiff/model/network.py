"""The network: patches of four image channels and the variables of the record, one token each, in one transformer.

An absent channel is masked out of every attention; an unknown variable has a learned token. Neither is a zero.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from monai.networks.blocks import TransformerBlock
from torch import Tensor, nn

from liverstiff.errors import ConfigError
from liverstiff.records import CHANNELS, LIVER, SPLEEN

SPREAD_FLOOR = 0.1
"""Smallest predicted spread, in SD of log stiffness: a few exams learnt by heart must not look certain."""


@dataclass(frozen=True)
class ModelConfig:
    """Architecture: what is needed to build the network before its weights are read."""

    shape: tuple[int, int, int]
    """Voxels of an image (x, y, z)."""
    patch: tuple[int, int, int]
    """Voxels of a patch; divides ``shape``."""
    variables: tuple[str, ...]
    """Names of the numbers beside the images, in order."""
    width: int
    """Numbers per token."""
    depth: int
    """Transformer blocks."""
    heads: int
    """Attention heads; divides ``width``."""
    dropout: float = 0.0
    """Share of activations dropped in training."""
    channels: tuple[str, ...] = CHANNELS
    """Names of the image channels, in order."""

    def __post_init__(self) -> None:
        if any(n % p for n, p in zip(self.shape, self.patch, strict=True)):
            raise ConfigError(
                f"train.patch: got {self.patch}; expected divisors of pack.shape {self.shape}; change one"
            )
        if self.width % self.heads:
            raise ConfigError(f"train.width: got {self.width}; expected a multiple of train.heads ({self.heads})")


class Batch(NamedTuple):
    """What the network sees of n exams."""

    images: Tensor
    """(n, channel, x, y, z), conditioned."""
    masks: Tensor
    """(n, x, y, z), 0 elsewhere, 1 liver, 2 spleen."""
    present: Tensor
    """(n, channel), True where the channel was acquired."""
    values: Tensor
    """(n, variable), standardised, 0 where unknown."""
    known: Tensor
    """(n, variable), True where the value is known."""

    def of(self, rows: Tensor) -> Batch:
        """The exams at ``rows``, in that order, images as float32."""
        images, *others = (tensor[rows] for tensor in self)
        return Batch(images.float(), *others)

    def to(self, device: torch.device) -> Batch:
        """The same exams on a device."""
        return Batch(*(tensor.to(device) for tensor in self))


class PatchTokens(nn.Module):
    """Each channel cut into patches and embedded by its own stem, which also sees where liver and spleen are."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.patch = config.patch
        voxels = math.prod(config.patch)
        patches = math.prod(config.shape) // voxels
        self.stems = nn.ModuleList(nn.Linear(4 * voxels, config.width) for _ in config.channels)
        self.channel = nn.Parameter(0.02 * torch.randn(len(config.channels), 1, config.width))
        self.position = nn.Parameter(0.02 * torch.randn(patches, config.width))

    def forward(self, images: Tensor, masks: Tensor) -> Tensor:
        """(n, c, x, y, z) and (n, x, y, z) -> (n, c, p, w) tokens."""
        voxels = self._cut(images)  # (n, c, p, v)
        liver = self._cut((masks == LIVER).to(images.dtype))  # (n, p, v)
        spleen = self._cut((masks == SPLEEN).to(images.dtype))  # (n, p, v)
        tokens = [
            stem(torch.cat([voxels[:, c], voxels[:, c] * liver, liver, spleen], dim=-1))  # (n, p, w)
            for c, stem in enumerate(self.stems)
        ]
        return torch.stack(tokens, dim=1) + self.channel + self.position  # (n, c, p, w)

    def _cut(self, volume: Tensor) -> Tensor:
        """(..., x, y, z) -> (..., p, v): patches and their voxels."""
        for size in self.patch:
            volume = volume.unfold(-3, size, size)  # the window goes last, so the next axis is third from last again
        return volume.flatten(-3).flatten(-4, -2)


class ValueTokens(nn.Module):
    """One token per variable: linear in its value, or a learned token where it is unknown.

    The feature tokenizer of Gorishniy et al., Revisiting deep learning models for tabular data, NeurIPS 2021.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        size = (len(config.variables), config.width)
        self.slope = nn.Parameter(torch.randn(size) / math.sqrt(config.width))
        self.offset = nn.Parameter(torch.randn(size) / math.sqrt(config.width))
        self.unknown = nn.Parameter(torch.randn(size) / math.sqrt(config.width))

    def forward(self, values: Tensor, known: Tensor) -> Tensor:
        """(n, v) values and flags -> (n, v, w) tokens."""
        told = self.slope * values.unsqueeze(-1) + self.offset  # (n, v, w)
        return torch.where(known.unsqueeze(-1), told, self.unknown)


class AttentionPool(nn.Module):
    """Weighted mean of tokens; the weights are a softmax over the tokens that are there."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.score = nn.Linear(width, 1)

    def forward(self, tokens: Tensor, there: Tensor) -> Tensor:
        """(n, t, w) tokens and (n, t) flags -> (n, w)."""
        tokens = self.norm(tokens)
        score = self.score(tokens).squeeze(-1).masked_fill(~there, float("-inf"))  # (n, t)
        return (score.softmax(dim=-1).unsqueeze(1) @ tokens).squeeze(1)


class StiffnessNet(nn.Module):
    """Mean and spread of log stiffness, in SD of the training exams' log stiffness."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.patches = PatchTokens(config)
        self.variables = ValueTokens(config)
        self.blocks = nn.ModuleList(_block(config) for _ in range(config.depth))
        self.image_pool = AttentionPool(config.width)
        self.value_pool = AttentionPool(config.width)
        self.head = nn.Sequential(
            nn.Linear(2 * config.width, config.width),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.width, 2),
        )

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """A batch of n exams -> mean (n,) and spread (n,); an exam has at least one channel."""
        absent = ~batch.present[:, :, None, None, None]
        image_tokens = self.patches(batch.images.masked_fill(absent, 0.0), batch.masks)  # (n, c, p, w)
        there = batch.present.repeat_interleave(image_tokens.shape[2], dim=1)  # (n, c*p)
        image_tokens = image_tokens.flatten(1, 2)  # (n, c*p, w)
        value_tokens = self.variables(batch.values, batch.known)  # (n, v, w)
        tokens = torch.cat([image_tokens, value_tokens], dim=1)  # (n, c*p + v, w)
        seen = torch.cat([there, torch.ones_like(batch.known)], dim=1)  # (n, c*p + v)
        for block in self.blocks:
            tokens = block(tokens, attn_mask=seen)
        image_tokens, value_tokens = tokens.split([there.shape[1], batch.known.shape[1]], dim=1)
        pooled = [self.image_pool(image_tokens, there), self.value_pool(value_tokens, torch.ones_like(batch.known))]
        mean, spread = self.head(torch.cat(pooled, dim=-1)).unbind(-1)  # (n,), (n,)
        return mean, SPREAD_FLOOR + nn.functional.softplus(spread)


def _block(config: ModelConfig) -> TransformerBlock:
    """One block, normalised before attention and before the perceptron.

    MONAI's attention that keeps its matrix: the fused one drops weights in evaluation too.
    """
    return TransformerBlock(
        config.width,
        4 * config.width,
        config.heads,
        dropout_rate=config.dropout,
        qkv_bias=True,
        use_flash_attention=False,
    )
