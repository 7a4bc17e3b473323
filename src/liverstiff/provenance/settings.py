"""The configuration without what may name people, places or servers: a list of what is shown, not of what is hidden."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

HIDDEN = "(not shown)"
TEXTS = frozenset(
    {
        *("name", "unit", "measured_by", "dialect", "record_style", "layout", "first_date", "last_date"),
        *("required", "reference", "no_muscle", "transform", "deformable", "phase_axis", "methods", "sequences"),
        *("precision", "confidence", "scheme", "inputs", "model", "measured", "record", "stem", "device", "formats"),
    }
)
"""Keys outside ``data`` whose text is shown: all are choices of the schema, variables, or the target's name."""


def shareable(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration with numbers, switches and the texts of :data:`TEXTS`; every other text is replaced.

    Of a site its name and role are shown, where its exams come from, and how many tables its record has.
    """
    return {
        section: _data(values) if section == "data" else _shown(values, section) for section, values in config.items()
    }


def _data(data: Mapping[str, Any]) -> dict[str, Any]:
    shown = {key: data[key] for key in ("shard_size", "workers", "temporal_cut") if key in data}
    return shown | {"sites": {name: _site(site) for name, site in data["sites"].items()}}


def _site(site: Mapping[str, Any]) -> dict[str, Any]:
    images = next((kind for kind in ("dicom", "nifti") if site.get(kind)), "none")
    simulated = site.get("dicom") == "simulate"
    tables = len(site["record"].get("tables") or ()) or 1
    return {"role": site["role"], "images": "simulate" if simulated else images, "record_tables": tables}


def _shown(value: Any, key: str) -> Any:
    if isinstance(value, Mapping):
        return {name: _shown(inner, str(name)) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_shown(inner, key) for inner in value]
    return value if key in TEXTS or value is None or isinstance(value, bool | int | float) else HIDDEN
