"""The picture by which a person checks a registration: frame and sequence in alternating squares."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage

from liverstiff import images
from liverstiff.register.fit import Volume
from liverstiff.register.motion import Motion
from liverstiff.register.resample import Index, places_in, resample

PANEL_PX = 140
"""Width of a slice in the picture."""

SQUARE_PX = 14

AIR, GREYS = 0.12, 14
"""Brightness shown as black, and steps of grey: noise would be most of the file."""

TINT = np.array([1.0, 0.82, 0.55])
"""Colour of the squares that show the sequence."""


@dataclass(frozen=True)
class Row:
    """A sequence in the picture."""

    moving: Volume
    """On its own grid."""
    motion: Motion
    """Frame to sequence."""


def checkerboard_png(frame: Volume, body: np.ndarray, rows: list[Row]) -> bytes:
    """A row a sequence: an axial slice before and after, a coronal slice before and after; the patient's right is left.

    Args:
        frame: the image whose space is kept.
        body: body mask on its grid; the slices go through its middle.
        rows: the sequences; without any, the frame's slices alone.
    """
    header = Motion.none(np.zeros(3))
    lines = [_line(frame, row.moving, (header, row.motion), body) for row in rows]
    picture = np.concatenate(lines or [_line(frame, frame, (header,), body)])
    out = io.BytesIO()
    Image.fromarray(picture).quantize(2 * GREYS).save(out, "PNG", optimize=True)
    return out.getvalue()


def _line(frame: Volume, moving: Volume, motions: tuple[Motion, ...], body: np.ndarray) -> np.ndarray:
    """Axial slices by each motion, then coronal slices, RGB (row, column, 3)."""
    box = ndimage.find_objects(body.astype(np.uint8))
    x, y, z = (np.arange(n)[part] for n, part in zip(body.shape, box[0] if box else [slice(None)] * 3, strict=True))
    cuts = ((x, y, z[[len(z) // 2]]), (x, y[[len(y) // 2]], z))
    panels = [_panel(frame, moving, motion, cut) for cut in cuts for motion in motions]
    height = max(len(panel) for panel in panels)
    return np.concatenate([np.pad(p, ((0, height - len(p) + 4), (0, 4), (0, 0))) for p in panels], axis=1)


def _panel(frame: Volume, moving: Volume, motion: Motion, cut: Index) -> np.ndarray:
    """One slice of the frame's grid, RGB (row, column, 3), seen from the feet or from the front."""
    moved = resample([moving.voxels], places_in(motion, frame.affine, moving.affine, cut))[0]
    sides_mm = [len(along) * step for along, step in zip(cut, images.spacing(frame.affine), strict=True)]
    across = 1 if len(cut[2]) == 1 else 2
    size = PANEL_PX, max(round(PANEL_PX * sides_mm[across] / sides_mm[0]), 1)
    one, other = (_turned(slice_.reshape(len(cut[0]), -1), size) for slice_ in (frame.voxels[np.ix_(*cut)], moved))
    row, column = np.indices(one.shape) // SQUARE_PX
    squares = ((row + column) % 2 == 1)[..., None]
    return np.where(squares, other[..., None] * TINT, one[..., None]).astype(np.uint8)


def _turned(slice_: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A slice (x, other) as steps of grey (row, column), right on the left, the second axis upwards."""
    high = max(float(np.percentile(slice_, 98)), 1e-6)
    shown = np.round(np.clip((slice_ / high - AIR) / (1 - AIR), 0, 1) * (GREYS - 1)) * (255 // (GREYS - 1))
    picture = Image.fromarray(np.ascontiguousarray(shown.astype(np.uint8).T[::-1, ::-1]))
    return np.asarray(picture.resize(size, Image.Resampling.NEAREST))
