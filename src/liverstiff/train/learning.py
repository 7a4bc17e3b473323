"""The loop: one network fitted to the training exams, stopped by the inner validation."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from liverstiff.config import TrainConfig
from liverstiff.errors import DataError
from liverstiff.model import Batch, Fitted, Model, Ridge, from_scale
from liverstiff.train.augmentation import Augmentation
from liverstiff.train.checkpoint import Epoch, Progress, State, random_state, resume, set_random_state, write
from liverstiff.train.linear import fit_linear
from liverstiff.train.material import Material
from liverstiff.train.stopping import Stopped

BETA = 0.5
"""Exponent of the spread in the loss: 0 is the Gaussian likelihood, 1 gives the mean the gradient of squared error."""

AVERAGED = 0.1
"""Share of all steps over which the weights are averaged: single steps on few exams shift every estimate together."""


def learn(
    network: Model,
    material: Material,
    fitted: Fitted,
    settings: TrainConfig,
    checkpoint: Path,
    fingerprint: str,
    stopped: Stopped,
    after_epoch: Callable[[Epoch], None] = lambda row: None,
) -> Progress:
    """Fit ``network`` in place; it ends with the weights of the best epoch.

    Order, augmentation and dropout are drawn from a seed of the epoch's own, so a resumed run draws the same.

    Args:
        network: on the device.
        material: exams and reference.
        fitted: scale of the target.
        settings: config section ``train``.
        checkpoint: file that is written after each epoch, and when a signal came.
        fingerprint: what the checkpoint was made from; another one is not resumed.
        stopped: which signal came.
        after_epoch: called once an epoch is on disk.

    Raises:
        DataError: when the loss is not finite, or the checkpoint is damaged.
        SystemExit: after a signal, once all is saved.
    """
    if isinstance(network, Ridge) or network.config.linear:
        error = fit_linear(network.linear, material)
    if isinstance(network, Ridge):
        network.spread.fill_(error)
        return _at_once(network, material, fitted, settings)
    augment = Augmentation(network.config, settings.drop_sequence, settings.drop_value, settings.drop_signs)
    on_gpu = settings.device == "cuda"
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=settings.weight_decay, fused=on_gpu)
    steps = settings.epochs * math.ceil(len(material.training) / settings.batch)
    average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(1 - 1 / (1 + AVERAGED * steps)))
    state = State(network, average, optimizer)
    run = torch.compile(network) if settings.compile else network
    progress = resume(checkpoint, fingerprint, state)
    clock = Clock(len(material.training), settings.epochs - len(progress.history))
    while len(progress.history) < settings.epochs and progress.waited < settings.patience:
        epoch = len(progress.history)
        if not _train_epoch(run, state, material, augment, settings, progress, stopped, clock):
            write(checkpoint, fingerprint, state, progress)
            stopped.exit()
        train_loss = progress.loss / len(material.training)
        loss, error = validate(average, material, fitted, settings)
        if not (math.isfinite(train_loss) and math.isfinite(loss)):
            raise DataError(f"train: the loss is not finite in epoch {epoch + 1}; lower train.learning_rate")
        progress.history.append(Epoch(epoch + 1, train_loss, loss, error, progress.rate))
        progress.steps, progress.loss, progress.random = 0, 0.0, {}
        if progress.best_epoch.epoch == epoch + 1:
            progress.best = {name: tensor.detach().clone() for name, tensor in average.module.state_dict().items()}
        write(checkpoint, fingerprint, state, progress)
        told = f"loss {train_loss:.3f}, validation {loss:.3f}, {clock.told()}"
        print(f"train: epoch {epoch + 1}/{settings.epochs}, {told}", flush=True)
        after_epoch(progress.history[-1])
    network.load_state_dict(progress.best)
    return progress


def _train_epoch(
    run: Callable[[Batch], tuple[Tensor, Tensor]],
    state: State,
    material: Material,
    augment: Augmentation,
    settings: TrainConfig,
    progress: Progress,
    stopped: Stopped,
    clock: Clock,
) -> bool:
    """One pass over the training exams, or what is left of it; False when a signal ended it early.

    ``progress`` then holds how many steps are done, the sum of their loss, and the state of the generators.
    """
    network, optimizer, epoch = state.network.train(), state.optimizer, len(progress.history)
    device = material.target.device
    torch.manual_seed(settings.seed * 100_003 + epoch)
    order = material.training[torch.randperm(len(material.training)).to(device)]
    if progress.random:
        set_random_state(progress.random, device)
    parts = order.split(settings.batch)
    total = torch.tensor(progress.loss, dtype=torch.float64, device=device)
    left = parts[progress.steps :]
    for rows, batch in zip(left, clock.timed(material.exams.batches(left)), strict=True):
        step = epoch * len(parts) + progress.steps
        progress.rate = learning_rate(step, settings.epochs * len(parts), settings.warmup) * settings.learning_rate
        optimizer.param_groups[0]["lr"] = progress.rate
        with autocast(settings):
            mean, spread = run(augment(batch))
        loss = negative_log_likelihood(mean, spread, material.target[rows])
        optimizer.zero_grad()
        (material.weight[rows] * loss * spread.detach() ** (2 * BETA)).mean().backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        state.average.update_parameters(network)
        total += loss.detach().sum().double()
        progress.steps += 1
        if stopped.number is not None:
            progress.loss, progress.random = total.item(), random_state(device)
            return False
    progress.loss = total.item()
    return True


class Clock:
    """How fast training goes, how long it still takes at most, and how much of it is waiting for data."""

    def __init__(self, exams: int, epochs: int) -> None:
        self.exams, self.left = exams, epochs
        self.started, self.waited = time.perf_counter(), 0.0

    def timed(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """The same batches; the time until each is there is counted."""
        while True:
            start = time.perf_counter()
            batch = next(batches, None)
            self.waited += time.perf_counter() - start
            if batch is None:
                return
            yield batch

    def told(self) -> str:
        """In words, about the epoch that has just ended."""
        took = time.perf_counter() - self.started
        share = self.waited / took
        self.left -= 1
        self.started, self.waited = time.perf_counter(), 0.0
        return f"{self.exams / took:.1f} exams/s, waiting {share:.1%}, at most {took * self.left / 60:.1f} min left"


def autocast(settings: TrainConfig) -> torch.autocast:
    """The arithmetic of a training step that the config asks for; all that is measured is measured in float32."""
    return torch.autocast(settings.device, torch.bfloat16, enabled=settings.precision == "bfloat16")


def negative_log_likelihood(mean: Tensor, spread: Tensor, target: Tensor) -> Tensor:
    """Of a normal distribution, per exam, without its constant.

    Times spread to the power 2 x BETA it is the loss of Seitzer et al., On the pitfalls of heteroscedastic
    uncertainty estimation, ICLR 2022: otherwise an exam that is fitted badly is called noise and no longer learnt from.
    """
    return spread.log() + 0.5 * ((target - mean) / spread) ** 2


def learning_rate(step: int, steps: int, warmup: float) -> float:
    """Share of the full step size: a straight line up over the share ``warmup`` of all steps, then half a cosine."""
    rise = warmup * steps
    if step < rise:
        return (step + 1) / (rise + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / (steps - rise)))


def _at_once(network: Ridge, material: Material, fitted: Fitted, settings: TrainConfig) -> Progress:
    """What is told of a model that needs no epochs."""
    loss, error = validate(network, material, fitted, settings)
    mean, spread = predict_scaled(network, material, material.training, settings)
    trained = negative_log_likelihood(mean, spread, material.target[material.training]).mean().item()
    return Progress([Epoch(1, trained, loss, error, 0.0)])


@torch.no_grad()
def predict_scaled(
    network: nn.Module, material: Material, rows: Tensor, settings: TrainConfig
) -> tuple[Tensor, Tensor]:
    """Mean and spread of the target, in SD, of the exams at ``rows``, (n,) each; in float32, as the stage predict."""
    network.eval()
    parts = [network(batch) for batch in material.exams.batches(rows.split(settings.batch))]
    mean, spread = (torch.cat(column) for column in zip(*parts, strict=True))
    return mean, spread


def validate(network: nn.Module, material: Material, fitted: Fitted, settings: TrainConfig) -> tuple[float, float]:
    """Negative log likelihood (in SD of the target) and mean absolute error (in its unit) on the inner validation."""
    mean, spread = predict_scaled(network, material, material.validation, settings)
    truth = material.target[material.validation]
    loss = negative_log_likelihood(mean, spread, truth)
    scaled = [fitted.target_mean + fitted.target_sd * values.cpu().double().numpy() for values in (mean, truth)]
    ours, measured = (from_scale(values, fitted.transform) for values in scaled)
    return loss.mean().item(), float(np.abs(ours - measured).mean())
