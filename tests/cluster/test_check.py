"""`liverstiff check` asks a real SLURM."""

import re
import shutil
from getpass import getuser
from pathlib import Path

import pytest
import yaml

from liverstiff.check.findings import findings

pytestmark = pytest.mark.xdist_group("flow")


@pytest.fixture
def study(root: Path, tmp_path: Path, slurm, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the default configuration and the cluster profile, for a user with the account ``liver``."""
    for name, value in slurm.environment.items():
        monkeypatch.setenv(name, value)
    slurm.run("sacctmgr", "--immediate", "add", "account", "liver", check=False)
    slurm.run("sacctmgr", "--immediate", "add", "user", getuser(), "account=liver", check=False)
    shutil.copy(root / "config.yaml", tmp_path / "config.yaml")
    shutil.copytree(root / "profiles" / "slurm", tmp_path / "profiles" / "slurm")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def checked(study: Path, account: str, partitions: dict) -> dict[str, str]:
    """What is wrong with the cluster, by what was looked at."""
    profile = study / "profiles" / "slurm"
    values = yaml.safe_load((profile / "config.yaml").read_text())
    values["default-resources"]["slurm_account"] = account
    (profile / "config.yaml").write_text(yaml.safe_dump(values))
    (profile / "partitions.yaml").write_text(yaml.safe_dump({"partitions": partitions}))
    return {one.what: one.problem for one in findings(study / "config.yaml", profile) if "SLURM" in one.what}


def test_account_and_partitions_that_are_there(study):
    found = checked(study, "liver", {"cpu": {"max_runtime": 2880}, "gpu": {"max_gpu": 8}})
    assert found == {"SLURM partitions": "", "SLURM account": ""}


def test_account_and_partitions_that_are_not(study):
    found = checked(study, "kidney", {"cpu": {"max_runtime": 2880}, "gpus": {"max_gpu": 8}})
    assert found["SLURM partitions"].startswith("no partition gpus that is up; there are cpu, gpu, urgent;")
    told = re.fullmatch(r"no account kidney; yours: (.+); correct the profile", found["SLURM account"])
    assert "liver" in told[1].split(", ")
