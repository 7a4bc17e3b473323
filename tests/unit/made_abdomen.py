"""A simple abdomen of ellipsoids on any grid, for the tests of registration."""

from collections.abc import Callable

import numpy as np

from liverstiff import images

AFFINE = np.array([[7.0, 0, 0, -140], [0, 7, 0, -105], [0, 0, 8, -76], [0, 0, 0, 1]])
SHAPE = (41, 31, 20)

T1 = {"body": 60.0, "liver": 120.0, "spleen": 70.0, "kidney": 80.0, "spine": 30.0}
T2 = {"body": 50.0, "liver": 40.0, "spleen": 110.0, "kidney": 140.0, "spine": 80.0}


def abdomen(
    affine: np.ndarray,
    shape: tuple[int, ...],
    tissues: dict[str, float],
    dz: float = 0.0,
    bend: Callable[[np.ndarray], np.ndarray] | None = None,
) -> np.ndarray:
    """An image of the organs; ``dz``: how far up the inside has moved; ``bend``: image points to tissue."""
    points = images.grid(affine, shape)
    x, y, z = np.moveaxis(points if bend is None else bend(points), -1, 0)
    z = z - dz

    def ball(cx: float, cy: float, cz: float, rx: float, ry: float, rz: float) -> np.ndarray:
        return ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 + ((z - cz) / rz) ** 2 < 1

    image = np.where((x / 130) ** 2 + (y / 95) ** 2 < 1, tissues["body"], 0.0)
    image[ball(50, 5, 15, 60, 60, 50)] = tissues["liver"]
    image[ball(-85, -30, 20, 25, 30, 35)] = tissues["spleen"]
    for side in (-50, 50):
        image[ball(side, -50, -45, 20, 20, 30)] = tissues["kidney"]
    image[ball(0, -60, 0, 18, 18, 500)] = tissues["spine"]
    return image + np.random.default_rng(int(abs(dz) + image.max())).normal(0, 2, shape)


def body_mask(affine: np.ndarray = AFFINE, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    """The body on a grid."""
    x, y, _ = np.moveaxis(images.grid(affine, shape), -1, 0)
    return (x / 130) ** 2 + (y / 95) ** 2 < 1


def liver_points() -> np.ndarray:
    """Landmarks inside the liver, RAS+ mm (point, 3)."""
    steps = np.array(np.meshgrid(*[(-0.5, 0.0, 0.5)] * 3)).reshape(3, -1).T
    return np.array([50.0, 5.0, 15.0]) + steps * (60, 60, 50)
