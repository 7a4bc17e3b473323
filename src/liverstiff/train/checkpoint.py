"""How far training has come, on disk after every epoch, so that a run that was stopped goes on to the same weights."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import nn
from torch.optim.swa_utils import AveragedModel

from liverstiff.checkpoint import Tensors, read_checkpoint, write_checkpoint
from liverstiff.errors import DataError


@dataclass(frozen=True)
class Epoch:
    """One row of ``history.csv``."""

    epoch: int
    """Number of the epoch, from 1."""
    train_loss: float
    """Mean negative log likelihood of the augmented training exams, in SD of the target."""
    validation_loss: float
    """The same of the inner validation, not augmented."""
    validation_mae: float
    """Mean absolute error of the median estimate, in the unit of the target, on the inner validation."""
    learning_rate: float
    """Step size at the end of the epoch."""


@dataclass
class Progress:
    """What an epoch hands on to the next beside network and optimiser."""

    history: list[Epoch] = field(default_factory=list)
    """The epochs that are done."""
    best: Tensors = field(default_factory=dict)
    """Tensors of the epoch with the smallest validation loss."""
    steps: int = 0
    """Steps that are done of the epoch after those."""
    loss: float = 0.0
    """Sum of the loss over these steps."""
    rate: float = 0.0
    """Step size of the last of them."""
    random: Tensors = field(default_factory=dict)
    """State of the generators after these steps; empty at the start of an epoch."""

    @property
    def best_epoch(self) -> Epoch:
        """The first epoch with the smallest validation loss."""
        return min(self.history, key=lambda row: row.validation_loss)

    @property
    def waited(self) -> int:
        """Epochs since the best."""
        return len(self.history) - self.best_epoch.epoch if self.history else 0


@dataclass(frozen=True)
class State:
    """What changes with every step."""

    network: nn.Module
    """The network that is fitted."""
    average: AveragedModel
    """Its moving average, which is kept."""
    optimizer: torch.optim.Optimizer
    """With its moments."""


def random_state(device: torch.device) -> Tensors:
    """State of torch's generators."""
    state = {"cpu": torch.get_rng_state()}
    return state | ({"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {})


def set_random_state(state: Tensors, device: torch.device) -> None:
    """Go on drawing where the state was taken."""
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"], device)


def write(path: Path, fingerprint: str, state: State, at: Progress) -> None:
    """Write all of it in one step."""
    groups = {
        "network": state.network.state_dict(),
        "average": state.average.state_dict(),
        "best": at.best,
        "random": at.random,
    }
    note = {"history": [asdict(row) for row in at.history], "steps": at.steps, "loss": at.loss, "rate": at.rate}
    write_checkpoint(path, fingerprint, groups, state.optimizer, note)


def resume(path: Path, fingerprint: str, state: State) -> Progress:
    """Put the state where the checkpoint left them; a checkpoint of other inputs is left out.

    Raises:
        DataError: for a file that is no checkpoint.
    """
    try:
        found = read_checkpoint(path, fingerprint, ("network", "average", "best", "random"), state.optimizer)
    except (SafetensorError, KeyError, ValueError, TypeError):
        raise DataError(
            f"{path.name}: damaged checkpoint; expected one of this stage; delete it to start anew"
        ) from None
    if found is None:
        return Progress()
    groups, note = found
    state.network.load_state_dict(groups["network"])
    state.average.load_state_dict(groups["average"])
    history = [Epoch(**row) for row in note["history"]]
    return Progress(history, groups["best"], note["steps"], note["loss"], note["rate"], groups["random"])
