"""An image brought onto the frame by a motion, slab by slab so that memory stays small."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from liverstiff.register.motion import Motion

SLAB = 8
"""Slices at a time."""


Index = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Voxel indices along x, y and z that span a part of a grid."""


def places_in(motion: Motion, frame: np.ndarray, moving: np.ndarray, index: Index) -> np.ndarray:
    """Voxel indices in the moving image (3, x, y, z), float32, of a part of the frame's grid.

    Args:
        motion: frame to moving image.
        frame: the frame's affine.
        moving: the moving image's affine.
        index: the part.
    """
    to_moving = np.linalg.inv(moving)
    matrix = motion.matrix[:, :3]
    step = to_moving[:3, :3] @ matrix @ frame[:3, :3]
    world = matrix @ (frame[:3, 3] - motion.centre) + motion.matrix[:, 3] + motion.centre
    x, y, z = np.ix_(*index)
    first = to_moving[:3, :3] @ world + to_moving[:3, 3]
    places = np.stack(
        [(f + s[0] * x + s[1] * y + s[2] * z).astype(np.float32) for f, s in zip(first, step, strict=True)]
    )
    if motion.lattice is not None and motion.axes is not None and motion.coefficients is not None:
        for axis, coefficients in zip(motion.axes, motion.coefficients, strict=True):
            bend = motion.lattice.on_grid(coefficients, *index)
            for k, part in enumerate(to_moving[:3, :3] @ axis):
                places[k] += np.float32(part) * bend
    return places


def resample(channels: list[np.ndarray], places: np.ndarray) -> list[np.ndarray]:
    """Images of one grid (x, y, z) at voxel indices (3, ...), linear, float32; 0 where they have no voxel."""
    shape = np.array(channels[0].shape).reshape(3, *[1] * (places.ndim - 1))
    shown = ((places >= -0.5) & (places <= shape - 0.5)).all(axis=0)
    return [
        ndimage.map_coordinates(channel, places, order=1, mode="nearest", output=np.float32) * shown
        for channel in channels
    ]


def onto_frame(
    motion: Motion, frame: np.ndarray, shape: tuple[int, ...], channels: list[np.ndarray], moving: np.ndarray
) -> list[np.ndarray]:
    """Images of one grid, with the affine ``moving``, on the frame's grid (x, y, z), float32."""
    out = [np.empty(shape, np.float32) for _ in channels]
    for start in range(0, shape[2], SLAB):
        z = np.arange(start, min(start + SLAB, shape[2]))
        places = places_in(motion, frame, moving, (np.arange(shape[0]), np.arange(shape[1]), z))
        for whole, part in zip(out, resample(channels, places), strict=True):
            whole[..., z] = part
    return out
