"""A digital abdomen: soft-edged organs on a grid in world millimetres, different in every patient.

Each organ is an implicit shape turned into the share of a voxel that it fills; the shares are painted one over the
other, so that partial volume is right at any later resolution. World axes are RAS+, the liver lies at x > 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from liverstiff.simulate.liver import build_liver, build_spleen, without
from liverstiff.simulate.shapes import (
    SHAPE,
    Layer,
    Points,
    at,
    box_around,
    covered,
    displaced_points,
    ellipsoid,
    filled,
    noise,
    organ,
)

_EVERYWHERE = (slice(None), slice(None), slice(None))


@dataclass(frozen=True)
class Anatomy:
    """A patient's abdomen on the world grid, centred on the liver from head to foot."""

    layers: tuple[Layer, ...]
    """Organs in the order of painting: a later one covers an earlier one."""
    lobes: dict[str, Layer]
    """``caudate`` and ``right_lobe``: true parts of the liver, not painted."""
    texture: np.ndarray
    """Heterogeneity of the liver on its box, mean 0; its SD is the sign ``texture``."""

    def layer(self, name: str) -> Layer:
        """The layer of one organ or lobe."""
        return self.lobes[name] if name in self.lobes else next(one for one in self.layers if one.organ == name)

    def fraction(self, name: str) -> np.ndarray:
        """Share of each voxel of the world grid that an organ or lobe fills, float32."""
        layer, whole = self.layer(name), np.zeros(SHAPE, np.float32)
        whole[layer.box] = layer.fraction
        return whole

    def paint(self, values: dict[str, float | np.ndarray]) -> np.ndarray:
        """The world grid with every layer in the value of its tissue (a number, or an array on its box), float32."""
        image = np.zeros(SHAPE, np.float32)
        for layer in self.layers:
            part = image[layer.box]
            part += layer.fraction * (np.asarray(values[layer.tissue], np.float32) - part)
        return image


@dataclass(frozen=True)
class Body:
    """Size of the trunk, in mm."""

    half_width: float
    half_depth: float
    fat: float
    wall: float = 7.0

    @property
    def cavity(self) -> tuple[float, float]:
        """Half width and half depth inside the muscular wall."""
        return self.half_width - self.fat - self.wall, self.half_depth - self.fat - self.wall


def build(patient: dict[str, float], rng: np.random.Generator) -> Anatomy:
    """Build one patient's abdomen.

    Args:
        patient: ``bmi``, ``liver_ml``, ``spleen_ml``, ``nodularity`` (mm), ``texture``, ``caudate_ratio``.
        rng: the patient's own generator; the same state gives the same abdomen.
    """
    body = _body(patient["bmi"], rng)
    points = displaced_points(rng)
    skin = ellipsoid(points, (0, 0, 0), (body.half_width, body.half_depth, np.inf))
    trunk, cavity = _trunk(skin, body)
    viscera, spine = _viscera(points, body, rng), _spine(points, body)
    room = cavity.fraction * (1 - covered(spine))
    liver, parts, lobes = build_liver(
        points, body.cavity[0], skin + np.float32(body.fat + body.wall), room, patient, rng
    )
    spleen = build_spleen(points, body.cavity, without(room, liver), patient["spleen_ml"])
    texture = np.float32(max(patient["texture"], 0.1)) * noise(liver.fraction.shape, 4.0, rng)
    return Anatomy((*trunk, cavity, *viscera, *spine, liver, *parts, spleen), lobes, texture)


def _body(bmi: float, rng: np.random.Generator) -> Body:
    """Trunk of a person of that BMI."""
    half_width = float(np.clip(152 + 3.0 * (bmi - 29.5) + 4 * rng.standard_normal(), 128, 188))
    half_depth = float(np.clip((0.71 + 0.02 * rng.standard_normal()) * half_width, 92, 150))
    return Body(half_width, half_depth, float(np.clip(6 + 0.8 * (bmi - 20), 6, 30)))


def _trunk(skin: np.ndarray, body: Body) -> tuple[tuple[Layer, ...], Layer]:
    """Skin with fat, then the muscular wall; and the cavity with visceral fat, from the distance to the skin."""
    depths = (("skin", "fat", 0.0), ("wall", "muscle", body.fat), ("cavity", "fat", body.fat + body.wall))
    skin_layer, wall, cavity = (Layer(o, t, _EVERYWHERE, filled(skin + np.float32(d))) for o, t, d in depths)
    return (skin_layer, wall), cavity


def _viscera(points: Points, body: Body, rng: np.random.Generator) -> list[Layer]:
    """Lungs above the diaphragm, kidneys, stomach."""
    wide, deep = body.cavity
    low, size, meal = -58 + 6 * rng.standard_normal(), *np.exp((0.06, 0.2) * rng.standard_normal(2))
    box = box_around((0, 0, 80), (wide, deep, 80))
    x, y, z = at(points, box)
    dome = 80 - np.float32(50 / wide**2) * x**2 - np.float32(50 / deep**2) * y**2
    lungs = filled(ellipsoid((x, y, z), (0, 0, 0), (wide, deep, np.inf))) * filled(dome - z)
    return [
        Layer("lungs", "lung", box, lungs),
        organ(points, "kidney_right", "kidney", (58, -0.42 * deep, low), (26 * size, 26 * size, 50 * size)),
        organ(points, "kidney_left", "kidney", (-58, -0.42 * deep, low), (26 * size, 26 * size, 50 * size)),
        organ(points, "stomach", "fluid", (-42, 0.4 * deep, 22), (38 * meal, 25 * meal, 32 * meal)),
    ]


def _spine(points: Points, body: Body) -> list[Layer]:
    """Paraspinal muscle, vertebrae, spinal canal, aorta and vena cava."""
    back = -(body.half_depth - body.fat)
    column = back + 45
    shapes = (
        ("paraspinal_right", "muscle", (32, back + 24, 0), (27, 19, np.inf)),
        ("paraspinal_left", "muscle", (-32, back + 24, 0), (27, 19, np.inf)),
        ("process", "bone", (0, back + 18, 0), (5, 14, np.inf)),
        ("vertebrae", "bone", (0, column, 0), (22, 17, np.inf)),
        ("canal", "fluid", (0, column - 21, 0), (9, 7, np.inf)),
        ("aorta", "blood", (-13, column + 28, 0), (10, 10, np.inf)),
        ("vena_cava", "blood", (22, column + 26, 0), (12, 9, np.inf)),
    )
    return [organ(points, *shape) for shape in shapes]
