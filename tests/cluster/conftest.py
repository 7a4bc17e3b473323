"""One SLURM for all tests of this folder, and one run of the tiny cohort through it, with faults."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from faulty_run import FaultyRun, run_with_faults
from slurm import Slurm, missing_programs
from tiny_cohort import Checkout


@pytest.fixture(scope="session")
def slurm() -> Iterator[Slurm]:
    """A real SLURM on this machine."""
    if missing := missing_programs():
        pytest.skip(f"needs {', '.join(missing)}: apt-get install slurm-wlm slurmdbd munge mariadb-server")
    folder = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))
    cluster = Slurm(folder)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def clustered(finished: Checkout, slurm: Slurm, tmp_path_factory: pytest.TempPathFactory) -> FaultyRun:
    """The tiny cohort, run once through SLURM while things go wrong."""
    return run_with_faults(finished, slurm, tmp_path_factory.mktemp("cluster") / "checkout")
