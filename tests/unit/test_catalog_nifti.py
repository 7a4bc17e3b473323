"""Sites of NIfTI images, by a BIDS folder or a table: the same tables, the same checks."""

import csv
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from test_catalog import run_site, run_study

from liverstiff.errors import ConfigError

SHAPE = (12, 10, 8)
AFFINE = np.array([[-3.0, 0, 0, 18], [0, 3, 0, -15], [0, 0, 6, -20], [0, 0, 0, 1]])


def write_image(path: Path, volumes: int = 1, values=None, affine=AFFINE, shape=SHAPE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    full = shape if volumes == 1 else (*shape, volumes)
    voxels = np.random.default_rng(len(path.name)).integers(1, 900, full).astype(np.int16) if values is None else values
    nib.Nifti1Image(voxels, affine).to_filename(path)
    return path


def write_bids(folder: Path) -> Path:
    """Two patients: one whole exam with elastography, one with a contrast-enhanced T1w and a broken DWI."""
    one, two = folder / "sub-01" / "ses-a", folder / "sub-02"
    write_image(one / "anat" / "sub-01_ses-a_acq-fatsat_T1w.nii.gz")
    write_image(one / "anat" / "sub-01_ses-a_T2w.nii.gz")
    write_image(one / "dwi" / "sub-01_ses-a_dwi.nii.gz", volumes=3)
    (one / "dwi" / "sub-01_ses-a_dwi.bval").write_text("0 400 800\n")
    write_image(one / "mre" / "sub-01_ses-a_stiffness.nii.gz", shape=(12, 10, 4))
    write_image(one / "mre" / "sub-01_ses-a_confidence.nii.gz", shape=(12, 10, 4))
    (one / "sub-01_ses-a_scans.tsv").write_text(
        "filename\tacq_time\nanat/sub-01_ses-a_acq-fatsat_T1w.nii.gz\t2023-05-06T10:00:00\n"
    )
    (one / "anat" / "sub-01_ses-a_acq-fatsat_T1w.json").write_text(
        '{"Manufacturer": "SIEMENS", "ManufacturersModelName": "Skyra", "MagneticFieldStrength": 3}'
    )
    write_image(two / "anat" / "sub-02_ce-gd_T1w.nii.gz")
    write_image(two / "dwi" / "sub-02_dwi.nii.gz", volumes=2)
    write_image(two / "anat" / "sub-02_localizer.nii.gz")
    return folder


def test_a_bids_folder(tmp_path):
    run_site(write_bids(tmp_path / "bids"), tmp_path / "out", nifti=True)
    exams = run_study(tmp_path / "out")
    linkage = pd.read_csv(tmp_path / "out/private/linkage.csv", dtype=str, keep_default_na=False)
    exams = exams.merge(linkage[["exam", "patient_id", "study_date"]], on="exam").set_index("patient_id")
    whole, part = exams.loc["01"], exams.loc["02"]
    assert (whole.status, whole.t1w, whole.t2w, whole.dwi, whole.mre) == ("ok", *["True"] * 4)
    assert (whole.t1w_variant, whole.vendor, whole.model, whole.field_t) == ("fat-sat", "Siemens", "Skyra", "3.0")
    assert whole.study_date == "20230506"
    assert part.reason == "missing_sequence"
    assert part.detail.startswith("no usable T1w: 1 post_contrast")
    series = pd.read_csv(tmp_path / "out/series.csv", keep_default_na=False)
    assert series.kind.value_counts().to_dict() == {
        "DWI": 2, "T1w": 1, "T1w_post": 1, "T2w": 1, "MRE_stiffness": 1, "MRE_confidence": 1,
    }  # fmt: skip
    assert series.code[(series.kind == "DWI") & ~series.chosen].to_list() == ["no_b_values"]
    assert series.b_values[(series.kind == "DWI") & series.chosen].to_list() == ["0 400 800"]
    table = pd.read_csv(tmp_path / "out/private/shards/shard-0000.csv")
    assert table.groupby("kind").size().to_dict() == {
        "DWI": 3, "MRE_confidence": 1, "MRE_stiffness": 1, "T1w": 1, "T2w": 1,
    }  # fmt: skip
    assert set(table.frame) == {0}


def write_table(folder: Path, rows: list[dict[str, str]]) -> Path:
    path = folder / "images.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(name for row in rows for name in row)))
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_a_table_and_the_fault_of_every_image(tmp_path):
    hu = np.full(SHAPE, -1000, np.int16)
    hu[4:8] = 400
    rows = []
    faults = {
        "unreadable_image": tmp_path / "none.nii.gz",
        "wrong_modality": write_image(tmp_path / "ct.nii.gz", values=hu),
        "implausible_image": write_image(tmp_path / "flat.nii.gz", values=np.ones(SHAPE, np.int16)),
        "too_few_slices": write_image(tmp_path / "thin.nii.gz", shape=(12, 10, 2)),
        "": write_image(tmp_path / "good.nii.gz"),
    }
    broken = write_image(tmp_path / "broken.nii.gz")
    broken.write_bytes(broken.read_bytes()[:300])
    tilted = write_image(tmp_path / "size.nii.gz", affine=np.diag([900.0, 1, 1, 1]))
    more = [("unreadable_image", broken), ("implausible_image", tilted)]
    for number, (code, path) in enumerate([*faults.items(), *more]):
        rows.append({"path": path.name, "exam": f"x{number}", "patient": f"p{number}", "kind": "T1w", "code": code})
    source = write_table(tmp_path, rows)
    run_site(source, tmp_path / "out", nifti=True, workers=2)
    run_study(tmp_path / "out", require_mre=False)
    series = pd.read_csv(tmp_path / "out/series.csv", keep_default_na=False)
    linkage = pd.read_csv(tmp_path / "out/private/linkage.csv", dtype=str)
    found = series.merge(linkage[["exam", "patient_id"]], on="exam").set_index("patient_id").code.to_dict()
    assert found == {row["patient"]: row["code"] for row in rows}
    exams = pd.read_csv(tmp_path / "out/exams.csv", keep_default_na=False)
    assert (exams.status == "ok").sum() == 1
    assert sorted(exams.reason) == ["", *["missing_sequence"] * 5, "wrong_modality"]


def test_mistakes_of_a_table_are_one_line_each(tmp_path):
    rows = [
        {"path": "a.nii", "exam": "x", "patient": "p", "kind": "T1", "b_values": "", "date": "", "variant": "JOHN DOE"},
        {"path": "a.nii", "exam": "", "patient": "p", "kind": "DWI", "b_values": "0,400", "date": "6.5.2023"},
    ]
    with pytest.raises(ConfigError) as error:
        run_site(write_table(tmp_path, rows), tmp_path / "out", nifti=True)
    lines = str(error.value).splitlines()
    assert [line.split(": expected")[0] for line in lines] == [
        "row 2: kind",
        "row 2: variant",
        "row 3: exam: fill it",
        "row 3: b_values",
        "row 3: date",
    ]
    assert "DOE" not in str(error.value)
    with pytest.raises(ConfigError, match="no column exam, kind, patient"):
        run_site(write_table(tmp_path, [{"path": "x"}]), tmp_path / "out", nifti=True)


def codes(folder: Path) -> dict[str, str]:
    """Code of every series of a BIDS folder by the number of the patient."""
    run_site(folder / "bids", folder / "out", nifti=True)
    run_study(folder / "out", require_mre=False)
    series = pd.read_csv(folder / "out/series.csv", keep_default_na=False)
    linkage = pd.read_csv(folder / "out/private/linkage.csv", dtype=str)
    return series.merge(linkage[["exam", "patient_id"]], on="exam").set_index("patient_id").code.to_dict()


def test_a_declared_native_image_is_taken_beside_a_contrast_enhanced_one(tmp_path):
    anat = tmp_path / "bids" / "sub-1" / "anat"
    write_image(anat / "sub-1_acq-fatsat_T1w.nii.gz")
    write_image(anat / "sub-1_ce-gd_T1w.nii.gz")
    run_site(tmp_path / "bids", tmp_path / "out", nifti=True)
    series = pd.read_csv(tmp_path / "out/sites/alba.csv").set_index("kind")
    assert series.chosen.to_dict() == {"T1w": True, "T1w_post": False}


def test_geometry_that_contradicts_itself(tmp_path):
    turned = AFFINE @ np.diag([-1.0, 1, 1, 1])
    for number in range(4):
        image = nib.Nifti1Image(np.random.default_rng(0).integers(1, 900, SHAPE).astype(np.int16), AFFINE)
        image.set_sform(AFFINE, code=1 if number in (0, 1) else 0)
        image.set_qform(turned if number == 1 else AFFINE, code=0 if number == 3 else 1)
        path = tmp_path / "bids" / f"sub-{number}" / "anat" / f"sub-{number}_T1w.nii.gz"
        path.parent.mkdir(parents=True)
        image.to_filename(path)
    coronal = np.array([[3.0, 0, 0, 0], [0, 0, 8, 0], [0, 3, 0, 0], [0, 0, 0, 1]])
    write_image(tmp_path / "bids/sub-4/anat/sub-4_T2w.nii.gz", affine=coronal, shape=(20, 20, 8))
    write_image(tmp_path / "bids/sub-5/anat/sub-5_T2w.nii.gz", volumes=2)
    write_image(tmp_path / "bids/sub-6/anat/sub-6_T1w.NII.GZ")
    found = codes(tmp_path)
    assert found == {
        "0": "", "1": "implausible_image", "2": "", "3": "implausible_image", "4": "not_a_source",
        "5": "several_volumes", "6": "",
    }  # fmt: skip


def test_damage_anywhere_is_a_code(tmp_path):
    for number in range(40):
        path = write_image(tmp_path / f"bids/sub-{number:02d}/anat/sub-{number:02d}_T1w.nii.gz")
        content = bytearray(path.read_bytes())
        draw = np.random.default_rng(number)
        for place in draw.integers(4, len(content), 1 + number % 5):
            content[place] = draw.integers(256)
        path.write_bytes(content)
        path.with_name(path.name.replace(".nii.gz", ".json")).write_bytes(
            b'{"MagneticFieldStrength": "3", "Manufacturer": 7, "x": "\xff"}' if number % 2 else b'{"a": 1}'
        )
    (tmp_path / "bids/sub-00/sub-00_scans.tsv").write_bytes(b"filename\tacq_time\n\xfc\t2023\n")
    found = codes(tmp_path)
    assert len(found) == 40
    assert set(found.values()) <= {"", "unreadable_image", "implausible_image", "wrong_modality", "too_few_slices",
                                   "secondary_capture", "not_a_source", "several_volumes"}  # fmt: skip
    assert "unreadable_image" in found.values()
