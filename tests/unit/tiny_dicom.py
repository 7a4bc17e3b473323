"""Tiny DICOM series for tests: each voxel's value tells its volume, slice, row and column."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

ROWS, COLUMNS, GAP_MM = 8, 12, 5.0
CLASSIC, ENHANCED = "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.4.1"
MAKERS = {
    "Siemens": "SIEMENS",
    "GE": "GE MEDICAL SYSTEMS",
    "Philips": "Philips Medical Systems",
    "UIH": "UIH",
    "Canon": "CANON_MEC",
}


def pixels(volume: int, place: int) -> np.ndarray:
    """Stored values (row, column) of one slice."""
    row, column = np.mgrid[:ROWS, :COLUMNS]
    return (1000 * (volume + 1) + 100 * place + 10 * row + column).astype("<u2")


def add_b_value(data: Dataset, vendor: str, b: float) -> None:
    """The b-value as the vendor writes it."""
    if vendor == "GE":
        data.private_block(0x0019, "GEMS_ACQU_01", create=True).add_new(0xE0, "DS", "0")
        data.private_block(0x0043, "GEMS_PARM_01", create=True).add_new(0x39, "IS", [int(b) + 1_000_000_000, 8, 0, 0])
    elif vendor == "Siemens":
        data.private_block(0x0019, "SIEMENS MR HEADER", create=True).add_new(0x0C, "IS", int(b))
    elif vendor == "Philips":
        data.private_block(0x2001, "Philips Imaging DD 001", create=True).add_new(0x03, "FL", b)
    elif vendor == "UIH":
        data.private_block(0x0065, "Image Private Header", create=True).add_new(0x09, "FD", b)
    else:
        data.DiffusionBValue = b


def header(vendor: str, sop_class: str, uid: str, **attributes: Any) -> Dataset:
    """A header without position or pixels."""
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.MediaStorageSOPClassUID, data.file_meta.MediaStorageSOPInstanceUID = sop_class, uid
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    values = {
        "SOPClassUID": sop_class,
        "SOPInstanceUID": uid,
        "Modality": "MR",
        "Manufacturer": MAKERS[vendor],
        "ManufacturerModelName": "Model",
        "MagneticFieldStrength": 1.5,
        "StudyInstanceUID": "1.2.3",
        "SeriesInstanceUID": "1.2.3.1",
        "SeriesNumber": 1,
        "PatientID": "P1",
        "PatientName": "NAME",
        "StudyDate": "20240102",
        "StudyTime": "100000",
        "AcquisitionTime": "100100",
        "ProtocolName": "",
        "SeriesDescription": "",
        "ImageType": ["ORIGINAL", "PRIMARY", "M"],
        "ScanningSequence": "GR",
        "SequenceVariant": "SP",
        "ScanOptions": "",
        "MRAcquisitionType": "2D",
        "EchoTime": 2.0,
        "RepetitionTime": 5.0,
        "FlipAngle": 10,
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": ROWS,
        "Columns": COLUMNS,
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 0,
        "PixelSpacing": [2.0, 3.0],
        "SliceThickness": GAP_MM,
        **attributes,
    }
    for keyword, value in values.items():
        setattr(data, keyword, value)
    return data


def write_series(
    folder: Path,
    vendor: str = "Siemens",
    *,
    b_values: tuple[float | None, ...] = (None,),
    slices: int = 8,
    slice_major: bool = False,
    heights: tuple[float, ...] = (),
    orientation: tuple[float, ...] = (1, 0, 0, 0, 1, 0),
    directions: bool = False,
    first_instance: int = 1,
    **attributes: Any,
) -> list[Path]:
    """A classic axial series, one file a slice; returns the files in the order of instance numbers.

    Args:
        folder: where the files go; made when absent.
        vendor: writes the b-values its way.
        b_values: one volume each; None for a series without diffusion.
        slices: slices a volume, from foot to head.
        slice_major: instance numbers run through all volumes of a slice before the next slice.
        heights: positions in mm along the slice normal, instead of even steps.
        orientation: direction cosines of rows and columns.
        directions: each volume has a diffusion direction of its own.
        first_instance: instance number of the first file.
        **attributes: replace the defaults.
    """
    folder.mkdir(parents=True, exist_ok=True)
    heights = heights or tuple(GAP_MM * place for place in range(slices))
    order = [(volume, place) for volume in range(len(b_values)) for place in range(len(heights))]
    order = sorted(order, key=lambda pair: pair[::-1]) if slice_major else order
    series = attributes.get("SeriesInstanceUID", "1.2.3.1")
    paths = []
    normal = np.cross(orientation[:3], orientation[3:])
    for number, (volume, place) in enumerate(order, start=first_instance):
        data = header(vendor, CLASSIC, f"{series}.{number}", **attributes)
        data.InstanceNumber = number
        data.ImagePositionPatient = [float(x) for x in np.array([-10.0, -20.0, 0.0]) + heights[place] * normal]
        data.ImageOrientationPatient = list(orientation)
        if directions and b_values[volume]:
            data.DiffusionGradientOrientation = [float(x) for x in np.eye(3)[volume % 3]]
        if b_values[volume] is not None:
            add_b_value(data, vendor, b_values[volume])
        data.PixelData = pixels(volume, place).tobytes()
        paths.append(folder / f"{series}.{number:04d}")
        data.save_as(paths[-1], enforce_file_format=True)
    return paths


def write_enhanced(
    path: Path,
    b_values: tuple[float, ...],
    slices: int = 4,
    directionality: str = "ISOTROPIC",
    vendor: str = "Philips",
    slopes: tuple[float, ...] = (),
) -> Path:
    """An enhanced trace object; frames run through all b-values of a slice before the next slice.

    Args:
        path: the file.
        b_values: one volume each.
        slices: slices a volume.
        directionality: (0018,9075) of every frame.
        vendor: the manufacturer.
        slopes: rescale slope of each slice; none states none.
    """
    data = header(vendor, ENHANCED, "1.2.3.1.1", NumberOfFrames=len(b_values) * slices, InstanceNumber=1)
    for keyword in (
        "EchoTime",
        "RepetitionTime",
        "FlipAngle",
        "PixelSpacing",
        "SliceThickness",
        "ScanningSequence",
        "ScanOptions",
    ):
        delattr(data, keyword)
    data.DimensionIndexSequence = [_item(DimensionIndexPointer=tag) for tag in (0x00209056, 0x00209057, 0x00189087)]
    data.SharedFunctionalGroupsSequence = [
        _item(
            MRTimingAndRelatedParametersSequence=[_item(RepetitionTime=4000.0, FlipAngle=90.0)],
            PlaneOrientationSequence=[_item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])],
            PixelMeasuresSequence=[_item(PixelSpacing=[2.0, 3.0], SliceThickness=GAP_MM)],
            MREchoSequence=[_item(EffectiveEchoTime=60.0)],
        )
    ]
    order = [(volume, place) for place in range(slices) for volume in range(len(b_values))]
    data.PerFrameFunctionalGroupsSequence = [
        _item(
            FrameContentSequence=[
                _item(StackID="1", InStackPositionNumber=place + 1, DimensionIndexValues=[1, place + 1, volume + 1])
            ],
            PlanePositionSequence=[_item(ImagePositionPatient=[-10.0, -20.0, GAP_MM * place])],
            PlaneOrientationSequence=[_item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])],
            MRDiffusionSequence=[_item(DiffusionBValue=b_values[volume], DiffusionDirectionality=directionality)],
            MRImageFrameTypeSequence=[_item(FrameType=["ORIGINAL", "PRIMARY", "DIFFUSION", "NONE"])],
            **_transformation(slopes[place]) if slopes else {},
        )
        for volume, place in order
    ]
    data.PixelData = b"".join(pixels(volume, place).tobytes() for volume, place in order)
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)
    return path


def _transformation(slope: float) -> dict[str, Any]:
    """The functional group of a rescale slope."""
    return {"PixelValueTransformationSequence": [_item(RescaleSlope=slope, RescaleIntercept=0.0, RescaleType="US")]}


def _item(**attributes: Any) -> Dataset:
    data = Dataset()
    for keyword, value in attributes.items():
        setattr(data, keyword, value)
    return data


def write_exam(tree: Path, **identity: Any) -> None:
    """A small Siemens exam: localizer, T2w, DWI, elastography, T1w before and after contrast agent."""
    study = identity.get("StudyInstanceUID", "1.2.3")
    plan: list[dict[str, Any]] = [
        {"SeriesDescription": "localizer", "slices": 3},
        {"SeriesDescription": "t2_tse_fs", "ScanningSequence": "SE", "EchoTime": 90.0, "ScanOptions": "FS"},
        {
            "SeriesDescription": "ep2d_diff_TRACEW",
            "ScanningSequence": "EP",
            "EchoTime": 60.0,
            "ImageType": ["DERIVED", "PRIMARY", "DIFFUSION", "TRACEW"],
            "b_values": (0, 400, 800),
        },
        {"SeriesDescription": "mre_Stiffness", "ImageType": ["DERIVED", "PRIMARY", "MRE", "STIFFNESS"], "slices": 4},
        {"SeriesDescription": "mre_ConfMap", "ImageType": ["DERIVED", "PRIMARY", "MRE", "CONFIDENCE"], "slices": 4},
        {"SeriesDescription": "t1_vibe_fs", "MRAcquisitionType": "3D"},
        {"SeriesDescription": "t1_vibe_fs", "MRAcquisitionType": "3D", "ContrastBolusAgent": "agent"},
    ]
    for number, series in enumerate(plan, start=1):
        common = {
            "SeriesNumber": number,
            "SeriesInstanceUID": f"{study}.{number}",
            "AcquisitionTime": f"10{number:02d}00",
        }
        write_series(tree / f"{number}", **{**common, **series, **identity})
