"""The commands by hand: what they print, what they leave, and one line for an expected error."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from made_people import AFFINE, atlas_folder, person
from planting import MARK, plant, traces
from tiny_dicom import write_exam

from liverstiff import images


def liverstiff(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "liverstiff.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={"COLUMNS": "200", "HOME": "/none"})


@pytest.fixture(scope="module")
def export(tmp_path_factory) -> tuple[Path, set[bytes]]:
    """An export with identifiers in every field."""
    tree = tmp_path_factory.mktemp("export")
    write_exam(tree / "a")
    return tree, plant(tree)


def test_catalog_lists_every_series_without_identifiers(export, tmp_path):
    tree, _ = export
    run = liverstiff("catalog", tree, "--csv", tmp_path / "series.csv")
    assert run.returncode == 0, run.stderr
    assert "exam 1" in run.stdout
    assert run.stdout.count("taken: preferred") == 5
    assert MARK not in run.stdout
    table = pd.read_csv(tmp_path / "series.csv")
    assert list(table.columns[:5]) == ["exam", "patient", "site", "series", "kind"]
    assert table.chosen.sum() == 5
    assert MARK not in (tmp_path / "series.csv").read_text()


def test_texts_are_shown_only_when_asked_for(export):
    run = liverstiff("catalog", export[0], "--texts")
    assert "t1_vibe_fs planted" in run.stdout


def test_convert_writes_every_series_without_identifiers(export, tmp_path):
    tree, tokens = export
    out = tmp_path / "out"
    run = liverstiff("convert", tree, out)
    assert run.returncode == 0, run.stderr
    assert "7 of 7 series converted into" in run.stdout
    table = pd.read_csv(out / "converted.csv")
    assert set(table.kind) >= {"T1w", "T1w_post", "T2w", "DWI", "MRE_stiffness", "MRE_confidence"}
    assert all((out / file).exists() for file in table.file.dropna())
    assert (out / "private").stat().st_mode & 0o077 == 0
    searched, places = traces(tokens, [out], without=[out / "private"])
    assert searched > 15
    assert places == []
    again = liverstiff("convert", tree, out)
    assert again.returncode == 1
    assert again.stderr.strip() == f"ConfigError: {out} is not empty; give a new folder"


def test_a_folder_without_images_is_one_line(tmp_path):
    (tmp_path / "note.txt").write_text("no image")
    run = liverstiff("catalog", tmp_path)
    assert run.returncode == 1
    assert run.stderr.startswith("DataError: no exam at site")
    assert run.stderr.count("\n") == 1


@pytest.mark.parametrize("command", ["catalog", "convert", "check"])
def test_help_has_an_example(command):
    run = liverstiff(command, "--help")
    assert run.returncode == 0
    assert f"Example: liverstiff {command}" in run.stdout


def test_segment_writes_mask_and_volumes(tmp_path):
    (tmp_path / "atlases").mkdir()
    atlases = atlas_folder(tmp_path / "atlases")
    image, label = person(11)
    images.save(tmp_path / "image.nii.gz", image.astype("float32"), AFFINE)
    out = tmp_path / "mask.nii.gz"
    run = liverstiff("segment", tmp_path / "image.nii.gz", "--atlases", atlases, "--out", out)
    assert run.returncode == 0, run.stderr
    assert "labels of the atlases: liver 1, spleen 2" in run.stdout
    mask, affine = images.load(out)
    assert abs((mask == 1).sum() / (label == 1).sum() - 1) < 0.15
    assert f"{(mask == 1).sum() * images.voxel_ml(affine):.0f}" in run.stdout
    wrong = liverstiff("segment", tmp_path / "image.nii.gz", "--atlases", atlases, "--out", tmp_path / "mask.png")
    assert wrong.returncode == 1
    assert wrong.stderr.startswith("ConfigError: ")
    assert len(wrong.stderr.splitlines()) == 1
