"""The vendor probe: finds what is there, nothing where nothing is, and says when it cannot tell."""

from __future__ import annotations

import filecmp

import numpy as np
import pandas as pd
import pytest

from liverstiff.errors import DataError
from liverstiff.harmonize.features import intensity_features
from liverstiff.harmonize.probe import evaluate_probe, feature_columns, probe_vendor

VENDORS = ("GE", "Philips", "Siemens")


def exams(n: int = 90, before: float = 3.0, after: float = 0.0) -> pd.DataFrame:
    """Exams of three vendors whose features differ by so many standard deviations."""
    rng = np.random.default_rng(1)
    vendor = np.array(VENDORS)[np.arange(n) % 3]
    table = pd.DataFrame({"exam": [f"e{k:03d}" for k in range(n)], "patient": [f"p{k // 2}" for k in range(n)]})
    for when, shift in (("before", before), ("after", after)):
        for name in ("p10", "p50", "snr"):
            table[f"t1w_{when}_{name}"] = shift * (np.arange(n) % 3) + rng.normal(size=n)
    return table.assign(vendor=vendor)


def test_a_difference_is_found_and_its_absence_too():
    result, confusion = evaluate_probe(exams())
    before, after = result.itertuples()
    assert before.chance == after.chance == pytest.approx(1 / 3)
    assert before.accuracy > 0.9
    assert abs(after.excess) < 0.15
    assert after.excess_ratio == pytest.approx(after.excess / before.excess)
    assert pd.isna(before.excess_ratio)
    assert confusion.groupby("when").exams.sum().tolist() == [90, 90]
    right = confusion[(confusion.when == "before") & (confusion.vendor == confusion.named)].exams.sum()
    assert right / 90 == pytest.approx(before.accuracy)


def test_adc_has_rows_of_its_own_and_changes_no_other():
    """ADC that names the vendor is seen alone and among all, and neither before nor after."""
    table = exams()
    plain, _ = evaluate_probe(table)
    steps = np.arange(90) % 3 + np.random.default_rng(3).normal(size=90) / 10
    result, confusion = evaluate_probe(table.assign(adc_before_p50=steps, adc_after_p50=steps))
    assert result.when.tolist() == ["before", "after", "adc", "all"]
    pd.testing.assert_frame_equal(result[:2], plain)
    assert (result.accuracy[2:] > 0.9).all()
    assert result.excess_ratio[2:].isna().all()
    assert confusion[confusion.when == "adc"].exams.sum() == 90


def test_a_patient_is_never_on_both_sides():
    """Features that name the patient, and nothing else, do not help."""
    table = exams(before=0.0)
    table["vendor"] = np.array(VENDORS)[(np.arange(90) // 2) % 3]
    rng = np.random.default_rng(2)
    table["t1w_before_p25"] = rng.normal(size=45)[np.arange(90) // 2] * 100
    assert evaluate_probe(table)[0].accuracy[0] < 0.55


@pytest.mark.parametrize(
    ("table", "says"),
    [
        (exams().assign(vendor="GE"), "two vendors"),
        (exams(18), "only 18 exams"),
        (exams().assign(vendor=np.where(np.arange(90) < 3, "GE", "UIH")), "two vendors"),
        (exams(0), "two vendors"),
    ],
    ids=["one vendor", "few exams", "few of one vendor", "none"],
)
def test_too_little_gives_a_note_and_no_number(table, says):
    result, confusion = evaluate_probe(table)
    assert result.note.str.contains(says).all()
    assert result[["accuracy", "chance", "excess", "excess_ratio"]].isna().all(axis=None)
    assert confusion.empty


def test_missing_features_and_missing_sequences():
    table = exams()
    table.loc[::4, "t1w_before_snr"] = np.nan
    table["t2w_before_p10"] = np.nan
    assert evaluate_probe(table)[0].accuracy[0] > 0.9


def test_which_columns_are_features():
    table = pd.DataFrame(columns=["exam", "t1w_scale", "t1w_before_p10", "dwi_after_snr", "adc_after_p50", "b_values"])
    assert feature_columns(table, "before") == ["t1w_before_p10"]
    assert feature_columns(table, "after") == ["dwi_after_snr"]
    assert feature_columns(table, "adc") == ["adc_after_p50"]
    assert feature_columns(table, "all") == ["adc_after_p50", "dwi_after_snr"]


def test_features_by_hand():
    told = intensity_features(np.arange(101.0), 5.0)
    assert told == {"p10": 10, "p25": 25, "p50": 50, "p75": 75, "p90": 90, "snr": 10}
    assert np.isnan(intensity_features(np.arange(101.0), 0.0)["snr"])


def test_files_of_several_shards_in_any_order(tmp_path):
    table = exams()
    table[["exam", "patient", "vendor"]].assign(site="alba").to_csv(tmp_path / "exams.csv", index=False)
    measures = table.drop(columns=["patient", "vendor"])
    shards = []
    for name, rows in {"a": measures[:40], "b": measures[40:], "c": measures[:0][["exam"]]}.items():
        (tmp_path / name).mkdir()
        rows.to_csv(tmp_path / name / "measures.csv", index=False)
        shards.append(tmp_path / name)
    for run, order in (("one", shards), ("two", shards[::-1])):
        probe_vendor(
            harmonized=order,
            exams=tmp_path / "exams.csv",
            probe=tmp_path / run / "probe.csv",
            confusion=tmp_path / run / "confusion.csv",
        )
    same = filecmp.cmpfiles(tmp_path / "one", tmp_path / "two", ["probe.csv", "confusion.csv"], shallow=False)
    assert same[1:] == ([], [])
    assert pd.read_csv(tmp_path / "one" / "probe.csv").exams.tolist() == [90, 90]
    (tmp_path / "exams.csv").write_text("exam,site\n")
    with pytest.raises(DataError, match="vendor"):
        probe_vendor(harmonized=shards, exams=tmp_path / "exams.csv", probe=tmp_path / "p", confusion=tmp_path / "c")


def test_a_study_without_images_has_no_probe_and_says_so(tmp_path):
    exams(20).assign(vendor=np.nan)[["exam", "patient", "vendor"]].to_csv(tmp_path / "exams.csv", index=False)
    out = {name: tmp_path / f"{name}.csv" for name in ("probe", "confusion")}
    probe_vendor(harmonized=[], exams=tmp_path / "exams.csv", **out)
    assert pd.read_csv(out["probe"]).note.tolist() == ["fewer than two vendors with 5 patients or more"] * 2
    assert pd.read_csv(out["confusion"]).empty
