"""No patient on two sides, nothing moves, nothing held out is read: for any cohort, in every scheme."""

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_packs import SETTINGS, make_study, write_tables
from made_splits import EXTERNAL, VENDORS, split, table

from liverstiff.config import TargetConfig
from liverstiff.errors import DataError
from liverstiff.model import training_exams
from liverstiff.train import train_fold
from liverstiff.train.prepared import inner_validation

HOME = {"leave-one-site-out": "site", "leave-one-vendor-out": "vendor"}
FOLDS = {
    "kfold": 3,
    "leave-one-site-out": [site for site in VENDORS if site not in EXTERNAL],
    "leave-one-vendor-out": ["GE", "Siemens", "Philips"],
}
SCHEMES = [pytest.param(scheme, count, id=scheme) for scheme, count in zip(FOLDS, (400, 300, 300), strict=True)]
QUICK = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}

exams = st.lists(
    st.tuples(
        st.integers(0, 14),
        st.sampled_from(sorted(VENDORS)),
        st.integers(-4, 3),
        st.sampled_from([1.5, 2.4, 2.5, 2.9, 3.0, 5.0, 9.0]),
        st.sampled_from(sorted(set(VENDORS.values()))),  # a hospital may have several vendors
    ),
    max_size=40,
)
FIRST = [(0x100 + i, site, -5 - i, 2.0 + i, VENDORS[site]) for i, site in enumerate(FOLDS["leave-one-site-out"])]
"""A development patient for every fold of every scheme."""


def run(rows, scheme, folder=None, folds=None):
    """The cohort with its splits, and the folder."""
    folder = folder or Path(tempfile.mkdtemp())
    cohort = table(rows)
    splits = split(folder, cohort, scheme, folds or FOLDS[scheme])
    assert splits.exam.tolist() == cohort.exam.tolist()
    return cohort.join(splits[["partition", "fold", "reason"]])


def check_no_leak(found, scheme):
    used = found[found.partition != "excluded"]
    assert (found.fold.notna() == (found.partition == "cross-validation")).all()
    assert ((found.reason != "") == (found.partition == "excluded")).all()
    sides = used.partition + used.fold.fillna(-1).astype(int).astype(str)
    assert (sides.groupby(used.patient).nunique() == 1).all()
    for fold in found.fold.dropna().unique():
        training = set(training_exams(found, fold).patient)
        held_out = set(used.patient[used.fold.fillna(fold) == fold])
        assert not training & held_out
        if scheme in HOME:
            homes = used[used.partition == "cross-validation"].groupby("fold")[HOME[scheme]].unique()
            assert all(len(names) == 1 for names in homes)
            assert homes.map(lambda names: names[0]).is_unique


def check_every_exam_has_its_place(found):
    """What the rules say, told another way than in the stage."""
    for patient, rows in found.groupby("patient"):
        inside = rows[rows.role == "development"]
        early = (inside.day < 0).any()
        for row in rows.itertuples():
            if row.role == "external":
                wanted = {"external " if inside.empty else "excluded patient_at_development_site"}
            elif row.day < 0:
                wanted = {"cross-validation ", "excluded patient_in_other_fold"}
            else:
                wanted = {"excluded patient_in_development" if early else "temporal "}
            assert f"{row.partition} {row.reason}" in wanted, patient
        if early:
            assert (rows.partition == "cross-validation").any(), "a patient of the development is lost"


@pytest.mark.parametrize(("scheme", "cohorts"), SCHEMES)
def test_no_patient_is_on_two_sides(scheme, cohorts):
    @settings(max_examples=cohorts, **QUICK)
    @given(exams)
    def holds(rows):
        with tempfile.TemporaryDirectory() as folder:
            found = run(FIRST + rows, scheme, Path(folder))
        check_no_leak(found, scheme)
        check_every_exam_has_its_place(found)

    holds()


def test_the_inner_validation_shares_no_patient_with_training():
    @settings(max_examples=200, **QUICK)
    @given(exams, st.floats(0.05, 0.45), st.integers(0, 5))
    def holds(rows, share, seed):
        cohort = table(FIRST + rows)
        chosen = inner_validation(cohort.patient, cohort.reference.to_numpy(), share, seed)
        assert chosen.any()
        assert not set(cohort.patient[chosen]) & set(cohort.patient[~chosen])

    holds()


@pytest.mark.parametrize("scheme", FOLDS)
def test_more_exams_move_no_earlier_patient(scheme):
    """New exams of new and of earlier patients, earlier and later."""

    @settings(max_examples=100, **QUICK)
    @given(exams, exams)
    def holds(rows, more):
        with tempfile.TemporaryDirectory() as folder:
            before = folds_of(run(FIRST + rows, scheme, Path(folder)))
            after = run(more + FIRST + rows, scheme, Path(folder))
        check_no_leak(after, scheme)
        fold = folds_of(after)
        assert {patient: fold[patient] for patient in before} == before

    holds()


def folds_of(found):
    return found.dropna(subset="fold").set_index("patient").fold.astype(int).to_dict()


def ten_percent(rng, cohort):
    """Exams for a tenth more: of new and of earlier patients, at any time, and of a hospital that was not there."""
    count = len(cohort) // 10
    earlier = cohort.patient.sample(count // 3, random_state=1).str[1:].map(lambda text: int(text, 16))
    number = [*earlier, *range(20000, 20000 + count - len(earlier))]
    site = [*rng.choice(["alba", "brook"], 2 * count // 3), *["elm"] * count][:count]
    return list(zip(number, site, rng.integers(-2000, 300, count), 1.6 + rng.gamma(1.3, 1.1, count), strict=True))


@pytest.mark.parametrize("scheme", FOLDS)
def test_a_tenth_more_exams_in_a_study_of_usual_size(tmp_path, scheme):
    rng = np.random.default_rng(5)
    site = rng.choice(["alba", "brook", "cedar", "delta"], 3000)
    rows = list(
        zip(rng.integers(0, 2800, 3000), site, rng.integers(-900, 300, 3000), 2 + rng.random(3000) * 5, strict=True)
    )
    names = {"kfold": 10, "leave-one-site-out": ["alba", "brook", "cedar"]}.get(scheme, FOLDS[scheme])
    before = run(rows, scheme, tmp_path, names)
    names = ["elm", *names] if scheme == "leave-one-site-out" else names
    after = run(rows + ten_percent(rng, before), scheme, tmp_path, names)
    check_no_leak(after, scheme)
    was, now = folds_of(before), folds_of(after)
    assert len(now) > len(was) > 1000
    assert [patient for patient in was if now[patient] != was[patient]] == []
    # a patient leaves the temporal or external test only for an exam that shows it was seen in development, or earlier
    tests = before[before.partition.isin(["temporal", "external"])]
    moved = tests[tests.partition != after.partition[: len(before)][tests.index]]
    added = after[len(before) :]
    assert set(moved.patient) <= set(added.patient[added.role == "development"])


@pytest.mark.parametrize("scheme", FOLDS)
def test_values_of_held_out_exams_reach_no_fold(scheme):
    files = ("splits.csv", "strata.csv", "ledger.json", "private/folds.csv")

    @settings(max_examples=60, **QUICK)
    @given(exams, st.randoms(use_true_random=False))
    def holds(rows, random):
        cohort = table(FIRST + rows)
        with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
            splits = split(Path(first), cohort, scheme, FOLDS[scheme])
            held_out = splits.partition.isin(["temporal", "external"]) | (splits.reason == "patient_in_development")
            poison = cohort.assign(alt=1.0)
            poison.loc[held_out, "reference"] = [random.uniform(1, 12) for _ in range(held_out.sum())]
            poison.loc[held_out, "alt"] = 1e9
            split(Path(second), poison, scheme, FOLDS[scheme])
            for name in files:
                assert (Path(first) / name).read_bytes() == (Path(second) / name).read_bytes(), name

    holds()


def test_values_of_a_fold_that_is_held_out_do_not_change_the_split(tmp_path):
    cohort = table(FIRST + [(i, "alba", -2, 1.5 + i / 4) for i in range(12)])
    before = split(tmp_path, cohort)
    counted = (tmp_path / "strata.csv").read_bytes()
    after = split(tmp_path, cohort.assign(reference=cohort.reference.where(before.fold != 0, 11.0)))
    pd.testing.assert_frame_equal(after, before)
    assert (tmp_path / "strata.csv").read_bytes() == counted


# Training: everything about the held-out exams that is no date and no id is replaced; the files of the fold stay.


def poison_packs(study, held_out, what):
    """Replace one kind of value of the held-out exams."""
    for shard in ("shard-0000", "shard-0001"):
        rows = held_out[study.exams["shard"] == shard].to_numpy()
        folder = study.folder / shard
        for name, value in (("images", np.nan), ("masks", 1)):
            if what == name:
                array = np.load(folder / f"{name}.npy")
                array[rows] = value
                np.save(folder / f"{name}.npy", array)
        if what == "pack table":
            pack = pd.read_csv(folder / "table.csv")
            pack.loc[rows, ["liver_ml", "spleen_ml"]] = 1e9
            pack.loc[rows, ["T1w", "T2w", "DWI", "ADC"]] = False
            pack.to_csv(folder / "table.csv", index=False)
    if what == "record":
        study.exams.loc[held_out, ["age", "ast"]] = [-1e6, 1e12]
        study.exams.loc[held_out, "sex"] = None
    if what == "reference":
        study.exams.loc[held_out, "reference"] = 1e9
    write_tables(study)


def trained(study, name, left_out):
    outputs = study.outputs(left_out, name)
    train_fold(**study.inputs, **outputs, fold=left_out, settings=SETTINGS, target=TargetConfig())
    return {key: outputs[key].read_bytes() for key in ("model", "description", "history")}


@pytest.mark.parametrize("what", ["images", "masks", "pack table", "record", "reference"])
def test_what_is_held_out_reaches_no_model(tmp_path, what):
    study = make_study(tmp_path)
    before = trained(study, "before", left_out=1)
    held_out = (study.exams["partition"] != "cross-validation") | (study.exams["fold"] == 1)
    poison_packs(study, held_out, what)
    assert trained(study, "after", left_out=1) == before


@pytest.mark.parametrize("what", ["images", "masks", "pack table", "record", "reference"])
def test_the_poison_would_be_noticed(tmp_path, what):
    """The same values in the exams that are learned from change the model or stop the training."""
    study = make_study(tmp_path)
    before = trained(study, "before", left_out=1)
    poison_packs(study, (study.exams["partition"] == "cross-validation") & (study.exams["fold"] == 0), what)
    try:
        after = trained(study, "after", left_out=1)
    except DataError:
        return
    assert after["model"] != before["model"]
