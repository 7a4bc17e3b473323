"""The configuration, typed once: ``config.yaml`` and ``config.schema.json`` follow from these classes.

Every section has the name of its stage. Unknown keys are refused; all mistakes are reported together.
This module is read by the Snakefile, so it imports nothing heavy.
"""

from __future__ import annotations

import csv
import datetime as dt
import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from liverstiff.errors import ConfigError

SIMULATE = "simulate"
"""Stands in the config where a path would, for data made by the stage ``simulate``."""

SiteName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,30}$")]
Sequence = Literal["T1w", "T2w", "DWI"]


class Section(BaseModel):
    """A part of the configuration: unknown keys are refused, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ColumnConfig(Section):
    """How one column of a record table is read."""

    column: str
    unit: str | None = None
    codes: dict[str, str] | None = None


class RecordConfig(Section):
    """A site's health record: one CSV table, a row per patient and date."""

    table: str
    patient: str
    date: str
    columns: dict[str, ColumnConfig]


class SiteConfig(Section):
    """One hospital: where its exams and its record are, and what they are used for."""

    role: Literal["development", "external"]
    dicom: str
    record: RecordConfig


class DataConfig(Section):
    """The sites, the folder of secrets, and how exams are grouped into jobs."""

    private: str = "private"
    shard_size: int = Field(32, ge=1)
    workers: int = Field(1, ge=1)
    temporal_cut: dt.date
    sites: dict[SiteName, SiteConfig] = Field(min_length=1)


class SimulatedSiteConfig(Section):
    """One simulated hospital."""

    dialect: Literal["ge", "siemens", "philips", "philips-enhanced"]
    field_t: Literal[1.5, 3.0]
    exams: int = Field(ge=1)


class SimulateConfig(Section):
    """The simulated cohort."""

    seed: int = Field(1, ge=0)
    measurement_cv: float = Field(0.10, ge=0, le=0.5)
    repeat_fraction: float = Field(0.08, ge=0, lt=1)
    mre_failure_fraction: float = Field(0.05, ge=0, lt=1)
    missing_sequence_fraction: float = Field(0.05, ge=0, lt=1)
    atlases: int = Field(4, ge=1)
    first_date: dt.date = dt.date(2021, 1, 4)
    last_date: dt.date = dt.date(2024, 12, 20)
    sites: dict[SiteName, SimulatedSiteConfig] = {}


class CatalogConfig(Section):
    """Which exams are taken."""

    required: tuple[Sequence, ...] = ("T1w",)
    require_mre: bool = True


class ConvertConfig(Section):
    """DICOM to NIfTI."""

    timeout_s: float = Field(600, gt=0)


class HarmonizeConfig(Section):
    """Bias field, intensity scale and diffusion."""

    bias_spacing_mm: float = Field(12.0, gt=0)
    standard_b: float = Field(600.0, gt=0)
    adc_min_b: float = Field(50.0, ge=0)


class RegisterConfig(Section):
    """T2w and diffusion into T1w space."""

    spacing_mm: float = Field(4.0, gt=0)
    transform: Literal["rigid", "affine"] = "affine"
    seed: int = 1


class SegmentConfig(Section):
    """Liver and spleen by propagation of labelled atlases."""

    atlases: str
    select: int = Field(3, ge=1)
    spacing_mm: float = Field(5.0, gt=0)
    transform: Literal["SyNOnly", "SyN", "antsRegistrationSyNQuick[s]"] = "SyN"
    liver_ml: tuple[float, float] = (400.0, 5000.0)
    seed: int = 1


class ElastographyConfig(Section):
    """Stiffness from the elastogram."""

    confidence: float = Field(0.95, gt=0, le=1)
    erosion_mm: float = Field(10.0, ge=0)
    min_area_mm2: float = Field(500.0, ge=0)
    range_kpa: tuple[float, float] = (0.5, 20.0)
    tissue_spread: float = Field(3.0, gt=0)
    units: dict[SiteName, Literal["Pa", "kPa"]] = {}


class CohortConfig(Section):
    """The record joined to the exams."""

    days_before: int = Field(90, ge=0)
    days_after: int = Field(7, ge=0)
    steatosis_pdff: float = Field(5.0, gt=0)


class SplitConfig(Section):
    """Folds by patient, a temporal test, an external test."""

    folds: int = Field(10, ge=2)
    bands_kpa: tuple[float, ...] = (2.5, 3.0, 4.0)


class PackConfig(Section):
    """The model grid: a box around the liver in RAS axes."""

    shape: tuple[int, int, int] = (96, 96, 32)
    spacing_mm: tuple[float, float, float] = (2.5, 2.5, 6.0)


class TrainConfig(Section):
    """The network and how it learns."""

    record: tuple[str, ...] = (
        "age",
        "sex",
        "bmi",
        "diabetes",
        "ast",
        "alt",
        "ggt",
        "platelets",
        "albumin",
        "bilirubin",
        "inr",
    )
    patch: tuple[int, int, int] = (8, 8, 8)
    width: int = Field(96, ge=8)
    depth: int = Field(4, ge=1)
    heads: int = Field(4, ge=1)
    dropout: float = Field(0.0, ge=0, lt=1)
    epochs: int = Field(60, ge=1)
    batch: int = Field(16, ge=1)
    learning_rate: float = Field(1e-3, gt=0)
    weight_decay: float = Field(0.05, ge=0)
    warmup: float = Field(0.1, ge=0, lt=1)
    inner_validation: float = Field(0.15, gt=0, lt=0.5)
    patience: int = Field(20, ge=1)
    threads: int = Field(1, ge=1)
    drop_sequence: float = Field(0.15, ge=0, lt=1)
    device: Literal["cpu", "cuda"] = "cpu"
    seed: int = Field(1, ge=0)


class PredictConfig(Section):
    """Estimates of held-out exams and their intervals."""

    interval: float = Field(0.90, gt=0, lt=1)
    device: Literal["cpu", "cuda"] = "cpu"


class EvaluateConfig(Section):
    """Statistics."""

    resamples: int = Field(2000, ge=100)
    thresholds_kpa: tuple[float, ...] = (2.5, 3.0, 3.5, 4.0, 5.0)
    demonstration_below: int = Field(100, ge=0)
    seed: int = 1


class ReportConfig(Section):
    """The page."""

    title: str = "Liver stiffness from routine MRI"
    gallery: int = Field(12, ge=0)


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


def check_inputs(config: Config, root: Path = Path()) -> None:
    """Look at everything the config points to, before any work starts.

    Raises:
        ConfigError: one line per problem: site, key, path, what was expected, what to do.
    """
    problems: list[str] = []
    for name, site in config.data.sites.items():
        if site.dicom != SIMULATE:
            problems += _check_tree(f"data.sites.{name}.dicom", root / site.dicom)
        if site.record.table != SIMULATE:
            problems += _check_table(f"data.sites.{name}.record", root / site.record.table, site.record)
    if config.segment.atlases != SIMULATE and not list((root / config.segment.atlases).glob("image_*.nii.gz")):
        problems.append(
            f"segment.atlases: no image_*.nii.gz in {config.segment.atlases}; expected labelled volumes "
            "image_*.nii.gz and label_*.nii.gz; give that folder"
        )
    if problems:
        raise ConfigError("\n".join(problems))


def _check_tree(key: str, folder: Path) -> list[str]:
    """Problems with a site's folder of DICOM files."""
    if not folder.is_dir():
        return [f"{key}: no folder {folder}; expected the site's DICOM tree; correct the path or mount it"]
    if not any(_is_dicom(Path(parent) / name) for parent, _, names in os.walk(folder) for name in names):
        return [f"{key}: no exam in {folder}; expected at least one DICOM file; fill it or remove the site"]
    return []


def _is_dicom(path: Path) -> bool:
    """True for a file that may be DICOM: the preamble, or a packed file that the stage catalog opens."""
    if path.suffix in (".gz", ".zip"):
        return True
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def _check_table(key: str, path: Path, record: RecordConfig) -> list[str]:
    """Problems with a site's record: the file, then its columns."""
    if not path.is_file():
        return [f"{key}.table: no file {path}; expected the site's health record as CSV; correct the path"]
    with path.open(newline="", encoding="utf-8-sig") as file:
        header = next(csv.reader(file), [])
    wanted = {"patient": record.patient, "date": record.date}
    wanted |= {f"columns.{name}": column.column for name, column in record.columns.items()}
    return [
        f"{key}.{name}: no column {column!r} in {path}; its columns are {', '.join(header)}; correct the name"
        for name, column in wanted.items()
        if column not in header
    ]


def json_schema() -> dict[str, Any]:
    """The JSON schema of ``config.yaml``, kept in ``config.schema.json`` for editors."""
    return Config.model_json_schema()
