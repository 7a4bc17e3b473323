"""What a run was: its cost, its configuration without secrets, its source, and an RO-Crate that holds together."""

import csv
import hashlib
import json
import subprocess
from pathlib import Path

import pytest
import yaml
from rocrate.rocrate import ROCrate

from liverstiff.check import load_config
from liverstiff.provenance import write_provenance
from liverstiff.provenance.cost import stage_costs, with_total
from liverstiff.provenance.facts import commit, pinned
from liverstiff.provenance.settings import HIDDEN, shareable

HEAD = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"
SECRETS = ("St Nowhere", "srv/dicom", "SELECT", "PGPASSWORD", "db.example", "MRN_COLUMN", "weights-of-us", "Mr. Series")


def benchmark(path: Path, *rows: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(HEAD + "".join(rows))


@pytest.fixture
def benchmarks(tmp_path: Path) -> Path:
    folder = tmp_path / "benchmarks"
    benchmark(folder / "train/fold-0.tsv", "3600\t1:00:00\t900.4\t1\t1\t1\t0\t0\t99\t7000\n")
    benchmark(folder / "train/variant-x/fold-0.tsv", "1800\t0:30:00\t1000.6\t1\t1\t1\t0\t0\t99\t200\n")
    benchmark(folder / "split/split.tsv", "36\t0:00:36\tNA\tNA\tNA\tNA\tNA\tNA\tNA\tNA\n")
    benchmark(folder / "odd/one.tsv", "9\t0:00:09\t5\t1\t1\t1\t0\t0\t9\t9\n", "18\t0:00:18\t5\t1\t1\t1\t0\t0\t9\t9\n")
    return folder


@pytest.fixture
def config(root: Path) -> dict:
    """A configuration with a secret in every place that takes text."""
    values = yaml.safe_load((root / "config.yaml").read_text())
    values["data"]["private"] = "srv/dicom/private"
    values["data"]["sites"]["alba"] |= {
        "dicom": "/srv/dicom/St Nowhere",
        "record": {
            "table": "postgresql://db.example/ehr",
            "query": "SELECT * FROM patients",
            "password_env": "PGPASSWORD",
            "patient": "MRN_COLUMN",
            "date": "DAY",
            "columns": {"age": {"column": "MRN_COLUMN age"}},
        },
    }
    values["catalog"]["overrides"] = "/srv/dicom/overrides.csv"
    values["segment"] |= {
        "atlases": "/srv/dicom/atlases",
        "mrsegmentator": {"program": "mr", "weights": "weights-of-us"},
    }
    values["elastography"]["sites"] = {"alba": {"series": {"stiffness": "Mr. Series"}}}
    values["train"]["pretrained"] = "weights-of-us/model"
    values["train"]["variants"] = {"other": {"pretrained": "weights-of-us/other"}}
    values["report"]["title"] = "Stiffness at St Nowhere"
    return load_config(values).model_dump(mode="json", by_alias=True)


def test_cost_by_stage(benchmarks):
    rows = stage_costs(benchmarks, {"odd": 4, "split": 1, "train": 2, "train_variant": 1, "predict": 1})
    assert [row["stage"] for row in rows] == ["odd", "split", "train"]
    odd, split, train = rows
    assert train == {
        "stage": "train",
        "jobs": 2,
        "wall_hours": 1.5,
        "core_hours": 3.0,
        "cpu_hours": 2.0,
        "max_rss_mb": 1001,
    }
    assert (split["wall_hours"], split["max_rss_mb"]) == (0.01, None)  # too short to be sampled
    assert (odd["wall_hours"], odd["core_hours"]) == (0.005, 0.02)  # its last run


def test_total_of_the_costs(benchmarks):
    """A stage that no rule knows, such as the report of an earlier run, is not in it."""
    *rows, total = with_total(stage_costs(benchmarks, {"split": 1, "train": 2}))
    assert [row["stage"] for row in rows] == ["split", "train"]
    assert total == {
        "stage": "total",
        "jobs": 3,
        "wall_hours": 1.51,
        "core_hours": 3.01,
        "cpu_hours": 2.0,
        "max_rss_mb": 1001,
    }
    assert with_total(stage_costs(benchmarks, {"split": 1}))[-1]["max_rss_mb"] is None
    assert with_total([]) == []


def test_nothing_that_may_name_people_or_servers_is_shown(config):
    shown = shareable(config)
    text = json.dumps(shown)
    assert not [secret for secret in SECRETS if secret in text]
    assert all(secret in json.dumps(config) for secret in SECRETS)
    assert shown["data"]["sites"]["alba"] == {"role": "development", "images": "dicom", "record_tables": 1}
    assert shown["train"]["variants"]["other"]["pretrained"] == shown["report"]["title"] == HIDDEN
    assert shown["train"]["model"] == "transformer"
    assert shown["train"]["epochs"] == config["train"]["epochs"]
    assert shown["segment"]["methods"] == ["network", "atlas"]


def test_every_hidden_key_of_the_default_is_a_path_or_free_text(root):
    config = load_config(yaml.safe_load((root / "config.yaml").read_text())).model_dump(mode="json", by_alias=True)

    def hidden(value: object, key: str = "") -> set[str]:
        if isinstance(value, dict):
            return set().union(*(hidden(inner, name) for name, inner in value.items()))
        if isinstance(value, list):
            return set().union(*(hidden(inner, key) for inner in value))
        return {key} if value == HIDDEN else set()

    assert hidden(shareable(config)) == {"atlases", "title"}


def test_at_most_choices_of_the_schema_and_named_places_are_shown():
    """A text at a key that usually holds a choice, and is none, may name people or places."""
    record = {"table": "mysql://host/db", "query": "SELECT * FROM patients", "sheet": "Dr Smith"}
    record |= {"where": {"WARD": ["Smith"], "AGE": {"min": 18.0}}, "missing": ["n/a"], "encoding": "utf-8"}
    config = {
        "data": {"sites": {"alba": {"role": "development", "record": record}}, "temporal_cut": "2024-01-01"},
        "train": {
            "model": "ridge",
            "record": ["age", "sex"],
            "variants": {"other": {"pretrained": "weights", "record": ["Smith"], "model": "Smith", "depth": 2}},
        },
        "segment": {"methods": ["network", "Smith"], "program": {"weights": "models"}, "atlases": "simulate"},
        "cohort": {"eligible": {"age": {"min": 18}, "unit": "Smith", "name": "Smith"}, "required": ["age"]},
        "split": {"vendors": ["GE"], "scheme": "kfold"},
        "target": {"name": "liver fat", "other": {"name": "Smith"}},
    }
    shown = shareable(config)
    assert "Smith" not in json.dumps(shown)
    assert shown["data"]["sites"]["alba"] == {"role": "development", "images": "none", "record_tables": 1}
    assert shown["data"]["temporal_cut"] == "2024-01-01"
    assert shown["train"]["variants"]["other"] == {
        "pretrained": HIDDEN,
        "record": [HIDDEN],
        "model": HIDDEN,
        "depth": 2,
    }
    assert (shown["train"]["model"], shown["train"]["record"]) == ("ridge", ["age", "sex"])
    assert shown["segment"] == {"methods": ["network", HIDDEN], "program": {"weights": HIDDEN}, "atlases": HIDDEN}
    assert shown["cohort"] == {"eligible": {"age": {"min": 18}, "unit": HIDDEN, "name": HIDDEN}, "required": ["age"]}
    assert shown["split"] == {"vendors": [HIDDEN], "scheme": "kfold"}
    assert shown["target"]["name"] == "liver fat"


def git(folder: Path, *arguments: str) -> None:
    who = ("-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false")
    subprocess.run(["git", "-C", str(folder), *who, *arguments], check=True, capture_output=True)


def test_commit_of_a_checkout(tmp_path):
    assert commit(tmp_path) == {"commit": None, "changed": None}
    git(tmp_path, "init")
    (tmp_path / "other").touch()
    (tmp_path / "Snakefile").touch()
    git(tmp_path, "add", "other")
    git(tmp_path, "commit", "-m", "x")
    assert commit(tmp_path)["commit"] is None  # a repository around the checkout is not its own
    git(tmp_path, "add", "Snakefile")
    git(tmp_path, "commit", "-m", "y")
    found = commit(tmp_path)
    assert len(found["commit"]) == 40
    assert found["changed"] is False
    (tmp_path / "Snakefile").write_text("rule all:\n")
    assert commit(tmp_path) == found | {"changed": True}


def test_pins_of_the_environments(root):
    found = pinned(root / "envs")
    assert set(found) == {"imaging", "learning", "analysis"}
    assert any(line.startswith("torch==") for line in found["learning"])


@pytest.fixture
def written(root: Path, tmp_path: Path, benchmarks: Path, config: dict) -> Path:
    (tmp_path / "metrics.csv").write_text("metric,value\npearson_r,0.7\n")
    (tmp_path / "exams.csv").write_text("exam,patient\ne1,p1\n")
    (tmp_path / "model").write_bytes(b"weights")
    out = tmp_path / "out"
    for _ in range(2):  # a rerun replaces the crate
        write_provenance(
            tables={name: tmp_path / f"{name}.csv" for name in ("metrics", "exams")} | {"models": [tmp_path / "model"]},
            shared={"metrics": tmp_path / "metrics.csv"},
            config=config,
            benchmarks=benchmarks,
            cores={"train": 2},
            provenance=out / "provenance.json",
            cost=out / "cost.csv",
            crate=out / "crate",
            source=root,
        )
    return out


def test_what_is_written(written):
    facts = json.loads((written / "provenance.json").read_text())
    assert facts["sha256"]["models"] == {"0": hashlib.sha256(b"weights").hexdigest()}
    assert facts["packages"]["numpy"]
    assert facts["tools"]["dcm2niix"].startswith("v1")
    assert facts["started"] < facts["finished"]
    with (written / "cost.csv").open() as file:
        assert [row["stage"] for row in csv.DictReader(file)] == ["train", "total"]
    for path in written.rglob("*"):
        if path.is_file() and path.suffix in (".json", ".csv"):
            assert not [secret for secret in SECRETS if secret in path.read_text()], path


def test_crate_holds_together(written):
    """By the requirements of Workflow Run Crate 0.5 and RO-Crate 1.1; the library reads it back."""
    folder = written / "crate"
    graph = {one["@id"]: one for one in json.loads((folder / "ro-crate-metadata.json").read_text())["@graph"]}
    root = graph["./"]
    assert graph["ro-crate-metadata.json"]["about"] == {"@id": "./"}
    assert {"@id": "https://w3id.org/ro/crate/1.1"} in graph["ro-crate-metadata.json"]["conformsTo"]
    assert all(root[key] for key in ("name", "description", "datePublished", "license"))
    profiles = [one["@id"] for one in root["conformsTo"]]
    assert profiles == [
        "https://w3id.org/ro/wfrun/process/0.5",
        "https://w3id.org/ro/wfrun/workflow/0.5",
        "https://w3id.org/workflowhub/workflow-ro-crate/1.0",
    ]
    workflow = graph[root["mainEntity"]["@id"]]
    assert set(workflow["@type"]) == {"File", "SoftwareSourceCode", "ComputationalWorkflow"}
    assert graph[workflow["programmingLanguage"]["@id"]]["name"] == "Snakemake"
    (action,) = (one for one in graph.values() if one["@type"] == "CreateAction")
    assert root["mentions"] == [{"@id": action["@id"]}]
    assert action["instrument"] == {"@id": workflow["@id"]}
    assert {one["@id"] for one in action["result"]} == {"provenance.json", "cost.csv", "metrics.csv"}
    assert {one["@id"] for one in action["object"]} == {"config.json"}

    def references(value: object) -> list[str]:
        if isinstance(value, dict):
            return [value["@id"]] if set(value) == {"@id"} else [one for v in value.values() for one in references(v)]
        return [one for v in value for one in references(v)] if isinstance(value, list) else []

    named = {at for one in graph.values() for at in references(one) if not at.startswith("http")}
    assert named <= set(graph)
    listed = {one["@id"] for one in root["hasPart"]}
    assert listed == {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} - {
        "ro-crate-metadata.json"
    }
    for name in listed - {"Snakefile"}:
        assert graph[name]["sha256"] == hashlib.sha256((folder / name).read_bytes()).hexdigest()
    assert len(ROCrate(folder).data_entities) == len(listed)
    assert "exams" not in " ".join(listed)  # a row per exam stays at home
