"""The stages that work on tables and the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, model_validator

from liverstiff.config.data import SiteConfig
from liverstiff.config.record import Rule
from liverstiff.config.section import Section, Sequence

VariantName = Annotated[str, StringConstraints(pattern=r"^[a-z][A-Za-z0-9-]{0,30}$")]


class CohortConfig(Section):
    """The record joined to the exams."""

    days_before: int = Field(90, ge=0)
    """Values this many days before the exam still count."""
    days_after: int = Field(7, ge=0)
    """Values this many days after the exam still count."""
    biopsy_days: int | None = Field(None, ge=0)
    """Values drawn up to this many days after a liver biopsy do not count; left out, none drawn after one does."""
    reference: Literal["elastogram", "reported", "elastogram_else_reported"] = "elastogram"
    """Where the reference value comes from: read from the elastogram, or reported in the record."""
    reported_days: int = Field(1, ge=0)
    """A reported value this many days before or after the exam is that exam's."""
    reference_range: tuple[float, float] | None = None
    """Smallest and largest plausible reported value in `target.unit`; left out, 0.5 to 75 for kPa."""
    eligible: dict[str, Rule] = Field({})
    """Exams that are taken, by variable: the codes, or a range, that pass, e.g. `{age: {min: 18}}`."""
    required: tuple[str, ...] = ()
    """Variables without which an exam is excluded."""
    steatosis_pdff: float = Field(5.0, gt=0)
    """Fat fraction in per cent from which a liver counts as steatotic."""


class SplitConfig(Section):
    """Folds by patient, a temporal test, an external test."""

    scheme: Literal["kfold", "leave-one-site-out", "leave-one-vendor-out"] = "kfold"
    """What a fold holds out: a share of the development patients, one development site, or one vendor."""
    folds: int = Field(10, ge=2)
    """Number of folds of `kfold`."""
    vendors: tuple[str, ...] = ()
    """Vendors of the development sites, for `leave-one-vendor-out`, as `exams.csv` of the catalog names them."""

    @property
    def ledger(self) -> str:
        """Name of the file with the folds given out, one for each scheme."""
        return "folds.csv" if self.scheme == "kfold" else f"folds-{self.scheme}.csv"

    def fold_names(self, sites: Mapping[str, SiteConfig]) -> list[str]:
        """Name of every fold: its number, or the development site or vendor that it holds out.

        Raises:
            ValueError: unless there are two or more, each once.
        """
        names = {
            "kfold": [str(fold) for fold in range(self.folds)],
            "leave-one-site-out": [name for name, site in sites.items() if site.role == "development"],
            "leave-one-vendor-out": list(self.vendors),
        }[self.scheme]
        if len(names) < 2 or len(set(names)) < len(names):
            key = "split.vendors" if self.scheme == "leave-one-vendor-out" else "development sites in data.sites"
            raise ValueError(f"{key}: got {', '.join(names) or 'none'}; {self.scheme} expects two or more, each once")
        return names


class TrainConfig(Section):
    """The model and how it learns."""

    inputs: tuple[Literal["images", "record"], ...] = Field(("images", "record"), min_length=1)
    """What the model is given; without `images` no packed image is needed."""
    model: Literal["transformer", "swin", "densenet121", "ridge", "published_like"] = "transformer"
    """`transformer` over patches and variables; `swin`, the encoder of MONAI's SwinUNETR, or `densenet121`, over all
    channels at once; `ridge`, a linear model of the record and the measured signs; `published_like`, a frozen 2D
    transformer (a timm ViT, its weights in `pretrained`) on 11 central slices with dense layers on top."""
    sequences: tuple[Sequence, ...] = Field(("T1w", "T2w", "DWI"), min_length=1)
    """Sequences the model is given; an exam without any of them is an error."""
    measured: Literal["none", "volumes", "signs"] = "signs"
    """Numbers measured on images that join the variables: volumes of liver and spleen, or also how bright the liver is
    against spleen and the rest, its ADC, texture and surface."""
    intensity: Literal["liver", "landmarks"] = "liver"
    """What gives T1w, T2w and DWI their scale: each image's own liver, or landmarks of the histogram
    that are fitted in the fold."""
    record: tuple[str, ...] = (
        *("age", "sex", "bmi", "diabetes", "ast", "alt", "ggt", "platelets", "albumin", "bilirubin", "inr"),
    )
    """Variables of the record the model reads: columns of the cohort table that hold numbers, and sex."""
    linear: bool = True
    """A network starts from the ridge estimate of its variables and learns what is to be added."""
    pretrained: str | None = None
    """A safetensors file whose tensors of equal name and shape the network starts from."""
    patch: tuple[int, int, int] = (8, 8, 8)
    """Voxels of one patch of the transformer along x, y, z; divides `pack.shape`."""
    stem: Literal["linear", "conv"] = "linear"
    """How the transformer makes a token of a patch."""
    width: int = Field(96, ge=8)
    """Length of a token; for `swin` its feature size, a multiple of 12."""
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
    inverse_density: bool = False
    """Exams count the more the rarer their reference value is."""
    inner_validation: float = Field(0.15, gt=0, lt=0.5)
    """Share of a fold's training patients that decide when to stop."""
    patience: int = Field(20, ge=1)
    """Epochs without improvement before training stops."""
    drop_sequence: float = Field(0.15, ge=0, lt=1)
    """Chance that a sequence is left out of an exam in training."""
    drop_value: float = Field(0.05, ge=0, lt=1)
    """Chance that a known variable is taken for unknown in training."""
    drop_signs: float = Field(0.3, ge=0, lt=1)
    """Chance that all numbers measured on the images are taken for unknown in training, so that a network learns to see
    in the voxels what they tell."""
    sensitivity: float = Field(0.30, ge=0, lt=1)
    """Training fails when other patients' images, with what is measured on them, change estimates by less than this
    share of their SD; 0 never."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where to train; a device that is absent is an error."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of the arithmetic of a training step; weights are float32, and so is everything that is measured or predicted."""
    compile: bool = False
    """Compile the network before training; it pays on a GPU."""
    resident_gb: float = Field(4.0, ge=0)
    """Images and masks of up to this size lie on the device; of more, the conditioned images are written once to a
    scratch file beside the checkpoint, which needs the room, and read from it while training goes on."""
    threads: int = Field(1, ge=1)
    """CPU threads of one fold; the same number gives the same bytes."""
    seed: int = Field(1, ge=0)
    """Seed of weights, order and augmentation."""
    tensorboard: bool = False
    """Also write the history for TensorBoard while training goes on, below `logs/train`."""
    variants: dict[VariantName, dict[str, Any]] = Field({})
    """Other models in the same splits, by name, as changes of this section, e.g. `{image-only: {inputs: [images]}}`."""

    @model_validator(mode="after")
    def _published_like_has_weights(self) -> TrainConfig:
        if self.model == "published_like" and self.pretrained is None:
            raise ValueError("model 'published_like' needs the weights of its transformer; give the file in pretrained")
        return self

    @model_validator(mode="after")
    def _variants_are_sections(self) -> TrainConfig:
        for name in self.variants:
            self.variant(name)
        return self

    def variant(self, name: str) -> TrainConfig:
        """This section with the changes of one variant."""
        return TrainConfig(**(self.model_dump(exclude={"variants"}) | self.variants[name]))

    @property
    def reads_images(self) -> bool:
        """True when this model or a variant is given images."""
        return any("images" in one.inputs for one in (self, *map(self.variant, self.variants)))


class PredictConfig(Section):
    """Estimates of held-out exams and their intervals."""

    interval: float = Field(0.90, gt=0, lt=1)
    """Coverage of the intervals."""
    unlike: float = Field(0.99, gt=0.5, lt=1)
    """An exam less like the training exams than this share of the out-of-fold exams is flagged `unlike_training`."""
    suspicious_auroc: float = Field(0.86, gt=0.5, le=1)
    """A model of the record alone that reaches more has seen what it should predict: prediction stops, or flags the
    exams of a variant."""
    suspicious_r2: float = Field(0.45, gt=0, le=1)
    """The same for the R2 of the target on its scale."""
    suspicious_threshold: float | None = None
    """Where the AUROC is taken; left out, the middle one of `target.thresholds`."""
    gallery: int = Field(6, ge=0)
    """Exams for which a picture shows what their estimate rests on."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where to predict; a device that is absent is an error."""


class EvaluateConfig(Section):
    """Statistics."""

    resamples: int = Field(2000, ge=100)
    """Bootstrap resamples of patients."""
    demonstration_below: int = Field(100, ge=0)
    """Figures from fewer exams carry the words `demonstration, not evidence`."""
    reference_cv: float = Field(0.10, ge=0, le=0.5)
    """Within-subject coefficient of variation of the reference, for r corrected for its noise."""
    within: float = Field(0.19, gt=0, lt=1)
    """An estimate that differs from the reference by at most this share of it is close."""
    crossed: int = Field(2, ge=1, le=4)
    """Largest number of characteristics that are combined to make a subgroup."""
    seed: int = Field(1, ge=0)
    """Seed of the bootstrap."""


class ReportConfig(Section):
    """The page."""

    title: str = "Liver stiffness from routine MRI"
    """Title of the page."""
    gallery: int = Field(12, ge=0)
    """Number of segmentations, registrations and elastograms shown."""
    furthest: int = Field(8, ge=0)
    """Number of exams shown whose estimate is furthest from the reference."""
    formats: tuple[Literal["png", "pdf", "svg"], ...] = ("png", "pdf", "svg")
    """Formats in which every figure is also written to a folder of its own; PNG at 300 dpi."""
