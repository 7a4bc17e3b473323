"""Reference tissue: the paraspinal muscle, found by where it lies and what it looks like, without any fitting.

Beside the spine and under the fat of the back lies on both sides a column of even tissue. A square window is moved
inwards from the skin on both sides at once; the first place where both windows are even, alike, and unlike
subcutaneous fat is muscle. The places of all slices must agree.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from liverstiff import images
from liverstiff.intensity import reduce_grid

STEP_MM = 3.5
"""Voxel size of the search."""

WINDOW_MM = 14.0
"""Width of the windows: the muscle is about 50 mm wide and 35 mm deep."""

LATERAL_MM = (17.0, 38.0)
"""Distance of the windows' centres from the midline: beside the vertebra, short of the kidney's middle."""

DEPTH_MM = (12.0, 70.0)
"""Distance of the windows' centres from the skin of the back."""

UNEVEN = 0.16
"""Largest coefficient of variation inside and between the two windows."""

FAT_MM = (3.0, 8.0)
"""Depth under the skin, of the back and flanks, where fat is."""

LIKE_FAT = 0.25
"""Smallest relative difference from fat."""

LEAST_SLICES = 0.4
"""Share of the slices in which muscle must be found."""

LARGEST_SPREAD = 0.15
"""Median absolute deviation over the slices, relative to the median."""


def find_muscle(corrected: np.ndarray, mask: np.ndarray, affine: np.ndarray) -> float | None:
    """Median intensity of the paraspinal muscle in an image (x, y, z) without bias field; None without confidence.

    Args:
        corrected: axes nearest to right, front, head.
        mask: the body.
        affine: 4x4, RAS+ mm.
    """
    small, factor = reduce_grid(corrected, affine, STEP_MM)
    body = reduce_grid(mask.astype(np.float32), affine, STEP_MM)[0] > 0.5
    step = np.array(images.spacing(affine)) * factor
    found = [_in_slice(small[..., z], body[..., z], step[:2]) for z in range(small.shape[2])]
    values = np.array([value for value in found if value is not None])
    if len(values) < max(3, LEAST_SLICES * len(found)):
        return None
    middle = float(np.median(values))
    return middle if np.median(np.abs(values - middle)) <= LARGEST_SPREAD * middle else None


def _in_slice(image: np.ndarray, body: np.ndarray, step: np.ndarray) -> float | None:
    """Mean of the two windows in an axial slice (x, y); None where no place will do."""
    if not body.any():
        return None
    windows = _pairs(image, body, step)
    if windows is None:
        return None
    mean, uneven = windows
    fat = _fat(image, body, step)
    good = (uneven <= UNEVEN) & (mean > 0) & (np.abs(mean - fat) >= LIKE_FAT * np.maximum(fat, mean))
    depths = np.flatnonzero(good.any(axis=1))
    if not depths.size:
        return None
    row = depths[0]  # the first under the skin
    return float(mean[row, np.where(good[row], uneven[row], np.inf).argmin()])


def _pairs(image: np.ndarray, body: np.ndarray, step: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Mean and coefficient of variation of pairs of windows (depth, lateral), either side of the midline."""
    size = np.maximum(np.round(WINDOW_MM / step), 2).astype(int)
    mean = ndimage.uniform_filter(image, size)
    square = ndimage.uniform_filter(image**2, size)
    filled = ndimage.uniform_filter(body.astype(np.float32), size)
    middle = np.argwhere(body)[:, 0].mean()
    lateral = np.arange(np.ceil(LATERAL_MM[0] / step[0]), LATERAL_MM[1] / step[0])
    depth = np.arange(np.ceil(DEPTH_MM[0] / step[1]), DEPTH_MM[1] / step[1])
    sides = []
    for sign in (-1, 1):
        x = np.round(middle + sign * lateral).astype(int)
        if x.min() < 0 or x.max() >= len(image):
            return None
        skin = int(np.median(np.argmax(body[x], axis=1)))  # of the back; a notch in the mask must not move a window
        y = np.broadcast_to(skin + depth[:, None].astype(int), (len(depth), len(x)))
        inside = y < image.shape[1]
        place = np.broadcast_to(x, y.shape), np.minimum(y, image.shape[1] - 1)
        sides.append((mean[place], square[place], inside & (filled[place] > 0.99)))
    (m1, s1, in1), (m2, s2, in2) = sides
    both = (m1 + m2) / 2
    spread = np.sqrt(np.maximum((s1 + s2) / 2 - both**2, 0))
    return both, np.where(in1 & in2, spread / np.maximum(both, 1e-6), np.inf)


def _fat(image: np.ndarray, body: np.ndarray, step: np.ndarray) -> float:
    """Median of the layer under the skin."""
    depth = ndimage.distance_transform_edt(np.pad(body, 1), sampling=step)[1:-1, 1:-1]
    layer = (depth >= FAT_MM[0]) & (depth <= FAT_MM[1])
    return float(np.median(image[layer])) if layer.any() else 0.0
