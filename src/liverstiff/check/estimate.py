"""Jobs, core-hours and gigabytes of a run, before it starts.

The constants are of one run: the default configuration, 60 simulated exams of 4.7 MB (280.6 MB of DICOM), on two cores
of a shared virtual machine. :data:`CORE_SECONDS` is the column ``s`` of the tables under ``benchmarks/``, summed by
stage and divided by 60; :data:`WRITTEN` is the size of each stage's folder divided by those 280.6 MB. Both are taken to
grow with the bytes of an exam, which is more than they do where an exam holds series that the workflow does not take.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from liverstiff.check.size import Size
from liverstiff.config import SIMULATE, Config
from liverstiff.records import PARTITIONS

EXAM_GB = 0.00468
"""An exam of that run."""

CORE_SECONDS = {
    "simulate": 0.50,
    "catalog": 0.17,
    "convert": 0.35,
    "harmonize": 2.06,
    "register": 2.53,
    "segment": 0.84,
    "elastography": 0.25,
    "pack": 0.11,
}
"""Per exam of :data:`EXAM_GB`, the start of the job (2 to 4 s for 32 exams) included."""

WRITTEN = {
    "simulate": 1.0,
    "catalog": 0.033,
    "convert": 0.271,
    "harmonize": 0.588,
    "register": 0.981,
    "segment": 0.007,
    "elastography": 0.006,
}
"""Bytes written per byte of DICOM."""

NETWORK_S = 0.16
"""Per step of the segmentation network's training: 95 s for 600 steps of the default's small patch."""
VOXEL_EPOCH_S = 4e-7
"""Of training: 7.9 s for 40 epochs of 30 exams of 32 x 32 x 16 voxels, in the default's small network on a core."""
STUDY_S = 120
"""All jobs of the study together: 45 s at 60 exams, most of it their start, and more at more exams."""
FOLD_GB = 0.2
"""Weights and a checkpoint with the optimiser's state, four numbers of 4 bytes for each of 11 million parameters: the
largest of the networks."""
STUDY_GB = 0.1
"""Tables, figures, page and logs of the study: 20 MB."""


@dataclass(frozen=True)
class Estimate:
    """What a run takes."""

    exams: int
    shards: int
    jobs: int
    core_hours: float
    training_hours: float
    """Of the core-hours, those of training on a CPU."""
    gigabytes: float


def estimate(config: Config, sizes: Mapping[str, Size], exams: int | None = None) -> Estimate | None:
    """Estimate a run from the size of its sites; None where a site's exams are not known.

    Args:
        config: the checked configuration.
        sizes: by site, see :func:`liverstiff.check.size.study_size`.
        exams: exams of the whole study, where somebody knows better; the bytes are then scaled.
    """
    if exams is None and any(size.exams is None for size in sizes.values()):
        return None
    counted = sum(size.exams or 0 for size in sizes.values())
    scale = exams / counted if exams is not None and counted else 1.0
    exams = counted if exams is None else exams
    shards = math.ceil(exams / config.data.shard_size)
    seconds, written = 0.0, 0.0
    for size in sizes.values():
        dicom = scale * size.gigabytes / (WRITTEN["convert"] if size.kind == "nifti" else 1)
        stages = [stage for stage in CORE_SECONDS if _runs(stage, size.kind, config)]
        # An exam smaller than those of the measured run costs as much as one of them.
        equal = max(dicom / EXAM_GB, scale * (size.exams or 0) if size.kind != "record" else 0)
        seconds += equal * sum(CORE_SECONDS[stage] for stage in stages)
        written += dicom * sum(WRITTEN.get(stage, 0) for stage in stages)
    training = exams * _training_s(config) / 3600
    network = config.segment.network.steps * NETWORK_S if "network" in config.segment.methods else 0
    models = _folds(config) * (1 + len(config.train.variants))
    packed = exams * math.prod(config.pack.shape) * 9 / 1e9  # four channels of 2 bytes, a mask of 1
    return Estimate(
        exams=exams,
        shards=shards,
        jobs=jobs(config, shards),
        core_hours=(seconds + network + STUDY_S) / 3600 + training,
        training_hours=training,
        gigabytes=written + packed + models * FOLD_GB + STUDY_GB,
    )


def _runs(stage: str, kind: str, config: Config) -> bool:
    """True for a stage that works on the images of such a site."""
    if stage == "simulate":
        return kind == "simulate"
    return kind != "record" and (stage != "elastography" or config.cohort.reference != "reported")


def _training_s(config: Config) -> float:
    """Seconds of training for each exam: it is in all folds but one, in every epoch, of every model."""
    models = (config.train, *map(config.train.variant, config.train.variants))
    voxels = math.prod(config.pack.shape)
    epochs = sum(model.epochs for model in models if "images" in model.inputs)
    return (_folds(config) - 1) * epochs * voxels * VOXEL_EPOCH_S


def _folds(config: Config) -> int:
    return len(config.split.fold_names(config.data.sites))


def jobs(config: Config, shards: int) -> int:
    """Jobs of a whole run, the one of the rule ``all`` included, as Snakemake counts them."""
    sites = config.data.sites.values()
    simulated = sum(SIMULATE in (site.dicom, *(table.table for table in site.record.sources)) for site in sites)
    stages = 5 + (config.cohort.reference != "reported")  # convert, harmonize, register, segment, pack; elastography
    models = 1 + len(config.train.variants)
    explained = config.predict.gallery > 0 and "images" in config.train.inputs
    network, atlas = ("network" in config.segment.methods, "atlas" in config.segment.methods)
    atlases = config.segment.atlases == SIMULATE and (network or atlas)
    once = ("catalog", "probe", "cohort", "split", "baselines", "evaluate", "report", "provenance", "all")
    return (
        simulated
        + len(config.data.sites)
        + shards * stages
        + models * (_folds(config) + len(PARTITIONS))
        + sum((explained, network, atlases))
        + len(once)
    )
