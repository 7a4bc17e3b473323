"""One self-contained page for a colleague, and its figures for a paper. It only formats: numbers come from files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from liverstiff.config import ReportConfig
from liverstiff.report.sections import SECTIONS
from liverstiff.report.study import DEMONSTRATION, Study

__all__ = ["write_report"]


def write_report(
    *,
    flow: Path,
    analysed: Path,
    metrics: Path,
    residuals: Path,
    table1: Path,
    exclusions: Path,
    scans: Path,
    probe: Path,
    overlays: Sequence[Path],
    checkerboards: Sequence[Path],
    histories: Sequence[Path],
    config: dict[str, Any],
    report: Path,
    figures: Path,
    settings: ReportConfig,
    demonstration_below: int,
) -> None:
    """Write the page (HTML, no network, no script) and the folder of its figures (PNG at 300 dpi, SVG).

    Args:
        flow: counts for the flow chart.
        analysed: a row per analysed exam.
        metrics: agreement by partition and group.
        residuals: effect of age, sex and BMI on the residual.
        table1: description of the partitions.
        exclusions: the exams excluded up to the cohort, with a sentence each.
        scans: exams by site, scanner, sequence and variant.
        probe: how well the vendor can be told from the intensities, before and after harmonisation.
        overlays: shard folders of the segmentation, with ``*/*/*desc-overlay.png`` and ``measures.csv``.
        checkerboards: shard folders of the registration, with ``*/*/*desc-checkerboard.png``.
        histories: ``history.csv`` of each fold.
        config: the whole configuration as plain values; paths are not shown.
        report: output, the page.
        figures: output, the folder of the figures.
        settings: title and size of the gallery.
        demonstration_below: estimates from fewer exams are marked "demonstration, not evidence".
    """
    Path(figures).mkdir(parents=True, exist_ok=True)
    Path(report).parent.mkdir(parents=True, exist_ok=True)
    study = Study.read(
        tables={
            **{"flow": flow, "analysed": analysed, "metrics": metrics},
            **{"residuals": residuals, "table1": table1, "exclusions": exclusions, "scans": scans},
            "probe": probe,
        },
        overlays=list(overlays),
        checkerboards=list(checkerboards),
        histories=list(histories),
        config=config,
        figures=Path(figures),
        gallery=settings.gallery,
        demonstration_below=demonstration_below,
    )
    sections = [build(study) for build in SECTIONS]
    environment = Environment(
        loader=PackageLoader("liverstiff", "templates"),
        autoescape=select_autoescape(["j2", "html"], default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("report.html.j2").render(
        title=settings.title, study=study, sections=sections, demonstration=DEMONSTRATION
    )
    Path(report).write_text(page, encoding="utf-8")
