"""Bad input ends in one line that says what, where, what was expected and what to do, before any work starts."""

import pytest
import yaml


def refused(checkout) -> list[str]:
    """Lines printed by a run that must fail before any job."""
    run = checkout.snakemake()
    assert run.returncode != 0
    assert "Traceback" not in run.stdout + run.stderr
    assert not (checkout.folder / "results").exists()
    return [line for line in run.stderr.splitlines() if not line.startswith("Using workflow specific profile")]


def give_own_data(checkout, dicom: bool = True, columns: str = "MRN,LAB_DATE,AST") -> None:
    """Point the first site at a folder and a table of its own."""
    folder = checkout.folder / "own"
    folder.mkdir()
    if dicom:
        (folder / "image").write_bytes(bytes(128) + b"DICM")
    else:
        (folder / "notes.txt").write_text("no image here")
    (checkout.folder / "own.csv").write_text(columns + "\n")
    config = yaml.safe_load(checkout.read("config.yaml"))
    record = {"table": "own.csv", "patient": "MRN", "date": "LAB_DATE", "columns": {"ast": {"column": "AST"}}}
    config["data"]["sites"]["alba"].update({"dicom": "own", "record": record})
    (checkout.folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))


def test_unknown_key(checkout):
    checkout.edit_config(register={"spacing": 3})
    (line,) = refused(checkout)
    assert line.startswith("config.yaml: register.spacing: unknown key; expected one of spacing_mm, ")


def test_all_mistakes_are_reported_together(checkout):
    checkout.edit_config(split={"folds": 1}, train={"epochs": "many"})
    lines = refused(checkout)
    assert [line.split(": ")[1] for line in lines] == ["split.folds", "train.epochs"]


def test_missing_folder(checkout):
    give_own_data(checkout)
    config = yaml.safe_load(checkout.read("config.yaml"))
    config["data"]["sites"]["alba"]["dicom"] = "nowhere"
    (checkout.folder / "config.yaml").write_text(yaml.safe_dump(config))
    (line,) = refused(checkout)
    assert line.startswith("data.sites.alba.dicom: no folder nowhere; expected the site's DICOM tree; ")


def test_site_without_exams(checkout):
    give_own_data(checkout, dicom=False)
    (line,) = refused(checkout)
    assert line.startswith("data.sites.alba.dicom: no exam in own; expected at least one DICOM file; ")


def test_record_without_the_patient_column(checkout):
    give_own_data(checkout, columns="ID,LAB_DATE,AST")
    (line,) = refused(checkout)
    assert line == (
        "data.sites.alba.record.patient: no column 'MRN' in own.csv; "
        "its columns are ID, LAB_DATE, AST; correct the name"
    )


def test_record_missing(checkout):
    give_own_data(checkout)
    (checkout.folder / "own.csv").unlink()
    (line,) = refused(checkout)
    assert line.startswith("data.sites.alba.record.table: no file own.csv; ")


@pytest.mark.parametrize("site", ["Alba", "a b", "1st"])
def test_site_names_fit_into_paths(checkout, site):
    config = yaml.safe_load(checkout.read("config.yaml"))
    config["data"]["sites"][site] = config["data"]["sites"]["alba"]
    (checkout.folder / "config.yaml").write_text(yaml.safe_dump(config))
    assert any(f"data.sites.{site}" in line for line in refused(checkout))


def test_mistakes_in_the_overrides(checkout):
    (checkout.folder / "overrides.csv").write_text("exam,kind,take\ne1,T1,\n,T2w,\n")
    checkout.edit_config(catalog={"overrides": "overrides.csv"})
    assert [line.split(": ", 2)[2].split(";")[0] for line in refused(checkout)] == [
        "row 2: kind 'T1'",
        "row 3: it selects every series",
    ]


def test_a_site_has_dicom_or_nifti(checkout):
    config = yaml.safe_load(checkout.read("config.yaml"))
    config["data"]["sites"]["alba"]["nifti"] = "bids"
    (checkout.folder / "config.yaml").write_text(yaml.safe_dump(config))
    (line,) = refused(checkout)
    assert line == "config.yaml: data.sites.alba: give either dicom or nifti, the one that holds the site's images"


def test_a_bids_folder_without_images(checkout):
    config = yaml.safe_load(checkout.read("config.yaml"))
    site = config["data"]["sites"]["alba"]
    del site["dicom"]
    site["nifti"] = "bids"
    (checkout.folder / "bids").mkdir()
    (checkout.folder / "config.yaml").write_text(yaml.safe_dump(config))
    (line,) = refused(checkout)
    assert line.startswith("data.sites.alba.nifti: no image with a BIDS name in bids; ")


def test_good_own_data_is_accepted(checkout):
    give_own_data(checkout)
    run = checkout.snakemake("--dry-run")
    assert run.returncode == 0, run.stderr
