"""Exams, jobs, core-hours and gigabytes before a run."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml
from tiny_dicom import write_exam

from liverstiff.check import load_config, size
from liverstiff.check.estimate import EXAM_GB, WRITTEN, estimate, jobs
from liverstiff.check.size import Size, study_size, tree_size


@pytest.fixture(scope="module")
def exams(tmp_path_factory) -> list[Path]:
    """Five exams, a folder each."""
    folder = tmp_path_factory.mktemp("exams")
    for number in range(5):
        write_exam(folder / f"exam {number}", StudyInstanceUID=f"1.2.{number}", PatientID=f"P{number}")
    return sorted(folder.iterdir())


def files_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def bytes_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in files_of(folder))


def test_a_folder_per_series_or_exam(exams):
    found = tree_size(exams[0].parent)
    assert (found.exams, found.basis) == (5, "headers of its folders")
    assert found.gigabytes == pytest.approx(bytes_of(exams[0].parent) / 1e9)


def test_all_files_in_one_folder(exams, tmp_path, monkeypatch):
    for exam in exams:
        for number, path in enumerate(files_of(exam)):
            (tmp_path / f"{exam.name}-{number}").hardlink_to(path)
    (tmp_path / "0 readme.txt").write_text("no DICOM")
    assert tree_size(tmp_path).exams == 5
    monkeypatch.setattr(size, "MOST_FILES", 10)
    assert tree_size(tmp_path).basis.endswith("at most: many exams lie in one folder")


def test_archives_and_packed_files(exams, tmp_path):
    for exam in exams:
        with zipfile.ZipFile(tmp_path / f"{exam.name}.zip", "w") as archive:
            for path in files_of(exam):
                archive.write(path, path.relative_to(exam))
    (tmp_path / "broken.zip").write_bytes(b"PK no archive")
    assert tree_size(tmp_path).exams == 5


def test_of_many_folders_some_are_looked_into(exams, monkeypatch):
    monkeypatch.setattr(size, "MOST_PLACES", 2)
    found = tree_size(exams[0].parent)
    assert (found.exams, found.basis) == (5, "2 of its 5 folders")
    assert found.gigabytes == pytest.approx(bytes_of(exams[0].parent) / 1e9, rel=0.05)


def test_sites_of_every_kind(root, tmp_path, exams):
    values = yaml.safe_load((root / "config.yaml").read_text())
    values["cohort"]["reference"], values["catalog"]["require_mre"] = "elastogram_else_reported", False
    values["data"]["sites"]["brook"]["dicom"] = str(exams[0].parent)
    del values["data"]["sites"]["cedar"]["dicom"]
    values["data"]["sites"]["cedar"]["nifti"] = "bids"
    record = {"table": "people.csv", "patient": "id", "date": "day", "columns": {"age": {"column": "age"}}}
    values["data"]["sites"]["delta"] = {"role": "external", "record": record | {"reported": {"column": "kpa"}}}
    (tmp_path / "people.csv").write_text("id,day,age,kpa\n1,2020-01-01,50,2\n2,2020-01-01,50,3\n")
    for subject in ("a", "b"):
        image = tmp_path / f"bids/sub-{subject}/anat/sub-{subject}_T1w.nii.gz"
        image.parent.mkdir(parents=True)
        image.write_bytes(bytes(1000))
    found = study_size(load_config(values), tmp_path, EXAM_GB)
    assert {name: (one.kind, one.exams) for name, one in found.items()} == {
        "alba": ("simulate", 18),
        "brook": ("dicom", 5),
        "cedar": ("nifti", 2),
        "delta": ("record", 2),
    }
    assert found["cedar"].gigabytes == pytest.approx(2e-6)


def plain(root: Path, **sections: dict) -> dict:
    """The default configuration with other sections."""
    values = yaml.safe_load((root / "config.yaml").read_text())
    for name, section in sections.items():
        values[name] |= section
    return values


def test_an_estimate_grows_with_exams_and_bytes(root):
    config = load_config(plain(root))
    small, large = (estimate(config, {"a": Size(n, n * EXAM_GB, "dicom", "")}) for n in (320, 3200))
    assert (small.shards, large.shards) == (10, 100)
    assert large.jobs - small.jobs == 90 * 6
    heavy = estimate(config, {"a": Size(320, 3200 * EXAM_GB, "dicom", "")})
    assert heavy.jobs == small.jobs
    assert heavy.gigabytes - small.gigabytes == pytest.approx(2880 * EXAM_GB * (sum(WRITTEN.values()) - 1))
    stated = estimate(config, {"a": Size(320, 320 * EXAM_GB, "dicom", "")}, exams=3200)
    assert stated == large
    assert estimate(config, {"a": Size(None, 0, "record", "")}) is None
    assert estimate(config, {"a": Size(None, 0, "record", "")}, exams=64).shards == 2


@pytest.mark.parametrize(
    "sections",
    [
        {},
        {"train": {"variants": {"tabular": {"inputs": ["record"]}}}, "split": {"folds": 3}},
        {"segment": {"methods": ["atlas"]}, "predict": {"gallery": 0}},
    ],
)
def test_jobs_are_those_that_snakemake_plans(root, tmp_path, sections):
    """A dry run of a study whose catalog is there, against the same number less the jobs that are done."""
    sys.path.insert(0, str(root / "bench"))
    from scale import dry_run, make_study

    make_study(tmp_path, exams=64, shard_size=32)
    values = yaml.safe_load((tmp_path / "config.yaml").read_text())
    for name, section in sections.items():
        values[name] |= section
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(values))
    config = load_config(values)
    done = len(config.data.sites) + 1  # catalog_site, catalog
    assert dry_run(tmp_path)["jobs"] == jobs(config, shards=2) - done


def test_the_command_says_what_a_run_takes(root):
    command = [
        sys.executable,
        "-m",
        "liverstiff.cli",
        "check",
        "--config",
        str(root / "config.yaml"),
        "--exams",
        "3680",
    ]
    run = subprocess.run(command, capture_output=True, text=True, check=False, env={"COLUMNS": "200", "HOME": "/none"})
    assert run.returncode == 0, run.stdout
    assert re.search(r"3,680 exams in 115 shards: 718 jobs, about [\d.]+ core-hours", run.stdout)
