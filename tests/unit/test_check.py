"""What is told before a run starts."""

import shutil
from pathlib import Path

import pytest
import yaml
from tiny_dicom import write_exam
from typer.testing import CliRunner

from liverstiff.check import check_inputs, load_config, read_config
from liverstiff.check.findings import findings
from liverstiff.cli import app
from liverstiff.errors import ConfigError


@pytest.fixture
def config(root: Path, tmp_path: Path) -> Path:
    """The default configuration in a folder of its own."""
    return Path(shutil.copy(root / "config.yaml", tmp_path / "config.yaml"))


def change(path: Path, section: str, **values: object) -> None:
    content = yaml.safe_load(path.read_text())
    content[section] |= values
    path.write_text(yaml.safe_dump(content))


def problems(path: Path, *arguments: object) -> dict[str, str]:
    """What is wrong, by what was looked at."""
    return {one.what: one.problem for one in findings(path, *arguments)}


def test_default_config_has_no_finding(config):
    assert set(problems(config).values()) == {""}
    assert CliRunner().invoke(app, ["check", "--config", str(config)]).exit_code == 0


def test_missing_atlases_are_found(config):
    change(config, "segment", atlases="nowhere")
    result = CliRunner().invoke(app, ["check", "--config", str(config)])
    assert result.exit_code == 1
    assert "no image_*.nii.gz in nowhere" in " ".join(result.output.replace("│", " ").split())


def test_programs_of_segmentation_and_their_weights_are_looked_for(config, tmp_path):
    program = {"program": "no-such-program", "weights": str(tmp_path)}
    change(config, "segment", methods=["totalsegmentator", "mrsegmentator"], totalsegmentator=program)
    change(config, "segment", mrsegmentator=program)
    found = problems(config)["sites, records, atlases"]
    assert len(found.splitlines()) == 5
    assert "segment.totalsegmentator.program: no program no-such-program; install it" in found
    assert "Dataset850" in found
    assert "segment.mrsegmentator.weights: no **/plans.json" in found
    (tmp_path / "plans.json").touch()
    assert "mrsegmentator.weights" not in problems(config)["sites, records, atlases"]


def test_a_method_without_its_source_is_one_line(config):
    change(config, "segment", methods=["masks"])
    (found,) = findings(config)
    assert found.what == str(config)
    assert "the method 'masks' needs segment.masks" in found.problem


def test_device_that_is_absent_is_found(config):
    import torch

    change(config, "train", device="cuda")
    found = problems(config)["device of train"]
    assert (found == "") == torch.cuda.is_available()


def test_file_that_is_no_config(tmp_path):
    (tmp_path / "list.yaml").write_text("a: [1\n")
    with pytest.raises(ConfigError, match=r"list\.yaml: not YAML"):
        read_config(tmp_path / "list.yaml")
    with pytest.raises(ConfigError, match=r"no file .*absent\.yaml"):
        read_config(tmp_path / "absent.yaml")


def test_unknown_site_key_names_the_choices(config):
    content = yaml.safe_load(config.read_text())
    content["data"]["sites"]["alba"]["dicoms"] = "x"
    with pytest.raises(
        ConfigError, match=r"^config.yaml: data.sites.alba.dicoms: unknown key; .* role, dicom, nifti, record;"
    ):
        load_config(content)


def test_site_without_simulation_is_refused(config):
    content = yaml.safe_load(config.read_text())
    del content["simulate"]["sites"]["alba"]
    with pytest.raises(ConfigError, match=r"simulate\.sites has no 'alba'"):
        load_config(content)


def test_paths_are_taken_from_the_folder_of_the_config(config, tmp_path):
    (tmp_path / "exams").mkdir()
    (tmp_path / "exams" / "one").write_bytes(bytes(128) + b"DICM")
    content = yaml.safe_load(config.read_text())
    content["data"]["sites"]["alba"]["dicom"] = "exams"
    check_inputs(load_config(content), tmp_path)
    with pytest.raises(ConfigError, match="no folder exams; expected the site's DICOM tree"):
        check_inputs(load_config(content))


@pytest.mark.parametrize(("content", "there"), [("preamble", True), ("no preamble", True), ("text", False)])
def test_a_tree_has_an_exam_where_the_catalog_reads_one(config, tmp_path, content, there):
    """Some archives export files without DICOM's preamble."""
    write_exam(tmp_path / "tree")
    for path in [path for path in (tmp_path / "tree").rglob("*") if path.is_file()]:
        whole = path.read_bytes()
        path.write_bytes({"preamble": whole, "no preamble": whole[132:], "text": b"MR of the liver\n" * 90}[content])
    sites = yaml.safe_load(config.read_text())["data"]["sites"]
    sites["alba"]["dicom"] = "tree"
    change(config, "data", sites=sites)
    found = problems(config)["sites, records, atlases"]
    assert ("data.sites.alba.dicom: no exam in" in found) is not there
