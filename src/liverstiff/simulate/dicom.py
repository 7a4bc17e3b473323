"""DICOM files from arrays: pydicom encodes what a series shares once, and per image only what differs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pydicom.charset import convert_encodings
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element, write_file_meta_info
from pydicom.uid import UID, ExplicitVRLittleEndian

from liverstiff.simulate.signal import Grid

MR_IMAGE = UID("1.2.840.10008.5.1.4.1.1.4")
ENHANCED_MR_IMAGE = UID("1.2.840.10008.5.1.4.1.1.4.1")
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)

Private = tuple[int, str, int, str, Any]
"""Group, creator, last two digits of the element, value representation, value."""


@dataclass(frozen=True)
class Frame:
    """One image of a series."""

    pixels: np.ndarray
    """Stored integers (row, column), uint16."""
    position: tuple[float, float, float]
    """LPS millimetres of the first pixel's centre."""
    attributes: dict[str, Any] = field(default_factory=dict)
    """Standard attributes of this image alone, by keyword."""
    private: tuple[Private, ...] = ()
    """Private elements of this image alone."""


@dataclass(frozen=True)
class Series:
    """A series in the order of its instance numbers."""

    number: int
    frames: list[Frame]
    spacing: tuple[float, float]
    """Millimetres between rows, between columns."""
    attributes: dict[str, Any]
    """Standard attributes of every image, by keyword."""
    private: tuple[Private, ...] = ()
    """Private elements of every image."""
    orientation: tuple[float, ...] = AXIAL
    enhanced: bool = False
    """One multi-frame object instead of a file an image."""


def uid(*parts: Any) -> UID:
    """A UID that follows from its parts alone, always 44 characters long."""
    number = int.from_bytes(hashlib.sha256("/".join(map(str, parts)).encode()).digest()[:16])
    return UID(f"2.25.{10**38 + number % (2 * 10**38)}")


def axial_frames(volume: np.ndarray, grid: Grid) -> list[Frame]:
    """Slices of a volume (x, y, z) on RAS+ axes as DICOM images, from foot to head.

    Columns run to the patient's left and rows to the back, so both array axes are reversed.
    """
    stored = np.ascontiguousarray(volume[::-1, ::-1].transpose(2, 1, 0))
    x, y, z = grid.origin
    last_x = x + grid.spacing[0] * (grid.shape[0] - 1)
    last_y = y + grid.spacing[1] * (grid.shape[1] - 1)
    return [
        Frame(image, (round(-last_x, 4), round(-last_y, 4), round(z + k * grid.spacing[2], 4)))
        for k, image in enumerate(stored)
    ]


def as_stored(volume: np.ndarray, top: int) -> np.ndarray:
    """Values rounded into 0 to ``top``, uint16."""
    return np.clip(np.rint(volume), 0, top).astype("<u2")


def _dataset(attributes: dict[str, Any], private: tuple[Private, ...]) -> Dataset:
    """A dataset from keywords and private elements."""
    dataset = Dataset()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    for group, creator, element, vr, value in private:
        dataset.private_block(group, creator, create=True).add_new(element, vr, value)
    return dataset


def _encode(dataset: Dataset, encodings: list[str]) -> dict[int, bytes]:
    """Every element in explicit little endian, by tag."""
    encoded = {}
    for element in dataset:
        buffer = DicomBytesIO()
        buffer.is_little_endian, buffer.is_implicit_VR = True, False
        write_data_element(buffer, element, encodings)
        encoded[int(element.tag)] = buffer.getvalue()
    return encoded


def _file_head(sop_class: UID, instance: UID) -> bytes:
    """Preamble and file meta information."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = sop_class, instance
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID, meta.ImplementationVersionName = uid("liverstiff"), "LIVERSTIFF_SIM"
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    write_file_meta_info(buffer, meta, enforce_standard=True)
    return bytes(128) + b"DICM" + buffer.getvalue()


def encode_series(study: dict[str, Any], series: Series) -> Iterator[bytes]:
    """The files of a series, in the order of instance numbers.

    Args:
        study: attributes of patient, study and equipment by keyword, with ``StudyInstanceUID`` and
            ``SpecificCharacterSet``.
        series: images and their attributes.
    """
    encodings = convert_encodings(study["SpecificCharacterSet"])
    series_uid = uid(study["StudyInstanceUID"], series.number)
    shared = {**study, **_pixel_attributes(series), **series.attributes}
    shared |= {"SeriesInstanceUID": series_uid, "SeriesNumber": series.number}
    if series.enhanced:
        dataset = _multi_frame(shared, series, series_uid)
        parts = _encode(dataset, encodings)
        yield _file_head(ENHANCED_MR_IMAGE, dataset.SOPInstanceUID) + b"".join(parts[tag] for tag in sorted(parts))
        return
    shared |= {"SOPClassUID": MR_IMAGE, "ImageOrientationPatient": list(series.orientation)}
    shared |= {"PixelSpacing": list(series.spacing)}
    common = _encode(_dataset(shared, series.private), encodings)
    for number, frame in enumerate(series.frames, start=1):
        instance = uid(series_uid, number)
        own = {"SOPInstanceUID": instance, "InstanceNumber": number, "ImagePositionPatient": list(frame.position)}
        own |= {"SliceLocation": frame.position[2], **frame.attributes, "PixelData": frame.pixels.tobytes()}
        parts = common | _encode(_own_dataset(own, frame.private), encodings)
        yield _file_head(MR_IMAGE, instance) + b"".join(parts[tag] for tag in sorted(parts))


def _own_dataset(own: dict[str, Any], private: tuple[Private, ...]) -> Dataset:
    """What one image has alone; pixels are 16-bit words."""
    dataset = _dataset(own, private)
    dataset["PixelData"].VR = "OW"
    return dataset


def _pixel_attributes(series: Series) -> dict[str, Any]:
    """How the pixels are stored."""
    rows, columns = series.frames[0].pixels.shape
    return {
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": rows,
        "Columns": columns,
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 0,
    }


def _item(**attributes: Any) -> list[Dataset]:
    """A sequence of one item."""
    return [_dataset(attributes, ())]


def _multi_frame(shared: dict[str, Any], series: Series, series_uid: str) -> Dataset:
    """One enhanced MR object; a frame's own diffusion attributes go into its functional groups.

    Timing, orientation and contrast, which classic objects have at the top, move into the functional groups too.
    """
    top = dict(shared)
    te, tr, flip = (float(top.pop(k)) for k in ("EchoTime", "RepetitionTime", "FlipAngle"))
    thickness, gap = (top.pop(k) for k in ("SliceThickness", "SpacingBetweenSlices"))
    for keyword in ("ScanningSequence", "SequenceVariant", "ScanOptions", "EchoTrainLength", "EchoNumbers"):
        top.pop(keyword, None)
    groups = Dataset()
    groups.MRTimingAndRelatedParametersSequence = _item(RepetitionTime=tr, FlipAngle=flip, EchoTrainLength=37)
    instance = uid(series_uid, 1)
    top |= {"SOPClassUID": ENHANCED_MR_IMAGE, "SOPInstanceUID": instance, "InstanceNumber": 1}
    top |= {"NumberOfFrames": len(series.frames), "SharedFunctionalGroupsSequence": [groups]}
    heights = sorted({frame.position[2] for frame in series.frames})
    per_frame = []
    for frame in series.frames:
        place = heights.index(frame.position[2]) + 1
        per_frame.append(_frame_groups(frame, series, place, te, (thickness, gap)))
    top["PerFrameFunctionalGroupsSequence"] = per_frame
    top["DimensionOrganizationSequence"] = _item(DimensionOrganizationUID=uid(series_uid, "dimensions"))
    top["DimensionIndexSequence"] = [_pointer(series_uid, *pair) for pair in _DIMENSIONS]
    top |= {"AcquisitionContextSequence": [], "PixelData": b"".join(f.pixels.tobytes() for f in series.frames)}
    return _own_dataset(top, series.private)


_DIMENSIONS = ((0x00209056, 0x00209111), (0x00209057, 0x00209111), (0x00189087, 0x00189117))


def _pointer(series_uid: str, tag: int, group: int) -> Dataset:
    """One dimension of a multi-frame object: stack, position in it, b-value."""
    return _dataset(
        {
            "DimensionOrganizationUID": uid(series_uid, "dimensions"),
            "DimensionIndexPointer": tag,
            "FunctionalGroupPointer": group,
        },
        (),
    )


def _frame_groups(frame: Frame, series: Series, place: int, te: float, slab: tuple[float, float]) -> Dataset:
    """The functional groups of one frame."""
    own = dict(frame.attributes)
    b_index, b, direction = own["b_index"], own["DiffusionBValue"], own["DiffusionDirectionality"]
    groups = Dataset()
    groups.FrameContentSequence = _item(
        StackID="1", InStackPositionNumber=place, DimensionIndexValues=[1, place, b_index], TemporalPositionIndex=1
    )
    groups.PlanePositionSequence = _item(ImagePositionPatient=list(frame.position))
    groups.PlaneOrientationSequence = _item(ImageOrientationPatient=list(series.orientation))
    groups.PixelMeasuresSequence = _item(
        PixelSpacing=list(series.spacing), SliceThickness=slab[0], SpacingBetweenSlices=slab[1]
    )
    groups.MREchoSequence = _item(EffectiveEchoTime=te)
    groups.MRDiffusionSequence = _item(DiffusionBValue=b, DiffusionDirectionality=direction)
    groups.MRImageFrameTypeSequence = _item(FrameType=["ORIGINAL", "PRIMARY", "DIFFUSION", "NONE"])
    groups.PixelValueTransformationSequence = _item(RescaleIntercept=0, RescaleSlope=1, RescaleType="US")
    return groups
