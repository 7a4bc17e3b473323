"""Speed of the training loop against the usual recipe of MONAI: the same network, the same five augmentations.

Ours: images resident as float16, or streamed from a memory map, augmented in batches; on a GPU in bfloat16 and
compiled, and each of these apart. The recipe: ``CacheDataset``, ``DataLoader`` workers, dictionary transforms exam by
exam on the CPU, float32. Both draw an affine map, a gain, a linear ramp and noise for every exam and give one in five
half its resolution.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from liverstiff.config import TrainConfig
from liverstiff.model import Batch, Model, ModelConfig, build
from liverstiff.records import CHANNELS
from liverstiff.train.augmentation import COARSE, GAIN, NOISE, RAMP, SHIFT, STRETCH, Augmentation
from liverstiff.train.checkpoint import Progress, State
from liverstiff.train.learning import Clock, _train_epoch, negative_log_likelihood
from liverstiff.train.material import Exams, Material, Resident, Streamed
from liverstiff.train.stopping import Stopped

BATCH, WORKERS = 16, 2

PEAK = {"H100": 989e12, "H200": 989e12, "A100": 312e12}
"""Floating-point operations per second in bfloat16, dense, by a part of the name of the GPU (NVIDIA's data sheets)."""


def made_exams(n: int, shape: tuple[int, int, int], seed: int = 0) -> Batch:
    """Noise of the right shape; speed does not depend on what is seen."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(n, len(CHANNELS), *shape, generator=generator).half()
    masks = torch.randint(0, 3, (n, *shape), generator=generator, dtype=torch.uint8)
    flags = torch.ones(n, len(CHANNELS), dtype=torch.bool)
    return Batch(images, masks, flags, torch.randn(n, 8, generator=generator), torch.ones(n, 8, dtype=torch.bool))


def compare(
    shape: tuple[int, int, int], width: int, depth: int, exams: int, repeats: int, device: str
) -> dict[str, float]:
    """Median exams per second of ``repeats`` interleaved passes over ``exams`` exams, of each of:

    ``ours``, ``streamed`` (images in a memory map), ``recipe`` (whole loop), ``ours_augment``, ``recipe_augment`` (no
    network), ``network`` (no augmentation); on a GPU, where ``ours`` is in bfloat16 and compiled, ``ours_float32`` and
    ``ours_bfloat16`` too. ``wait`` and ``wait_streamed`` are the shares of time waited for data.
    """
    config = ModelConfig(
        "transformer", shape, CHANNELS, tuple(f"v{i}" for i in range(8)), patch=(8, 8, 8), width=width, depth=depth
    )
    batch, target = made_exams(exams, shape), torch.randn(exams)
    fast = {"precision": "bfloat16", "compile": True} if device == "cuda" else {}
    resident = Resident(batch.to(torch.device(device)))
    with tempfile.TemporaryDirectory() as folder:
        mapped = streamed(batch, Path(folder), device)
        passes: dict[str, Callable[[], float | None]] = {
            "ours": our_loop(config, resident, target, device, fast),
            "streamed": our_loop(config, mapped, target, device, fast),
            "recipe": recipe_loop(config, batch, target, device),
            "ours_augment": our_augmentation(config, batch, device),
            "recipe_augment": recipe_augmentation(batch),
            "network": network_only(config, batch, target, device),
        }
        if device == "cuda":
            passes["ours_float32"] = our_loop(config, resident, target, device, {})
            passes["ours_bfloat16"] = our_loop(config, resident, target, device, {"precision": "bfloat16"})
        rates: dict[str, list[float]] = {name: [] for name in passes}
        waits: dict[str, list[float]] = {"ours": [], "streamed": []}
        for repeat in range(repeats + 1):  # the first warms up
            for name, run in passes.items():
                start = time.perf_counter()
                waited = run()
                if device == "cuda":
                    torch.cuda.synchronize()
                took = time.perf_counter() - start
                if repeat:
                    rates[name].append(exams / took)
                    if name in waits:
                        waits[name].append(waited / took)
    medians = {name: statistics.median(values) for name, values in rates.items()}
    return medians | {"wait": statistics.median(waits["ours"]), "wait_streamed": statistics.median(waits["streamed"])}


def streamed(batch: Batch, folder: Path, device: str) -> Streamed:
    """The exams with their images in memory maps."""
    mapped = []
    for name, tensor in (("images", batch.images), ("masks", batch.masks)):
        np.save(folder / f"{name}.npy", tensor.numpy())
        mapped.append(np.load(folder / f"{name}.npy", mmap_mode="r"))
    numbers = batch._replace(images=batch.images[..., :0, :0, :0], masks=batch.masks[..., :0, :0, :0])
    return Streamed(numbers.to(torch.device(device)), *mapped)


def flops(shape: tuple[int, int, int], width: int, depth: int) -> float:
    """Floating-point operations of one exam forward and backward; torch counts the products of matrices."""
    variables = tuple(f"v{i}" for i in range(8))
    network = build(ModelConfig("transformer", shape, CHANNELS, variables, patch=(8, 8, 8), width=width, depth=depth))
    with FlopCounterMode(display=False) as counted:
        mean, spread = network(made_exams(1, shape).of(torch.arange(1)))
        (mean + spread).sum().backward()
    return float(counted.get_total_flops())


def our_loop(
    config: ModelConfig, exams: Exams, target: torch.Tensor, device: str, fast: dict[str, object]
) -> Callable[[], float]:
    """One epoch of the stage's own loop; returns the seconds it waited for data."""
    network = build(config).to(device)
    count = len(target)
    rows = torch.arange(count, device=device)
    material = Material(exams, target.to(device), torch.ones(count, device=device), rows, rows[:1])
    settings = TrainConfig(batch=BATCH, epochs=1, device=device, **fast)
    run_network = torch.compile(network) if settings.compile else network
    average = torch.optim.swa_utils.AveragedModel(network, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.9))
    state = State(network, average, torch.optim.AdamW(network.parameters()))
    augment = Augmentation(config, 0.15, 0.05, 0.3)

    def run() -> float:
        clock = Clock(count, 1)
        _train_epoch(run_network, state, material, augment, settings, Progress(), Stopped(), clock)
        return clock.waited

    return run


def our_augmentation(config: ModelConfig, batch: Batch, device: str) -> Callable[[], None]:
    """The augmentation of one epoch."""
    exams, augment = Resident(batch.to(torch.device(device))), Augmentation(config, 0.15, 0.05, 0.3)

    def run() -> None:
        for part in exams.batches(torch.randperm(batch.size).to(device).split(BATCH)):
            augment(part)

    return run


def network_only(config: ModelConfig, batch: Batch, target: torch.Tensor, device: str) -> Callable[[], None]:
    """Forward, backward and step of one epoch."""
    step, exams = _stepper(build(config).to(device)), Resident(batch.to(torch.device(device)))
    target = target.to(device)

    def run() -> None:
        parts = torch.arange(batch.size, device=device).split(BATCH)
        for rows, part in zip(parts, exams.batches(parts), strict=True):
            step(part, target[rows])

    return run


def recipe_loader(batch: Batch) -> torch.utils.data.DataLoader:
    """MONAI's cached data set with random transforms in worker processes."""
    from monai.data import CacheDataset, DataLoader
    from monai.transforms import (
        Compose,
        RandAffined,
        RandBiasFieldd,
        RandGaussianNoised,
        RandScaleIntensityd,
        RandSimulateLowResolutiond,
    )

    items = [
        {"image": batch.images[i].float().numpy(), "mask": batch.masks[i : i + 1].numpy(), "row": i}
        for i in range(batch.size)
    ]
    half = np.array(batch.images.shape[2:]) / 2
    affine = RandAffined(
        ["image", "mask"],
        prob=1,
        rotate_range=STRETCH,
        shear_range=STRETCH,
        scale_range=STRETCH,
        translate_range=tuple(SHIFT * half),
        mode=("bilinear", "nearest"),
        padding_mode="border",
    )
    shading = [
        RandSimulateLowResolutiond("image", prob=COARSE, zoom_range=(0.5, 0.5)),
        RandScaleIntensityd("image", factors=GAIN, prob=1, channel_wise=True),
        RandBiasFieldd("image", degree=1, coeff_range=(0, RAMP), prob=1),
        RandGaussianNoised("image", prob=1, std=NOISE),
    ]
    data = CacheDataset(items, Compose([affine, *shading]), progress=False)
    return DataLoader(data, batch_size=BATCH, shuffle=True, num_workers=WORKERS, persistent_workers=True)


def recipe_augmentation(batch: Batch) -> Callable[[], None]:
    """One epoch through the loader, nothing learned."""
    loader = recipe_loader(batch)

    def run() -> None:
        for _ in loader:
            pass

    return run


def recipe_loop(config: ModelConfig, batch: Batch, target: torch.Tensor, device: str) -> Callable[[], None]:
    """One epoch of the recipe with the same network."""
    loader, step = recipe_loader(batch), _stepper(build(config).to(device))

    def run() -> None:
        for items in loader:
            rows = items["row"]
            images, masks = items["image"].as_tensor(), items["mask"][:, 0].as_tensor().to(torch.uint8)
            part = Batch(images, masks, *(tensor[rows] for tensor in batch[2:])).to(torch.device(device))
            step(part, target[rows].to(device))

    return run


def _stepper(network: Model) -> Callable[[Batch, torch.Tensor], None]:
    """Forward, backward, step, as plainly as it can be written."""
    optimizer = torch.optim.AdamW(network.parameters())

    def step(part: Batch, target: torch.Tensor) -> None:
        mean, spread = network(part)
        optimizer.zero_grad()
        negative_log_likelihood(mean, spread, target).mean().backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()

    return step
