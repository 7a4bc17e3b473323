"""The configuration without what may name people, places or servers: a list of what is shown, not of what is hidden."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from liverstiff.config import json_schema

HIDDEN = "(not shown)"
CHOSEN = frozenset(
    {
        *("dialect", "record_style", "layout", "required", "reference", "no_muscle", "transform", "deformable", "unit"),
        *("phase_axis", "methods", "sequences", "precision", "confidence", "scheme", "inputs", "model", "measured"),
        *("stem", "device", "formats", "intensity"),
    }
)
"""Keys whose text is shown where it is one of the choices that the schema offers."""

PLACES = frozenset(
    {
        *("target.name", "target.unit", "target.measured_by", "simulate.first_date", "simulate.last_date"),
        *("cohort.required", "train.record"),
    }
)
"""Where any text is shown: the target's names, days of the simulation, names of variables."""


def shareable(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration with numbers, switches and the texts of :data:`CHOSEN` and :data:`PLACES`; others are replaced.

    Of a site its name and role are shown, where its exams come from, and how many tables its record has.
    """
    return {
        section: _data(values) if section == "data" else _shown(values, (section,))
        for section, values in config.items()
    }


def _data(data: Mapping[str, Any]) -> dict[str, Any]:
    shown = {key: data[key] for key in ("shard_size", "workers", "temporal_cut") if key in data}
    return shown | {"sites": {name: _site(site) for name, site in data["sites"].items()}}


def _site(site: Mapping[str, Any]) -> dict[str, Any]:
    images = next((kind for kind in ("dicom", "nifti") if site.get(kind)), "none")
    simulated = site.get("dicom") == "simulate"
    tables = len(site["record"].get("tables") or ()) or 1
    return {"role": site["role"], "images": "simulate" if simulated else images, "record_tables": tables}


def _shown(value: Any, place: tuple[str, ...]) -> Any:
    if isinstance(value, Mapping):
        return {name: _shown(inner, (*place, str(name))) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_shown(inner, place) for inner in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    chosen = place[-1] in CHOSEN and value in _choices()
    return value if chosen or ".".join(place) in PLACES else HIDDEN


@cache
def _choices() -> frozenset[str]:
    """Every text that the schema of the configuration offers to choose."""
    found, waiting = set(), [json_schema()]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            found |= {text for text in [*part.get("enum", ()), part.get("const")] if isinstance(text, str)}
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part
    return frozenset(found)
