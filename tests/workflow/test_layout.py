"""One name per stage, thin rules, thin adapters, a path written once, generated files in step with their source."""

import json
import os
import re
import sys
from importlib.metadata import packages_distributions
from modulefinder import ModuleFinder
from pathlib import Path

import pytest
import yaml
from packaging.utils import canonicalize_name

from liverstiff.check import load_config
from liverstiff.config import Config, json_schema
from liverstiff.records import STAGES


@pytest.mark.parametrize("stage", STAGES)
def test_one_name_per_stage(root: Path, stage: str):
    source = root / "src" / "liverstiff" / stage
    assert source.is_dir() or source.with_suffix(".py").is_file()
    assert (root / "rules" / f"{stage}.smk").is_file()
    assert (root / "workflow_scripts" / f"{stage}.py").is_file()
    assert (root / "tests" / "unit" / f"test_{stage}.py").is_file()
    rules = re.findall(r"^(?:rule|checkpoint) (\w+):", (root / "rules" / f"{stage}.smk").read_text(), re.MULTILINE)
    assert rules
    assert all(name == stage or name.startswith(f"{stage}_") for name in rules)


def test_sections_of_the_config_are_the_stages(root: Path):
    sections = [field.alias or name for name, field in Config.model_fields.items()]
    written = list(yaml.safe_load((root / "config.yaml").read_text()))
    assert sections == written == ["data", "target", *sorted(STAGES, key=sections.index)]


def test_includes_are_the_flow(root: Path):
    included = re.findall(r'^include: "rules/(\w+)\.smk"', (root / "Snakefile").read_text(), re.MULTILINE)
    assert sorted(included) == sorted(["common", "provenance", *STAGES])


def test_every_rule_has_one_adapter(root: Path):
    rules = re.findall(
        r"^(?:rule|checkpoint) (\w+):", "".join(p.read_text() for p in (root / "rules").glob("*.smk")), re.MULTILINE
    )
    assert sorted(rules) == sorted(path.stem for path in (root / "workflow_scripts").glob("*.py"))


def test_sizes(root: Path):
    assert len((root / "Snakefile").read_text().splitlines()) <= 60
    for path in (root / "rules").glob("*.smk"):
        assert len(path.read_text().splitlines()) <= 120, path
    for path in (root / "workflow_scripts").glob("*.py"):
        assert len(path.read_text().splitlines()) <= 20, path
    for path in (root / "src").rglob("*.py"):
        assert len(path.read_text().splitlines()) <= 350, path


def test_a_path_is_written_once(root: Path):
    text = "".join(path.read_text() for path in sorted((root / "rules").glob("*.smk")))
    literals = re.findall(r'"((?:results|reports)/[^"]+)"', text)
    assert len(literals) == len(set(literals)) > 20


def test_source_holds_no_output_path(root: Path):
    for path in (root / "src").rglob("*.py"):
        assert "results/" not in path.read_text(), path


def test_schema_is_in_step(root: Path):
    assert json.loads((root / "config.schema.json").read_text()) == json_schema()


def test_default_config_is_valid(root: Path):
    load_config(yaml.safe_load((root / "config.yaml").read_text()))


def test_environments_are_in_step_with_the_lock(root: Path):
    sys.path.insert(0, str(root / "envs"))
    from lock import ENVIRONMENTS, needed, pins

    for env, names in ENVIRONMENTS.items():
        listed = yaml.safe_load((root / "envs" / f"{env}.yaml").read_text())["dependencies"][-1]["pip"]
        assert listed == [f"{name}=={pins()[name]}" for name in needed(names, pins())]


def scripts_by_environment(root: Path) -> dict[str, set[str]]:
    """Adapters of the rules that name a conda environment, by its name; those of a rule that inherits are the same."""
    found: dict[str, set[str]] = {}
    for path in (root / "rules").glob("*.smk"):
        for rule in re.split(r"^(?:rule|checkpoint|use rule) ", path.read_text(), flags=re.M)[1:]:
            if env := re.search(r'"\.\./envs/(\w+)\.yaml"', rule):
                found.setdefault(env[1], set()).update(re.findall(r'"\.\./workflow_scripts/(\w+\.py)"', rule))
    return found


@pytest.mark.parametrize("env", ["imaging", "learning", "analysis"])
def test_environment_holds_every_import_of_its_stages(root: Path, env: str):
    """Also imports inside functions; the packages of the host, which a job may see behind its own, do not count."""
    scripts = scripts_by_environment(root)[env]
    assert scripts
    imported = set()
    for script in scripts:
        finder = ModuleFinder(path=[str(root / "src")])
        finder.run_script(str(root / "workflow_scripts" / script))
        imported |= {name.partition(".")[0] for name in finder.any_missing()}
    imported -= {"liverstiff", *sys.stdlib_module_names}
    listed = yaml.safe_load((root / "envs" / f"{env}.yaml").read_text())["dependencies"][-1]["pip"]
    held = {line.partition("==")[0] for line in listed}
    homes = packages_distributions()
    assert {"numpy", "pydantic"} <= imported
    assert [name for name in sorted(imported) if not held & {canonicalize_name(home) for home in homes[name]}] == []


def test_dry_run_with_the_cluster_profile(checkout):
    run = checkout.snakemake("--dry-run", "--workflow-profile", "profiles/slurm")
    assert run.returncode == 0, run.stderr


def test_tests_of_a_group_stay_on_one_worker(request):
    """pytest-xdist writes the group into the id; where it cannot, every worker makes the slow fixtures anew."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        marked = [(item, item.get_closest_marker("xdist_group")) for item in request.session.items]
        assert [item.nodeid for item, mark in marked if mark and not item.nodeid.endswith(f"@{mark.args[0]}")] == []
