"""The configuration from YAML, with one line per mistake."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from liverstiff.config import Config
from liverstiff.errors import ConfigError


def load_config(values: dict[str, Any], source: str = "config.yaml") -> Config:
    """Check a configuration read from YAML.

    Raises:
        ConfigError: with one line per mistake: key, value, what was expected.
    """
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise ConfigError("\n".join(_explain(source, mistake) for mistake in error.errors())) from None


def _explain(source: str, mistake: Any) -> str:
    """One line for one of pydantic's mistakes."""
    key = ".".join(str(part) for part in mistake["loc"])
    where = f"{source}: {key}: " if key else f"{source}: "
    if mistake["type"] == "extra_forbidden":
        return f"{where}unknown key; expected one of {_choices(mistake['loc'])}; correct or remove it"
    if mistake["type"] == "missing":
        return f"{where}missing; add this key"
    if mistake["type"] == "value_error":
        return f"{where}{mistake['ctx']['error']}"
    return f"{where}got {mistake['input']!r}; {mistake['msg'][0].lower()}{mistake['msg'][1:]}"


def _choices(loc: tuple[Any, ...]) -> str:
    """Names of the keys allowed where an unknown key was found."""
    model: Any = Config
    for part in loc[:-1]:
        known = {field.alias or name: field for name, field in getattr(model, "model_fields", {}).items()}
        annotation = known[part].annotation if part in known else model
        inner = getattr(annotation, "__args__", (annotation,))[-1]  # of dict[str, Section]
        model = inner if isinstance(inner, type) else annotation
    return ", ".join(field.alias or name for name, field in getattr(model, "model_fields", {}).items())


def read_config(path: Path) -> Config:
    """The checked configuration of a YAML file.

    Raises:
        ConfigError: for a file that is missing, is no YAML, or holds mistakes.
    """
    try:
        values = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise ConfigError(f"no file {path}; expected the configuration; give --config") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    return load_config(values if isinstance(values, dict) else {}, str(path))
