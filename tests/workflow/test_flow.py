"""The whole flow on a tiny cohort: every declared file, every exam accounted for, no identifier outside the catalog."""

import csv
from pathlib import Path

import pytest
from planting import traces

pytestmark = pytest.mark.xdist_group("flow")

SHARD_STAGES = ("convert", "harmonize", "register", "segment", "elastography", "pack")
STUDY_FILES = (
    "catalog/series.csv",
    "catalog/exams.csv",
    "catalog/shards.csv",
    "harmonize/probe.csv",
    "harmonize/probe_confusion.csv",
    "cohort/cohort.csv",
    "cohort/exclusions.csv",
    "cohort/flow.csv",
    "split/splits.csv",
    "predict/cross-validation.csv",
    "predict/temporal.csv",
    "predict/external.csv",
    "evaluate/flow.csv",
    "evaluate/analysed.csv",
    "evaluate/metrics.csv",
    "evaluate/residuals.csv",
    "evaluate/table1.csv",
)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_declared_file_exists(finished):
    results = finished.folder / "results"
    for name in STUDY_FILES:
        assert (results / name).is_file(), name
    for stage in SHARD_STAGES:
        folders = sorted(path.name for path in (results / stage).iterdir() if path.is_dir())
        assert folders == [*(["network"] if stage == "segment" else []), "shard-0000", "shard-0001"], stage
    for fold in (0, 1, 2):
        folder = results / "train" / f"fold-{fold}"
        names = sorted(path.name for path in folder.iterdir())
        assert names == ["history.csv", "model.json", "model.safetensors", "validation.csv"]
    assert not [path for path in (results / "train").iterdir() if path.name.startswith(".")]
    assert (finished.folder / "reports/report.html").stat().st_size > 50_000


def test_every_status_table_names_every_exam_of_its_shard(finished):
    results = finished.folder / "results"
    shards = rows(results / "catalog/shards.csv")
    for stage in SHARD_STAGES:
        for shard in ("shard-0000", "shard-0001"):
            status = rows(results / stage / shard / "status.csv")
            assert {row["exam"] for row in status} == {row["exam"] for row in shards if row["shard"] == shard}


def test_exams_in_are_analysed_or_excluded(finished):
    results = finished.folder / "results"
    exams = {row["exam"] for row in rows(results / "catalog/exams.csv")}
    analysed = {row["exam"] for row in rows(results / "evaluate/analysed.csv")}
    excluded = {row["exam"] for row in rows(results / "cohort/exclusions.csv")}
    excluded |= {row["exam"] for row in rows(results / "split/splits.csv") if row["partition"] == "excluded"}
    assert len(exams) == 21
    assert analysed.isdisjoint(excluded)
    assert analysed | excluded == exams


def test_most_exams_are_analysed(finished):
    """A planted failure or two is expected; more than that means a stage loses exams."""
    analysed = rows(finished.folder / "results/evaluate/analysed.csv")
    assert len(analysed) >= 15


def test_reference_is_close_to_what_the_simulator_wrote(finished):
    """The elastogram is read in the right unit at every site."""
    results = finished.folder / "results"
    truth = {}
    for path in results.glob("simulate/*/truth.csv"):
        truth |= {row["study_uid"]: float(row["measured_kpa"]) for row in rows(path)}
    linkage = {row["exam"]: row["study_uid"] for row in rows(results / "catalog/private/linkage.csv")}
    for row in rows(results / "cohort/cohort.csv"):
        assert float(row["reference"]) == pytest.approx(truth[linkage[row["exam"]]], rel=0.15)


def test_no_identifier_outside_the_private_catalog(finished):
    """Planted in every text field of every DICOM file, and what the simulator wrote of people, places and dates."""
    folders = [finished.folder / top for top in ("results", "logs", "benchmarks", "reports")]
    private = [finished.folder / "results/catalog/private", finished.folder / "results/simulate"]
    searched, places = traces(finished.planted, folders, without=private)
    assert len(finished.planted) > 4000
    assert searched > 200
    assert places == []


def test_private_catalog_is_closed_to_others(finished):
    assert (finished.folder / "results/catalog/private").stat().st_mode & 0o077 == 0
    assert (finished.folder / "private/pseudonym.key").stat().st_mode & 0o077 == 0


def test_page_of_snakemake_itself(finished):
    run = finished.snakemake("--report", "reports/workflow.html")
    assert run.returncode == 0, run.stderr
    page = (finished.folder / "reports/workflow.html").read_bytes()
    assert len(page) > 500_000
    assert not [token for token in finished.planted if token in page]
