"""Diffusion: b-values, repeats, noise floor, and the mono-exponential fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy import ndimage, special

from liverstiff.harmonize.faults import MIN_AIR_VOXELS, Fault, SequenceFault

ADC_MAX = 4e-3
"""mm2/s. Free water at body temperature has 3.0e-3; what lies above is perfusion, motion or noise."""

REPEAT_TOLERANCE = 10.0
"""s/mm2. Volumes whose b-values are closer than this are repeats; headers write 1.25 for 0 and 929.75 for 930."""

TINY = 1e-6
"""Stands for no signal in a logarithm."""

_RATIO = np.geomspace(0.1, 12.0, 2000)
_FLOOR = np.log(_RATIO), special.exp1(_RATIO) / 2
"""The noise floor of ln S by A^2 / (2 sigma^2): a table, as E1 is slow. Below, A is unknown; above, it is < 3e-7."""

SLAB = 500_000
"""Voxels fitted at a time: what the fit needs in memory does not grow with the image."""


def read_bvals(path: Path, volumes: int) -> np.ndarray:
    """b-values (volume,) in s/mm2.

    Raises:
        SequenceFault: ``no_b_values`` when they are missing or their number is not that of the volumes.
    """
    try:
        values = np.array(path.read_text().split(), dtype=float)
    except (OSError, ValueError):
        values = np.array([])
    if len(values) != volumes or not np.isfinite(values).all() or (values < 0).any():
        said = f"has {volumes} volumes and {len(values)} b-values; check the series' header"
        raise SequenceFault(Fault.NO_B_VALUES, said)
    return values


def average_repeats(voxels: np.ndarray, bvals: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Signals (b, x, y, z), b-values (b,) ascending and number of volumes (b,), from volumes (volume, x, y, z).

    Volumes of one b-value are averaged geometrically: over gradient directions that is the trace-weighted image, whose
    ADC is the mean of the directions' ADCs; over repeats it keeps the expectation of ln S, which the fit relies on.
    """
    order = np.argsort(bvals, kind="stable")
    groups = np.split(order, 1 + np.flatnonzero(np.diff(bvals[order]) > REPEAT_TOLERANCE))
    signals = np.empty((len(groups), *voxels.shape[1:]), np.float32)
    for signal, group in zip(signals, groups, strict=True):
        signal[...] = voxels[group[0]] if len(group) == 1 else _geometric_mean(voxels, group)
    return signals, np.array([bvals[group].mean() for group in groups]), np.array([len(group) for group in groups])


def _geometric_mean(voxels: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Of some volumes (volume, x, y, z), one at a time."""
    total = np.zeros(voxels.shape[1:], np.float32)
    for volume in group:
        total += np.log(np.maximum(voxels[volume], TINY))
    return np.exp(total / len(group))


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


def plain_adc(low: np.ndarray, high: np.ndarray, difference: float) -> np.ndarray:
    """ADC (mm2/s) from two signals whose b-values differ by so much, without weights or noise floor: for comparison."""
    ratio = np.log(np.maximum(low, TINY) / np.maximum(high, TINY))
    return np.clip(ratio / np.float32(difference), 0, ADC_MAX)


def fit_adc(
    signals: np.ndarray, b: np.ndarray, sigma: float = 0.0, repeats: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """ADC (mm2/s) and signal at b = 0, each (x, y, z), from signals (b, x, y, z): ln S = ln S0 - b ADC.

    Least squares with weights n A^2, as the variance of ln S is (sigma / A)^2 / n over n ``repeats`` (Salvador 2005),
    in two passes: the second takes A from the first, as weights from noisy signals prefer those that noise has raised,
    and takes off the noise floor, E[ln S] = ln A + E1(A^2 / (2 sigma^2)) / 2 for Rician S. ADC is kept within 0 and
    ``ADC_MAX``.
    """
    b = b.astype(np.float32)
    count = np.ones(len(b), np.float32) if repeats is None else repeats.astype(np.float32)
    adc, s0 = np.empty(signals.shape[1:], np.float32), np.empty(signals.shape[1:], np.float32)
    rows = max(1, SLAB // max(1, int(np.prod(signals.shape[2:]))))
    for start in range(0, signals.shape[1], rows):
        slab = slice(start, start + rows)
        adc[slab], s0[slab] = _fit_slab(signals[:, slab], b, sigma, count)
    return adc, s0


def _fit_slab(signals: np.ndarray, b: np.ndarray, sigma: float, count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """:func:`fit_adc` of a part of the image."""
    over_b = (-1,) + (1,) * (signals.ndim - 1)
    b, count = b.reshape(over_b), count.reshape(over_b)
    log = np.log(np.maximum(signals, TINY, dtype=np.float32))
    adc, log_s0 = _weighted_line(log, b, count * np.exp(2 * log))
    log_power = 2 * (log_s0 - b * adc)
    if sigma:
        log -= _log_floor(log_power - np.float32(np.log(2 * sigma**2)))
    adc, log_s0 = _weighted_line(log, b, count * np.exp(log_power))
    return adc, np.exp(log_s0)


def _log_floor(log_ratio: np.ndarray) -> np.ndarray:
    """How far noise raises ln S, from ln(A^2 / (2 sigma^2)); 0 where that is large."""
    return np.interp(log_ratio, *_FLOOR, right=0.0).astype(np.float32)


def _weighted_line(log: np.ndarray, b: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Slope (its negative, kept within 0 and ``ADC_MAX``) and intercept of ``log`` over ``b``, along the first axis."""
    weight = weight / weight.sum(axis=0)
    mean_b = (weight * b).sum(axis=0)
    mean_log = (weight * log).sum(axis=0)
    away = b - mean_b
    weight *= away
    spread = np.maximum((weight * away).sum(axis=0), 1e-12)
    slope = np.clip(-(weight * log).sum(axis=0) / spread, 0, ADC_MAX)
    return slope, mean_log + slope * mean_b
