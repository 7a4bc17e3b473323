"""One self-contained page for a colleague, its figures for a paper, and the model card. Numbers come from files."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from liverstiff.config import ReportConfig
from liverstiff.report.card import card_values
from liverstiff.report.provenance import read_facts
from liverstiff.report.sections import sections_of
from liverstiff.report.study import DEMONSTRATION, Study

__all__ = ["write_report"]


def write_report(
    *,
    tables: Mapping[str, Path],
    config: dict[str, Any],
    report: Path,
    figures: Path,
    settings: ReportConfig,
    shards: Mapping[str, Sequence[Path]] = MappingProxyType({}),
    histories: Sequence[Path] = (),
    card: Path | None = None,
    provenance: Path | None = None,
) -> None:
    """Write the page (HTML; opens from disk without network), the folder of its figures, and the model card.

    Args:
        tables: by name, see :data:`liverstiff.report.study.TABLES`; a section whose needs (see
            :data:`liverstiff.report.sections.SECTIONS`) are not given is not of the page.
        config: the configuration as plain values; paths are not shown. Without its section ``data`` the estimates are
            anybody's: of their exams and their model nothing is said.
        report: output, the page.
        figures: output, the folder of the figures (PNG at 300 dpi, PDF, SVG).
        settings: title, and how many pictures to show.
        shards: by kind of picture (``overlay``, ``checkerboard``, ``elastogram``) the shard folders with
            ``*/*/*desc-<kind>.png`` and the table of measures; as ``explained`` the folders with ``<exam>.png`` and
            ``explained.csv`` of what estimates rest on.
        histories: ``history.csv`` of each fold.
        card: output, the model card (Markdown) of a run of the workflow.
        provenance: ``provenance.json``, from which software, configuration and hashes are shown.

    Raises:
        DataError: a table is none of the page's.
    """
    for folder in (Path(figures), *(Path(page).parent for page in (report, card) if page)):
        folder.mkdir(parents=True, exist_ok=True)
    study = Study.read(
        tables,
        config,
        shards={kind: [Path(folder) for folder in folders] for kind, folders in shards.items()},
        histories=list(histories),
        figures=Path(figures),
        settings=settings,
        provenance=read_facts(provenance),
    )
    environment = Environment(
        loader=PackageLoader("liverstiff", "templates"),
        autoescape=select_autoescape(["html.j2"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    script = files("liverstiff").joinpath("templates", "report.js").read_text(encoding="utf-8")
    page = environment.get_template("report.html.j2").render(
        title=settings.title,
        study=study,
        sections=sections_of(study),
        demonstration=DEMONSTRATION,
        script=script,
        script_hash=base64.b64encode(sha256(script.encode()).digest()).decode(),
    )
    Path(report).write_text(page.lstrip(), encoding="utf-8")
    if card is None:
        return
    written = environment.get_template("model_card.md.j2").render(card_values(study))
    Path(card).write_text(written.replace("<", "&lt;"), encoding="utf-8")
