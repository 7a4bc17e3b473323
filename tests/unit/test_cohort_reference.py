"""The reference: read from the elastogram, reported in the record, or one of the two; and sites without images."""

import numpy as np
import pandas as pd
import pytest
import yaml
from made_cohort import KEY, RECORD, Study, config, of

from liverstiff.catalog import catalog_site, catalog_study
from liverstiff.check import load_config
from liverstiff.cohort import build_cohort
from liverstiff.config import CatalogConfig, CohortConfig, SiteConfig, TargetConfig
from liverstiff.errors import ConfigError, DataError
from liverstiff.pseudonyms import ensure_key

REPORTED = """MRN,DATE,AGE,SEX,DM,AST,ALT,PLT,PDFF,E,IQR
A1,2023-06-02,50,F,Y,40,25,200,<5,2.4,10
A1,2024-02-03,50,F,,40,25,200,,2.9,10
A2,2023-06-01,60,M,N,40,25,200,12,4.4,50
A4,2023-06-01,60,M,N,40,25,200,12,6.0,
"""


def sites(unit="kPa", **given):
    record = config(reported={"column": "E", "unit": unit}, **given)
    return {"alba": SiteConfig(role="development", dicom="x", record=record)}


@pytest.fixture
def study(tmp_path):
    return Study(tmp_path)


def build(study, text, source, unit="kPa", excluded=(), read=None, **given):
    values = {"e1": 2.1, "e2": 3.2, "e3": 4.3, "e5": 5.4} if read is None else read
    folders = [] if source == "reported" else [study.elastography(values, excluded)]
    return study.build(folders, folders, [text], sites(unit, **given), reference=source)


def test_reported_on_the_day_or_a_day_apart(study):
    found = build(study, REPORTED, "reported")
    cohort = found["cohort"].set_index("exam")
    assert cohort.reference.to_dict() == {"e1": 2.4, "e3": 4.4, "e5": 6.0}  # of e2 two days apart
    assert set(cohort.reference_source) == {"reported"}
    rows = found["exclusions"].set_index("exam")
    assert rows.reason.to_dict() == {"e2": "no_reference", "e4": "missing_sequence"}
    assert len(found["agreements"]) == 0


def test_the_elastogram_before_the_reported_value(study):
    read = {"e1": 2.1, "e2": 3.2, "e5": 5.4}
    found = build(study, REPORTED, "elastogram_else_reported", excluded={"e3": "no_confident_pixel"}, read=read)
    cohort = found["cohort"].set_index("exam")
    assert cohort.reference.to_dict() == {"e1": 2.1, "e2": 3.2, "e3": 4.4, "e5": 5.4}
    assert cohort.reference_source.to_dict() == {
        **dict.fromkeys(("e1", "e2", "e5"), "elastogram"),
        "e3": "reported",
    }
    assert found["agreements"].to_numpy().tolist() == [["e1", 2.1, 2.4], ["e5", 5.4, 6.0]]


def test_agreement_is_written_where_the_elastogram_alone_counts(study):
    found = build(study, REPORTED, "elastogram")
    assert found["cohort"].reference.tolist() == [2.1, 3.2, 4.3, 5.4]
    assert found["agreements"].exam.tolist() == ["e1", "e3", "e5"]


def test_rules_of_the_reported_row(study):
    found = build(study, REPORTED, "reported", where={"IQR": {"below": 30, "missing": True}})
    row = found["exclusions"].set_index("exam").loc["e3"]
    assert row[["reason", "detail"]].tolist() == ["not_eligible", "IQR: expected below 30"]
    assert found["cohort"].exam.tolist() == ["e1", "e5"]


def test_pascal_is_converted(study):
    text = REPORTED
    for value in ("2.4", "2.9", "4.4", "6.0"):
        text = text.replace(f",{value},", f",{float(value) * 1000:.0f},")
    found = build(study, text, "reported", unit="Pa")
    assert found["cohort"].set_index("exam").reference["e1"] == pytest.approx(2.4)


def test_one_value_in_pascal_is_listed_and_left_out(study):
    found = build(study, REPORTED.replace(",2.4,", ",2400,"), "reported")
    assert found["exclusions"].set_index("exam").reason["e1"] == "no_reference"
    row = found["conflicts"].set_index("what").loc["implausible_reference"]
    assert row[["exam", "detail"]].tolist() == ["e1", "outside 0.5 to 75 kPa, left out"]


def test_a_column_in_pascal_is_an_error(study):
    rows = "".join(f"A1,2022-01-{day:02d},50,F,Y,40,25,200,5,2{day}00,\n" for day in range(1, 13))
    with pytest.raises(
        DataError, match=r"12 of 16 reported values outside 0\.5 to 75 kPa; correct record.reported.unit"
    ):
        build(study, REPORTED + rows, "reported")


def test_contradiction_with_the_elastogram(study):
    found = build(study, REPORTED.replace(",2.4,", ",6.3,"), "elastogram")
    row = found["conflicts"].set_index("what").loc["reference_contradiction"]
    assert row[["exam", "detail"]].tolist() == ["e1", "reported is 3 times the elastogram"]
    wide = {"reference_range": (0.001, 100_000)}
    folder = study.folder / "elastography"
    text = REPORTED.replace(",2.4,", ",2100,")
    found = study.build([folder], [folder], [text], sites(), reference="elastogram_else_reported", **wide)
    row = found["conflicts"].set_index("what").loc["reference_contradiction"]
    assert row.detail == "reported is 1e+03 times the elastogram, another unit; it is not used"
    text = text.replace(",4.4,", ",4400,").replace(",6.0,", ",6000,")
    with pytest.raises(DataError, match=r"3 of 3 reported values are about 1\.02e\+03 times"):
        study.build([folder], [folder], [text], sites(), reference="elastogram_else_reported", **wide)


def test_two_reported_values_on_a_day(study):
    found = build(study, REPORTED + "A2,2023-06-01,60,M,N,40,25,200,12,5.4,50\n", "reported")
    assert found["exclusions"].set_index("exam").reason["e3"] == "no_reference"
    rows = found["conflicts"]
    assert "reported value: that day does not count" in rows.detail[rows.exam == "e3"].tolist()


def catalogued(folder, text, **given):
    """The catalog of one site without images."""
    record = config(reported={"column": "E", "unit": "kPa"}, **given)
    (folder / "record.csv").write_text(text)
    ensure_key(folder / "private" / "key").hex()
    (folder / "private" / "key").write_bytes(KEY)
    out = folder / "catalog"
    names = ("series", "skipped", "overridden")
    site_tables = {name: out / f"alba.{name}.csv" for name in names}
    catalog_site(
        site="alba",
        tree=[folder / "record.csv"],
        key=folder / "private" / "key",
        private=out / "private",
        cache=out / "headers.sqlite",
        overrides=[],
        record=record,
        **site_tables,
    )
    catalog_study(
        private_sites=[out / "private"],
        **{f"{name}_sites": [path] for name, path in site_tables.items()},
        **{name: out / f"{name}.csv" for name in (*names, "exams", "scans", "shards")},
        shard_tables=out / "private" / "shards",
        linkage=out / "private" / "linkage.csv",
        shard_size=2,
        settings=CatalogConfig(require_mre=False),
    )
    return record, out


def run(folder, record, out, **settings):
    names = ("cohort", "exclusions", "flow", "missingness", "scanners", "conflicts", "agreements", "aliases")
    build_cohort(
        exams=out / "exams.csv",
        linkage=out / "private" / "linkage.csv",
        key=folder / "private" / "key",
        statuses=[],
        stiffness=[],
        records=[folder / "record.csv"],
        sites={"alba": SiteConfig(role="development", record=record)},
        temporal_cut="2024-01-01",
        settings=CohortConfig(reference="reported", **settings),
        target=TargetConfig(),
        **{name: folder / "out" / f"{name}.csv" for name in names},
    )
    return {name: pd.read_csv(folder / "out" / f"{name}.csv", keep_default_na=name == "cohort") for name in names}


def test_a_site_without_images(tmp_path):
    record, out = catalogued(tmp_path, REPORTED, where={"IQR": {"below": 30, "missing": True}})
    exams = pd.read_csv(out / "exams.csv")
    assert len(exams) == 4
    assert set(exams.status) == {"ok"}
    assert not exams[["t1w", "t2w", "dwi", "mre"]].to_numpy().any()
    assert exams.shard.isna().all()
    assert len(pd.read_csv(out / "shards.csv")) == len(pd.read_csv(out / "scans.csv")) == 0
    assert list((out / "private" / "shards").iterdir()) == []
    public = "".join(path.read_text() for path in out.glob("*.csv"))
    assert "A1" not in public
    assert "2023" not in public
    found = run(tmp_path, record, out)
    cohort = found["cohort"].sort_values("reference")
    assert cohort.reference.tolist() == [2.4, 2.9, 6.0]
    assert cohort.patient.tolist() == [of("A1"), of("A1"), of("A4")]
    assert cohort.day.tolist() == [-213, 33, -214]
    assert cohort.shard.isna().all()
    assert found["exclusions"][["reason", "detail"]].to_numpy().tolist() == [["not_eligible", "IQR: expected below 30"]]
    assert found["flow"].exams.tolist() == [4, 1, 3]
    assert len(found["scanners"]) == 0


BAD = {
    "blank": "A1,2023-06-03,50,F,Y,40,25,200,5,,10\n",
    "a rule not passed": "A1,2023-06-03,50,F,Y,40,25,200,5,3.3,80\n",
    "implausible": "A1,2023-06-03,50,F,Y,40,25,200,5,9000,10\n",
    "two values": "A1,2023-06-03,50,F,Y,40,25,200,5,6.6,10\nA1,2023-06-03,50,F,Y,40,25,200,5,7.7,10\n",
}


@pytest.mark.parametrize("bad", BAD)
def test_no_row_lends_its_value_to_another_day(tmp_path, bad):
    header, good = REPORTED.splitlines()[:2]
    record, out = catalogued(tmp_path, f"{header}\n{good}\n{BAD[bad]}", where={"IQR": {"below": 30}})
    found = run(tmp_path, record, out)
    assert found["cohort"][["day", "reference"]].to_numpy().tolist() == [[-213, 2.4]]
    assert found["exclusions"].reason.tolist() == ["not_eligible" if bad == "a rule not passed" else "no_reference"]
    listed = set(found["conflicts"].what[found["conflicts"].exam == found["exclusions"].exam[0]])
    assert "reported_elsewhere" in listed
    assert ("implausible_reference" in listed, "two_values" in listed) == (bad == "implausible", bad == "two values")


def test_an_undated_row_with_a_value_is_counted(tmp_path):
    header, good = REPORTED.splitlines()[:2]
    undated = "A2,,50,F,Y,40,25,200,5,3.0,10\nA2,,50,F,Y,40,25,200,5,3.1,10\nA3,,50,F,Y,40,25,200,5,,10\n"
    record, out = catalogued(tmp_path, f"{header}\n{good}\n{undated}")
    found = run(tmp_path, record, out)
    assert found["flow"].to_numpy().tolist() == [
        ["alba", "catalogued", 2],
        ["alba", "no_study_date", 1],
        ["alba", "analysable", 1],
    ]
    assert found["cohort"].patient.tolist() == [of("A1")]


def test_two_exams_a_day_apart_do_not_share_a_report(study):
    study.linkage.loc[1, "study_date"] = "20230602"
    found = build(study, REPORTED.replace("A1,2024", "A9,2024"), "reported")
    cohort = found["cohort"].set_index("exam")
    assert cohort.reference["e2"] == 2.4
    assert found["exclusions"].set_index("exam").reason["e1"] == "no_reference"
    assert "reported_elsewhere" in set(found["conflicts"].what[found["conflicts"].exam == "e1"])


def test_the_day_of_the_exam_decides(study):
    rows = "A2,2023-06-02,60,M,N,40,25,200,12,9.9,10\nA4,2023-06-02,60,M,N,40,25,200,12,7.7,\n"
    text = REPORTED.replace(",6.0,", ",,") + rows
    found = build(study, text, "reported", where={"IQR": {"below": 30, "missing": True}})
    assert found["exclusions"].set_index("exam").reason["e3"] == "not_eligible"  # its own day's does not pass
    assert found["cohort"].set_index("exam").reference["e5"] == 7.7  # its own day has none


@pytest.mark.parametrize("times", [3, 1 / 3])
def test_another_quantity_is_not_mixed_in(study, times):
    read = {"e1": 2.1, "e2": 3.2, "e3": 4.3, "e5": 5.4}
    rows = [("A1", "2023-06-01", 2.1), ("A1", "2024-02-01", 3.2), ("A2", "2023-06-01", 4.3), ("A4", "2023-06-01", 5.4)]
    text = REPORTED.splitlines()[0] + "\n"
    text += "".join(f"{mrn},{day},50,F,Y,40,25,200,5,{value * times:.2f},10\n" for mrn, day, value in rows)
    with pytest.raises(DataError, match=r"mostly about (3|0\.33) times those of the elastogram \(4 exams"):
        build(study, text, "elastogram_else_reported", read=read)
    folder = study.folder / "elastography"
    found = study.build([folder], [folder], [text], sites(), reference="elastogram")
    assert (found["conflicts"].what == "reference_contradiction").sum() == 4


def test_a_survey_with_one_assumed_day(tmp_path):
    text = "\n".join(",".join(line.split(",")[:1] + line.split(",")[2:]) for line in REPORTED.splitlines()) + "\n"
    text = text.replace("A1,50,F,,40,25,200,,2.9,10\n", "")
    record, out = catalogued(tmp_path, text, date=None, assumed_date="2018-01-01")
    cohort = run(tmp_path, record, out)["cohort"]
    assert set(cohort.day) == {-2191}
    assert sorted(cohort.reference) == [2.4, 4.4, 6.0]
    assert cohort.ast.tolist() == [40, 40, 40]


def change(root, **sections):
    content = yaml.safe_load((root / "config.yaml").read_text())
    for name, values in sections.items():
        content[name] = content.get(name, {}) | values
    return content


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"cohort": {"reference": "reported"}}, "data.sites.alba.record has none"),
        ({"cohort": {"reference": "elastogram_else_reported"}}, "set catalog.require_mre to false"),
        ({"target": {"unit": "%", "name": "fat"}}, "an elastogram gives kPa"),
    ],
)
def test_a_reference_that_cannot_be_had(root, sections, message):
    with pytest.raises(ConfigError, match=message):
        load_config(change(root, **sections))


def test_a_site_with_neither_images_nor_a_reported_value(root):
    content = change(root)
    del content["data"]["sites"]["alba"]["dicom"]
    with pytest.raises(ConfigError, match=r"data\.sites\.alba: neither dicom nor nifti"):
        load_config(content)
    content["data"]["sites"]["alba"]["record"]["reported"] = {"column": "E"}
    with pytest.raises(ConfigError, match=r"'elastogram', but data\.sites\.alba has no images"):
        load_config(content)


def test_the_most_that_a_device_shows_is_a_value(study):
    found = build(study, REPORTED.replace(",6.0,", ",>75,"), "reported")
    assert found["cohort"].set_index("exam").reference["e5"] == pytest.approx(75)


def test_a_biopsy_without_any_variable(study):
    text = "MRN,DATE,BX,E\nA1,2023-06-01,2023-01-01,2.4\nA2,2023-06-01,2023-01-01,4.4\nA4,2023-06-01,,6.0\n"
    record = config({}, biopsy="BX", reported={"column": "E"})
    site = {"alba": SiteConfig(role="development", dicom="x", record=record)}
    found = study.build([], [], [text], site, reference="reported")
    assert found["cohort"].reference.tolist() == [2.4, 4.4, 6.0]


def test_no_reported_value_is_not_a_number(study):
    found = build(study, REPORTED.replace(",6.0,", ",,"), "reported")
    assert "e5" not in set(found["cohort"].exam)
    assert not np.isnan(found["cohort"].reference).any()
    assert RECORD.startswith("MRN")
