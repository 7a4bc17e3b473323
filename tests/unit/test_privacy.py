"""Identifiers planted in every text field of files of every dialect, clutter included: none comes out."""

import nibabel as nib
import pandas as pd
import pydicom
import pytest
from made_cohort import AST, read
from planting import MARK, plant, traces
from test_catalog import run_site, run_study

from liverstiff.config import ConvertConfig
from liverstiff.convert import convert_shard
from liverstiff.errors import DataError
from liverstiff.records import read_status
from liverstiff.simulate import write_small_exams


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """16 small exams of all dialects under a folder with a name, cataloged and converted."""
    folder = tmp_path_factory.mktemp("privacy")
    tree = folder / f"{MARK} PERSON" / "export"
    write_small_exams(exams=16, seed=5, tree=tree, truth_series=folder / "truth.csv")
    tokens = plant(tree)
    out = folder / "out"
    run_site(tree, out, workers=2)
    run_study(out, require_mre=False, required=())
    shards = sorted((out / "private/shards").glob("shard-????.csv"))
    for shard in shards:
        convert_shard(
            shard=shard,
            status=shard.with_suffix(".status.csv"),
            folder=out / "convert" / shard.stem,
            settings=ConvertConfig(),
            required=(),
        )
    return tree, out, tokens


def test_every_field_is_planted(planted):
    tree, *_ = planted
    path = next(path for path in sorted(tree.rglob("*")) if path.is_file())
    data = pydicom.dcmread(path)
    marked = [element.keyword for element in data.iterall() if MARK in str(element.value)]
    assert len(marked) > 35
    assert {"PatientName", "InstitutionName", "AccessionNumber", "DeviceSerialNumber", "ImageComments"} <= set(marked)


def test_exams_are_still_known(planted):
    _, out, _ = planted
    exams = pd.read_csv(out / "exams.csv")
    assert (exams.status == "ok").sum() >= 14
    rows = [row for folder in (out / "convert").iterdir() for row in read_status(folder)]
    assert sum(row.ok for row in rows) >= 14
    assert len(list((out / "convert").rglob("*.nii.gz"))) >= 35


def test_nothing_is_found_outside_the_private_folder(planted, capsys):
    _, out, tokens = planted
    searched, places = traces(tokens, [out], without=[out / "private"])
    with capsys.disabled():
        print(f" {len(tokens)} identifiers, {searched} files searched, {len(places)} found", end="")
    assert len(tokens) > 300
    assert searched > 100
    assert places == []
    _, inside = traces(tokens, [out / "private"])
    assert inside  # the search finds what is there


def test_texts_of_image_headers_are_blank(planted):
    _, out, _ = planted
    for path in (out / "convert").rglob("*.nii.gz"):
        header = nib.load(path).header
        for field in ("descrip", "aux_file", "intent_name", "db_name"):
            assert not bytes(header[field]).strip(b"\0"), (path, field)
        assert not header.extensions


SEX = {"sex": {"column": "NAME", "codes": {"F": "female", "M": "male"}}}
LONG = {"long": {"test": "T", "value": "V", "unit": "U"}}
TEST = {"ast": {"tests": ["AST"]}}
MANY = "".join(f"{row},2023-01-01,40\n" for row in range(9))
CODED = "".join(f"{row},2023-01-01,F\n" for row in range(9))
UNITS = "".join(f"{row},2023-01-01,AST,40,U/L\n" for row in range(9))


@pytest.mark.parametrize(
    "name", ["MUELLER^HANS", "Mueller Hans", "Mueller", "Eva Li", "Hans, born 1950-03-04", "47110815"]
)
@pytest.mark.parametrize(
    ("text", "given"),
    [
        pytest.param('4711,"{}",1950-03-04,40\n4712,"Meier, Eva",1951-01-01,41\n', {}, id="no header"),
        pytest.param('"MRN,DATE,AST\n1,2023-01-01,{}\n', {}, id="a quote in the header that is not closed"),
        pytest.param('MRN,DATE,"{}"\n1,2023-01-01,40\n', {"patient": "X", "date": "Y"}, id="a name as a column"),
        pytest.param(MANY.join(["MRN,DATE,AST\n", '10,2023-01-01,"{}x"\n']), {}, id="a name among numbers"),
        pytest.param('MRN,DATE,AST\n1,2023-01-01,"{}x"\n', {}, id="names for numbers"),
        pytest.param('MRN,DATE,AST\n1,"{}",40\n', {}, id="names for dates"),
        pytest.param(CODED.join(["MRN,DATE,NAME\n", '10,2023-01-01,"{}"\n']), {"columns": SEX}, id="among codes"),
        pytest.param('MRN,DATE,NAME\n1,2023-01-01,"{}"\n', {"columns": SEX}, id="names for codes"),
        pytest.param(
            UNITS.join(["MRN,DATE,T,V,U\n", '10,2023-01-01,AST,40,"{}"\n']), {"columns": TEST, **LONG}, id="among units"
        ),
        pytest.param('MRN,DATE,T,V,U\n1,2023-01-01,AST,40,"{}"\n', {"columns": TEST, **LONG}, id="names for units"),
    ],
)
def test_no_message_shows_a_person(tmp_path, capsys, text, given, name):
    with pytest.raises(DataError) as fault:
        read(tmp_path, text.replace("{}", name), **{"columns": AST, **given})
    said = str(fault.value) + "".join(capsys.readouterr())
    assert not [part for part in (*name.replace("^", " ").replace(",", "").split(), "Meier", "4711") if part in said]
