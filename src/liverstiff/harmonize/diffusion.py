"""Diffusion: b-values, repeats, noise floor, and the mono-exponential fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy import ndimage, special

from liverstiff.errors import ExamExcluded
from liverstiff.records import Reason

ADC_MAX = 4e-3
"""mm2/s. Free water at body temperature has 3.0e-3; what lies above is perfusion, motion or noise."""

REPEAT_TOLERANCE = 10.0
"""s/mm2. Volumes whose b-values are closer than this are repeats; headers write 1.25 for 0 and 929.75 for 930."""

MIN_AIR_VOXELS = 200
"""Fewer voxels of air than this say nothing about the noise."""


def read_bvals(path: Path, volumes: int) -> np.ndarray:
    """b-values (volume,) in s/mm2.

    Raises:
        ExamExcluded: ``implausible_image`` when they are missing or their number is not that of the volumes.
    """
    values = np.array(path.read_text().split(), dtype=float) if path.exists() else np.array([])
    if len(values) != volumes or not np.isfinite(values).all() or (values < 0).any():
        raise ExamExcluded(
            Reason.IMPLAUSIBLE_IMAGE, f"DWI has {volumes} volumes and {len(values)} b-values; check the series' header"
        )
    return values


def average_repeats(voxels: np.ndarray, bvals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Signals (x, y, z, b) and b-values (b,), ascending; volumes of one b-value are averaged."""
    order = np.argsort(bvals, kind="stable")
    groups = np.split(order, 1 + np.flatnonzero(np.diff(bvals[order]) > REPEAT_TOLERANCE))
    signals = np.stack([voxels[..., group].mean(axis=-1) for group in groups], axis=-1)
    return signals, np.array([bvals[group].mean() for group in groups])


def b_values_for_adc(b: np.ndarray, min_b: float) -> np.ndarray:
    """Indices of the b-values (ascending) that are fitted: those from ``min_b`` on if there are two, else the extremes.

    Below about 50 s/mm2 the signal also falls with perfusion.
    """
    high = np.flatnonzero(b >= min_b - REPEAT_TOLERANCE / 2)
    return high if len(high) >= 2 else np.array([0, len(b) - 1])


def noise_sigma(signal: np.ndarray, mask: np.ndarray) -> float:
    """Noise of the real and imaginary parts, from the air outside the body: a Rayleigh median is 1.1774 sigma.

    0 where a scanner has blanked the air or the body fills the image: the floor then cannot be known.
    """
    air = signal[~ndimage.binary_dilation(mask, iterations=2)]
    air = air[air > 0]
    return float(np.median(air) / 1.1774) if air.size >= MIN_AIR_VOXELS else 0.0


def fit_adc(signals: np.ndarray, b: np.ndarray, sigma: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """ADC (mm2/s) and signal at b = 0, each (x, y, z), from signals (x, y, z, b): ln S = ln S0 - b ADC.

    Least squares with weights A^2, as the variance of ln S is (sigma / A)^2 (Salvador 2005), in two passes: the
    second takes A from the first, as weights from noisy signals prefer those that noise has raised, and takes off the
    noise floor, E[ln S] = ln A + E1(A^2 / (2 sigma^2)) / 2 for Rician S. ADC is kept within 0 and ``ADC_MAX``.
    """
    log = np.log(np.maximum(signals.astype(np.float64), 1e-6))
    adc, log_s0 = _weighted_line(log, b, np.exp(2 * log))
    power = np.exp(2 * (log_s0[..., None] - b * adc[..., None]))
    floor = 0.5 * special.exp1(np.maximum(power / (2 * sigma**2), 0.1)) if sigma else 0.0
    adc, log_s0 = _weighted_line(log - floor, b, power)
    return adc.astype(np.float32), np.exp(log_s0).astype(np.float32)


def _weighted_line(log: np.ndarray, b: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Slope (its negative, kept within 0 and ``ADC_MAX``) and intercept of ``log`` over ``b``, along the last axis."""
    weight = weight / weight.sum(axis=-1, keepdims=True)
    mean_b = (weight * b).sum(axis=-1)
    mean_log = (weight * log).sum(axis=-1)
    away = b - mean_b[..., None]
    spread = np.maximum((weight * away**2).sum(axis=-1), 1e-12)
    slope = np.clip(-(weight * away * log).sum(axis=-1) / spread, 0, ADC_MAX)
    return slope, mean_log + slope * mean_b
