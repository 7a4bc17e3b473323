"""What the machine and the cluster lack, told before the first job."""

import os
import shutil
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from liverstiff.check import machine, read_config
from liverstiff.check.findings import findings
from liverstiff.check.profile import Profile, read_profile
from liverstiff.cli import app
from liverstiff.errors import ConfigError

PROFILE = {
    "executor": "slurm",
    "default-resources": {"slurm_partition": "cpu", "slurm_account": "liver"},
    "set-resources": {"train": {"slurm_partition": "gpu"}, "predict": {"slurm_partition": "gpu"}},
}
SINFO = "#!/bin/sh\necho 'cpu|up|(null)'\necho 'gpu|up|gpu:a100:2'\necho 'old|down|(null)'\n"
SACCTMGR = "#!/bin/sh\nprintf 'liver\\nother\\n'\n"


@pytest.fixture
def config(root: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(root / "config.yaml", tmp_path / "config.yaml"))


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Writes a program that alone is found, beside the shell's own."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    def write(name: str, text: str) -> None:
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)

    for name in ("sinfo", "sacctmgr", "conda"):
        write(name, "#!/bin/sh\nexit 1\n")
    return write


def profile(folder: Path, **changes: object) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(PROFILE | changes))
    return folder


def problems(path: Path, *arguments: object) -> dict[str, str]:
    return {one.what: one.problem for one in findings(path, *arguments)}


@pytest.mark.parametrize(
    ("said", "enough"),
    [("conda 26.7.1", True), ("conda 24.7.1", True), ("conda 24.7.0", False), ("conda 4.12.0", False)],
)
def test_version_of_conda(programs, said, enough):
    programs("conda", f"#!/bin/sh\necho '{said}'\n")
    assert (machine.conda() == "") == enough


def test_conda_is_looked_at_only_where_it_is_asked_for(config, programs, tmp_path):
    assert "conda" not in problems(config)
    assert "no program conda" in problems(config, None, True)["conda"]
    with_conda = profile(tmp_path / "p", **{"executor": "local", "software-deployment-method": ["conda"]})
    assert "no program conda" in problems(config, with_conda)["conda"]


def test_slurm_is_looked_at_only_where_jobs_go_there(config, programs, tmp_path):
    local = profile(tmp_path / "local", executor="local")
    assert not [what for what in problems(config, local) if "SLURM" in what]
    found = problems(config, profile(tmp_path / "slurm"))
    assert "sinfo does not answer" in found["SLURM partitions"]
    assert "sacctmgr does not answer" in found["SLURM account"]
    assert "device of train" not in found  # the device is a node's, not this machine's


def test_partitions_and_account_that_are_there(config, programs, tmp_path):
    programs("sinfo", SINFO)
    programs("sacctmgr", SACCTMGR)
    found = {one.what: one for one in findings(config, profile(tmp_path / "p"))}
    assert not [one for one in found.values() if one.problem]
    assert found["SLURM partitions"].said == "cpu, gpu"
    assert found["SLURM account"].said == "liver"


def test_partition_and_account_that_are_not_there(config, programs, tmp_path):
    programs("sinfo", SINFO)
    programs("sacctmgr", SACCTMGR)
    given = {"slurm_partition": "old", "slurm_account": "nobody"}
    found = problems(config, profile(tmp_path / "p", **{"default-resources": given}))
    assert "no partition old that is up; there are cpu, gpu; correct the profile" in found["SLURM partitions"]
    assert "no account nobody; yours: liver, other; correct the profile" in found["SLURM account"]
    given = CliRunner().invoke(app, ["check", "--config", str(config), "--profile", str(tmp_path / "p")])
    assert given.exit_code == 1


def test_a_gpu_is_in_a_partition_of_the_profile(programs):
    programs("sinfo", SINFO)
    assert machine.slurm_partitions(Profile(slurm=True, partitions=("cpu", "gpu")), cuda=True) == ""
    assert machine.slurm_partitions(Profile(slurm=True, partitions=("cpu",)), cuda=False) == ""
    assert "no partition of the profile has a GPU" in machine.slurm_partitions(
        Profile(slurm=True, partitions=("cpu",)), cuda=True
    )


def test_profiles_in_every_spelling(tmp_path):
    folder = profile(
        tmp_path / "p",
        **{
            "default-resources": ["slurm_partition=a,b", "slurm_account='liver'"],
            "set-resources": ["train:slurm_partition=c", "train:mem_mb=1"],
            "use_conda": True,
        },
    )
    assert read_profile(folder) == Profile(slurm=True, conda=True, account="liver", partitions=("a", "b", "c"))
    expression = {"slurm_partition": "'gpu' if resources.gpu else 'cpu'"}
    folder = profile(tmp_path / "p", **{"default-resources": expression, "set-resources": None})
    assert read_profile(folder).partitions == ("cpu", "gpu")
    (folder / "config.v8+.yaml").write_text("executor: local\n")
    assert read_profile(folder).slurm is False
    (folder / "partitions.yaml").write_text("partitions: {x: {}, y: {}}\n")
    (folder / "config.v9+.yaml").write_text("executor: slurm\nslurm-partition-config: profiles/p/partitions.yaml\n")
    assert read_profile(folder).partitions == ("x", "y")
    with pytest.raises(ConfigError, match="expected a Snakemake profile"):
        read_profile(tmp_path / "absent")


def test_the_profile_of_the_project_is_read(root):
    found = read_profile(root / "profiles" / "slurm")
    assert found.slurm
    assert not found.conda
    assert read_profile(root / "profiles" / "default") == Profile()


def test_what_may_not_be_read_or_written_is_named(config, tmp_path, monkeypatch):
    values = yaml.safe_load(config.read_text())
    values["data"]["sites"]["alba"]["dicom"] = "exams"
    config.write_text(yaml.safe_dump(values))
    (tmp_path / "exams").mkdir()
    (tmp_path / "exams" / "one").write_bytes(bytes(128) + b"DICM")
    (tmp_path / "logs").mkdir()
    assert machine.permissions(read_config(config), tmp_path) == ""
    denied = {tmp_path / "exams": os.R_OK | os.X_OK, tmp_path / "logs": os.W_OK | os.X_OK}
    monkeypatch.setattr(os, "access", lambda path, mode: denied.get(Path(path)) != mode)  # a test as root may do all
    found = problems(config)["permissions"].splitlines()
    assert len(found) == 2
    assert found[0].startswith(f"may not read {tmp_path / 'exams'}; ")
    assert found[1].startswith(f"may not write to {tmp_path / 'logs'}; ")


def test_too_little_space_is_a_problem(config, monkeypatch):
    usage = shutil.disk_usage(config)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=4_000_000_000))
    assert "4.0 GB free" in problems(config)["free disk space"]
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=6_000_000_000))
    assert problems(config)["free disk space"] == ""
    found = problems(config, None, False, 100_000)["free disk space"]  # known to be large
    assert "GB will be written" in found
