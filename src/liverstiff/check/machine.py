"""What this machine lacks: a device, a program, permissions. Each function gives a sentence, empty when all is well."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from liverstiff.check.profile import Profile
from liverstiff.config import SIMULATE, Config

LEAST_CONDA = (24, 7, 1)
"""What Snakemake asks for."""
WRITTEN = ("results", "reports", "logs", "benchmarks", ".snakemake")


def device(wanted: str) -> str:
    """A CUDA device that is asked for must be there; a CPU always is."""
    if wanted == "cpu":
        return ""
    import torch

    return "" if torch.cuda.is_available() else f"{wanted} is asked for, and this machine has none; set device: cpu"


def dcm2niix() -> str:
    """The binary that the package carries."""
    try:
        import dcm2niix as package
    except ImportError:
        return "the package dcm2niix is not installed; pip install dcm2niix"
    return "" if Path(package.bin).is_file() else f"no binary at {package.bin}; reinstall the package dcm2niix"


def conda() -> str:
    """Conda itself, new enough for Snakemake; a mamba alone does not do."""
    said = output(["conda", "--version"])
    least = ".".join(map(str, LEAST_CONDA))
    if said is None:
        return f"no program conda, or it fails; --use-conda needs conda {least} or newer: install Miniforge"
    version = tuple(int(part) for part in re.findall(r"\d+", said)[:3])
    return "" if version >= LEAST_CONDA else f"{said.strip()} is too old; --use-conda needs {least} or newer: update it"


def permissions(config: Config, root: Path) -> str:
    """What must be read, and folders that must be written: the run's own and the one of secrets."""
    problems = [f"may not read {path}; ask for the permission" for path in _read(config, root) if not _readable(path)]
    for path in (root, *(root / name for name in WRITTEN), _nearest(root / config.data.private)):
        if path.is_dir() and not os.access(path, os.W_OK | os.X_OK):
            problems.append(f"may not write to {path.resolve()}; ask for the permission or run in another folder")
    return "\n".join(dict.fromkeys(problems))


def _read(config: Config, root: Path) -> list[Path]:
    """Files and folders of the configuration that are there."""
    sites = config.data.sites.values()
    given = [image for site in sites for image in (site.dicom, site.nifti)]
    given += [table.table for site in sites for table in site.record.sources if not table.is_database]
    given += [config.segment.atlases, config.segment.masks, config.catalog.overrides, config.train.pretrained]
    paths = [root / str(one) for one in given if one not in (None, SIMULATE)]
    return [path for path in paths if path.exists()]


def _readable(path: Path) -> bool:
    return os.access(path, os.R_OK | os.X_OK if path.is_dir() else os.R_OK)


def _nearest(path: Path) -> Path:
    """The folder, or the first one above it that is there."""
    return next(folder for folder in (path, *path.resolve().parents) if folder.exists())


def slurm_partitions(profile: Profile, cuda: bool) -> str:
    """Every partition that the profile names is there and up, and one has a GPU where one is asked for."""
    said = output(["sinfo", "--noheader", "--format=%R|%a|%G"])
    if said is None:
        return "sinfo does not answer; start the run where SLURM's commands are, e.g. on a login node"
    rows = [line.strip().split("|") for line in said.splitlines() if line.count("|") == 2]
    up = {name for name, state, _ in rows if state == "up"}
    problems = [
        f"no partition {name} that is up; there are {', '.join(sorted(up)) or 'none'}; correct the profile"
        for name in profile.partitions
        if name not in up
    ]
    named = profile.partitions or tuple(up)
    if cuda and not any("gpu" in gres for name, _, gres in rows if name in named):
        problems.append("device: cuda is asked for, and no partition of the profile has a GPU (gres); correct either")
    return "\n".join(problems)


def slurm_account(profile: Profile) -> str:
    """The account that the profile names is one of the user's: with an unknown one sbatch refuses every job."""
    if not profile.account:
        return ""
    said = output(
        ["sacctmgr", "--noheader", "--parsable2", "show", "associations", f"user={_user()}", "format=account"]
    )
    if said is None:
        return "sacctmgr does not answer, so that the account of the profile cannot be looked up"
    known = sorted(set(said.split()))
    there = ", ".join(known) or "none"
    return "" if profile.account in known else f"no account {profile.account}; yours: {there}; correct the profile"


def _user() -> str:
    import getpass

    return getpass.getuser()


def output(command: Sequence[str]) -> str | None:
    """What a program prints; None when it is not there, fails, or takes more than half a minute."""
    if shutil.which(command[0]) is None:
        return None
    try:
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout
