"""From two images to the motion between them, and whether it is used."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from liverstiff.alignment import coarse
from liverstiff.config import RegisterConfig
from liverstiff.errors import ExamExcluded
from liverstiff.records import Reason
from liverstiff.register.motion import Lattice, Motion
from liverstiff.register.search import Problem, bend, refine, start
from liverstiff.register.similarity import Moving, Samples

SAMPLES, JUDGES = 30000, 20000
"""Points by which a motion is sought, and other points by which it is judged."""

LEFT_WEIGHT = 1 / 3
"""Of points left of the body's middle: organs move unequally in breathing, and the liver counts."""

MIN_VOXELS = 200
"""Of the body, on the grid of the search."""

MIN_SHOWN = 0.02
"""Share of the body's points that the other image must show for some shift along the body."""

MAX_SHIFT_MM = 45.0
"""At the body's centre; beyond breathing and a patient's small movement a motion is a mistake."""

MAX_STRETCH = 1.2
"""Of any direction; the scanner's geometry is right within a few per cent, echo-planar distortion adds some."""

MAX_BEND_MM = 25.0
"""Of the bent part, anywhere in the body."""

MIN_VOLUME = 0.4
"""To which a bent motion may shrink tissue, and the inverse of how far it may swell it."""

MIN_GAIN = {"translation": 0.007, "rigid": 0.01, "affine": 0.02, "deformable": 0.02}
"""Relative gain of the metric that each kind of motion owes over the best before it; the freer, the more."""


@dataclass(frozen=True)
class Volume:
    """An image and where it lies."""

    voxels: np.ndarray
    """float32 (x, y, z)."""
    affine: np.ndarray
    """4x4, voxel index to RAS+ millimetres."""


@dataclass(frozen=True)
class Fit:
    """What registration did to one sequence."""

    motion: Motion
    """Frame to sequence; the header's geometry where nothing fits better."""
    metric_before: float
    """Mutual information (nats) with the frame by the header's geometry, in the part of the body that both show; NaN
    where that is next to nothing."""
    metric_after: float
    """The same, at the same points, by the motion."""

    @property
    def kept(self) -> bool:
        """True when the header's geometry was left."""
        return self.motion.name != "header"

    @property
    def shift_mm(self) -> np.ndarray:
        """By how much the motion moves the image at the body's centre (x, y, z in RAS+)."""
        centre = self.motion.centre[None]
        return (centre - self.motion(centre))[0]

    @property
    def bend_mm(self) -> float:
        """Largest coefficient of the bent part, mm; 0 without one."""
        return 0.0 if self.motion.coefficients is None else float(np.abs(self.motion.coefficients).max())


def fit_sequence(frame: Volume, body: np.ndarray, moving: Volume, settings: RegisterConfig, axes: np.ndarray) -> Fit:
    """The motion from the frame to one sequence.

    Args:
        frame: the image whose space is kept.
        body: body mask on its grid.
        moving: the other sequence on its own grid.
        settings: grid of the search, freest linear motion, distance of control points, seed.
        axes: directions (axis, 3) in which the sequence may be bent; none of them for a linear motion.

    Raises:
        ExamExcluded: ``registration_failed`` when the two images do not meet or one has no contrast.
    """
    small, affine = coarse(frame.voxels, frame.affine, settings.spacing_mm)
    inside = coarse(body.astype(np.float32), frame.affine, settings.spacing_mm)[0] > 0.5
    rng = np.random.default_rng(settings.seed)
    if inside.sum() < MIN_VOXELS:
        raise ExamExcluded(Reason.REGISTRATION_FAILED, "the frame shows no body; look at its body mask")
    weight = liver_side(inside, affine)
    samples, judges = (Samples.draw(small, weight, affine, number, rng) for number in (SAMPLES, JUDGES))
    mover = Moving(*coarse(moving.voxels, moving.affine, settings.spacing_mm))
    centre = affine[:3, :3] @ np.argwhere(inside).mean(axis=0) + affine[:3, 3]
    problem, judge = Problem(samples, mover, centre), Problem(judges, mover, centre)
    _check(problem, moving)
    lattice = Lattice.over(inside, affine, settings.knots_mm)
    best = Motion.none(centre)
    for found in candidates(problem, settings, lattice, axes):
        best = better(judge, best, found)
    before, after = _metrics(judge, Motion.none(centre), best)
    return Fit(best, before if np.isfinite(before) else np.nan, after)


def liver_side(inside: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Weight of each voxel (x, y, z): 1 in the body's right half, where the liver lies, ``LEFT_WEIGHT`` on the left."""
    index = np.argwhere(inside)
    x = index @ affine[0, :3]
    weight = np.zeros(inside.shape)
    weight[inside] = np.where(x > x.mean(), 1.0, LEFT_WEIGHT)
    return weight


def _check(problem: Problem, moving: Volume) -> None:
    """Images that cannot be brought together are a fault of the sequence."""
    low, high = problem.moving.limits
    if not high > low:
        raise ExamExcluded(Reason.REGISTRATION_FAILED, "the sequence has no contrast; look at it")
    if max(problem.shared(motion).mean() for motion in problem.starts()) < MIN_SHOWN:
        x, y, z = moving.affine[:3, 3]
        raise ExamExcluded(
            Reason.REGISTRATION_FAILED,
            f"the sequence, whose first voxel lies at {x:.0f}, {y:.0f}, {z:.0f} mm, does not meet the frame's body; "
            "check their positions",
        )


def candidates(problem: Problem, settings: RegisterConfig, lattice: Lattice, axes: np.ndarray) -> Iterator[Motion]:
    """Ever freer motions up to the freest of the config, each from the one before."""
    motion = refine(problem, start(problem), "translation")
    yield motion
    motion = refine(problem, motion, "rigid")
    yield motion
    if settings.transform != "rigid":
        yield refine(problem, motion, "affine")
    if len(axes):
        yield bend(problem, motion, lattice, axes)


def better(judge: Problem, best: Motion, found: Motion) -> Motion:
    """The motion found where it is plausible and pays for its freedom, else the best so far."""
    before, after = _metrics(judge, best, found)
    pays = after > before * (1 + MIN_GAIN[found.name])
    return found if pays and plausible(found, judge.samples.points) else best


def _metrics(judge: Problem, one: Motion, other: Motion) -> tuple[float, float]:
    """Both are judged by the same points, those that show data either way; minus infinity where there are too few."""
    shared = judge.shared(one) & judge.shared(other)
    if shared.mean() < MIN_SHOWN:  # the header's geometry shows next to nothing: any motion that shows more is better
        return -np.inf, judge.metric(other)
    same = Problem(judge.samples.some(shared), judge.moving, judge.centre)
    return same.metric(one), same.metric(other)


def plausible(motion: Motion, points: np.ndarray) -> bool:
    """True for what breathing, small movement and echo-planar distortion can do, at points (point, 3) of the body."""
    stretch = np.linalg.svd(motion.matrix[:, :3], compute_uv=False)
    if (
        np.linalg.norm(motion.matrix[:, 3]) > MAX_SHIFT_MM
        or not 1 / MAX_STRETCH <= stretch.min() <= stretch.max() <= MAX_STRETCH
    ):
        return False
    if motion.lattice is None:
        return True
    some = points[:: max(len(points) // 2000, 1)]
    volume = np.linalg.det(jacobian(motion, some))
    bent = np.linalg.norm(motion.bend(some), axis=1)
    return bool(bent.max() <= MAX_BEND_MM and volume.min() >= MIN_VOLUME and volume.max() <= 1 / MIN_VOLUME)


def jacobian(motion: Motion, points: np.ndarray, step_mm: float = 1.0) -> np.ndarray:
    """Derivative of the motion (point, 3, 3) at points (point, 3), by central differences."""
    ahead = [motion(points + d) - motion(points - d) for d in step_mm * np.eye(3)]
    return np.stack(ahead, axis=2) / (2 * step_mm)
