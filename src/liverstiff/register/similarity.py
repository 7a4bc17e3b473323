"""Mutual information of points of one image with another image, and its gradient by where the points fall.

After Mattes et al., IEEE Trans. Med. Imaging 22 (2003) 120: the joint histogram is smooth in the moving intensity, by
a cubic B-spline window, so the metric has a derivative. The points lie at random between the voxels of both images:
points on voxel centres make the metric prefer shifts that put grid upon grid (Pluim et al., Comput. Vis. Image
Underst. 77 (2000) 211).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import ndimage

BINS = 32
"""Of either image's intensities."""


@dataclass(frozen=True)
class Samples:
    """Points of the fixed image with their intensity."""

    points: np.ndarray
    """World millimetres, RAS+ (point, 3)."""
    bins: np.ndarray
    """Number of the intensity's bin (point,)."""

    @classmethod
    def draw(
        cls, voxels: np.ndarray, weight: np.ndarray, affine: np.ndarray, number: int, rng: np.random.Generator
    ) -> Samples:
        """Points at random places in random voxels, each voxel as likely as its weight (x, y, z) is large."""
        chance = weight.ravel() / weight.sum(dtype=np.float64)
        chosen = np.sort(rng.choice(weight.size, number, p=chance))
        index = np.stack(np.unravel_index(chosen, weight.shape), axis=1)
        place = index + rng.uniform(-0.5, 0.5, index.shape)
        values = ndimage.map_coordinates(voxels, place.T, order=1, mode="nearest")
        return cls(place @ affine[:3, :3].T + affine[:3, 3], binned(values))

    def some(self, which: np.ndarray) -> Samples:
        """The points of an index or a mask (point,)."""
        return Samples(self.points[which], self.bins[which])


def binned(values: np.ndarray) -> np.ndarray:
    """Bin numbers between the 1st and the 99th percentile: a few bright voxels must not take all bins."""
    if not values.size:
        return np.zeros(0, dtype=int)
    low, high = np.percentile(values, (1, 99))
    return np.clip((values - low) / max(high - low, 1e-9) * BINS, 0, BINS - 1).astype(int)


@dataclass(frozen=True)
class Moving:
    """The image that is sampled at moved points."""

    voxels: np.ndarray
    """float32 (x, y, z)."""
    affine: np.ndarray
    """4x4, RAS+ millimetres."""

    @cached_property
    def to_index(self) -> np.ndarray:
        """4x4, world millimetres to voxel index."""
        return np.linalg.inv(self.affine)

    @cached_property
    def limits(self) -> tuple[float, float]:
        """Intensities between which bins are laid."""
        low, high = np.percentile(self.voxels, (0.5, 99.5))
        return float(low), float(high)

    def index(self, points: np.ndarray) -> np.ndarray:
        """Voxel index (point, 3) of world points."""
        return points @ self.to_index[:3, :3].T + self.to_index[:3, 3]

    def shows(self, points: np.ndarray) -> np.ndarray:
        """True (point,) for points that lie in a voxel."""
        return self._within(self.index(points))

    def _within(self, index: np.ndarray) -> np.ndarray:
        """True (point,) for voxel indices (point, 3) of the image."""
        size = self.voxels.shape
        inside = [(index[:, k] >= -0.5) & (index[:, k] <= size[k] - 0.5) for k in range(3)]
        return inside[0] & inside[1] & inside[2]

    def at(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Whether points lie in a voxel (point,); intensity (point,), linear; its exact gradient per mm (point, 3)."""
        index = self.index(points)
        shown = self._within(index)
        index = np.clip(index, 0, np.array(self.voxels.shape) - 1.0001)
        first = np.maximum(index, 0).astype(np.intp)
        x, y, z = (index - first).T
        corner = self._corners(first)
        by_z = corner[..., 0, :] * (1 - z) + corner[..., 1, :] * z  # (x, y, point)
        by_y = by_z[:, 0] * (1 - y) + by_z[:, 1] * y
        rise = corner[..., 1, :] - corner[..., 0, :]
        rise_y = rise[:, 0] * (1 - y) + rise[:, 1] * y
        slope_y = by_z[:, 1] - by_z[:, 0]
        slopes = (by_y[1] - by_y[0], slope_y[0] * (1 - x) + slope_y[1] * x, rise_y[0] * (1 - x) + rise_y[1] * x)
        return shown, by_y[0] * (1 - x) + by_y[1] * x, np.stack(slopes, axis=1) @ self.to_index[:3, :3]

    def _corners(self, first: np.ndarray) -> np.ndarray:
        """Intensities of the eight voxels around every point, (2, 2, 2, point)."""
        size = np.array(self.voxels.shape)
        strides = np.array([size[1] * size[2], size[2], 1]) * (size > 1)  # an axis of one voxel has no second
        around = np.indices((2, 2, 2)).reshape(3, 8).T @ strides
        return self._flat.take(first @ np.array([size[1] * size[2], size[2], 1]) + around.reshape(2, 2, 2, 1))

    @cached_property
    def _flat(self) -> np.ndarray:
        return self.voxels.ravel()


def mutual_information(samples: Samples, moving: Moving, places: np.ndarray) -> tuple[float, np.ndarray]:
    """Mutual information in nats, and its gradient (point, 3) per mm of each point's place in the moving image.

    Args:
        samples: points of the fixed image.
        moving: the other image.
        places: where the points fall in it, RAS+ mm (point, 3); points outside it do not count.
    """
    shown, values, slopes = moving.at(places)
    count = max(int(shown.sum()), 1)
    low, high = moving.limits
    scale = (BINS - 4) / max(high - low, 1e-9)
    level = np.clip((values - low) * scale, 0, BINS - 4 - 1e-6)
    first = level.astype(np.intp)
    taps = samples.bins * BINS + first + np.arange(4)[:, None]  # (tap, point)
    window, slope = cubic(level - first), cubic_slope(level - first)
    joint = np.bincount(taps.ravel(), (window * shown).ravel(), BINS * BINS).reshape(BINS, BINS) / count
    of_moving = joint.sum(axis=0)
    metric = float((joint * _log_ratio(joint, joint.sum(axis=1, keepdims=True) * of_moving)).sum())
    inside = shown & (values > low) & (values < high)
    by_value = (slope * _log_ratio(joint, of_moving).ravel()[taps]).sum(axis=0) * inside * scale / count
    return metric, slopes * by_value[:, None]


def _log_ratio(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.log((one + 1e-12) / (other + 1e-12))


def cubic(part: np.ndarray) -> np.ndarray:
    """Weights (4, ...) of the uniform cubic B-spline at the place ``part`` (0 to 1) between its two middle knots."""
    t = part
    return np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3]) / 6


def cubic_slope(part: np.ndarray) -> np.ndarray:
    """Derivative of :func:`cubic` by ``part``."""
    t = part
    return np.stack([-((1 - t) ** 2), 3 * t**2 - 4 * t, -3 * t**2 + 2 * t + 1, t**2]) / 2
