"""The stages that work on tables and the model."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from liverstiff.config.section import Section


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
