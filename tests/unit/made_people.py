"""Abdomens of simple shapes, each person of its own size and build, with labels: for the tests of segmentation."""

from pathlib import Path

import numpy as np

from liverstiff import images

AFFINE = np.array([[6.0, 0, 0, -147], [0, 6, 0, -111], [0, 0, 8, -92], [0, 0, 0, 1]])
SHAPE = (50, 38, 24)


def person(seed: int, *, mirrored: bool = False, up: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """A T1w-like abdomen of a person of its own size and build, and its labels."""
    rng = np.random.default_rng(seed)
    x, y, z = np.moveaxis(images.grid(AFFINE, SHAPE), -1, 0)
    x = -x if mirrored else x
    z = z - up
    width, depth = rng.uniform(118, 132), rng.uniform(84, 96)
    shift = rng.uniform(-6, 6, 3)
    size = rng.uniform(0.92, 1.08, 3)

    def ball(cx: float, cy: float, cz: float, rx: float, ry: float, rz: float) -> np.ndarray:
        return (
            ((x - cx - shift[0]) / (rx * size[0])) ** 2
            + ((y - cy - shift[1]) / (ry * size[1])) ** 2
            + ((z - cz - shift[2]) / (rz * size[2])) ** 2
        ) < 1

    image = np.where((x / width) ** 2 + (y / depth) ** 2 < 1, 60.0, 0.0)
    liver = ball(55, 5, 20, 55, 58, 52) | ball(10, 35, 30, 50, 25, 25)
    spleen = ball(-80, -25, 20, 28, 32, 36) & ~liver
    image[liver], image[spleen] = 120, 80
    for side in (-50, 50):
        image[ball(side, -50, -50, 20, 20, 30)] = 95
    image[ball(0, -62, 0, 18, 18, 500)] = 25
    return image + np.abs(rng.normal(0, 3, SHAPE)), np.where(liver, 1, np.where(spleen, 2, 0)).astype(np.uint8)


def atlas_folder(folder: Path, numbers: tuple[int, ...] = (1, 2, 3)) -> Path:
    """A folder of labelled volumes."""
    for number in numbers:
        image, label = person(number)
        images.save(folder / f"image_{number}.nii.gz", image.astype(np.float32), AFFINE)
        images.save(folder / f"label_{number}.nii.gz", label, AFFINE)
    return folder
