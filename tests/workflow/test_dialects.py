"""Hospitals of every dialect with all clutter, and one that holds NIfTI, through catalog and convert."""

import csv

import nibabel as nib
import pytest
import yaml
from test_catalog_nifti import write_bids

from liverstiff.records import read_status

DIALECTS = ("ge", "siemens", "siemens-xa", "philips", "philips-enhanced", "canon", "canon-enhanced", "uih")


@pytest.fixture
def sites(checkout):
    """The configuration of nine hospitals, one of them with NIfTI images; two exams each."""
    config = yaml.safe_load(checkout.read("config.yaml"))
    site = config["data"]["sites"]["delta"] | {"role": "development"}
    config["data"]["sites"] = dict.fromkeys(DIALECTS, site)
    config["data"]["sites"]["nifti"] = {**site, "nifti": "bids"}
    del config["data"]["sites"]["nifti"]["dicom"]
    config["simulate"]["sites"] = {
        name: {"dialect": name, "field_t": 1.5 if place % 2 else 3.0, "exams": 2, "clutter": 1.0,
               "record_style": ("english", "german", "french", "plain")[place % 4]}
        for place, name in enumerate((*DIALECTS, "nifti"))
    }  # fmt: skip
    config["simulate"]["sites"]["nifti"]["dialect"] = "ge"
    config["catalog"] = {"required": [], "require_mre": False, "overrides": "overrides.csv"}
    (checkout.folder / "overrides.csv").write_text("site,text,take\nge,*t2*,no\n")
    (checkout.folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    write_bids(checkout.folder / "bids")
    return checkout


def table(path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_dialect_is_cataloged_and_converted(sites):
    run = sites.snakemake("results/catalog/exams.csv", "results/convert/shard-0000")
    assert run.returncode == 0, run.stdout + run.stderr
    results = sites.folder / "results"
    exams = table(results / "catalog/exams.csv")
    assert {exam["site"] for exam in exams} == {*DIALECTS, "nifti"}
    assert sum(exam["status"] == "ok" for exam in exams) >= 15, [exam["detail"] for exam in exams]
    (shard,) = (results / "convert").iterdir()
    rows = read_status(shard)
    assert all(row.stage == "convert" for row in rows if row.ok)
    assert {row.site for row in rows if row.ok} == {*DIALECTS, "nifti"}
    assert not [row for row in rows if row.stage == "convert" and not row.ok]
    images = list(shard.rglob("*.nii.gz"))
    assert len(images) >= 36
    for path in shard.rglob("*_dwi.nii.gz"):
        b_values = path.with_name(path.name.replace(".nii.gz", ".bval")).read_text().split()
        assert nib.load(path).shape[3] == len(b_values) >= 2
    kinds = {}
    true = {}
    for site in DIALECTS:
        for row in table(results / f"simulate/{site}/truth_series.csv"):
            true.setdefault(row["study_uid"], set()).add((row["kind"], row["source"]))
    linkage = {row["exam"]: row["study_uid"] for row in table(results / "catalog/private/linkage.csv")}
    for row in table(results / "catalog/series.csv"):
        if row["chosen"] == "True" and row["site"] in DIALECTS:
            kinds.setdefault(linkage[row["exam"]], set()).add(row["kind"])
    for study, taken in kinds.items():
        assert all((kind, "True") in true[study] for kind in taken)
    (used,) = [row for row in table(results / "catalog/overridden.csv") if row["site"] == "ge"]
    overridden = [row for row in table(results / "catalog/series.csv") if row["code"] == "overridden"]
    assert len(overridden) == int(used["series"]) > 0
    assert {(row["site"], row["chosen"]) for row in overridden} == {("ge", "False")}


def test_a_new_file_is_seen_and_the_rest_is_not_read_again(sites):
    run = sites.snakemake("results/catalog/exams.csv")
    assert run.returncode == 0, run.stdout + run.stderr
    log = sites.folder / "logs/catalog/uih.log"
    assert ", 0 unchanged" in log.read_text()
    run = sites.snakemake("results/catalog/exams.csv", "--forcerun", "catalog_site")
    assert run.returncode == 0, run.stdout + run.stderr
    assert " 0 read, " in log.read_text()
