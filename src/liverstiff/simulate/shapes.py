"""Implicit shapes on the world grid: signed distances in mm (negative inside) and the share of a voxel that they fill.

World axes are RAS+: x grows to the patient's right, y to the front, z to the head. So the liver lies at x > 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

STEP_MM = (3.0, 3.0, 4.0)
SHAPE = (134, 110, 62)
ORIGIN_MM = tuple(-0.5 * step * (n - 1) for step, n in zip(STEP_MM, SHAPE, strict=True))

Triple = tuple[float, float, float]
Box = tuple[slice, slice, slice]
Points = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Layer:
    """One organ: what it is made of, and how much of each voxel of its box it fills."""

    organ: str
    """Name of the organ."""
    tissue: str
    """What it is made of: a key of the tissue table of ``signal``."""
    box: Box
    """The part of the world grid that holds the organ."""
    fraction: np.ndarray
    """Share of each voxel of the box, 0 to 1, float32."""


def axes() -> Points:
    """World coordinates of the grid's axes, shaped to broadcast."""
    x, y, z = (o + s * np.arange(n, dtype=np.float32) for o, s, n in zip(ORIGIN_MM, STEP_MM, SHAPE, strict=True))
    return x[:, None, None], y[None, :, None], z[None, None, :]


def displaced_points(rng: np.random.Generator, amplitude: float = 3.5) -> Points:
    """World coordinates of every voxel, moved by a smooth random field of some mm: the patient's own shapes."""
    x, y, z = axes()
    moved = []
    for axis in (x, y, z):
        field = np.zeros(SHAPE, np.float32)
        for _ in range(2):
            a, b, c = (
                np.cos(np.float32(2 * np.pi / rng.uniform(110, 260)) * p + np.float32(rng.uniform(0, 2 * np.pi)))
                for p in (x, y, z)
            )
            field += (np.float32(amplitude * rng.standard_normal()) * a * b) * c
        moved.append(axis + field)
    return moved[0], moved[1], moved[2]


def at(points: Points, box: Box) -> Points:
    """The points of a box."""
    return points[0][box], points[1][box], points[2][box]


def ellipsoid(points: Points, centre: Triple, radii: Triple) -> np.ndarray:
    """Distance to an ellipsoid, exact to first order at its surface; an infinite radius makes a cylinder."""
    near: np.ndarray = np.float32(0)  # type: ignore[assignment]
    far: np.ndarray = np.float32(1e-12)  # type: ignore[assignment]
    for p, c, r in zip(points, centre, radii, strict=True):
        if np.isfinite(r):
            u = (p - np.float32(c)) * np.float32(1 / r)
            u *= u
            near, far = near + u, far + u * np.float32(1 / r**2)
    k = np.sqrt(near)
    return k * (k - 1) / np.sqrt(far)


def rod(points: Points, a: Triple, b: Triple, radius: float) -> np.ndarray:
    """Distance to a rod from ``a`` to ``b``."""
    line = np.subtract(b, a).astype(np.float32)
    offset = [p - np.float32(c) for p, c in zip(points, a, strict=True)]
    along = np.clip((offset[0] * line[0] + offset[1] * line[1] + offset[2] * line[2]) / (line @ line), 0, 1)
    square = [(o - along * c) ** 2 for o, c in zip(offset, line, strict=True)]
    return np.sqrt(square[0] + square[1] + square[2]) - np.float32(radius)


def smooth_union(a: np.ndarray, b: np.ndarray, blend_mm: float) -> np.ndarray:
    """Distance to two shapes that flow into each other (polynomial smooth minimum)."""
    h = np.clip(0.5 + (0.5 / blend_mm) * (b - a), 0, 1)
    return b + (a - b) * h - np.float32(blend_mm) * h * (1 - h)


def filled(distance: np.ndarray, edge_mm: float = 3.0) -> np.ndarray:
    """Share of a voxel inside a shape, from the distance to its surface, float32."""
    return np.clip(0.5 - distance * np.float32(1 / edge_mm), 0, 1, dtype=np.float32)


def box_around(centre: Triple, reach: Triple, spare_mm: float = 14.0) -> Box:
    """The part of the world grid within ``reach`` of a centre, with spare room for displacement."""
    slices = []
    for c, r, o, s, n in zip(centre, reach, ORIGIN_MM, STEP_MM, SHAPE, strict=True):
        low = int(np.clip((c - r - spare_mm - o) // s, 0, n - 1)) if np.isfinite(r) else 0
        high = int(np.clip((c + r + spare_mm - o) // s + 2, low + 1, n)) if np.isfinite(r) else n
        slices.append(slice(low, high))
    return slices[0], slices[1], slices[2]


def organ(points: Points, name: str, tissue: str, centre: Triple, radii: Triple) -> Layer:
    """An ellipsoid as a layer."""
    box = box_around(centre, radii)
    return Layer(name, tissue, box, filled(ellipsoid(at(points, box), centre, radii)))


def noise(shape: tuple[int, ...], sigma_mm: float, rng: np.random.Generator) -> np.ndarray:
    """Smooth noise on world voxels, mean 0, SD 1."""
    white = rng.standard_normal(shape, dtype=np.float32)
    smooth = ndimage.gaussian_filter(white, [sigma_mm / s for s in STEP_MM], mode="wrap", truncate=3)
    return (smooth - smooth.mean()) / smooth.std()


def covered(layers: list[Layer]) -> np.ndarray:
    """Share of every voxel of the world grid that some layer fills."""
    free = np.ones(SHAPE, np.float32)
    for layer in layers:
        free[layer.box] *= 1 - layer.fraction
    return 1 - free


def solve_scale(volume_ml: Callable[[float], float], wanted_ml: float, rounds: int = 5) -> float:
    """The size factor at which a shape, cut by its surroundings, has the wanted volume."""
    scale = 1.0
    for _ in range(rounds):
        scale *= float(np.clip((wanted_ml / max(volume_ml(scale), 1.0)) ** 0.42, 0.6, 1.6))
    return scale
