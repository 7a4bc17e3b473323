"""The one process pool: run a pure function over the exams of a shard, each within bounds, none stopping the rest.

Finished exams are kept beside the output at an undeclared path until the shard is complete, so that an interrupted
shard goes on where it stopped; the folder then takes its declared name in one rename.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import resource
import shutil
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import TimeoutError as ExamTimeout
from concurrent.futures import as_completed
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
from pebble import ProcessExpired, ProcessPool
from tqdm import tqdm

from liverstiff.errors import ExamExcluded
from liverstiff.records import Exam, ExamStatus, Reason, read_status, write_status

Work = Callable[..., dict[str, Any] | None]
"""``work(exam, folder, **arguments)``: writes the exam's files below ``folder`` and returns its measures."""

DONE = ".done"


def map_exams(
    work: Work,
    before: Path | list[ExamStatus],
    folder: Path,
    *,
    stage: str,
    workers: int = 1,
    inputs: Iterable[Path] = (),
    timeout_s: float = 1800,
    memory_gb: float = 8,
    measures: str = "measures.csv",
    **arguments: Any,
) -> list[ExamStatus]:
    """Run ``work`` for every exam that is ``ok`` so far and make ``folder`` complete.

    Args:
        work: a module-level function; it raises :class:`ExamExcluded` for an expected fault of the exam.
        before: the shard's exams: the status of the stage before (or its folder).
        folder: the declared output; holds ``status.csv``, ``measures.csv`` (a row per exam that is ok) and the exams.
        stage: name of the stage.
        workers: processes; one thread each.
        inputs: more files and folders the work reads; with the paths among ``before`` and ``arguments`` they decide
            whether work kept from an interrupted run is still valid.
        timeout_s: wall-clock bound of one exam.
        memory_gb: private memory bound of one worker.
        measures: name of the table of measures.
        **arguments: passed on to ``work``.

    Returns:
        The shard's status rows, in the order of ``before``; exams excluded earlier keep their row.
    """
    folder = Path(folder)
    rows = read_status(before) if isinstance(before, Path) else before
    kept = folder.with_name(f".{folder.name}.unfinished")
    given = [value for value in (before, *arguments.values(), *inputs) if isinstance(value, Path) and value.exists()]
    _reuse_or_clear(kept, _fingerprint(work, arguments, rows, given))
    waiting = [row.identity for row in rows if row.ok and not _is_settled(_result_path(kept, row.exam))]
    _run(work, waiting, kept, stage, workers, timeout_s, memory_gb, arguments)
    return _complete(rows, kept, folder, measures)


def _run(
    work: Work,
    exams: list[Exam],
    kept: Path,
    stage: str,
    workers: int,
    timeout_s: float,
    memory_gb: float,
    arguments: dict[str, Any],
) -> None:
    """Run the exams that are waiting; each leaves its files and its result below ``kept``."""
    context = multiprocessing.get_context("fork")
    bound = int(memory_gb * 2**30)
    with ProcessPool(
        max_workers=workers, max_tasks=16, initializer=_limit_memory, initargs=[bound], context=context
    ) as pool:
        futures = {
            pool.schedule(_one, args=[work, exam, kept, stage, arguments], timeout=timeout_s): exam for exam in exams
        }
        try:
            for future in _progress(as_completed(futures), len(exams), stage):
                exam = futures[future]
                try:
                    future.result()
                except ExamTimeout:
                    _exclude(kept, exam, stage, Reason.OUT_OF_TIME, f"not finished after {timeout_s:g} s")
                except (ProcessExpired, MemoryError) as error:
                    _exclude(kept, exam, stage, Reason.OUT_OF_MEMORY, f"its process ended: {error}")
        except BaseException:
            pool.stop()
            raise


def _is_settled(path: Path) -> bool:
    """True for a kept result; an exam that ran out of time or memory is tried again, now that it may have more."""
    return path.exists() and json.loads(path.read_text())["status"]["reason"] not in (
        Reason.OUT_OF_TIME,
        Reason.OUT_OF_MEMORY,
    )


def _one(work: Work, exam: Exam, kept: Path, stage: str, arguments: dict[str, Any]) -> None:
    """Run one exam inside a worker."""
    shutil.rmtree(kept / exam.folder, ignore_errors=True)
    (kept / exam.folder).mkdir(parents=True)
    try:
        measured = work(exam, kept, **arguments) or {}
    except ExamExcluded as fault:
        _exclude(kept, exam, stage, fault.reason, fault.detail)
    else:
        _keep(kept, ExamStatus(exam.exam, exam.patient, exam.site, stage, "ok"), measured)


def _exclude(kept: Path, exam: Exam, stage: str, reason: str, detail: str) -> None:
    """An exam that stops here leaves no file, only its reason."""
    shutil.rmtree(kept / exam.folder, ignore_errors=True)
    row = ExamStatus(exam.exam, exam.patient, exam.site, stage, "excluded", str(reason), detail)
    _keep(kept, row, {})


def _keep(kept: Path, row: ExamStatus, measured: dict[str, Any]) -> None:
    """Write an exam's result in one step."""
    path = _result_path(kept, row.exam)
    path.parent.mkdir(exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps({"status": asdict(row), "measures": measured}))
    partial.replace(path)


def _complete(rows: list[ExamStatus], kept: Path, folder: Path, measures: str) -> list[ExamStatus]:
    """Collect the results in the order of the exams and give the folder its name."""
    results = {row.exam: json.loads(_result_path(kept, row.exam).read_text()) for row in rows if row.ok}
    after = [ExamStatus(**results[row.exam]["status"]) if row.ok else row for row in rows]
    table = [{"exam": row.exam, **results[row.exam]["measures"]} for row in after if row.ok]
    pd.DataFrame(table, columns=None if table else ["exam"]).to_csv(kept / measures, index=False)
    write_status(after, kept / "status.csv")
    shutil.rmtree(kept / DONE, ignore_errors=True)
    (kept / "fingerprint").unlink(missing_ok=True)
    _drop_empty_folders(kept)
    if folder.exists():
        shutil.rmtree(folder)
    kept.replace(folder)
    return after


def _drop_empty_folders(folder: Path) -> None:
    """Excluded exams leave no trace but their row."""
    for path in sorted((p for p in folder.rglob("*") if p.is_dir()), reverse=True):
        if not any(path.iterdir()):
            path.rmdir()


def _result_path(kept: Path, exam: str) -> Path:
    return kept / DONE / f"{exam}.json"


def _fingerprint(work: Work, arguments: dict[str, Any], rows: list[ExamStatus], inputs: Iterable[Path]) -> str:
    """What an exam's result depends on: code, arguments, exams, and when its inputs were made."""
    module = Path(sys.modules[work.__module__].__file__ or "")
    shared = [Path(__file__), Path(__file__).with_name("images.py"), Path(__file__).with_name("intensity.py")]
    own = [module] if module.parent == Path(__file__).parent else sorted(module.parent.glob("*.py"))
    made = [(str(path), Path(path).stat().st_mtime_ns) for path in inputs]
    parts = [path.read_bytes() for path in shared + own] + [repr((arguments, rows, made)).encode()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def _reuse_or_clear(kept: Path, fingerprint: str) -> None:
    """Keep what an interrupted run left only if it would come out the same today."""
    mark = kept / "fingerprint"
    if not (mark.exists() and mark.read_text() == fingerprint):
        shutil.rmtree(kept, ignore_errors=True)
        kept.mkdir(parents=True)
        mark.write_text(fingerprint)


def _limit_memory(limit: int) -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def _progress(results: Iterable[Any], total: int, stage: str) -> Iterable[Any]:
    """A bar on a terminal, plain lines in a log."""
    if sys.stderr.isatty():
        yield from tqdm(results, total=total, desc=stage, unit="exam")
        return
    for done, result in enumerate(results, start=1):
        yield result
        print(f"{stage}: {done}/{total} exams", flush=True)
