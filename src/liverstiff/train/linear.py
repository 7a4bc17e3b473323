"""Ridge regression in closed form: the model ``ridge``, and where a network starts from."""

from __future__ import annotations

import torch

from liverstiff.model import Linear, design
from liverstiff.train.material import Material

ALPHAS = tuple(10.0 ** (power / 2) for power in range(-2, 9))
"""Penalties that are tried."""


@torch.no_grad()
def fit_linear(linear: Linear, material: Material) -> float:
    """Fit ``linear`` in place on the training exams; the penalty is the one with the least error on exams left out.

    Those are each training exam in turn, by the formula of leave-one-out, and the inner validation: a few validation
    exams alone would choose by chance.

    Returns:
        Root of the mean squared error of the exams left out, in SD of the target.
    """
    x, y = design(material.exams.numbers).double(), material.target.double()
    training, validation = material.training, material.validation
    middle, level = x[training].mean(dim=0), y[training].mean()
    inside, centred = x[training] - middle, y[training] - level
    eigenvalues, vectors = torch.linalg.eigh(inside.T @ inside)
    turned, projected = vectors.T @ (inside.T @ centred), inside @ vectors
    best = float("inf")
    for alpha in ALPHAS:
        inverse = 1 / (eigenvalues.clamp_min(0) + alpha)
        weight = vectors @ (turned * inverse)
        leverage = 1 / len(training) + (projected**2 * inverse).sum(dim=1)
        left_out = (centred - inside @ weight) / (1 - leverage).clamp_min(1e-6)
        others = y[validation] - level - (x[validation] - middle) @ weight
        error = float(torch.cat([left_out, others]).square().mean().sqrt())
        if error < best:
            best = error
            linear.weight.copy_(weight)
            linear.bias.copy_(level - middle @ weight)
    return best
