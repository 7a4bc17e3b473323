"""What the tests of the stage convert share: expected voxels, the plain binary beside ours, one shard, validity."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import dcm2niix
import nibabel as nib
import numpy as np
import pytest
from pydicom import Dataset, dcmread
from test_catalog import run_site, run_study
from tiny_dicom import pixels, write_exam

from liverstiff.config import ConvertConfig
from liverstiff.convert import NotConverted, convert_shard
from liverstiff.dicom import SourceFile, Stack, Unused, read_frames, split_stacks


def voxels(path: Path) -> np.ndarray:
    """(x, y, z, volume)."""
    array = np.asarray(nib.load(path).dataobj)
    return array if array.ndim == 4 else array[..., None]


def expected(volumes: int, slices: int) -> np.ndarray:
    """What the tiny series hold, in dcm2niix's axes: x to the left, y to the front, z upwards."""
    stack = [[pixels(volume, place).T[:, ::-1] for place in range(slices)] for volume in range(volumes)]
    return np.array(stack).transpose(2, 3, 1, 0)


def stacks_of(files: list[Path]) -> list[Stack]:
    """The stacks of some files; those without an image are passed over."""
    frames = []
    for path in files:
        with suppress(Unused):
            frames += read_frames(SourceFile(str(path)))
    return split_stacks(frames)


def one_stack(files: list[Path]) -> Stack:
    """All frames as one stack, past the checks that would part them."""
    return Stack(tuple(frame for path in files for frame in read_frames(SourceFile(str(path)))))


def refused(convert: Callable[..., object], *args: object) -> str:
    """The code by which a conversion is refused."""
    with pytest.raises(NotConverted) as error:
        convert(*args)
    return str(error.value.code)


def change(files: list[Path], edit: Callable[[Dataset, int], None]) -> list[Path]:
    """Write each file anew after an edit, which also gets its number from 0."""
    for number, path in enumerate(files):
        data = dcmread(path)
        edit(data, number)
        data.save_as(path)
    return files


def plain(source: Path, *options: str) -> tuple[int, dict[str, Path]]:
    """The binary alone with its own defaults: exit code, and what it wrote by name."""
    out = source.parent / f"plain-{source.name}"
    out.mkdir(exist_ok=True)
    command = [str(dcm2niix.bin), "-g", "i", "-b", "y", "-f", "x", *options, "-o", str(out), str(source)]
    run = subprocess.run(command, capture_output=True)
    return run.returncode, {path.name: path for path in sorted(out.iterdir())}


def bval(path: Path) -> list[float]:
    """Numbers of a ``.bval`` file."""
    return [float(part) for part in path.read_text().split()]


def shard_of(folder: Path, **identity) -> Path:
    """One exam through catalog and convert; the shard folder."""
    write_exam(folder / "tree" / "exam", **identity)
    run_site(folder / "tree", folder / "catalog")
    run_study(folder / "catalog")
    return convert_again(folder, "shard-0000")


def convert_again(folder: Path, name: str, **more) -> Path:
    """The shard once more, into another folder."""
    tables = folder / "catalog" / "private" / "shards"
    convert_shard(
        shard=tables / "shard-0000.csv",
        status=tables / "shard-0000.status.csv",
        folder=folder / "convert" / name,
        settings=ConvertConfig(),
        **more,
    )
    return folder / "convert" / name


def bids_errors(folder: Path) -> list[str]:
    """What the BIDS validator calls an error, each with its file."""
    command = [str(Path(sys.executable).parent / "bids-validator-deno"), "--format", "json", str(folder)]
    run = subprocess.run(command, capture_output=True, text=True)
    issues = json.loads(run.stdout)["issues"]["issues"]
    assert issues  # there are always recommendations: the validator did look
    return [f"{issue['code']}: {issue.get('location')}" for issue in issues if issue["severity"] == "error"]
