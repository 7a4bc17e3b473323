"""From tissue to voxels: spin physics on the world grid, then what a scanner adds.

Signal equations: spoiled gradient echo, spin echo and diffusion as in Bernstein, King, Zhou, Handbook of MRI Pulse
Sequences (2004), chapters 14 and 17; perfusion as in Le Bihan et al., Radiology 1988 (bi-exponential). Times
are in ms, b in s/mm2, diffusion in 1e-3 mm2/s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from liverstiff.simulate.anatomy import Anatomy
from liverstiff.simulate.shapes import ORIGIN_MM, SHAPE, STEP_MM, Triple


@dataclass(frozen=True)
class Tissue:
    """What a tissue is to the scanner."""

    t1: float
    """ms."""
    t2: float
    """ms."""
    adc: float
    """1e-3 mm2/s."""
    density: float = 1.0
    """Proton density relative to muscle."""
    fat: float = 0.0
    """Share of the protons in fat."""
    r2star: float = 25.0
    """1/s."""
    perfusion: float = 0.0
    """Share of the diffusion signal that flows (IVIM)."""


@dataclass(frozen=True)
class Grid:
    """An axial stack in RAS+ world millimetres."""

    shape: tuple[int, int, int]
    spacing: Triple
    centre_z: float = 0.0

    @property
    def origin(self) -> Triple:
        """World coordinates of the first voxel's centre."""
        x, y, z = (-0.5 * s * (n - 1) for s, n in zip(self.spacing, self.shape, strict=True))
        return x, y, z + self.centre_z

    @property
    def affine(self) -> np.ndarray:
        """4x4, voxel index to RAS+ millimetres."""
        affine = np.diag([*self.spacing, 1.0])
        affine[:3, 3] = self.origin
        return affine


def tissues(patient: Mapping[str, float]) -> dict[str, Tissue]:
    """The tissue table of one patient: ``liver``, ``spleen``, ``muscle`` as drawn, the rest as usual at that field."""
    high = patient["field_t"] > 2
    fat_share = patient["pdff"] / 100
    return {
        "liver": Tissue(
            patient["liver_t1"], patient["liver_t2"], patient["adc"], 1.0, fat_share, patient["r2star"], perfusion=0.12
        ),
        "spleen": Tissue(patient["spleen_t1"], patient["spleen_t2"], 0.85, 1.05, perfusion=0.05),
        "muscle": Tissue(patient["muscle_t1"], patient["muscle_t2"], 1.55),
        "fat": Tissue(1500, 70, 0.3, 1.0, 0.95, 30.0),
        "blood": Tissue(1900 if high else 1500, 150, 2.6, 1.0, 0.0, 12.0, perfusion=0.85),
        "kidney": Tissue(1500 if high else 1200, 90, 2.0, 1.05, perfusion=0.2),
        "fluid": Tissue(3500, 500, 2.9, 1.1),
        "bone": Tissue(900, 50, 0.5, 0.6, 0.4, 80.0),
        "lung": Tissue(1200, 40, 1.5, 0.12, 0.0, 250.0),
    }


_FAT_T1, _FAT_T2 = 330.0, 70.0


def spoiled_gradient_echo(tissue: Tissue, tr: float, te: float, flip: float, fat_left: float) -> float:
    """Signal of a spoiled gradient echo with fat suppression that leaves the share ``fat_left`` of the fat signal."""
    a = np.deg2rad(flip)

    def steady(t1: float) -> float:
        e1 = np.exp(-tr / t1)
        return float(np.sin(a) * (1 - e1) / (1 - np.cos(a) * e1))

    water = (1 - tissue.fat) * steady(tissue.t1) + fat_left * tissue.fat * steady(_FAT_T1)
    return tissue.density * water * float(np.exp(-te * tissue.r2star / 1000))


def spin_echo(tissue: Tissue, tr: float, te: float, fat_left: float) -> float:
    """Signal of a spin echo, fat suppressed down to the share ``fat_left``."""
    water = (1 - tissue.fat) * (1 - np.exp(-tr / tissue.t1)) * np.exp(-te / tissue.t2)
    fat = fat_left * tissue.fat * (1 - np.exp(-tr / _FAT_T1)) * np.exp(-te / _FAT_T2)
    return float(tissue.density * (water + fat))


def diffusion_loss(tissue: Tissue, b: float, pseudo: float = 60.0) -> float:
    """Share of the signal left at b: tissue water and, up to its share, flowing blood (bi-exponential)."""
    slow, fast = np.exp(-b * tissue.adc / 1000), np.exp(-b * pseudo / 1000)
    return float((1 - tissue.perfusion) * slow + tissue.perfusion * fast)


_UPTAKE = {"liver": 0.9, "spleen": 1.3, "muscle": 0.25, "blood": 4.0, "kidney": 2.5, "bone": 0.3, "lung": 0.3}


def enhanced(tissue: Tissue, name: str) -> Tissue:
    """The tissue about a minute after gadolinium: 1/T1 grows by its uptake (1/s)."""
    return replace(tissue, t1=1 / (1 / tissue.t1 + _UPTAKE.get(name, 0.0) / 1000))


def axis_weights(axis: int, grid: Grid, shift: float) -> np.ndarray:
    """How much each world voxel adds to each voxel of a grid along one axis: their overlap, shape (out, world)."""
    step, start = STEP_MM[axis], ORIGIN_MM[axis] + shift
    left = start + step * (np.arange(SHAPE[axis]) - 0.5)
    size = grid.spacing[axis]
    low = (grid.origin[axis] + size * (np.arange(grid.shape[axis]) - 0.5))[:, None]
    overlap = np.minimum(left + step, low + size) - np.maximum(left, low)
    return (np.clip(overlap, 0, None) / size).astype(np.float32)


def sample(world: np.ndarray, grid: Grid, shift_z: float = 0.0) -> np.ndarray:
    """Average a world image over the voxels of a grid; ``shift_z`` moves the organs towards the head (breathing).

    Sparse products, not a threaded dense one: the number of threads must not change a byte.
    """
    for axis in range(3):
        weights = sparse.csr_array(axis_weights(axis, grid, shift_z if axis == 2 else 0.0))
        flat = np.ascontiguousarray(np.moveaxis(world, axis, 0)).reshape(world.shape[axis], -1)
        rest = world.shape[:axis] + world.shape[axis + 1 :]
        world = np.moveaxis((weights @ flat).reshape(-1, *rest), 0, axis)
    return np.ascontiguousarray(world)


def render(anatomy: Anatomy, values: dict[str, float], grid: Grid, shift_z: float, texture: float = 0.0) -> np.ndarray:
    """Noise-free image from a signal per tissue; ``texture`` is the relative amplitude of the liver's heterogeneity."""
    painted: dict[str, float | np.ndarray] = dict(values)
    painted["liver"] = values["liver"] * (1 + np.float32(texture) * anatomy.texture)
    return sample(anatomy.paint(painted), grid, shift_z)


def mask(anatomy: Anatomy, organ: str, grid: Grid, shift_z: float = 0.0) -> np.ndarray:
    """True mask of an organ or lobe on a grid."""
    return sample(anatomy.fraction(organ), grid, shift_z) > 0.5


def coil_field(shape: tuple[int, ...], strength: float, rng: np.random.Generator) -> np.ndarray:
    """Receive sensitivity: brighter at the surface, a little tilted, mean about 1."""
    axes = [
        np.linspace(-1, 1, n, dtype=np.float32).reshape([-1 if i == k else 1 for i in range(3)])
        for k, n in enumerate(shape)
    ]
    tilt = 0.15 * strength * rng.standard_normal(3)
    log = sum(np.float32(t) * a for t, a in zip(tilt, axes, strict=True))
    return np.exp(log + np.float32(strength) * (axes[0] ** 2 + axes[1] ** 2 - np.float32(0.6)))


def distort(image: np.ndarray, field: np.ndarray) -> np.ndarray:
    """Move voxels along y by a field in voxels, as inhomogeneity does to an echo-planar image (linear)."""
    rows = np.arange(image.shape[1], dtype=np.float32)[None, :, None] + field
    rows = np.clip(rows, 0, image.shape[1] - 1.001)
    low = rows.astype(np.int32)
    part = rows - low
    return np.take_along_axis(image, low, 1) * (1 - part) + np.take_along_axis(image, low + 1, 1) * part


def inhomogeneity(shape: tuple[int, ...], amplitude: float, rng: np.random.Generator) -> np.ndarray:
    """A smooth field of displacement with the given SD, largest where lung meets abdomen (the upper slices)."""
    field = np.zeros(shape, np.float32)
    for _ in range(3):
        waves = [
            np.cos(2 * np.pi * np.arange(n) / n * rng.uniform(0.3, 1.2) + rng.uniform(0, 2 * np.pi)).astype(np.float32)
            for n in shape
        ]
        field += np.einsum("i,j,k->ijk", *waves)
    return (
        field
        * np.float32(amplitude / max(float(field.std()), 1e-6))
        * np.linspace(0.7, 1.4, shape[2], dtype=np.float32)
    )


def rician(image: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Magnitude of the image with complex Gaussian noise of SD ``sigma``."""
    real = image + np.float32(sigma) * rng.standard_normal(image.shape, dtype=np.float32)
    imaginary = np.float32(sigma) * rng.standard_normal(image.shape, dtype=np.float32)
    return np.sqrt(real * real + imaginary * imaginary)
