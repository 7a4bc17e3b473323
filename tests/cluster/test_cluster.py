"""The tiny cohort through a real SLURM in conda environments, with faults: the bytes of a local run without them."""

import csv
from collections import Counter
from pathlib import Path

import pytest
from faulty_run import STARVED

pytestmark = pytest.mark.xdist_group("flow")

SHARD_STAGES = ("convert", "harmonize", "register", "segment", "elastography", "pack")
ON_GPU = ("train", "predict")
TIMED = ("provenance", "catalog/private/headers")
"""Below results/: what holds times of its own."""


def contents(results: Path) -> dict[str, bytes]:
    """Every file below results/ but those that hold times."""
    files = {path.relative_to(results).as_posix(): path for path in results.rglob("*") if path.is_file()}
    return {
        name: path.read_bytes()
        for name, path in files.items()
        if not name.startswith(TIMED) and path.name != ".snakemake_timestamp"
    }


def rule_of(comment: str) -> str:
    return comment.removeprefix("rule_").partition("_wildcards_")[0]


def records(clustered, comment: str) -> list[dict[str, str]]:
    return [row for row in clustered.records if row["Comment"] == comment]


def test_run_ends_well(clustered):
    assert clustered.code == 0, clustered.said[-5000:]


def test_same_bytes_as_a_local_run(finished, clustered):
    local, cluster = contents(finished.folder / "results"), contents(clustered.checkout.folder / "results")
    assert len(local) > 300
    assert sorted(local) == sorted(cluster)
    assert [name for name in local if local[name] != cluster[name]] == []


def test_jobs_are_shards_by_stages_and_folds_and_a_constant(finished, clustered):
    """A job of the local run leaves one file in benchmarks/; the cluster ran the same jobs, all but the simulation."""
    benchmarks = finished.folder / "benchmarks"
    ran = [path for path in benchmarks.rglob("*.tsv") if path.parent != benchmarks / "simulate"]
    folds = len(list(benchmarks.glob("train/fold-*.tsv")))
    shards = len(list(benchmarks.glob("convert/shard-*.tsv")))
    jobs = Counter(rule_of(comment) for comment in {row["Comment"] for row in clustered.records})
    assert (shards, folds) == (2, 3)
    assert {stage: jobs[stage] for stage in SHARD_STAGES} == dict.fromkeys(SHARD_STAGES, shards)
    assert jobs["train"] == folds
    assert jobs.total() == len(ran)
    once = jobs.total() - shards * len(SHARD_STAGES) - folds
    sites, partitions = 3, 3
    assert once == sites + partitions + len(set(jobs) - {*SHARD_STAGES, "train", "predict", "catalog_site"})


def test_every_job_runs_in_a_conda_environment_made_before(clustered):
    """Made while there was network; those of the study lie in its folder, and each of the three is used."""
    done = [row["JobIDRaw"] for row in clustered.records if row["State"] == "COMPLETED"]
    ran = {number: clustered.pythons.get(number, set()) for number in done}
    assert [number for number, pythons in ran.items() if not pythons] == []
    used = set().union(*ran.values())
    assert {python.parents[2] for python in used} == {clustered.checkout.folder / ".snakemake" / "conda"}
    assert len(used) == 3


def test_every_job_is_finished_once(clustered):
    done = Counter(row["Comment"] for row in clustered.records if row["State"] == "COMPLETED")
    assert set(done.values()) == {1}
    assert set(done) == {row["Comment"] for row in clustered.records}


def test_only_the_planned_faults_happened(clustered):
    failed = {row["Comment"] for row in clustered.records if row["State"] != "COMPLETED"}
    assert failed == {STARVED, clustered.hung, clustered.preempted} | clustered.lost


def test_partition_follows_from_the_gpu(clustered):
    for row in clustered.records:
        assert row["Partition"] == ("gpu" if rule_of(row["Comment"]) in ON_GPU else "cpu"), row


def test_job_out_of_memory_gets_more(clustered):
    killed, again = records(clustered, STARVED)
    assert killed["State"] in ("OUT_OF_MEMORY", "FAILED")
    assert (killed["ReqMem"], again["ReqMem"]) == ("150M", "2000M")
    assert again["State"] == "COMPLETED"


def test_job_out_of_time_gets_more_and_goes_on_from_its_checkpoint(clustered):
    stopped, again = records(clustered, clustered.hung)
    assert (stopped["State"], again["State"]) == ("TIMEOUT", "COMPLETED")
    assert again["Timelimit"] == "2-00:00:00"
    assert goes_on(clustered, clustered.hung)


def test_preempted_training_goes_on_from_its_checkpoint(clustered):
    stopped, again = records(clustered, clustered.preempted)
    assert (stopped["State"], again["State"]) == ("PREEMPTED", "COMPLETED")
    assert stopped["JobIDRaw"] == again["JobIDRaw"]
    assert goes_on(clustered, clustered.preempted)


def goes_on(clustered, comment: str) -> bool:
    """The last attempt of a training read the checkpoint, repeated no epoch and did those that were left."""
    log = clustered.checkout.read("logs", "train", f"fold-{comment.rpartition('_')[2]}.log")
    return "going on from" in log and "epoch 1/" not in log and "train: epoch " in log


def test_lost_node_costs_no_finished_exam(clustered):
    assert sum(clustered.kept.values()) > 0
    for comment, kept in clustered.kept.items():
        stopped, again = records(clustered, comment)
        assert (stopped["State"], again["State"]) == ("NODE_FAIL", "COMPLETED")
        assert stopped["JobIDRaw"] == again["JobIDRaw"]
        shard = comment.rpartition("_")[2]
        with (clustered.checkout.folder / f"results/harmonize/{shard}/status.csv").open(newline="") as file:
            exams = sum(row["status"] == "ok" for row in csv.DictReader(file))
        assert f"register: {exams - kept}/{exams - kept} exams" in clustered.checkout.read(
            "logs", "register", f"{shard}.log"
        )
