"""What a fold learns from, on the device."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from liverstiff.model import Batch


@dataclass(frozen=True)
class Material:
    """Every exam outside the fold, and which of them are learned from."""

    exams: Batch
    """Every exam outside the fold, on the device."""
    target: Tensor
    """(n,), the measured target in SD about the mean of the training exams."""
    training: Tensor
    """Rows of the exams the weights are fitted on."""
    validation: Tensor
    """Rows of the exams that choose the epoch, of other patients."""

    @property
    def numbers(self) -> Batch:
        """All exams, for what needs their variables only."""
        return self.exams
