"""The sections of the page, as a declared list: each builds its blocks from the study's tables."""

from __future__ import annotations

from collections.abc import Callable

from liverstiff.report.checklists import checklists
from liverstiff.report.decisions import comparisons, decision, thresholds, uncertainty
from liverstiff.report.groups import residuals, subgroups
from liverstiff.report.methods import methods
from liverstiff.report.model import made_with, training
from liverstiff.report.occlusion import occlusion
from liverstiff.report.patients import flow, missing, scans, table1
from liverstiff.report.pictures import furthest, gallery, registrations
from liverstiff.report.reference import reference
from liverstiff.report.results import agreement, calibration, metrics
from liverstiff.report.study import Section, Study
from liverstiff.report.summary import limits, summary
from liverstiff.report.vendors import vendors

SECTIONS: tuple[Callable[[Study], Section], ...] = (
    *(summary, flow, table1, scans, missing, reference),
    *(gallery, registrations, vendors, training),
    *(agreement, metrics, calibration, subgroups, residuals, thresholds, comparisons, uncertainty, decision),
    *(furthest, occlusion, limits, methods, checklists, made_with),
)
