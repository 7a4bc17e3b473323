"""One model for each choice of the config."""

from __future__ import annotations

from liverstiff.model.contract import Model, ModelConfig
from liverstiff.model.network import StiffnessNet
from liverstiff.model.ridge import Ridge
from liverstiff.model.slices import PublishedLike


def build(config: ModelConfig) -> Model:
    """The model of a config, its weights drawn from torch's seed; MONAI is imported only where it is used."""
    if config.kind == "transformer":
        return StiffnessNet(config)
    if config.kind == "ridge":
        return Ridge(config)
    if config.kind == "published_like":
        return PublishedLike(config)
    from liverstiff.model.volumes import Volumes

    return Volumes(config)
