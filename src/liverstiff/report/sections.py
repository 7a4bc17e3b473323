"""The sections of the page, as a declared list: each says what it needs, and builds its blocks from it."""

from __future__ import annotations

from collections.abc import Callable

from liverstiff.report.checklists import checklists
from liverstiff.report.decisions import comparisons, decision, thresholds, uncertainty
from liverstiff.report.groups import residuals, subgroups
from liverstiff.report.methods import methods
from liverstiff.report.model import training
from liverstiff.report.occlusion import occlusion
from liverstiff.report.patients import flow, missing, scans, table1
from liverstiff.report.pictures import furthest, gallery, registrations
from liverstiff.report.provenance import made_with
from liverstiff.report.reference import reference
from liverstiff.report.results import agreement, calibration, metrics
from liverstiff.report.study import Section, Study
from liverstiff.report.summary import limits, summary
from liverstiff.report.vendors import vendors

SECTIONS: dict[Callable[[Study], Section], set[str]] = {
    summary: {"flow", "analysed", "metrics"},
    flow: {"flow", "by_site", "exclusions"},
    table1: {"table1"},
    scans: {"scans", "scanners"},
    missing: {"missingness", "conflicts"},
    reference: {"agreements", "elastogram"},
    gallery: {"overlay"},
    registrations: {"checkerboard"},
    vendors: {"probe"},
    training: {"data"},
    agreement: {"analysed", "bland_altman"},
    metrics: {"metrics"},
    calibration: {"calibration"},
    subgroups: {"subgroups", "contrasts"},
    residuals: {"residuals"},
    thresholds: {"thresholds", "cutpoints", "roc"},
    comparisons: {"comparisons"},
    uncertainty: {"coverage"},
    decision: {"decision"},
    furthest: {"analysed", "overlay"},
    occlusion: {"explained"},
    limits: {"flow", "analysed"},
    methods: {"metrics"},
    checklists: {"data"},
    made_with: {"data"},
}
"""In order, what builds a section and what it needs: names of tables, kinds of pictures, sections of the configuration.

What is given and empty is a stated gap of the section; a section whose need is not given at all is not of the page.
"""


def sections_of(study: Study) -> list[Section]:
    """The sections of a page: those whose needs were handed over."""
    return [build(study) for build, needs in SECTIONS.items() if needs <= study.given]
