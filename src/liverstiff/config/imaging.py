"""The stages that work on images."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, model_validator

from liverstiff.config.section import Section, Sequence, SiteName

SegmentMethod = Literal["network", "atlas", "masks", "totalsegmentator", "mrsegmentator"]
MreMap = Literal["masked", "confidence", "stiffness", "magnitude"]


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

    bias_spacing_mm: float = Field(10.0, gt=0)
    """Voxel size in mm at which the bias field is estimated."""
    standard_b: float = Field(600.0, gt=0)
    """b-value in s/mm2 of the diffusion image every site is brought to."""
    adc_min_b: float = Field(50.0, ge=0)
    """Smallest b-value in s/mm2 of the ADC fit, where two or more are as large."""
    reference: Literal["body", "muscle"] = "body"
    """Whose median is 1 afterwards: the whole body, or paraspinal muscle. Never the liver, which carries the signal."""
    no_muscle: Literal["body", "leave_out"] = "body"
    """Where no muscle is found with confidence: the body's median, or the sequence is left out. Recorded either way."""
    most_not_finite: float = Field(0.01, ge=0, lt=1)
    """Share of NaN or infinite voxels up to which they are taken for no signal; more is a fault of the sequence."""


class RegisterConfig(Section):
    """All sequences into the space of one, the frame: T1w, or without it T2w, or DWI."""

    spacing_mm: float = Field(3.0, gt=0)
    """Voxel size in mm of the registration."""
    transform: Literal["rigid", "affine"] = "affine"
    """The freest linear motion tried; each is kept only where it fits better than the stricter one before."""
    deformable: tuple[Sequence, ...] = ("DWI",)
    """Sequences for which a smooth displacement is tried last: DWI along `phase_axis`, others in all directions."""
    phase_axis: Literal["anterior-posterior", "right-left"] = "anterior-posterior"
    """Direction of phase encoding of echo-planar diffusion, along which it is distorted."""
    knots_mm: float = Field(60.0, gt=0)
    """Largest distance in mm between the control points of a deformable motion."""
    seed: int = 1
    """Seed of the points at which images are compared."""


class NetworkConfig(Section):
    """The segmentation network and its training."""

    steps: int = Field(2000, ge=1)
    """Steps of training, of two labelled volumes each."""
    learning_rate: float = Field(0.002, gt=0)
    """Largest learning rate."""
    spacing_mm: tuple[float, float, float] = (4.0, 4.0, 6.0)
    """Voxel size in mm of the network's grid along x, y, z."""
    patch: tuple[int, int, int] = (96, 80, 32)
    """Voxels of a training sample along x, y, z. Along x and y it holds the whole body."""
    channels: tuple[int, ...] = Field((32, 64, 128, 256), min_length=2)
    """Features at each level; each halves the grid, so that 4 levels want a `patch` of multiples of 8."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of the training; bfloat16 takes half the time on processors that have AMX, and far longer on others."""
    threads: int = Field(1, ge=1)
    """CPU threads of the training; the same number gives the same bytes."""


class AtlasConfig(Section):
    """Propagation of labelled volumes."""

    select: int = Field(6, ge=1)
    """How many of the most similar volumes are used."""
    spacing_mm: float = Field(8.0, gt=0)
    """Voxel size in mm of the registration."""
    transform: Literal["SyNOnly", "SyN", "antsRegistrationSyNQuick[s]"] = "SyNOnly"
    """ANTs' name of the deformable transform."""


class ProgramConfig(Section):
    """A segmentation program installed in an environment of its own."""

    program: str
    """Name or path of its executable."""
    weights: str
    """Folder of its weights; nothing is downloaded."""


class SegmentConfig(Section):
    """Liver and spleen."""

    methods: tuple[SegmentMethod, ...] = Field(("network",), min_length=1)
    """In this order, until one gives a mask that is plausible and good enough."""
    least_quality: float = Field(0.8, ge=0, le=1)
    """Smallest predicted Dice of the liver; below it the next method is tried, then the exam is excluded."""
    sequences: tuple[Sequence, ...] = Field(("T1w",), min_length=1)
    """What is segmented: sequences like those of the labelled volumes. The masks of several are fused."""
    atlases: str | None = None
    """Folder with `image_<n>.nii.gz` and `label_<n>.nii.gz`, or `simulate`; for `network` and `atlas`."""
    liver_label: int = Field(1, ge=1)
    """Label of the liver in the atlases."""
    spleen_label: int = Field(2, ge=1)
    """Label of the spleen in the atlases."""
    masks: str | None = None
    """Folder with a mask `<exam>.nii.gz` per exam pseudonym (1 liver, 2 spleen); for `masks`."""
    liver_ml: tuple[float, float] = (400.0, 5000.0)
    """Smallest and largest plausible liver volume in ml."""
    most_cut_off: float = Field(0.3, ge=0, le=1)
    """Largest share of the liver's area that an outermost slice may show: more means that the image ends inside it."""
    network: NetworkConfig = NetworkConfig()
    """Training of the method `network`."""
    atlas: AtlasConfig = AtlasConfig()
    """The method `atlas`."""
    totalsegmentator: ProgramConfig | None = None
    """The method `totalsegmentator`."""
    mrsegmentator: ProgramConfig | None = None
    """The method `mrsegmentator`."""
    seed: int = 1
    """Seed of the training and of the metric's sampling."""

    @model_validator(mode="after")
    def _sources_are_given(self) -> SegmentConfig:
        needs = {"network": "atlases", "atlas": "atlases"}
        for method in self.methods:
            key = needs.get(method, method)
            if getattr(self, key) is None:
                raise ValueError(f"the method {method!r} needs segment.{key}; give it or take the method out")
        return self


class ElastographySiteConfig(Section):
    """How one site stores its elastograms: overrules what its files state or leave open."""

    series: dict[MreMap, str] = Field({})
    """Regular expression per map, searched in the series texts (small letters, no accents, joined by `|`); the maps so
    named are those that match, and no others. Of several that match, the first in the order of MreMap counts."""
    unit: Literal["Pa", "kPa"] | None = None
    """Unit of the stiffness map, after `scale`."""
    scale: float = Field(1.0, gt=0)
    """What the values of the stiffness map, as its header maps them, are multiplied by to be in `unit`."""
    confidence: Literal["map", "masked", "none"] | None = None
    """Where confidence is: a map of its own, a map in which the rest is masked out, or nowhere, so that every pixel
    counts; left out, what is found."""
    confidence_full: float | None = Field(None, gt=0)
    """Value of the confidence map that stands for full confidence."""
    frequency_hz: float | None = Field(None, gt=0)
    """Frequency in Hz at which the site drives, where its files do not state it."""

    @model_validator(mode="after")
    def _makes_sense(self) -> ElastographySiteConfig:
        for name, pattern in self.series.items():
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"series.{name}: {pattern!r} is no regular expression: {error}; correct it") from None
        if self.scale != 1 and self.unit is None:
            raise ValueError("scale without unit; give the unit that the scale leads to")
        if self.confidence_full is not None and self.confidence in ("masked", "none"):
            raise ValueError(f"confidence_full is of a map, but confidence is {self.confidence!r}; remove one")
        return self


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
    frequency_hz: float | None = Field(60.0, gt=0)
    """Frequency in Hz of the vibration; an elastogram that states another is refused. null takes any."""
    tissue_spread: float = Field(3.0, gt=0)
    """Pixels this many robust spreads from the liver's median are vessels or other tissue, in the frame image and in
    the elastogram's magnitude."""
    refine: bool = True
    """Move the liver mask onto the elastogram's magnitude where that fits better than the header's geometry."""
    sites: dict[SiteName, ElastographySiteConfig] = Field({})
    """Rules of single sites."""

    def of(self, site: str) -> ElastographySiteConfig:
        """The rule of a site; one that overrules nothing where none is given."""
        return self.sites.get(site, ElastographySiteConfig())


class PackConfig(Section):
    """The model grid: a box around the liver in RAS axes."""

    shape: tuple[int, int, int] = (96, 96, 32)
    """Voxels of the model grid along x, y, z."""
    spacing_mm: tuple[float, float, float] = (2.5, 2.5, 6.0)
    """Voxel size in mm of the model grid."""
    margin_mm: float = Field(10.0, ge=0)
    """Surroundings in mm that the box should show on every side of the liver; less is marked in `table.csv`."""
