"""The public DICOM sets in one tree, as a site: what is taken as a source and what is not."""

from pathlib import Path

import pandas as pd
import pytest
from public_data import DATA, needs

from liverstiff.catalog import catalog_site

pytestmark = needs("checks")

SETS = [
    "canon_dwi_classic",
    "canon_dwi_enhanced",
    "ge_dwi",
    "ge_epi",
    "mre_brain_raw",
    "philips_dwi_classic",
    "philips_epi",
    "siemens_epi",
    "siemens_via_agfa_pacs",
    "siemens_xa30_dwi",
    "uih_dwi",
    "pydicom_mr_codecs",
]


@pytest.fixture(scope="module")
def cataloged(tmp_path_factory) -> pd.DataFrame:
    """One row per file and frame, with the series' kind and reason."""
    folder = tmp_path_factory.mktemp("real")
    tree = folder / "tree"
    tree.mkdir()
    for name in SETS:
        (tree / name).mkdir()
        for path in (DATA / name).rglob("*"):
            if path.is_file():
                (tree / name / str(path.relative_to(DATA / name)).replace("/", "+")).symlink_to(path)
    catalog_site(
        site="real",
        tree=tree,
        key=folder / "key" / "pseudonym.key",
        private=folder / "private",
        series=folder / "series.csv",
        skipped=folder / "skipped.csv",
        overridden=folder / "overridden.csv",
        cache=folder / "cache" / "real.sqlite",
        overrides=[],
    )
    files = pd.read_csv(folder / "private" / "files.csv")
    series = pd.read_csv(folder / "series.csv")
    files["folder"] = [str(Path(path).relative_to(tree)) for path in files.path]
    return files.merge(series[["exam", "series", "reason", "why", "volumes", "slices"]], on=["exam", "series"])


def of(table: pd.DataFrame, start: str) -> pd.DataFrame:
    rows = table[table.folder.str.startswith(start)]
    assert len(rows)
    return rows


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        ("siemens_xa30_dwi/In+11", "ADC"),
        ("siemens_xa30_dwi/In+12", "derived"),
        ("siemens_xa30_dwi/In+13", "derived"),
        ("siemens_xa30_dwi/In+8", "other"),
        ("siemens_xa30_dwi/In+9", "other"),
        ("mre_brain_raw", "MRE_raw"),
        ("pydicom_mr_codecs/MR-SIEMENS", "derived"),
        ("ge_epi", "other"),
        ("siemens_epi", "other"),
        ("philips_epi", "other"),
        ("siemens_via_agfa_pacs", "other"),
    ],
)
def test_never_a_source(cataloged, start, kind):
    rows = of(cataloged, start)
    assert set(rows.kind) == {kind}
    assert not rows.chosen.any()


@pytest.mark.parametrize(
    ("start", "volumes", "slices", "b_values"),
    [
        ("canon_dwi_classic", 13, 40, {0, 1500}),
        ("canon_dwi_enhanced", 13, 40, {0, 1500}),
        ("ge_dwi/In+01", 7, 2, {0, 1000}),
        ("siemens_xa30_dwi/In+10", 21, 39, {0, 2500}),
        ("uih_dwi", 17, 20, {1.25, 929.75}),
    ],
)
def test_diffusion_by_its_b_values(cataloged, start, volumes, slices, b_values):
    rows = of(cataloged, start)
    assert set(rows.kind) == {"DWI"}
    assert set(rows.volumes) == {volumes}
    assert set(rows.slices) == {slices}
    assert set(rows.b_value.round(2)) == b_values


def test_philips_writes_almost_zero_for_b_zero(cataloged):
    rows = of(cataloged, "philips_dwi_classic")
    rows = rows[rows.kind == "DWI"]
    assert set(rows.volumes) == {17}
    assert sorted(rows.b_value.round(4).unique()) == [0, 0.001, 0.002, 0.003, 0.004, 1000]


def test_a_phase_image_is_named_as_such(cataloged):
    assert set(of(cataloged, "siemens_xa30_dwi/In+9").reason) == {"a phase image"}


def test_no_t1w_and_no_t2w_is_made_up(cataloged):
    assert not {"T1w", "T1w_post", "T2w"} & set(cataloged.kind)
