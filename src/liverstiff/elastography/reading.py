"""One exam's elastogram: from the files of its maps to the region and the stiffness in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from liverstiff import images
from liverstiff.config import ElastographyConfig
from liverstiff.dicom import SourceFile
from liverstiff.dicom.reading import CannotRead
from liverstiff.dicom.values import MapSlice
from liverstiff.elastography.frequency import accept_frequency, stated_frequencies
from liverstiff.elastography.maps import confidence_at, nearest, on_slice, read_map, rows_of, scaled
from liverstiff.elastography.placement import Frame, fitting_shift
from liverstiff.elastography.region import (
    KPA_PER_UNIT,
    SliceRegion,
    area_weighted_mean,
    decide_unit,
    erode,
    tissue_like,
    tissue_like_slices,
    variation,
    without_coil,
)
from liverstiff.errors import ExamExcluded
from liverstiff.records import LIVER, Exam, Reason


@dataclass(frozen=True)
class Reading:
    """What was read from one elastogram."""

    regions: list[SliceRegion]
    """Slices that meet the liver; at least one has pixels that count."""
    magnitude: list[MapSlice]
    """Slices of the magnitude; none where there is none."""
    unit: str
    """Of the stiffness map: ``Pa`` or ``kPa``."""
    frequency_hz: float | None
    """Of the vibration, as stated; None where nothing states it."""
    shift_mm: np.ndarray
    """By which the liver was moved (x, y, z in RAS+) to where the magnitude shows it."""
    notes: str = ""
    """What could not be used and was done without."""

    @cached_property
    def used(self) -> list[SliceRegion]:
        """Slices with pixels that count."""
        return [region for region in self.regions if region.values.size]

    @property
    def area_mm2(self) -> float:
        """Area of all pixels that count."""
        return sum(region.area_mm2 for region in self.used)

    @cached_property
    def slice_kpa(self) -> list[float]:
        """Mean stiffness of each slice that is used."""
        return [float(region.values.mean()) * KPA_PER_UNIT[self.unit] for region in self.used]

    @property
    def stiffness_kpa(self) -> float:
        """Mean over the slices, weighted by area."""
        return area_weighted_mean(self.slice_kpa, [region.area_mm2 for region in self.used])

    @property
    def slice_cv(self) -> float | None:
        """Coefficient of variation from slice to slice; None for a single slice."""
        return variation(self.slice_kpa, [region.area_mm2 for region in self.used])

    @property
    def confidence(self) -> float | None:
        """Median over the pixels that count; None where the site has no confidence."""
        median = float(np.median(np.concatenate([region.confidence[region.counts] for region in self.used])))
        return None if np.isnan(median) else median


def read_exam(exam: Exam, *, shard: Path, segmented: Path, registered: Path, settings: ElastographyConfig) -> Reading:
    """Read one exam's elastogram.

    Args:
        exam: which.
        shard: private table of the chosen files.
        segmented: shard folder with ``space-frame_mask``.
        registered: shard folder with the frame image.
        settings: section ``elastography`` of the configuration.

    Raises:
        ExamExcluded: ``missing_mre``, ``unreadable_image``, ``wrong_frequency``, ``no_confident_pixel``,
            ``area_too_small``, ``unit_unclear`` or ``stiffness_out_of_range``.
    """
    rule = settings.of(exam.site)
    files = rows_of(shard, exam.exam)
    if not {"stiffness", "masked"} & set(files):
        raise ExamExcluded(Reason.MISSING_MRE, "no stiffness map was chosen")
    frequency_hz = accept_frequency(_stated(files, rule.frequency_hz), settings.frequency_hz)
    maps = {name: read_map(found, f"MRE_{name}") for name, found in files.items() if name != "magnitude"}
    maps |= {name: scaled(maps[name], rule) for name in ("stiffness", "masked") if name in maps}
    slices = maps.get("stiffness") or maps["masked"]
    confidence = confidence_at(slices, maps, settings.confidence, rule)
    magnitude, notes = _magnitude(files)
    header = _frame(exam, segmented, registered)
    shift = fitting_shift(header, magnitude) if settings.refine and magnitude else np.zeros(3)
    least = None if rule.confidence == "none" else settings.confidence
    regions = _regions(slices, confidence, magnitude, header.moved(shift), settings, least)
    _check_area(regions, settings)
    unit = decide_unit(
        float(np.median(np.concatenate([region.values for region in regions]))), {part.unit for part in slices} - {""}
    )
    reading = Reading(regions, magnitude, unit, frequency_hz, shift, notes)
    low, high = settings.range_kpa
    if not low <= reading.stiffness_kpa <= high:
        raise ExamExcluded(
            Reason.STIFFNESS_OUT_OF_RANGE, f"{reading.stiffness_kpa:.3g} kPa; expected {low:g} to {high:g}"
        )
    return reading


def _stated(files: Mapping[str, Mapping[SourceFile, list[int]]], by_rule: float | None) -> set[float]:
    """Frequencies in Hz that the first file of every map states, else the site's rule."""
    try:
        stated = stated_frequencies(next(iter(found)) for found in files.values())
    except CannotRead as fault:
        raise ExamExcluded(Reason.UNREADABLE, f"the header of a map cannot be read ({fault})") from None
    return stated or ({by_rule} if by_rule is not None else set())


def _magnitude(files: Mapping[str, Mapping[SourceFile, list[int]]]) -> tuple[list[MapSlice], str]:
    """The magnitude; none, and a note, where it cannot be read, as the header's geometry then is enough."""
    try:
        return (read_map(files["magnitude"], "MRE_magnitude") if "magnitude" in files else []), ""
    except ExamExcluded as fault:
        return [], f"done without the magnitude: {fault.detail}"


def _frame(exam: Exam, segmented: Path, registered: Path) -> Frame:
    """Image and liver mask of an exam."""
    mask, affine = images.load(exam.path(segmented, "space-frame_mask"))
    image, _ = images.load(exam.frame(registered))
    return Frame(image, mask == LIVER, affine)


def _regions(
    slices: list[MapSlice],
    confidence: list[np.ndarray],
    magnitude: list[MapSlice],
    frame: Frame,
    settings: ElastographyConfig,
    least: float | None,
) -> list[SliceRegion]:
    """The pixels that count, of every slice that meets the liver: of ``least`` confidence, None where there is none."""
    tissue = tissue_like(frame.image, frame.liver, settings.tissue_spread)
    livers = [nearest(frame.liver, frame.affine, part.points) == 1 for part in slices]
    even = [
        without_coil(on_slice(magnitude, part) if magnitude else np.full(liver.shape, np.nan), liver, part.pixel_mm)
        for part, liver in zip(slices, livers, strict=True)
    ]
    like = tissue_like_slices(even, settings.tissue_spread)
    regions = []
    for part, sure, liver, alike in zip(slices, confidence, livers, like, strict=True):
        inner, erosion_mm = erode(liver, part.pixel_mm, settings.erosion_mm)
        counts = inner & alike & (nearest(tissue, frame.affine, part.points) == 1) & (part.values > 0)
        if least is not None:  # NaN, where no slice of the confidence map lies in the plane, never counts
            counts &= sure >= least - 1e-6
        if inner.any():
            regions.append(SliceRegion(part, sure, liver, counts, erosion_mm))
    return regions


def _check_area(regions: list[SliceRegion], settings: ElastographyConfig) -> None:
    """Raises: ExamExcluded where too little of the liver counts."""
    if not regions:
        raise ExamExcluded(Reason.AREA_TOO_SMALL, "the elastogram's slices do not meet the liver")
    area = sum(region.area_mm2 for region in regions)
    if not area:
        apart = all(np.isnan(region.confidence).all() for region in regions)
        beside = ": no slice of the confidence map lies in the plane of a stiffness slice" if apart else ""
        raise ExamExcluded(
            Reason.NO_CONFIDENT_PIXEL,
            f"no liver pixel reaches a confidence of {settings.confidence:g}{beside}; look at the map",
        )
    if area < settings.min_area_mm2:
        raise ExamExcluded(
            Reason.AREA_TOO_SMALL, f"{area:.0f} mm2 of confident liver; at least {settings.min_area_mm2:g} wanted"
        )
