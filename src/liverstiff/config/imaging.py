"""The stages that work on images."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from liverstiff.config.section import Section, Sequence, SiteName


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
    units: dict[SiteName, Literal["Pa", "kPa"]] = Field({})
    """Unit of a site's stiffness maps; overrules what its files state or leave open."""


class PackConfig(Section):
    """The model grid: a box around the liver in RAS axes."""

    shape: tuple[int, int, int] = (96, 96, 32)
    """Voxels of the model grid along x, y, z."""
    spacing_mm: tuple[float, float, float] = (2.5, 2.5, 6.0)
    """Voxel size in mm of the model grid."""
