"""The model that ``train`` makes and ``predict`` uses: the network, what it is given, and how it lies on disk."""

from liverstiff.model.inputs import (
    MEASURES,
    Fitted,
    channels_present,
    find_exams,
    fit_adc,
    fit_values,
    raw_values,
    read_batch,
    split_sha256,
    training_exams,
)
from liverstiff.model.network import Batch, ModelConfig, StiffnessNet
from liverstiff.model.saved import Description, choose_device, load_model, save_model, weight_bytes
from liverstiff.model.scale import from_scale, to_scale

__all__ = [
    "MEASURES",
    "Batch",
    "Description",
    "Fitted",
    "ModelConfig",
    "StiffnessNet",
    "channels_present",
    "choose_device",
    "find_exams",
    "fit_adc",
    "fit_values",
    "from_scale",
    "load_model",
    "raw_values",
    "read_batch",
    "save_model",
    "split_sha256",
    "to_scale",
    "training_exams",
    "weight_bytes",
]
