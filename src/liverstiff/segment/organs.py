"""From probabilities to the mask of an exam, and what makes a mask impossible."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from liverstiff import images
from liverstiff.config import SegmentConfig
from liverstiff.records import LIVER, SPLEEN

EXTENT_MM = (60.0, 350.0)
"""Shortest and longest side of a liver's bounding box."""

MARGIN_MM = 20.0
"""Kept around the body."""

FILLED = (0.12, 0.75)
"""Share of its bounding box that a liver fills: neither a thread nor a brick."""


@dataclass(frozen=True)
class Opinion:
    """What one method says about an image."""

    organs: np.ndarray
    """Probability float32 (organ, x, y, z) of liver and spleen."""
    quality: float
    """Predicted Dice of the liver, 0 to 1."""


@dataclass(frozen=True)
class Segmentation:
    """Liver and spleen of one image."""

    mask: np.ndarray
    """uint8 (x, y, z): 1 liver, 2 spleen."""
    liver_ml: float
    """Volume of the liver."""
    spleen_ml: float
    """Volume of the spleen; 0 where none was found."""
    cut_off: float
    """Area of the liver on the outermost slices over that on its largest: how much of it the image may lack."""
    quality: float
    """Predicted Dice of the liver, 0 to 1."""
    method: str = ""
    """The method that made it."""


def segmentation(opinion: Opinion, affine: np.ndarray, method: str = "") -> Segmentation:
    """The mask of an opinion: the more probable organ where it is more probable than not, its largest piece.

    A spleen that lies right of the liver is none.
    """
    liver, spleen = opinion.organs
    mask = np.zeros(liver.shape, np.uint8)
    mask[largest_piece((spleen >= 0.5) & (spleen > liver))] = SPLEEN
    mask[largest_piece((liver >= 0.5) & (liver >= spleen))] = LIVER
    if across(mask == SPLEEN, affine) >= across(mask == LIVER, affine):
        mask[mask == SPLEEN] = 0
    ml = images.voxel_ml(affine)
    return Segmentation(
        mask,
        float((mask == LIVER).sum() * ml),
        float((mask == SPLEEN).sum() * ml),
        cut_off(mask == LIVER),
        opinion.quality,
        method,
    )


def body_box(body: np.ndarray, affine: np.ndarray) -> tuple[slice, slice, slice]:
    """The part of an image around its body mask (x, y, z), with ``MARGIN_MM``: the field of view may be far wider."""
    found = ndimage.find_objects(body.astype(np.uint8))
    if not found:
        return slice(None), slice(None), slice(None)
    margin = np.ceil(MARGIN_MM / np.array(images.spacing(affine))).astype(int)
    x, y, z = (
        slice(max(part.start - m, 0), min(part.stop + m, n))
        for part, m, n in zip(found[0], margin, body.shape, strict=True)
    )
    return x, y, z


def across(mask: np.ndarray, affine: np.ndarray) -> float:
    """Place of a mask's centre along x in mm, to the right; not a number for an empty mask."""
    if not mask.any():
        return float("nan")
    centre = np.array([index.mean() for index in np.nonzero(mask)])
    return float((affine[:3, :3] @ centre + affine[:3, 3])[0])


def largest_piece(mask: np.ndarray) -> np.ndarray:
    """The largest connected piece of a mask (x, y, z), its holes filled."""
    pieces, count = ndimage.label(mask)
    if not count:
        return mask
    sizes = np.bincount(pieces.ravel())[1:]
    return ndimage.binary_fill_holes(pieces == 1 + sizes.argmax())


def cut_off(liver: np.ndarray) -> float:
    """Largest area on a face of the image (x, y, z) over the largest area on a parallel slice, 0 to 1."""
    shares = [0.0]
    for axis in range(3):
        areas = liver.sum(axis=tuple(k for k in range(3) if k != axis))
        if areas.max() > 0:
            shares.append(float(max(areas[0], areas[-1]) / areas.max()))
    return max(shares)


def implausible(found: Segmentation, affine: np.ndarray, settings: SegmentConfig) -> str:
    """What is wrong with a segmentation; empty if nothing is."""
    low, high = settings.liver_ml
    if not low <= found.liver_ml <= high:
        return f"the liver has {found.liver_ml:.0f} ml, expected {low:g} to {high:g} ml"
    liver = found.mask == LIVER
    box = ndimage.find_objects(liver.astype(np.uint8))[0]
    sides = np.array([part.stop - part.start for part in box])
    extent_mm = sides * images.spacing(affine)
    if extent_mm.min() < EXTENT_MM[0] or extent_mm.max() > EXTENT_MM[1]:
        return f"the liver measures {' x '.join(f'{mm:.0f}' for mm in extent_mm)} mm"
    filled = liver.sum() / sides.prod()
    if not FILLED[0] <= filled <= FILLED[1]:
        return f"the liver fills {filled:.0%} of its bounding box"
    if found.cut_off > settings.most_cut_off:
        return f"the image ends inside the liver: {found.cut_off:.0%} of its largest area lies on an outermost slice"
    if across(liver, affine) <= across(np.ones_like(liver), affine):
        return "the liver lies on the left"
    return ""
