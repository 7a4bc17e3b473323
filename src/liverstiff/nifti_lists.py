"""The NIfTI images of a site as a BIDS folder or a table names them."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from liverstiff.errors import ConfigError
from liverstiff.records import Kind

TABLE_COLUMNS = ("path", "exam", "patient", "kind")
MORE_COLUMNS = ("variant", "b_values", "date", "vendor", "model", "field_t")

SUFFIXES = {
    "T1w": Kind.T1W,
    "T2w": Kind.T2W,
    "dwi": Kind.DWI,
    "ADC": Kind.ADC,
    "stiffness": Kind.MRE_STIFFNESS,
    "maskedstiffness": Kind.MRE_MASKED,
    "confidence": Kind.MRE_CONFIDENCE,
}
"""What the last part of a BIDS file name stands for; the elastography maps have no name in BIDS."""

RANK = {"": 1, "fat-sat": 0, "water": 0, "plain": 1, "in-phase": 2, "opposed-phase": 3}
RANK |= {"fat": 3, "TSE fat-sat": 0, "radial fat-sat": 0, "TSE": 1, "radial": 1, "single-shot fat-sat": 2}
RANK |= {"single-shot": 3, "trace": 0, "directions": 1}
"""Variants that may be named, with their preference."""


@dataclass(frozen=True)
class Listed:
    """One image as a folder or a table names it."""

    path: Path
    patient: str
    exam: str
    """Name of the exam, unique within the site."""
    kind: Kind
    variant: str = ""
    b_values: tuple[float, ...] | None = None
    """As the table gives them; None: a ``.bval`` file beside the image."""
    date: str = ""
    """``YYYYMMDD``; empty when not known."""
    vendor: str = ""
    model: str = ""
    field_t: float | None = None


def list_images(source: Path) -> list[Listed]:
    """The images of a BIDS folder or of a CSV table.

    Raises:
        ConfigError: one line per mistake of the table.
    """
    return list(_of_folder(source)) if source.is_dir() else _of_table(source)


def _of_folder(folder: Path) -> Iterator[Listed]:
    """Images of a BIDS folder, in the order of their paths; names that BIDS does not know are left out."""
    dates = _dates(folder)
    for path in sorted(folder.glob("sub-*/**/*")):
        if not path.name.lower().endswith((".nii", ".nii.gz")):
            continue
        name = re.sub(r"\.nii(\.gz)?$", "", path.name, flags=re.IGNORECASE)
        *entities, suffix = name.split("_")
        known = dict(entity.split("-", 1) for entity in entities if "-" in entity)
        kind = SUFFIXES.get(suffix)
        if kind is None or "sub" not in known:
            continue
        if "ce" in known and kind == Kind.T1W:  # the entity of a contrast agent
            kind = Kind.T1W_POST
        facts = _sidecar(path)
        exam = "/".join(filter(None, (known["sub"], known.get("ses"))))
        yield Listed(
            path,
            known["sub"],
            exam,
            kind,
            _variant(known.get("acq", "")),
            date=dates.get(path, ""),
            vendor=str(facts.get("Manufacturer", "")),
            model=str(facts.get("ManufacturersModelName", "")),
            field_t=next(iter(_numbers(str(facts.get("MagneticFieldStrength", ""))) or ()), None),
        )


def _variant(acquisition: str) -> str:
    """The variant that an ``acq-`` entity names, e.g. ``acq-water`` or ``acq-fatsat``."""
    plain = {re.sub(r"[^a-z]", "", name.lower()): name for name in RANK}
    return plain.get(acquisition.lower(), "")


def _sidecar(path: Path) -> dict[str, Any]:
    """The JSON beside an image; empty when there is none or it cannot be read."""
    sidecar = path.with_name(re.sub(r"\.nii(\.gz)?$", ".json", path.name))
    try:
        facts = json.loads(sidecar.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}


def _dates(folder: Path) -> dict[Path, str]:
    """Days of acquisition from the ``scans.tsv`` files, where they state them."""
    found = {}
    for table in folder.glob("sub-*/**/*_scans.tsv"):
        with table.open(newline="", encoding="utf-8-sig", errors="replace") as file:
            for row in csv.DictReader(file, delimiter="\t"):
                day = re.match(r"(\d{4})-(\d\d)-(\d\d)", row.get("acq_time") or "")
                if day and row.get("filename"):
                    found[table.parent / row["filename"]] = "".join(day.groups())
    return found


def _of_table(path: Path) -> list[Listed]:
    """Images of a table; relative paths count from its folder."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            absent = set(TABLE_COLUMNS) - set(reader.fieldnames or ())
            rows = list(enumerate(reader, start=2))
    except UnicodeDecodeError:
        raise ConfigError("the table of images is not UTF-8; save it as UTF-8") from None
    if absent:
        raise ConfigError(f"no column {', '.join(sorted(absent))}; expected {', '.join(TABLE_COLUMNS)}")
    mistakes: list[str] = []
    listed = [_of_row(path, line, row, mistakes) for line, row in rows]
    if mistakes:
        raise ConfigError("\n".join(mistakes))
    return [image for image in listed if image is not None]


def _of_row(table: Path, line: int, row: dict[str, str], mistakes: list[str]) -> Listed | None:
    """One row; what is wrong with it is added to the mistakes, which quote no cell: it may name a person."""
    cells = {name: (row.get(name) or "").strip() for name in (*TABLE_COLUMNS, *MORE_COLUMNS)}
    date = cells["date"].replace("-", "")
    wrong = {name: "fill it" for name in TABLE_COLUMNS if not cells[name]}
    if cells["kind"] and cells["kind"] not in set(Kind):
        wrong["kind"] = f"expected one of {', '.join(Kind)}"
    if cells["variant"] not in RANK:
        wrong["variant"] = f"expected nothing or one of {', '.join(filter(None, RANK))}"
    wrong |= {name: "expected numbers" for name in ("b_values", "field_t") if _numbers(cells[name]) is None}
    if date and not re.fullmatch(r"\d{8}", date):
        wrong["date"] = "expected YYYY-MM-DD"
    mistakes += [f"row {line}: {name}: {expected}" for name, expected in wrong.items()]
    if wrong:
        return None
    return Listed(
        table.parent / cells["path"],
        cells["patient"],
        f"{cells['patient']}/{cells['exam']}",
        Kind(cells["kind"]),
        cells["variant"],
        _numbers(cells["b_values"]) or None,
        date,
        cells["vendor"],
        cells["model"],
        next(iter(_numbers(cells["field_t"]) or ()), None),
    )


def _numbers(cell: str) -> tuple[float, ...] | None:
    """The numbers of a cell; None when it holds something else."""
    try:
        numbers = tuple(float(part) for part in cell.split())
    except ValueError:
        return None
    return numbers if all(map(math.isfinite, numbers)) else None
