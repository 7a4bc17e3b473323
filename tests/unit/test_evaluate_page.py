"""The page of ``liverstiff evaluate``: the report's own sections, true of anybody's estimates."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_predictions import NAMED, table
from test_report import Page
from test_report_gaps import section_of, without_nan
from typer.testing import CliRunner

from liverstiff.cli import app

SECTIONS = [
    *("summary", "table1", "agreement", "metrics", "calibration", "subgroups", "residuals", "thresholds"),
    *("comparisons", "uncertainty", "decision", "limits", "methods"),
]


def page_of(folder: Path, rows: pd.DataFrame, *options: str) -> str:
    """The page that the command writes of these rows."""
    rows.to_csv(folder / "own.csv", index=False)
    command = ["evaluate", str(folder / "own.csv"), "--out", str(folder / "out"), "--resamples", "100", *options]
    run = CliRunner().invoke(app, command)
    assert run.exit_code == 0, run.output
    html = (folder / "out/report.html").read_text()
    assert re.findall(r'<section id="(\w+)"', html) == SECTIONS
    assert without_nan(html)
    return html


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[Path, str]:
    """Folder and page of two partitions, whose names no file may have, with intervals and a second model."""
    folder = tmp_path_factory.mktemp("page")
    rows = table().assign(part=np.resize(["a/b <i>", "a b <i>"], 60), code=[f"MRN{n:04d}" for n in range(60)])
    rows = rows.assign(low=rows.network - 1, high=rows.network + 1)
    options = ["--column", "partition=part", "--column", "exam=code", "--measured-by", "biopsy", "--interval", "0.8"]
    return folder, page_of(folder, rows.rename(columns={"fib4": "mean"}), *NAMED, "--column", "second=mean", *options)


def test_it_is_self_contained_and_every_number_is_in_a_table(made):
    folder, html = made
    page = Page(html)
    assert all(one.startswith("#") for one in page.addresses)
    assert {one[1:] for one in page.addresses} <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    assert not any(word in html for word in ("http:", "https:", "@import", "<link", "<iframe"))
    known: set[float] = set()
    for path in (folder / "out").glob("*.csv"):
        for _, column in pd.read_csv(path, float_precision="round_trip").items():
            known |= set(pd.to_numeric(column, errors="coerce").dropna())
    shown = [float(exact) for exact, _ in page.numbers]
    assert len(shown) > 300
    assert [value for value in shown if value not in known] == []


def test_nothing_is_said_of_a_run_or_a_model_of_ours(made):
    html = re.sub(r"<svg.*?</svg>|<style>.*?</style>|<script>.*?</script>", "", made[1], flags=re.DOTALL)
    assert "biopsy of the same exam. Of 60 exams in the table, 60 were analysed.</p>" in html
    assert "How the estimates were made is not known here." in html
    assert "should hold the reference in 80 % of exams" in html
    assert "mean: Pearson r" in html  # the column, not the baseline of that name
    for said in ("orkflow", "never seen", "routine MRI", "catalogue", "elastogram", "trained", "temporal", "MRN0"):
        assert said not in html, said
    methods = section_of(html, "methods")
    assert "The statistics were made by LiverStiff" in methods
    assert "decision curves" not in methods  # there were none, for want of development exams


def test_its_figures_have_names_that_a_file_may_have(made):
    names = {path.name for path in (made[0] / "out/figures").iterdir()}
    assert {f"scatter_a-b-i-{n}.{kind}" for n in (1, 2) for kind in ("svg", "png", "pdf")} <= names
    assert all(re.fullmatch(r"[A-Za-z0-9_-]+\.(svg|png|pdf)", name) for name in names)
    assert made[1].count("<i>") == 0 < made[1].count("&lt;i&gt;")


def test_two_exams_and_one_left_out(tmp_path):
    rows = table(3).rename(columns={"network": "estimate", "truth": "reference"})[["estimate", "reference"]]
    html = page_of(tmp_path, rows.assign(estimate=rows.estimate.where(rows.index < 2)))
    assert "Of 3 exams in the table, 2 were analysed, without 1 that lack" in section_of(html, "summary")
    assert "for which each exam is of another patient" in section_of(html, "summary")
    assert "the model is compared with none" in section_of(html, "comparisons")
    assert "All exams: the estimates came without intervals." in section_of(html, "uncertainty")
    assert "not recorded, so not drawn: Age, Body mass index, Sex." in section_of(html, "residuals")
    assert "No site is recorded" in section_of(html, "limits")
    assert "All exams are of one site" not in html
    assert "Fewer than 100 exams: all exams." in section_of(html, "limits")


def test_a_constant_estimate_and_a_partition_without_exams(tmp_path):
    rows = table(24).rename(columns={"network": "estimate", "truth": "reference"})[["estimate", "reference"]]
    rows = rows.assign(estimate=3.0, partition="test")
    rows.loc[20:, ["estimate", "partition"]] = [np.nan, "UKB"]
    html = page_of(tmp_path, rows)
    assert "r is not defined" in section_of(html, "summary")
    assert "UKB: no exam was analysed" in section_of(html, "summary")
    assert "Without exams: UKB." in section_of(html, "limits")


def test_no_page_where_none_is_wanted(tmp_path):
    table().to_csv(tmp_path / "own.csv", index=False)
    command = ["evaluate", str(tmp_path / "own.csv"), "--out", str(tmp_path / "out"), *NAMED, "--no-page"]
    run = CliRunner().invoke(app, [*command, "--resamples", "100"])
    assert run.exit_code == 0
    assert "report.html" not in run.output
    assert {path.suffix for path in (tmp_path / "out").iterdir()} == {".csv", ".json"}
