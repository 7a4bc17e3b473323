"""Physical values of DICOM images, frame by frame: every frame's own scale, stated unit and place in the patient.

No converter is right for the quantitative maps of all vendors (a slope per slice, a real-world mapping that differs
from the rescale slope, slices at uneven distances), so the maps are read here.
"""

from __future__ import annotations

import re
import tempfile
import warnings
import zipfile
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError
from pydicom.pixels import pixel_array
from pydicom.uid import JPEGExtended12Bit

from liverstiff.dicom.files import SourceFile
from liverstiff.dicom.header import SECONDARY_CAPTURE

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

READ_ERRORS = (
    *(OSError, EOFError, InvalidDicomError, AttributeError, ValueError, KeyError, IndexError, TypeError),
    *(RuntimeError, NotImplementedError, zlib.error, zipfile.BadZipFile),
)
"""What pydicom and its decoders raise for a damaged file."""

_LPS_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


class NotAMap(ValueError):
    """A file that is readable and yet holds no values with a place in the patient."""


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
        """Raises: NotAMap for a colour image or a secondary capture."""
        self.dataset = dataset
        if dataset.SamplesPerPixel != 1 or dataset.PhotometricInterpretation not in ("MONOCHROME1", "MONOCHROME2"):
            raise NotAMap("a colour image")
        if str(dataset.SOPClassUID).startswith(SECONDARY_CAPTURE):
            raise NotAMap("a secondary capture")

    @cached_property
    def stored(self) -> np.ndarray:
        """Stored values (frame, row, column)."""
        if self._wide_jpeg:
            return _decoded_by_gdcm(self.dataset)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they may quote the header
            pixels = pixel_array(self.dataset)
        return pixels if pixels.ndim == 3 else pixels[None]

    def frame(self, index: int) -> np.ndarray:
        """Stored values (row, column) of one frame, without decoding the others where that can be."""
        return self.stored[index] if self._wide_jpeg else pixel_array(self.dataset, index=index)

    @property
    def _wide_jpeg(self) -> bool:
        """12-bit JPEG, which pydicom leaves to nobody."""
        return self.dataset.file_meta.TransferSyntaxUID == JPEGExtended12Bit and self.dataset.BitsStored > 8

    @property
    def multi_frame(self) -> bool:
        """It states position and scale of every frame."""
        return "PerFrameFunctionalGroupsSequence" in self.dataset

    def rescaled(self, index: int) -> np.ndarray:
        """Values (row, column) of a frame by its own rescale slope and intercept, float64."""
        slope, intercept, _ = self._rescale(index)
        return self.stored[index] * slope + intercept

    def values(self, index: int) -> MapSlice:
        """Physical values of a frame: the real-world value mapping, else the rescale slope, else the stored value."""
        mapping = self._mapping(index)
        if mapping is not None:
            values, unit = _mapped(self.stored[index].astype(np.float64), mapping), _mapped_unit(mapping)
        else:
            slope, intercept, unit = self._rescale(index)
            values = self.stored[index] * slope + intercept
        return MapSlice(values, self.affine(index), unit or unit_in_text(self._text))

    def affine(self, index: int) -> np.ndarray:
        """(row, column, 0) to RAS+ mm: DICOM PS3.3 C.7.6.2.1.1, with x and y turned from LPS to RAS."""
        position = np.array(self.group(index, "PlanePositionSequence").ImagePositionPatient, float)
        cosines = np.array(self.group(index, "PlaneOrientationSequence").ImageOrientationPatient, float)
        between_rows, between_columns = map(float, self.group(index, "PixelMeasuresSequence").PixelSpacing)
        affine = np.eye(4)
        affine[:3, 0] = cosines[3:] * between_rows
        affine[:3, 1] = cosines[:3] * between_columns
        affine[:3, 2] = np.cross(cosines[:3], cosines[3:])
        affine[:3, 3] = position
        return _LPS_RAS @ affine

    def group(self, index: int, sequence: str) -> Dataset:
        """A frame's attributes of one functional group; in a classic object they are at top level."""
        return next(iter(self._items(index, sequence)), self.dataset)

    def _items(self, index: int, sequence: str) -> list[Dataset]:
        """Items of a sequence for one frame: from its own functional group, else the shared one, else top level."""
        data = self.dataset
        places = [data.PerFrameFunctionalGroupsSequence[index]] if self.multi_frame else []
        places += [*data.get("SharedFunctionalGroupsSequence", []), data]
        return next((list(place[sequence]) for place in places if place.get(sequence)), [])

    def _rescale(self, index: int) -> tuple[float, float, str]:
        """Slope, intercept and stated unit."""
        rescale = self.group(index, "PixelValueTransformationSequence")
        slope, intercept = rescale.get("RescaleSlope"), rescale.get("RescaleIntercept")
        return (
            1.0 if slope is None else float(slope),
            0.0 if intercept is None else float(intercept),
            unit_of(rescale.get("RescaleType", "")),
        )

    def _mapping(self, index: int) -> Dataset | None:
        """A frame's real-world value mapping: of several, the first with a unit that is known here."""
        items = self._items(index, "RealWorldValueMappingSequence")
        return next(iter([item for item in items if _mapped_unit(item)] or items), None)

    @property
    def _text(self) -> str:
        keywords = ("SeriesDescription", "ProtocolName", "ImageComments")
        return " ".join(str(self.dataset.get(keyword, "")) for keyword in keywords)


def open_image(file: SourceFile) -> Image:
    """A DICOM file with its pixels still to be decoded.

    Raises:
        NotAMap: for a colour image or a secondary capture.
        Exception: one of :data:`READ_ERRORS` when it cannot be read.
    """
    with file.open() as opened, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Image(dcmread(opened))


def read_values(file: SourceFile, wanted: Collection[int] = ()) -> Iterator[MapSlice]:
    """Slices of a file that holds a quantitative map.

    Args:
        file: a classic or enhanced object, also packed.
        wanted: numbers of its frames from 1; none, or 0, means all.

    Raises:
        NotAMap: when it holds no values with a place in the patient.
        Exception: one of :data:`READ_ERRORS` when it cannot be read.
    """
    image = open_image(file)
    if len(image.stored) > 1 and not image.multi_frame:
        raise NotAMap("many frames without a position each")
    chosen = set(wanted) - {0}
    for index in range(len(image.stored)):
        if not chosen or index + 1 in chosen:
            yield image.values(index)


def _decoded_by_gdcm(dataset: Dataset) -> np.ndarray:
    """Stored values (frame, row, column) of a file that only GDCM itself can decode."""
    import gdcm

    reader = gdcm.ImageReader()
    with tempfile.NamedTemporaryFile(prefix="liverstiff-", suffix=".dcm") as file:
        dataset.save_as(file.name)
        reader.SetFileName(file.name)
        if not reader.Read():
            raise ValueError("its pixels cannot be decoded")
        content = reader.GetImage().GetBuffer().encode("utf-8", "surrogateescape")
    return np.frombuffer(content, "<u2").reshape(-1, dataset.Rows, dataset.Columns)


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


def _mapped_unit(mapping: Dataset) -> str:
    return unit_of(mapping.MeasurementUnitsCodeSequence[0].CodeValue)


def unit_of(text: Any) -> str:
    """The unit that a UCUM code or a rescale type states; empty for none."""
    return UNITS.get(re.sub(r"\s+(?=mm2)", "", str(text).strip().lower()), "")


def unit_in_text(text: str) -> str:
    """``kPa`` or ``Pa`` as a word of a series text; ``PA`` is a direction of phase encoding, not a unit."""
    found = set(re.findall(r"(?<![A-Za-z])(k[Pp][Aa]|KPA|Pa)(?![A-Za-z])", text))
    units = {"Pa" if word == "Pa" else "kPa" for word in found}
    return units.pop() if len(units) == 1 else ""
