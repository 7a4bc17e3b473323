"""Every series of some exams as NIfTI, whatever it is, with BIDS names where BIDS has one."""

from __future__ import annotations

import gc
import multiprocessing
import re
from collections.abc import Iterator
from concurrent.futures import TimeoutError as SeriesTimeout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from pebble import ProcessExpired, ProcessPool
from tqdm import tqdm

from liverstiff.config import ConvertConfig
from liverstiff.convert.dataset import write_dataset
from liverstiff.convert.faults import NotConverted
from liverstiff.convert.rewrite import is_nifti, rewrite_nifti
from liverstiff.convert.series import convert_stack
from liverstiff.convert.source import read_stack
from liverstiff.dicom import Stack
from liverstiff.records import Exam, Kind, Reason, SeriesReason, read_files, read_table

COLUMNS = ["exam", "series", "kind", "variant", "file", "b_values", "status", "reason", "notes"]
"""Of ``converted.csv``."""

CONVERTED, REFUSED = "converted", "refused"

OTHER = "other"
"""Folder of what BIDS has no name for."""

OTHER_SUFFIXES = {
    Kind.MRE_STIFFNESS: "stiffness",
    Kind.MRE_MASKED: "maskedstiffness",
    Kind.MRE_CONFIDENCE: "confidence",
    Kind.MRE_WAVE: "wave",
    Kind.MRE_RAW: "mre",
    Kind.T1W_POST: "T1w",
    Kind.DWI: "dwi",
}
"""Last part of the names there; other kinds are called what they are."""


@dataclass(frozen=True)
class _Series:
    """One series to convert."""

    exam: Exam
    series: str
    kind: str
    variant: str
    rows: pd.DataFrame
    """Its part of the table of files."""

    @property
    def label(self) -> str:
        """Its name as a BIDS label, which may hold letters and digits alone."""
        return re.sub(r"[^0-9A-Za-z]", "p", self.series)

    def row(self, status: str, **more: Any) -> dict[str, Any]:
        """Its row of ``converted.csv``."""
        names = {"exam": self.exam.exam, "series": self.series, "kind": self.kind, "variant": self.variant}
        return dict.fromkeys(COLUMNS, "") | names | {"status": status} | more


def convert_folder(*, files: Path, series: Path, out: Path, workers: int = 1) -> pd.DataFrame:
    """Convert every series that can be an image, of any kind and body part.

    Args:
        files: private table of all files of all series: ``exam, patient, site, series, kind, variant, chosen, volume,
            b_value, path, member, frame``.
        series: public table of the series: ``exam, patient, site, series, kind, variant``.
        out: folder to write: a BIDS data set; what BIDS has no name for goes into ``other/`` of each session. Captures,
            colour images and images with burned-in text are refused.
        workers: processes.

    Returns:
        A row per series, also written to ``converted.csv``: ``exam, series, kind, variant, file`` (relative to
        ``out``, empty where there is none), ``b_values``, ``status`` (``converted`` or ``refused``), ``reason``,
        ``notes``.
    """
    gc.freeze()
    waiting = list(_waiting(read_files(files), read_table(series)))
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    rows = _run(waiting, out, workers)
    table = pd.DataFrame(rows, columns=COLUMNS)
    patients = [one.exam.patient for one, row in zip(waiting, rows, strict=True) if row["file"]]
    write_dataset(out, "liverstiff: all series", patients, ["converted.csv", f"**/{OTHER}"])
    table.to_csv(out / "converted.csv", index=False)
    return table


def _waiting(files: pd.DataFrame, series: pd.DataFrame) -> Iterator[_Series]:
    """The series in the order of their table, each with its files."""
    groups = dict(iter(files.groupby(["exam", "series"], sort=False)))
    for row in series.fillna({"variant": ""}).to_dict("records"):
        exam = Exam(str(row["exam"]), str(row["patient"]), str(row["site"]))
        rows = groups.get((exam.exam, str(row["series"])), files.iloc[:0])
        yield _Series(exam, str(row["series"]), str(row["kind"]), str(row["variant"]), rows)


def _run(waiting: list[_Series], out: Path, workers: int) -> list[dict[str, Any]]:
    """A row per series; one that takes too long, or whose process ends, is refused."""
    limit = ConvertConfig().timeout_s
    rows = []
    context = multiprocessing.get_context("fork")
    with ProcessPool(max_workers=workers, context=context) as pool:
        futures = [pool.schedule(_convert, args=[one, out], timeout=limit) for one in waiting]
        try:
            for one, future in zip(waiting, tqdm(futures, desc="convert", unit="series", disable=None), strict=True):
                try:
                    rows.append(future.result())
                except SeriesTimeout:
                    rows.append(one.row(REFUSED, reason=Reason.OUT_OF_TIME, notes=f"not finished after {limit:g} s"))
                except (ProcessExpired, MemoryError):
                    rows.append(one.row(REFUSED, reason=Reason.OUT_OF_MEMORY, notes="its process ended"))
        except BaseException:
            pool.stop()
            raise
    return rows


def _convert(one: _Series, out: Path) -> dict[str, Any]:
    """Convert one series inside a worker; its row."""
    try:
        if not len(one.rows):
            raise NotConverted(SeriesReason.UNREADABLE, "the table of files does not name it")
        return _convert_nifti(one, out) if is_nifti(one.rows) else _convert_dicom(one, out)
    except NotConverted as fault:
        return one.row(REFUSED, reason=str(fault.code), notes=fault.detail)


def _convert_dicom(one: _Series, out: Path) -> dict[str, Any]:
    stack = read_stack(one.rows)
    header = stack.first.header
    if header.modality != "MR" and not header.capture:
        raise NotConverted(SeriesReason.WRONG_MODALITY, "it holds no MR image")
    path = _path(one, out, len(stack.volumes), bool(stack.b_values))
    done = convert_stack(stack, path, one.kind)
    return _row(one, out, done.paths, done.b_values, _with_parts(stack, done.notes))


def _with_parts(stack: Stack, notes: list[str]) -> list[str]:
    """The notes, and what a diffusion image without a stated b-value is."""
    unstated = stack.diffusion and any(frame.b_value is None for frame in stack.frames)
    return [*notes, "images without a stated b-value count as b = 0"] if unstated else notes


def _convert_nifti(one: _Series, out: Path) -> dict[str, Any]:
    volumes = one.rows.volume.nunique()
    path = _path(one, out, volumes, not one.rows.b_value.isna().any())
    _, b_values, notes = rewrite_nifti(one.rows, path)
    return _row(one, out, (path,), b_values, notes)


def _row(one: _Series, out: Path, paths: tuple[Path, ...], b_values: list[float], notes: list[str]) -> dict[str, Any]:
    """The row of a converted series; of a map of several files the first is named."""
    return one.row(
        CONVERTED,
        file=str(paths[0].relative_to(out)),
        b_values=" ".join(f"{b:g}" for b in b_values),
        notes="; ".join(notes),
    )


def _path(one: _Series, out: Path, volumes: int, diffusion: bool) -> Path:
    """Where an image goes: by the standard's name where it has one for such an image, else into ``other``."""
    label = one.label
    if one.kind in (Kind.T1W, Kind.T1W_POST, Kind.T2W) and volumes == 1 and not diffusion:
        agent = "ce-agent_" if one.kind == Kind.T1W_POST else ""
        suffix = "T2w" if one.kind == Kind.T2W else "T1w"
        return one.exam.path(out, f"acq-{label}_{agent}{suffix}", datatype="anat")
    if one.kind == Kind.DWI and diffusion:
        return one.exam.path(out, f"acq-{label}_dwi", datatype="dwi")
    suffix = OTHER_SUFFIXES.get(Kind(one.kind), one.kind)
    return one.exam.path(out, f"desc-{label}_{suffix}", datatype=OTHER)
