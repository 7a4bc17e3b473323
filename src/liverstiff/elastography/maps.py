"""Reading an elastogram: every frame on its own, its values, its stated unit, its place in the patient.

No converter is right for the quantitative maps of all vendors (a slope per slice, a real-world mapping that differs
from the rescale slope, slices at uneven distances), so the maps are read frame by frame.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError

from liverstiff.errors import ExamExcluded
from liverstiff.records import Reason

UNITS = {
    "kpa": "kPa",
    "kilopascal": "kPa",
    "pa": "Pa",
    "pascal": "Pa",
    "n/m2": "Pa",
    "1": "fraction",
    "%": "percent",
    "percent": "percent",
    "[ppth]": "per mille",
    "per mille": "per mille",
    "permille": "per mille",
    "promille": "per mille",
}
"""What a UCUM code or a RescaleType stands for; anything else (``US``, ``normalized``) states nothing."""

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
THICKNESS_MM = 2.0
"""A slice answers for points up to 1 mm from its plane."""


@dataclass(frozen=True)
class MapSlice:
    """One slice of a quantitative map."""

    values: np.ndarray
    """(row, column), float64; NaN where the header maps no value."""
    affine: np.ndarray
    """4x4, from (row, column, 0) to RAS+ millimetres; the third column is the slice's normal."""
    unit: str = ""
    """The stated unit: ``Pa``, ``kPa``, ``fraction``, ``percent``, ``per mille``, or nothing."""

    @property
    def pixel_mm(self) -> tuple[float, float]:
        """Distance in mm between rows and between columns."""
        row, column = np.linalg.norm(self.affine[:3, :2], axis=0)
        return float(row), float(column)

    @property
    def points(self) -> np.ndarray:
        """RAS+ millimetres of every pixel centre, shape (row, column, 3)."""
        row, column = np.indices(self.values.shape)
        return row[..., None] * self.affine[:3, 0] + column[..., None] * self.affine[:3, 1] + self.affine[:3, 3]


def read_map(chosen: Mapping[Path, Collection[int]], name: str) -> list[MapSlice]:
    """The slices of one map, from classic one-slice files or enhanced objects, in the order of the files.

    Args:
        chosen: DICOM files, also packed by gzip, and of each the numbers of its frames from 1; none or 0 means all.
        name: what to call the map in a message; file names never leave the private folder.

    Raises:
        ExamExcluded: ``unreadable_image`` for a file that is no greyscale map with a place in the patient.
    """
    slices: list[MapSlice] = []
    for number, (path, frames) in enumerate(chosen.items(), start=1):
        try:
            slices += _frames(_dataset(path), set(frames) - {0})
        except (OSError, EOFError, InvalidDicomError, AttributeError, ValueError, RuntimeError) as fault:
            what = str(fault) if isinstance(fault, _NotAMap) else type(fault).__name__
            raise ExamExcluded(Reason.UNREADABLE, f"{name}: file {number} cannot be read ({what})") from None
    centres = {tuple(np.round(part.affine[:3, 3], 1)) for part in slices}
    if len(centres) < len(slices):
        raise ExamExcluded(Reason.UNREADABLE, f"{name}: two slices at one position; choose one series")
    return slices


class _NotAMap(ValueError):
    """A file that is readable and yet no quantitative map."""


def _dataset(path: Path) -> Dataset:
    """A DICOM file that may be a map: greyscale, no screen capture."""
    if path.suffix == ".gz":
        with gzip.open(path) as file:
            dataset = dcmread(file)
            dataset.pixel_array  # noqa: B018  decoded while the file is open
    else:
        dataset = dcmread(path)
    if dataset.SamplesPerPixel != 1 or dataset.PhotometricInterpretation not in ("MONOCHROME1", "MONOCHROME2"):
        raise _NotAMap("a colour image")
    if str(dataset.SOPClassUID).startswith(SECONDARY_CAPTURE):
        raise _NotAMap("a secondary capture")
    return dataset


def _frames(dataset: Dataset, wanted: set[int]) -> Iterator[MapSlice]:
    """The wanted frames of a classic or enhanced object; all when none is named."""
    pixels = dataset.pixel_array.astype(np.float64)
    if pixels.ndim == 3 and "PerFrameFunctionalGroupsSequence" not in dataset:
        raise _NotAMap("many frames without a position each")
    text = " ".join(str(dataset.get(key, "")) for key in ("SeriesDescription", "ProtocolName", "ImageComments"))
    for index, stored in enumerate(pixels if pixels.ndim == 3 else pixels[None]):
        if wanted and index + 1 not in wanted:
            continue
        values, unit = _real_values(stored, dataset, index)
        yield MapSlice(values, _affine(dataset, index), unit or unit_in_text(text))


def _items(dataset: Dataset, index: int, sequence: str) -> list[Dataset]:
    """Items of a sequence for one frame: from its own functional group, else the shared one, else top level."""
    places = [dataset.PerFrameFunctionalGroupsSequence[index]] if "PerFrameFunctionalGroupsSequence" in dataset else []
    places += [*dataset.get("SharedFunctionalGroupsSequence", []), dataset]
    return next((list(place[sequence]) for place in places if place.get(sequence)), [])


def _macro(dataset: Dataset, index: int, sequence: str) -> Dataset:
    """A frame's attributes of one functional group; in a classic object they are at top level."""
    return next(iter(_items(dataset, index, sequence)), dataset)


def _affine(dataset: Dataset, index: int) -> np.ndarray:
    """(row, column, 0) to RAS+ mm: DICOM PS3.3 C.7.6.2.1.1, with x and y turned from LPS to RAS."""
    position = np.array(_macro(dataset, index, "PlanePositionSequence").ImagePositionPatient, float)
    cosines = np.array(_macro(dataset, index, "PlaneOrientationSequence").ImageOrientationPatient, float)
    between_rows, between_columns = map(float, _macro(dataset, index, "PixelMeasuresSequence").PixelSpacing)
    along_row, along_column = cosines[:3], cosines[3:]
    affine = np.eye(4)
    affine[:3, 0] = along_column * between_rows
    affine[:3, 1] = along_row * between_columns
    affine[:3, 2] = np.cross(along_row, along_column)
    affine[:3, 3] = position
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine


def _real_values(stored: np.ndarray, dataset: Dataset, index: int) -> tuple[np.ndarray, str]:
    """Values and stated unit of one frame.

    Order of trust: the real-world value mapping, then the rescale slope, then the stored value.
    """
    mapping = _mapping(dataset, index)
    if mapping is not None:
        return _mapped(stored, mapping), _unit(mapping.MeasurementUnitsCodeSequence[0].CodeValue)
    rescale = _macro(dataset, index, "PixelValueTransformationSequence")
    slope, intercept = float(rescale.get("RescaleSlope", 1)), float(rescale.get("RescaleIntercept", 0))
    return stored * slope + intercept, _unit(rescale.get("RescaleType", ""))


def _mapping(dataset: Dataset, index: int) -> Dataset | None:
    """A frame's real-world value mapping: of several, the first with a unit that is known here."""
    items = _items(dataset, index, "RealWorldValueMappingSequence")
    known = [item for item in items if _unit(item.MeasurementUnitsCodeSequence[0].CodeValue)]
    return next(iter(known or items), None)


def _mapped(stored: np.ndarray, mapping: Dataset) -> np.ndarray:
    """Stored values through a real-world mapping; what it does not map becomes NaN."""
    first, last = mapping.RealWorldValueFirstValueMapped, mapping.RealWorldValueLastValueMapped
    inside = (stored >= first) & (stored <= last)
    if "RealWorldValueLUTData" in mapping:
        table = np.asarray(mapping.RealWorldValueLUTData, float)
        values = table[np.clip(stored - first, 0, len(table) - 1).astype(int)]
    else:
        values = stored * float(mapping.RealWorldValueSlope) + float(mapping.RealWorldValueIntercept)
    return np.where(inside, values, np.nan)


def _unit(text: str) -> str:
    return UNITS.get(str(text).strip().lower(), "")


def unit_in_text(text: str) -> str:
    """``kPa`` or ``Pa`` as a word of a series text; ``PA`` is a direction of phase encoding, not a unit."""
    found = set(re.findall(r"(?<![A-Za-z])(k[Pp][Aa]|KPA|Pa)(?![A-Za-z])", text))
    units = {"Pa" if word == "Pa" else "kPa" for word in found}
    return units.pop() if len(units) == 1 else ""


def nearest(voxels: np.ndarray, affine: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Value of the nearest voxel at each point.

    Args:
        voxels: (x, y, z).
        affine: 4x4, voxel index to RAS+ mm.
        points: (..., 3), RAS+ mm.

    Returns:
        Shape (...), float64, NaN outside the volume.
    """
    index = np.rint((points - affine[:3, 3]) @ np.linalg.inv(affine[:3, :3]).T).astype(int)
    inside = ((index >= 0) & (index < voxels.shape)).all(axis=-1)
    values = np.full(points.shape[:-1], np.nan)
    values[inside] = voxels[tuple(index[inside].T)]
    return values


def on_slice(others: list[MapSlice], target: MapSlice) -> np.ndarray:
    """Another map's values at the pixels of ``target``; NaN where no slice of it lies in the same plane."""
    normal = target.affine[:3, 2]
    apart = [abs((other.affine[:3, 3] - target.affine[:3, 3]) @ normal) for other in others]
    other = others[int(np.argmin(apart))]
    plate = other.affine.copy()
    plate[:3, 2] *= THICKNESS_MM
    return nearest(other.values[..., None], plate, target.points)
