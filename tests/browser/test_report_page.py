"""The report in a real browser, opened from disk."""

from __future__ import annotations

import io
import os
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pytest
from chromium import Tab, program
from made_predictions import NAMED, table
from made_report import evaluated_fully, write_page
from PIL import Image
from typer.testing import CliRunner

from liverstiff.cli import app

REQUIRED = "LIVERSTIFF_REQUIRE_DATA" in os.environ
pytestmark = pytest.mark.xdist_group("browser")


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Path:
    """The page of a made study, with pictures."""
    folder = tmp_path_factory.mktemp("report")
    picture = io.BytesIO()
    Image.effect_noise((300, 80), 60).save(picture, "PNG")
    tables = evaluated_fully(folder)
    for name, column, values in (("comparisons", "p", [0.0004, float("nan")]), ("residuals", "p_holm", [0.02, 0.3])):
        table = pd.read_csv(tables[name], float_precision="round_trip")
        table.loc[[1, 2], column] = values
        table.to_csv(tables[name], index=False)
    write_page(folder, tables, picture=picture.getvalue())
    return folder / "report.html"


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    """A tab of a browser."""
    if program() is None:
        assert not REQUIRED, "no chromium; apt-get install chromium"
        pytest.skip("no chromium; apt-get install chromium")
    with Tab(tmp_path_factory.mktemp("profile")) as tab:
        yield tab


@pytest.mark.parametrize("width", [1600, 1024, 390])
def test_it_opens_without_error_or_request(tab, report, width):
    tab.open(report, width)
    assert tab.errors == []
    assert [url for url in tab.requests if not url.startswith("data:")] == [report.as_uri()]
    broken = "[...document.images].filter((one) => !(one.complete && one.naturalWidth > 0)).length"
    assert tab.run("document.images.length") > 10
    assert tab.run(broken) == 0
    assert tab.run("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("rows", [2, 60])
def test_the_page_of_anybody_s_predictions_opens_too(tab, tmp_path, rows):
    table(rows).to_csv(tmp_path / "own.csv", index=False)
    command = ["evaluate", str(tmp_path / "own.csv"), "--out", str(tmp_path / "out"), "--resamples", "100", *NAMED]
    assert CliRunner().invoke(app, command).exit_code == 0
    page = tmp_path / "out" / "report.html"
    for width in (1280, 390):
        tab.open(page, width)
        assert tab.errors == []
        assert tab.requests == [page.as_uri()]
        assert tab.run("document.documentElement.scrollWidth") <= width
    assert tab.run("document.querySelectorAll('main section').length") == 13
    assert tab.run("document.querySelectorAll('main figure svg').length") >= 4


def test_a_table_is_sorted_by_the_exact_number(tab, report):
    tab.open(report)
    table = "document.querySelector('#subgroups table.sortable')"
    column = f"[...{table}.tBodies[0].rows].map((row) => Number(row.cells[2].querySelector('data')?.value))"
    before = tab.run(column)
    tab.run(f"{table}.tHead.rows[0].cells[2].querySelector('button').click()")
    assert tab.run(f"{table}.tHead.rows[0].cells[2].getAttribute('aria-sort')") == "ascending"
    assert tab.run(column) == sorted(before) != before
    tab.run(f"{table}.tHead.rows[0].cells[2].querySelector('button').click()")
    assert tab.run(column) == sorted(before, reverse=True)
    assert tab.errors == []


@pytest.mark.parametrize("table", ["#comparisons details table", "#residuals table"])
def test_what_is_missing_goes_last_up_and_down(tab, report, table):
    """In columns of p: a very small one is a number, and a dash is none."""
    tab.open(report)
    head = f"[...document.querySelectorAll('{table} thead th')].find((one) => one.textContent.trim().startsWith('p'))"
    cells = f"""[...{head}.closest('table').tBodies[0].rows].map((row) => {{
        const cell = row.cells[{head}.cellIndex];
        return [cell.querySelector('data')?.value ?? '', cell.textContent.trim()];
    }})"""
    numbers = sorted(float(exact) for exact, _ in tab.run(cells) if exact)
    gaps = [text for exact, text in tab.run(cells) if not exact]
    assert len(set(numbers)) > 1
    assert gaps
    assert set(gaps) == {"–"}
    for order in (numbers, numbers[::-1]):
        tab.run(f"{head}.querySelector('button').click()")
        sorted_cells = tab.run(cells)
        assert [float(exact) for exact, _ in sorted_cells if exact] == order
        assert [exact for exact, _ in sorted_cells] == [exact for exact, _ in sorted_cells if exact] + [""] * len(gaps)
    if table.startswith("#comparisons"):
        assert numbers[0] == 0.0004
        assert sorted_cells[len(numbers) - 1][1] == "<\N{NO-BREAK SPACE}0.001"
    assert tab.errors == []


def test_a_table_is_saved_as_csv(tab, report):
    tab.open(report)
    tab.run("""
        URL.createObjectURL = (file) => { window.saved = file; return "#"; };
        HTMLAnchorElement.prototype.click = function () { window.named = this.download; };
        document.querySelector("#uncertainty button.csv").click();
    """)
    text = tab.run("window.saved.text()")
    lines = text.split("\r\n")
    assert lines[0] == '"Group","Exams"'.replace('"', "") + ',"Intervals that hold the reference, %","Mean width, kPa"'
    coverage = pd.read_csv(report.parent / "out" / "coverage.csv", dtype=str, keep_default_na=False).iloc[0]
    assert lines[1] == f"All,{coverage.n},{coverage.value} ({coverage.low} to {coverage.high}),{coverage.mean_width}"
    assert tab.run("window.named").endswith(".csv")


def test_the_theme_changes_and_changes_back(tab, report):
    tab.open(report)
    ink = "getComputedStyle(document.body).color"
    light = tab.run(ink)
    tab.run("document.getElementById('theme').click()")
    assert tab.run("document.documentElement.dataset.theme") == "dark"
    assert tab.run(ink) != light
    # a drawn figure follows
    text = "getComputedStyle(document.querySelector('#figure-flow_all svg text')).fill"
    assert tab.run(text) == tab.run(ink)
    tab.run("document.getElementById('theme').click()")
    assert tab.run(ink) == light


def test_without_javascript_everything_can_be_read(tab, report):
    tab.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        tab.open(report)
        tab.call("Emulation.setScriptExecutionDisabled", value=False)
        assert tab.run("document.documentElement.classList.contains('scripted')") is False
        assert tab.run("document.getElementById('theme').checkVisibility()") is False
        assert tab.run("[...document.querySelectorAll('main h2')].every((one) => one.checkVisibility())")
        assert tab.run("document.querySelectorAll('main section').length") == 25
    finally:
        tab.call("Emulation.setScriptExecutionDisabled", value=False)


def test_every_control_is_reached_by_keyboard_and_has_a_name(tab, report):
    tab.open(report)
    names = tab.run("[...document.querySelectorAll('button, a, summary')].map((one) => one.textContent.trim())")
    assert all(names)
    tab.call("Input.dispatchKeyEvent", type="keyDown", key="Tab", code="Tab", windowsVirtualKeyCode=9)
    assert tab.run("document.activeElement.className") == "skip"


def test_it_prints(tab, report):
    tab.open(report)
    tab.call("Emulation.setEmulatedMedia", media="print")
    assert tab.run("document.querySelector('nav').checkVisibility()") is False
    pdf = tab.call("Page.printToPDF")["data"]
    tab.call("Emulation.setEmulatedMedia", media="")
    assert len(pdf) > 100_000


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1600, 390])
def test_no_serious_finding_of_the_accessibility_audit(tab, report, theme, width):
    """axe-core, over the whole page with everything unfolded."""
    found = find_spec("axe_core_python")
    if found is None or not found.submodule_search_locations:
        assert not REQUIRED, "no axe-core; pip install axe-core-python"
        pytest.skip("no axe-core; pip install axe-core-python")
    axe = Path(found.submodule_search_locations[0]) / "axe.min.js"
    tab.open(report, width)
    tab.run(f"document.documentElement.dataset.theme = '{theme}'")
    tab.run("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    tab.run(axe.read_text(encoding="utf-8"))
    violations = tab.run("axe.run().then((result) => result.violations)")
    told = [
        f"{one['impact']}: {one['id']}: {one['help']}: {one['nodes'][0]['html'][:120]} ({len(one['nodes'])})"
        for one in violations
    ]
    assert [line for line in told if line.startswith(("serious", "critical"))] == []
