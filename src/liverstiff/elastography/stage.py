"""The shard, and one exam's row and picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from liverstiff.config import ElastographyConfig
from liverstiff.elastography.picture import region_png
from liverstiff.elastography.reading import Reading, read_exam
from liverstiff.records import Exam, read_status
from liverstiff.shards import map_exams


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
        folder: output, with ``status.csv``, a picture ``desc-elastogram.png`` per exam, and ``stiffness.csv`` with the
            columns of :func:`row_of`.
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
) -> dict[str, Any]:
    """Stiffness of one exam and its picture; see :func:`elastography_shard`, faults as in :func:`read_exam`."""
    reading = read_exam(exam, shard=shard, segmented=segmented, registered=registered, settings=settings)
    picture = exam.path(folder, "desc-elastogram", ".png")
    picture.parent.mkdir(parents=True, exist_ok=True)
    picture.write_bytes(region_png(reading))
    return row_of(reading)


def row_of(reading: Reading) -> dict[str, Any]:
    """One exam's row of ``stiffness.csv``.

    ``stiffness_kpa``; ``area_mm2`` and ``slices`` in the mean; ``slice_cv``, the coefficient of variation from slice to
    slice; median ``confidence`` (0.95, the scanner's threshold, where only a masked map tells); ``frequency_hz`` as
    stated; ``unit`` of the map; ``erosion_mm``, the least over the slices; ``shift_x_mm``, ``shift_y_mm`` and
    ``shift_z_mm``, by which the mask was moved onto the magnitude; ``notes``. What is not known is empty.
    """
    x, y, z = reading.shift_mm
    return {
        "stiffness_kpa": round(reading.stiffness_kpa, 4),
        "area_mm2": round(reading.area_mm2, 1),
        "slices": len(reading.used),
        "slice_cv": _rounded(reading.slice_cv),
        "confidence": _rounded(reading.confidence),
        "frequency_hz": _rounded(reading.frequency_hz),
        "unit": reading.unit,
        "erosion_mm": min(region.erosion_mm for region in reading.used),
        "shift_x_mm": round(float(x), 2),
        "shift_y_mm": round(float(y), 2),
        "shift_z_mm": round(float(z), 2),
        "notes": reading.notes,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
