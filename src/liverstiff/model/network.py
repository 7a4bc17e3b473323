"""The network: patches of the image channels and the variables, one token each, in one transformer.

An absent channel is masked out of every attention; an unknown variable has a learned token. Neither is a zero.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention, softplus

from liverstiff.model.contract import Batch, Model, ModelConfig
from liverstiff.records import LIVER, SPLEEN

SPREAD_FLOOR = 0.1
"""Smallest predicted spread, in SD of the target: a few exams learnt by heart must not look certain."""


class PatchTokens(nn.Module):
    """Each channel cut into patches and embedded by its own stem; where liver and spleen are is added to all."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        patches = math.prod(config.shape) // math.prod(config.patch)
        self.stems = nn.ModuleList(_stem(config) for _ in config.channels)
        self.organs = LinearStem(config)
        self.channel = nn.Parameter(0.02 * torch.randn(len(config.channels), 1, config.width))
        self.position = nn.Parameter(0.02 * torch.randn(patches, config.width))
        self.always = nn.Parameter(0.02 * torch.randn(config.width))

    def forward(self, images: Tensor, masks: Tensor) -> Tensor:
        """(n, c, x, y, z) and (n, x, y, z) -> (n, c, p, w) tokens."""
        liver, spleen = (masks == LIVER).to(images.dtype), (masks == SPLEEN).to(images.dtype)
        inside = images * liver.unsqueeze(1)
        tokens = [stem(images[:, c], inside[:, c]) for c, stem in enumerate(self.stems)]  # (n, p, w) each
        organs = self.organs(liver, spleen).unsqueeze(1)  # (n, 1, p, w)
        return torch.stack(tokens, dim=1) + organs + self.channel + self.position  # (n, c, p, w)


class LinearStem(nn.Module):
    """One linear map from the voxels of a patch of two volumes to its token."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.patch = config.patch
        self.out = nn.Linear(2 * math.prod(config.patch), config.width)

    def forward(self, *volumes: Tensor) -> Tensor:
        """Two of (n, x, y, z) -> (n, p, w)."""
        out: Tensor = self.out(torch.cat([self._cut(volume) for volume in volumes], dim=-1))
        return out

    def _cut(self, volume: Tensor) -> Tensor:
        """(n, x, y, z) -> (n, p, v): patches, those along z first, and their voxels."""
        sizes = [size for n, p in zip(volume.shape[1:], self.patch, strict=True) for size in (n // p, p)]
        return volume.reshape(-1, *sizes).permute(0, 1, 3, 5, 2, 4, 6).flatten(4).flatten(1, 3)


class ConvStem(nn.Module):
    """Two convolutions: voxels to features at half the resolution, those of a patch to its token."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        x, y, z = config.patch
        half = (x // 2, y // 2, z // 2)
        hidden = 4 * max(2, config.width // 16)
        self.layers = nn.Sequential(
            nn.Conv3d(2, hidden, kernel_size=3, stride=2, padding=1),
            nn.GroupNorm(4, hidden),
            nn.GELU(),
            nn.Conv3d(hidden, config.width, kernel_size=half, stride=half),
        )

    def forward(self, *volumes: Tensor) -> Tensor:
        """Two of (n, x, y, z) -> (n, p, w)."""
        out: Tensor = self.layers(torch.stack(volumes, dim=1))
        return out.flatten(2).mT


def _stem(config: ModelConfig) -> nn.Module:
    """What the config asks for."""
    return ConvStem(config) if config.stem == "conv" else LinearStem(config)


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
        told = self.slope * values.masked_fill(~known, 0.0).unsqueeze(-1) + self.offset  # (n, v, w)
        return torch.where(known.unsqueeze(-1), told, self.unknown)


class Block(nn.Module):
    """Attention and perceptron, each after a layer norm and added to what came in."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width = config.width
        self.heads = config.heads
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.perceptron = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, tokens: Tensor, there: Tensor) -> Tensor:
        """(n, t, w) tokens and (n, t) flags -> (n, t, w); only tokens that are there are attended to."""
        n, t, w = tokens.shape
        qkv = self.qkv(self.norms[0](tokens)).view(n, t, 3, self.heads, w // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # (n, h, t, w/h) each
        seen = scaled_dot_product_attention(q, k, v, attn_mask=there[:, None, None, :])
        tokens = tokens + self.dropout(self.out(seen.transpose(1, 2).reshape(n, t, w)))
        return tokens + self.dropout(self.perceptron(self.norms[1](tokens)))


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


class Head(nn.Module):
    """From features to mean and spread; begins as the linear estimate with a spread of about 1."""

    def __init__(self, features: int, width: int, dropout: float) -> None:
        super().__init__()
        self.hidden = nn.Sequential(nn.Linear(features, width), nn.GELU(), nn.Dropout(dropout))
        self.out = nn.Linear(width, 2)
        nn.init.normal_(self.out.weight, std=0.02)
        nn.init.zeros_(self.out.bias)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """(n, k) -> what is added to the linear estimate (n,), spread (n,)."""
        mean, spread = self.out(self.hidden(features)).float().unbind(-1)
        return mean, SPREAD_FLOOR + softplus(spread)


class StiffnessNet(Model):
    """The transformer over every token that is there."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.patches = PatchTokens(config) if config.channels else None
        self.variables = ValueTokens(config) if config.variables else None
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        parts = [name for name, part in (("images", self.patches), ("variables", self.variables)) if part is not None]
        self.pools = nn.ModuleDict({name: AttentionPool(config.width) for name in parts})
        self.head = Head(len(parts) * config.width, config.width, config.dropout)
        self.expect(len(parts) * config.width)

    def embed(self, batch: Batch) -> Tensor:
        """(n, k) features: the pooled tokens of images and of variables."""
        tokens, flags = self._tokens(batch)
        seen = torch.cat(list(flags.values()), dim=1)
        sizes = [flag.shape[1] for flag in flags.values()]
        joined = torch.cat(list(tokens.values()), dim=1)  # (n, t, w)
        for block in self.blocks:
            joined = block(joined, seen)
        parts = zip(flags, joined.split(sizes, dim=1), strict=True)
        return torch.cat([self.pools[name](part, flags[name]) for name, part in parts], dim=-1)

    def read(self, features: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Mean (n,) and spread (n,)."""
        added, spread = self.head(features)
        return self.linear(batch) + added, spread

    def _tokens(self, batch: Batch) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Tokens (n, t, w) of images and of values, and which of them are there (n, t)."""
        tokens, flags = {}, {}
        if self.patches is not None:
            absent = ~batch.present[:, :, None, None, None]
            found = self.patches(batch.images.masked_fill(absent, 0.0), batch.masks)  # (n, c, p, w)
            always = self.patches.always.expand(len(found), 1, -1)  # what stands there when no channel does
            tokens["images"] = torch.cat([found.flatten(1, 2), always], dim=1)
            there = batch.present.repeat_interleave(found.shape[2], dim=1)
            flags["images"] = torch.cat([there, torch.ones_like(there[:, :1])], dim=1)
        if self.variables is not None:
            tokens["variables"] = self.variables(batch.values, batch.known)
            flags["variables"] = torch.ones_like(batch.known)
        return tokens, flags
