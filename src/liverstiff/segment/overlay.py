"""The picture by which a person checks a mask."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image
from scipy import ndimage

from liverstiff import images
from liverstiff.records import LIVER, SPLEEN

COLOURS = {LIVER: (255, 170, 0), SPLEEN: (0, 190, 255)}
PANEL_PX = 150
"""Height of a slice in the picture."""

AIR, GREYS = 0.08, 18
"""Brightness shown as black, and steps of grey: noise would be most of the file."""


def overlay_png(voxels: np.ndarray, mask: np.ndarray, affine: np.ndarray) -> bytes:
    """Three axial slices (25, 50, 75 % of the liver's height) with outlines, the patient's right on the left."""
    present = np.flatnonzero((mask == LIVER).any(axis=(0, 1)))
    levels = np.percentile(present, (25, 50, 75)).astype(int) if present.size else [voxels.shape[2] // 2] * 3
    high = max(float(np.percentile(voxels, 99)), 1e-6)
    x_mm, y_mm, _ = images.spacing(affine)
    size = (round(PANEL_PX * voxels.shape[0] * x_mm / (voxels.shape[1] * y_mm)), PANEL_PX)
    panels = [_panel(voxels[..., z] / high, mask[..., z], size) for z in levels]
    out = io.BytesIO()
    Image.fromarray(np.concatenate(panels, axis=1)).quantize(32).save(out, "PNG", optimize=True)
    return out.getvalue()


def _panel(slice_: np.ndarray, labels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """One slice (x, y) as RGB (row, column, 3), seen from the feet."""

    def turned(array: np.ndarray, how: Image.Resampling) -> np.ndarray:
        return np.asarray(Image.fromarray(np.ascontiguousarray(array.T[::-1, ::-1])).resize(size, how))

    shown = np.clip((slice_ - AIR) / (1 - AIR), 0, 1) * (GREYS - 1)
    grey = turned((np.round(shown) * (255 // (GREYS - 1))).astype(np.uint8), Image.Resampling.NEAREST)
    picture = np.repeat(grey[..., None], 3, axis=2)
    for label, colour in COLOURS.items():
        organ = turned((labels == label).astype(np.uint8) * 255, Image.Resampling.BILINEAR) > 127
        picture[organ & ~ndimage.binary_erosion(organ)] = colour
    return picture
