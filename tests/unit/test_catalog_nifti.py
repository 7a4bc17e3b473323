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
        {"path": "a.nii", "exam": "x", "patient": "p", "kind": "T1", "b_values": "", "date": ""},
        {"path": "a.nii", "exam": "", "patient": "p", "kind": "DWI", "b_values": "0,400", "date": "6.5.2023"},
    ]
    with pytest.raises(ConfigError) as error:
        run_site(write_table(tmp_path, rows), tmp_path / "out", nifti=True)
    lines = str(error.value).splitlines()
    assert [line.split(": ", 1)[1].split(";")[0] for line in lines] == [
        "row 2: kind 'T1'",
        "row 3: no exam",
        "row 3: b_values '0,400'",
        "row 3: date '6.5.2023'",
    ]
    with pytest.raises(ConfigError, match="no column exam, kind, patient"):
        run_site(write_table(tmp_path, [{"path": "x"}]), tmp_path / "out", nifti=True)
