"""A user's corrections win, are reported, and mistakes in them are one line each before any work."""

import csv
from pathlib import Path

import pandas as pd
import pytest
from test_catalog import run_site, run_study
from tiny_dicom import write_exam

from liverstiff.errors import ConfigError
from liverstiff.overrides import read_overrides


def write_table(path: Path, *rows: dict[str, str]) -> Path:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture
def out(tmp_path):
    """An exam cataloged without corrections: T1w in s006, T2w in s002."""
    write_exam(tmp_path / "tree" / "a")
    run_site(tmp_path / "tree", tmp_path / "out")
    return tmp_path / "out"


def corrected(out: Path, *rows: dict[str, str]) -> pd.DataFrame:
    table = write_table(out.parent / "overrides.csv", *rows)
    run_site(out.parent / "tree", out, overrides=[table])
    run_study(out)
    return pd.read_csv(out / "series.csv", keep_default_na=False).set_index("series")


def test_a_series_by_its_names_in_the_table_of_series(out):
    before = pd.read_csv(out / "sites/alba.csv").set_index("series")
    exam = before.exam.iloc[0]
    series = corrected(
        out,
        {"exam": exam, "series": "s007", "kind": "T1w", "take": "yes", "note": "the agent was not given"},
        {"exam": exam, "series": "s002", "kind": "", "take": "no", "note": "moved"},
    )
    assert series.loc["s007", ["kind", "chosen", "why"]].to_list() == ["T1w", True, "taken: as overridden"]
    assert not series.chosen["s006"]
    assert (series.code["s006"], series.why["s006"]) == ("less_preferred", "not taken: s007 is preferred: fat-sat")
    assert (series.code["s002"], bool(series.chosen["s002"])) == ("overridden", False)
    assert series.reason["s007"].startswith("row 2 of the overrides; by its header T1w fat-sat: ")
    used = pd.read_csv(out / "overridden.csv")
    assert used[["site", "table", "row", "series"]].to_numpy().tolist() == [["alba", 1, 2, 1], ["alba", 1, 3, 1]]


def test_series_by_their_text_and_a_row_that_selects_nothing(out):
    series = corrected(
        out,
        {"text": "t2_tse*", "site": "alba", "kind": "other", "take": ""},
        {"text": "no such text", "site": "", "kind": "T1w", "take": ""},
        {"text": "t2_tse*", "site": "brook", "kind": "DWI", "take": ""},
    )
    assert series.kind["s002"] == "other"
    assert not series.chosen["s002"]
    used = pd.read_csv(out / "overridden.csv")
    assert used.series.to_list() == [1, 0, 0]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"exam": "e1", "kind": "T1"}, "row 2: kind 'T1'; expected one of T1w, T1w_post"),
        ({"exam": "e1", "take": "maybe"}, "row 2: take 'maybe'; expected yes, no or nothing"),
        ({"exam": "e1", "note": "x"}, "row 2: neither kind nor take is given"),
        ({"kind": "T1w"}, "row 2: it selects every series"),
        ({"exam": "e1", "chosen": "yes"}, "unknown columns chosen; expected some of site, exam"),
    ],
)
def test_mistakes_are_one_line_each(tmp_path, row, message):
    with pytest.raises(ConfigError) as error:
        read_overrides([write_table(tmp_path / "overrides.csv", row)])
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_table_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match=r"catalog\.overrides: no file"):
        read_overrides([tmp_path / "none.csv"])
