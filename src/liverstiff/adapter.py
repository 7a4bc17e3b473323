"""Between Snakemake and the stages: what every script in ``workflow_scripts/`` needs."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import sys
import threading
import time
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Any, NoReturn, TextIO

import psutil

from liverstiff.errors import LiverStiffError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""No space left, quota exceeded, file too large."""

WATCH_S = 0.5
"""How often a job looks whether its Snakemake is still there: less than a new Snakemake takes to plan."""


def paths(named: Any, *without: str) -> dict[str, Path | list[Path]]:
    """Named inputs or outputs of a job as keywords for its function, less ``code`` and those ``without``."""
    return {
        name: Path(value) if isinstance(value, str) else [Path(item) for item in value]
        for name, value in named.items()
        if name not in ("code", *without)
    }


@contextmanager
def stage_log(job: Any) -> Iterator[None]:
    """Send everything a stage prints to its log file; on an expected error print one line and exit with 1.

    No two processes do the same job at once: it holds a lock on its log, waits for one of an earlier run that has not
    ended yet, and then starts from nothing. A job ends when the Snakemake that started it is killed.

    Args:
        job: the object ``snakemake`` of a script, with ``log`` and ``output``.
    """
    path = Path(job.log[0])
    path.parent.mkdir(parents=True, exist_ok=True)
    end_with(snakemake_above())
    with path.open("a", buffering=1) as log:
        if _waited(log):
            _remove(job.output)
        log.truncate(0)
        with redirect_stdout(log), redirect_stderr(log):
            try:
                yield
            except LiverStiffError as error:
                _end(f"{type(error).__name__}: {error}")
            except Exception as error:
                traceback.print_exc()
                if _disk_is_full(error):
                    _end(f"{path.stem}: the disk is full; free space and run again: what was finished is kept")
                raise


def _end(line: str) -> NoReturn:
    print(line)
    print(line, file=sys.__stderr__)
    raise SystemExit(1) from None


def _disk_is_full(error: Exception) -> bool:
    """True where the system says so: numpy tells only how much it could write, safetensors says it in words."""
    code, text = getattr(error, "errno", None), str(error)
    if isinstance(error, OSError) and code is None and "requested and" in text:
        return True
    return code in FULL or any(f"(os error {number})" in text for number in FULL)


def snakemake_above() -> psutil.Process | None:
    """The nearest Snakemake among the parents of this process; None without one."""
    for parent in psutil.Process().parents():
        if any("snakemake" in Path(word).name for word in parent.cmdline()[:3]):
            return parent
    return None


def end_with(process: psutil.Process | None) -> None:
    """Watch a process; when it is gone, send this one SIGTERM, at which training saves, and then kill its workers.

    The workers go last, by a process of their own: a stage that loses a worker blames the exam.
    """
    if process is not None:
        threading.Thread(target=_watch, args=(process,), daemon=True).start()


def _watch(process: psutil.Process) -> None:
    _wait_for_end(process, WATCH_S)
    me = psutil.Process()
    workers = me.children(recursive=True)
    if os.fork() == 0:
        me.terminate()
        _wait_for_end(me, WATCH_S / 10)
        for worker in workers:
            with suppress(psutil.NoSuchProcess):
                worker.kill()
        os._exit(0)


def _wait_for_end(process: psutil.Process, every_s: float) -> None:
    with suppress(psutil.NoSuchProcess):
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            time.sleep(every_s)


def _waited(log: TextIO) -> bool:
    """Lock the log; True when another process held it. The lock goes with this process, however that ends."""
    try:
        fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print(f"{log.name}: waits for this job of an earlier run to end", file=sys.stderr, flush=True)
        fcntl.flock(log, fcntl.LOCK_EX)
        return True
    return False


def _remove(outputs: Iterable[str]) -> None:
    """Delete what another process wrote after Snakemake had cleared the outputs."""
    for output in map(Path, outputs):
        if output.is_dir():
            shutil.rmtree(output)
        else:
            output.unlink(missing_ok=True)
