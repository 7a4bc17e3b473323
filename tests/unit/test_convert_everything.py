"""Every series of a folder: each one a row, BIDS names where BIDS has one, one bad series alone."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from made_images import bids_errors, expected, voxels
from test_catalog import run_site
from tiny_dicom import write_exam, write_series

from liverstiff.convert import convert_folder

PARTS = {"ImageType": ["DERIVED", "SECONDARY", "OTHER"], "SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}


def write_tree(tree: Path) -> None:
    """The small exam, and beside it a capture, a raw series of three planes, an uneven map and a broken series."""
    write_exam(tree)
    write_series(tree / "20", slices=2, SeriesNumber=20, SeriesInstanceUID="1.2.3.20", **PARTS)
    stiffness = {"ImageType": ["DERIVED", "PRIMARY", "MRE", "STIFFNESS"], "SeriesDescription": "mre_Stiffness"}
    uneven = {"heights": (0, 12, 24.5, 35), "SeriesNumber": 21, "SeriesInstanceUID": "1.2.3.21"}
    write_series(tree / "21", **stiffness, **uneven, RescaleSlope=2, RescaleIntercept=0, RescaleType="Pa")
    t2 = {"SeriesDescription": "t2_tse_fs", "ScanningSequence": "SE", "EchoTime": 90.0, "ScanOptions": "FS"}
    write_series(tree / "22", **t2, heights=(0, 5, 10.7, 15), SeriesNumber=22, SeriesInstanceUID="1.2.3.22")


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """The tree through catalog and convert_folder: output folder and table."""
    folder = tmp_path_factory.mktemp("all")
    write_tree(folder / "tree" / "exam")
    run_site(folder / "tree", folder / "catalog")
    files = folder / "catalog" / "private" / "sites" / "alba" / "files.csv"
    series = folder / "catalog" / "sites" / "alba.csv"
    table = convert_folder(files=files, series=series, out=folder / "out", workers=2)
    return folder / "out", table


def row(table: pd.DataFrame, series: str) -> dict:
    (found,) = table[table.series == series].to_dict("records")
    return found


def test_every_series_has_a_row_and_a_name(done):
    out, table = done
    assert list(table.columns) == ["exam", "series", "kind", "variant", "file", "b_values", "status", "reason", "notes"]
    names = [Path(name).name.split("_", 2)[2] if name else "" for name in table.file]
    assert dict(zip(table.series, names, strict=True)) == {
        "s001": "desc-s001_localizer.nii.gz",
        "s002": "acq-s002_T2w.nii.gz",
        "s003": "acq-s003_dwi.nii.gz",
        "s004": "desc-s004_stiffness.nii.gz",
        "s005": "desc-s005_confidence.nii.gz",
        "s006": "acq-s006_T1w.nii.gz",
        "s007": "acq-s007_ce-agent_T1w.nii.gz",
        "s008": "",
        "s009": "chunk-1_desc-s009_stiffness.nii.gz",
        "s010": "",
    }
    assert all((out / name).exists() for name in table.file if name)
    assert {Path(name).parent.name for name in table.file if "desc-" in name} == {"other"}
    written = pd.read_csv(out / "converted.csv", keep_default_na=False)
    assert written.equals(table)


def test_values_and_b_values(done):
    out, table = done
    dwi = row(table, "s003")
    assert (dwi["status"], dwi["b_values"], dwi["reason"]) == ("converted", "0 400 800", "")
    assert np.array_equal(voxels(out / dwi["file"]), expected(3, 8))
    stiffness = row(table, "s009")
    assert stiffness["notes"] == "read frame by frame, in Pa; slices are unevenly spaced: 4 files of one slice"
    assert len(list(out.rglob("*chunk-*_stiffness.nii.gz"))) == 4
    assert np.array_equal(voxels(out / stiffness["file"])[:, :, :, 0], 2 * expected(1, 1)[..., 0])


def test_what_cannot_be_converted_says_why(done):
    _, table = done
    assert row(table, "s008")["reason"] == "secondary_capture"
    uneven = row(table, "s010")
    assert (uneven["status"], uneven["reason"]) == ("refused", "uneven_slices")
    assert uneven["notes"] == "slices are unevenly spaced: 4.30 to 5.70 mm"
    assert list(table.status).count("refused") == 2


def test_the_folder_is_a_valid_data_set_without_names(done):
    out, _ = done
    assert bids_errors(out) == []
    content = b"".join(path.read_bytes() for path in out.rglob("*") if path.suffix in (".json", ".csv", ".tsv"))
    assert b"NAME" not in content
    assert b"tree" not in content
    for path in out.rglob("*.nii.gz"):
        assert not bytes(nib.load(path).header["descrip"]).strip(b"\0")


def test_a_series_whose_files_are_gone_does_not_stop_the_rest(tmp_path):
    write_exam(tmp_path / "tree")
    run_site(tmp_path / "tree", tmp_path / "catalog")
    for path in (tmp_path / "tree" / "2").iterdir():
        path.unlink()
    files = tmp_path / "catalog" / "private" / "sites" / "alba" / "files.csv"
    table = convert_folder(files=files, series=tmp_path / "catalog" / "sites" / "alba.csv", out=tmp_path / "out")
    assert row(table, "s002")["reason"] == "unreadable_image"
    assert list(table.status).count("converted") == 6
