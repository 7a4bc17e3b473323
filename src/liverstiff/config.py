"""The configuration, typed once: ``config.yaml`` and ``config.schema.json`` follow from these classes.

Every section has the name of its stage. Unknown keys are refused; all mistakes are reported together.
This module is read by the Snakefile, so it imports nothing heavy.
"""

from __future__ import annotations

import datetime as dt
import json
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

SIMULATE = "simulate"
"""Stands in the config where a path would, for data made by the stage ``simulate``."""

SiteName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,30}$")]
Sequence = Literal["T1w", "T2w", "DWI"]


class Section(BaseModel):
    """A part of the configuration: unknown keys are refused, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class ColumnConfig(Section):
    """How one column of a record table is read."""

    column: str
    """Name of the column in the table."""
    unit: str | None = None
    """Unit of its values, e.g. `U/L`, `ukat/L`, `mg/dL`; empty for values without one."""
    codes: dict[str, str] | None = None
    """What the column's codes mean, e.g. `{F: female, M: male}` or `{yes: "1", no: "0"}`."""


class RecordConfig(Section):
    """A site's health record: one CSV table, a row per patient and date."""

    table: str
    """Path of the CSV table, or `simulate`."""
    patient: str
    """Column with the patient's number, the same as PatientID in DICOM."""
    date: str
    """Column with the date of the values."""
    columns: dict[str, ColumnConfig]
    """Where each variable is found: age, sex, bmi, diabetes, ast, alt, ggt, platelets, albumin, bilirubin, inr,
    pdff."""


class SiteConfig(Section):
    """One hospital: where its exams and its record are, and what they are used for."""

    role: Literal["development", "external"]
    """`development` sites are split into folds and the temporal test; `external` sites only test."""
    dicom: str | None = None
    """Folder of the site's DICOM files, in any shape, or `simulate`."""
    nifti: str | None = None
    """Instead of `dicom`: a BIDS folder, or a CSV table of images (docs/own-data.md)."""
    record: RecordConfig
    """The site's health record."""

    @model_validator(mode="after")
    def _one_source(self) -> SiteConfig:
        if (self.dicom is None) == (self.nifti is None):
            raise ValueError("give either dicom or nifti, the one that holds the site's images")
        return self


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
    sites: dict[SiteName, SimulatedSiteConfig] = {}
    """The simulated hospitals, by their name in `data.sites`."""


class CatalogConfig(Section):
    """Which exams are taken."""

    required: tuple[Sequence, ...] = ("T1w",)
    """Sequences without which an exam is excluded; T1w is the space of all images."""
    require_mre: bool = True
    """Exclude exams without an elastogram."""
    least_sequences: int = Field(1, ge=1, le=3)
    """Exclude exams with fewer of T1w, T2w and DWI."""
    overrides: str | None = None
    """CSV table of corrections that win over the rules (docs/own-data.md)."""


class ConvertConfig(Section):
    """DICOM to NIfTI."""

    timeout_s: float = Field(600, gt=0)
    """Longest time in seconds for one exam."""


class HarmonizeConfig(Section):
    """Bias field, intensity scale and diffusion."""

    bias_spacing_mm: float = Field(16.0, gt=0)
    """Voxel size in mm at which the bias field is estimated."""
    standard_b: float = Field(600.0, gt=0)
    """b-value in s/mm2 of the diffusion image every site is brought to."""
    adc_min_b: float = Field(50.0, ge=0)
    """Smallest b-value in s/mm2 of the ADC fit, where two or more are as large."""


class RegisterConfig(Section):
    """T2w and diffusion into T1w space."""

    spacing_mm: float = Field(6.0, gt=0)
    """Voxel size in mm of the registration."""
    transform: Literal["rigid", "affine"] = "rigid"
    """The last transform tried; an affine one follows distortion, at the price of precision along the body."""
    seed: int = 1
    """Seed of the metric's sampling."""


class SegmentConfig(Section):
    """Liver and spleen by propagation of labelled atlases."""

    atlases: str
    """Folder with `image_<n>.nii.gz` and `label_<n>.nii.gz` (1 liver, 2 spleen), or `simulate`."""
    select: int = Field(3, ge=1)
    """How many of the most similar atlases are used."""
    spacing_mm: float = Field(10.0, gt=0)
    """Voxel size in mm of the registration."""
    transform: Literal["SyNOnly", "SyN", "antsRegistrationSyNQuick[s]"] = "SyNOnly"
    """ANTs' name of the deformable transform."""
    liver_ml: tuple[float, float] = (400.0, 5000.0)
    """Smallest and largest plausible liver volume in ml."""
    liver_label: int = Field(1, ge=1)
    """Label of the liver in the atlases."""
    spleen_label: int = Field(2, ge=1)
    """Label of the spleen in the atlases."""
    seed: int = 1
    """Seed of the metric's sampling."""


class ElastographyConfig(Section):
    """Stiffness from the elastogram."""

    confidence: float = Field(0.95, gt=0, le=1)
    """Pixels below this confidence are left out."""
    erosion_mm: float = Field(10.0, ge=0)
    """Distance in mm kept from the liver's edge; less where the liver of a slice would vanish."""
    min_area_mm2: float = Field(500.0, ge=0)
    """Smallest area in mm2 over all slices."""
    range_kpa: tuple[float, float] = (0.5, 20.0)
    """Smallest and largest plausible stiffness in kPa."""
    tissue_spread: float = Field(3.0, gt=0)
    """T1w voxels this many robust spreads from the liver's median are vessels or other tissue."""
    units: dict[SiteName, Literal["Pa", "kPa"]] = {}
    """Unit of a site's stiffness maps; overrules what its files state or leave open."""


class CohortConfig(Section):
    """The record joined to the exams."""

    days_before: int = Field(90, ge=0)
    """Values this many days before the exam still count."""
    days_after: int = Field(7, ge=0)
    """Values this many days after the exam still count."""
    steatosis_pdff: float = Field(5.0, gt=0)
    """Fat fraction in per cent from which a liver counts as steatotic."""


class SplitConfig(Section):
    """Folds by patient, a temporal test, an external test."""

    folds: int = Field(10, ge=2)
    """Number of folds of the cross-validation."""
    bands_kpa: tuple[float, ...] = (2.5, 3.0, 4.0)
    """Edges in kPa of the bands of stiffness over which folds are balanced."""


class PackConfig(Section):
    """The model grid: a box around the liver in RAS axes."""

    shape: tuple[int, int, int] = (96, 96, 32)
    """Voxels of the model grid along x, y, z."""
    spacing_mm: tuple[float, float, float] = (2.5, 2.5, 6.0)
    """Voxel size in mm of the model grid."""


class TrainConfig(Section):
    """The network and how it learns."""

    record: tuple[str, ...] = (
        *("age", "sex", "bmi", "diabetes", "ast", "alt", "ggt", "platelets", "albumin", "bilirubin", "inr"),
    )
    """Variables of the record the model reads."""
    patch: tuple[int, int, int] = (8, 8, 8)
    """Voxels of one patch along x, y, z; divides `pack.shape`."""
    width: int = Field(96, ge=8)
    """Length of a token."""
    depth: int = Field(4, ge=1)
    """Number of transformer blocks."""
    heads: int = Field(4, ge=1)
    """Attention heads; divides `width`."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout in the blocks."""
    epochs: int = Field(60, ge=1)
    """Largest number of epochs."""
    batch: int = Field(16, ge=1)
    """Exams per step."""
    learning_rate: float = Field(1e-3, gt=0)
    """Largest learning rate."""
    weight_decay: float = Field(0.05, ge=0)
    """Weight decay of AdamW."""
    warmup: float = Field(0.1, ge=0, lt=1)
    """Share of the steps in which the learning rate rises."""
    inner_validation: float = Field(0.15, gt=0, lt=0.5)
    """Share of a fold's training patients that decide when to stop."""
    patience: int = Field(20, ge=1)
    """Epochs without improvement before training stops."""
    threads: int = Field(1, ge=1)
    """CPU threads of one fold; the same number gives the same bytes."""
    drop_sequence: float = Field(0.15, ge=0, lt=1)
    """Chance that a sequence is left out of an exam in training."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where to train; a device that is absent is an error."""
    seed: int = Field(1, ge=0)
    """Seed of weights, order and augmentation."""


class PredictConfig(Section):
    """Estimates of held-out exams and their intervals."""

    interval: float = Field(0.90, gt=0, lt=1)
    """Coverage of the intervals."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where to predict; a device that is absent is an error."""


class EvaluateConfig(Section):
    """Statistics."""

    resamples: int = Field(2000, ge=100)
    """Bootstrap resamples of patients."""
    thresholds_kpa: tuple[float, ...] = (2.5, 3.0, 3.5, 4.0, 5.0)
    """Thresholds in kPa of the ROC curves."""
    demonstration_below: int = Field(100, ge=0)
    """Figures from fewer exams carry the words `demonstration, not evidence`."""
    seed: int = 1
    """Seed of the bootstrap."""


class ReportConfig(Section):
    """The page."""

    title: str = "Liver stiffness from routine MRI"
    """Title of the page."""
    gallery: int = Field(12, ge=0)
    """Number of segmentations shown."""


class Config(Section):
    """The whole configuration: ``data``, then one section per stage in the order of the flow."""

    data: DataConfig
    simulate: SimulateConfig = SimulateConfig()
    catalog: CatalogConfig = CatalogConfig()
    convert: ConvertConfig = ConvertConfig()
    harmonize: HarmonizeConfig = HarmonizeConfig()
    register_: RegisterConfig = Field(RegisterConfig(), alias="register")  # the plain name is taken by Python's ABCs
    segment: SegmentConfig
    elastography: ElastographyConfig = ElastographyConfig()
    cohort: CohortConfig = CohortConfig()
    split: SplitConfig = SplitConfig()
    pack: PackConfig = PackConfig()
    train: TrainConfig = TrainConfig()
    predict: PredictConfig = PredictConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    report: ReportConfig = ReportConfig()

    @model_validator(mode="after")
    def _simulated_sites_exist(self) -> Config:
        for name, site in self.data.sites.items():
            if SIMULATE in (site.dicom, site.record.table) and name not in self.simulate.sites:
                raise ValueError(f"data.sites.{name} uses 'simulate', but simulate.sites has no {name!r}; add it there")
        return self


def json_schema() -> dict[str, Any]:
    """The JSON schema of ``config.yaml``, kept in ``config.schema.json`` for editors."""
    return Config.model_json_schema()


if __name__ == "__main__":
    print(json.dumps(json_schema(), indent=2))
