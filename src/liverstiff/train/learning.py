"""The loop: one network fitted to the training exams, stopped by the inner validation."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from liverstiff.config import TrainConfig
from liverstiff.errors import DataError
from liverstiff.model import Fitted, Model, Ridge, from_scale
from liverstiff.train.augmentation import Augmentation
from liverstiff.train.checkpoint import Epoch, Progress, State, resume, write
from liverstiff.train.linear import fit_linear
from liverstiff.train.material import Material

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
    after_epoch: Callable[[Epoch], None] = lambda row: None,
) -> Progress:
    """Fit ``network`` in place; it ends with the weights of the best epoch.

    Order, augmentation and dropout are drawn from a seed of the epoch's own, so a resumed run draws the same.

    Args:
        network: on the device.
        material: exams and reference.
        fitted: scale of the target.
        settings: config section ``train``.
        checkpoint: file that is written after each epoch.
        fingerprint: what the checkpoint was made from; another one is not resumed.
        after_epoch: called once an epoch is on disk.

    Raises:
        DataError: when the loss is not finite.
    """
    if isinstance(network, Ridge) or settings.linear:
        error = fit_linear(network.linear, material)
    if isinstance(network, Ridge):
        network.spread.fill_(error)
        return _at_once(network, material, fitted, settings)
    augment = Augmentation(network.config, settings.drop_sequence, settings.drop_value)
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=settings.weight_decay)
    steps = settings.epochs * math.ceil(len(material.training) / settings.batch)
    average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(1 - 1 / (1 + AVERAGED * steps)))
    state = State(network, average, optimizer)
    progress = resume(checkpoint, fingerprint, state)
    for epoch in range(len(progress.history), settings.epochs):
        if progress.waited >= settings.patience:
            break
        torch.manual_seed(settings.seed * 100_003 + epoch)
        train_loss = _train_epoch(state, material, augment, settings, epoch)
        loss, error = validate(average, material, fitted, settings.batch)
        if not (math.isfinite(train_loss) and math.isfinite(loss)):
            raise DataError(f"train: the loss is not finite in epoch {epoch + 1}; lower train.learning_rate")
        progress.history.append(Epoch(epoch + 1, train_loss, loss, error, optimizer.param_groups[0]["lr"]))
        if progress.best_epoch.epoch == epoch + 1:
            progress.best = {name: tensor.detach().clone() for name, tensor in average.module.state_dict().items()}
        write(checkpoint, fingerprint, state, progress)
        print(f"train: epoch {epoch + 1}/{settings.epochs}, loss {train_loss:.3f}, validation {loss:.3f}", flush=True)
        after_epoch(progress.history[-1])
    network.load_state_dict(progress.best)
    return progress


def _train_epoch(state: State, material: Material, augment: Augmentation, settings: TrainConfig, epoch: int) -> float:
    """One pass over the training exams; the mean negative log likelihood."""
    network, optimizer = state.network.train(), state.optimizer
    order = material.training[torch.randperm(len(material.training)).to(material.training.device)]
    batches = order.split(settings.batch)
    total = 0.0
    for step, rows in enumerate(batches, start=epoch * len(batches)):
        rate = learning_rate(step, settings.epochs * len(batches), settings.warmup) * settings.learning_rate
        optimizer.param_groups[0]["lr"] = rate
        mean, spread = network(augment(material.exams.of(rows)))
        loss = negative_log_likelihood(mean, spread, material.target[rows])
        optimizer.zero_grad()
        (loss * spread.detach() ** (2 * BETA)).mean().backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        state.average.update_parameters(network)
        total += loss.detach().sum().item()
    return total / len(order)


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
    loss, error = validate(network, material, fitted, settings.batch)
    mean, spread = predict_scaled(network, material, material.training, settings.batch)
    trained = negative_log_likelihood(mean, spread, material.target[material.training]).mean().item()
    return Progress([Epoch(1, trained, loss, error, 0.0)])


@torch.no_grad()
def predict_scaled(network: nn.Module, material: Material, rows: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Mean and spread of the target, in SD, of the exams at ``rows``, (n,) each."""
    network.eval()
    parts = [network(material.exams.of(part)) for part in rows.split(size)]
    mean, spread = (torch.cat(column) for column in zip(*parts, strict=True))
    return mean, spread


def validate(network: nn.Module, material: Material, fitted: Fitted, size: int) -> tuple[float, float]:
    """Negative log likelihood (in SD of the target) and mean absolute error (in its unit) on the inner validation."""
    mean, spread = predict_scaled(network, material, material.validation, size)
    truth = material.target[material.validation]
    loss = negative_log_likelihood(mean, spread, truth)
    scaled = [fitted.target_mean + fitted.target_sd * values.cpu().double().numpy() for values in (mean, truth)]
    ours, measured = (from_scale(values, fitted.transform) for values in scaled)
    return loss.mean().item(), float(np.abs(ours - measured).mean())
