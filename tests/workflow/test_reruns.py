"""What an edit reruns, shown by dry runs after a whole run."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

pytestmark = pytest.mark.xdist_group("flow")

AFTER_REGISTER = {
    "register",
    "segment",
    "elastography",
    "pack",
    "cohort",
    "split",
    "train",
    "predict",
    "predict_baselines",
    "predict_explain",
    "evaluate",
    "provenance",
    "report",
}


@contextmanager
def edited(path: Path, text: str) -> Iterator[None]:
    """The file with text added, put back as it was afterwards."""
    before = path.read_text()
    path.write_text(before + text)
    try:
        yield
    finally:
        path.write_text(before)


def module(finished, stage: str) -> Path:
    """The file that holds a stage."""
    package = finished.folder / "src" / "liverstiff" / stage
    return package / "__init__.py" if package.is_dir() else package.with_suffix(".py")


def test_nothing_to_be_done(finished):
    run = finished.snakemake("--dry-run")
    assert "Nothing to be done" in run.stdout + run.stderr
    assert finished.planned() == {}


def test_evaluate_config_reruns_evaluate_and_what_tells_of_it(finished):
    config = finished.folder / "config.yaml"
    before = config.read_text()
    finished.edit_config(evaluate={"resamples": 300})
    try:
        assert finished.planned() == {"evaluate": 1, "provenance": 1, "report": 1}
    finally:
        config.write_text(before)


def test_edit_of_register_reruns_register_and_what_follows(finished):
    with edited(module(finished, "register"), "\n# edited\n"):
        planned = finished.planned()
    assert set(planned) == AFTER_REGISTER
    assert planned["register"] == planned["pack"] == 2


def test_touch_of_a_module_reruns_nothing(finished):
    module(finished, "register").touch()
    assert finished.planned() == {}


def test_edit_of_the_report_template_reruns_the_report_only(finished):
    with edited(finished.folder / "src/liverstiff/templates/report.html.j2", "<!-- edited -->"):
        assert finished.planned() == {"report": 1}
