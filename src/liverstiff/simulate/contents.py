"""What the pixels of an exam show: the one interface between images, rendered or tiny, and the series made of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from liverstiff.simulate import scan, signal
from liverstiff.simulate.anatomy import Anatomy
from liverstiff.simulate.dicom import Frame, as_stored
from liverstiff.simulate.elastogram import Elastogram
from liverstiff.simulate.shapes import SHAPE, STEP_MM
from liverstiff.simulate.signal import Grid


class Images(Protocol):
    """Images of one exam by content: ``t1`` and what starts so, ``t2``, ``dwi``, ``adc``, ``localizer``, ``mre``."""

    @property
    def mre(self) -> Elastogram:
        """The elastogram."""

    @property
    def offsets(self) -> int:
        """Phase offsets of raw and wave images of elastography."""

    def grid(self, content: str) -> Grid:
        """Where the images lie."""

    def volume(self, content: str) -> np.ndarray:
        """Values to store (x, y, z) on RAS+ axes."""

    def diffusion(self, k: int) -> np.ndarray:
        """Values of the k-th b-value (x, y, z)."""

    def localizer(self, top: int) -> list[Frame]:
        """An axial, a coronal and a sagittal slice, stored up to ``top``."""


@dataclass(frozen=True)
class Acquired:
    """What an exam consists of before a vendor writes it down."""

    anatomy: Anatomy
    patient: Mapping[str, float]
    scan: scan.Scan
    mre: Elastogram
    absent: str
    """``T2w``, ``DWI`` or empty: the sequence that was not acquired."""
    ge_offset: bool
    """The exam's b-values carry GE's 1,000,000,000."""


_GRIDS = {
    "t2": scan.T2W_GRID,
    "dwi": scan.DWI_GRID,
    "adc": scan.DWI_GRID,
    "localizer": Grid((2, 2, 2), (*STEP_MM[:2], 8.0)),
}
_MIXED = {"t1_in": 1.3, "t1_opp": 0.7, "t1_fat": 0.4}
"""Share of the fat-suppressed image that stands for a Dixon part."""


@dataclass(frozen=True)
class Rendered:
    """Images of a simulated abdomen."""

    acquired: Acquired
    protocol: scan.Protocol
    offsets: int = 4

    @property
    def mre(self) -> Elastogram:
        """The elastogram."""
        return self.acquired.mre

    def grid(self, content: str) -> Grid:
        """Where the images lie."""
        grids = _GRIDS | {"mre": self.mre.grids[0]}
        return grids.get(content, scan.T1W_GRID)

    def volume(self, content: str) -> np.ndarray:
        """Values to store (x, y, z) on RAS+ axes."""
        made = self.acquired.scan
        if content == "t2":
            return made.t2w
        if content == "adc":
            return scan.scanner_adc(made.dwi, self.protocol.b_values)
        if content == "t1_post":
            return made.t1w_post
        if content == "t1_subtraction":
            return made.t1w_post - made.t1w
        return made.t1w * np.float32(_MIXED[content]) if content in _MIXED else made.t1w

    def diffusion(self, k: int) -> np.ndarray:
        """Values of the k-th b-value (x, y, z)."""
        return self.acquired.scan.dwi[k]

    def localizer(self, top: int) -> list[Frame]:
        """An axial, a coronal and a sagittal slice through the middle."""
        values = {n: signal.spin_echo(t, 1100, 82, 1.0) for n, t in signal.tissues(self.acquired.patient).items()}
        painted = self.protocol.scale * self.acquired.anatomy.paint(dict(values))
        return three_planes(as_stored(painted, top), Grid(SHAPE, STEP_MM))


def three_planes(world: np.ndarray, grid: Grid) -> list[Frame]:
    """An axial, a coronal and a sagittal slice through the middle of a volume (x, y, z) on RAS+ axes.

    Args:
        world: stored integers.
        grid: where its voxels lie.
    """
    left, back, _ = (-o - s * (n - 1) for o, s, n in zip(grid.origin, grid.spacing, world.shape, strict=True))
    head = grid.origin[2] + grid.spacing[2] * (world.shape[2] - 1)
    x, y, z = (n // 2 for n in world.shape)
    across, deep, tall = grid.spacing
    world = world[::-1, ::-1, ::-1]
    return [
        _plane(world[:, :, z].T, (left, back, head - z * tall), (1, 0, 0, 0, 1, 0), (deep, across)),
        _plane(world[:, y].T, (left, back + y * deep, head), (1, 0, 0, 0, 0, -1), (tall, across)),
        _plane(world[x].T, (left + x * across, back, head), (0, 1, 0, 0, 0, -1), (tall, deep)),
    ]


def _plane(
    pixels: np.ndarray, position: tuple[float, float, float], orientation: tuple[int, ...], spacing: tuple[float, float]
) -> Frame:
    """One slice in any plane."""
    rows, columns = pixels.shape
    attributes = {"ImageOrientationPatient": list(orientation), "PixelSpacing": list(spacing)}
    return Frame(np.ascontiguousarray(pixels), position, attributes | {"Rows": rows, "Columns": columns})
