"""One exam as arrays: every sequence on its own grid, as the scanner would hand it over before it becomes DICOM."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from liverstiff.simulate import signal
from liverstiff.simulate.anatomy import Anatomy
from liverstiff.simulate.signal import Grid

T1W_GRID = Grid((128, 104, 32), (3.1, 3.1, 6.0))
T2W_GRID = Grid((112, 92, 24), (3.5, 3.5, 8.0))
DWI_GRID = Grid((88, 72, 20), (4.4, 4.4, 9.0))

TEXTURE_T1W, TEXTURE_T2W = 0.07, -0.07
"""Relative amplitude of the liver's heterogeneity for a drawn texture of 1."""


@dataclass(frozen=True)
class Protocol:
    """How a scanner acquires: times in ms, angles in degrees, b in s/mm2."""

    b_values: tuple[float, ...]
    t1_tr: float = 4.2
    t1_te: float = 1.3
    t1_flip: float = 14.0
    t2_tr: float = 3500.0
    t2_te: float = 85.0
    dwi_tr: float = 5200.0
    dwi_te: float = 60.0
    fat_left: float = 0.15
    """Share of the signal of fatty tissue that T1w suppression leaves."""
    liver_fat_left: float = 0.50
    """The same for fat within the liver: more than is real, so that steatosis does not hide the liver's T1."""
    coil: float = 0.15
    """Strength of the receive field."""
    scale: float = 4000.0
    """Stored units per unit of signal."""
    dwi_slice_major: bool = False
    """Instance numbers of diffusion run slice by slice, all b of a slice first."""
    epi_mm: float = 2.5
    """SD of the displacement along the phase direction of diffusion, mm."""


@dataclass(frozen=True)
class Breath:
    """Where the diaphragm stands in each sequence, mm towards the head relative to T1w."""

    t2w: float
    dwi: float
    mre: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Breath:
        """Up to 20 mm between sequences; elastography is held at the same depth as T1w within a few mm."""
        t2w, dwi = np.clip(8 * rng.standard_normal(2), -20, 20)
        return cls(float(t2w), float(dwi), float(np.clip(3 * rng.standard_normal(), -8, 8)))


@dataclass(frozen=True)
class Scan:
    """Images of one exam in signal units (x, y, z) on RAS+ axes; ``dwi`` has one image per b-value."""

    t1w: np.ndarray
    t1w_post: np.ndarray
    t2w: np.ndarray
    dwi: np.ndarray


def acquire(
    anatomy: Anatomy, patient: Mapping[str, float], protocol: Protocol, breath: Breath, rng: np.random.Generator
) -> Scan:
    """Acquire T1w before and after contrast, T2w and diffusion."""
    table = signal.tissues(patient)
    gain = protocol.scale * float(np.exp(0.2 * rng.standard_normal()))

    def finish(image: np.ndarray, coil: np.ndarray, sigma: float) -> np.ndarray:
        return np.float32(gain) * signal.rician(image * coil, sigma, rng)

    t1_coil = signal.coil_field(T1W_GRID.shape, protocol.coil, rng)
    before, after = (
        finish(signal.render(anatomy, values, T1W_GRID, shift, TEXTURE_T1W), t1_coil, 0.0025)
        for values, shift in (
            (_t1_values(table, protocol, False), 0.0),
            (_t1_values(table, protocol, True), float(2 * rng.standard_normal())),
        )
    )
    t2_values = {n: signal.spin_echo(t, protocol.t2_tr, protocol.t2_te, 0.12) for n, t in table.items()}
    t2_image = signal.render(anatomy, t2_values, T2W_GRID, breath.t2w, TEXTURE_T2W)
    t2w = finish(t2_image, signal.coil_field(T2W_GRID.shape, protocol.coil, rng), 0.006)
    return Scan(before, after, t2w, _diffusion(anatomy, table, protocol, breath, gain, rng))


def _t1_values(table: Mapping[str, signal.Tissue], protocol: Protocol, contrast: bool) -> dict[str, float]:
    """T1w signal of every tissue, with or without contrast agent."""
    return {
        name: signal.spoiled_gradient_echo(
            signal.enhanced(tissue, name) if contrast else tissue,
            protocol.t1_tr,
            protocol.t1_te,
            protocol.t1_flip,
            protocol.liver_fat_left if name == "liver" else protocol.fat_left,
        )
        for name, tissue in table.items()
    }


def _diffusion(
    anatomy: Anatomy,
    table: Mapping[str, signal.Tissue],
    protocol: Protocol,
    breath: Breath,
    gain: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Trace images, shape (b, x, y, z): one distortion and one coil for all."""
    coil = signal.coil_field(DWI_GRID.shape, protocol.coil, rng)
    field = signal.inhomogeneity(DWI_GRID.shape, protocol.epi_mm / DWI_GRID.spacing[1], rng)
    volumes = []
    for b in protocol.b_values:
        values = {
            name: signal.spin_echo(tissue, protocol.dwi_tr, protocol.dwi_te, 0.05) * signal.diffusion_loss(tissue, b)
            for name, tissue in table.items()
        }
        image = signal.distort(signal.render(anatomy, values, DWI_GRID, breath.dwi, TEXTURE_T2W / 2), field)
        volumes.append(np.float32(gain) * signal.rician(image * coil, 0.004, rng))
    return np.stack(volumes)


def scanner_adc(volumes: np.ndarray, b_values: tuple[float, ...]) -> np.ndarray:
    """The scanner's own ADC map in 1e-6 mm2/s, from its lowest b of at least 50 and its highest; 0 in the air."""
    low = next(i for i, b in enumerate(b_values) if b >= 50)
    ratio = np.log(np.maximum(volumes[low], 1e-3) / np.maximum(volumes[-1], 1e-3)) / (b_values[-1] - b_values[low])
    return np.where(volumes[low] > 0.1 * volumes[low].max(), np.clip(1e6 * ratio, 0, 4000), 0).astype(np.float32)
