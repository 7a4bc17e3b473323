"""The stage ``report``: numbers as in the files, small studies marked, nothing loaded, everything escaped."""

from __future__ import annotations

import base64
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from made_study import evaluated

from liverstiff.config import ReportConfig
from liverstiff.report import write_report
from liverstiff.report.drawing import for_page
from liverstiff.report.provenance import commit, without_paths
from liverstiff.report.vendors import _in_words, vendors
from liverstiff.report.wording import Estimate, group_text, p_text, rounded

WORDS = "demonstration, not evidence"
DOT = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
CONFIG = {
    "data": {"private": "/srv/keys", "sites": {"alba": {"dicom": "/srv/Hospital", "record": {"table": "simulate"}}}}
}


def write(folder: Path, tables: dict[str, Path], below: int = 100, gallery: int = 4) -> str:
    """Write the report of these tables and return the page."""
    analysed = pd.read_csv(tables["analysed"])
    for row in analysed.head(6).itertuples():
        exam = folder / "segment" / f"sub-{row.patient}" / f"ses-{row.exam}"
        exam.mkdir(parents=True)
        (exam / f"sub-{row.patient}_ses-{row.exam}_desc-overlay.png").write_bytes(DOT)
        board = folder / "register" / f"sub-{row.patient}" / f"ses-{row.exam}"
        board.mkdir(parents=True)
        (board / f"sub-{row.patient}_ses-{row.exam}_desc-checkerboard.png").write_bytes(DOT)
    measured = pd.DataFrame({"exam": analysed.exam.head(6), "quality": 0.934, "method": "network", "frame": "T1w"})
    for stage in ("segment", "register"):
        (folder / stage).mkdir(exist_ok=True)
        measured.to_csv(folder / stage / "measures.csv", index=False)
    history = folder / "history.csv"
    pd.DataFrame({"epoch": [1, 2], "train_loss": [1.0, 0.5], "validation_loss": [1.1, 0.9]}).to_csv(
        history, index=False
    )
    scans = folder / "scans.csv"
    scans.write_text(
        "site,vendor,model,field_t,sequence,variant,exams\n"
        "alba,GE,Optima MR450w,1.5,T1w,fat-sat,3\nalba,GE,Optima MR450w,1.5,T1w,water,5\n"
        "alba,GE,Optima MR450w,1.5,T2w,TSE fat-sat,7\nalba,GE,Optima MR450w,1.5,T2w,absent,1\n"
        "alba,GE,Optima MR450w,1.5,DWI,trace,8\nbrook,other,,,T1w,,2\nbrook,other,,,T2w,,2\nbrook,other,,,DWI,,2\n"
    )
    probe = folder / "probe.csv"
    probe.write_text(
        "when,exams,patients,vendors,accuracy,chance,excess,excess_ratio,note\n"
        "before,60,54,3,0.9,0.46,0.44,,\nafter,60,54,3,0.65,0.46,0.19,0.432,\n"
    )
    write_report(
        **tables,
        scans=scans,
        probe=probe,
        overlays=[folder / "segment"],
        checkerboards=[folder / "register"],
        histories=[history],
        config=CONFIG,
        report=folder / "report.html",
        figures=folder / "figures",
        settings=ReportConfig(title="Stiffness & <images>", gallery=gallery),
        demonstration_below=below,
    )
    return (folder / "report.html").read_text()


def test_scanners_and_the_variants_of_their_images(tmp_path):
    page = write(tmp_path, evaluated(tmp_path))
    row = page[page.index("alba: GE Optima MR450w, 1.5 T") :].split("</tr>")[0]
    for text in ("8", "water 5, fat-sat 3", "TSE fat-sat 7, absent 1", "trace 8"):
        assert text in row
    assert "brook: other<" in page


def test_what_is_left_of_the_vendor(tmp_path):
    page = write(tmp_path, evaluated(tmp_path))
    section = page[page.index('<section id="vendors"') : page.index('<section id="table1"')]
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
    section = vendors(SimpleNamespace(probe=table))
    assert [block.kind for block in section.blocks] == ["gap"]
    assert "fewer than two vendors" in section.blocks[0].content


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


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> tuple[dict[str, Path], Path, str]:
    """A small study, its folder and its page."""
    folder = tmp_path_factory.mktemp("study")
    tables = evaluated(folder)
    return tables, folder, write(folder, tables)


NO_ESTIMATES = ("What happened", "e00000", "Exams by scanner", "Naming the vendor")


def numbered(page: Page, part: str) -> list[str]:
    """Figures, tables or cards that show estimates: not the gallery, the scanners or the list of excluded exams."""
    return [text for text in page.parts[part] if not any(mark in text for mark in NO_ESTIMATES)]


def test_every_estimate_of_a_small_study_says_so(study):
    page = Page(study[2])
    # the flow chart, 2 figures of agreement, a forest and 3 of residuals for each of 3 partitions, training
    assert len(numbered(page, "figure")) == 1 + 3 * (2 + 1 + 3) + 1
    assert len(numbered(page, "table")) == 4
    assert len(page.parts["card"]) == 3
    for part in page.parts:
        for text in numbered(page, part):
            assert WORDS in text, (part, text)


def test_only_the_small_partition_says_so(study, tmp_path):
    page = Page(write(tmp_path, study[0], below=13))
    cards = {text.split()[0]: WORDS in text for text in page.parts["card"]}
    assert cards == {"Cross-validation": False, "Temporal": True, "External": False}
    figures = page.parts["figure"]
    assert [WORDS in text for text in figures if "(Bland" in text] == [False, True, False]
    assert [WORDS in text for text in figures if "body mass index." in text] == [False, True, False]


def test_no_estimate_of_a_large_study_says_so(tmp_path):
    assert WORDS not in write(tmp_path, evaluated(tmp_path, {"cross-validation": 80}), below=10)


def test_the_page_loads_nothing(study):
    html = study[2]
    assert all(one.startswith(("data:image/png;base64,", "#")) for one in Page(html).addresses)
    assert not any(word in html for word in ("http:", "https:", "@import", "<script", "<link", "<iframe"))
    assert html.count("url(") == html.count("url(#")


def test_numbers_of_the_cards_are_those_of_the_table(study):
    tables, _, html = study
    summary = html[html.index('<section id="summary"') : html.index('<section id="flow"')]
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
        plain, decimals = text.replace("−", "-"), len(text.partition(".")[2])
        scale = 100 if decimals == 0 else 1
        assert abs(float(plain) - scale * float(exact)) <= 0.5 * 10**-decimals + 1e-12, (exact, text)


def test_ids_are_unique_and_links_lead_somewhere(study):
    page = Page(study[2])
    assert len(page.ids) == len(set(page.ids))
    assert {one[1:] for one in page.addresses if one.startswith("#")} <= set(page.ids)


def test_figures_have_a_text_and_files(study):
    _, folder, html = study
    assert html.count("<svg role=") == html.count('role="img" aria-label="') == 3 * 6 + 1
    names = {path.stem for path in (folder / "figures").glob("*.png")}
    assert names == {path.stem for path in (folder / "figures").glob("*.svg")}
    assert {"scatter_external", "bland-altman_temporal", "residual-bmi_cross-validation", "training"} <= names
    assert "Elastography, kPa</text>" in html


def test_the_pictures_take_each_site_in_turn_and_say_how_good_they_are(study):
    html = study[2]
    for start, end, said in (
        ("gallery", "registrations", "expected Dice 0.93 (network)"),
        ("registrations", "provenance", "frame T1w"),
    ):
        chosen = html[html.index(f'<section id="{start}"') : html.index(f'<section id="{end}"')]
        assert chosen.count("<img") == 4
        counts = [chosen.count(f"{site}, cross-validation, {said}<") for site in ("alba", "brook", "cedar")]
        assert counts == [2, 1, 1]


def test_the_same_tables_give_the_same_bytes(study, tmp_path):
    tables, folder, html = study
    assert write(tmp_path, tables) == html
    for path in sorted((folder / "figures").iterdir()):
        assert (tmp_path / "figures" / path.name).read_bytes() == path.read_bytes(), path.name


def test_paths_of_the_config_stay_off_the_page(study):
    assert "/srv" not in study[2]
    assert without_paths(CONFIG)["data"]["sites"]["alba"]["record"]["table"] == "simulate"


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
    html = write(tmp_path, tables, gallery=0)
    assert "<script" not in html
    assert "No picture of a segmentation was handed over." in html
    assert "Stiffness &amp; &lt;images&gt;" in html
    assert "&lt;script&gt;alert" in html


@pytest.mark.parametrize(
    "sizes",
    [
        {"cross-validation": 20, "temporal": 0, "external": 1},
        {"cross-validation": 0, "temporal": 0, "external": 0},
    ],
)
def test_an_empty_partition_is_a_stated_gap(tmp_path, sizes):
    html = write(tmp_path, evaluated(tmp_path, sizes))
    titles = {"cross-validation": "Cross-validation", "temporal": "Temporal test", "external": "External test"}
    for partition, exams in sizes.items():
        assert (f"{titles[partition]}: no exam was analysed" in html) == (exams == 0)
        assert (f'id="figure-scatter_{partition}"' in html) == (exams > 0)
    assert ">nan<" not in html.lower()
    assert "nan " not in html.lower()


@pytest.mark.parametrize(
    ("value", "digits", "text"), [(0.765, 2, "0.77"), (-0.004, 2, "0.00"), (-1.25, 1, "−1.2"), (0.0, 3, "0.000")]
)
def test_rounding(value, digits, text):
    assert rounded(value, digits) == text


def test_words_of_small_things():
    assert p_text(0.0004) == "< 0.001"
    assert p_text(0.0312) == "0.031"
    assert p_text(float("nan")) == "–"
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


def test_the_commit_is_told_or_its_absence():
    assert len(commit().split()[0]) == 40 or commit().startswith("not recorded")
