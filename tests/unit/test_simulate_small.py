"""The quick cohort: everything a clinic may hold turns up, truth matches the files, same bytes twice."""

from collections import Counter

import numpy as np
import pandas as pd
import pydicom
import pytest
from test_simulate_dialects import frame_types, series_types, true_types

from liverstiff.simulate import write_small_exams
from liverstiff.simulate.dialects import ALL
from liverstiff.simulate.languages import NATIVE, PHASES
from liverstiff.simulate.small import _settings
from liverstiff.simulate.texts import BASES

EXAMS = 96
VARIANTS = {
    "T1w": {"fat-sat", "water", "fat", "in-phase", "opposed-phase", "plain"},
    "T1w_post": {"fat-sat", "water", "fat", "in-phase", "opposed-phase"},
    "T2w": {"TSE", "TSE fat-sat", "single-shot", "single-shot fat-sat", "radial", "radial fat-sat"},
    "DWI": {"trace", "directions"},
    "MRE_raw": {"magnitude", "phase"},
}
PLAIN = {"ADC", "MRE_wave", "MRE_stiffness", "MRE_masked_stiffness", "MRE_confidence", "localizer", "derived", "other"}


def write(folder, **changes):
    arguments = {"exams": EXAMS, "seed": 5} | changes
    write_small_exams(tree=folder / "dicom", truth_series=folder / "truth_series.csv", **arguments)
    return folder


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """The folder, its truth, and all headers by SeriesInstanceUID."""
    folder = write(tmp_path_factory.mktemp("small"))
    headers = {}
    for path in sorted((folder / "dicom").rglob("*")):
        if path.is_file():
            image = pydicom.dcmread(path, stop_before_pixels=True)
            headers.setdefault(image.SeriesInstanceUID, []).append(image)
    return folder, pd.read_csv(folder / "truth_series.csv", keep_default_na=False), headers


def firsts(cohort, kind):
    """A header of each series of a kind, with its row of the truth."""
    _, truth, headers = cohort
    return [(row, headers[row.series_uid][0]) for row in truth[truth["kind"] == kind].itertuples()]


def test_truth_names_every_series_and_part(cohort):
    folder, truth, headers = cohort
    assert list(truth)[:6] == ["study_uid", "series_uid", "image_type", "kind", "variant", "source"]
    assert series_types(image for images in headers.values() for image in images) == true_types(folder)
    assert truth["study_uid"].nunique() == EXAMS
    print(f"{len(headers)} series of {EXAMS} exams")


def test_every_kind_and_variant_turns_up(cohort):
    _, truth, _ = cohort
    found = truth.groupby("kind")["variant"].agg(set).to_dict()
    assert found == VARIANTS | {kind: {""} for kind in PLAIN}
    sources = truth[truth["source"]]
    maps = {"MRE_stiffness", "MRE_masked_stiffness", "MRE_confidence", "MRE_raw"}
    assert set(sources["kind"]) == {"T1w", "T2w", "DWI", *maps}
    assert "fat" not in set(sources["variant"])


def test_spread_over_dialects_fields_languages_and_layouts():
    drawn = [_settings(number, ALL, 1.0) for number in range(30 * len(ALL))]
    assert set(Counter((s.dialect, s.field_t, s.record_style, s.layout) for s in drawn).values()) == {1}


def test_native_t1w_is_before_contrast(cohort):
    _, truth, headers = cohort
    for _, rows in truth.groupby("study_uid"):
        times = {
            kind: [headers[uid][0].AcquisitionTime for uid in part["series_uid"]] for kind, part in rows.groupby("kind")
        }
        assert max(times["T1w"]) < min(times.get("T1w_post", ["24"]))


def test_contrast_is_told_by_agent_or_by_text(cohort):
    told = Counter()
    words = {word for phases in PHASES.values() for spellings in phases.values() for word in spellings}
    for _, image in firsts(cohort, "T1w_post"):
        agent = bool(image.get("ContrastBolusAgent") or image.get("ContrastBolusAgentSequence"))
        assert agent or any(word in image.SeriesDescription for word in words)
        told[agent] += 1
    assert set(told) == {True, False}
    natives = {image.get("ContrastBolusAgent") for _, image in firsts(cohort, "T1w")}
    assert natives == {None, "", "NONE", "None", "No contrast"}


def test_texts_are_in_four_languages_and_readable(cohort):
    _, _, headers = cohort
    texts = {images[0].SeriesDescription for images in headers.values()}
    assert {"ISO_IR 192", "ISO_IR 100"} == {images[0].SpecificCharacterSet for images in headers.values()}
    assert not any("\N{REPLACEMENT CHARACTER}" in text or "Ã" in text for text in texts)
    for word in ("Atemstopp", "fettgesättigt", "apnée", "vetonderdrukt"):
        assert any(word in text for text in texts), word
    assert any(word in text.split() for text in texts for word in NATIVE["german"])
    assert all(len(spellings) >= 2 for steps in BASES.values() for spellings in steps.values())


def test_dixon_parts_apart_and_together(cohort):
    _, truth, _ = cohort
    water = truth[(truth["variant"] == "water") & (truth["kind"] == "T1w")]
    parts = truth.groupby("series_uid").size().loc[water["series_uid"]]
    assert set(parts) == {1, 4}
    dual = truth[(truth["variant"] == "in-phase") & ~truth["series_uid"].isin(water["series_uid"])]
    assert set(truth.groupby("series_uid").size().loc[dual["series_uid"]]) >= {1, 2}
    echoes = truth[truth["variant"].isin(["in-phase", "opposed-phase"])].groupby("variant")["echo_time"].agg(set)
    assert set(map(float, echoes["in-phase"])) == {2.46, 4.76}
    assert set(map(float, echoes["opposed-phase"])) == {1.23, 2.38}


def ge_b(image):
    return image[0x0043, 0x1039].value[0]


def test_traps_of_diffusion(cohort):
    _, _, headers = cohort
    trace = [(row, headers[row.series_uid]) for row, _ in firsts(cohort, "DWI") if row.variant == "trace"]
    combined = {float(i[0x0019, 0x10E0].value) for _, images in trace for i in images if (0x0019, 0x10E0) in i}
    assert combined == {0, 6}
    synthetic = {ge_b(i) for _, i in firsts(cohort, "derived") if "DW_Synthetic" in i.SeriesDescription}
    assert synthetic <= {1500, 1_000_001_500}
    assert synthetic
    philips = [
        [i.DiffusionBValue for i in images]
        for _, images in trace
        if "Philips" in images[0].Manufacturer and "DiffusionBValue" in images[0]
    ]
    assert any(b.count(0) == 2 * b.count(max(b)) for b in philips)  # b = 0 twice
    alone = Counter(row.study_uid for row, images in trace if images[0].Manufacturer == "SIEMENS")
    assert max(alone.values()) == 3  # a series for each b-value
    heights = [
        [i.ImagePositionPatient[2] for i in sorted(images, key=lambda i: i.InstanceNumber)][:2]
        for _, images in trace
        if images[0].Manufacturer == "SIEMENS"
    ]
    assert {a == b for a, b in heights} == {True, False}  # slice by slice, volume by volume


def test_captures_colours_and_annotations(cohort):
    _, truth, headers = cohort
    images = [images[0] for images in headers.values()]
    captures = [image for image in images if image.SOPClassUID.name == "Secondary Capture Image Storage"]
    assert {(i.SamplesPerPixel, i.BitsAllocated) for i in captures} == {(1, 8), (3, 8)}
    assert not any("ImagePositionPatient" in image for image in captures)
    assert any(i.SamplesPerPixel == 3 and i.SOPClassUID.name == "MR Image Storage" for i in images)
    burned = [image.SeriesInstanceUID for image in images if image.get("BurnedInAnnotation") == "YES"]
    assert burned
    assert not truth.set_index("series_uid").loc[burned, "source"].any()


def test_geometry_of_clutter(cohort):
    _, _, headers = cohort
    coronal = [
        image for _, image in firsts(cohort, "other") if image.get("ImageOrientationPatient") == [1, 0, 0, 0, 0, -1]
    ]
    assert any(image.EchoTime > 500 for image in coronal)
    maps = [headers[row.series_uid] for row, _ in firsts(cohort, "MRE_stiffness")]
    gaps = [np.diff(sorted(i.ImagePositionPatient[2] for i in images)) for images in maps if len(images) == 4]
    assert {np.ptp(gap) > 1 for gap in gaps} == {True, False}


def test_philips_enhanced_writes_all_series_enhanced_in_some_exams(cohort):
    _, _, headers = cohort
    images = [i for images in headers.values() for i in images if "Philips" in i.Manufacturer]
    types = {kind for i in images if "PerFrameFunctionalGroupsSequence" in i for kind in frame_types(i)}
    assert {f"DERIVED/PRIMARY/{part}/NONE" for part in ("W", "F", "IP", "OP")} <= types
    assert "ORIGINAL/PRIMARY/DIFFUSION/NONE" in types


def test_same_arguments_same_bytes(tmp_path):
    first, second = (write(tmp_path / name, exams=10) for name in "ab")
    paths = sorted(path.relative_to(first) for path in first.rglob("*") if path.is_file())
    assert paths == sorted(path.relative_to(second) for path in second.rglob("*") if path.is_file())
    assert all((first / path).read_bytes() == (second / path).read_bytes() for path in paths)


def test_without_clutter_an_exam_is_the_usual_one(tmp_path):
    folder = write(tmp_path, exams=len(ALL), clutter=0.0)
    truth = pd.read_csv(folder / "truth_series.csv", keep_default_na=False)
    assert set(truth.groupby("study_uid").size()) <= {8, 9, 10}
    assert set(truth.loc[truth["kind"] == "T2w", "variant"]) == {"TSE fat-sat"}
    assert set(truth.loc[truth["kind"] == "T1w", "variant"]) == {"fat-sat", "water"}
