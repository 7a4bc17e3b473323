"""Training of the segmentation network on labelled volumes, each step on two of them, strongly changed.

The labelled volumes are few and of one protocol: what the network must not learn from them (size, posture, coil,
contrast, noise, resolution, how far the volume reaches) is drawn anew at every step.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path

import monai
import monai.transforms as mt
import numpy as np
import torch
from monai.losses import DiceCELoss
from torch import Tensor, nn

from liverstiff.checkpoint import read_checkpoint, write_checkpoint
from liverstiff.config import NetworkConfig, SegmentConfig
from liverstiff.segment.labelled import labelled_pairs, read_labelled
from liverstiff.segment.network import Description, WorkingGrid, build, inputs, save_network

Sample = dict[str, Tensor]

KEYS = ("image", "label")
"""Of a sample: the image in units of its body's median, and the class of each voxel, both (1, x, y, z)."""

BATCH = 2
"""Volumes per step."""

KEEP_EVERY = 50
"""Steps between checkpoints."""

CLIP = 5.0
"""Largest norm of the gradient."""


def train_network(*, atlases: Path, network: Path, settings: SegmentConfig, checkpoint: Path | None = None) -> None:
    """Train the network on every labelled volume of a folder.

    Args:
        atlases: folder of ``image_<n>.nii.gz`` and ``label_<n>.nii.gz``.
        network: folder to make: ``model.safetensors``, ``model.json``.
        settings: the section ``segment`` of the config.
        checkpoint: where an interrupted training is kept, to go on from.

    Raises:
        DataError: when the folder cannot be used.
    """
    torch.set_num_threads(settings.network.threads)
    torch.use_deterministic_algorithms(True)
    samples, labels = read_samples(Path(atlases), settings)
    described = Description(
        labels=labels,
        liver=labels.index(settings.liver_label),
        spleen=labels.index(settings.spleen_label),
        spacing_mm=settings.network.spacing_mm,
        channels=settings.network.channels,
        volumes=len(samples),
        steps=settings.network.steps,
        seed=settings.seed,
    )
    torch.manual_seed(settings.seed)
    net = build(described.channels, len(labels))
    learn(net, samples, settings.network, settings.seed, Path(checkpoint) if checkpoint else None)
    save_network(net.eval(), described, Path(network))
    if checkpoint:
        Path(checkpoint).unlink(missing_ok=True)


def read_samples(folder: Path, settings: SegmentConfig) -> tuple[list[Sample], tuple[int, ...]]:
    """The volumes on the network's grid, and the labels behind its classes: all that the volumes show, 0 first.

    Organs that nobody asked for are learned too: what is a kidney is not taken for spleen.
    """
    volumes = [read_labelled(*pair, settings.liver_label) for pair in labelled_pairs(folder)]
    found = set().union(*(np.unique(labels).astype(int).tolist() for _, labels, _ in volumes))
    names = tuple(sorted(found | {0, settings.liver_label, settings.spleen_label}))
    samples = []
    for image, labels, affine in volumes:
        grid = WorkingGrid.over(image.shape, affine, settings.network.spacing_mm)
        parts = np.stack([grid.down(labels == name) for name in names])
        classes = torch.from_numpy(parts.argmax(axis=0).astype(np.float32))[None]
        samples.append({"image": torch.from_numpy(grid.down(image))[None], "label": classes})
    return samples, names


def augmentation(shape: tuple[int, int, int]) -> mt.Compose:
    """Random changes of a sample, cut to ``shape``: of the patient, of the coil, of the sequence, of the scanner."""
    both = ("bilinear", "nearest")
    return mt.Compose(
        [
            mt.RandAffined(
                KEYS,
                prob=1.0,
                rotate_range=(0.12, 0.12, 0.25),
                shear_range=(0.1, 0.1, 0.1),
                scale_range=(0.2, 0.2, 0.2),
                translate_range=(5, 5, 10),
                spatial_size=shape,
                mode=both,
                padding_mode="zeros",
            ),
            mt.RandSmoothDeformd(
                KEYS, shape, (5, 5, 4), prob=0.5, def_range=0.06, field_mode="trilinear", grid_mode=both
            ),
            mt.RandBiasFieldd("image", degree=3, coeff_range=(0, 0.12), prob=0.5),
            mt.RandHistogramShiftd("image", num_control_points=(5, 10), prob=0.4),
            mt.RandAdjustContrastd("image", prob=0.4, gamma=(0.5, 2.0)),
            mt.RandAdjustContrastd("image", prob=0.1, gamma=(0.5, 2.0), invert_image=True),
            mt.RandGaussianSmoothd("image", prob=0.15, sigma_x=(0.3, 1), sigma_y=(0.3, 1), sigma_z=(0.3, 1)),
            mt.RandSimulateLowResolutiond("image", prob=0.15, zoom_range=(0.5, 1)),
            mt.RandGaussianNoised("image", prob=0.4, std=0.08),
        ]
    )


@dataclass(frozen=True)
class Learning:
    """What a training changes, and where it is kept while it lasts."""

    network: nn.Module
    """The network that learns."""
    optimizer: torch.optim.Optimizer
    """Its optimizer."""
    checkpoint: Path | None
    """The file, if any."""
    fingerprint: str
    """Of settings, samples and code."""

    def resume(self) -> int:
        """Go on from the checkpoint; the number of steps that it has behind it."""
        found = (
            read_checkpoint(self.checkpoint, self.fingerprint, ("network",), self.optimizer)
            if self.checkpoint
            else None
        )
        if found is None:
            return 0
        self.network.load_state_dict(found[0]["network"])
        return int(found[1])

    def keep(self, steps: int) -> None:
        """Write the checkpoint after a number of steps."""
        if self.checkpoint:
            groups = {"network": self.network.state_dict()}
            write_checkpoint(self.checkpoint, self.fingerprint, groups, self.optimizer, steps)


def learn(
    network: nn.Module, samples: list[Sample], settings: NetworkConfig, seed: int, checkpoint: Path | None = None
) -> None:
    """All steps of training; every draw follows from the seed and the number of the step."""
    change = augmentation(settings.patch)
    loss_of = DiceCELoss(include_background=False, to_onehot_y=True, softmax=True, batch=True)
    optimizer = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate, weight_decay=0.01)
    learning = Learning(network, optimizer, checkpoint, _fingerprint(samples, settings, seed))
    network.train()
    for step in range(learning.resume(), settings.steps):
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * rate(step / settings.steps)
        image, label = draw(samples, change, seed, step)
        with torch.autocast("cpu", torch.bfloat16, enabled=settings.precision == "bfloat16"):
            logits = network(inputs(image))
        loss = loss_of(logits.float(), label)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), CLIP)
        optimizer.step()
        if (step + 1) % KEEP_EVERY == 0 or step + 1 == settings.steps:
            print(f"segment_train: step {step + 1}/{settings.steps}, loss {loss.item():.3f}", flush=True)
            learning.keep(step + 1)


def draw(samples: list[Sample], change: mt.Compose, seed: int, step: int) -> tuple[Tensor, Tensor]:
    """Images and classes, each (batch, 1, x, y, z), of a step."""
    chosen = np.random.default_rng([seed, step]).choice(len(samples), BATCH, replace=len(samples) < BATCH)
    change.set_random_state(seed=(seed * 1_000_003 + step) % 2**32)
    batch = [change(dict(samples[k])) for k in chosen]
    image, label = (torch.stack([one[key].as_tensor() for one in batch]) for key in KEYS)
    return image, label


def rate(done: float) -> float:
    """Share of the largest learning rate: a straight rise over the first tenth, then half a cosine down to 0."""
    return done / 0.1 + 0.01 if done < 0.1 else 0.5 * (1 + math.cos(math.pi * (done - 0.1) / 0.9))


def _fingerprint(samples: list[Sample], settings: NetworkConfig, seed: int) -> str:
    """What the weights depend on."""
    digest = hashlib.sha256(f"{settings!r} {seed} {torch.__version__} {monai.__version__}".encode())
    for sample in samples:
        for key in KEYS:
            digest.update(sample[key].numpy().tobytes())
    for name in ("training.py", "network.py"):
        digest.update(Path(__file__).with_name(name).read_bytes())
    return digest.hexdigest()
