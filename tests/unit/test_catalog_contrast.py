"""Pre-contrast must be proved: agents, doses and phases in any script, times in any form, signs in any series."""

import pandas as pd
import pytest
from test_catalog import frames_of, run_site
from tiny_dicom import write_series

from liverstiff.catalog.choice import choose, says_after, without_post_contrast
from liverstiff.catalog.exam import identify_all


def taken(tmp_path, *plan: dict) -> list[str]:
    """Kinds of T1w series of an exam, with ``*`` for the one that is taken."""
    paths = []
    for number, series in enumerate(plan, start=1):
        common = {"SeriesNumber": number, "SeriesInstanceUID": f"1.2.3.{number}", "SeriesDescription": "t1_vibe_fs"}
        paths += write_series(tmp_path / str(number), **{**common, **series})
    exam = choose(without_post_contrast(identify_all(frames_of(*paths))))
    return [f"{series.kind}{'*' * series.chosen}" for series in exam]


@pytest.mark.parametrize(
    "agent",
    [
        {"ContrastBolusAgent": "プリモビスト", "SpecificCharacterSet": "ISO_IR 192"},
        {"ContrastBolusAgent": "Гадовист", "SpecificCharacterSet": "ISO_IR 192"},
        {"ContrastBolusVolume": 7.5},
        {"ContrastBolusTotalDose": 10.0},
    ],
)
def test_an_agent_in_any_script_or_by_its_amount(tmp_path, agent):
    assert taken(tmp_path, agent) == ["T1w_post"]


@pytest.mark.parametrize("agent", ["", "NONE", "none", "-", "No contrast", "ohne"])
def test_words_for_no_agent(tmp_path, agent):
    assert taken(tmp_path, {"ContrastBolusAgent": agent}) == ["T1w*"]


@pytest.mark.parametrize("text", ["动脉期", "門脈相", "t1 с контрастом", "2. phase", "t1 portalvenös", "+ Gd"])
def test_phases_in_any_script(text):
    assert says_after(text.lower().replace("ö", "o"))


@pytest.mark.parametrize("text", ["t1 uden kontrast", "t1 ohne km", "sans inj", "fs non contrast", "pre/post native"])
def test_words_that_deny_it(text):
    assert not says_after(text)


@pytest.mark.parametrize(
    "sign",
    [
        {"SeriesDescription": "t1_vibe_fs_cor_portven_km", "orientation": (1, 0, 0, 0, 0, -1)},
        {"SeriesDescription": "t1 art", "slices": 4},
        {"SeriesDescription": "MIP art"},
        {"SeriesDescription": "t2_haste_post_gd", "ScanningSequence": "SE", "EchoTime": 90.0},
        {"SeriesDescription": "care bolus", "slices": 1},
        {"SeriesDescription": "t1 SUB"},
    ],
)
def test_a_sign_in_any_other_series(tmp_path, sign):
    later = {"AcquisitionTime": "101000"}
    assert taken(tmp_path, {"AcquisitionTime": "100000", **sign}, later)[-1] == "T1w_post"
    assert taken(tmp_path / "b", {"AcquisitionTime": "102000", **sign}, later)[-1] == "T1w*"


NO_TIME = {"AcquisitionTime": "", "StudyTime": "233000"}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"AcquisitionTime": "235900"}, {"AcquisitionTime": "000600"}),
        (
            {"AcquisitionTime": "235900", "SeriesDate": "20240102", "SeriesTime": "235800"},
            {"AcquisitionTime": "000600", "SeriesDate": "20240103", "SeriesTime": "000500"},
        ),
        (
            {"AcquisitionTime": "235900", "SeriesDate": "20240102", "SeriesTime": "235800"},
            {"AcquisitionTime": "000100", "SeriesDate": "20240102", "SeriesTime": "235930"},
        ),
        ({"AcquisitionDateTime": "20240102235900.5"}, {"AcquisitionDateTime": "20240103000600"}),
        ({"AcquisitionTime": "2359", "AcquisitionDate": "2024.01.02"}, {"AcquisitionDateTime": "20240103000600"}),
        (
            {"AcquisitionDateTime": "20240103045900+0000", "AcquisitionTime": "235900"},
            {"AcquisitionTime": "000600", "AcquisitionDate": "20240103"},
        ),
    ],
)
def test_times_in_any_form_over_midnight(tmp_path, first, second):
    common = {"StudyTime": "233000"}
    marked = {"SeriesDescription": "t1 art"}
    assert taken(tmp_path, {**common, **first, **marked}, {**common, **second}) == ["T1w_post", "T1w_post"]
    assert taken(tmp_path / "b", {**common, **first}, {**common, **second, **marked}) == ["T1w*", "T1w_post"]


@pytest.mark.parametrize("time", ["", "abc", "1"])
def test_a_time_that_is_none_proves_nothing(tmp_path, time):
    marked = {"AcquisitionTime": "100000", "SeriesDescription": "t1 art"}
    assert taken(tmp_path, marked, {"AcquisitionTime": time}) == ["T1w_post", "T1w_post"]


def test_three_series_with_the_same_parameters_are_a_dynamic(tmp_path):
    plan = [{"AcquisitionTime": f"10{minute:02d}00"} for minute in (0, 2, 4)]
    assert taken(tmp_path, *plan) == ["T1w*", "T1w_post", "T1w_post"]
    assert taken(tmp_path / "b", *plan[:2]) == ["T1w*", "T1w"]


def test_an_override_is_a_sign_for_the_others(tmp_path):
    for number, minute in ((1, "00"), (2, "10")):
        write_series(
            tmp_path / "tree" / str(number),
            SeriesNumber=number,
            SeriesInstanceUID=f"1.2.3.{number}",
            SeriesDescription="t1_vibe_fs",
            AcquisitionTime=f"10{minute}00",
        )
    (tmp_path / "overrides.csv").write_text("series,kind\ns001,T1w_post\n")
    run_site(tmp_path / "tree", tmp_path / "out", overrides=[tmp_path / "overrides.csv"])
    series = pd.read_csv(tmp_path / "out/sites/alba.csv")
    assert series.kind.to_list() == ["T1w_post"] * 2
    assert series.code.to_list() == ["post_contrast"] * 2
