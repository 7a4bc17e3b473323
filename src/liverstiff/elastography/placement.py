"""Where the liver lies in the elastogram: the frame's mask, moved to where the magnitude shows the liver.

Between the frame and the elastogram the patient breathes. A few thick slices carry no more than a shift, so a shift is
all that is looked for, and it is used only where it fits clearly better, at pixels that the search has not seen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage, optimize

from liverstiff.alignment import mutual_information
from liverstiff.dicom.values import MapSlice
from liverstiff.elastography.maps import nearest

AROUND_MM = 30.0
"""How far around the liver pixels are compared: its edge tells most."""

MAX_SHIFT_MM = np.array([12.0, 12.0, 20.0])
"""Along x, y, z; breathing moves the liver along the body."""

STARTS_MM = [(x, y, z) for z in np.arange(-16.0, 17.0, 4.0) for x, y in ((0, 0), (6, 0), (-6, 0), (0, 6), (0, -6))]
"""Shifts (RAS+) from which the search starts at the best."""

BINS = 16
"""Of either image's intensities; there are a few thousand pixels."""

MIN_PIXELS = 400
MIN_GAIN = 0.02
"""Relative gain of the mutual information that a shift owes over the header's geometry."""


@dataclass(frozen=True)
class Frame:
    """The exam's frame: image and liver, both (x, y, z), and where their voxels lie."""

    image: np.ndarray
    liver: np.ndarray
    affine: np.ndarray

    def moved(self, shift_mm: np.ndarray) -> Frame:
        """The same, moved by a shift (RAS+ mm)."""
        affine = np.array(self.affine, float)
        affine[:3, 3] += shift_mm
        return Frame(self.image, self.liver, affine)


def fitting_shift(frame: Frame, magnitude: list[MapSlice]) -> np.ndarray:
    """By how much the frame moves (x, y, z in RAS+ mm) to fit the magnitude; zero where that does not pay.

    Args:
        frame: image and liver.
        magnitude: slices of the elastogram's magnitude.
    """
    points, values = _around_the_liver(frame, magnitude)
    none = np.zeros(3)
    if len(values) < MIN_PIXELS:
        return none
    searched = np.arange(len(values)) % 2 == 0  # neighbours: both halves show the whole liver
    search, judge = (_metric(frame, points[half], values[half]) for half in (searched, ~searched))
    start = max((none, *map(np.array, STARTS_MM)), key=search)
    found = optimize.minimize(
        lambda shift: -search(shift),
        start,
        method="Powell",
        bounds=list(zip(-MAX_SHIFT_MM, MAX_SHIFT_MM, strict=True)),
        options={"xtol": 0.1, "ftol": 1e-4, "maxfev": 400},
    ).x
    return found if judge(found) > judge(none) * (1 + MIN_GAIN) else none


def _around_the_liver(frame: Frame, magnitude: list[MapSlice]) -> tuple[np.ndarray, np.ndarray]:
    """Places (pixel, 3) and values (pixel,) of the magnitude's pixels in and around the liver."""
    points, values = [np.zeros((0, 3))], [np.zeros(0)]
    for part in magnitude:
        liver = nearest(frame.liver, frame.affine, part.points) == 1
        if liver.any():
            near = ndimage.distance_transform_edt(~liver, sampling=part.pixel_mm) <= AROUND_MM
            near &= np.isfinite(part.values)
            points.append(part.points[near])
            values.append(part.values[near])
    return np.concatenate(points), np.concatenate(values)


def _metric(frame: Frame, points: np.ndarray, values: np.ndarray) -> Callable[[np.ndarray], float]:
    """Mutual information (nats) of the frame, moved by a shift, with values at some points."""
    to_index = np.linalg.inv(frame.affine)
    index = (points @ to_index[:3, :3].T + to_index[:3, 3]).T
    everywhere = np.ones(len(values), bool)

    def metric(shift: np.ndarray) -> float:
        places = index - (to_index[:3, :3] @ shift)[:, None]
        seen = ndimage.map_coordinates(frame.image, places, order=1, mode="nearest")
        return mutual_information(values, seen, everywhere, BINS)

    return metric
