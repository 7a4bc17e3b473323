"""A shard of exams: a valid BIDS data set, one fault at a time, images that are NIfTI already, no identifier."""

import gzip
import json
import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from made_images import bids_errors, change, convert_again, shard_of, voxels
from tiny_dicom import write_exam

from liverstiff.config import ConvertConfig
from liverstiff.convert import NotConverted, convert_shard
from liverstiff.convert.nifti import TEXT_FIELDS
from liverstiff.convert.rewrite import rewrite_nifti
from liverstiff.records import ExamStatus, read_files, read_status, write_status

COLUMNS = ["exam", "patient", "site", "series", "kind", "variant", "volume", "b_value", "path", "member", "frame"]
DATASET = {"dataset_description.json", "README", "participants.tsv", ".bidsignore"}


def measures_of(folder: Path) -> list[dict]:
    return pd.read_csv(folder / "measures.csv", keep_default_na=False).to_dict("records")


def files_of(folder: Path, number: int) -> list[Path]:
    """Files of a series of the exam, by series number."""
    return sorted((folder / "tree" / "exam" / str(number)).iterdir())


def test_a_shard_has_the_files_of_the_contract(tmp_path):
    folder = shard_of(tmp_path)
    (row,) = read_status(folder)
    start = f"{row.identity.folder}/{{}}/sub-{row.patient}_ses-{row.exam}_{{}}"
    names = [("anat", "T1w.nii.gz"), ("anat", "T1w.json"), ("anat", "T2w.nii.gz"), ("anat", "T2w.json")]
    names += [("dwi", "dwi.nii.gz"), ("dwi", "dwi.json"), ("dwi", "dwi.bval"), ("dwi", "dwi.bvec")]
    wanted = {start.format(*pair) for pair in names} | {"status.csv", "measures.csv"} | DATASET
    assert {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} == wanted
    assert row.ok
    (measures,) = measures_of(folder)
    assert [measures[name] for name in ("t1w_volumes", "t2w_volumes", "dwi_volumes")] == [1, 1, 3]
    assert [measures[f"{name}_fault"] for name in ("t1w", "t2w", "dwi")] == ["", "", ""]
    assert "fat-sat" in measures["t1w_variant"]
    again = convert_again(tmp_path, "again")
    for path in (path for path in folder.rglob("*") if path.is_file()):
        assert path.read_bytes() == (again / path.relative_to(folder)).read_bytes()


def test_a_shard_is_a_valid_data_set(tmp_path):
    folder = shard_of(tmp_path)
    assert bids_errors(folder) == []
    described = json.loads((folder / "dataset_description.json").read_text())
    assert described["DatasetType"] == "raw"
    assert described["GeneratedBy"][0]["Name"] == "liverstiff"
    (row,) = read_status(folder)
    assert (folder / "participants.tsv").read_text() == f"participant_id\nsub-{row.patient}\n"
    (folder / row.identity.folder / "dwi" / "wrong_name.nii.gz").write_bytes(b"")
    assert bids_errors(folder)  # the validator can find one


def break_slice(path: Path) -> None:
    """Move one slice, so that the series is uneven."""
    change([path], lambda data, _: setattr(data, "ImagePositionPatient", [-10.0, -20.0, 6.7]))


def test_a_fault_of_one_sequence_costs_that_sequence_alone(tmp_path):
    shard_of(tmp_path)
    break_slice(files_of(tmp_path, 2)[1])
    folder = convert_again(tmp_path, "after")
    (row,), (measures,) = read_status(folder), measures_of(folder)
    assert row.ok
    assert (measures["t2w_volumes"], measures["t2w_fault"]) == (0, "uneven_slices")
    assert measures["notes"].startswith("T2w: not converted: slices are unevenly spaced")
    assert not list(folder.rglob("*T2w*"))
    assert len(list(folder.rglob("*T1w.nii.gz"))) == len(list(folder.rglob("*dwi.nii.gz"))) == 1
    assert bids_errors(folder) == []


def test_a_fault_of_a_required_sequence_excludes_the_exam(tmp_path):
    shard_of(tmp_path)
    break_slice(files_of(tmp_path, 2)[1])
    (row,) = read_status(convert_again(tmp_path, "after", required=("T1w", "T2w")))
    assert row.reason == "conversion_failed"
    assert row.detail.startswith("T2w (uneven_slices): slices are unevenly spaced")


def test_t1w_is_required_only_where_it_is_asked_for(tmp_path):
    shard_of(tmp_path)
    break_slice(files_of(tmp_path, 6)[1])
    (row,) = read_status(convert_again(tmp_path, "default"))
    assert row.reason == "conversion_failed"
    folder = convert_again(tmp_path, "without", required=())
    assert read_status(folder)[0].ok
    assert measures_of(folder)[0]["t1w_fault"] == "uneven_slices"


def test_an_exam_without_any_sequence_is_excluded(tmp_path):
    shard_of(tmp_path)
    for number in (2, 3, 6):
        files_of(tmp_path, number)[0].unlink()
    (row,) = read_status(convert_again(tmp_path, "after", required=()))
    assert row.reason == "unreadable_image"
    assert row.detail.startswith("no sequence is left: T1w: not converted: one of its files cannot be read")


def test_a_changed_file_is_found(tmp_path):
    shard_of(tmp_path)
    change(files_of(tmp_path, 2)[:1], lambda data, _: setattr(data, "Rows", 4) or setattr(data, "Columns", 24))
    folder = convert_again(tmp_path, "after")
    assert measures_of(folder)[0]["t2w_fault"] == "unreadable_image"
    assert "run catalog again" in measures_of(folder)[0]["notes"]


def test_one_series_per_b_value_is_taken_together(tmp_path):
    shard_of(tmp_path)
    table = tmp_path / "catalog" / "private" / "shards" / "shard-0000.csv"
    before = convert_again(tmp_path, "before")
    rows = read_files(table)
    for number, b in enumerate((0.0, 400.0, 800.0), start=50):
        mine = rows[(rows.kind == "DWI") & (rows.b_value == b)]
        change([Path(path) for path in mine.path], lambda data, _, n=number: _own_series(data, n))
    after = convert_again(tmp_path, "after")
    (one,), (two,) = before.rglob("*dwi.nii.gz"), after.rglob("*dwi.nii.gz")
    assert np.array_equal(voxels(one), voxels(two))
    assert next(after.rglob("*.bval")).read_text() == "0 400 800\n"
    assert measures_of(after)[0]["notes"] == "DWI: converted volume by volume"


def _own_series(data, number):
    data.SeriesInstanceUID, data.SeriesNumber = f"1.2.3.{number}", number


def test_an_exam_that_cannot_be_converted_does_not_stop_the_shard(tmp_path):
    write_exam(tmp_path / "tree" / "broken", StudyInstanceUID="1.9", PatientID="P9")
    folder = shard_of(tmp_path)
    assert [row.ok for row in read_status(folder)] == [True, True]
    for path in sorted((tmp_path / "tree" / "broken" / "6").iterdir())[:3]:
        path.write_bytes(path.read_bytes()[:-50])
    after = convert_again(tmp_path, "after")
    assert sorted(row.reason for row in read_status(after)) == ["", "conversion_failed"]
    assert len(list(after.rglob("*T1w.nii.gz"))) == 1
    assert len((after / "participants.tsv").read_text().splitlines()) == 2


def test_paths_of_a_hospital_are_no_text(tmp_path):
    odd = os.fsdecode(b'a "b", \xff\xe9\nNA $(touch x) \'')
    write_exam(tmp_path / "tree" / odd)
    folder = shard_of(tmp_path, StudyInstanceUID="1.9", PatientID="P9")
    assert [row.ok for row in read_status(folder)] == [True, True]
    assert len(list(folder.rglob("*.nii.gz"))) == 6


# ---- images that are NIfTI already


def nifti_shard(folder: Path, images: dict[str, tuple[Path, tuple]]) -> Path:
    """A shard of one exam whose sequences are NIfTI images; each with the b-values of its volumes."""
    names = ["e000000000001", "p000000000001", "alba"]
    rows = [
        [*names, f"s{number:03d}", kind, "", volume, b, str(path), "", 0]
        for number, (kind, (path, b_values)) in enumerate(images.items())
        for volume, b in enumerate(b_values)
    ]
    pd.DataFrame(rows, columns=COLUMNS).to_csv(folder / "shard.csv", index=False)
    write_status([ExamStatus(*names, "catalog", "ok")], folder / "status.csv")
    out = folder / "converted"
    convert_shard(shard=folder / "shard.csv", status=folder / "status.csv", folder=out, settings=ConvertConfig())
    return out


def write_nifti(path: Path, shape=(6, 5, 4), made=nib.Nifti1Image) -> nib.Nifti1Image:
    """An image with texts, an extension and a scale of its own."""
    affine = np.array([[-2.0, 0.1, 0, 7], [0, 3, 0, 8], [0, 0, 4, 9], [0, 0, 0, 1]])
    stored = np.arange(np.prod(shape), dtype=np.int16).reshape(shape)
    image = made(stored, affine)
    image.header.set_slope_inter(0.5, 10)
    for field in {"descrip", "aux_file", "intent_name", "db_name"} & set(image.header):
        image.header[field] = b"SECRET"
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"SECRETCOMMENT"))
    path.parent.mkdir(parents=True, exist_ok=True)
    image.to_filename(path)
    beside = path.with_name(path.name.removesuffix(".gz").removesuffix(".nii") + ".json")
    beside.write_text(json.dumps({"EchoTime": 0.002, "PatientName": "SECRETNAME", "AcquisitionTime": "10:00:00"}))
    return nib.load(path)


@pytest.mark.parametrize(("ending", "made"), [(".nii.gz", nib.Nifti1Image), (".nii", nib.Nifti2Image)])
def test_a_nifti_image_keeps_all_but_its_texts(tmp_path, ending, made):
    t1w = write_nifti(tmp_path / "in" / f"a{ending}", made=made)
    dwi = write_nifti(tmp_path / "in" / f"b{ending}", (6, 5, 4, 3), made)
    directions = np.array([[0, 1, 0], [0, 0, 1], [0, 0, 0]])
    np.savetxt(tmp_path / "in" / "b.bvec", directions)
    images = {"T1w": (tmp_path / "in" / f"a{ending}", ("",)), "DWI": (tmp_path / "in" / f"b{ending}", (0, 50.5, 800))}
    folder = nifti_shard(tmp_path, images)
    assert bids_errors(folder) == []
    for suffix, before in (("T1w", t1w), ("dwi", dwi)):
        after = nib.load(next(folder.rglob(f"*{suffix}.nii.gz")))
        assert isinstance(after, nib.Nifti1Image)
        assert np.array_equal(after.dataobj.get_unscaled(), before.dataobj.get_unscaled())
        assert np.allclose(after.affine, before.affine)
        assert (after.dataobj.slope, after.dataobj.inter) == (0.5, 10)
        assert len(after.header.extensions) == 0
        assert not any(bytes(after.header[field]).strip(b"\0") for field in TEXT_FIELDS)
        assert json.loads(next(folder.rglob(f"*{suffix}.json")).read_text()) == {"EchoTime": 0.002}
    assert next(folder.rglob("*.bval")).read_text() == "0 50.5 800\n"
    assert np.array_equal(np.loadtxt(next(folder.rglob("*.bvec"))), directions)
    assert measures_of(folder)[0]["dwi_volumes"] == 3


def rows_of(path: Path, volumes: int = 1) -> pd.DataFrame:
    return pd.DataFrame(
        [{"path": str(path), "member": "", "volume": volume, "b_value": np.nan} for volume in range(volumes)]
    )


def test_nifti_faults_have_codes(tmp_path):
    out = tmp_path / "out.nii.gz"
    write_nifti(tmp_path / "a.nii.gz")
    write_nifti(tmp_path / "nowhere.nii")
    content = bytearray((tmp_path / "nowhere.nii").read_bytes())
    content[280:284] = np.float32(np.nan).tobytes()  # the first number of the affine
    (tmp_path / "nowhere.nii").write_bytes(content)
    write_nifti(tmp_path / "flat.nii", (6, 5))
    (tmp_path / "cut.nii.gz").write_bytes((tmp_path / "a.nii.gz").read_bytes()[:-50])
    (tmp_path / "short.nii").write_bytes((tmp_path / "nowhere.nii").read_bytes()[:-50])
    (tmp_path / "text.nii").write_text("no image")
    nib.Nifti1Image(np.zeros((3, 3, 3), [("R", "u1"), ("G", "u1"), ("B", "u1")]), np.eye(4)).to_filename(
        tmp_path / "colour.nii"
    )
    faults = {
        "absent.nii": "unreadable_image",
        "cut.nii.gz": "unreadable_image",
        "short.nii": "unreadable_image",
        "text.nii": "unreadable_image",
        "nowhere.nii": "implausible_image",
        "flat.nii": "implausible_image",
        "colour.nii": "secondary_capture",
    }
    for name, code in faults.items():
        with pytest.raises(NotConverted) as error:
            rewrite_nifti(rows_of(tmp_path / name), out)
        assert error.value.code == code, name
        assert name not in error.value.detail
    with pytest.raises(NotConverted, match="it has 1 volumes, the catalog found 2") as error:
        rewrite_nifti(rows_of(tmp_path / "a.nii.gz", 2), out)
    assert error.value.code == "contradiction"
    assert not out.exists()


def test_big_endian_and_one_volume_of_four_dimensions(tmp_path):
    made = nib.Nifti1Image(np.arange(24, dtype=">i2").reshape(2, 3, 4, 1), np.diag([2.0, 2, 2, 1]))
    nib.Nifti1Image(made.dataobj, made.affine, made.header.as_byteswapped(">")).to_filename(tmp_path / "a.nii")
    assert (tmp_path / "a.nii").read_bytes()[:4] == (348).to_bytes(4, "big")
    shape, b_values, notes = rewrite_nifti(rows_of(tmp_path / "a.nii"), tmp_path / "out.nii.gz")
    assert (shape, b_values, notes) == ((2, 3, 4), [], [])
    assert np.array_equal(nib.load(tmp_path / "out.nii.gz").dataobj, np.arange(24).reshape(2, 3, 4))


# ---- identifiers


PLANTED = {
    "PatientName": "SECRETNAME^ONE",
    "PatientID": "SECRETID77",
    "PatientBirthDate": "19510213",
    "AccessionNumber": "SECRETACC",
    "InstitutionName": "SECRETHOSPITAL",
    "InstitutionAddress": "SECRETSTREET",
    "StationName": "SECRETSTATION",
    "DeviceSerialNumber": "SECRETSERIAL",
    "ReferringPhysicianName": "SECRETDOCTOR",
    "StudyDescription": "SECRETSTUDY",
    "ImageComments": "SECRETCOMMENT",
    "PatientComments": "SECRETPATIENTCOMMENT",
    "ProtocolName": "SECRETPROTOCOL",
    "BodyPartExamined": "SECRETBODY",
    "StudyInstanceUID": "1.2.777.888.999",
    "StudyDate": "20230406",
    "StudyTime": "112233",
}
TOKENS = [b"SECRET", b"1.2.777", b"19510213", b"20230406", b"112233", b"tree/exam", b"ep2d", b"t1_vibe"]


def test_no_identifier_leaves_the_private_folder(tmp_path, capsys):
    folder = shard_of(tmp_path, **PLANTED)
    assert read_status(folder)[0].ok
    public = [
        path for path in tmp_path.rglob("*") if path.is_file() and not {"tree", "private", "key"} & set(path.parts)
    ]
    assert len(public) > 10
    for path in public:
        content = path.read_bytes()
        content = gzip.decompress(content) if path.suffix == ".gz" else content
        assert [token for token in TOKENS if token.lower() in content.lower()] == [], path.name
    printed = capsys.readouterr()
    said = (printed.out + printed.err).lower().encode()
    assert [token for token in TOKENS if token.lower() in said] == []
    headers = [nib.load(path).header for path in public if path.suffix == ".gz"]
    texts = ("descrip", "aux_file", "intent_name", "db_name")
    assert not any(bytes(header[field]).strip(b"\0") for header in headers for field in texts)
