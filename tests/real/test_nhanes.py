"""NHANES 2017-2018 through the stages catalog and cohort, as docs/nhanes.yaml describes it."""

from pathlib import Path

import pandas as pd
import pytest
import yaml
from public_data import DATA, needs

from liverstiff.catalog import catalog_site, catalog_study
from liverstiff.check import load_config
from liverstiff.cohort import build_cohort, read_record
from liverstiff.errors import DataError

pytestmark = needs("nhanes_2017_2018")
FOLDER = DATA / "nhanes_2017_2018"


@pytest.fixture(scope="module")
def config(root: Path):
    return load_config(yaml.safe_load((root / "docs" / "nhanes.yaml").read_text()))


def files(record):
    """The survey's files, in the order of the tables."""
    return [FOLDER / Path(table.table).name for table in record.sources]


@pytest.fixture(scope="module")
def found(config, tmp_path_factory):
    """The tables of both stages, by name."""
    folder = tmp_path_factory.mktemp("nhanes")
    record = config.data.sites["nhanes"].record
    public = {name: folder / f"nhanes.{name}.csv" for name in ("series", "skipped", "overridden")}
    catalog_site(
        site="nhanes",
        tree=files(record),
        key=folder / "private" / "key",
        private=folder / "site",
        cache=folder / "headers.sqlite",
        overrides=[],
        record=record,
        **public,
    )
    catalog_study(
        private_sites=[folder / "site"],
        **{f"{name}_sites": [path] for name, path in public.items()},
        **{name: folder / f"{name}.csv" for name in (*public, "exams", "scans", "shards")},
        shard_tables=folder / "shards",
        linkage=folder / "site" / "linkage.csv",
        shard_size=32,
        settings=config.catalog,
    )
    names = ("cohort", "exclusions", "flow", "missingness", "scanners", "conflicts", "agreements", "aliases")
    build_cohort(
        exams=folder / "exams.csv",
        linkage=folder / "site" / "linkage.csv",
        key=folder / "private" / "key",
        statuses=[],
        stiffness=[],
        records=files(record),
        sites=config.data.sites,
        temporal_cut=config.data.temporal_cut,
        settings=config.cohort,
        target=config.target,
        **{name: folder / f"{name}.csv" for name in names},
    )
    return {name: pd.read_csv(folder / f"{name}.csv") for name in names}


def test_the_flow_has_the_published_counts(found):
    flow = found["flow"].set_index("step").exams
    why = found["exclusions"]
    young = (why.detail == "age: expected at least 20").sum()
    invalid = (why.reason == "not_eligible").sum() - young + (why.reason == "no_reference").sum()
    assert flow["catalogued"] == 6401
    assert flow["catalogued"] - young == 5265  # adults
    assert flow["catalogued"] - young - invalid == 4509  # with a valid measurement
    assert flow["analysable"] == 4254  # with ALT and AST
    assert (why.reason == "missing_value").sum() == 4509 - 4254


def test_exams_at_the_thresholds(found):
    stiffness = found["cohort"].reference
    assert [(stiffness >= limit).sum() for limit in (8.0, 8.6, 10.0)] == [444, 363, 247]
    assert set(found["cohort"].reference_source) == {"reported"}


def test_variables(found):
    cohort = found["cohort"]
    assert cohort[["age", "sex", "ast", "alt"]].notna().all().all()
    assert cohort[["platelets", "fib4", "apri", "nfs"]].isna().all().all()
    assert cohort.age.between(20, 80).all()
    computed = cohort.weight / (cohort.height / 100) ** 2
    assert (computed - cohort.bmi).abs().max() < 0.1
    assert cohort.patient.nunique() == len(cohort)
    assert len(found["conflicts"]) == 0


def test_what_the_same_device_measures_is_refused(config):
    record = config.data.sites["nhanes"].record
    lux, *others = record.tables
    for column, name in (("LUXCAPM", "pdff"), ("LUXSIQR", "bmi"), ("LUXSMED", "alt")):
        given = lux.model_dump() | {"columns": {name: {"column": column, "unit": "%"}}}
        wrong = type(record)(**(record.model_dump() | {"tables": [given, *(table.model_dump() for table in others)]}))
        with pytest.raises(DataError, match=f"'{column}' for '{name}' looks like elastography"):
            read_record(files(record), wrong, site="nhanes", key=bytes(32))


def test_a_zero_of_a_sas_file_is_zero(config):
    """Floats of SAS have a zero that pandas reads as 5.4e-79."""
    table = {"table": "BIOPRO_J.XPT", "columns": {"diabetes": {"column": "LBDSATLC", "codes": {0: 0, 1: 1}}}}
    record = type(config.data.sites["nhanes"].record)(patient="SEQN", assumed_date="2018-01-01", tables=[table])
    values = read_record([FOLDER / "BIOPRO_J.XPT"], record, site="nhanes", key=bytes(32)).values.value
    raw = pd.read_sas(FOLDER / "BIOPRO_J.XPT").LBDSATLC
    assert (values == 0).sum() == (raw < 0.5).sum() > 5000
    without = record.model_copy(update={"tables": (record.tables[0].model_copy(update={"missing": ("0",)}),)})
    left = read_record([FOLDER / "BIOPRO_J.XPT"], without, site="nhanes", key=bytes(32)).values.value
    assert len(left) == (raw > 0.5).sum()
