"""Stage ``elastography``: the stiffness of the liver in kPa from the scanner's elastogram.

Region of interest: the liver mask in each slice without its edge, where the scanner's confidence reaches the
threshold; the mean of each slice, then the mean of the slices weighted by their areas. Colour images and screen
captures are never read.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from liverstiff import images
from liverstiff.config import ElastographyConfig
from liverstiff.dicom import SourceFile
from liverstiff.dicom.values import MapSlice
from liverstiff.elastography.maps import nearest, on_slice, read_map
from liverstiff.elastography.region import (
    KPA_PER_UNIT,
    SliceRegion,
    area_weighted_mean,
    confidence_fraction,
    decide_unit,
    erode,
    tissue_like,
    unmasked,
)
from liverstiff.errors import ExamExcluded
from liverstiff.records import LIVER, Exam, Kind, Reason, read_files, read_status
from liverstiff.shards import map_exams

MASKED_MAP_CONFIDENCE = 0.95
"""What a confidence-masked map stands for: scanners mask at 95 %."""


def elastography_shard(
    *,
    shard: Path,
    segmented: Path,
    registered: Path,
    folder: Path,
    settings: ElastographyConfig,
    workers: int = 1,
) -> None:
    """Read the stiffness of every exam of a shard.

    Args:
        shard: private table of the chosen files: ``exam, patient, site, series, kind, variant, volume, b_value,
            path, member, frame``.
        segmented: shard folder of the stage ``segment``; its ``space-frame_mask`` is read.
        registered: shard folder of the stage ``register``; its frame image is read.
        folder: output, with ``status.csv`` and ``stiffness.csv``: ``stiffness_kpa``, ``area_mm2``, ``slices`` in
            the mean, median ``confidence`` (0.95, the scanner's threshold, where only a masked map tells), ``unit``
            of the map, and ``erosion_mm``, the least over the slices.
        settings: section ``elastography`` of the configuration.
        workers: processes.
    """
    ready = [row.identity for row in read_status(segmented) if row.ok]
    map_exams(
        measure_exam,
        segmented,
        folder,
        stage="elastography",
        workers=workers,
        inputs=[shard, *(exam.path(segmented, "space-frame_mask") for exam in ready)],
        measures="stiffness.csv",
        shard=shard,
        segmented=segmented,
        registered=registered,
        settings=settings,
    )


def measure_exam(
    exam: Exam, folder: Path, *, shard: Path, segmented: Path, registered: Path, settings: ElastographyConfig
) -> dict[str, float | int | str]:
    """Stiffness of one exam; see :func:`elastography_shard`.

    Raises:
        ExamExcluded: ``missing_mre``, ``unreadable_image``, ``no_confident_pixel``, ``area_too_small``,
            ``unit_unclear`` or ``stiffness_out_of_range``.
    """
    maps = _chosen_maps(exam, shard)
    slices = maps.get(Kind.MRE_STIFFNESS) or maps.get(Kind.MRE_MASKED)
    if not slices:
        raise ExamExcluded(Reason.MISSING_MRE, "no stiffness map was chosen")
    confidence = _confidence(slices, maps, settings.confidence)
    mask, affine = images.load(exam.path(segmented, "space-frame_mask"))
    image, _ = images.load(exam.frame(registered))
    liver = mask == LIVER
    tissue = tissue_like(image, liver, settings.tissue_spread)
    regions = [
        _region(part, sure, liver, tissue, affine, settings) for part, sure in zip(slices, confidence, strict=True)
    ]
    stated = {part.unit for part in slices} - {""}
    if exam.site in settings.units:
        stated = {settings.units[exam.site]}
    return _measures([region for region in regions if region is not None], stated, settings)


def _chosen_maps(exam: Exam, shard: Path) -> dict[str, list[MapSlice]]:
    """The exam's maps by kind."""
    table = read_files(shard)
    mine = table[table.exam == exam.exam]
    maps: dict[str, list[MapSlice]] = {}
    for kind in (Kind.MRE_STIFFNESS, Kind.MRE_MASKED, Kind.MRE_CONFIDENCE):
        files: dict[SourceFile, list[int]] = {}
        rows = mine[mine.kind == kind]
        for path, member, frame in zip(rows.path, rows.member, rows.frame, strict=True):
            files.setdefault(SourceFile(path, member), []).append(frame)
        if files:
            maps[kind] = read_map(files, str(kind))
    return maps


def _confidence(slices: list[MapSlice], maps: dict[str, list[MapSlice]], wanted: float) -> list[np.ndarray]:
    """Confidence from 0 to 1 at every pixel of the stiffness slices: from its own map, else from the masked map."""
    if maps.get(Kind.MRE_CONFIDENCE):
        stated = {part.unit for part in maps[Kind.MRE_CONFIDENCE]} - {""}
        unit = stated.pop() if len(stated) == 1 else ""
        found = confidence_fraction([part.values for part in maps[Kind.MRE_CONFIDENCE]], unit)
        scaled = [MapSlice(v, part.affine) for v, part in zip(found, maps[Kind.MRE_CONFIDENCE], strict=True)]
        return [on_slice(scaled, part) for part in slices]
    if not maps.get(Kind.MRE_MASKED):
        raise ExamExcluded(Reason.NO_CONFIDENT_PIXEL, "neither a confidence map nor a confidence-masked map was chosen")
    if wanted > MASKED_MAP_CONFIDENCE:
        raise ExamExcluded(
            Reason.NO_CONFIDENT_PIXEL,
            f"a masked map tells {MASKED_MAP_CONFIDENCE:g}, not {wanted:g}; lower elastography.confidence",
        )
    kept = [unmasked(part.values, on_slice(maps[Kind.MRE_MASKED], part)) for part in slices]
    return [np.where(pixels, MASKED_MAP_CONFIDENCE, 0.0) for pixels in kept]


def _region(
    part: MapSlice,
    confidence: np.ndarray,
    liver: np.ndarray,
    tissue: np.ndarray,
    affine: np.ndarray,
    settings: ElastographyConfig,
) -> SliceRegion | None:
    """The pixels of one slice that count; nothing where the slice does not meet the liver."""
    in_liver = nearest(liver, affine, part.points) == 1
    inner, erosion_mm = erode(in_liver, part.pixel_mm, settings.erosion_mm)
    if not inner.any():
        return None
    counts = inner & (nearest(tissue, affine, part.points) == 1)
    counts &= (confidence >= settings.confidence - 1e-6) & (part.values > 0)
    row, column = part.pixel_mm
    return SliceRegion(part.values[counts], confidence[counts], row * column, erosion_mm)


def _measures(
    regions: list[SliceRegion], stated: set[str], settings: ElastographyConfig
) -> dict[str, float | int | str]:
    """One exam's row of ``stiffness.csv``."""
    if not regions:
        raise ExamExcluded(Reason.AREA_TOO_SMALL, "the elastogram's slices do not meet the liver")
    used = [region for region in regions if region.values.size]
    if not used:
        raise ExamExcluded(
            Reason.NO_CONFIDENT_PIXEL,
            f"no liver pixel reaches a confidence of {settings.confidence:g}; look at the map",
        )
    areas = [region.area_mm2 for region in used]
    if sum(areas) < settings.min_area_mm2:
        raise ExamExcluded(
            Reason.AREA_TOO_SMALL, f"{sum(areas):.0f} mm2 of confident liver; at least {settings.min_area_mm2:g} wanted"
        )
    unit = decide_unit(float(np.median(np.concatenate([region.values for region in used]))), stated)
    stiffness = area_weighted_mean([float(region.values.mean()) for region in used], areas) * KPA_PER_UNIT[unit]
    low, high = settings.range_kpa
    if not low <= stiffness <= high:
        raise ExamExcluded(Reason.STIFFNESS_OUT_OF_RANGE, f"{stiffness:.3g} kPa; expected {low:g} to {high:g}")
    return {
        "stiffness_kpa": round(stiffness, 4),
        "area_mm2": round(sum(areas), 1),
        "slices": len(used),
        "confidence": round(float(np.median(np.concatenate([region.confidence for region in used]))), 4),
        "unit": unit,
        "erosion_mm": min(region.erosion_mm for region in used),
    }
