"""The stage ``report``: numbers as in the files, small studies marked, nothing loaded, everything escaped."""

from __future__ import annotations

import base64
import re
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import yaml
from made_report import FACTS, evaluated_fully, write_page

from liverstiff.report import flowchart
from liverstiff.report.drawing import axes, for_page
from liverstiff.report.vendors import _in_words, vendors
from liverstiff.report.wording import Estimate, days_text, exams_text, group_text, listed, p_value, rounded

FORMATS = ("png", "pdf", "svg")
WORDS = "demonstration, not evidence"


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> tuple[dict[str, Path], Path, str]:
    """A small study, its folder and its page."""
    folder = tmp_path_factory.mktemp("study")
    tables = evaluated_fully(folder)
    return tables, folder, write_page(folder, tables, formats=FORMATS)


def test_scanners_and_the_variants_of_their_images(study):
    page = study[2]
    row = page[page.index("alba: GE Optima MR450w, 1.5 T") :].split("</tr>")[0]
    for text in ("8", "water 5, fat-sat 3", "TSE fat-sat 7, absent 1", "trace 8"):
        assert text in row
    assert "brook: other<" in page


def test_what_is_left_of_the_vendor(study):
    section = section_of(study[2], "vendors")
    assert "60 exams of 54 patients, 3 vendors" in section
    assert "leaves 43 % of what T1w, T2w and diffusion told" in section
    assert [text for _, text in Page(section).numbers] == ["90", "46", "44", "65", "46", "19"]


@pytest.mark.parametrize(
    ("ratio", "says"), [(float("nan"), "Even before"), (-0.1, "cannot be named"), (0.5, "leaves 50 %")]
)
def test_words_for_what_is_left(ratio, says):
    assert says in _in_words(ratio)


def test_no_probe_is_a_stated_gap():
    table = pd.DataFrame({"when": ["before", "after"], "note": "fewer than two vendors"})
    section = vendors(SimpleNamespace(tables={"probe": table}))
    assert [block.kind for block in section.blocks] == ["gap"]
    assert "fewer than two vendors" in section.blocks[0].content


def section_of(page: str, name: str) -> str:
    """One section of a page."""
    return page[page.index(f'<section id="{name}"') :].split("</section>")[0]


class Page(HTMLParser):
    """What is inside each figure, table and card, and every address the page would load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.parts: dict[str, list[str]] = {"figure": [], "table": [], "card": []}
        self.addresses: list[str] = []
        self.numbers: list[tuple[str, str]] = []
        self.ids: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        named = dict(attributes)
        part = "card" if named.get("class") == "card" else tag
        if tag not in ("meta", "img", "link", "br"):
            self.open.append(part)
        if part in self.parts:
            self.parts[part].append("")
        self.addresses += [value for name, value in attributes if name in ("src", "href", "action", "data")]
        self.ids += [value for name, value in attributes if name == "id"]
        if tag == "data":
            self.numbers.append((named["value"], ""))

    handle_startendtag = handle_starttag

    def handle_endtag(self, tag):
        if self.open:
            self.open.pop()

    def handle_data(self, text):
        for part in {*self.open} & {*self.parts}:
            self.parts[part][-1] += text
        if self.open and self.open[-1] == "data":
            exact, shown = self.numbers[-1]
            self.numbers[-1] = (exact, shown + text)


Page.handle_startendtag = lambda self, tag, attributes: (self.handle_starttag(tag, attributes), self.handle_endtag(tag))


ESTIMATES = (
    *("agreement", "metrics", "calibration", "subgroups", "residuals", "thresholds", "comparisons", "uncertainty"),
    *("decision", "vendors"),
)
"""Sections in which every table and figure holds estimates."""


@pytest.mark.parametrize("name", ESTIMATES)
def test_every_estimate_of_a_small_study_says_so(study, name):
    page = Page(section_of(study[2], name))
    shown = page.parts["figure"] + [text for text in page.parts["table"] if "points of the calibration" not in text]
    assert shown
    assert all(WORDS in text for text in shown)


def test_the_cards_and_the_flow_chart_of_a_small_study_say_so(study):
    page = Page(study[2])
    assert len(page.parts["card"]) == 3
    assert all(WORDS in text for text in (*page.parts["card"], *Page(section_of(study[2], "flow")).parts["figure"]))


def test_only_the_small_partition_says_so(study, tmp_path):
    page = Page(write_page(tmp_path, study[0], below=13))
    cards = {text.split()[0]: WORDS in text for text in page.parts["card"]}
    assert cards == {"Cross-validation": False, "Temporal": True, "External": False}
    figures = page.parts["figure"]
    assert [WORDS in text for text in figures if "(Bland" in text] == [False, True, False]
    assert [WORDS in text for text in figures if "body mass index." in text] == [False, True, False]


def test_the_page_loads_nothing(study):
    html = study[2]
    assert html.startswith("<!doctype html>")
    assert all(one.startswith(("data:image/png;base64,", "#")) for one in Page(html).addresses)
    assert not any(word in html for word in ("http:", "https:", "@import", "<link", "<iframe", "fetch(", "XMLHttp"))
    assert html.count("<script") == 1
    assert html.count("url(") == html.count("url(#")


def test_only_the_script_of_the_page_may_run(study):
    """The policy names the hash of the one script; what else got into the page would not run."""
    html = study[2]
    script = html.split("<script>")[1].split("</script>")[0]
    digest = base64.b64encode(sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in html
    assert "default-src 'none'" in html


def test_every_number_on_the_page_is_in_a_table(study):
    """Each number carries the value of its file; sections that only count files or speak of the config have none."""
    tables, folder, html = study
    conflicts = pd.read_csv(tables["conflicts"])
    known = {float(cases) for cases in conflicts.groupby(["what", "site"]).size()}
    for path in (*tables.values(), folder / "explained" / "explained.csv"):
        for _, column in pd.read_csv(path, float_precision="round_trip").items():
            known |= set(pd.to_numeric(column, errors="coerce").dropna())
    shown = [float(exact) for exact, _ in Page(html).numbers]
    strange = [value for value in shown if value not in known]
    assert len(shown) > 1500
    assert strange == []


def test_a_number_stands_where_its_row_says(study):
    """Some numbers traced to partition, group and measure."""
    tables, _, html = study
    coverage = pd.read_csv(tables["coverage"]).query("partition == 'external' and group == 'all'").iloc[0]
    assert f'<data value="{coverage.value}">' in section_of(html, "uncertainty")
    table = (
        section_of(html, "comparisons").split("<caption>Cross-validation: model and baselines")[1].split("</table>")[0]
    )
    row = table[table.index("FIB-4 alone: Pearson r") :].split("</tr>")[0]
    expected = pd.read_csv(tables["comparisons"], float_precision="round_trip").query(
        "partition == 'cross-validation' and metric == 'pearson_r' and method == 'patient bootstrap'"
    )
    columns = ["model", "rival", "value", "low", "high", "p", "p_holm"]
    assert [float(exact) for exact, _ in Page(row).numbers] == list(expected.iloc[0][columns])


def test_numbers_of_the_cards_are_those_of_the_table(study):
    tables, _, html = study
    summary = section_of(html, "summary")
    metrics = pd.read_csv(tables["metrics"])
    metrics = metrics[metrics.group == "all"].set_index(["partition", "metric"])
    expected = []
    for partition in ("cross-validation", "temporal", "external"):
        r = metrics.loc[(partition, "pearson_r")]
        off, sd = (metrics.loc[(partition, name), "value"] for name in ("mae", "reference_sd"))
        expected += [r.value, r.low, r.high, off, sd]
    shown = Page(summary).numbers
    assert [float(exact) for exact, _ in shown] == pytest.approx(expected, abs=1e-12)
    assert [text for _, text in shown] == [f"{value:.2f}".replace("-", "−") for value in expected]


def test_every_number_on_the_page_is_a_rounded_one(study):
    for exact, text in Page(study[2]).numbers:
        if text.startswith("<"):
            assert 0 <= float(exact) < float(text[1:])
            continue
        plain, decimals = text.replace("−", "-"), len(text.partition(".")[2])
        near = [abs(float(plain) - scale * float(exact)) <= 0.5 * 10**-decimals + 1e-9 for scale in (1, 100)]
        assert any(near[: 1 if decimals > 1 else 2]), (exact, text)


def test_ids_are_unique_and_links_lead_somewhere(study):
    page = Page(study[2])
    assert len(page.ids) == len(set(page.ids))
    assert {one[1:] for one in page.addresses if one.startswith("#")} <= set(page.ids)


def test_figures_have_a_text_and_files(study):
    _, folder, html = study
    names = {path.stem for path in (folder / "figures").glob("*.png")}
    assert html.count("<svg role=") == html.count('role="img" aria-label="') == len(names) > 40
    for kind in ("svg", "pdf"):
        assert names == {path.stem for path in (folder / "figures").glob(f"*.{kind}")}
    assert {"scatter_external", "bland-altman_temporal", "residual-bmi_cross-validation", "training_all"} <= names
    assert "MR elastography, kPa</text>" in html


def test_the_pictures_take_each_site_in_turn_and_say_how_good_they_are(study):
    html = study[2]
    for name, said in (
        ("gallery", "expected Dice 0.93 (network)"),
        ("registrations", "frame T1w"),
        ("reference", "32 cm² in 4 slices"),
    ):
        chosen = section_of(html, name)
        assert chosen.count("<img") == 4
        counts = [chosen.count(f"{site}, cross-validation, {said}<") for site in ("alba", "brook", "cedar")]
        assert counts == [2, 1, 1]


def test_the_same_tables_give_the_same_bytes(study, tmp_path):
    tables, folder, html = study
    assert write_page(tmp_path, tables, formats=FORMATS) == html
    for path in sorted((folder / "figures").iterdir()):
        assert (tmp_path / "figures" / path.name).read_bytes() == path.read_bytes(), path.name


def test_paths_of_the_config_stay_off_the_page(study):
    assert "/srv" not in study[2]
    assert "/srv" not in (study[1] / "model_card.md").read_text()


def test_cut_points_are_shown_and_said_to_be_chosen(study):
    tables, _, html = study
    section = section_of(html, "thresholds")
    cuts = pd.read_csv(tables["cutpoints"], float_precision="round_trip").query("threshold == 3.0")
    folds, tests = (cuts[(cuts.fold == "ensemble") == last].cut_point for last in (False, True))
    assert folds.min() < folds.max()
    for partition, expected in (("Cross-validation", [folds.min(), folds.max()]), ("Temporal", [tests.iloc[0]])):
        table = section.split(f"<caption>{partition}")[1].split("</table>")[0]
        cell = table[table.index('<tr><th scope="row">3 kPa') :].split("</td>")[1]
        assert [float(exact) for exact, _ in Page(cell).numbers] == expected
    chosen = "chosen by Youden’s index on out-of-fold estimates of the other folds, in the tests of all folds"
    assert chosen in section
    assert chosen in section_of(html, "methods")


def test_what_is_assumed_of_the_reference_is_not_told_as_known(study):
    section = section_of(study[2], "metrics")
    assert "the reference itself is assumed to differ when it is repeated (coefficient of variation 10 %)" in section


def test_occlusion_shows_what_the_estimate_rests_on(study):
    section = section_of(study[2], "occlusion")
    assert "Occlusion: each block" in section
    assert section.count("<img") == 3
    assert "71 % of the change is in the liver" in section
    assert "covering changes nothing" in section
    assert [text for _, text in Page(section).numbers][:3] == ["12.0", "1.2", "71"]
    assert "Change by a block of liver, %" in section


def test_the_strongest_baselines_stand_beside_the_model_in_a_decision_curve(study, tmp_path):
    """Of many baselines two are drawn, and never a curve without the model's."""
    tables = dict(study[0])
    table = pd.read_csv(tables["decision"])
    own = table[table.model == "model"]
    many = [own.assign(model=f"rival {n}", net_benefit=own.net_benefit - 0.1 * n) for n in range(1, 5)]
    rows = pd.concat([*many[::-1], own])
    lost = (rows.partition == "temporal") & (rows.model == "model")
    rows.loc[lost, ["net_benefit", "low", "high"]] = float("nan")
    rows.loc[lost, "note"] = "no risk: the development exams are all alike"
    tables["decision"] = tmp_path / "decision.csv"
    rows.to_csv(tables["decision"], index=False)
    section = section_of(write_page(tmp_path, tables), "decision")
    assert "net benefit of Model, rival 1, rival 2 between" in section
    assert "rival 3" not in section
    assert "Temporal test: no decision curve: the development exams are all alike." in section


def test_the_flow_chart_keeps_its_text_inside_its_boxes():
    """With many sites, long reasons and large numbers."""
    sites = [f"university-hospital-{name}" for name in ("north", "south", "east", "west")]
    analysed = pd.DataFrame({"site": sites * 6000, "partition": "cross-validation"}).assign(exam="e")
    analysed["patient"] = analysed.index.astype(str)
    flow = [("catalogued", "catalog", "", "", 34123), ("analysed", "", "", "cross-validation", 24000)]
    flow += [("excluded", "elastography", reason, "", 5012) for reason in ("area_too_small", "wrong_frequency")]
    study = SimpleNamespace(
        flow=pd.DataFrame(flow, columns=["step", "stage", "reason", "partition", "exams"]),
        tables={
            "by_site": pd.DataFrame({"site": sites, "step": "catalogued", "exams": 8530}),
            "exclusions": pd.DataFrame({"site": sites * 2, "stage": "elastography", "reason": "area_too_small"}),
        },
        analysed=analysed,
        partitions=["cross-validation"],
        exams=lambda name: len(analysed),
        rows=lambda name: analysed,
    )
    boxes = flowchart.boxes_of(study)
    with axes(3.9, flowchart.height_of(boxes)) as (canvas, ax):
        flowchart.draw(ax, boxes)
        canvas.canvas.draw()
        frames = [patch.get_window_extent() for patch in ax.patches]
        texts = [(text.get_text(), text.get_window_extent()) for text in ax.texts]
    assert len(frames) == len(boxes) == 4
    assert len(texts) > 12
    for said, extent in texts:
        assert any(
            frame.x0 <= extent.x0 and extent.x1 <= frame.x1 and frame.y0 <= extent.y0 and extent.y1 <= frame.y1
            for frame in frames
        ), said


def test_hostile_text_is_escaped(study, tmp_path):
    tables = dict(study[0])
    evil = "<script>alert('x')</script> $\\frac{1}{2}$ & \"q\""
    for name, column in (("analysed", "site"), ("exclusions", "detail"), ("metrics", "note"), ("flow", "reason")):
        table = pd.read_csv(tables[name], keep_default_na=False)
        table.loc[0, column] = evil
        if name == "flow":
            table.loc[1, column] = evil
        tables[name] = tmp_path / f"{name}.csv"
        table.to_csv(tables[name], index=False)
    html = write_page(tmp_path, tables, gallery=0)
    assert html.count("<script") == 1
    assert "No picture of a segmentation was handed over." in html
    assert "Stiffness &amp; &lt;images&gt;" in html
    assert "&lt;script&gt;alert" in html


@pytest.mark.parametrize(
    ("value", "digits", "text"), [(0.765, 2, "0.77"), (-0.004, 2, "0.00"), (-1.25, 1, "−1.2"), (0.0, 3, "0.000")]
)
def test_rounding(value, digits, text):
    assert rounded(value, digits) == text


def test_words_of_small_things():
    small = p_value(0.0004)
    assert (small.exact, small.text) == (0.0004, "<\N{NO-BREAK SPACE}0.001")
    assert p_value(0.0312).text == "0.031"
    assert p_value(float("nan")) == "–"
    assert (days_text(1), exams_text(1, 1)) == ("1 day", "1 exam of 1 patient")
    assert listed(["age"]) == "age"
    assert listed(["age", "sex", "site"]) == "age, sex and site"
    assert group_text("steatosis=no") == "Without steatosis"
    assert group_text("vendor=GE") == "GE"
    row = pd.Series({"metric": "interval_coverage", "value": 0.905, "low": float("nan"), "high": 1.0, "note": ""})
    estimate = Estimate.of(row)
    assert estimate.value is not None
    assert estimate.value.text == "90"
    assert estimate.low is None


def test_a_drawing_in_the_page_follows_the_theme():
    svg = '<?xml?>\n<svg width="1pt" height="2pt" viewBox="0 0 1 2" xmlns="http://www.w3.org/2000/svg">'
    svg += '<metadata>x</metadata><g id="a" style="fill: #1d2733"/><use xlink:href="#a"/></svg>'
    page = for_page(svg, "one", 'say "r"')
    assert page.startswith('<svg role="img" aria-label="say &quot;r&quot;" viewBox="0 0 1 2">')
    assert '<g id="one-a" style="fill: var(--ink)"/><use href="#one-a"/>' in page


def test_software_and_configuration_are_those_of_provenance(study):
    section = section_of(study[2], "provenance")
    facts = dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", section))
    assert facts["source"] == f"{FACTS['source']['commit']} and changes not committed"
    assert [facts[name] for name in ("python", "numpy", "torch")] == [
        "3.11.9",
        "2.0.1",
        "2.7.0",
    ]  # installed, else pinned
    assert facts["monai"] == "not recorded"
    assert "<pre" in section
    assert yaml.safe_load(section.split("<pre")[1].split(">", 1)[1].split("</pre>")[0]) == FACTS["config"]
    for line in (f"{'ab' * 32}  metrics\n", f"{'cd' * 32}  models 0\n", f"{'ef' * 32}  models 1<"):
        assert line in section
    assert FACTS["source"]["commit"] in (study[1] / "model_card.md").read_text()


def test_what_it_took(study):
    section = section_of(study[2], "provenance")
    table = section[section.index("<table") : section.index("</table>")]
    assert 'class="sortable"' in table
    body, foot = table.split("</tbody>")
    assert body.count("<tr") == 3
    little = "<\N{NO-BREAK SPACE}0.01"
    assert [text for _, text in Page(body).numbers] == ["2", little, little, "3", "12.50", "100.25", "7001"]
    assert "<td>–</td>" in body
    assert foot.strip().startswith('<tfoot><tr><th scope="row">Total</th>')
    assert [text for _, text in Page(foot).numbers] == ["5", "12.50", "100.25", "7001"]
    name = re.search(r'<table id="([^"]+)"', table)[1]
    assert f'class="csv" data-table="{name}"' in section
    assert "Basis: what Snakemake measured" in section
