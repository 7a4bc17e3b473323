"""How far training has come, on disk after every epoch, so that a run that was stopped goes on to the same weights."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Epoch:
    """One row of ``history.csv``."""

    epoch: int
    """Number of the epoch, from 1."""
    train_loss: float
    """Mean negative log likelihood of the augmented training exams, in SD of log stiffness."""
    validation_loss: float
    """The same of the inner validation, not augmented."""
    validation_mae_kpa: float
    """Mean absolute error of exp(mean of log stiffness) on the inner validation."""
    learning_rate: float
    """Step size at the end of the epoch."""


@dataclass
class Progress:
    """What an epoch hands on to the next beside network and optimiser."""

    history: list[Epoch] = field(default_factory=list)
    """The epochs that are done."""
    best: Weights = field(default_factory=dict)
    """Weights of the epoch with the smallest validation loss."""

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


def write(path: Path, fingerprint: str, state: State, at: Progress) -> None:
    """Write all of it in one step."""
    tensors = {f"network/{name}": tensor for name, tensor in state.network.state_dict().items()}
    tensors |= {f"average/{name}": tensor for name, tensor in state.average.state_dict().items()}
    tensors |= {f"best/{name}": tensor for name, tensor in at.best.items()}
    for index, moments in state.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{index}/{name}": tensor for name, tensor in moments.items()}
    history = json.dumps([asdict(row) for row in at.history])
    partial = path.with_name(path.name + ".partial")
    partial.parent.mkdir(parents=True, exist_ok=True)
    copies = {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}
    save_file(copies, partial, metadata={"fingerprint": fingerprint, "history": history})
    partial.replace(path)


def resume(path: Path, fingerprint: str, state: State) -> Progress:
    """Put the state where the checkpoint left them; a checkpoint of other inputs is left out."""
    if not path.exists():
        return Progress()
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
        if metadata["fingerprint"] != fingerprint:
            print(f"train: {path.name} was made from other inputs, settings or code; starting anew", flush=True)
            return Progress()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (a file, not a dict)
    state.network.load_state_dict(_below(tensors, "network/"))
    state.average.load_state_dict(_below(tensors, "average/"))
    moments: dict[int, Weights] = {}
    for name, tensor in _below(tensors, "optimizer/").items():
        index, key = name.split("/")
        moments.setdefault(int(index), {})[key] = tensor
    groups = state.optimizer.state_dict()["param_groups"]
    state.optimizer.load_state_dict({"state": moments, "param_groups": groups})
    print(f"train: going on from {path.name}", flush=True)
    return Progress([Epoch(**row) for row in json.loads(metadata["history"])], _below(tensors, "best/"))


def _below(tensors: Weights, prefix: str) -> Weights:
    """The tensors whose name starts with a prefix, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
