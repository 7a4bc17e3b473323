"""NIfTI images of a site that has no DICOM files: the same facts as a DICOM series gives.

Kinds are declared there, by the file name or in the table; what can be checked without a DICOM header is checked.
"""

from __future__ import annotations

import re
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from typing import Any

import nibabel as nib
import numpy as np

from liverstiff import images
from liverstiff.catalog.choice import Identified
from liverstiff.catalog.words import LEAST_SLICES
from liverstiff.dicom import Frame, SourceFile, split_stacks
from liverstiff.dicom.header import Header
from liverstiff.dicom.scanners import model_name, nominal_field, vendor_name
from liverstiff.nifti_lists import RANK, Listed
from liverstiff.records import SEQUENCES, Kind, SeriesReason

CT_AIR, CT_BONE = -900.0, 200.0
"""Values of air and bone in Hounsfield units; an MR image has neither."""

THICK = 1.5
"""A voxel this many times as long along one axis as along the others was acquired in slices across that axis."""

VOXEL_MM = (0.2, 30.0)
"""Smallest and largest voxel size."""


@dataclass(frozen=True)
class NiftiSeries:
    """One image with its frames and, where it cannot be used, why."""

    header: Header
    frames: list[Frame]
    """One per slice and volume, as if each had been a DICOM image."""
    kind: Kind
    variant: str
    code: SeriesReason | None
    detail: str

    def identified(self, name: str) -> Identified:
        """As the rules would have found it."""
        (stack,) = split_stacks(self.frames)
        reason = self.detail or "declared by its name or in the table"
        kind = Kind.OTHER if self.code == SeriesReason.WRONG_MODALITY else self.kind
        return Identified(stack, name, kind, self.variant, 1.0, reason, RANK[self.variant], self.code, declared=True)


def read_images(listed: list[Listed], workers: int) -> list[NiftiSeries]:
    """Look into every image."""
    if workers == 1 or len(listed) < 8:
        return [read_image(image) for image in listed]
    with ProcessPoolExecutor(workers, mp_context=get_context("fork")) as pool:
        return list(pool.map(read_image, listed, chunksize=4))


def read_image(listed: Listed) -> NiftiSeries:
    """Geometry and b-values of one image, and what is wrong with it."""
    try:
        image: Any = nib.load(listed.path)
        shape, affine, values = image.shape, np.array(image.affine), images.voxels_of(image)
        oriented = _oriented(image)
    except images.UNREADABLE as error:
        header, why = _header(listed, (1, 1, 1)), f"it cannot be read ({type(error).__name__})"
        frames = _frames(header, listed, (1, 1, 1), np.eye(4), None)
        return _series(listed, header, frames, SeriesReason.UNREADABLE, why)
    b_values = _b_values(listed)
    code, detail = _fault(listed, values, shape, affine, b_values)
    if not oriented:
        code, detail = SeriesReason.IMPLAUSIBLE, "its header states no orientation, or two that contradict each other"
    if code == SeriesReason.IMPLAUSIBLE:
        shape, affine = (1, 1, 1), np.eye(4)
    header = _header(listed, shape)
    return _series(listed, header, _frames(header, listed, shape, affine, b_values), code, detail)


def _series(listed: Listed, header: Header, frames: list[Frame], code: SeriesReason | None, detail: str) -> NiftiSeries:
    if code is None and listed.kind == Kind.T1W_POST:
        code, detail = SeriesReason.POST_CONTRAST, "declared as after contrast agent"
    if code is None and listed.kind not in (*SEQUENCES, Kind.MRE_STIFFNESS, Kind.MRE_MASKED, Kind.MRE_CONFIDENCE):
        code = SeriesReason.NOT_A_SOURCE
    if code is None and listed.variant == "fat":
        code, detail = SeriesReason.NOT_A_SOURCE, "the fat image of a Dixon acquisition"
    return NiftiSeries(header, frames, listed.kind, listed.variant, code, detail)


def _fault(
    listed: Listed, values: np.ndarray, shape: tuple[int, ...], affine: np.ndarray, b_values: list[float] | None
) -> tuple[SeriesReason | None, str]:
    """Why an image cannot be used."""
    if values.dtype.kind not in "iuf":
        return SeriesReason.SECONDARY_CAPTURE, "a colour image holds a picture, not values"
    if len(shape) not in (3, 4):
        return SeriesReason.IMPLAUSIBLE, f"it has {len(shape)} dimensions, expected 3 or 4"
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    if not np.isfinite(affine).all() or (sizes < VOXEL_MM[0]).any() or (sizes > VOXEL_MM[1]).any():
        return SeriesReason.IMPLAUSIBLE, "its affine gives no plausible voxel size"
    if not np.isfinite(values).all() or values.min() == values.max():
        return SeriesReason.IMPLAUSIBLE, "its values are not finite, or all equal"
    if values.min() <= CT_AIR and values.max() >= CT_BONE and listed.kind in SEQUENCES:
        return SeriesReason.WRONG_MODALITY, "its values are those of CT"
    thick = int(np.argmax(sizes))
    if listed.kind in SEQUENCES and sizes[thick] > THICK * np.median(sizes) and thick != _through(affine):
        return SeriesReason.NOT_A_SOURCE, "not axial"
    if listed.kind in SEQUENCES and shape[_through(affine)] < LEAST_SLICES:
        return SeriesReason.TOO_FEW_SLICES, "too few slices to cover a liver"
    volumes = shape[3] if len(shape) == 4 else 1
    if listed.kind == Kind.DWI and (b_values is None or len(b_values) != volumes):
        known = "no" if b_values is None else str(len(b_values))
        return SeriesReason.NO_B_VALUES, f"{known} b-values for {volumes} volumes"
    return None, ""


def _oriented(image: Any) -> bool:
    """True when the header states where the image lies, once or twice the same."""
    header = image.header
    if not hasattr(header, "get_sform"):
        return True
    stated = [matrix for matrix, code in (image.get_sform(coded=True), image.get_qform(coded=True)) if code]
    return bool(stated) and np.allclose(stated[0], stated[-1], atol=0.1)


def _b_values(listed: Listed) -> list[float] | None:
    """b-values of the volumes from the table or the ``.bval`` file; None when there are none."""
    if listed.kind != Kind.DWI:
        return None
    if listed.b_values is not None:
        return list(listed.b_values)
    beside = listed.path.with_name(re.sub(r"\.nii(\.gz)?$", ".bval", listed.path.name, flags=re.IGNORECASE))
    try:
        return [float(part) for part in beside.read_text().split()]
    except (OSError, ValueError):
        return None


def _through(affine: np.ndarray) -> int:
    """The array axis that runs along the body."""
    return int(np.argmax(np.abs(affine[2, :3]) / np.linalg.norm(affine[:3, :3], axis=0)))


def _header(listed: Listed, shape: tuple[int, ...]) -> Header:
    """A header with what is known of a NIfTI image."""
    vendor = vendor_name(listed.vendor) if listed.vendor else ""
    facts: dict[str, Any] = dict.fromkeys(("patient_name", "text", "sequence_name", "echo"), "")
    facts |= dict.fromkeys(("capture", "burned_in", "contrast_agent", "echo_planar", "three_d"), False)
    facts |= dict.fromkeys(("fat_suppressed", "colour", "enhanced"), False)
    return Header(
        **facts,
        study_uid=listed.exam,
        series_uid=str(listed.path),
        patient_id=listed.patient,
        study_date=listed.date,
        modality="MR",
        mr_object=True,
        vendor=vendor,
        model=model_name(vendor, listed.model),
        field_t=nominal_field(listed.field_t),
        series_number=0,
        echo_train=0,
        tr=None,
        rows=shape[1],
        columns=shape[0],
        frame_bytes=0,
        tiles=1,
    )


def exam_frame(images: list[NiftiSeries]) -> Frame:
    """A frame that stands for an exam: date and scanner from whichever of its images states them."""
    headers = [image.header for image in images]
    names = ("study_date", "vendor", "model", "field_t")
    stated = {name: next(filter(None, (getattr(header, name) for header in headers)), None) for name in names}
    known = {name: value for name, value in stated.items() if value is not None}
    return replace(images[0].frames[0], header=replace(headers[0], **known))


def _frames(
    header: Header, listed: Listed, shape: tuple[int, ...], affine: np.ndarray, b_values: list[float] | None
) -> list[Frame]:
    """A frame per slice and volume, with its place in the patient (LPS mm)."""
    volumes = shape[3] if len(shape) == 4 else 1
    stated = b_values if b_values is not None and len(b_values) == volumes else [None] * volumes
    through = _through(affine)
    lps = np.diag([-1.0, -1.0, 1.0]) @ affine[:3]
    row, column = (lps[:, axis] / np.linalg.norm(lps[:, axis]) for axis in range(3) if axis != through)
    between_columns, between_rows = (float(np.linalg.norm(lps[:, axis])) for axis in range(3) if axis != through)
    spacing = (between_rows, between_columns)
    file = SourceFile(str(listed.path))
    return [
        Frame(
            header=header,
            file=file,
            number=0,
            frames=1,
            sop_uid=f"{volume}.{place}",
            instance=volume * shape[through] + place + 1,
            time="",
            image_type=(),
            component="",
            unit="",
            slope=1.0,
            intercept=0.0,
            echo_time=None,
            position=tuple(float(x) for x in lps[:, 3] + place * lps[:, through]),
            orientation=(*map(float, row), *map(float, column)),
            spacing=spacing,
            b_value=stated[volume],
            direction=None,
            moment=(float(volume), 0.0, 0.0),
            index=(),
            cut_short=False,
        )
        for volume in range(volumes)
        for place in range(shape[through])
    ]
