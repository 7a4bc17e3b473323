"""The table of ``liverstiff check``: what was looked at, what is wrong with it, and what the run will take."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from liverstiff.check import machine
from liverstiff.check.estimate import EXAM_GB, Estimate, estimate
from liverstiff.check.inputs import check_inputs
from liverstiff.check.profile import Profile, read_profile
from liverstiff.check.settings import read_config
from liverstiff.check.size import Size, study_size
from liverstiff.config import Config
from liverstiff.errors import ConfigError, LiverStiffError

LEAST_GB = 5.0
"""Free space below which a run is not advised, however small it is."""


@dataclass(frozen=True)
class Finding:
    """One line of the table."""

    what: str
    problem: str = ""
    """What is wrong and what to do; empty when nothing is."""
    said: str = "ok"
    """What to tell when nothing is wrong."""


def findings(
    path: Path, profile: Path | None = None, use_conda: bool = False, exams: int | None = None
) -> list[Finding]:
    """Look at a configuration, at this machine, and at the cluster of a profile.

    Args:
        path: the configuration; its folder is the one in which the run writes.
        profile: a Snakemake profile; SLURM is looked at only when the profile sends jobs there.
        use_conda: the run will be started with ``--use-conda``.
        exams: exams of the study, where somebody knows better than the folders tell.
    """
    try:
        config = read_config(path)
    except LiverStiffError as error:
        return [Finding(str(path), str(error))]
    root = path.parent
    denied, wrong = machine.permissions(config, root), _message(config, root)
    found = [Finding(str(path)), Finding("permissions", denied), Finding("sites, records, atlases", wrong)]
    try:
        place = read_profile(profile) if profile else Profile()
    except LiverStiffError as error:
        return [*found, Finding(str(profile), str(error))]
    cuda = "cuda" in (config.train.device, config.predict.device)
    if place.slurm:
        found.append(Finding("SLURM partitions", machine.slurm_partitions(place, cuda), ", ".join(place.partitions)))
        found.append(Finding("SLURM account", machine.slurm_account(place), place.account or "the user's default"))
    else:
        found.append(Finding("device of train", machine.device(config.train.device), config.train.device))
        found.append(Finding("device of predict", machine.device(config.predict.device), config.predict.device))
    if use_conda or place.conda:
        found.append(Finding("conda", machine.conda()))
    found.append(Finding("dcm2niix", machine.dcm2niix()))
    return [*found, *([_space(root, None)] if denied or wrong else _sized(config, root, exams))]


def _message(config: Config, root: Path) -> str:
    """The mistakes that a run would start with."""
    try:
        check_inputs(config, root)
    except ConfigError as error:
        return str(error)
    return ""


def _sized(config: Config, root: Path, exams: int | None) -> list[Finding]:
    """What the run will take, and whether there is room for it."""
    sizes = study_size(config, root, EXAM_GB)
    expected = estimate(config, sizes, exams)
    found = [Finding(f"exams of {site}", said=_told(size)) for site, size in sizes.items()]
    if expected is None:
        return [*found, Finding("the run", said="cannot be estimated before it; give --exams"), _space(root, None)]
    told = (
        f"{expected.exams:,} exams in {expected.shards:,} shards: {expected.jobs:,} jobs, "
        f"about {expected.core_hours:,.1f} core-hours ({expected.training_hours:,.1f} of them training on a CPU), "
        "by the benchmarks of the simulated cohort and the bytes of these exams"
    )
    return [*found, Finding("the run", said=told), _space(root, expected)]


def _told(size: Size) -> str:
    exams = "not known" if size.exams is None else f"{size.exams:,}"
    return f"{exams} by {size.basis}" + (f", {size.gigabytes:,.1f} GB" if size.gigabytes else "")


def _space(root: Path, expected: Estimate | None) -> Finding:
    """Free space where the run writes against what it is expected to write."""
    free = shutil.disk_usage(root.resolve()).free / 1e9
    needed = max(LEAST_GB, expected.gigabytes if expected else 0)
    basis = f"about {expected.gigabytes:,.1f} GB will be written" if expected else f"{LEAST_GB:g} GB are advised"
    problem = f"{free:,.1f} GB free in {root.resolve()}; {basis}, {needed:,.1f} GB are needed: free some"
    return Finding("free disk space", problem if free < needed else "", f"{free:,.1f} GB free; {basis}")
