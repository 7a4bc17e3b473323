"""What a study lacks is a stated gap on the page: never a crash, a NaN or a made-up figure."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_report import evaluated_fully, write_page

from liverstiff.config import ReportConfig
from liverstiff.errors import DataError
from liverstiff.report import write_report

TITLES = {"cross-validation": "Cross-validation", "temporal": "Temporal test", "external": "External test"}


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
        assert (f"{TITLES[partition]}: no exam was analysed" in html) == (exams == 0)
        assert (f'id="figure-scatter_{partition}"' in html) == (exams > 0)
    assert without_nan(html)


def test_one_site_and_no_external_test(tmp_path):
    html = write_page(tmp_path, evaluated_fully(tmp_path, {"cross-validation": 24}, site="alba", vendor="GE"))
    assert "All exams are of one site" in html
    assert (
        "External test" not in html.split("<script>")[0].split('id="methods"')[0].split("Skip to")[1].split("Table")[0]
    )
    assert without_nan(html)


def test_no_steatosis_in_the_record(tmp_path):
    html = write_page(tmp_path, evaluated_fully(tmp_path, {"cross-validation": 24, "external": 12}, steatosis=np.nan))
    assert "Cross-validation: steatosis is not recorded" in html
    assert "External test: steatosis is not recorded" in html
    assert without_nan(html)


def test_no_record_at_all(tmp_path):
    unknown = {"age": np.nan, "bmi": np.nan, "sex": np.nan, "steatosis": np.nan, "field_t": np.nan}
    html = write_page(tmp_path, evaluated_fully(tmp_path, {"cross-validation": 24}, **unknown))
    section = html[html.index('<section id="residuals"') :].split("</section>")[0]
    assert section.count("not judged") >= 5
    assert without_nan(html)


def test_constant_estimates(tmp_path):
    tables = evaluated_fully(tmp_path, {"cross-validation": 24}, reference=3.0)
    html = write_page(tmp_path, tables)
    assert "r is not defined" in html
    assert without_nan(html)


def test_tables_that_are_not_given(tmp_path):
    tables = evaluated_fully(tmp_path, {"cross-validation": 24})
    few = {name: tables[name] for name in ("flow", "analysed", "metrics")}
    html = write_page(tmp_path, few)
    for said in (
        "No scan was catalogued.",
        "The counts of missing values were not handed over.",
        "No estimates of a baseline were handed over",
        "Cross-validation: no decision curve: no curve was handed over.",
        "the estimates came without intervals",
        "No exam has both an elastogram and a reported value",
    ):
        assert said in html
    assert without_nan(html)


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
    facts = html.split('id="methods"')[0]
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
