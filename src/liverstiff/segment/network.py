"""The segmentation network: what it sees, its architecture, and what it says about an image.

A small residual U-Net (MONAI) on a coarse grid: organs are smooth, and on 4 x 4 x 6 mm a liver keeps a Dice of 0.99.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from monai.networks.nets import UNet
from pydantic import TypeAdapter
from safetensors.torch import load, save
from scipy import ndimage
from torch import Tensor, nn

from liverstiff import images
from liverstiff.errors import DataError
from liverstiff.segment.fusion import NETWORK, WHITE, refine
from liverstiff.segment.organs import Opinion
from liverstiff.segment.quality import expected_dice

VIEWS = ((1.0, 1.0), (1.0, 0.7), (1.0, 1.4), (0.9, 1.0), (1.1, 1.0))
"""Width of the voxels, over that of the grid, and exponent of the intensities under which an image is looked at.

The probabilities are averaged: what depends on neither counts.
"""

SURE, UNSURE_PRICE = 0.075, 3.0
"""Entropy per voxel of the body (nats) that good images leave, and what each nat above it costs of the quality.

Chosen on two real volumes under damage of nine kinds; bench/segment.py checks them on others.
"""


@dataclass(frozen=True)
class Description:
    """Everything but the weights."""

    labels: tuple[int, ...]
    """The labels of the volumes it learned from, in the order of its classes; the first is background, 0."""
    liver: int
    """The class of the liver."""
    spleen: int
    """The class of the spleen."""
    spacing_mm: tuple[float, float, float]
    """Voxel size in mm of its grid."""
    channels: tuple[int, ...]
    """Features at each level."""
    volumes: int
    """Number of labelled volumes."""
    steps: int
    """Steps of training."""
    seed: int
    """Seed of weights and augmentation."""


def build(channels: tuple[int, ...], classes: int) -> UNet:
    """The untrained network: (batch, 3, x, y, z) to logits (batch, class, x, y, z)."""
    return UNet(
        spatial_dims=3,
        in_channels=3,
        out_channels=classes,
        channels=channels,
        strides=(2,) * (len(channels) - 1),
        num_res_units=2,
        norm=("instance", {"affine": True}),
    )


def inputs(image: Tensor) -> Tensor:
    """What the network sees (batch, 3, x, y, z) of images (batch, 1, x, y, z).

    The intensities, with mean 0 and SD 1 over what is brighter than the image's mean, and the place along x and y in
    SDs of those voxels about their centre: where in the body a voxel lies, whatever the field of view.
    """
    axes = (2, 3, 4)
    body = (image > image.mean(axes, keepdim=True)).float()
    count = body.sum(axes, keepdim=True).clamp(min=1)

    def about_the_mean(values: Tensor) -> Tensor:
        mean = (values * body).sum(axes, keepdim=True) / count
        spread = (((values - mean) ** 2 * body).sum(axes, keepdim=True) / count).sqrt()
        return (values - mean) / (spread + 1e-5)

    index = torch.meshgrid(*(torch.arange(n, dtype=torch.float32) for n in image.shape[2:]), indexing="ij")
    places = [about_the_mean(axis.to(image.device).expand_as(image)) for axis in index[:2]]
    return torch.cat([about_the_mean(image), *places], dim=1)


@dataclass(frozen=True)
class WorkingGrid:
    """The network's grid over an image: along the same axes, about the same centre."""

    step: np.ndarray
    """Its voxel size in voxels of the image (3,)."""
    first: np.ndarray
    """Where its first voxel lies, in voxels of the image (3,)."""
    shape: tuple[int, int, int]
    """Its voxels."""
    image_shape: tuple[int, int, int]
    """Those of the image."""

    @classmethod
    def over(cls, shape: tuple[int, ...], affine: np.ndarray, spacing_mm: tuple[float, float, float]) -> WorkingGrid:
        """The grid over an image of a shape (x, y, z) and affine."""
        n = np.array(shape[:3])
        step = np.array(spacing_mm) / np.array(images.spacing(affine))
        x, y, z = np.maximum(np.round(n / step), 1).astype(int).tolist()
        first = (n - 1) / 2 - (np.array([x, y, z]) - 1) / 2 * step
        return cls(step, first, (x, y, z), (int(n[0]), int(n[1]), int(n[2])))

    def down(self, voxels: np.ndarray) -> np.ndarray:
        """An image (x, y, z) on the grid, float32; smoothed to its voxel size first."""
        sigma = np.sqrt(np.maximum(self.step**2 - 1, 0) / 12)
        smooth = ndimage.gaussian_filter(voxels.astype(np.float32, copy=False), sigma, mode="nearest")
        return ndimage.affine_transform(smooth, np.diag(self.step), self.first, self.shape, order=1, mode="nearest")

    def up(self, values: np.ndarray) -> np.ndarray:
        """Values on the grid back on the image, float32, linear."""
        values = values.astype(np.float32, copy=False)
        scale, offset = np.diag(1 / self.step), -self.first / self.step
        return ndimage.affine_transform(values, scale, offset, self.image_shape, order=1, mode="nearest")

    def onto(self, other: WorkingGrid, values: np.ndarray) -> np.ndarray:
        """Values on the grid, on another grid of the same image, linear."""
        scale, offset = np.diag(other.step / self.step), (other.first - self.first) / self.step
        return ndimage.affine_transform(values, scale, offset, other.shape, order=1, mode="nearest")


def by_network(voxels: np.ndarray, affine: np.ndarray, folder: Path, threads: int = 1) -> Opinion:
    """What the network of a folder says about an image (x, y, z) in units of its body's median, affine RAS+ mm.

    The intensities decide where the liver's edge lies between the voxels of the network's grid.

    The quality is :func:`expected_dice` less what the network is unsure about in the whole body: on an image unlike
    those it knows it may draw a liver with confidence, but not all organs.
    """
    network, described = load_network(folder)
    torch.set_num_threads(threads)
    grid = WorkingGrid.over(voxels.shape, affine, described.spacing_mm)
    classes = np.mean([look(network, described, voxels, affine, grid, *view) for view in VIEWS], axis=0)
    small = grid.down(voxels)
    entropy = -(classes * np.log(classes + 1e-9)).sum(axis=0)
    unsure = float(entropy[small > small.mean()].mean())
    organs = np.stack([grid.up(classes[index]) for index in (described.liver, described.spleen)])
    expected = expected_dice(organs[0], organs[0] >= 0.5)
    organs[0] = refine(np.clip(voxels / WHITE, 0, 1), organs[:1], affine, NETWORK)[0]
    return Opinion(organs, max(expected - UNSURE_PRICE * max(unsure - SURE, 0.0), 0.0))


def look(
    network: nn.Module,
    described: Description,
    voxels: np.ndarray,
    affine: np.ndarray,
    grid: WorkingGrid,
    width: float,
    power: float,
) -> np.ndarray:
    """Probabilities (class, x, y, z) on the grid, of the image under one view; see :data:`VIEWS`."""
    x_mm, y_mm, z_mm = described.spacing_mm
    seen = WorkingGrid.over(voxels.shape, affine, (x_mm * width, y_mm * width, z_mm * width))
    small = np.maximum(seen.down(voxels), 0) ** np.float32(power)
    whole = 2 ** (len(described.channels) - 1)  # each level halves the grid
    padded = np.pad(small, [(0, -n % whole) for n in small.shape], mode="edge")
    with torch.inference_mode():
        classes = network(inputs(torch.from_numpy(padded)[None, None])).softmax(dim=1)[0].numpy()
    x, y, z = small.shape
    classes = classes[:, :x, :y, :z]
    return classes if width == 1 else np.stack([seen.onto(grid, one) for one in classes])


def save_network(network: nn.Module, described: Description, folder: Path) -> None:
    """Write the weights as ``model.safetensors`` and the description as ``model.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: value.contiguous() for name, value in network.state_dict().items()}
    (folder / "model.safetensors").write_bytes(save(weights))
    (folder / "model.json").write_text(json.dumps(asdict(described), indent=2) + "\n")


@lru_cache(maxsize=1)
def load_network(folder: Path) -> tuple[nn.Module, Description]:
    """The network of a folder, ready to predict.

    Raises:
        DataError: when the folder holds no network of this kind.
    """
    try:
        described = TypeAdapter(Description).validate_json((folder / "model.json").read_bytes())
        network = build(described.channels, len(described.labels))
        network.load_state_dict(load((folder / "model.safetensors").read_bytes()))
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        raise DataError(f"{folder}: no segmentation network: {error}; train it with the rule segment_train") from error
    return network.eval(), described
