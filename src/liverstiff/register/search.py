"""The search for a motion: shifts to start from, then ever freer motions, each kept only if it pays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import optimize

from liverstiff.register.motion import (
    PARAMETERS,
    Kind,
    Lattice,
    Motion,
    linear,
    linear_jacobian,
    parameters_of,
)
from liverstiff.register.similarity import Moving, Samples, mutual_information

STARTS_MM = np.arange(-40.0, 41.0, 4.0)
"""Shifts along the body that are tried first: breathing moves the liver up to 20 mm, patients are moved too."""

START_SAMPLES, LINEAR_SAMPLES = 8000, 15000
"""Points by which they are compared, and by which linear motions are refined."""

REFINED = 3
"""The best so many of them are refined."""

MIN_SHARED = 0.5
"""Of the most points that any start shows, a start must show this share: images fit best where they hardly meet."""

STIFFNESS, STIFFNESS_FREE = 3e-4, 1e-2
"""Weight of the bent part's roughness (mm2) against mutual information (nats), along one axis and along several."""

ITERATIONS = 60


@dataclass(frozen=True)
class Problem:
    """What is to be brought together."""

    samples: Samples
    """Points of the frame inside the body."""
    moving: Moving
    """The image to move."""
    centre: np.ndarray
    """Of the body, RAS+ mm (3,)."""

    def metric(self, motion: Motion) -> float:
        """Mutual information in nats, over the points that the motion keeps inside the moving image."""
        return mutual_information(self.samples, self.moving, motion(self.samples.points))[0]

    def shared(self, motion: Motion) -> np.ndarray:
        """True (point,) for points that the motion keeps inside the moving image."""
        return self.moving.shows(motion(self.samples.points))

    def thinned(self, number: int) -> Problem:
        """The same with about ``number`` of the points."""
        count = len(self.samples.bins)
        return replace(self, samples=self.samples.some(np.arange(0, count, max(count // number, 1))))

    def starts(self) -> list[Motion]:
        """Shifts along the body that are tried first."""
        return [shifted(self.centre, float(z)) for z in STARTS_MM]


def start(problem: Problem) -> Motion:
    """The best shift: those along the body compared on few points, the best refined."""
    few = problem.thinned(START_SAMPLES)
    shifts = few.starts()
    shown = [few.shared(motion).mean() for motion in shifts]
    enough = [m for m, s in zip(shifts, shown, strict=True) if s >= MIN_SHARED * max(shown)]
    best = sorted(enough, key=few.metric, reverse=True)[:REFINED]
    return max((refine(few, motion, "translation") for motion in best), key=problem.metric)


def shifted(centre: np.ndarray, z_mm: float) -> Motion:
    """A shift along the body."""
    matrix = np.eye(3, 4)
    matrix[2, 3] = z_mm
    return Motion("translation", centre, matrix)


def refine(problem: Problem, motion: Motion, kind: Kind) -> Motion:
    """The best motion of a kind that a descent reaches from another (limited-memory BFGS, Nocedal 1980)."""
    problem = problem.thinned(LINEAR_SAMPLES)
    away = problem.samples.points - motion.centre
    lifted = np.column_stack([away, np.ones(len(away))])

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        places = lifted @ linear(kind, parameters).T + motion.centre
        metric, slopes = mutual_information(problem.samples, problem.moving, places)
        return -metric, -by_linear(kind, parameters, slopes, lifted)

    found = descend(loss, parameters_of(kind, motion.matrix))
    return Motion(kind, motion.centre, linear(kind, found))


def by_linear(kind: Kind, parameters: np.ndarray, slopes: np.ndarray, lifted: np.ndarray) -> np.ndarray:
    """Derivative by linear parameters, from slopes by place (point, 3) of points with a fourth coordinate 1 (point, 4).

    The sum over points is not left to BLAS, whose result depends on its number of threads.
    """
    by_matrix = np.einsum("pi,pj->ij", slopes, lifted)
    return np.einsum("qij,ij->q", linear_jacobian(kind, parameters), by_matrix)


def bend(problem: Problem, motion: Motion, lattice: Lattice, axes: np.ndarray) -> Motion:
    """The best linear motion of the same kind together with a displacement along ``axes`` (axis, 3)."""
    kind: Kind = "translation" if motion.kind == "header" else motion.kind
    away = problem.samples.points - motion.centre
    lifted = np.column_stack([away, np.ones(len(away))])
    stiffness = STIFFNESS if len(axes) == 1 else STIFFNESS_FREE
    weights, rough = lattice.matrix(problem.samples.points), lattice.bending()
    straight, size = PARAMETERS[kind], (len(axes), int(np.prod(lattice.shape)))

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        coefficients = parameters[straight:].reshape(size)
        places = lifted @ linear(kind, parameters[:straight]).T + motion.centre + (weights @ coefficients.T) @ axes
        metric, slopes = mutual_information(problem.samples, problem.moving, places)
        bent = (rough @ coefficients.T).T
        by_line = by_linear(kind, parameters[:straight], slopes, lifted)
        by_bend = (weights.T @ (slopes @ axes.T)).T - 2 * stiffness * bent
        return stiffness * float((coefficients * bent).sum()) - metric, -np.concatenate([by_line, by_bend.ravel()])

    found = descend(loss, np.concatenate([parameters_of(kind, motion.matrix), np.zeros(size).ravel()]))
    matrix = linear(kind, found[:straight])
    return Motion(kind, motion.centre, matrix, lattice, axes, found[straight:].reshape(size))


def descend(loss: Callable[[np.ndarray], tuple[float, np.ndarray]], first: np.ndarray) -> np.ndarray:
    """Parameters where the loss is least, downhill from ``first``."""
    options: dict[str, Any] = {"maxiter": ITERATIONS, "ftol": 1e-6, "gtol": 1e-7}
    return np.asarray(optimize.minimize(loss, first, jac=True, method="L-BFGS-B", options=options).x)
