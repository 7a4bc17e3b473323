"""Checkpoints of a training as one safetensors file: tensors by group, a note, and a fingerprint of what made them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

Tensors = dict[str, Tensor]
OPTIMIZER = "optimizer"


def write_checkpoint(
    path: Path, fingerprint: str, groups: dict[str, Tensors], optimizer: torch.optim.Optimizer, note: Any
) -> None:
    """Write all of it in one step.

    Args:
        path: of the file; it must not be an output that Snakemake knows, which it would delete before a rerun.
        fingerprint: of the inputs, settings and code.
        groups: tensors by name, by the name of their group.
        optimizer: whose moments are kept.
        note: what else is needed, as JSON can hold it.
    """
    tensors = {f"{group}/{name}": tensor for group, held in groups.items() for name, tensor in held.items()}
    for index, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"{OPTIMIZER}/{index}/{name}": tensor for name, tensor in moments.items()}
    partial = path.with_name(path.name + ".partial")
    partial.parent.mkdir(parents=True, exist_ok=True)
    copies = {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}
    save_file(copies, partial, metadata={"fingerprint": fingerprint, "note": json.dumps(note)})
    partial.replace(path)


def read_checkpoint(
    path: Path, fingerprint: str, groups: tuple[str, ...], optimizer: torch.optim.Optimizer
) -> tuple[dict[str, Tensors], Any] | None:
    """The groups and the note of a checkpoint, its moments put into the optimizer; None where there is none to use.

    A checkpoint of other inputs, settings or code is left out, and a line says so.
    """
    if not path.exists():
        return None
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
        if metadata["fingerprint"] != fingerprint:
            print(f"{path.name} was made from other inputs, settings or code; starting anew", flush=True)
            return None
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (a file, not a dict)
    moments: dict[int, Tensors] = {}
    for name, tensor in _below(tensors, OPTIMIZER).items():
        index, key = name.split("/")
        moments.setdefault(int(index), {})[key] = tensor
    described = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": moments, "param_groups": described})
    print(f"going on from {path.name}", flush=True)
    return {group: _below(tensors, group) for group in groups}, json.loads(metadata["note"])


def _below(tensors: Tensors, group: str) -> Tensors:
    """The tensors of a group, without its name."""
    start = f"{group}/"
    return {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}
