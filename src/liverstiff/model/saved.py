"""A fold's model on disk: weights as safetensors, everything else as JSON. Nothing is pickled."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, load_file, save

from liverstiff.errors import ConfigError, DataError
from liverstiff.model.choices import build
from liverstiff.model.contract import Model, ModelConfig
from liverstiff.model.inputs import Fitted

BODY = "body."
"""Before the names of tensors that a file for another purpose has without it."""

WEIGHTS, DESCRIPTION = "model.safetensors", "model.json"


@dataclass(frozen=True)
class Description:
    """What a fold's weights are and how they came about."""

    fold: int
    """The fold the model never saw."""
    architecture: ModelConfig
    """How the network is built."""
    fitted: Fitted
    """What was estimated on the training exams beside the weights."""
    sensitivity: float | None
    """What other patients' images, with masks, volumes and all signs measured on them, change the estimates of the
    inner validation by, in their SD; empty when not told."""
    voxel_sensitivity: float | None
    """The same of the voxels alone: own signs, masks and present channels kept; empty when not told."""
    smearing: float
    """Factor from exp(mean of the log target) to its mean; 1 on another scale."""
    settings: dict[str, object]
    """The config section ``train``."""
    seed: int
    """Seed of the weights and of the augmentation."""
    training_exams: int
    """Exams the weights were fitted on."""
    validation_exams: int
    """Exams that chose the epoch, of other patients."""
    epoch: int
    """Epoch whose weights are kept, from 1."""
    split_sha256: str
    """Hash of the exams and patients outside the fold."""
    ledger_sha256: str
    """Hash of the ledger of folds behind the split, empty where it has none."""
    weights_sha256: str
    """Hash of the file of weights."""
    versions: dict[str, str]
    """Libraries that made it."""


def weight_bytes(network: Model) -> bytes:
    """The weights as the bytes of a safetensors file."""
    return save({name: tensor.contiguous().cpu() for name, tensor in network.state_dict().items()})


def save_model(weights: bytes, described: Description, model: Path, description: Path) -> None:
    """Write the weights and their description."""
    model.parent.mkdir(parents=True, exist_ok=True)
    model.write_bytes(weights)
    description.write_text(json.dumps(asdict(described), indent=2, sort_keys=True) + "\n")


def load_model(folder: Path) -> tuple[Model, Description]:
    """The network of a fold's folder, ready to predict, and its description.

    Raises:
        DataError: when the description cannot be read or the weights are not those it describes.
    """
    try:
        described = TypeAdapter(Description).validate_json((folder / DESCRIPTION).read_bytes())
    except (OSError, ValidationError) as error:
        raise DataError(
            f"{folder / DESCRIPTION}: {str(error).splitlines()[0]}; expected a model; train it again"
        ) from None
    try:
        weights = (folder / WEIGHTS).read_bytes()
    except OSError:
        raise DataError(f"{folder / WEIGHTS}: cannot be read; expected weights; train the fold again") from None
    if hashlib.sha256(weights).hexdigest() != described.weights_sha256:
        raise DataError(f"{folder / WEIGHTS}: not the weights {DESCRIPTION} describes; train the fold again")
    network = build(described.architecture)
    network.load_state_dict(load(weights))
    return network.eval(), described


def start_from(network: Model, path: Path) -> str:
    """Put the tensors of a safetensors file into the network where name and shape agree; says how many did.

    What is fitted at once (the linear part, familiarity) does not start from anything and is left as it is.

    Raises:
        ConfigError: for a file that is not there or no safetensors file, none of whose tensors fits, or for a network
            without weights to learn.
    """
    try:
        given = load_file(path)
    except (OSError, SafetensorError):
        raise ConfigError(f"train.pretrained: {path} cannot be read; expected a safetensors file; correct it") from None
    learned = dict(network.named_parameters())
    own = {n: tensor for n, tensor in network.state_dict().items() if n in learned or n.startswith(BODY)}
    if not own:
        kind = network.config.kind
        raise ConfigError(f"train.pretrained: {kind} is fitted at once and starts from nothing; leave it out")
    named = {name: given.get(name, given.get(name.removeprefix(BODY))) for name in own}
    fitting = {name: tensor for name, tensor in named.items() if tensor is not None and own[name].shape == tensor.shape}
    wanted = [name for name in own if name.startswith(BODY) and network.config.kind == "published_like"]
    lost = [name for name in wanted or own if name not in fitting]
    if not fitting or (wanted and lost):
        raise ConfigError(
            f"train.pretrained: no tensor of {path.name} has the name and shape of {lost[0].removeprefix(BODY)}; "
            "expected weights of the same architecture; correct train.model, width, depth or patch"
        )
    network.load_state_dict(fitting, strict=False)
    return f"{len(fitting)} of {len(own)} tensors start from {path.name}"


def choose_device(name: str, key: str) -> torch.device:
    """The device the config asks for.

    Raises:
        ConfigError: when it is not there; no other device is taken instead.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"{key}: got 'cuda', but torch finds no CUDA device; run on a GPU machine or set it to cpu")
    return torch.device(name)
