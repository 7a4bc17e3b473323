"""The configuration, typed once: ``config.yaml`` and ``config.schema.json`` follow from these classes.

Every section has the name of its stage. Unknown keys are refused; all mistakes are reported together.
This package is read by the Snakefile, so it imports nothing heavy.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from liverstiff.config.data import (
    DataConfig,
    SimulateConfig,
    SimulatedSiteConfig,
    SiteConfig,
    TargetConfig,
)
from liverstiff.config.imaging import (
    AtlasConfig,
    CatalogConfig,
    ConvertConfig,
    ElastographyConfig,
    ElastographySiteConfig,
    HarmonizeConfig,
    NetworkConfig,
    PackConfig,
    ProgramConfig,
    RegisterConfig,
    SegmentConfig,
)
from liverstiff.config.learning import (
    CohortConfig,
    EvaluateConfig,
    PredictConfig,
    ReportConfig,
    SplitConfig,
    TrainConfig,
)
from liverstiff.config.record import (
    ColumnConfig,
    LongConfig,
    RangeConfig,
    RecordConfig,
    ReportedConfig,
    Rule,
    TableConfig,
)
from liverstiff.config.section import SIMULATE, Section, Sequence, SiteName

__all__ = [
    "SIMULATE",
    "AtlasConfig",
    "CatalogConfig",
    "CohortConfig",
    "ColumnConfig",
    "Config",
    "ConvertConfig",
    "DataConfig",
    "ElastographyConfig",
    "ElastographySiteConfig",
    "EvaluateConfig",
    "HarmonizeConfig",
    "LongConfig",
    "NetworkConfig",
    "PackConfig",
    "PredictConfig",
    "ProgramConfig",
    "RangeConfig",
    "RecordConfig",
    "RegisterConfig",
    "ReportConfig",
    "ReportedConfig",
    "Rule",
    "Section",
    "SegmentConfig",
    "Sequence",
    "SimulateConfig",
    "SimulatedSiteConfig",
    "SiteConfig",
    "SiteName",
    "SplitConfig",
    "TableConfig",
    "TargetConfig",
    "TrainConfig",
    "json_schema",
]


class Config(Section):
    """The whole configuration: ``data`` and ``target``, then one section per stage in the order of the flow."""

    data: DataConfig
    target: TargetConfig = TargetConfig()
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
            simulated = SIMULATE in (site.dicom, *(table.table for table in site.record.sources))
            if simulated and name not in self.simulate.sites:
                raise ValueError(f"data.sites.{name} uses 'simulate', but simulate.sites has no {name!r}; add it there")
        return self

    @model_validator(mode="after")
    def _rules_are_of_sites(self) -> Config:
        for name in sorted(set(self.elastography.sites) - set(self.data.sites)):
            raise ValueError(f"elastography.sites.{name}: no such site in data.sites; correct the name or remove it")
        return self

    @model_validator(mode="after")
    def _every_site_has_a_reference(self) -> Config:
        reference = self.cohort.reference
        for name, site in self.data.sites.items():
            if reference == "reported" and not site.record.has_reported:
                raise ValueError(f"cohort.reference is 'reported', but data.sites.{name}.record has none; add it there")
            if reference == "elastogram" and site.record_only:
                raise ValueError(f"cohort.reference is 'elastogram', but data.sites.{name} has no images; see reported")
        if reference != "elastogram" and self.catalog.require_mre:
            raise ValueError(
                f"catalog.require_mre excludes exams without elastogram, but cohort.reference is {reference!r}; "
                "set catalog.require_mre to false"
            )
        if reference != "reported" and self.target.unit != "kPa":
            raise ValueError(
                f"target.unit {self.target.unit!r}: an elastogram gives kPa; set cohort.reference: reported"
            )
        return self

    @model_validator(mode="after")
    def _folds_have_names(self) -> Config:
        self.split.fold_names(self.data.sites)
        return self


def json_schema() -> dict[str, Any]:
    """The JSON schema of ``config.yaml``, kept in ``config.schema.json`` for editors."""
    return Config.model_json_schema()
