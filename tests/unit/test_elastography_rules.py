"""Rules of single sites: series, unit, scale, confidence, frequency; and the frequency that the files state."""

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from test_catalog import run_site
from test_elastography import Z, dicom, everywhere, ge, mapping, philips_enhanced, shard, stripes  # noqa: F401
from tiny_dicom import write_exam, write_series

from liverstiff.check import load_config
from liverstiff.config import ElastographyConfig
from liverstiff.elastography.frequency import frequencies_in
from liverstiff.elastography.region import variation
from liverstiff.errors import ConfigError
from liverstiff.records import Reason


def at(**rule):
    return {"sites": {"alba": rule}}


@pytest.mark.parametrize(
    ("text", "hz"),
    [
        ("MRE_60Hz", {60.0}),
        ("gre MRE 62.5 hz | 60-Hz", {62.5, 60.0}),
        ("MRE 40 Hz and 80Hz", {40.0, 80.0}),
        ("bandwidth 250 Hz/px", set()),
        ("bandwidth 250Hz per pixel", set()),
        ("3 Hz", set()),
        ("123.2 MHz", set()),
        ("MRE 60 Herzfrequenz", set()),
        ("60", set()),
    ],
)
def test_frequency_in_a_text(text, hz):
    assert frequencies_in(text) == hz


@pytest.mark.parametrize(
    ("stated", "settings", "expected"),
    [
        ({"SeriesDescription": "MRE_60Hz"}, {}, 60.0),
        ({"ImageComments": "60.3 Hz"}, {}, 60.3),
        ({}, {}, None),
        ({"ProtocolName": "elasto 40 Hz"}, {"frequency_hz": 40}, 40.0),
        ({"ProtocolName": "elasto 40 Hz"}, {"frequency_hz": None}, 40.0),
        ({}, at(frequency_hz=60), 60.0),
    ],
)
def test_the_frequency_stated_is_recorded(shard, stated, settings, expected):  # noqa: F811
    status, table = ge(shard, 2500, **stated).read(**settings)
    assert status.ok, status.detail
    assert table.frequency_hz[0] == expected if expected else np.isnan(table.frequency_hz[0])


@pytest.mark.parametrize(
    ("stated", "settings"),
    [
        ({"SeriesDescription": "MRE_50Hz"}, {}),
        ({"SeriesDescription": "MRE_60Hz", "ImageComments": "40 Hz"}, {}),
        ({"SeriesDescription": "MRE_60Hz"}, {"frequency_hz": 40}),
        ({"SeriesDescription": "MRE_40Hz", "ImageComments": "80 Hz"}, {"frequency_hz": None}),
        ({}, at(frequency_hz=50)),
        ({"SeriesDescription": "MRE_50Hz"}, at(frequency_hz=60)),  # the files win
    ],
)
def test_another_frequency_is_refused(shard, stated, settings):  # noqa: F811
    status, table = ge(shard, 2500, **stated).read(**settings)
    assert (status.reason, len(table)) == (Reason.WRONG_FREQUENCY, 0)


def test_the_frequency_of_an_enhanced_object(shard):  # noqa: F811
    data = philips_enhanced([everywhere(200)] * 4, 0.01, 7.0, "kPa")
    data.ImageComments = "40 Hz"
    shard.add("MRE_stiffness", [data])
    assert shard.read(sites={"alba": {"confidence": "none"}})[0].reason == Reason.WRONG_FREQUENCY


def test_scaled_integers_by_the_rule(shard):  # noqa: F811
    """2500 Pa stored as 512 of 4095 for 20 kPa: without a rule they would pass for 512 Pa."""
    rule = at(scale=20 / 4095, unit="kPa")
    status, table = ge(shard, 512).read(**rule)
    assert status.ok
    assert (table.stiffness_kpa[0], table.unit[0]) == (pytest.approx(512 * 20 / 4095, abs=1e-4), "kPa")


def test_a_rule_overrules_the_unit_that_the_files_state(shard):  # noqa: F811
    assert ge(shard, 2500, RescaleType="kPa").read()[0].reason == Reason.UNIT_UNCLEAR
    status, table = shard.read(**at(unit="Pa"))
    assert status.ok
    assert table.stiffness_kpa[0] == pytest.approx(2.5)


@pytest.mark.parametrize(("value", "unit"), [(100, "Pa"), (75000, "Pa"), (60, "kPa")])
def test_a_stated_unit_that_no_liver_can_have_is_unclear(shard, value, unit):  # noqa: F811
    values = everywhere(value / 10)
    shard.add("MRE_stiffness", [dicom(values, z, RescaleSlope=10, RescaleIntercept=0, RescaleType=unit) for z in Z])
    assert shard.read(**at(confidence="none"))[0].reason == Reason.UNIT_UNCLEAR


def test_a_site_without_confidence_counts_every_pixel(shard):  # noqa: F811
    shard.add("MRE_stiffness", [dicom(everywhere(2500), z) for z in Z])
    status, table = shard.read(**at(confidence="none"))
    assert status.ok
    assert table.area_mm2[0] == 4 * 280 * 25
    assert np.isnan(table.confidence[0])


def test_a_stiffness_map_that_is_masked_itself(shard):  # noqa: F811
    shard.add("MRE_stiffness", [dicom(np.where(stripes(100), 2500, 0), z) for z in Z])
    assert shard.read()[0].reason == Reason.NO_CONFIDENT_PIXEL  # nobody said that it is masked
    status, table = shard.read(**at(confidence="masked"))
    assert status.ok
    assert table.area_mm2[0] == 4 * 100 * 25


def test_the_full_value_of_a_confidence_map(shard):  # noqa: F811
    shard.add("MRE_stiffness", [dicom(everywhere(2500), z) for z in Z])
    shard.add("MRE_confidence", [dicom(np.where(stripes(140), 4000, 3000), z) for z in Z])
    assert shard.read()[0].reason == Reason.UNIT_UNCLEAR  # of no known scale
    status, table = shard.read(**at(confidence_full=4095))
    assert status.ok
    assert table.area_mm2[0] == 4 * 140 * 25
    assert table.confidence[0] == pytest.approx(4000 / 4095, abs=1e-4)


def test_the_rule_picks_the_masked_map_over_a_confidence_map(shard):  # noqa: F811
    ge(shard, 2500, keep=100)
    shard.add("MRE_confidence", [dicom(everywhere(100), z) for z in Z])
    assert shard.read()[1].area_mm2[0] == 4 * 280 * 25
    assert shard.read(**at(confidence="masked"))[1].area_mm2[0] == 4 * 100 * 25
    assert shard.read(**at(confidence="map"))[1].area_mm2[0] == 4 * 280 * 25


def test_a_masked_map_on_a_scale_of_its_own(shard):  # noqa: F811
    """Rounded to 7 Pa instead of 1 Pa it does not equal the map, and still shows the same."""
    shard.add("MRE_stiffness", [dicom(everywhere(2503), z) for z in Z])
    kept = np.where(stripes(100), 2503 / 7, 0).round()
    shard.add("MRE_masked_stiffness", [dicom(kept, z, RescaleSlope=7, RescaleIntercept=0) for z in Z])
    assert shard.read()[1].area_mm2[0] == 4 * 100 * 25


def test_a_map_that_could_be_of_two_scales_is_unclear(shard):  # noqa: F811
    """Up to 12: no confidence at all in per mille, next to none in per cent."""
    shard.add("MRE_stiffness", [dicom(everywhere(2500), z) for z in Z])
    shard.add("MRE_confidence", [dicom(everywhere(12), z) for z in Z])
    assert shard.read()[0].reason == Reason.UNIT_UNCLEAR


def test_real_world_values_of_a_classic_file_win_over_its_rescale_slope(shard):  # noqa: F811
    stated = {"RescaleSlope": 3, "RescaleIntercept": 0, "RescaleType": "Pa"}
    files = [dicom(everywhere(250), z, RealWorldValueMappingSequence=mapping(0.01, "kPa"), **stated) for z in Z]
    shard.add("MRE_stiffness", files)
    assert shard.read(**at(confidence="none"))[1].stiffness_kpa[0] == pytest.approx(2.5)


def test_the_variation_between_slices(shard):  # noqa: F811
    """Means 2 and 4 of areas 3 to 1: mean 2.5, variance (3 x 0.25 + 2.25) / 4 = 0.75."""
    assert variation([2.0, 4.0], [300.0, 100.0]) == pytest.approx(np.sqrt(0.75) / 2.5)
    assert variation([2.0], [300.0]) is None
    values, keep = (2000, 4000, 3000, 3000), (210, 70, 0, 0)
    shard.add("MRE_stiffness", [dicom(everywhere(v), z) for v, z in zip(values, Z, strict=True)])
    masked = [np.where(stripes(k), v, 0) for v, k in zip(values, keep, strict=True)]
    shard.add("MRE_masked_stiffness", [dicom(m, z) for m, z in zip(masked, Z, strict=True)])
    assert shard.read()[1].slice_cv[0] == pytest.approx(np.sqrt(0.75) / 2.5, abs=1e-4)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"series": {"stiffness": "("}}, "no regular expression"),
        ({"series": {"colour": "x"}}, "stiffness"),
        ({"scale": 0.1}, "give the unit"),
        ({"confidence": "none", "confidence_full": 100}, "remove one"),
        ({"unit": "mmHg"}, "kPa"),
        ({"frequency_hz": 0}, "greater than 0"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(rule, message):
    with pytest.raises(ValidationError, match=message):
        ElastographyConfig(**at(**rule))


def test_a_rule_of_no_site_is_refused():
    record = {"table": "x.csv", "patient": "id", "date": "date", "columns": {"age": {"column": "age", "unit": "y"}}}
    site = {"role": "development", "dicom": "x", "record": record}
    values = {"data": {"temporal_cut": "2024-01-01", "sites": {"alba": site}}}
    values |= {"segment": {"atlases": "x"}, "elastography": {"sites": {"abla": {"unit": "Pa"}}}}
    with pytest.raises(ConfigError, match=r"elastography\.sites\.abla: no such site"):
        load_config(values)


def cataloged(tmp_path, **patterns):
    """The series table of a small exam whose site has expressions for its elastograms."""
    run_site(tmp_path / "tree", tmp_path / "out", mre_series=patterns)
    return pd.read_csv(tmp_path / "out/sites/alba.csv", keep_default_na=False).set_index("series")


def map_series(folder, number, text, image_type, **more):
    """A series of four slices beside those of :func:`write_exam`."""
    names = {"SeriesNumber": number, "SeriesInstanceUID": f"1.2.3.{number}", "AcquisitionTime": f"11{number:02d}00"}
    write_series(folder / str(number), SeriesDescription=text, ImageType=image_type, slices=4, **names, **more)


def test_a_site_names_its_series_by_expressions(tmp_path):
    write_exam(tmp_path / "tree")
    map_series(tmp_path / "tree", 11, "Inversion A", ["DERIVED", "PRIMARY", "OTHER"])
    map_series(tmp_path / "tree", 12, "Inversion B quality", ["DERIVED", "PRIMARY", "OTHER"])
    before = cataloged(tmp_path)
    assert before.kind["s004"] == "MRE_stiffness"
    assert before.chosen["s004"]
    assert not before.chosen[["s008", "s009"]].any()
    series = cataloged(tmp_path, stiffness="^inversion", confidence="inversion .* quality")
    assert series.kind["s008"] == "MRE_stiffness"
    assert series.kind["s009"] == "MRE_confidence"  # the first in the order of the maps
    assert series.chosen[["s008", "s009"]].all()
    assert not series.chosen[["s004", "s005"]].any()  # found by the rules, but not named by the site
    assert set(series.code[["s004", "s005"]]) == {"overridden"}
    assert "nversion" not in (tmp_path / "out/sites/alba.csv").read_text()


def test_no_expression_makes_a_map_of_a_picture(tmp_path):
    write_exam(tmp_path / "tree")
    picture = {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}
    map_series(tmp_path / "tree", 11, "Inversion", ["DERIVED", "SECONDARY"], **picture)
    map_series(tmp_path / "tree", 12, "Inversion", ["DERIVED", "PRIMARY"], BurnedInAnnotation="YES")
    series = cataloged(tmp_path, stiffness="inversion")
    assert not series.chosen[["s008", "s009"]].any()
    assert "MRE_stiffness" not in set(series.kind[["s008", "s009"]])


def test_the_magnitude_at_the_slices_of_the_map_is_taken_with_it(tmp_path):
    write_exam(tmp_path / "tree")
    raw = ["ORIGINAL", "PRIMARY", "M"]
    map_series(tmp_path / "tree", 11, "mre", raw)
    map_series(tmp_path / "tree", 12, "mre elsewhere", raw, heights=(40.0, 50.0, 60.0, 70.0))
    series = cataloged(tmp_path)
    assert series.kind["s008"] == series.kind["s009"] == "MRE_raw"
    assert series.chosen["s008"]
    assert not series.chosen["s009"]
