"""Every fault has its reason code, and every other exam is as if the fault were not there."""

import contextlib
import gzip
import multiprocessing
import os
import random
import shutil
import sqlite3
import tempfile
import zipfile
from pathlib import Path

import pandas as pd
import pytest
from pydicom import dcmread, dcmwrite
from pydicom.uid import JPEG2000Lossless, RLELossless
from test_catalog import frames_of, run_site, run_study
from tiny_dicom import write_exam, write_series

from liverstiff.catalog.exam import catalog_exam, different_people
from liverstiff.catalog.scan import Study, scan
from liverstiff.dicom import SourceFile, Unused, read_frames, split_stacks
from liverstiff.overrides import Overrides
from liverstiff.records import read_files

GRADIENT = {"MRAcquisitionType": "3D", "SeriesDescription": "t1_vibe_fs", "SeriesNumber": 6}


def edit(path: Path, **attributes) -> None:
    data = dcmread(path)
    for keyword, value in attributes.items():
        setattr(data, keyword, value)
    data.save_as(path)


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file())


def zero_byte(exam: Path) -> None:
    (exam / "6" / "empty.dcm").touch()


def truncated_pixels(exam: Path) -> None:
    path = files(exam / "6")[3]
    path.write_bytes(path.read_bytes()[:-60])


def truncated_header(exam: Path) -> None:
    path = exam / "6" / "half.dcm"
    path.write_bytes(files(exam / "6")[0].read_bytes()[:700])


def text_named_dcm(exam: Path) -> None:
    (exam / "6" / "note.dcm").write_text("the scanner was repaired on Monday\n" * 40)


def missing_slice(exam: Path) -> None:
    files(exam / "6")[4].unlink()


def missing_slice_of_one_volume(exam: Path) -> None:
    files(exam / "3")[4].unlink()


def duplicated_slice(exam: Path) -> None:
    path = files(exam / "6")[4]
    copy = path.with_name("copy")
    shutil.copy(path, copy)
    edit(copy, SOPInstanceUID="1.2.99", InstanceNumber=99)


def copies_sent_twice(exam: Path) -> None:
    for path in files(exam / "6"):
        shutil.copy(path, path.with_name(path.name + "-again"))


def two_patients(exam: Path) -> None:
    for path in files(exam / "2"):
        edit(path, PatientID="ANOTHER")


def two_names(exam: Path) -> None:
    for path in files(exam / "2"):
        edit(path, PatientName="OTHER^PERSON")


def wrong_modality(exam: Path) -> None:
    for series in exam.iterdir():
        for path in files(series):
            edit(path, Modality="CT", SOPClassUID="1.2.840.10008.5.1.4.1.1.2")


def one_slice(exam: Path) -> None:
    for path in files(exam / "6")[1:]:
        path.unlink()


def no_b_values(exam: Path) -> None:
    for path in files(exam / "3"):
        data = dcmread(path)
        for tag in [element.tag for element in data if element.tag.group == 0x0019]:
            del data[tag]
        data.save_as(path)


def no_b_zero(exam: Path) -> None:
    for path in files(exam / "3"):
        if dcmread(path)[0x0019, 0x100C].value == 0:
            path.unlink()


def one_b_value(exam: Path) -> None:
    for path in files(exam / "3"):
        if dcmread(path)[0x0019, 0x100C].value != 800:
            path.unlink()


def burned_in(exam: Path) -> None:
    for path in files(exam / "6"):
        edit(path, BurnedInAnnotation="YES")


def secondary_capture(exam: Path) -> None:
    for path in files(exam / "6"):
        edit(path, SOPClassUID="1.2.840.10008.5.1.4.1.1.7")


def contradiction(exam: Path) -> None:
    for path in files(exam / "6"):
        edit(path, SeriesDescription="ax t2 fs", ProtocolName="ax t2 fs")


def uneven(exam: Path) -> None:
    path = files(exam / "6")[3]
    edit(path, ImagePositionPatient=[-10.0, -20.0, 16.2])


def link_loop(exam: Path) -> None:
    (exam / "6" / "round").symlink_to(exam)
    (exam / "6" / "itself").symlink_to(exam / "6" / "itself")


def broken_packing(exam: Path) -> None:
    path = files(exam / "6")[0]
    path.with_name("broken.gz").write_bytes(gzip.compress(path.read_bytes())[:200])
    path.with_name("broken.zip").write_bytes(b"PK\x03\x04 no archive")


def named_pipe(exam: Path) -> None:
    os.mkfifo(exam / "6" / "pipe")


# fault, file code (skipped.csv), series code, exam reason, kinds that are still taken beside T1w
FAULTS = [
    (zero_byte, "empty_file", "", ""),
    (truncated_pixels, "", "truncated_pixels", "missing_sequence"),
    (truncated_header, "damaged_file", "", ""),
    (text_named_dcm, "not_dicom", "", ""),
    (missing_slice, "", "missing_slice", "missing_sequence"),
    (missing_slice_of_one_volume, "", "missing_slice", ""),
    (duplicated_slice, "", "duplicated_slice", "missing_sequence"),
    (copies_sent_twice, "duplicate", "", ""),
    (two_patients, "", "", "conflicting_identity"),
    (two_names, "", "", "conflicting_identity"),
    (wrong_modality, "", "wrong_modality", "wrong_modality"),
    (one_slice, "", "too_few_slices", "missing_sequence"),
    (no_b_values, "", "no_b_values", ""),
    (no_b_zero, "", "no_b_zero", ""),
    (one_b_value, "", "one_b_value", ""),
    (burned_in, "", "burned_in_annotation", "missing_sequence"),
    (secondary_capture, "", "secondary_capture", "missing_sequence"),
    (contradiction, "", "contradiction", "missing_sequence"),
    (uneven, "", "uneven_slices", "missing_sequence"),
    (link_loop, "link_loop", "", ""),
    (broken_packing, "damaged_file", "", ""),
    (named_pipe, "unreadable_file", "", ""),
]


def exam_of(tree: Path, number: int) -> Path:
    """An exam of a patient of its own."""
    folder = tree / f"exam {number}"
    write_exam(folder, StudyInstanceUID=f"1.2.{number}", PatientID=f"P{number}")
    return folder


def tables(out: Path) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Series, exams by study number, and the files that gave no image."""
    exams = run_study(out)
    linkage = pd.read_csv(out / "private/linkage.csv", dtype=str)
    exams = exams.merge(linkage[["exam", "study_uid"]], on="exam")
    series = pd.read_csv(out / "series.csv", keep_default_na=False)
    skipped = pd.read_csv(out / "private/sites/alba/skipped.csv", keep_default_na=False)
    return series, exams, skipped


@pytest.fixture(scope="module")
def faulty(tmp_path_factory):
    """One tree with an exam per fault and a sound one, and the sound one alone."""
    folder = tmp_path_factory.mktemp("faults")
    exam_of(folder / "sound", 0)
    exam_of(folder / "tree", 0)
    for number, (fault, *_) in enumerate(FAULTS, start=1):
        fault(exam_of(folder / "tree", number))
    for name in ("sound", "tree"):
        run_site(folder / name, folder / f"{name}-out")
    return folder, tables(folder / "sound-out"), tables(folder / "tree-out")


@pytest.mark.parametrize(("number", "row"), enumerate(FAULTS, start=1), ids=[row[0].__name__ for row in FAULTS])
def test_fault_has_its_code(faulty, number, row):
    fault, file_code, series_code, reason = row
    folder, _, (series, exams, skipped) = faulty
    exam = exams[exams.study_uid == f"1.2.{number}"].iloc[0]
    mine = series[series.exam == exam.exam]
    assert exam.reason == reason, exam.detail
    assert bool(exam.detail) == bool(reason)
    if series_code:
        assert series_code in set(mine.code)
    duplicates = pd.read_csv(folder / "tree-out/private/sites/alba/duplicates.csv")
    found = set(skipped.reason[skipped.path.str.contains(f"exam {number}/", regex=False)])
    found |= {"duplicate"} if (duplicates.exam == exam.exam).any() else set()
    assert found == ({file_code} | ({"unreadable_file"} if fault is link_loop else set()) if file_code else set())
    if not reason:
        assert set(mine.kind[mine.chosen]) >= {"T1w", "T2w", "MRE_stiffness"}


def test_every_other_exam_is_untouched(faulty):
    _, (alone, _, _), (series, exams, _) = faulty
    sound = exams.exam[exams.study_uid == "1.2.0"].iloc[0]
    columns = [name for name in alone.columns if name not in ("exam", "patient")]
    assert series[series.exam == sound][columns].to_dict("records") == alone[columns].to_dict("records")
    assert alone.chosen.sum() == 5


def test_skipped_files_are_counted_without_their_names(faulty):
    folder, *_ = faulty
    counts = pd.read_csv(folder / "tree-out/skipped.csv")
    assert dict(zip(counts.reason, counts.files, strict=True)) == {
        "damaged_file": 3,
        "duplicate": 8,
        "empty_file": 1,
        "link_loop": 1,
        "not_dicom": 1,
        "unreadable_file": 2,
    }


def test_odd_names_of_files_and_folders(tmp_path):
    exam = exam_of(tmp_path / "tree", 0)
    odd = [
        "new\nline",
        "return\r",
        "comma,quote\"'",
        os.fsdecode(b"\xff\xfe not text"),
        "größe ☃",
        "NA",
        "%41 &<>|;$(x)",
    ]
    for name, series in zip(odd, sorted(exam.iterdir()), strict=False):
        renamed = series.rename(exam / name)
        for number, path in enumerate(files(renamed)):
            path.rename(renamed / f"{number} {name}")
    run_site(tmp_path / "tree", tmp_path / "out")
    (row,) = run_study(tmp_path / "out").to_dict("records")
    assert row["status"] == "ok"
    table = read_files(tmp_path / "out/private/shards/shard-0000.csv")
    assert all(Path(path).exists() for path in table.path)
    assert table.groupby("kind").path.nunique().to_dict()["T1w"] == 8


def test_one_series_of_5000_files(tmp_path):
    heights = tuple(3.0 * place for place in range(50))
    write_series(tmp_path / "tree", heights=heights, b_values=tuple(range(0, 1000, 10)), Rows=2, Columns=2)
    run_site(tmp_path / "tree", tmp_path / "out")
    (row,) = pd.read_csv(tmp_path / "out/sites/alba.csv").to_dict("records")
    assert (row["kind"], row["files"], row["volumes"], row["slices"]) == ("DWI", 5000, 100, 50)


def _as_nobody(tree: Path, out: Path) -> None:
    os.setgid(65534)
    os.setuid(65534)
    run_site(tree, out)


def test_what_may_not_be_read_is_said_and_read_once_it_may():
    """As a user without rights over the files; root may read everything."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        exam = exam_of(folder / "tree", 0)
        closed, inside = exam / "6" / "closed.dcm", exam / "closed"
        shutil.copy(files(exam / "1")[0], closed)
        inside.mkdir()
        for path, mode in ((closed, 0), (inside, 0)):
            path.chmod(mode)
        if os.geteuid() == 0:
            context = multiprocessing.get_context("fork")
            process = context.Process(target=_as_nobody, args=(folder / "tree", folder / "o"))
            process.start()
            process.join()
            assert process.exitcode == 0
        else:
            run_site(folder / "tree", folder / "o")
        skipped = pd.read_csv(folder / "o/private/sites/alba/skipped.csv")
        assert skipped.reason.to_list() == ["unreadable_file"] * 2
        assert set(pd.read_csv(folder / "o/sites/alba.csv").query("chosen").kind) >= {"T1w", "T2w", "DWI"}
        closed.chmod(0o644)
        again = scan(folder / "tree", folder / "o/private/headers/alba.sqlite")
        assert again.read == 1
        inside.chmod(0o755)


def test_a_rescan_reads_only_what_changed(tmp_path):
    tree, cache = tmp_path / "tree", tmp_path / "cache" / "x.sqlite"
    exam = exam_of(tree, 0)
    first = scan(tree, cache)
    assert (first.read, first.kept) == (59, 0)
    frames = sum(len(first.study(uid, headers).frames) for uid, headers in first.studies().items())
    again = scan(tree, cache)
    assert (again.read, again.kept) == (0, 59)
    files(exam / "1")[0].unlink()
    edit(files(exam / "6")[0], SeriesDescription="changed")
    shutil.rmtree(exam / "2")
    third = scan(tree, cache)
    assert (third.read, third.kept) == (1, 49)
    left = [frame for uid, headers in third.studies().items() for frame in third.study(uid, headers).frames]
    assert len(left) == frames - 9
    assert sum("changed" in frame.header.text for frame in left) == 1


def test_a_cache_of_other_code_or_damaged_is_made_anew(tmp_path, capsys):
    tree, out = tmp_path / "tree", tmp_path / "out"
    cache = out / "private" / "headers" / "alba.sqlite"
    exam_of(tree, 0)
    run_site(tree, out)
    before = (out / "sites/alba.csv").read_bytes()
    whole = cache.read_bytes()
    for damaged in (b"no database at all" * 100, whole[:4096] + b"\xff" * 4096 * 4 + whole[4096 * 5 :]):
        cache.write_bytes(damaged)
        run_site(tree, out)
        assert "the cache of headers is damaged" in capsys.readouterr().out
        assert (out / "sites/alba.csv").read_bytes() == before
    database = sqlite3.connect(cache)
    database.execute("UPDATE version SET code = 'other'")
    database.commit()
    database.close()
    assert scan(tree, cache).read == 59


def test_a_zip_of_an_exam_and_a_folder_give_the_same_series(tmp_path):
    exam = exam_of(tmp_path / "plain", 0)
    (tmp_path / "packed").mkdir()
    with zipfile.ZipFile(tmp_path / "packed" / "exam.ZIP", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(exam.rglob("*")):
            archive.write(path, f"DICOM/{path.relative_to(exam)}")
        archive.writestr("DICOM/README", "text")
    for name in ("plain", "packed"):
        run_site(tmp_path / name, tmp_path / f"{name}-out")
    tables = [pd.read_csv(tmp_path / f"{name}-out/sites/alba.csv") for name in ("plain", "packed")]
    columns = [name for name in tables[0].columns if name not in ("exam", "patient")]
    assert tables[0][columns].equals(tables[1][columns])
    files = pd.read_csv(tmp_path / "packed-out/private/sites/alba/files.csv")
    assert files.member.str.startswith("DICOM/").all()


def test_a_study_that_an_archive_gave_two_numbers_is_one_exam(tmp_path):
    exam = exam_of(tmp_path / "tree", 0)
    for path in files(exam / "6")[:3]:
        edit(path, StudyInstanceUID="1.2.0.77")
    run_site(tmp_path / "tree", tmp_path / "out")
    (row,) = run_study(tmp_path / "out").to_dict("records")
    assert row["status"] == "ok"


def test_an_exam_sent_twice_under_another_number_counts_once(tmp_path):
    exam_of(tmp_path / "tree", 0)
    write_exam(tmp_path / "tree" / "again", StudyInstanceUID="1.2.9", PatientID="P0")
    run_site(tmp_path / "tree", tmp_path / "out")
    exams = run_study(tmp_path / "out")
    assert sorted(exams.reason) == ["", "duplicate_exam"]
    kept = exams.exam[exams.reason == ""].iloc[0]
    assert exams.detail[exams.reason != ""].iloc[0] == f"the same images as {kept}"


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless, "implicit", "deflated", "big", "bare"])
def test_headers_of_every_transfer_syntax(tmp_path, syntax):
    from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

    path = write_series(tmp_path, "Philips", slices=1, b_values=(400.0,))[0]
    data = dcmread(path)
    wanted = read_frames(SourceFile(str(path)))[0]
    names = {"implicit": ImplicitVRLittleEndian, "deflated": DeflatedExplicitVRLittleEndian, "big": ExplicitVRBigEndian}
    if syntax == "bare":
        path.write_bytes(path.read_bytes()[132:])
    elif syntax in names:
        data.file_meta.TransferSyntaxUID = names[syntax]
        if syntax == "big":
            data.PixelData = data.pixel_array.astype(">u2").tobytes()
            data[0x2001, 0x1003].value = 400.0
        more = {"force_encoding": True, "implicit_vr": False, "little_endian": False} if syntax == "big" else {}
        dcmwrite(path, data, **more)
    else:
        data.file_meta.TransferSyntaxUID = syntax
        from pydicom.encaps import encapsulate

        data.PixelData = encapsulate([data.PixelData])
        data["PixelData"].is_undefined_length = True
        data.save_as(path, enforce_file_format=True)
    (found,) = read_frames(SourceFile(str(path)))
    assert (found.header, found.position, found.b_value) == (wanted.header, wanted.position, wanted.b_value)


@pytest.mark.parametrize("length", [0, 131, 132, 140, 200, 333, 512, 700])
def test_a_file_cut_anywhere_in_its_header_is_no_image(tmp_path, length):
    path = write_series(tmp_path, slices=1)[0]
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(Unused):
        read_frames(SourceFile(str(path)))


def test_random_bytes_never_crash_the_reader(tmp_path):
    source = write_series(tmp_path, "Philips", slices=1, b_values=(400.0,))[0]
    content = bytearray(source.read_bytes())
    draw = random.Random(0)
    read = 0
    for _ in range(2000):
        damaged = bytearray(content)
        for _ in range(draw.randint(1, 8)):
            damaged[draw.randrange(132, len(damaged))] = draw.randrange(256)
        source.write_bytes(damaged)
        with contextlib.suppress(Unused):
            read += len(frames_of(source))
    assert read > 500


def test_random_damage_never_stops_an_exam(tmp_path):
    """Through identification and choice, not only through the reader."""
    source = write_series(tmp_path / "source", "Philips", slices=8, b_values=(0.0, 400.0))
    contents = [path.read_bytes() for path in source]
    draw = random.Random(1)
    for _ in range(400):
        frames = []
        for path, content in zip(source, contents, strict=True):
            damaged = bytearray(content)
            for _ in range(draw.randint(0, 3)):
                damaged[draw.randrange(132, len(damaged))] = draw.randrange(256)
            path.write_bytes(damaged)
            with contextlib.suppress(Unused):
                frames += frames_of(path)
        if frames:
            catalog_exam("alba", bytes(32), Study("1.2.3", frames), Overrides())


@pytest.mark.parametrize(
    "attributes",
    [
        {"ImagePositionPatient": ["nan", "0", "0"]},
        {"ImageOrientationPatient": ["nan"] * 6},
        {"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]},
        {"PixelSpacing": [0, 0]},
        {"PixelSpacing": None},
        {"RescaleSlope": 0, "RescaleIntercept": 0},
        {"RescaleSlope": "nan", "RescaleIntercept": 0},
        {"RescaleSlope": 1, "RescaleIntercept": "inf"},
    ],
)
def test_impossible_numbers_are_a_fault_of_the_series(tmp_path, attributes):
    exam = exam_of(tmp_path / "tree", 0)
    for path in files(exam / "6"):
        data = dcmread(path)
        for keyword, value in attributes.items():
            if value is None:
                delattr(data, keyword)
            else:
                setattr(data, keyword, value)
        data.save_as(path)
    run_site(tmp_path / "tree", tmp_path / "out")
    (row,) = run_study(tmp_path / "out").to_dict("records")
    assert row["reason"] == "missing_sequence"
    assert row["t2w"] == row["dwi"] == "True"


@pytest.mark.parametrize("shift", [{"ImagePositionPatient": 30.0}, {"PixelSpacing": [4.0, 6.0]}])
def test_volumes_on_different_grids_are_not_put_together(tmp_path, shift):
    """One series per b-value, of which the second lies elsewhere."""
    for number, b in enumerate((0, 800), start=1):
        common = {"SeriesInstanceUID": f"1.2.3.{number}", "SeriesNumber": number, "ScanningSequence": "EP"}
        common |= {"ImageType": ["DERIVED", "PRIMARY", "DIFFUSION", "TRACEW"], "EchoTime": 60.0}
        for path in write_series(tmp_path / "tree" / str(number), b_values=(b,), **common):
            if number == 2:
                position = dcmread(path).ImagePositionPatient
                moved = [position[0] + shift.get("ImagePositionPatient", 0.0), *position[1:]]
                edit(path, **{**shift, "ImagePositionPatient": moved})
    run_site(tmp_path / "tree", tmp_path / "out")
    series = pd.read_csv(tmp_path / "out/sites/alba.csv")
    assert not series.chosen.any()
    assert set(series.code) == {"one_b_value"}


def test_one_series_per_b_value_is_taken_together(tmp_path):
    for number, b in enumerate((0, 400, 800), start=1):
        common = {"SeriesInstanceUID": f"1.2.3.{number}", "SeriesNumber": number, "ScanningSequence": "EP"}
        common |= {"ImageType": ["DERIVED", "PRIMARY", "DIFFUSION", "TRACEW"], "EchoTime": 60.0}
        write_series(tmp_path / "tree" / str(number), b_values=(b,), **common)
    run_site(tmp_path / "tree", tmp_path / "out")
    series = pd.read_csv(tmp_path / "out/sites/alba.csv", keep_default_na=False)
    assert series.chosen.all()
    assert set(series.code) == {""}
    assert series.why[0] == "taken: taken together with s002, s003"


def test_an_image_without_b_value_beside_b_zero_is_a_part_of_its_own(tmp_path):
    paths = write_series(tmp_path, "Canon", b_values=(0, 800, 1000), slices=8)
    for path in paths[-8:]:
        data = dcmread(path)
        del data.DiffusionBValue
        data.save_as(path)
    stacks = split_stacks(frames_of(*paths))
    assert [stack.b_values for stack in stacks] == [[0, 800], []]
    without_zero = [path for path in paths if dcmread(path).get("DiffusionBValue") != 0]
    assert [stack.b_values for stack in split_stacks(frames_of(*without_zero))] == [[800, 0]]  # Canon leaves b = 0 out


def test_patients_without_a_number_are_not_one_patient(tmp_path):
    for number in range(2):
        write_exam(tmp_path / "tree" / str(number), StudyInstanceUID=f"1.2.{number}", PatientID="")
    run_site(tmp_path / "tree", tmp_path / "out")
    exams = run_study(tmp_path / "out")
    assert exams.reason.to_list() == ["no_patient_id"] * 2
    assert exams.patient.nunique() == 2


@pytest.mark.parametrize(
    ("names", "different"),
    [
        ({"DOE^JANE", ""}, False),
        ({"DOE^JANE", "doe^jane^^DR"}, False),
        ({"YAMADA^TAROU", "Yamada^Tarou=山田^太郎"}, False),
        ({"DOE^JANE", "JANE DOE"}, False),
        ({"DOEJANELONG", "DOEJANE"}, False),
        ({"DOE^JANE", "ROE^RICHARD"}, True),
    ],
)
def test_names_of_one_person(names, different):
    assert different_people(names) == different


def test_of_copies_the_whole_one_counts(tmp_path):
    exam = exam_of(tmp_path / "tree", 0)
    shutil.copytree(exam / "6", exam / "0")
    for path in files(exam / "0"):
        path.write_bytes(path.read_bytes()[:-60])
    run_site(tmp_path / "tree", tmp_path / "out")
    (row,) = run_study(tmp_path / "out").to_dict("records")
    assert row["status"] == "ok"
    double = pd.read_csv(tmp_path / "out/private/sites/alba/duplicates.csv")
    assert double.path.str.contains("/0/").sum() == len(double) == 8


def test_one_instance_number_for_all_images_is_no_copy(tmp_path):
    exam = exam_of(tmp_path / "tree", 0)
    for path in files(exam / "6"):
        edit(path, SOPInstanceUID="1.2.3.4")
    run_site(tmp_path / "tree", tmp_path / "out")
    assert run_study(tmp_path / "out").status.to_list() == ["ok"]


def test_equal_times_and_places_are_no_copy_without_equal_pixels(tmp_path):
    exam_of(tmp_path / "tree", 0)
    write_exam(tmp_path / "tree" / "other", StudyInstanceUID="1.2.9", PatientID="P0")
    for path in sorted((tmp_path / "tree" / "other").rglob("*")):
        if path.is_file():
            data = dcmread(path)
            edit(path, PixelData=(data.pixel_array + 1).astype("<u2").tobytes())
    run_site(tmp_path / "tree", tmp_path / "out")
    assert run_study(tmp_path / "out").reason.to_list() == ["", ""]


def test_odd_archives(tmp_path):
    exam = exam_of(tmp_path / "tree", 0)
    zipfile.ZipFile(exam / "none.zip", "w").close()
    with zipfile.ZipFile(exam / "packed twice.zip", "w") as archive:
        path = files(exam / "6")[0]
        archive.writestr("IM1.DCM.GZ", gzip.compress(path.read_bytes()))
    path.rename(exam / "moved")
    (exam / "moved").unlink()
    run_site(tmp_path / "tree", tmp_path / "out")
    assert run_study(tmp_path / "out").status.to_list() == ["ok"]
    skipped = pd.read_csv(tmp_path / "out/private/sites/alba/skipped.csv")
    assert skipped.reason.to_list() == ["no_image"]


def test_a_packed_header_of_a_gigabyte_is_not_unpacked(tmp_path):
    path = write_series(tmp_path, slices=1)[0]
    content = path.read_bytes()
    place = content.index(b"\x28\x00\x02\x00")  # before the pixel module
    bomb = content[:place] + b"\x28\x00\x01\x00OB\0\0" + (1 << 30).to_bytes(4, "little") + bytes(200 << 20)
    packed = tmp_path / "bomb.gz"
    packed.write_bytes(gzip.compress(bomb, 1))
    with pytest.raises(Unused, match="too large"):
        read_frames(SourceFile(str(packed)))


def test_a_file_that_kills_its_reader_costs_that_file_alone(tmp_path, monkeypatch):
    exam_of(tmp_path / "tree", 0)
    victim = files(tmp_path / "tree" / "exam 0" / "1")[0]

    def deadly(file: SourceFile):
        if file.path == str(victim):
            os.kill(os.getpid(), 9)
        return read_frames(file)

    monkeypatch.setattr("liverstiff.catalog.reading.read_frames", deadly)
    monkeypatch.setattr("liverstiff.catalog.reading.BATCH", 16)
    found = scan(tmp_path / "tree", tmp_path / "cache" / "x.sqlite", workers=2)
    assert [(one.reason, one.detail) for one in found.skipped()] == [("damaged_file", "reading it ended the process")]
    assert sum(len(found.study(uid, headers).frames) for uid, headers in found.studies().items()) == 58


def test_some_images_without_a_number_are_no_second_patient(tmp_path):
    exam = exam_of(tmp_path / "tree", 0)
    for path in files(exam / "1"):
        edit(path, PatientID="")
    run_site(tmp_path / "tree", tmp_path / "out")
    exams = run_study(tmp_path / "out")
    assert exams.status.to_list() == ["ok"]
