"""Nothing is unpickled, no shell string is built from data, archives stay within bounds and inside their folder."""

import ast
import gzip
import re
import struct
import time
import tracemalloc
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from test_catalog import run_site, run_study
from test_catalog_nifti import write_image
from tiny_dicom import write_exam, write_series

from liverstiff import images
from liverstiff.catalog.nifti import read_image
from liverstiff.config import ProgramConfig
from liverstiff.convert import convert_folder
from liverstiff.convert.interface import run_dcm2niix
from liverstiff.dicom import SourceFile
from liverstiff.dicom.files import LARGEST_HEADER, TooLarge
from liverstiff.errors import ExamExcluded
from liverstiff.nifti_lists import Listed
from liverstiff.records import Kind, SeriesReason
from liverstiff.segment.external import totalsegmentator

UNPICKLERS = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "jsonpickle"}
FORBIDDEN = {
    *("os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput", "eval", "exec"),
    *("pd.read_pickle", "pandas.read_pickle", "yaml.load", "yaml.unsafe_load", "yaml.full_load"),
    *("zipfile.ZipFile.extract", "zipfile.ZipFile.extractall", "tarfile.open", "shutil.unpack_archive"),
}
PLACES = ("src", "workflow_scripts", "envs", "bench")
HOSTILE = """it's "$(touch pwned)" `touch pwned`; touch pwned & ü"""


def python_faults(text: str) -> list[str]:
    """What of the text unpickles, or gives a string to a shell."""
    faults = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else [one.name for one in node.names]
            faults += [f"{node.lineno}: import {name}" for name in modules if name.split(".")[0] in UNPICKLERS]
        if not isinstance(node, ast.Call):
            continue
        name, given = ast.unparse(node.func), {one.arg: ast.unparse(one.value) for one in node.keywords}
        called = name.split(".")[-1]
        wrong = (
            name in FORBIDDEN
            or called in ("extractall", "read_pickle")
            or given.get("shell", "False") != "False"
            or given.get("allow_pickle", "False") != "False"
            or (name == "torch.load" and given.get("weights_only") != "True")
        )
        faults += [f"{node.lineno}: {name}"] if wrong else []
    return faults


def test_the_search_finds_what_it_looks_for():
    for line in (
        "import pickle",
        "from joblib import load",
        "os.system('ls ' + name)",
        "subprocess.run(f'ls {name}', shell=True)",
        "np.load(path, allow_pickle=True)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "yaml.load(text)",
        "archive.extractall(folder)",
        "eval(text)",
    ):
        assert python_faults(line), line
    for line in (
        "network.eval()",
        "np.load(path, allow_pickle=False)",
        "yaml.safe_load(text)",
        "subprocess.run(['ls'])",
    ):
        assert not python_faults(line), line


@pytest.mark.parametrize("place", PLACES)
def test_no_unpickling_and_no_shell(root: Path, place: str):
    found = {str(path): python_faults(path.read_text()) for path in sorted((root / place).rglob("*.py"))}
    assert found
    assert not {path: faults for path, faults in found.items() if faults}


def test_rules_run_scripts_and_never_a_shell(root: Path):
    """The one string for a shell is the prefix in the Snakefile, which holds the checkout's own path alone."""
    texts = {path.name: path.read_text() for path in (root / "rules").glob("*.smk")}
    for name, text in texts.items():
        assert not re.search(r"^\s*(shell|run|wrapper|notebook|cwl)\s*:|\bshell\(|\bstorage\.", text, re.MULTILINE), (
            name
        )
        assert not re.search(r"\b(pickle|os\.system|subprocess|eval|exec)\b", text), name
    snakefile = (root / "Snakefile").read_text()
    assert re.findall(r"shell[.(]\w*", snakefile) == ["shell.prefix"]
    assert set(re.findall(r"\{(\w+)\}", snakefile.split("shell.prefix(")[1].split(")")[0])) == {"SRC"}


def test_nipype_has_two_users(root: Path):
    """Nipype hands one string to a shell. Its users, tested below with hostile names, are these two."""
    users = [path.name for path in (root / "src").rglob("*.py") if "CommandLine" in path.read_text()]
    assert sorted(users) == ["external.py", "interface.py"]


def test_every_line_of_the_lock_has_hashes(root: Path):
    """Less torch, whose one version has several builds: pyproject.toml pins it, and pip may not mix the two."""
    blocks = re.split(r"\n(?=\w)", (root / "requirements.lock").read_text())[1:]
    assert len(blocks) > 150
    for block in blocks:
        assert re.fullmatch(r"[\w.-]+==[\w.!+-]+( \\\n    --hash=sha256:[0-9a-f]{64})+\n?", block), block[:80]
    assert not [block for block in blocks if block.startswith("torch==")]
    assert re.search(r'"torch==[\d.]+"', (root / "pyproject.toml").read_text())
    assert "--no-deps --require-hashes --requirement requirements.lock" in (root / "Makefile").read_text()


def test_dcm2niix_in_a_folder_with_a_hostile_name(tmp_path):
    source, out = tmp_path / HOSTILE / "in", tmp_path / HOSTILE / "out"
    out.mkdir(parents=True)
    write_series(source, slices=3)
    assert len(run_dcm2niix(source, out)) == 1
    assert not list(tmp_path.rglob("pwned"))


def test_a_segmentation_program_with_a_hostile_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    program = tmp_path / HOSTILE.replace("/", "") / "TotalSegmentator"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\ncp image.nii.gz labels.nii.gz\n")
    program.chmod(0o755)
    labels, _ = totalsegmentator(np.ones((4, 4, 4)), np.eye(4), ProgramConfig(program=str(program), weights="none"))
    assert labels.shape == (4, 4, 4)
    with pytest.raises(ExamExcluded):
        totalsegmentator(np.ones((4, 4, 4)), np.eye(4), ProgramConfig(program="touch pwned; true", weights="none"))
    assert not list(tmp_path.rglob("pwned"))


BOMB = 1 << 30
"""Bytes that a bomb of about a megabyte unpacks to."""


@pytest.fixture(scope="module")
def zeros(tmp_path_factory) -> Path:
    """A gibibyte of zeros, by gzip."""
    path = tmp_path_factory.mktemp("bomb") / "zeros.gz"
    with gzip.open(path, "wb", 1) as file:
        for _ in range(BOMB >> 20):
            file.write(bytes(1 << 20))
    return path


def test_content_of_a_bomb_is_refused_at_its_bound(zeros):
    tracemalloc.start()
    with pytest.raises(TooLarge, match="unpacks to more than"):
        SourceFile(str(zeros)).content(largest=LARGEST_HEADER)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * LARGEST_HEADER


@pytest.mark.parametrize("packing", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_bombs_cost_themselves_alone(tmp_path, zeros, packing):
    """A header of a gibibyte by gzip, in a zip archive, and by gzip in one: counted as damaged, the exam untouched."""
    exam = tmp_path / "tree" / "exam"
    write_exam(exam)
    path = sorted((exam / "1").iterdir())[0]
    content = path.read_bytes()
    place = content.index(b"\x28\x00\x02\x00")
    header = content[:place] + b"\x28\x00\x01\x00OB\0\0" + struct.pack("<I", BOMB)
    with zipfile.ZipFile(exam / "bomb.zip", "w", packing) as archive:
        with archive.open("a.dcm", "w", force_zip64=True) as member:
            member.write(header)
            for _ in range(100):
                member.write(bytes(1 << 20))
        archive.writestr("b.dcm.gz", gzip.compress(header, 1) + zeros.read_bytes())
    (exam / "bomb.gz").write_bytes(gzip.compress(header, 1) + zeros.read_bytes())
    begun = time.perf_counter()
    run_site(tmp_path / "tree", tmp_path / "out")
    assert run_study(tmp_path / "out").status.to_list() == ["ok"]
    assert time.perf_counter() - begun < 60
    skipped = pd.read_csv(tmp_path / "out/private/sites/alba/skipped.csv")
    assert skipped.reason.to_list() == ["damaged_file"] * 3


def test_members_that_name_other_places_stay_inside(tmp_path):
    """Members are read by name and laid out under plain numbers: their own names never become paths."""
    write_exam(tmp_path / "made")
    made = sorted(path for path in (tmp_path / "made").rglob("*") if path.is_file())
    (tmp_path / "tree").mkdir()
    with zipfile.ZipFile(tmp_path / "tree" / "exam.zip", "w") as archive:
        for number, path in enumerate(made):
            name = f"../../../escaped/{number}.dcm" if number % 2 else f"{tmp_path}/escaped/{number}.dcm"
            archive.writestr(name, path.read_bytes())
        link = zipfile.ZipInfo("link.dcm")
        link.external_attr = 0o120777 << 16  # a symbolic link
        archive.writestr(link, "/etc/passwd")
    run_site(tmp_path / "tree", tmp_path / "out")
    assert run_study(tmp_path / "out").status.to_list() == ["ok"]
    table = convert_folder(
        files=tmp_path / "out/private/sites/alba/files.csv",
        series=tmp_path / "out/sites/alba.csv",
        out=tmp_path / "nifti",
        workers=1,
    )
    assert (table.file != "").sum() == 7
    assert not list(tmp_path.rglob("escaped"))
    assert not [path for path in (tmp_path / "nifti").rglob("*") if path.is_symlink()]
    skipped = pd.read_csv(tmp_path / "out/private/sites/alba/skipped.csv")
    assert skipped.reason.to_list() == ["not_dicom"]


def nifti_bomb(path: Path, shape: tuple[int, int, int]) -> Path:
    """A packed NIfTI of a few bytes whose header states so many voxels."""
    header = nib.Nifti1Header()
    header.set_data_shape(shape)
    header.set_data_dtype(np.int16)
    header.set_sform(np.diag([1.0, 1, 1, 1]), code=1)
    header["vox_offset"] = 352
    path.write_bytes(gzip.compress(header.binaryblock + bytes(4) + bytes(1000)))
    return path


@pytest.mark.parametrize("shape", [(2000, 2000, 2000), (30000, 30000, 30000)])
def test_a_nifti_that_states_too_many_voxels_is_unreadable(tmp_path, shape):
    path = nifti_bomb(tmp_path / "bomb.nii.gz", shape)
    found = read_image(Listed(path=path, patient="p", exam="e", kind=Kind.T1W))
    assert found.code == SeriesReason.UNREADABLE
    with pytest.raises(images.UNREADABLE, match="more than"):
        images.voxels_of(nib.load(path))


def test_a_nifti_of_usual_size_is_read(tmp_path):
    found = read_image(Listed(path=write_image(tmp_path / "a.nii.gz"), patient="p", exam="e", kind=Kind.T1W))
    assert found.code is None


def test_weights_with_a_pickle_inside_are_refused(tmp_path):
    """Safetensors holds numbers alone: a pickle under its name is no file of weights."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    torch.save({"weight": torch.ones(1)}, tmp_path / "model.safetensors")
    with pytest.raises(SafetensorError):
        load_file(tmp_path / "model.safetensors")
