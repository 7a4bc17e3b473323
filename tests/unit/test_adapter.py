"""What stands between Snakemake and the stages: logs, locks, and jobs that end with their Snakemake."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from liverstiff.adapter import paths, stage_log
from liverstiff.errors import DataError


def job(folder: Path, *outputs: Path) -> SimpleNamespace:
    return SimpleNamespace(log=[str(folder / "logs" / "stage.log")], output=[str(path) for path in outputs])


def script(text: str, *arguments: object) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", textwrap.dedent(text), *map(str, arguments)])


def until(condition, seconds: float = 20) -> None:
    """Wait, and fail after a while."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def test_paths_leave_out_the_code():
    named = {"packs": ["a", "b"], "cohort": "c", "code": ["d"], "pretrained": []}
    assert paths(named, "pretrained") == {"packs": [Path("a"), Path("b")], "cohort": Path("c")}


def test_what_a_stage_prints_is_in_its_log_and_only_the_last_time(tmp_path):
    for word in ("first", "second"):
        with stage_log(job(tmp_path)):
            print(word)
    assert (tmp_path / "logs" / "stage.log").read_text() == "second\n"


def test_an_expected_error_is_one_line(tmp_path, capfd):
    with pytest.raises(SystemExit) as ended, stage_log(job(tmp_path)):
        raise DataError("cohort: no exam; expected one; add exams")
    assert ended.value.code == 1
    assert (tmp_path / "logs" / "stage.log").read_text() == "DataError: cohort: no exam; expected one; add exams\n"
    assert "Traceback" not in capfd.readouterr().err


def test_a_bug_is_a_traceback_in_the_log(tmp_path):
    with pytest.raises(ZeroDivisionError), stage_log(job(tmp_path)):
        print(1 / 0)
    assert "ZeroDivisionError" in (tmp_path / "logs" / "stage.log").read_text()


HOLD = """
    import sys, time
    from pathlib import Path
    from types import SimpleNamespace
    from liverstiff.adapter import stage_log
    folder = Path(sys.argv[1])
    with stage_log(SimpleNamespace(log=[folder / "stage.log"], output=[])):
        (folder / "out").mkdir()
        (folder / "out" / "old").touch()
        (folder / "holds").touch()
        time.sleep(float(sys.argv[2]))
"""


def test_a_job_waits_for_that_of_an_earlier_run_and_starts_from_nothing(tmp_path):
    earlier = script(HOLD, tmp_path, 2)
    until((tmp_path / "holds").exists)
    again = SimpleNamespace(log=[str(tmp_path / "stage.log")], output=[str(tmp_path / "out")])
    with stage_log(again):
        assert earlier.wait(timeout=5) == 0
        assert not (tmp_path / "out").exists()


def test_a_killed_job_holds_no_lock_and_its_outputs_stay_for_snakemake(tmp_path):
    earlier = script(HOLD, tmp_path, 60)
    until((tmp_path / "holds").exists)
    earlier.kill()
    earlier.wait()
    start = time.monotonic()
    with stage_log(SimpleNamespace(log=[str(tmp_path / "stage.log")], output=[str(tmp_path / "out")])):
        assert time.monotonic() - start < 2
        assert (tmp_path / "out" / "old").exists()


SNAKEFILE = """
import sys
rule all:
    output: "done"
    log: "logs/all.log"
    script: "work.py"
"""

WORK = """
import subprocess, sys, time
from pathlib import Path
from liverstiff.adapter import stage_log
with stage_log(snakemake):
    worker = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    Path("pids").write_text(f"{worker.pid}")
    Path("running").touch()
    time.sleep(60)
"""


def test_a_job_and_its_workers_end_with_a_killed_snakemake(tmp_path):
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    (tmp_path / "work.py").write_text(WORK)
    command = [sys.executable, "-m", "snakemake", "--cores", "1"]
    run = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until((tmp_path / "running").exists, 60)
    below = [*psutil.Process(run.pid).children(recursive=True), psutil.Process(int((tmp_path / "pids").read_text()))]
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    until(lambda: not any(process.is_running() for process in below), 10)
