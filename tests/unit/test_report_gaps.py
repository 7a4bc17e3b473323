"""What a study lacks is a stated gap on the page: never a crash, a NaN or a made-up figure."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from made_report import evaluated_fully, write_page

from liverstiff.config import ReportConfig, TargetConfig
from liverstiff.errors import DataError
from liverstiff.report import methods, write_report
from liverstiff.report.occlusion import occlusion
from liverstiff.report.provenance import made_with, source
from liverstiff.report.study import TABLES
from liverstiff.report.summary import bias_in_words

TITLES = {"cross-validation": "Cross-validation", "temporal": "Temporal test", "external": "External test"}


def section_of(page: str, name: str) -> str:
    """One section of a page."""
    return page[page.index(f'<section id="{name}"') :].split("</section>")[0]


def without_nan(page: str) -> bool:
    """No NaN where a reader or a program would meet one."""
    text = page.split("<script>")[0].lower()
    return not any(mark in text for mark in (">nan<", "nan ", '="nan"', ">inf<", ">none<", " nan"))


@pytest.mark.parametrize(
    "sizes",
    [
        {"cross-validation": 20, "temporal": 0, "external": 1},
        {"cross-validation": 2, "temporal": 2, "external": 0},
        {"cross-validation": 0, "temporal": 0, "external": 0},
    ],
)
def test_an_empty_partition(tmp_path, sizes):
    html = write_page(tmp_path, evaluated_fully(tmp_path, sizes))
    for partition, exams in sizes.items():
        assert html.count(f"{TITLES[partition]}: no exam was analysed") == (exams == 0)
        assert (f'id="figure-scatter_{partition}"' in html) == (exams > 0)
        assert (f">{TITLES[partition]}: " in section_of(html, "flow")) == (exams > 0)
        gone = section_of(html, "limits").partition("Without exams: ")[2].partition("</li>")[0]
        assert (TITLES[partition].lower() in gone) == (exams == 0)
    for section in html.split('class="lead">')[1:]:
        assert section.split("</section>")[0].split("</p>", 1)[1].strip()
    assert without_nan(html)


def test_methods_tell_of_no_test_that_was_not_made(tmp_path):
    only = write_page(tmp_path, evaluated_fully(tmp_path, {"cross-validation": 24, "temporal": 0, "external": 0}))
    text = section_of(only, "methods")
    for said in ("temporal test", "External sites were used", "excluded from the tests", "Estimates of the tests"):
        assert said not in text
    tables = evaluated_fully(tmp_path, {"cross-validation": 24, "temporal": 4, "external": 4})
    text = section_of(write_page(tmp_path, tables), "methods")
    for said in ("as a temporal test", "External sites were used", "excluded from the tests", "Estimates of the tests"):
        assert said in text
    assert "The model was compared with the baselines" in text
    alone = {name: path for name, path in tables.items() if name not in ("comparisons", "cutpoints")}
    text = section_of(write_page(tmp_path, alone), "methods")
    assert "compared with the baselines" not in text
    assert "Youden" not in text


@pytest.mark.parametrize(
    ("train", "says", "never"),
    [
        ({"inputs": ["record"]}, "values with a chance of 5 %", "equences"),
        ({"inputs": ["images"], "measured": "none"}, "sequences with a chance of 15 %", "ariable"),
        ({"inputs": ["record"], "model": "ridge"}, "a linear ridge regression on the variables", "left out at random"),
        (
            {"model": "published_like", "pretrained": "/srv/w"},
            "a pretrained two-dimensional vision transformer",
            "/srv",
        ),
    ],
)
def test_methods_tell_of_the_inputs_of_the_model(train, says, never):
    study = SimpleNamespace(config={"train": train}, target=TargetConfig(), partitions=[])
    text = methods._model(study)
    assert says in text
    assert never not in text


@pytest.mark.parametrize(
    ("days", "said"), [(0, "on the day of the exam"), (1, "within 1 day of"), (7, "within 7 days of")]
)
def test_methods_count_days(days, said):
    study = SimpleNamespace(config={"cohort": {"reference": "reported", "reported_days": days}}, target=TargetConfig())
    assert said in methods._reference(study)


@pytest.mark.parametrize(
    ("verdicts", "said"),
    [
        (["equivalent", "equivalent"], "none that matters for site"),
        (["equivalent", ""], "not settled by the data for site"),
        (["equivalent", "inconclusive"], "not settled by the data for site"),
        (["equivalent", "different", ""], "found for site"),
        (["", ""], "not tested for site"),
    ],
)
@pytest.mark.parametrize("exams", [99, 100])
def test_bias_in_words_is_never_better_than_what_was_tested(verdicts, said, exams):
    rows = pd.DataFrame({"covariate": "site", "verdict": verdicts})
    study = SimpleNamespace(of=lambda *_: rows, exams=lambda _: exams, small=lambda exams: exams < 100)
    small = " (demonstration, not evidence)" if exams == 99 else ""
    assert bias_in_words(study, "external") == f"Bias, external test{small}: {said}."


@pytest.mark.parametrize(
    ("thresholds", "says"), [([3.0], "bias where the reference is low or high"), ([], "do not show it")]
)
def test_limits_name_what_shows_shrinkage(tmp_path, thresholds, says):
    tables = evaluated_fully(tmp_path, {"cross-validation": 12})
    text = section_of(write_page(tmp_path, tables, target={"thresholds": thresholds}), "limits")
    assert says in text
    assert "r and the calibration slope do not" in text


def test_without_pictures_of_occlusion_the_page_says_so(tmp_path):
    for config, said in (({}, "was made in this run"), ({"train": {"inputs": ["record"]}}, "is given no images")):
        study = SimpleNamespace(shards={}, config=config)
        (block,) = occlusion(study).blocks
        assert block.kind == "gap"
        assert said in block.content


def test_one_site_and_no_external_test(tmp_path):
    html = write_page(tmp_path, evaluated_fully(tmp_path, {"cross-validation": 24}, site="alba", vendor="GE"))
    assert "All exams are of one site" in html
    for name in ("summary", "flow", "table1", "agreement", "metrics", "subgroups", "thresholds", "limits"):
        assert "External test" not in section_of(html, name)
    assert without_nan(html)


def test_no_steatosis_in_the_record(tmp_path):
    html = write_page(tmp_path, evaluated_fully(tmp_path, {"cross-validation": 24, "external": 12}, steatosis=np.nan))
    assert "Cross-validation: steatosis is not recorded" in html
    assert "External test: steatosis is not recorded" in html
    assert without_nan(html)


def test_no_record_at_all(tmp_path):
    unknown = {"age": np.nan, "bmi": np.nan, "sex": np.nan, "steatosis": np.nan, "field_t": np.nan}
    html = write_page(tmp_path, evaluated_fully(tmp_path, {"cross-validation": 24}, **unknown))
    section = section_of(html, "residuals")
    assert section.count("not judged") >= 5
    assert "Cross-validation: not recorded, so not drawn: Age, Body mass index, Sex." in section
    assert "figure-residual-" not in section
    assert without_nan(html)


def test_constant_estimates(tmp_path):
    tables = evaluated_fully(tmp_path, {"cross-validation": 24}, reference=3.0)
    html = write_page(tmp_path, tables)
    assert "r is not defined" in html
    assert without_nan(html)


def test_tables_that_are_empty(tmp_path):
    tables = evaluated_fully(tmp_path, {"cross-validation": 24})
    for name, columns in TABLES.items():
        if name not in ("flow", "analysed", "metrics"):
            tables[name] = tmp_path / f"empty-{name}.csv"
            tables[name].write_text(",".join(columns) + "\n")
    html = write_page(tmp_path, tables)
    for said in (
        "No scan was catalogued.",
        "The counts of missing values were not handed over.",
        "No estimates of a baseline were handed over",
        "Cross-validation: no decision curve: no curve was handed over.",
        "the estimates came without intervals",
        "No exam has both an elastogram and a reported value",
        "What the run took was not handed over.",
    ):
        assert said in html
    assert without_nan(html)


def test_a_section_whose_tables_are_not_given_is_not_of_the_page(tmp_path):
    tables = evaluated_fully(tmp_path, {"cross-validation": 24})
    html = write_page(tmp_path, {name: tables[name] for name in ("flow", "analysed", "metrics")})
    sections = re.findall(r'<section id="(\w+)"', html)
    assert {"summary", "metrics", "failures", "limits", "methods", "checklists"} <= set(sections)
    assert not {"flow", "scans", "missing", "reference", "thresholds", "comparisons", "uncertainty"} & set(sections)
    assert set(re.findall(r'href="#(\w+)"', html)) == set(sections)
    assert without_nan(html)


def test_without_provenance_the_page_and_the_card_say_so(tmp_path):
    study = SimpleNamespace(provenance={}, tables={"cost": pd.DataFrame()})
    assert [block.kind for block in made_with(study).blocks] == ["gap", "gap"]
    assert source({}) == source({"source": {"commit": None, "changed": None}}) == "not recorded"


def test_a_table_that_is_none_of_the_page(tmp_path):
    with pytest.raises(DataError, match="no table 'flows' on the page"):
        write_report(
            tables={"flows": tmp_path / "flows.csv"},
            shards={},
            histories=[],
            config={},
            report=tmp_path / "report.html",
            card=tmp_path / "card.md",
            figures=tmp_path / "figures",
            settings=ReportConfig(),
        )


def test_another_target_is_never_called_stiffness(tmp_path):
    target = {"name": "liver fat", "unit": "%", "measured_by": "spectroscopy", "thresholds": [3.0], "margin": 0.5}
    html = write_page(tmp_path, evaluated_fully(tmp_path, {"cross-validation": 24}), target=target)
    assert "A model estimated liver fat from routine MRI" in html
    assert "Spectroscopy, %" in html
    facts = html.split('<section id="methods"')[0]
    assert "stiffness" not in facts.replace("Stiffness &amp; &lt;images&gt;", "").lower()


def test_the_card_says_what_the_page_says(tmp_path):
    tables = evaluated_fully(tmp_path, {"cross-validation": 24, "external": 0})
    write_page(tmp_path, tables)
    card = (tmp_path / "model_card.md").read_text()
    r = pd.read_csv(tables["metrics"]).query("metric == 'pearson_r' and group == 'all'").iloc[0]
    assert f"| Cross-validation | {r.value:.2f} ({r.low:.2f} to {r.high:.2f}) |".replace("-0", "−0") in card
    assert "| External test | no exam |" in card
    assert "demonstration, not evidence: cross-validation" in card
    assert "/srv" not in card
    assert "nan " not in card.lower()


def test_figures_are_as_sharp_as_a_journal_asks(tmp_path):
    from PIL import Image

    write_page(tmp_path, evaluated_fully(tmp_path, {"cross-validation": 12}), formats=("png", "pdf"))
    folder: Path = tmp_path / "figures"
    with Image.open(folder / "scatter_cross-validation.png") as image:
        assert image.info["dpi"] == pytest.approx((300, 300), abs=0.1)
    assert (folder / "scatter_cross-validation.pdf").read_bytes().startswith(b"%PDF")
