"""The liver with its lobes, surface, vessels and gallbladder, and the spleen: the organs that carry the signs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from liverstiff.simulate.shapes import (
    SHAPE,
    STEP_MM,
    Box,
    Layer,
    Points,
    Triple,
    at,
    box_around,
    ellipsoid,
    filled,
    noise,
    rod,
    smooth_union,
    solve_scale,
)

_COARSE = (slice(None, None, 2), slice(None, None, 2), slice(None, None, 2))
_COARSE_ML = 8 * STEP_MM[0] * STEP_MM[1] * STEP_MM[2] / 1000

RIGHT_MM, BIFURCATION_MM = 68.0, 40.0
"""At size 1: from the centre of the right lobe to the lateral edge, and to the right wall of the portal bifurcation."""

GAP_MM = np.float32(3.0)
"""Fat between liver and wall, so that bumps show there too."""


@dataclass(frozen=True)
class Frame:
    """Where the liver lies and how large it is: ``point = centre + size * (template point in mm)``."""

    centre: Triple
    size: float

    def __call__(self, x: float, y: float, z: float) -> Triple:
        """A template point in world millimetres."""
        return self.centre[0] + self.size * x, self.centre[1] + self.size * y, self.centre[2] + self.size * z

    def radii(self, x: float, y: float, z: float) -> Triple:
        """Template lengths in mm."""
        return self.size * x, self.size * y, self.size * z


def _frame(cavity_half_width: float, size: float) -> Frame:
    """The liver touches the right wall whatever its size."""
    return Frame((cavity_half_width - 3 - RIGHT_MM * size, 5.0, 0.0), size)


def caudate_distance(points: Points, frame: Frame, ratio: float) -> np.ndarray:
    """Distance to the caudate lobe, whose width is ``ratio`` times the right lobe's."""
    width = ratio * (RIGHT_MM + BIFURCATION_MM)
    return ellipsoid(points, frame(-BIFURCATION_MM - width / 2, -6, 4), frame.radii(width / 2, 14, 24))


def right_distance(points: Points, frame: Frame) -> np.ndarray:
    """Distance to the right lobe: an ellipsoid without the niche behind the portal bifurcation, the caudate's place."""
    lobe = ellipsoid(points, frame(0, 0, 0), frame.radii(RIGHT_MM, 75, 70))
    edge = frame(-BIFURCATION_MM, 18, 0)
    niche = np.maximum(points[0] - np.float32(edge[0]), points[1] - np.float32(edge[1]))
    return np.maximum(lobe, -niche)


def liver_distance(points: Points, frame: Frame, ratio: float) -> np.ndarray:
    """Distance to the whole liver with a smooth surface."""
    left = ellipsoid(points, frame(-65, 34, 16), frame.radii(72, 30, 36))
    return np.minimum(
        smooth_union(right_distance(points, frame), left, 10.0 * frame.size), caudate_distance(points, frame, ratio)
    )


def build_liver(
    points: Points,
    cavity_half_width: float,
    wall: np.ndarray,
    room: np.ndarray,
    patient: dict[str, float],
    rng: np.random.Generator,
) -> tuple[Layer, list[Layer], dict[str, Layer]]:
    """The liver, what lies in it or on it, and its true lobes.

    Args:
        points: displaced world coordinates, three arrays of the grid's shape.
        cavity_half_width: mm from the midline to the inner wall.
        wall: distance to the inner wall, mm, negative inside: the liver's surface follows it, bumps and all.
        room: share of each voxel that the liver may fill.
        patient: ``liver_ml``, ``nodularity``, ``caudate_ratio``.
        rng: the patient's generator.

    Returns:
        The liver; vessels and gallbladder, painted over it; ``caudate`` and ``right_lobe``, not painted.
    """
    ratio = float(np.clip(patient["caudate_ratio"], 0.08, 0.62))
    coarse = at(points, _COARSE)

    def volume_ml(size: float) -> float:
        distance = liver_distance(coarse, _frame(cavity_half_width, size), ratio)
        inside = filled(np.maximum(distance, wall[_COARSE] + GAP_MM), 6.0)
        return float((inside * room[_COARSE]).sum()) * _COARSE_ML

    frame = _frame(cavity_half_width, solve_scale(volume_ml, patient["liver_ml"]))
    box = box_around(frame(-30, 4, 0), frame.radii(112, 82, 76))
    inside = at(points, box)
    bumps = _bumps(patient["nodularity"]) * noise(inside[0].shape, 5.0, rng)
    smooth = np.maximum(liver_distance(inside, frame, ratio), wall[box] + GAP_MM)
    fraction = filled(smooth + bumps) * room[box]
    gallbladder = filled(ellipsoid(inside, frame(-30, 38, -50), frame.radii(13, 17, 26))) * room[box]
    fraction = fraction * (1 - gallbladder)
    vessels = filled(_vessel_distance(inside, frame)) * fraction
    lobes = {
        "caudate": Layer("caudate", "liver", box, filled(caudate_distance(inside, frame, ratio)) * fraction),
        "right_lobe": Layer("right_lobe", "liver", box, filled(right_distance(inside, frame)) * fraction),
    }
    parts = [Layer("vessels", "blood", box, vessels), Layer("gallbladder", "fluid", box, gallbladder)]
    return Layer("liver", "liver", box, fraction), parts, lobes


def _bumps(nodularity: float) -> np.float32:
    """Height (SD, mm) of the surface's bumps. Drawn larger than life: 1 mm would vanish in voxels of 3 x 3 x 6 mm."""
    return np.float32(0.4 + 2.4 * max(nodularity, 0.0))


def _vessel_distance(points: Points, frame: Frame) -> np.ndarray:
    """Distance to the three hepatic veins and the portal vein with its branches."""
    cava, hilum, fork = frame(-34, -22, 40), frame(-38, 12, -8), frame(5, 5, -8)
    rods = (
        (cava, frame(30, -20, 25), 4.5),
        (cava, frame(0, 35, 22), 4.5),
        (cava, frame(-75, 38, 24), 4.0),
        (hilum, fork, 6.0),
        (fork, frame(38, 28, -20), 4.0),
        (fork, frame(36, -36, -4), 4.0),
        (hilum, frame(-78, 36, 8), 4.5),
    )
    distance = rod(points, *rods[0])
    for a, b, radius in rods[1:]:
        distance = np.minimum(distance, rod(points, a, b, radius))
    return distance


def build_spleen(points: Points, cavity: tuple[float, float], room: np.ndarray, wanted_ml: float) -> Layer:
    """The spleen of the wanted volume, at the left wall.

    Args:
        points: displaced world coordinates, three arrays of the grid's shape.
        cavity: half width and half depth inside the wall, mm.
        room: share of each voxel that the spleen may fill.
        wanted_ml: its volume.
    """
    coarse = at(points, _COARSE)

    def shape(size: float) -> tuple[Triple, Triple]:
        radii = (24 * size, 38 * size, 48 * size)
        return (-(0.93 * cavity[0] - radii[0]), -0.3 * cavity[1], 14.0), radii

    def volume_ml(size: float) -> float:
        return float((filled(ellipsoid(coarse, *shape(size)), 6.0) * room[_COARSE]).sum()) * _COARSE_ML

    centre, radii = shape(solve_scale(volume_ml, min(wanted_ml, 1400.0)))
    box: Box = box_around(centre, radii)
    fraction = filled(ellipsoid(at(points, box), centre, radii)) * room[box]
    return Layer("spleen", "spleen", box, fraction)


def without(room: np.ndarray, *layers: Layer) -> np.ndarray:
    """The room that is left beside some layers, on the world grid."""
    left = room.copy()
    assert left.shape == SHAPE
    for layer in layers:
        left[layer.box] *= 1 - layer.fraction
    return left
