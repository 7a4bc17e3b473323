"""What every model is given and gives: a batch of exams in, mean and spread of the target out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from liverstiff.errors import ConfigError
from liverstiff.records import CHANNELS

KINDS = ("transformer", "swin", "densenet121", "ridge", "published_like")
"""The models there are."""


@dataclass(frozen=True)
class ModelConfig:
    """Architecture: what is needed to build the model before its weights are read."""

    kind: str
    """One of :data:`KINDS`."""
    shape: tuple[int, int, int]
    """Voxels of an image (x, y, z); zeros without images."""
    channels: tuple[str, ...]
    """Names of the image channels, in order; none for a model of the record."""
    variables: tuple[str, ...]
    """Names of the numbers beside the images, in order."""
    patch: tuple[int, int, int] = (8, 8, 8)
    """Voxels of a patch; divides ``shape``."""
    width: int = 96
    """Numbers per token."""
    depth: int = 4
    """Transformer blocks."""
    heads: int = 4
    """Attention heads; divides ``width``."""
    dropout: float = 0.0
    """Share of activations dropped in training."""
    stem: str = "linear"
    """How a patch becomes a token: ``linear`` or ``conv``."""
    linear: bool = True
    """The estimate starts from a linear one of the variables, and the network adds to it."""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigError(f"train.model: got {self.kind!r}; expected one of {', '.join(KINDS)}")
        if not self.channels and not self.variables:
            raise ConfigError("train.inputs: nothing to learn from; name a sequence, a measure or a variable")
        if self.kind == "ridge" and not self.variables:
            raise ConfigError(
                "train.model: ridge reads variables alone; set train.measured to volumes or signs, add record to "
                "train.inputs, or take another model"
            )
        if self.kind in ("swin", "densenet121", "published_like") and not self.channels:
            raise ConfigError(f"train.model: {self.kind} needs images; add them to train.inputs or take another model")
        if self.kind == "published_like" and (self.width % 64 or self.patch[0] != self.patch[1]):
            raise ConfigError(
                f"train.width, train.patch: got {self.width}, {self.patch}; published_like expects those of its "
                "weights, such as 768 and [16, 16, 1]"
            )
        if self.kind != "transformer":
            return
        if self.channels and any(n % p for n, p in zip(self.shape, self.patch, strict=True)):
            raise ConfigError(
                f"train.patch: got {self.patch}; expected divisors of pack.shape {self.shape}; change one"
            )
        if self.stem == "conv" and any(p % 2 for p in self.patch):
            raise ConfigError(f"train.patch: got {self.patch}; expected even numbers for train.stem 'conv'; change one")
        if self.width % self.heads:
            raise ConfigError(f"train.width: got {self.width}; expected a multiple of train.heads ({self.heads})")


class Batch(NamedTuple):
    """What a model sees of n exams; a model of the record sees zero channels of zero voxels."""

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

    @property
    def size(self) -> int:
        """Number of exams."""
        return len(self.values)

    def of(self, rows: Tensor) -> Batch:
        """The exams at ``rows``, in that order, images as float32."""
        images, *others = (tensor[rows] for tensor in self)
        return Batch(images.float(), *others)

    def to(self, device: torch.device) -> Batch:
        """The same exams on a device."""
        return Batch(*(tensor.to(device) for tensor in self))


def channel_of(variable: str) -> str | None:
    """The channel a number was measured on, ``T1w`` of ``T1w:spleen``; None for one of the record or the masks."""
    channel = variable.partition(":")[0]
    return channel if channel in CHANNELS else None


class Linear(nn.Module):
    """A linear estimate of the variables, their mean and an own weight where one is unknown; fitted in closed form."""

    weight: Tensor
    bias: Tensor

    def __init__(self, variables: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(2 * variables))
        self.register_buffer("bias", torch.zeros(()))

    def forward(self, batch: Batch) -> Tensor:
        """(n,), in SD of the target."""
        return design(batch) @ self.weight + self.bias


def design(batch: Batch) -> Tensor:
    """(n, 2 v): the known values, 0 elsewhere, and 1 where a value is unknown."""
    return torch.cat([batch.values.masked_fill(~batch.known, 0.0), (~batch.known).to(batch.values.dtype)], dim=1)


class Familiarity(nn.Module):
    """How far features lie from those of the training exams: the root of the mean squared Mahalanobis distance.

    Lee et al., A simple unified framework for detecting out-of-distribution samples, NeurIPS 2018.
    """

    middle: Tensor
    whitening: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("middle", torch.zeros(features))
        self.register_buffer("whitening", torch.eye(features))

    def forward(self, features: Tensor) -> Tensor:
        """(n, k) -> (n,), about 1 for an exam like those of the training."""
        return ((features - self.middle) @ self.whitening).square().mean(dim=1).sqrt()


class Model(nn.Module, ABC):
    """Mean and spread of the target, in SD about the mean of the training exams, and how familiar an exam is."""

    familiarity: Familiarity

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.linear = Linear(len(config.variables))

    def expect(self, features: int) -> None:
        """Tell how many features :meth:`embed` gives, at the end of the construction."""
        self.familiarity = Familiarity(features + len(self.config.variables))

    @abstractmethod
    def embed(self, batch: Batch) -> Tensor:
        """(n, k) features from which the estimate is read."""

    @abstractmethod
    def read(self, features: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Mean (n,) and spread (n,) from the features."""

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """A batch of n exams -> mean (n,) and spread (n,)."""
        return self.read(self.embed(batch), batch)


def traits(features: Tensor, batch: Batch) -> Tensor:
    """(n, k + v): what an exam is compared by, its features and its variables."""
    return torch.cat([features.float(), batch.values.masked_fill(~batch.known, 0.0)], dim=1)
