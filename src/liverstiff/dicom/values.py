"""Physical values of DICOM images, frame by frame: every frame's own scale, stated unit and place in the patient.

No converter is right for the quantitative maps of all vendors (a slope per slice, a real-world mapping that differs
from the rescale slope, slices at uneven distances), so the maps are read here.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.pixels import pixel_array
from pydicom.uid import JPEGExtended12Bit

from liverstiff.dicom.files import SourceFile
from liverstiff.dicom.header import SECONDARY_CAPTURE
from liverstiff.dicom.reading import Damaged, Implausible, NotAMap, items_of, number_of, numbers_of, reading, text_of
from liverstiff.images import LPS_RAS

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
    "mm2/s": "mm2/s",
    "um2/s": "um2/s",
    "10*-6.mm2/s": "um2/s",
    "10-6mm2/s": "um2/s",
    "1e-6mm2/s": "um2/s",
}
"""What a UCUM code or a RescaleType stands for; anything else (``US``, ``normalized``) states nothing."""

TILED = ("MOSAIC", "VFRAME")
"""Image types of a classic picture of all slices, whose position is that of no single one."""

UNIT_LENGTH = 0.01
"""By how much direction cosines may miss unit length and right angles."""


@dataclass(frozen=True)
class MapSlice:
    """One slice of a quantitative map."""

    values: np.ndarray
    """(row, column), float64; NaN where the header maps no value."""
    affine: np.ndarray
    """4x4, from (row, column, 0) to RAS+ millimetres; the third column is the slice's normal."""
    unit: str = ""
    """The stated unit: ``Pa``, ``kPa``, ``fraction``, ``percent``, ``per mille``, ``mm2/s``, or nothing."""

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


class Image:
    """An opened DICOM image, classic or multi-frame; frames are counted from 0."""

    def __init__(self, dataset: Dataset) -> None:
        """Raises: NotAMap for a colour image or a secondary capture, Damaged where it does not say what it is."""
        self.dataset = dataset
        grey = text_of(dataset, "PhotometricInterpretation") in ("MONOCHROME1", "MONOCHROME2")
        if number_of(dataset, "SamplesPerPixel") != 1 or not grey:
            raise NotAMap("a colour image")
        if text_of(dataset, "SOPClassUID").startswith(SECONDARY_CAPTURE):
            raise NotAMap("a secondary capture")

    @cached_property
    def stored(self) -> np.ndarray:
        """Stored values (frame, row, column)."""
        if self._wide_jpeg:
            return _decoded_by_gdcm(self.dataset)
        with reading():
            pixels = pixel_array(self.dataset)
        return pixels if pixels.ndim == 3 else pixels[None]

    def plane(self, index: int) -> np.ndarray:
        """Stored values (row, column) of one frame."""
        if index >= len(self.stored):
            raise Damaged("it holds fewer frames than its header lists")
        return self.stored[index]

    def frame(self, index: int) -> np.ndarray:
        """As :meth:`plane`, without decoding the other frames where that can be."""
        if self._wide_jpeg:
            return self.plane(index)
        with reading():
            return pixel_array(self.dataset, index=index)

    @cached_property
    def _wide_jpeg(self) -> bool:
        """12-bit JPEG, which pydicom leaves to nobody."""
        with reading():
            syntax = self.dataset.file_meta.TransferSyntaxUID
        return syntax == JPEGExtended12Bit and number_of(self.dataset, "BitsStored") > 8

    @property
    def multi_frame(self) -> bool:
        """It states position and scale of every frame."""
        return "PerFrameFunctionalGroupsSequence" in self.dataset

    def require_places(self) -> None:
        """Raises: NotAMap for many frames of which none has a position of its own."""
        if len(self.stored) > 1 and not self.multi_frame:
            raise NotAMap("many frames without a position each")

    def rescaled(self, index: int) -> np.ndarray:
        """Values (row, column) of a frame by its own rescale slope and intercept, float64."""
        slope, intercept, _ = self._rescale(index)
        return self.plane(index) * slope + intercept

    def values(self, index: int) -> MapSlice:
        """Physical values of a frame: the real-world value mapping, else the rescale slope, else the stored value."""
        mapping = self._mapping(index)
        if mapping is not None:
            values, unit = _mapped(self.plane(index).astype(np.float64), mapping), _mapped_unit(mapping)
        else:
            slope, intercept, unit = self._rescale(index)
            values = self.plane(index) * slope + intercept
        return MapSlice(values, self.affine(index), unit or unit_in_text(self._text))

    def affine(self, index: int) -> np.ndarray:
        """(row, column, 0) to RAS+ mm, see :func:`plane_affine`.

        Raises:
            CannotRead: when a part of it is missing or impossible, or the picture is tiled of slices.
        """
        kinds = text_of(self.dataset, "ImageType")
        if not self.multi_frame and any(kind in kinds for kind in TILED):
            raise NotAMap("slices tiled into one picture")
        return plane_affine(
            numbers_of(self.group(index, "PlanePositionSequence"), "ImagePositionPatient", 3),
            numbers_of(self.group(index, "PlaneOrientationSequence"), "ImageOrientationPatient", 6),
            numbers_of(self.group(index, "PixelMeasuresSequence"), "PixelSpacing", 2),
        )

    def group(self, index: int, sequence: str) -> Dataset:
        """A frame's attributes of one functional group; in a classic object they are at top level."""
        return next(iter(self._items(index, sequence)), self.dataset)

    def _items(self, index: int, sequence: str) -> list[Dataset]:
        """Items of a sequence for one frame: from its own functional group, else the shared one, else top level."""
        if self.multi_frame and index >= len(self._groups):
            raise Damaged("it holds more frames than its header lists")
        places = [self._groups[index]] if self.multi_frame else []
        places += [*items_of(self.dataset, "SharedFunctionalGroupsSequence"), self.dataset]
        return next((items for place in places if (items := items_of(place, sequence))), [])

    @cached_property
    def _groups(self) -> list[Dataset]:
        """Functional groups of each frame."""
        return items_of(self.dataset, "PerFrameFunctionalGroupsSequence")

    def _rescale(self, index: int) -> tuple[float, float, str]:
        """Slope, intercept and stated unit."""
        rescale = self.group(index, "PixelValueTransformationSequence")
        slope, intercept = number_of(rescale, "RescaleSlope", 1.0), number_of(rescale, "RescaleIntercept", 0.0)
        return *_usable(slope, intercept), unit_of(text_of(rescale, "RescaleType"))

    def _mapping(self, index: int) -> Dataset | None:
        """A frame's real-world value mapping: of several, the first with a unit that is known here."""
        items = self._items(index, "RealWorldValueMappingSequence")
        return next(iter([item for item in items if _mapped_unit(item)] or items), None)

    @property
    def _text(self) -> str:
        keywords = ("SeriesDescription", "ProtocolName", "ImageComments")
        return " ".join(text_of(self.dataset, keyword) for keyword in keywords)


def open_image(file: SourceFile) -> Image:
    """A DICOM file with its pixels still to be decoded.

    Raises:
        CannotRead: when it cannot be read; NotAMap for a colour image or a secondary capture.
    """
    with reading(), file.open() as opened:
        dataset = dcmread(opened)
    return Image(dataset)


def read_values(file: SourceFile, wanted: Collection[int] = ()) -> Iterator[MapSlice]:
    """Slices of a file that holds a quantitative map.

    Args:
        file: a classic or enhanced object, also packed.
        wanted: numbers of its frames from 1; none, or 0, means all.

    Raises:
        CannotRead: when it cannot be read, or holds no values with a place in the patient.
    """
    image = open_image(file)
    image.require_places()
    chosen = set(wanted) - {0}
    for index in range(len(image.stored)):
        if not chosen or index + 1 in chosen:
            yield image.values(index)


def plane_affine(position: Any, cosines: Any, spacing: Any) -> np.ndarray:
    """4x4, (row, column, 0) to RAS+ mm: DICOM PS3.3 C.7.6.2.1.1, with x and y turned from LPS to RAS.

    Args:
        position: (3,) LPS mm of the first pixel's centre.
        cosines: (6,) LPS directions in which a row and a column run.
        spacing: (2,) mm between rows and between columns.

    Raises:
        Implausible: when the spacing is not positive, or the directions span no plane.
    """
    axes = np.reshape(np.array(cosines, np.float64), (2, 3))
    if not (np.isfinite(position).all() and np.isfinite(axes).all() and np.isfinite(spacing).all()):
        raise Implausible("its place in the patient is not finite")
    if min(spacing) <= 0:
        raise Implausible("its pixel spacing is not positive")
    if not np.allclose(axes @ axes.T, np.eye(2), rtol=0, atol=UNIT_LENGTH):
        raise Implausible("its rows and columns do not run at right angles")
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = axes[1] * spacing[0], axes[0] * spacing[1]
    affine[:3, 2], affine[:3, 3] = np.cross(axes[0], axes[1]), position
    affine[:3] *= LPS_RAS[:, None]
    return affine


def _decoded_by_gdcm(dataset: Dataset) -> np.ndarray:
    """Stored values (frame, row, column) of a file that only GDCM itself can decode."""
    with reading():
        content = _gdcm_pixels(dataset)
    rows, columns = int(number_of(dataset, "Rows")), int(number_of(dataset, "Columns"))
    if not content or len(content) % (2 * rows * columns):
        raise Damaged("its pixels cannot be decoded")
    return np.frombuffer(content, "<u2").reshape(-1, rows, columns)


def _gdcm_pixels(dataset: Dataset) -> bytes:
    import gdcm

    reader = gdcm.ImageReader()
    with tempfile.NamedTemporaryFile(prefix="liverstiff-", suffix=".dcm") as file:
        dataset.save_as(file.name)
        reader.SetFileName(file.name)
        if not reader.Read():
            raise Damaged("its pixels cannot be decoded")
        return reader.GetImage().GetBuffer().encode("utf-8", "surrogateescape")


def _usable(slope: float, intercept: float) -> tuple[float, float]:
    """A scale as it is, unless it makes one number of all pixels."""
    if slope == 0 or not np.isfinite([slope, intercept]).all():
        raise Implausible("its scale has a slope of zero, or is not finite")
    return slope, intercept


def _mapped(stored: np.ndarray, mapping: Dataset) -> np.ndarray:
    """Stored values through a real-world mapping; what it does not map becomes NaN."""
    first = number_of(mapping, "RealWorldValueFirstValueMapped")
    inside = (stored >= first) & (stored <= number_of(mapping, "RealWorldValueLastValueMapped"))
    if "RealWorldValueLUTData" in mapping:
        table = numbers_of(mapping, "RealWorldValueLUTData")
        values = table[np.clip(stored - first, 0, len(table) - 1).astype(int)]
    else:
        slope, intercept = (number_of(mapping, f"RealWorldValue{part}") for part in ("Slope", "Intercept"))
        slope, intercept = _usable(slope, intercept)
        values = stored * slope + intercept
    return np.where(inside, values, np.nan)


def _mapped_unit(mapping: Dataset) -> str:
    codes = items_of(mapping, "MeasurementUnitsCodeSequence")
    if not codes:
        raise Damaged("a real-world mapping without a unit")
    return unit_of(text_of(codes[0], "CodeValue"))


def unit_of(text: Any) -> str:
    """The unit that a UCUM code or a rescale type states; empty for none."""
    return UNITS.get(re.sub(r"\s+(?=mm2)", "", str(text).strip().lower()), "")


def unit_in_text(text: str) -> str:
    """``kPa`` or ``Pa`` as a word of a series text; ``PA`` is a direction of phase encoding, not a unit."""
    found = set(re.findall(r"(?<![A-Za-z])(k[Pp][Aa]|KPA|Pa)(?![A-Za-z])", text))
    units = {"Pa" if word == "Pa" else "kPa" for word in found}
    return units.pop() if len(units) == 1 else ""
