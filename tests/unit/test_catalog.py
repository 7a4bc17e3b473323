"""Series identified, pre-contrast proved, exams under pseudonyms, shards that stay."""

import stat
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from tiny_dicom import write_enhanced, write_exam, write_series

from liverstiff.catalog import catalog_site, catalog_study
from liverstiff.catalog.choice import choose, says_after, without_post_contrast
from liverstiff.catalog.exam import identify_all
from liverstiff.catalog.features import Features, says
from liverstiff.catalog.identify import identify
from liverstiff.catalog.rules import RULES
from liverstiff.catalog.study import assign_shards
from liverstiff.config import CatalogConfig
from liverstiff.dicom import SourceFile, read_frames, split_stacks
from liverstiff.dicom.scanners import nominal_field, vendor_name
from liverstiff.errors import ConfigError, DataError
from liverstiff.pseudonyms import ensure_key, exam_pseudonym, patient_pseudonym, read_key
from liverstiff.records import read_status

KEY = bytes(range(32))


def frames_of(*paths):
    return [frame for path in paths for frame in read_frames(SourceFile(str(path)))]


def stacks_of(paths):
    return split_stacks(frames_of(*paths))


@pytest.mark.parametrize("vendor", ["Siemens", "GE", "Philips", "UIH", "Canon"])
def test_b_value_by_vendor_tag(tmp_path, vendor):
    (stack,) = stacks_of(write_series(tmp_path, vendor, b_values=(0, 50, 800), slices=2))
    assert stack.b_values == [0, 50, 800]
    assert stack.volume_by_volume()


def test_b_value_in_an_element_of_unknown_type(tmp_path):
    from pydicom import dcmread

    path = write_series(tmp_path, "Philips", b_values=(400,), slices=1)[0]
    data = dcmread(path)
    data[0x2001, 0x1003].VR = "UN"
    data[0x2001, 0x1003]._value = b"\x00\x00\xc8\x43"  # 400.0 as a little-endian float
    data.save_as(path)
    assert frames_of(path)[0].b_value == 400


def test_a_foreign_private_block_is_no_b_value(tmp_path):
    from pydicom import dcmread

    path = write_series(tmp_path, "Siemens", slices=1)[0]
    data = dcmread(path)
    data.private_block(0x0019, "SOMEBODY ELSE", create=True).add_new(0x0C, "IS", 400)
    data.save_as(path)
    assert frames_of(path)[0].b_value is None


def test_enhanced_frames_have_their_own_b_value_and_order(tmp_path):
    frames = frames_of(write_enhanced(tmp_path / "x", (0.0, 400.0, 800.0), slices=3))
    (stack,) = split_stacks(frames)
    assert [frame.b_value for frame in frames[:4]] == [0, 400, 800, 0]
    assert stack.b_values == [0, 400, 800]
    assert [frame.number for frame in stack.volumes[1].frames] == [2, 5, 8]


def test_slice_major_order_is_seen(tmp_path):
    (stack,) = stacks_of(write_series(tmp_path, b_values=(0, 400), slices=3, slice_major=True))
    assert not stack.volume_by_volume()
    assert [[frame.instance for frame in volume.frames] for volume in stack.volumes] == [[1, 3, 5], [2, 4, 6]]


def test_parts_that_differ_in_image_type_are_split(tmp_path):
    paths = write_series(tmp_path / "w", ImageType=["DERIVED", "PRIMARY", "DIXON", "WATER"], slices=2)
    paths += write_series(
        tmp_path / "f", ImageType=["DERIVED", "PRIMARY", "DIXON", "FAT"], slices=2, SOPInstanceUID="1.2.3.9"
    )
    assert len(stacks_of(paths)) == 2


def test_copies_and_missing_slices(tmp_path):
    paths = write_series(tmp_path, slices=5)
    copy = paths[0].with_name("copy")
    copy.write_bytes(paths[0].read_bytes())
    (stack,) = stacks_of([*paths, copy])
    assert (len(stack.frames), stack.fault()) == (5, None)
    (stack,) = stacks_of(paths[:2] + paths[3:])
    assert stack.fault() == ("missing_slice", "1 slices are missing: unevenly spaced, 5.00 to 10.00 mm")


def test_scanner_names():
    assert [nominal_field(t) for t in (1.494, 2.89362, 15000, 0, None)] == [1.5, 3.0, 1.5, None, None]
    names = ["GE MEDICAL SYSTEMS", "SIEMENS", "Siemens Healthineers", "Philips", "CANON_MEC", "United Imaging", "x"]
    assert [vendor_name(name) for name in names] == ["GE", "Siemens", "Siemens", "Philips", "Canon", "UIH", "other"]


PLAIN = Features(
    tokens=frozenset({"ORIGINAL", "PRIMARY"}), text="", mr_modality=True, mr_object=True, capture=False,
    burned_in=False, colour=False, phase=False, unit="", echo="", echo_planar=False, echo_train=1, te=None, tr=None,
    field_t=1.5, b_stated=False, b_max=0, b_count=0, directions=0, axial=True, several_planes=False, slices=30,
    volumes=1, echoes=1, contrast_agent=False, fat_suppressed=False, in_phase=False, opposed_phase=False, three_d=False,
)  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "facts"),
    [
        ("T1w", {"echo": "gradient", "te": 2.0}),
        ("T1w", {"echo": "gradient", "te": 1.2, "text": "t1_vibe_dixon_w"}),
        ("T1w", {"echo": "gradient", "te": 1.2, "text": "t1_vibe_dixon_f"}),
        ("other", {"echo": "gradient", "te": 2.0, "axial": False}),
        ("other", {"echo": "gradient", "te": 1.6, "text": "trufi tra"}),
        ("other", {"echo": "gradient", "te": 2.0, "text": "ax t2 something"}),
        ("T1w", {"echo": "gradient", "te": 2.0, "tokens": frozenset({"OPP_PHASE", "PHASE"})}),
        ("other", {"echo": "gradient", "te": 2.0, "phase": True}),
        ("T2w", {"echo": "spin", "te": 90.0}),
        ("other", {"echo": "spin", "te": 600.0}),
        ("other", {"echo": "spin", "te": 90.0, "text": "3d mrcp"}),
        ("DWI", {"echo": "gradient", "echo_planar": True, "te": 60.0, "b_max": 800, "b_count": 3}),
        ("DWI", {"tokens": frozenset({"TRACEW"}), "b_max": 800, "b_count": 3}),
        ("DWI", {"tokens": frozenset({"TRACEW"}), "b_max": 800, "b_count": 1}),
        ("ADC", {"tokens": frozenset({"DERIVED", "ADC"}), "b_max": 800, "b_count": 2}),
        ("derived", {"tokens": frozenset({"FA"})}),
        ("derived", {"text": "dw_synthetic b1400", "b_max": 1400, "b_count": 1}),
        ("derived", {"tokens": frozenset({"MPR"}), "echo": "gradient", "te": 2.0}),
        ("derived", {"text": "sub pv", "echo": "gradient", "te": 2.0}),
        ("derived", {"colour": True, "text": "stiffness"}),
        ("localizer", {"text": "3-pl loc ssfse", "echo": "spin", "te": 80.0}),
        ("MRE_stiffness", {"text": "elastogram stgry", "slices": 4}),
        ("MRE_masked_stiffness", {"text": "stgrym", "slices": 4}),
        ("MRE_masked_stiffness", {"text": "stiffness_95_masked", "slices": 4}),
        ("MRE_confidence", {"text": "mre_confmap", "slices": 4}),
        ("MRE_stiffness", {"unit": "kpa", "slices": 4}),
        ("MRE_raw", {"text": "mre_noinv", "phase": True}),
        ("MRE_wave", {"text": "mr touch wave images"}),
        ("derived", {"text": "stiffness color"}),
    ],
)
def test_kind_of_a_series(kind, facts):
    rule = identify(replace(PLAIN, **facts), RULES)
    assert rule.kind == kind
    assert 0 < rule.confidence <= 1
    assert rule.reason


def test_words_have_bounds():
    assert says("t1_vibe_art_20s", "art")
    assert not says("start", "art")
    assert not says("t1w", "w")
    assert [says_after(text) for text in ("ax lava +c", "t1 +c pv", "t1 pre", "t1 cor", "vibe_delay_5min")] == [
        True, True, False, False, True,
    ]  # fmt: skip


def t1_series(tmp_path, name, **attributes):
    return write_series(tmp_path / name, SeriesInstanceUID=f"1.2.3.{name}", SeriesNumber=int(name), **attributes)


def kinds(paths):
    frames = frames_of(*paths)
    return [str(series.kind) for series in without_post_contrast(identify_all(frames))]


def test_without_contrast_agent_t1w_is_precontrast(tmp_path):
    assert kinds(t1_series(tmp_path, "1")) == ["T1w"]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ({"AcquisitionTime": "1000"}, {"AcquisitionTime": "1010", "ContrastBolusAgent": "x"}, ["T1w", "T1w_post"]),
        ({"AcquisitionTime": "1020"}, {"AcquisitionTime": "1010", "ContrastBolusAgent": "x"}, ["T1w_post", "T1w_post"]),
        (
            {"AcquisitionTime": "1020", "SeriesDescription": "t1 pre"},
            {"AcquisitionTime": "1010", "SeriesDescription": "t1 art"},
            ["T1w_post", "T1w_post"],
        ),
        ({"AcquisitionTime": ""}, {"AcquisitionTime": "1010", "ContrastBolusAgent": "x"}, ["T1w_post", "T1w_post"]),
        ({"AcquisitionTime": "1000"}, {"AcquisitionTime": "1010", "ContrastBolusAgent": ""}, ["T1w", "T1w"]),
    ],
)
def test_precontrast_must_be_proved(tmp_path, first, second, expected):
    assert kinds(t1_series(tmp_path, "1", **first) + t1_series(tmp_path, "2", **second)) == expected


def test_water_before_in_phase_and_maps_of_one_set(tmp_path):
    gre = {"EchoTime": 2.0}
    plan = [
        {"ImageType": ["DERIVED", "PRIMARY", "DIXON", "IN_PHASE"], **gre},
        {"ImageType": ["DERIVED", "PRIMARY", "DIXON", "WATER"], **gre},
        {"SeriesDescription": "Stiffness", "slices": 4},
        {"SeriesDescription": "ConfMap", "slices": 4},
        {"SeriesDescription": "Stiffness", "heights": (2.0, 12.0, 22.0, 32.0)},
        {"SeriesDescription": "ConfMap", "slices": 5},
    ]
    paths = [path for number, series in enumerate(plan, 1) for path in t1_series(tmp_path, str(number), **series)]
    frames = frames_of(*paths)
    chosen = [series.series for series in choose(identify_all(frames)) if series.chosen]
    assert chosen == ["s002", "s003", "s004"]  # the other maps lie at other slices


def test_an_unfit_source_is_not_taken_and_says_why(tmp_path):
    paths = t1_series(tmp_path, "1", heights=(0, 5, 10, 20, 25, 30))
    paths += t1_series(tmp_path, "2", b_values=(800,))
    series = choose(identify_all(frames_of(*paths)))
    assert [str(one.kind) for one in series] == ["T1w", "DWI"]
    assert not any(one.chosen for one in series)
    assert [str(one.code) for one in series] == ["missing_slice", "one_b_value"]
    assert series[0].why == "not taken: 1 slices are missing: unevenly spaced, 5.00 to 10.00 mm"
    assert series[1].why == "not taken: one b-value gives no diffusion coefficient"


def test_pseudonyms_are_hmac_sha256():
    # printf 'patient|alba|0012' | openssl dgst -sha256 -mac HMAC -macopt hexkey:000102...1f
    assert patient_pseudonym(KEY, "alba", "0012") == "pe3037f35fa3c"
    assert exam_pseudonym(KEY, "alba", "1.2.3") == "e0fc13196a9c2"
    assert patient_pseudonym(KEY, "brook", "0012") != patient_pseudonym(KEY, "alba", "0012")


def test_key_is_made_once_and_private(tmp_path):
    path = tmp_path / "private" / "pseudonym.key"
    with ProcessPoolExecutor(4) as pool:
        keys = set(pool.map(ensure_key, [path] * 8))
    assert keys == {read_key(path)}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [file.name for file in path.parent.iterdir()] == ["pseudonym.key"]
    path.write_bytes(b"short")
    with pytest.raises(ConfigError, match="has 5 bytes, not 32"):
        read_key(path)


def run_site(tree: Path, out: Path, site: str = "alba", workers: int = 1, **more) -> None:
    catalog_site(
        site=site,
        tree=tree,
        key=out.parent / "key" / "pseudonym.key",
        private=out / "private" / "sites" / site,
        series=out / "sites" / f"{site}.csv",
        skipped=out / "sites" / f"{site}.skipped.csv",
        overridden=out / "sites" / f"{site}.overridden.csv",
        cache=out / "private" / "headers" / f"{site}.sqlite",
        workers=workers,
        **{"overrides": [], **more},
    )


def run_study(out: Path, sites=("alba",), size: int = 2, **settings) -> pd.DataFrame:
    catalog_study(
        private_sites=[out / "private" / "sites" / site for site in sites],
        series_sites=[out / "sites" / f"{site}.csv" for site in sites],
        skipped_sites=[out / "sites" / f"{site}.skipped.csv" for site in sites],
        overridden_sites=[out / "sites" / f"{site}.overridden.csv" for site in sites],
        series=out / "series.csv",
        exams=out / "exams.csv",
        skipped=out / "skipped.csv",
        overridden=out / "overridden.csv",
        scans=out / "scans.csv",
        shards=out / "shards.csv",
        shard_tables=out / "private" / "shards",
        linkage=out / "private" / "linkage.csv",
        shard_size=size,
        settings=CatalogConfig(**settings),
    )
    return pd.read_csv(out / "exams.csv", dtype=str, keep_default_na=False)


def test_site_without_exams_is_one_line(tmp_path):
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "note.txt").write_text("no image")
    with pytest.raises(DataError, match="no exam at site 'alba'") as error:
        run_site(tmp_path / "tree", tmp_path / "out")
    assert "\n" not in str(error.value)


def test_an_exam_is_cataloged(tmp_path):
    write_exam(tmp_path / "tree" / "a")
    (tmp_path / "tree" / "junk.dcm").write_bytes(bytes(128) + b"DICM" + bytes(100))
    run_site(tmp_path / "tree", tmp_path / "out")
    (exam,) = run_study(tmp_path / "out").to_dict("records")
    assert [exam[name] for name in ("t1w", "t2w", "dwi", "mre", "status", "shard")] == ["True"] * 4 + [
        "ok",
        "shard-0000",
    ]
    table = pd.read_csv(tmp_path / "out" / "private" / "shards" / "shard-0000.csv")
    counts = table.groupby("kind").path.nunique().to_dict()
    assert counts == {"DWI": 24, "MRE_confidence": 4, "MRE_stiffness": 4, "T1w": 8, "T2w": 8}
    assert sorted(table.b_value.dropna().unique()) == [0, 400, 800]
    series = pd.read_csv(tmp_path / "out" / "series.csv")
    assert series.kind.to_list() == ["localizer", "T2w", "DWI", "MRE_stiffness", "MRE_confidence", "T1w", "T1w_post"]
    assert (tmp_path / "out" / "private" / "shards").stat().st_mode & 0o077 == 0
    assert (tmp_path / "out" / "private" / "sites" / "alba").stat().st_mode & 0o077 == 0
    linkage = pd.read_csv(tmp_path / "out" / "private" / "linkage.csv", dtype=str)
    assert linkage.patient_id.to_list() == ["P1"]


def test_packed_files_and_more_workers_give_the_same_tables(tmp_path):
    import gzip

    write_exam(tmp_path / "tree" / "a")
    for name in ("one", "two"):
        run_site(tmp_path / "tree", tmp_path / name, workers=1 if name == "one" else 2)
        for path in [p for p in (tmp_path / "tree").rglob("*") if p.is_file() and p.suffix != ".gz"]:
            path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
            path.unlink()
    assert (tmp_path / "one/sites/alba.csv").read_bytes() == (tmp_path / "two/sites/alba.csv").read_bytes()


def test_exams_that_cannot_go_on_have_a_reason(tmp_path):
    tree = tmp_path / "tree"
    write_exam(tree / "whole", StudyInstanceUID="1.1")
    for name, study, lost in (("no_t1", "1.2", "6"), ("no_mre", "1.3", "4")):
        write_exam(tree / name, StudyInstanceUID=study)
        for path in (tree / name / lost).iterdir():
            path.unlink()
    write_exam(tree / "mixed", StudyInstanceUID="1.4", PatientID="P4")
    write_series(tree / "mixed" / "other", SeriesInstanceUID="1.4.9", StudyInstanceUID="1.4", PatientID="P2")
    run_site(tree, tmp_path / "out")
    exams = run_study(tmp_path / "out")
    assert sorted(exams.reason) == ["", "conflicting_identity", "missing_mre", "missing_sequence"]
    rows = [row for path in (tmp_path / "out/private/shards").glob("*.status.csv") for row in read_status(path)]
    assert {row.exam: row.reason for row in rows} == dict(zip(exams.exam, exams.reason, strict=True))
    assert {row.stage for row in rows} == {"catalog"}
    files = [pd.read_csv(path) for path in (tmp_path / "out/private/shards").glob("shard-????.csv")]
    assert {exam for table in files for exam in table.exam} == set(exams.exam[exams.status == "ok"])
    assert (run_study(tmp_path / "out", require_mre=False).reason == "missing_mre").sum() == 0


def test_exams_keep_their_shard_when_others_are_added(tmp_path):
    tree, out = tmp_path / "tree", tmp_path / "out"
    for number in range(3):
        write_exam(tree / f"{number}", StudyInstanceUID=f"1.{number}", PatientID=f"P{number}")
    run_site(tree, out)
    before = run_study(out).set_index("exam").shard.to_dict()
    assert sorted(before.values()) == ["shard-0000", "shard-0000", "shard-0001"]
    write_exam(tree / "3", StudyInstanceUID="1.3", PatientID="P3")
    run_site(tree, out)
    after = run_study(out).set_index("exam").shard.to_dict()
    assert {exam: after[exam] for exam in before} == before
    assert set(after.values()) - set(before.values()) == {"shard-0002"}


def test_shards_are_full_but_the_last():
    assert assign_shards(["a", "b", "c"], {}, 2) == {"a": "shard-0000", "b": "shard-0000", "c": "shard-0001"}
    assert assign_shards(["a", "d"], {"a": "shard-0007", "gone": "shard-0009"}, 2) == {
        "a": "shard-0007",
        "d": "shard-0010",
    }
