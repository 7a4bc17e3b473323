"""A tiny cohort run once through the real workflow, in a copy of the checkout: fixtures for every folder of tests."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

PARTS = ("Snakefile", "config.yaml", "rules", "envs", "profiles", "workflow_scripts", "src", "docs/captions")


@dataclass(frozen=True)
class Checkout:
    """A copy of the project in which a test may edit and run."""

    folder: Path
    planted: frozenset[bytes] = frozenset()
    """What must not be found in any public file."""

    def snakemake(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run snakemake here, with more options of ``subprocess.run``; output and error come back as text."""
        command = [sys.executable, "-m", "snakemake", "--cores", "2", *arguments]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "NO_ET": "1", "MPLBACKEND": "Agg"}
        fixed = {"cwd": self.folder, "env": environment, "capture_output": True, "text": True, "check": False}
        return subprocess.run(command, **fixed, **options)

    def planned(self, *arguments: str) -> dict[str, int]:
        """Number of jobs by rule that a dry run plans."""
        run = self.snakemake("--dry-run", *arguments)
        assert run.returncode == 0, run.stderr
        table = run.stdout.rsplit("Job stats:", 1)[-1] if "Job stats:" in run.stdout else ""
        jobs = re.findall(r"^(\w+)\s+(\d+)$", table, flags=re.MULTILINE)
        return {rule: int(count) for rule, count in jobs if rule not in ("total", "all")}

    def edit_config(self, **sections: dict) -> None:
        """Change keys of config.yaml by section."""
        path = self.folder / "config.yaml"
        config = yaml.safe_load(path.read_text())
        for name, values in sections.items():
            config.setdefault(name, {}).update(values)
        path.write_text(yaml.safe_dump(config, sort_keys=False))

    def read(self, *parts: str) -> str:
        """Text of one of its files."""
        return self.folder.joinpath(*parts).read_text()


def copy_checkout(root: Path, folder: Path) -> Checkout:
    """Copy what a run needs."""
    for part in PARTS:
        source, target = root / part, folder / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copy(source, target)
    return Checkout(folder)


def give_key(private: Path) -> None:
    """A fixed key: pseudonyms, folds and figures are then the same in every run of the tests."""
    private.mkdir(mode=0o700)
    key = private / "pseudonym.key"
    key.write_bytes(bytes(range(32)))
    key.chmod(0o600)


def tiny_config(here: Checkout) -> None:
    """The study of the tests: 21 exams of three hospitals, small everywhere, with a fixed key."""
    config = yaml.safe_load(here.read("config.yaml"))
    sites = {"alba": 9, "cedar": 8, "delta": 4}
    config["data"]["sites"] = {name: config["data"]["sites"][name] for name in sites}
    config["data"]["shard_size"] = 11
    config["data"]["temporal_cut"] = "2024-08-01"
    simulated = config["simulate"]["sites"]
    config["simulate"]["sites"] = {name: {**simulated[name], "exams": count} for name, count in sites.items()}
    config["simulate"]["mre_failure_fraction"] = 0.15
    config["split"]["folds"] = 3
    config["train"]["epochs"] = 12
    config["evaluate"]["resamples"] = 200
    config["segment"]["network"]["steps"] = 300
    (here.folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    give_key(here.folder / config["data"]["private"])


@pytest.fixture
def checkout(root: Path, tmp_path: Path) -> Checkout:
    """A copy in which nothing has run."""
    return copy_checkout(root, tmp_path / "checkout")


@pytest.fixture(scope="session")
def finished(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A copy in which the workflow has run on 21 exams of three hospitals. Tests must leave it as they found it."""
    from planting import plant  # here, for the tests that do not need it

    here = copy_checkout(root, tmp_path_factory.mktemp("flow") / "checkout")
    tiny_config(here)
    run = here.snakemake("--until", "simulate")
    assert run.returncode == 0, run.stdout + run.stderr
    planted = set().union(*(plant(tree) for tree in here.folder.glob("results/simulate/*/dicom")))
    run = here.snakemake()
    assert run.returncode == 0, run.stdout + run.stderr
    return replace(here, planted=frozenset(planted))
