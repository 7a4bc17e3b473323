"""A disk that is full in the middle of a stage: one line, nothing half-written taken for whole, and on it goes."""

import filecmp
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

pytestmark = pytest.mark.xdist_group("flow")

CASES = {
    "convert": ("results/convert/shard-0000", 1_000_000),
    "pack": ("results/pack/shard-0000", 300_000),
    "train": ("results/train/fold-0/model.safetensors", 200_000),
}
"""What is made, and the bytes that there is room for."""


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[dict]:
    """A small file system over ``folder``, or, where mounting is forbidden, a bound on the size of each file.

    Yields keywords for :func:`subprocess.run`.
    """
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode == 0:
        try:
            yield {}
        finally:
            subprocess.run(["umount", str(folder)], check=True)
        return
    bound = size // 10
    aside = folder.with_name(f"{folder.name}.aside")
    folder.rename(aside)
    folder.mkdir()
    try:
        yield {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (bound, bound))}
    finally:
        subprocess.run(["rm", "-r", str(folder)], check=True)
        aside.rename(folder)


def free_space(folder: Path) -> None:
    """Make the small file system large; nothing to do where there is none."""
    command = ["mount", "-o", "remount,size=1g", str(folder)]
    subprocess.run(command, capture_output=True, check=False)


def same(one: Path, other: Path) -> bool:
    """True for two files, or two folders of files, of the same bytes."""
    if one.is_file():
        return filecmp.cmp(one, other, shallow=False)
    names = [sorted(p.relative_to(top) for p in top.rglob("*") if p.is_file()) for top in (one, other)]
    files = [name for name in names[0] if not name.name.startswith(".")]
    return names[0] == names[1] and all(filecmp.cmp(one / name, other / name, shallow=False) for name in files)


@pytest.mark.parametrize("stage", CASES)
def test_a_full_disk_is_one_line_and_the_run_goes_on_when_there_is_room(finished, tmp_path, stage):
    target, size = CASES[stage]
    made, folder = finished.folder / target, finished.folder / "results" / stage
    kept = tmp_path / "kept"
    subprocess.run(["cp", "-a", str(made), str(kept)], check=True)
    with small_disk(folder, size) as bounds:
        run = finished.snakemake(target, **bounds)
        said = run.stdout + run.stderr
        assert run.returncode == 1, said
        assert "the disk is full; free space and run again: what was finished is kept" in said
        assert not made.exists()
        free_space(folder)
        run = finished.snakemake(target)
        assert run.returncode == 0, run.stdout + run.stderr
        assert same(kept, made)
