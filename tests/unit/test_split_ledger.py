"""The ledger of folds: grows only, is refused when it does not fit, survives damage, locks and two writers."""

import fcntl
import hashlib
import json
import multiprocessing
import os

import pandas as pd
import pytest
from made_splits import BANDS, arguments, plan, save, split, table

from liverstiff.errors import ConfigError, DataError
from liverstiff.split import read_ledger, split_cohort

BASE = [(100 + i, "alba", -1 - i, 2.0 + i) for i in range(3)]
MORE = [*BASE, (7, "alba", -5, 2.0)]


def path(folder):
    return folder / "private" / "folds.csv"


def test_it_is_private_and_untouched_without_news(tmp_path):
    split(tmp_path, table(BASE))
    assert path(tmp_path).stat().st_mode & 0o777 == 0o600
    assert path(tmp_path).parent.stat().st_mode & 0o777 == 0o700
    before = path(tmp_path).stat().st_mtime_ns
    split(tmp_path, table([*BASE, (8, "alba", 5, 2.0), (9, "delta", -5, 2.0)]))
    assert path(tmp_path).stat().st_mtime_ns == before
    assert sorted(file.name for file in path(tmp_path).parent.iterdir()) == [".folds.csv.lock", "folds.csv"]


def test_it_holds_development_patients_only(tmp_path):
    split(tmp_path, table([*BASE, (8, "alba", 5, 2.0), (9, "delta", -5, 2.0)]))
    assert read_ledger(path(tmp_path), plan()).rows.patient.tolist() == ["p0064", "p0065", "p0066"]


def test_a_patient_that_leaves_keeps_its_row(tmp_path):
    split(tmp_path, table(MORE))
    kept = read_ledger(path(tmp_path), plan()).rows
    split(tmp_path, table([*BASE, (8, "alba", -5, 2.0)]))
    now = read_ledger(path(tmp_path), plan()).rows
    pd.testing.assert_frame_equal(now[: len(kept)], kept)


def test_the_hash_is_that_of_the_rows_used_and_others_do_not_change_it(tmp_path):
    split(tmp_path, table(BASE))
    mine = json.loads((tmp_path / "ledger.json").read_text())
    other = tmp_path / "other"
    other.mkdir()
    cohort = table([(i, "brook", -5, 3.0) for i in range(20)])
    save(other, cohort)
    split_cohort(**{**arguments(other), "ledger": path(tmp_path)})
    split(tmp_path, table(BASE))
    assert json.loads((tmp_path / "ledger.json").read_text()) == mine
    lines = path(tmp_path).read_bytes().splitlines(keepends=True)
    assert len(lines) == 2 + 23
    assert mine["rows"] == 3
    assert mine["sha256"] == hashlib.sha256(b"".join(lines[1:5])).hexdigest()
    assert json.loads((other / "ledger.json").read_text())["sha256"] != mine["sha256"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"folds": 4}, r"made with split\.folds 3, the config has 4"),
        ({"folds": 2}, r"made with split\.folds 3, the config has 2"),
        ({"bands": (2.5, 3.0)}, r"made with target\.bands \[2\.5, 3\.0, 4\.0\], the config has \[2\.5, 3\.0\]"),
        ({"scheme": "leave-one-site-out", "folds": ["alba"]}, r"made with split\.scheme kfold, the config has leave"),
    ],
)
def test_a_ledger_of_other_folds_is_refused(tmp_path, changes, words):
    split(tmp_path, table(BASE))
    before = path(tmp_path).read_bytes()
    with pytest.raises(DataError, match=words) as caught:
        split(tmp_path, table(MORE), **changes)
    assert "\n" not in str(caught.value)
    assert path(tmp_path).read_bytes() == before


def test_a_new_site_gets_a_new_fold_and_a_site_that_is_gone_is_refused(tmp_path):
    rows = [(1, "alba", -5, 2.0), (2, "brook", -5, 2.0)]
    before = split(tmp_path, table(rows), "leave-one-site-out", ["alba", "brook"])
    after = split(tmp_path, table([*rows, (3, "elm", -5, 2.0)]), "leave-one-site-out", ["elm", "alba", "brook"])
    assert after.fold.tolist() == [*before.fold, 2]
    assert json.loads((tmp_path / "ledger.json").read_text())["folds"] == ["alba", "brook", "elm"]
    with pytest.raises(DataError, match=r"has a fold 'elm', the config has alba, brook"):
        split(tmp_path, table(rows), "leave-one-site-out", ["alba", "brook"])


def one_each(count):
    """Patients of site alba in three folds."""
    return table([(place, "alba", -5 - place, 2.0 + place % 4) for place in range(count)])


def test_a_patient_who_becomes_a_person_stays_in_its_fold(tmp_path):
    before = split(tmp_path, one_each(30))
    ledger_before = path(tmp_path).read_text().splitlines()
    persons = {patient: f"p{'f' * 4}{patient[1:]}" for patient in before.patient}
    named = one_each(30).assign(patient=before.patient.map(persons).to_numpy())
    after = split(tmp_path, named, aliases=[(person, patient) for patient, person in persons.items()])
    assert after.fold.tolist() == before.fold.tolist()
    assert after.patient.tolist() == list(persons.values())
    assert path(tmp_path).read_text().splitlines() == ledger_before


def test_a_link_to_a_new_patient_moves_nobody(tmp_path):
    """A patient of another site has the number of an earlier person and a smaller one, which becomes the name."""
    before = split(tmp_path, one_each(30))
    linked = pd.concat([one_each(30), table([(0xF00, "brook", -2, 3.0)]).assign(exam="efff")], ignore_index=True)
    linked["patient"] = linked.patient.replace({"p0004": "p0000aa", "p0f00": "p0000aa"})
    aliases = [("p0000aa", alias) for alias in ("p0000aa", "p0004", "p0f00")]
    after = split(tmp_path, linked, aliases=aliases)
    assert after.fold[:30].tolist() == before.fold.tolist()
    assert after.fold[30] == before.fold[4]
    assert len(read_ledger(path(tmp_path), plan()).rows) == 30


def test_two_patients_who_are_one_take_the_older_fold(tmp_path, capsys):
    before = split(tmp_path, one_each(30))
    other = next(name for name, fold in zip(before.patient, before.fold, strict=True) if fold != before.fold[0])
    rows = read_ledger(path(tmp_path), plan()).rows.set_index("patient").fold
    oldest = next(name for name in rows.index if name in ("p0000", other))
    joined = one_each(30)
    joined["patient"] = joined.patient.replace({other: "pffff", "p0000": "pffff"})
    capsys.readouterr()
    after = split(tmp_path, joined, aliases=[("pffff", "p0000"), ("pffff", other)])
    one = after.patient == "pffff"
    assert set(after.fold[one]) == {rows[oldest]}
    assert after.fold[~one].tolist() == before.fold[~one].tolist()
    assert f"{oldest}: one person, known as 2 patients" in capsys.readouterr().out


def damages():
    yield "empty", lambda text: ""
    yield "no first line", lambda text: text.split("\n", 1)[1]
    yield "cut in a row", lambda text: text[:-8]
    yield "cut between rows", lambda text: "".join(text.splitlines(keepends=True)[:-1])
    yield "a patient twice", lambda text: text + text.splitlines()[-1] + "\n"
    yield "a column less", lambda text: text.replace(",band", "", 1)
    yield "a fold too high", lambda text: text.replace("p0064,", "p0064,9", 1)
    yield "a fold in words", lambda text: text.replace("p0064,", "p0064,x", 1)
    yield "a band that is none", lambda text: text.replace("0-2.5", "0-2.7", 1)
    yield "another first line", lambda text: "# [1, 2]\n" + text.split("\n", 1)[1]
    yield "no text", lambda text: "\udcff\udcfe"


@pytest.mark.parametrize("damage", [pytest.param(how, id=name) for name, how in damages()])
def test_a_damaged_ledger_is_one_line_and_stays(tmp_path, damage):
    split(tmp_path, table(BASE))
    text = path(tmp_path).read_text()
    path(tmp_path).write_text(damage(text), errors="surrogateescape")
    damaged = path(tmp_path).read_bytes()
    with pytest.raises(DataError, match=r"ledger of folds folds\.csv is damaged") as caught:
        split(tmp_path, table(MORE))
    assert "\n" not in str(caught.value)
    assert path(tmp_path).read_bytes() == damaged


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path, monkeypatch):
    split(tmp_path, table(BASE))
    real = os.open

    def read_only(name, flags, *rest, **more):
        if flags & (os.O_WRONLY | os.O_RDWR):
            raise PermissionError(13, "Permission denied", str(name))
        return real(name, flags, *rest, **more)

    monkeypatch.setattr(os, "open", read_only)
    splits = split(tmp_path, table(BASE))  # nothing new: the ledger is only read
    assert splits.fold.notna().all()
    with pytest.raises(ConfigError, match=r"folds\.csv cannot be written: Permission denied; expected") as caught:
        split(tmp_path, table(MORE))
    assert "\n" not in str(caught.value)


def test_a_folder_that_is_none_is_one_line(tmp_path):
    (tmp_path / "private").write_text("a file")
    with pytest.raises(ConfigError, match=r"folds\.csv cannot be read: Not a directory"):
        split(tmp_path, table(BASE))
    (tmp_path / "private").unlink()
    path(tmp_path).mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"folds\.csv cannot be read: Is a directory"):
        split(tmp_path, table(BASE))


def test_a_writer_that_dies_leaves_the_ledger_whole(tmp_path, monkeypatch):
    split(tmp_path, table(BASE))
    before = path(tmp_path).read_bytes()
    monkeypatch.setattr(os, "fsync", lambda file: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(ConfigError, match="No space left"):
        split(tmp_path, table(MORE))
    assert path(tmp_path).read_bytes() == before
    monkeypatch.undo()
    split(tmp_path, table(MORE))
    assert path(tmp_path).read_bytes().startswith(b"# ")


def _study(folder, ledger, start, ready):
    """A study of 40 patients of its own and 20 that all studies have, once all are ready."""
    rows = [(n, "alba", -1, 2.0) for n in [*range(start, start + 40), *range(20)]]
    save(folder, table(rows))
    ready.wait(60)
    split_cohort(**{**arguments(folder), "ledger": ledger})


def test_studies_that_run_at_once_share_a_ledger(tmp_path):
    context = multiprocessing.get_context("fork")
    ready = context.Barrier(4)
    folders = [tmp_path / f"study{i}" for i in range(4)]
    for folder in folders:
        folder.mkdir()
    started = [
        context.Process(target=_study, args=(folder, path(tmp_path), 1000 * (i + 1), ready), daemon=True)
        for i, folder in enumerate(folders)
    ]
    for process in started:
        process.start()
    for process in started:
        process.join(60)
    assert [process.exitcode for process in started] == [0] * 4
    fold = read_ledger(path(tmp_path), plan()).rows.set_index("patient").fold
    assert len(fold) == 4 * 40 + 20
    for folder in folders:
        splits = pd.read_csv(folder / "splits.csv", dtype={"patient": str})
        assert splits.fold.tolist() == fold[splits.patient].tolist()


def test_who_waits_for_the_lock_reads_the_ledger_again(tmp_path):
    split(tmp_path, table(BASE))
    context = multiprocessing.get_context("fork")
    other = tmp_path / "other"
    other.mkdir()
    ready = context.Event()
    waiting = context.Process(target=_study, args=(other, path(tmp_path), 1000, ready), daemon=True)
    waiting.start()
    lock = os.open(tmp_path / "private" / ".folds.csv.lock", os.O_WRONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    ready.set()
    waiting.join(1.5)
    assert waiting.is_alive()
    text = path(tmp_path).read_text().replace('"patients": 3', '"patients": 4') + "pffff,2,alba,0-2.5\n"
    path(tmp_path).write_text(text)  # what the one that holds the lock adds
    os.close(lock)
    waiting.join(60)
    assert waiting.exitcode == 0
    rows = read_ledger(path(tmp_path), plan()).rows
    assert rows.patient.tolist()[:4] == ["p0064", "p0065", "p0066", "pffff"]
    assert rows.fold.tolist()[3] == 2
    assert len(rows) == 4 + 60


def test_made_with_the_default_bands(tmp_path):
    split(tmp_path, table(BASE))
    assert json.loads(path(tmp_path).read_text().split("\n", 1)[0][2:])["bands"] == list(BANDS)
