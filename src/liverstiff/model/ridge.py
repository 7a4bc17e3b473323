"""The linear model: a ridge regression in closed form, with one spread for all."""

from __future__ import annotations

import torch
from torch import Tensor

from liverstiff.model.contract import Batch, Model, ModelConfig, design


class Ridge(Model):
    """Linear in the variables; the spread is that of the residuals."""

    spread: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.register_buffer("spread", torch.ones(()))
        self.expect(2 * len(config.variables))

    def embed(self, batch: Batch) -> Tensor:
        """(n, 2 v): the variables, and which are unknown."""
        return design(batch)

    def read(self, features: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Mean (n,) and spread (n,)."""
        mean = features @ self.linear.weight + self.linear.bias
        return mean, self.spread.expand_as(mean)
