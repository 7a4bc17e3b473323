"""The process pool: faults become rows, work that was finished is kept, results do not depend on the order."""

import os
import time
from pathlib import Path

import pytest

from liverstiff.errors import ExamExcluded
from liverstiff.records import Exam, ExamStatus, Reason, read_status
from liverstiff.shards import map_exams

EXAMS = [Exam(f"e{n:012d}", f"p{n:012d}", "alba") for n in range(4)]


def started(*exams: Exam) -> list[ExamStatus]:
    return [ExamStatus(exam.exam, exam.patient, exam.site, "catalog", "ok") for exam in exams]


def write_name(exam: Exam, folder: Path, tag: str = "") -> dict:
    exam.path(folder, "name", ".txt").write_text(exam.exam + tag)
    return {"length": len(exam.exam)}


def test_every_exam_has_a_row_and_a_folder(tmp_path):
    out = tmp_path / "shard-0000"
    rows = map_exams(write_name, started(*EXAMS), out, stage="convert", workers=2)
    assert [row.exam for row in rows] == [exam.exam for exam in EXAMS]
    assert read_status(out) == rows
    assert all(exam.path(out, "name", ".txt").read_text() == exam.exam for exam in EXAMS)
    assert (out / "measures.csv").read_text().splitlines()[1] == f"{EXAMS[0].exam},13"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["shard-0000"]


def fail_second(exam: Exam, folder: Path) -> None:
    exam.path(folder, "half", ".txt").write_text("half written")
    if exam == EXAMS[1]:
        raise ExamExcluded(Reason.UNREADABLE, "the file is cut short")


def test_an_expected_fault_is_a_row_and_leaves_no_file(tmp_path):
    out = tmp_path / "shard-0000"
    rows = map_exams(fail_second, started(*EXAMS), out, stage="convert")
    assert [row.ok for row in rows] == [True, False, True, True]
    assert (rows[1].stage, rows[1].reason, rows[1].detail) == ("convert", "unreadable_image", "the file is cut short")
    assert not (out / f"sub-{EXAMS[1].patient}").exists()


def test_an_earlier_exclusion_is_carried_on(tmp_path):
    before = started(EXAMS[0])
    before.append(ExamStatus(EXAMS[1].exam, EXAMS[1].patient, "alba", "catalog", "excluded", "missing_mre", "none"))
    rows = map_exams(write_name, before, tmp_path / "shard-0000", stage="convert")
    assert rows[1] == before[1]


def divide_by_zero(exam: Exam, folder: Path) -> None:
    _ = 1 / 0


def test_a_bug_stops_the_job(tmp_path):
    with pytest.raises(ZeroDivisionError):
        map_exams(divide_by_zero, started(*EXAMS), tmp_path / "shard-0000", stage="convert")
    assert not (tmp_path / "shard-0000").exists()


def too_long(exam: Exam, folder: Path) -> None:
    if exam == EXAMS[0]:
        time.sleep(60)


def test_time_bound(tmp_path):
    rows = map_exams(too_long, started(*EXAMS), tmp_path / "shard-0000", stage="convert", timeout_s=1, workers=2)
    assert [row.reason for row in rows] == ["out_of_time", "", "", ""]


def killed(exam: Exam, folder: Path) -> None:
    if exam == EXAMS[2]:
        os._exit(137)


def test_a_killed_worker_costs_its_exam_only(tmp_path):
    rows = map_exams(killed, started(*EXAMS), tmp_path / "shard-0000", stage="convert")
    assert [row.reason for row in rows] == ["", "", "out_of_memory", ""]


def too_large(exam: Exam, folder: Path) -> None:
    if exam == EXAMS[3]:
        bytearray(4 * 2**30)


def test_memory_bound(tmp_path):
    rows = map_exams(too_large, started(*EXAMS), tmp_path / "shard-0000", stage="convert", memory_gb=2)
    assert [row.reason for row in rows] == ["", "", "", "out_of_memory"]


def count_then_fail(exam: Exam, folder: Path, counter: str, fail: str) -> None:
    with Path(counter).open("a") as file:
        file.write(exam.exam + "\n")
    if exam.exam == Path(fail).read_text():
        raise RuntimeError("interrupted")


def test_finished_exams_are_not_done_again(tmp_path):
    counter, fail = tmp_path / "count", tmp_path / "fail"
    arguments = {"stage": "convert", "counter": str(counter), "fail": str(fail)}
    fail.write_text(EXAMS[3].exam)
    with pytest.raises(RuntimeError):
        map_exams(count_then_fail, started(*EXAMS), tmp_path / "shard-0000", **arguments)
    fail.write_text("none")
    map_exams(count_then_fail, started(*EXAMS), tmp_path / "shard-0000", **arguments)
    done = counter.read_text().split()
    assert [done.count(exam.exam) for exam in EXAMS] == [1, 1, 1, 2]


def test_kept_work_of_other_arguments_is_not_used(tmp_path):
    fail, counter = tmp_path / "fail", tmp_path / "count"
    fail.write_text(EXAMS[3].exam)
    with pytest.raises(RuntimeError):
        map_exams(
            count_then_fail, started(*EXAMS), tmp_path / "s", stage="convert", counter=str(counter), fail=str(fail)
        )
    map_exams(write_name, started(*EXAMS), tmp_path / "s", stage="convert", tag="!")
    assert EXAMS[0].path(tmp_path / "s", "name", ".txt").read_text().endswith("!")


def test_kept_work_of_older_inputs_is_not_used(tmp_path):
    fail, counter, source = tmp_path / "fail", tmp_path / "count", tmp_path / "source"
    source.write_text("first")
    arguments = {"stage": "convert", "counter": str(counter), "fail": str(fail), "inputs": [source]}
    fail.write_text(EXAMS[3].exam)
    with pytest.raises(RuntimeError):
        map_exams(count_then_fail, started(*EXAMS), tmp_path / "s", **arguments)
    fail.write_text("none")
    os.utime(source, ns=(1, 1))
    map_exams(count_then_fail, started(*EXAMS), tmp_path / "s", **arguments)
    assert counter.read_text().split().count(EXAMS[0].exam) == 2


def stumble(exam: Exam, folder: Path, seen: str) -> None:
    """The first exam loses its worker once; the third stops the job once."""
    mark = Path(seen) / exam.exam
    first_time, _ = not mark.exists(), mark.touch()
    if exam == EXAMS[0] and first_time:
        os._exit(137)
    if exam == EXAMS[2] and first_time:
        raise RuntimeError("interrupted")


def test_an_exam_that_ran_out_of_memory_is_tried_again_when_the_shard_goes_on(tmp_path):
    arguments = {"stage": "convert", "seen": str(tmp_path)}
    with pytest.raises(RuntimeError):
        map_exams(stumble, started(*EXAMS), tmp_path / "s", **arguments)
    rows = map_exams(stumble, started(*EXAMS), tmp_path / "s", **arguments)
    assert all(row.ok for row in rows)
