"""The model that ``train`` makes and ``predict`` uses: what it is given, what it is, and how it lies on disk."""

from liverstiff.model.choices import build
from liverstiff.model.contract import Batch, Familiarity, Linear, Model, ModelConfig, channel_of, design, traits
from liverstiff.model.inputs import (
    Fitted,
    channels_of,
    channels_present,
    find_exams,
    fit_adc,
    fit_intensity,
    image_shape,
    raw_values,
    read_batch,
    split_sha256,
    training_exams,
)
from liverstiff.model.network import StiffnessNet
from liverstiff.model.ridge import Ridge
from liverstiff.model.saved import Description, choose_device, load_model, save_model, start_from, weight_bytes
from liverstiff.model.scale import from_scale, to_scale
from liverstiff.model.signs import is_sign, names
from liverstiff.model.values import ValueScale, fit_values

__all__ = [
    "Batch",
    "Description",
    "Familiarity",
    "Fitted",
    "Linear",
    "Model",
    "ModelConfig",
    "Ridge",
    "StiffnessNet",
    "ValueScale",
    "build",
    "channel_of",
    "channels_of",
    "channels_present",
    "choose_device",
    "design",
    "find_exams",
    "fit_adc",
    "fit_intensity",
    "fit_values",
    "from_scale",
    "image_shape",
    "is_sign",
    "load_model",
    "names",
    "raw_values",
    "read_batch",
    "save_model",
    "split_sha256",
    "start_from",
    "to_scale",
    "training_exams",
    "traits",
    "weight_bytes",
]
