"""A baseline like the published approach: a frozen 2D transformer on central slices, dense layers on top.

The transformer is the ViT of Dosovitskiy et al. (ICLR 2021) with the tensor names of timm, so that a safetensors file
of its weights for natural images fits; its size follows from ``width`` (64 per head), ``depth`` and ``patch``.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, scaled_dot_product_attention

from liverstiff.model.contract import Batch, Model, ModelConfig
from liverstiff.model.network import Head

SLICES = 11
"""Central slices of each channel."""

GRID = 14
"""Patches along each side of a slice."""

HEAD_WIDTH = 64


class _Attention(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = width // HEAD_WIDTH
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """(n, t, w) -> (n, t, w)."""
        n, t, w = tokens.shape
        q, k, v = self.qkv(tokens).view(n, t, 3, self.heads, HEAD_WIDTH).permute(2, 0, 3, 1, 4)
        out: Tensor = self.proj(scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, t, w))
        return out


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.attn = _Attention(width)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, 4 * width), "fc2": nn.Linear(4 * width, width)})

    def forward(self, tokens: Tensor) -> Tensor:
        """(n, t, w) -> (n, t, w)."""
        tokens = tokens + self.attn(self.norm1(tokens))
        added: Tensor = self.mlp["fc2"](nn.functional.gelu(self.mlp["fc1"](self.norm2(tokens))))
        return tokens + added


class SliceTransformer(nn.Module):
    """A ViT without its classifier."""

    def __init__(self, width: int, depth: int, patch: int) -> None:
        super().__init__()
        self.side = GRID * patch
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(0.02 * torch.randn(1, 1 + GRID**2, width))
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, width, kernel_size=patch, stride=patch)})
        self.blocks = nn.ModuleList(_Block(width) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)

    def forward(self, slices: Tensor) -> Tensor:
        """(n, x, y) -> (n, w), the class token."""
        grey = interpolate(slices[:, None], (self.side, self.side), mode="bilinear", align_corners=False)
        patches = self.patch_embed["proj"](grey.expand(-1, 3, -1, -1)).flatten(2).mT
        tokens = torch.cat([self.cls_token.expand(len(slices), -1, -1), patches], dim=1) + self.pos_embed
        for block in self.blocks:
            tokens = block(tokens)
        out: Tensor = self.norm(tokens)[:, 0]
        return out


class PublishedLike(Model):
    """Frozen features, averaged over slices; dense branches for images and record; fusion. What is missing is 0."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.body = SliceTransformer(config.width, config.depth, config.patch[0]).requires_grad_(False)
        half = config.width // 2
        self.images = nn.Sequential(nn.Linear(len(config.channels) * config.width, half), nn.GELU())
        self.record = nn.Sequential(nn.Linear(len(config.variables), half), nn.GELU())
        self.head = Head(2 * half, half, config.dropout)
        self.expect(2 * half)

    def embed(self, batch: Batch) -> Tensor:
        """(n, k): both branches."""
        n, c, x, y, z = batch.images.shape
        first = max(0, (z - SLICES) // 2)
        slices = batch.images.masked_fill(~batch.present[:, :, None, None, None], 0.0)[..., first : first + SLICES]
        with torch.no_grad():
            seen = self.body(slices.permute(0, 1, 4, 2, 3).reshape(-1, x, y))
        seen = seen.view(n, c, -1, self.config.width).mean(dim=2) * batch.present.unsqueeze(-1)
        values = batch.values.masked_fill(~batch.known, 0.0)
        return torch.cat([self.images(seen.flatten(1)), self.record(values)], dim=1)

    def read(self, features: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Mean (n,) and spread (n,)."""
        mean, spread = self.head(features)
        return mean, spread
