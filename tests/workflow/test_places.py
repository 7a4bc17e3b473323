"""Where things lie makes no difference: blanks and umlauts in every path, inputs and checkout that are read-only."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from tiny_cohort import copy_checkout

pytestmark = pytest.mark.xdist_group("flow")

SAME = ("cohort/cohort.csv", "split/splits.csv", "predict/temporal.csv", "predict/external.csv", "evaluate/metrics.csv")


def as_anybody() -> list[str]:
    """What to put before a command so that permissions hold for it, root or not."""
    return ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []


def forbid_writing(folder: Path, forbidden: bool = True) -> None:
    subprocess.run(["chmod", "-R", "a-w" if forbidden else "u+w", str(folder)], check=True)


@pytest.fixture
def odd_places(root, finished, tmp_path):
    """The study of ``finished`` with its inputs as somebody's own data, at odd places that nobody may write to."""
    data, program, study = tmp_path / "Däten der Klinik", tmp_path / "Prögramm (neu)", tmp_path / "Stüdie 1"
    copy_checkout(root, program)
    config = yaml.safe_load(finished.read("config.yaml"))
    made = finished.folder / "results" / "simulate"
    for name, site in config["data"]["sites"].items():
        shutil.copytree(made / name, data / name)
        site["dicom"], site["record"]["table"] = str(data / name / "dicom"), str(data / name / "record.csv")
    shutil.copytree(made / "atlases", data / "atlases")
    config["segment"]["atlases"] = str(data / "atlases")
    study.mkdir()
    (study / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    shutil.copytree(finished.folder / config["data"]["private"], study / config["data"]["private"])
    for folder in (data, program):
        forbid_writing(folder)
    yield study, program
    for folder in (data, program):
        forbid_writing(folder, False)


def snakemake(study: Path, program: Path, *arguments: str) -> list[str]:
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--snakefile", str(program / "Snakefile")]
    return [*as_anybody(), *command, "--directory", str(study), *arguments]


def test_odd_and_read_only_places_give_the_same_bytes(odd_places, finished):
    study, program = odd_places
    run = subprocess.run(
        snakemake(study, program),
        env={**os.environ, "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg", "PYTHONPATH": ""},
        cwd=study.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    for name in SAME:
        assert (study / "results" / name).read_bytes() == (finished.folder / "results" / name).read_bytes(), name
    assert (study / "reports" / "report.html").exists()
    assert not [
        path.name for path in study.parent.iterdir() if path.name not in (study.name, program.name, "Däten der Klinik")
    ]


def test_a_second_run_in_the_folder_is_refused(checkout):
    """While one runs; the first is not harmed."""
    target = "results/simulate/atlases"
    command = [sys.executable, "-m", "snakemake", "--cores", "1", target]
    first = subprocess.Popen(command, cwd=checkout.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    locks = checkout.folder / ".snakemake" / "locks"
    while first.poll() is None and not (locks.exists() and any(locks.iterdir())):
        time.sleep(0.05)
    second = checkout.snakemake(target)
    said, _ = first.communicate(timeout=300)
    assert second.returncode == 1
    assert "Directory cannot be locked" in second.stderr + second.stdout
    assert first.returncode == 0, said
    assert (checkout.folder / target).is_dir()
