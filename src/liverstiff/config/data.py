"""The sites and the simulated cohort."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from liverstiff.config.record import RecordConfig
from liverstiff.config.section import Section, SiteName


class TargetConfig(Section):
    """What is estimated: liver stiffness, unless told otherwise."""

    name: str = "liver stiffness"
    """As it is called in the report."""
    unit: str = "kPa"
    """Unit of every value of it, of the bands, the thresholds and the margin."""
    measured_by: str = "MR elastography"
    """What measures the reference, as the report calls it."""
    transform: Literal["log", "none"] = "log"
    """Scale on which it is learned and intervals are symmetric."""
    bands: tuple[float, ...] = (2.5, 3.0, 4.0)
    """Edges of the bands over which folds are balanced."""
    thresholds: tuple[float, ...] = (2.5, 3.0, 3.5, 4.0, 5.0)
    """Thresholds of the ROC curves: at or above is a case."""
    margin: float = Field(0.2, gt=0)
    """Differences of the residual below this are taken for none."""

    @field_validator("bands", "thresholds")
    @classmethod
    def _ascending(cls, edges: tuple[float, ...]) -> tuple[float, ...]:
        if list(edges) != sorted(set(edges)):
            raise ValueError("expected values in ascending order; sort them")
        return edges


class SiteConfig(Section):
    """One hospital: where its exams and its record are, and what they are used for."""

    role: Literal["development", "external"]
    """`development` sites are split into folds and the temporal test; `external` sites only test."""
    dicom: str | None = None
    """Folder of the site's DICOM files, in any shape, or `simulate`."""
    nifti: str | None = None
    """Instead of `dicom`: a BIDS folder, or a CSV table of images (docs/own-data.md). Without either, the site has no
    images, and its exams are the rows of its record that hold a reported value."""
    record: RecordConfig
    """The site's health record."""

    @model_validator(mode="after")
    def _one_source(self) -> SiteConfig:
        if self.dicom is not None and self.nifti is not None:
            raise ValueError("give either dicom or nifti, the one that holds the site's images")
        if self.record_only and not self.record.has_reported:
            raise ValueError("neither dicom nor nifti; give the site's images, or record.reported for a site without")
        return self

    @property
    def record_only(self) -> bool:
        """True for a site without images, whose exams are the rows with a reported value."""
        return self.dicom is None and self.nifti is None

    def recorded(self) -> dict[str, Any] | None:
        """The record of a site without images, as plain values; None for a site with images."""
        return self.record.model_dump(mode="json") if self.record_only else None


class DataConfig(Section):
    """The sites, the folder of secrets, and how exams are grouped into jobs."""

    private: str = "private"
    """Folder of the pseudonyms' key and the ledger of the folds; never share it, never lose it."""
    shard_size: int = Field(32, ge=1)
    """Exams per job of the exam-level stages."""
    workers: int = Field(1, ge=1)
    """Processes per such job; more than 1 helps where there are fewer shards than cores."""
    temporal_cut: dt.date
    """Development patients first seen on or after this day are the temporal test."""
    sites: dict[SiteName, SiteConfig] = Field(min_length=1)
    """The hospitals, by a name of lower-case letters, digits and hyphens."""


def _clinical_field(field_t: float) -> float:
    if field_t not in (1.5, 3.0):
        raise ValueError("expected 1.5 or 3.0 tesla")
    return field_t


class SimulatedSiteConfig(Section):
    """One simulated hospital."""

    dialect: Literal["ge", "siemens", "siemens-xa", "philips", "philips-enhanced", "canon", "canon-enhanced", "uih"]
    """Whose DICOM the site writes."""
    field_t: Annotated[float, AfterValidator(_clinical_field)]
    """Field strength in tesla."""
    exams: int = Field(ge=1)
    """Number of exams."""
    record_style: Literal["english", "german", "coded", "plain", "french"] = "english"
    """Columns, units and codes of its health record, and the language of its names and series."""
    layout: Literal["series", "exam", "flat"] = "series"
    """Its DICOM tree: a folder a series, a folder an exam, or all files in one folder without extension."""
    clutter: float = Field(0.0, ge=0, le=1)
    """How much its exams differ from the usual one: 0 not at all, 1 as much as in a clinic."""


class SimulateConfig(Section):
    """The simulated cohort."""

    seed: int = Field(1, ge=0)
    """The whole cohort follows from it."""
    measurement_cv: float = Field(0.10, ge=0, le=0.5)
    """Within-subject coefficient of variation of the elastogram."""
    repeat_fraction: float = Field(0.08, ge=0, lt=1)
    """Share of the patients with a second exam."""
    mre_failure_fraction: float = Field(0.05, ge=0, lt=1)
    """Share of the exams whose elastogram failed."""
    missing_sequence_fraction: float = Field(0.05, ge=0, lt=1)
    """Share of the exams without T2w or without DWI."""
    atlases: int = Field(4, ge=1)
    """Number of labelled volumes."""
    first_date: dt.date = dt.date(2021, 1, 4)
    """Exams are made between this day ..."""
    last_date: dt.date = dt.date(2024, 12, 20)
    """... and this day."""
    sites: dict[SiteName, SimulatedSiteConfig] = Field({})
    """The simulated hospitals, by their name in `data.sites`."""
