"""Partitions, strata and folds by hand, sizes of folds, speed; what holds of any cohort is in test_leakage.py."""

import time

import numpy as np
import pandas as pd
import pytest
import yaml
from made_splits import BANDS, ledger, split, table
from pydantic import ValidationError

from liverstiff.check import load_config
from liverstiff.config import SplitConfig, TargetConfig
from liverstiff.errors import ConfigError, DataError
from liverstiff.split import assign_folds, band_names, merged_strata, partitions
from liverstiff.split.folds import development_patients

BASE = [(100 + i, "alba", -1 - i, 2.0 + i) for i in range(3)]  # enough for three folds


def test_partitions_by_hand():
    cohort = table(
        [
            (1, "alba", -10, 2),
            (1, "brook", 0, 2),
            (2, "alba", 0, 2),
            (3, "delta", -10, 2),
            (4, "alba", -1, 2),
            (4, "delta", -5, 2),
            (5, "delta", -5, 2),
            (5, "alba", 5, 2),
        ]
    )
    found = partitions(cohort)
    assert list(zip(found.partition, found.reason, strict=True)) == [
        ("cross-validation", ""),
        ("excluded", "patient_in_development"),
        ("temporal", ""),
        ("external", ""),
        ("cross-validation", ""),
        ("excluded", "patient_at_development_site"),
        ("excluded", "patient_at_development_site"),
        ("temporal", ""),
    ]


def test_bands_start_at_their_lower_edge():
    assert band_names(BANDS) == ["0-2.5", "2.5-3", "3-4", "4-inf"]
    cohort = table([(i, "alba", -1, value) for i, value in enumerate((2.49, 2.5, 3.99, 4.0))]).assign(home="")
    assert development_patients(cohort, BANDS).band.tolist() == ["0-2.5", "2.5-3", "3-4", "4-inf"]


def test_stratum_is_that_of_the_first_exam():
    cohort = table([(1, "brook", -5, 9), (1, "alba", -10, 2), (1, "alba", -10, 2)]).assign(home="")
    (row,) = development_patients(cohort, BANDS).itertuples(index=False)
    assert (row.exams, row.site, row.band) == (3, "alba", "0-2.5")


def strata_of(counts, least):
    rows = [(site, band) for (site, band), count in counts.items() for _ in range(count)]
    return merged_strata(pd.DataFrame(rows, columns=["site", "band"]), BANDS, least)


def test_small_bands_join_the_smaller_neighbour():
    counts = {("alba", "0-2.5"): 9, ("alba", "2.5-3"): 6, ("alba", "3-4"): 2, ("alba", "4-inf"): 5}
    assert strata_of(counts, 5) == {
        ("alba", "0-2.5"): "alba 0-2.5",
        ("alba", "2.5-3"): "alba 2.5-3",
        ("alba", "3-4"): "alba 3-inf",
        ("alba", "4-inf"): "alba 3-inf",
    }


def test_small_sites_are_counted_together():
    big = {("alba", "0-2.5"): 20, ("brook", "0-2.5"): 12}
    both = strata_of({**big, ("cedar", "0-2.5"): 3, ("elm", "4-inf"): 4}, 5)
    assert both[("cedar", "0-2.5")] == both[("elm", "4-inf")] == "cedar+elm 0-inf"
    assert both[("brook", "0-2.5")] == "brook 0-2.5"
    lone = strata_of({**big, ("cedar", "0-2.5"): 3}, 5)
    assert lone[("cedar", "0-2.5")] == lone[("brook", "0-2.5")] == "brook+cedar 0-2.5"
    assert lone[("alba", "0-2.5")] == "alba 0-2.5"


@pytest.mark.parametrize("seed", range(30))
def test_every_stratum_has_a_patient_for_every_fold(seed):
    rng = np.random.default_rng(seed)
    patients = pd.DataFrame({"site": rng.choice(list("abcde"), 40, p=[0.5, 0.3, 0.1, 0.05, 0.05])})
    patients["band"] = rng.choice(band_names(BANDS), 40, p=[0.6, 0.2, 0.15, 0.05])
    strata = merged_strata(patients, BANDS, 10)
    pairs = list(zip(patients.site, patients.band, strict=True))
    assert set(strata) >= set(pairs)
    assert pd.Series([strata[pair] for pair in pairs]).value_counts().min() >= 10


def test_folds_are_filled_greedily_by_hand():
    before = ledger([("pz", 0, "a", "x"), ("py", 1, "b", "x")])
    exams = {"pc": 1, "py": 1, "pa": 3, "pz": 2, "pb": 1}
    new = pd.DataFrame({"patient": list(exams), "exams": list(exams.values()), "site": list("abaab"), "band": "x"})
    # fold 0 holds 2 exams of a, fold 1 holds 1 of b, fold 2 nothing.
    # pa (a, 3 exams): folds 1 and 2 have none of a; in all 2 has fewer.
    # pb (b): folds 0 and 2 have none of b; in all 0 has 2 exams, 2 has 3.
    # pc (a): fold 1 has none of a.
    found = assign_folds(new, before, {("a", "x"): "a x", ("b", "x"): "b x"})
    assert found.set_index("patient").fold.to_dict() == {"pa": 2, "pb": 0, "pc": 1}


def test_patients_with_most_exams_come_first():
    new = pd.DataFrame({"patient": ["p1", "p2", "p3"], "exams": [1, 1, 2], "site": "a", "band": "x"})
    found = assign_folds(new, ledger(folds=2), {("a", "x"): "a x"}).set_index("patient").fold
    assert found["p1"] == found["p2"] != found["p3"]


def random_cohort(patients, seed):
    """Patients at one to four sites of unequal size, up to a third with repeat exams, skewed stiffness."""
    rng = np.random.default_rng(seed)
    sites = ["alba", "brook", "cedar", "elm"][: 1 + seed % 4]
    share = np.arange(len(sites), 0, -1) / sum(range(len(sites) + 1))
    times = 1 + rng.binomial(2, [0, 0.05, 0.2][seed % 3], patients)
    number = np.repeat(rng.choice(65536, patients, replace=False), times)
    site = np.repeat(rng.choice(sites, patients, p=share), times)
    reference = 1.6 + np.exp(0.17 + 0.774 * rng.standard_normal(len(number)))
    return table(list(zip(number, site, -rng.integers(1, 900, len(number)), reference, strict=True)))


@pytest.mark.parametrize(("patients", "folds"), [(120, 5), (300, 10)])
def test_folds_are_of_equal_size(patients, folds):
    for seed in range(60):
        cohort = random_cohort(patients, seed)
        people = development_patients(cohort.assign(home=""), BANDS)
        found = assign_folds(people, ledger(folds=folds), merged_strata(people, BANDS, folds))
        exams = cohort.patient.map(found.set_index("patient").fold).value_counts()
        assert len(exams) == folds
        assert abs(exams / exams.mean() - 1).max() <= 0.1, seed


def test_bands_are_spread_over_the_folds(tmp_path):
    cohort = random_cohort(3376, 2)
    fold = split(tmp_path, cohort, folds=10).fold
    first = cohort.sort_values(["day", "exam"]).drop_duplicates("patient")
    for edge in BANDS:
        share = (first.reference >= edge).groupby(fold[first.index]).mean()
        assert share.max() - share.min() < 0.01, edge


def test_strata_are_counted_and_what_was_merged_is_said(tmp_path, capsys):
    cohort = table([*((i, "alba", -1, 2.0) for i in range(6)), (6, "alba", -1, 9.0), (7, "alba", 3, 9.0)])
    split(tmp_path, cohort)
    counted = pd.read_csv(tmp_path / "strata.csv")
    assert list(counted) == ["fold", "name", "site", "band", "merged_into", "patients", "exams"]
    assert counted.groupby("band").patients.sum().to_dict() == {"0-2.5": 6, "4-inf": 1}
    assert set(counted.merged_into) == {"alba 0-inf"}
    assert "alba 4-inf: 1 patients, counted with alba 0-inf, as there are 3 folds" in capsys.readouterr().out


def test_sites_left_out_by_hand(tmp_path):
    rows = [(1, "brook", -9, 2), (1, "alba", -5, 2), (2, "alba", -5, 2), (3, "alba", -5, 2), (3, "alba", 1, 2)]
    splits = split(tmp_path, table(rows), "leave-one-site-out", ["alba", "brook"])
    assert splits.fold.astype("Int64").fillna(-1).tolist() == [1, -1, 0, 0, -1]
    assert splits.reason.tolist() == ["", "patient_in_other_fold", "", "", "patient_in_development"]
    assert pd.read_csv(tmp_path / "strata.csv").name.tolist() == ["alba", "brook"]


def test_vendors_left_out_by_hand(tmp_path):
    rows = [
        (1, "alba", -9, 2, "GE"),
        (1, "alba", -5, 2, "Canon"),
        (2, "alba", -5, 2, "Canon"),
        (3, "alba", -5, 2, None),
    ]
    splits = split(tmp_path, table(rows), "leave-one-vendor-out", ["GE", "Canon", "unknown"])
    assert splits.fold.astype("Int64").fillna(-1).tolist() == [0, -1, 1, 2]
    with pytest.raises(DataError, match=r"^vendor 'Canon' has 1 development patients.*add it to split\.vendors$"):
        split(tmp_path, table(rows), "leave-one-vendor-out", ["GE", "unknown"])


def test_a_fold_without_exams_is_one_line_and_leaves_no_ledger(tmp_path):
    with pytest.raises(DataError, match=r"^fold 'brook' has no development exam.*$"):
        split(tmp_path, table(BASE), "leave-one-site-out", ["alba", "brook"])
    assert not (tmp_path / "private" / "folds.csv").exists()


def test_fewer_patients_than_folds_is_one_line(tmp_path):
    with pytest.raises(DataError, match=r"^2 development patients for 3 folds.*$"):
        split(tmp_path, table(BASE[:2]))
    assert not (tmp_path / "private").exists()


@pytest.mark.parametrize("name", ["bands", "thresholds"])
def test_edges_of_the_target_must_ascend(name):
    with pytest.raises(ValidationError, match=rf"(?s){name}.*ascending"):
        TargetConfig(**{name: (3.0, 2.5)})


def test_folds_are_known_from_the_config(root):
    values = yaml.safe_load((root / "config.yaml").read_text())
    names = {}
    for scheme in ("kfold", "leave-one-site-out", "leave-one-vendor-out"):
        values["split"] = {"scheme": scheme, "folds": 4, "vendors": ["GE", "Siemens"]}
        config = load_config(values)
        names[scheme] = config.split.fold_names(config.data.sites), config.split.ledger
    development = [name for name, site in values["data"]["sites"].items() if site["role"] == "development"]
    assert names == {
        "kfold": (["0", "1", "2", "3"], "folds.csv"),
        "leave-one-site-out": (development, "folds-leave-one-site-out.csv"),
        "leave-one-vendor-out": (["GE", "Siemens"], "folds-leave-one-vendor-out.csv"),
    }


@pytest.mark.parametrize("vendors", [[], ["GE"], ["GE", "GE"]])
def test_vendors_must_be_named(root, vendors):
    values = yaml.safe_load((root / "config.yaml").read_text())
    values["split"] = {"scheme": "leave-one-vendor-out", "vendors": vendors}
    with pytest.raises(ConfigError, match=r"^config\.yaml: split\.vendors: .* two or more, each once$"):
        load_config(values)


def test_100_000_patients_within_five_seconds():
    rng = np.random.default_rng(0)
    people = pd.DataFrame({"patient": [f"p{i:05x}" for i in rng.permutation(100_000)]})
    people["exams"] = 1 + rng.binomial(2, 0.05, len(people))
    people["site"], people["band"] = rng.choice(list("abcdef"), len(people)), rng.choice(band_names(BANDS), len(people))
    start = time.process_time()
    found = assign_folds(people, ledger(folds=10), merged_strata(people, BANDS, 10))
    assert time.process_time() - start < 5
    assert len(found) == len(people)


def test_default_scheme():
    assert SplitConfig().scheme == "kfold"
    assert SplitConfig().folds == 10
