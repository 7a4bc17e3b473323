"""The picture by which a person checks where the stiffness was read."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image
from scipy import ndimage

from liverstiff.dicom.values import MapSlice
from liverstiff.elastography.maps import on_slice
from liverstiff.elastography.reading import Reading
from liverstiff.elastography.region import KPA_PER_UNIT, SliceRegion

LIVER_COLOUR, REGION_COLOUR = (255, 170, 0), (255, 255, 255)
KPA_SHOWN = 8.0
"""Stiffness at the red end of the colours, the usual scale of a printed elastogram."""

HEIGHT_PX, MOST_SLICES = 150, 8
MARGIN_MM = 15.0
"""Around the liver."""


def region_png(reading: Reading) -> bytes:
    """A column per slice: above the magnitude, else the stiffness in grey, below the stiffness from blue to red (0 to
    8 kPa), each with the outline of the liver (orange) and of the region (white), the patient's right on the left.
    """
    regions = reading.regions[:: -(-len(reading.regions) // MOST_SLICES)]
    columns = [np.concatenate(_panels(region, reading), axis=0) for region in regions]
    out = io.BytesIO()
    Image.fromarray(np.concatenate(columns, axis=1)).quantize(64).save(out, "PNG", optimize=True)
    return out.getvalue()


def _panels(region: SliceRegion, reading: Reading) -> list[np.ndarray]:
    """The two pictures of one slice, RGB (row, column, 3)."""
    kpa = np.nan_to_num(region.part.values * KPA_PER_UNIT[reading.unit])
    grey = np.nan_to_num(on_slice(reading.magnitude, region.part)) if reading.magnitude else kpa
    share = grey / max(float(np.percentile(grey[region.liver], 99)) * 1.3, 1e-6) if region.liver.any() else grey
    box = _box(region)
    pictures = (np.repeat(np.clip(share, 0, 1)[..., None], 3, axis=2), _colours(np.clip(kpa / KPA_SHOWN, 0, 1)))
    return [_outlined(upright(picture[box], region.part), region, box) for picture in pictures]


def _colours(share: np.ndarray) -> np.ndarray:
    """From blue over green to red, RGB from 0 to 1."""
    return np.stack([share, 1 - np.abs(2 * share - 1), 1 - share], axis=-1)


def _box(region: SliceRegion) -> tuple[slice, slice]:
    """Rows and columns around the liver."""
    found = []
    for axis, size in enumerate(region.part.pixel_mm):
        present = np.flatnonzero(region.liver.any(axis=1 - axis))
        margin = int(np.ceil(MARGIN_MM / size))
        found.append(slice(max(int(present[0]) - margin, 0), int(present[-1]) + margin + 1))
    return found[0], found[1]


def upright(array: np.ndarray, part: MapSlice) -> np.ndarray:
    """A slice (row, column, ...) turned so that columns run to the patient's left, rows to the back or the feet."""
    rows, columns = part.affine[:3, 0], part.affine[:3, 1]
    if _lies(part):
        array, rows, columns = np.swapaxes(array, 0, 1), columns, rows
    array = array[::-1] if rows[np.argmax(np.abs(rows))] > 0 else array
    return array[:, ::-1] if columns[0] > 0 else array


def _lies(part: MapSlice) -> bool:
    """True for a slice whose rows, not columns, run from side to side."""
    return abs(part.affine[0, 0]) > abs(part.affine[0, 1])


def _outlined(picture: np.ndarray, region: SliceRegion, box: tuple[slice, slice]) -> np.ndarray:
    """A picture (row, column, RGB from 0 to 1) at the height of a panel, with the outlines."""
    row_mm, column_mm = reversed(region.part.pixel_mm) if _lies(region.part) else region.part.pixel_mm
    shape = (max(round(HEIGHT_PX * picture.shape[1] * column_mm / (picture.shape[0] * row_mm)), 1), HEIGHT_PX)

    def enlarged(array: np.ndarray, how: Image.Resampling) -> np.ndarray:
        image = Image.fromarray(np.ascontiguousarray((255 * array).astype(np.uint8)))
        return np.asarray(image.resize(shape, how))

    shown = enlarged(picture, Image.Resampling.NEAREST).copy()
    for pixels, colour in ((region.liver, LIVER_COLOUR), (region.counts, REGION_COLOUR)):
        area = enlarged(upright(pixels[box], region.part).astype(float), Image.Resampling.NEAREST) > 127
        shown[area & ~ndimage.binary_erosion(area)] = colour
    return shown
