"""How points move: a linear part for breathing and posture, and a smooth displacement for what bends.

A motion maps points of the frame to points of the moving image, in RAS+ world millimetres:
``place = centre + matrix (point - centre) + shift + sum over axes of axis x spline(point)``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
from scipy import sparse
from scipy.spatial.transform import Rotation

from liverstiff import images
from liverstiff.register.similarity import cubic

Kind = Literal["translation", "rigid", "affine"]

ARM_MM = 100.0
"""Distance at which one unit of rotation or stretch moves a point by one mm: all parameters weigh alike."""

PARAMETERS: dict[Kind, int] = {"translation": 3, "rigid": 6, "affine": 12}


def linear(kind: Kind, parameters: np.ndarray) -> np.ndarray:
    """Matrix and shift (3, 4) from a shift in mm and a rotation vector or matrix less unity, per ``ARM_MM``."""
    shift, rest = parameters[:3], parameters[3:] / ARM_MM
    if kind == "rigid":
        matrix = Rotation.from_rotvec(rest).as_matrix()
    else:
        matrix = np.eye(3) + (rest.reshape(3, 3) if kind == "affine" else 0)
    return np.column_stack([matrix, shift])


def linear_jacobian(kind: Kind, parameters: np.ndarray) -> np.ndarray:
    """Derivative of :func:`linear` (parameter, 3, 4), by central differences of its twelve numbers."""
    step = 1e-4
    return np.stack(
        [
            (linear(kind, parameters + d) - linear(kind, parameters - d)) / (2 * step)
            for d in step * np.eye(len(parameters))
        ]
    )


def parameters_of(kind: Kind, matrix: np.ndarray) -> np.ndarray:
    """Parameters of a kind of motion that is at least as free as the one that made ``matrix`` (3, 4)."""
    rest = {
        "translation": np.zeros(0),
        "rigid": Rotation.from_matrix(matrix[:, :3]).as_rotvec(),
        "affine": (matrix[:, :3] - np.eye(3)).ravel(),
    }[kind]
    return np.concatenate([matrix[:, 3], ARM_MM * rest])


@dataclass(frozen=True)
class Lattice:
    """Control points of a uniform cubic B-spline along the axes of an image; beyond them it keeps its value."""

    to_index: np.ndarray
    """4x4, world millimetres to the image's voxel index."""
    low: np.ndarray
    """First voxel index that it covers (3,)."""
    step: np.ndarray
    """Distance of the control points in voxels (3,)."""
    shape: tuple[int, int, int]
    """Number of control points along x, y, z."""

    @classmethod
    def over(cls, mask: np.ndarray, affine: np.ndarray, knots_mm: float) -> Lattice:
        """A lattice over the box around a mask (x, y, z), its control points at most ``knots_mm`` apart."""
        where = np.argwhere(mask)
        low, high = where.min(axis=0) - 0.5, where.max(axis=0) + 0.5
        spans = np.maximum(np.ceil((high - low) * images.spacing(affine) / knots_mm), 1).astype(int)
        x, y, z = (spans + 3).tolist()
        return cls(np.linalg.inv(affine), low, (high - low) / spans, (x, y, z))

    def weights(self, axis: int, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """First of four control points (point,) and their weights (4, point) along one axis, at voxel indices."""
        level = np.clip((index - self.low[axis]) / self.step[axis], 0, self.shape[axis] - 3 - 1e-9)
        first = level.astype(np.intp)
        return first, cubic(level - first)

    def along(self, axis: int, index: np.ndarray) -> sparse.csr_array:
        """The same as a matrix (point, control point)."""
        first, weights = self.weights(axis, index)
        columns = (first[:, None] + np.arange(4)).ravel()
        shape = (len(index), self.shape[axis])
        return sparse.csr_array(
            (weights.T.astype(np.float32).ravel(), columns, np.arange(len(index) + 1) * 4), shape=shape
        )

    def matrix(self, points: np.ndarray) -> sparse.csr_array:
        """Values at world points (point, 3) by coefficients: (point, control point)."""
        index = points @ self.to_index[:3, :3].T + self.to_index[:3, 3]
        (i, u), (j, v), (k, w) = (self.weights(axis, index[:, axis]) for axis in range(3))
        taps = np.indices((4, 4, 4)).reshape(3, 64)
        columns = np.ravel_multi_index(tuple(f[:, None] + t for f, t in zip((i, j, k), taps, strict=True)), self.shape)
        values = u.T[:, taps[0]] * v.T[:, taps[1]] * w.T[:, taps[2]]
        rows = np.arange(len(points) + 1) * 64
        return sparse.csr_array((values.ravel(), columns.ravel(), rows), shape=(len(points), int(np.prod(self.shape))))

    def on_grid(self, coefficients: np.ndarray, *index: np.ndarray) -> np.ndarray:
        """Values (x, y, z), float32, at voxel indices along x, y and z, of coefficients (control point,)."""
        cube = coefficients.reshape(self.shape).astype(np.float32)
        for axis, places in enumerate(index):  # sparse products: the number of threads must not change a byte
            flat = np.moveaxis(cube, axis, 0)
            product = self.along(axis, places) @ flat.reshape(flat.shape[0], -1)
            cube = np.moveaxis(product.reshape(-1, *flat.shape[1:]), 0, axis)
        return cube

    def bending(self) -> sparse.csr_array:
        """Matrix R of the roughness c' R c: second differences of neighbouring coefficients, squared, their mean."""
        total = sparse.csr_array((int(np.prod(self.shape)),) * 2)
        for axis, n in enumerate(self.shape):
            parts = [sparse.csr_array(np.eye(m)) for m in self.shape]
            parts[axis] = sparse.csr_array(np.diff(np.eye(n), 2, axis=0))
            second = sparse.csr_array(sparse.kron(sparse.kron(parts[0], parts[1]), parts[2]))
            total = total + second.T @ second
        return sparse.csr_array(total / np.prod(self.shape))


@dataclass(frozen=True)
class Motion:
    """A map of the frame's points to the moving image's."""

    kind: Kind | Literal["header"]
    """How free the linear part is."""
    centre: np.ndarray
    """About which it turns and stretches, RAS+ mm (3,)."""
    matrix: np.ndarray
    """Matrix and shift of the linear part (3, 4)."""
    lattice: Lattice | None = None
    """Control points of the bent part, if there is one."""
    axes: np.ndarray | None = None
    """Directions in which it moves points, unit vectors (axis, 3)."""
    coefficients: np.ndarray | None = None
    """Its coefficients in mm (axis, control point)."""

    @classmethod
    def none(cls, centre: np.ndarray) -> Motion:
        """The header's geometry: every point stays."""
        return cls("header", centre, np.eye(3, 4))

    @property
    def name(self) -> str:
        """``header``, ``translation``, ``rigid``, ``affine`` or ``deformable``."""
        return "deformable" if self.lattice is not None else self.kind

    @cached_property
    def straight(self) -> Motion:
        """The linear part alone."""
        return replace(self, lattice=None, axes=None, coefficients=None)

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Places (point, 3) in the moving image of points in the frame."""
        places = (points - self.centre) @ self.matrix[:, :3].T + self.matrix[:, 3] + self.centre
        if self.lattice is None:
            return places
        return places + self.bend(points)

    def bend(self, points: np.ndarray) -> np.ndarray:
        """What the bent part adds at points (point, 3), mm; zero without one."""
        if self.lattice is None or self.axes is None or self.coefficients is None:
            return np.zeros_like(points)
        return (self.lattice.matrix(points) @ self.coefficients.T) @ self.axes
