"""The ten CHAOS volumes as a site of NIfTI images: T2w only, and carried on or excluded as the config says."""

import csv
import shutil

import pandas as pd
import pytest
from public_data import DATA, needs
from test_catalog_nifti import run_site, run_study

from liverstiff.config import ConvertConfig
from liverstiff.convert import convert_shard
from liverstiff.records import read_status

CHAOS = DATA / "chaos_t2spir_liver"
pytestmark = needs("chaos_t2spir_liver")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A table that names the volumes where they lie, cataloged."""
    folder = tmp_path_factory.mktemp("chaos")
    numbers = sorted(int(path.name.split("_")[1].split(".")[0]) for path in CHAOS.glob("image_*.nii.gz"))
    with (folder / "images.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "exam", "patient", "kind", "variant", "vendor", "field_t"])
        writer.writerows(
            [CHAOS / f"image_{n}.nii.gz", f"exam {n}", n, "T2w", "TSE fat-sat", "Philips", 1.5] for n in numbers
        )
    run_site(folder / "images.csv", folder / "out", nifti=True)
    return folder


def test_excluded_where_t1w_is_required(site):
    exams = run_study(site / "out")
    assert len(exams) == 10
    assert set(exams.reason) == {"missing_sequence"}
    assert set(exams.detail) == {"no usable T1w: none was found; the table of series says more"}
    series = pd.read_csv(site / "out/series.csv")
    assert set(zip(series.kind, series.variant, series.chosen, strict=True)) == {("T2w", "TSE fat-sat", True)}


def test_excluded_where_two_sequences_are_required(site):
    exams = run_study(site / "out", required=(), require_mre=False, least_sequences=2)
    assert set(exams.reason) == {"missing_sequence"}


def test_carried_on_where_they_are_not(site):
    exams = run_study(site / "out", required=(), require_mre=False)
    assert set(exams.status) == {"ok"}
    assert exams[["t1w", "t2w", "dwi", "mre"]].drop_duplicates().to_numpy().tolist() == [
        ["False", "True", "False", "False"]
    ]
    shards = site / "out/private/shards"
    for name in exams.shard.unique():
        convert_shard(
            shard=shards / f"{name}.csv",
            status=shards / f"{name}.status.csv",
            folder=site / "converted" / name,
            settings=ConvertConfig(),
            required=(),
        )
        assert all(row.ok for row in read_status(site / "converted" / name))
    assert len(list((site / "converted").rglob("*_T2w.nii.gz"))) == 10


@pytest.mark.skipif(not (DATA / "totalsegmentator_mr").is_dir(), reason="no public data")
def test_a_ct_among_them_is_told_by_its_values(tmp_path):
    source = DATA / "totalsegmentator_mr"
    for number, name in enumerate(("example_ct_sm", "example_mr_sm"), start=1):
        folder = tmp_path / "bids" / f"sub-{number}" / "anat"
        folder.mkdir(parents=True)
        shutil.copy(source / f"{name}.nii.gz", folder / f"sub-{number}_T1w.nii.gz")
    run_site(tmp_path / "bids", tmp_path / "out", nifti=True)
    exams = run_study(tmp_path / "out", require_mre=False)
    linkage = pd.read_csv(tmp_path / "out/private/linkage.csv", dtype=str)
    found = exams.merge(linkage[["exam", "patient_id"]], on="exam").set_index("patient_id").reason.to_dict()
    assert found == {"1": "wrong_modality", "2": ""}
