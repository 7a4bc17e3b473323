"""Splits by patient; the properties are tried on random cohorts."""

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from liverstiff.config import SplitConfig, TargetConfig
from liverstiff.errors import DataError
from liverstiff.records import read_table
from liverstiff.split import assign_folds, partitions, split_cohort, stratum

CONFIG = SplitConfig(folds=3)
EMPTY = pd.DataFrame({"patient": [], "fold": [], "stratum": []}).astype({"patient": str, "fold": int, "stratum": str})


def table(rows):
    """A cohort from (patient number, site, day, stiffness)."""
    columns = ["patient", "site", "day", "reference"]
    cohort = pd.DataFrame([(f"p{n:04x}", *rest) for n, *rest in rows], columns=columns)
    cohort["exam"] = [f"e{i:04x}" for i in range(len(cohort))]
    return cohort.assign(role=cohort.site.map({"delta": "external"}).fillna("development"))


def split(folder, cohort, config=CONFIG):
    """Run the stage in a folder that keeps its ledger."""
    cohort.to_csv(folder / "cohort.csv", index=False)
    paths = {name: folder / f"{name}.csv" for name in ("cohort", "splits")}
    split_cohort(**paths, ledger=folder / "private" / "folds.csv", settings=config, target=TargetConfig())
    return read_table(folder / "splits.csv").fillna({"reason": ""})


patients = st.integers(0, 60).flatmap(
    lambda n: st.tuples(
        st.just(n),
        st.just(["alba", "brook", "delta"][n % 3]),  # a patient belongs to one site
        st.integers(-400, 400),
        st.floats(1, 12),
    )
)
base = [(100 + i, "alba", -1 - i, 2.0 + i) for i in range(3)]  # enough for three folds
cohorts = st.lists(patients, max_size=60).map(lambda rows: table(base + rows))


@settings(max_examples=40, deadline=None)
@given(cohorts)
def test_no_patient_is_on_two_sides(tmp_path_factory, cohort):
    splits = split(tmp_path_factory.mktemp("split"), cohort)
    assert splits.exam.tolist() == cohort.exam.tolist()
    used = splits[splits.partition != "excluded"]
    assert (used.groupby("patient").partition.nunique() == 1).all()
    assert (used[used.partition == "cross-validation"].groupby("patient").fold.nunique() == 1).all()
    assert set(splits.fold.dropna()) == set(range(3))
    assert (splits.fold.notna() == (splits.partition == "cross-validation")).all()


@settings(max_examples=40, deadline=None)
@given(cohorts)
def test_time_and_site_decide_the_partition(cohort):
    found = partitions(cohort)
    first = cohort.groupby("patient").day.transform("min")
    for partition, day, first_day, role in zip(found, cohort.day, first, cohort.role, strict=True):
        if role == "external":
            assert partition == "external"
        elif day < 0:
            assert partition == "cross-validation"
        else:
            assert partition == ("excluded" if first_day < 0 else "temporal")


@settings(max_examples=30, deadline=None)
@given(cohorts, st.lists(patients, max_size=40))
def test_adding_exams_moves_no_earlier_patient(tmp_path_factory, cohort, more):
    folder = tmp_path_factory.mktemp("split")
    before = split(folder, cohort).dropna(subset="fold").set_index("patient").fold.to_dict()
    larger = pd.concat([table(more + base), cohort.assign(exam="f" + cohort.exam)], ignore_index=True)
    after = split(folder, larger).dropna(subset="fold").set_index("patient").fold.to_dict()
    assert {patient: after[patient] for patient in before} == before


def test_partitions_by_hand():
    cohort = table(
        [(1, "alba", -10, 2), (1, "alba", 0, 2), (2, "alba", 0, 2), (3, "delta", -10, 2), (4, "alba", -1, 2)]
    )
    assert partitions(cohort).tolist() == ["cross-validation", "excluded", "temporal", "external", "cross-validation"]


def test_reason_of_an_excluded_exam(tmp_path):
    splits = split(tmp_path, table([*base, (100, "alba", 5, 2.0)]))
    assert splits.reason.tolist() == ["", "", "", "patient_in_development"]


def test_a_patient_on_both_sides_is_refused():
    cohort = table([(1, "alba", -10, 2), (1, "delta", -10, 2)])
    with pytest.raises(DataError, match="p0001"):
        partitions(cohort)


def test_strata():
    bands = (2.5, 3.0, 4.0)
    assert [stratum("alba", estimate, bands) for estimate in (2.49, 2.5, 3.99, 4.0)] == [
        "alba 0-2.5",
        "alba 2.5-3",
        "alba 3-4",
        "alba 4-inf",
    ]


def test_folds_are_filled_greedily_by_hand():
    ledger = pd.DataFrame({"patient": ["pz", "py"], "fold": [0, 1], "stratum": ["a", "b"]})
    new = pd.DataFrame(
        {"patient": ["pc", "py", "pa", "pz", "pb"], "exams": [1, 1, 3, 2, 1], "stratum": ["a", "b", "a", "a", "b"]}
    )
    # fold 0 holds 2 exams of a, fold 1 holds 1 of b, fold 2 nothing.
    # pa (a, 3 exams): folds 1 and 2 have none of a; in all 2 has fewer.
    # pb (b): folds 0 and 2 have none of b; in all 0 has 2 exams, 2 has 3.
    # pc (a): fold 1 has none of a.
    found = assign_folds(new, ledger, 3).set_index("patient").fold
    assert found.to_dict() == {"pz": 0, "py": 1, "pa": 2, "pb": 0, "pc": 1}
    assert found.index[:2].tolist() == ["pz", "py"]


def test_folds_are_of_equal_size_and_make_up():
    """120 patients, 2 strata: sizes within one exam of each other in all and in every stratum."""
    new = pd.DataFrame({"patient": [f"p{i:03d}" for i in range(120)], "exams": 1})
    new["stratum"] = ["a" if i % 3 else "b" for i in range(120)]
    found = assign_folds(new, EMPTY, 5)
    assert set(found.fold.value_counts()) <= {23, 24, 25}
    assert set(found.groupby(["stratum", "fold"]).size()) == {16, 8}


def test_the_ledger_is_private_to_itself_and_untouched_without_news(tmp_path):
    split(tmp_path, table(base))
    ledger = tmp_path / "private" / "folds.csv"
    before = ledger.stat().st_mtime_ns
    assert list(pd.read_csv(ledger)) == ["patient", "fold", "stratum"]
    split(tmp_path, table(base))
    assert ledger.stat().st_mtime_ns == before
    assert [path.name for path in ledger.parent.iterdir()] == ["folds.csv"]


def test_a_patient_that_leaves_keeps_its_row(tmp_path):
    split(tmp_path, table([*base, (7, "alba", -5, 2.0)]))
    split(tmp_path, table(base))
    assert "p0007" in pd.read_csv(tmp_path / "private" / "folds.csv").patient.tolist()


def test_fewer_patients_than_folds_is_one_line(tmp_path):
    with pytest.raises(DataError, match=r"^2 development patients for 3 folds.*$"):
        split(tmp_path, table(base[:2]))
    assert not (tmp_path / "private").exists()


@pytest.mark.parametrize("name", ["bands", "thresholds"])
def test_edges_of_the_target_must_ascend(name):
    with pytest.raises(ValidationError, match=rf"(?s){name}.*ascending"):
        TargetConfig(**{name: (3.0, 2.5)})


def test_another_number_of_folds_is_refused(tmp_path):
    split(tmp_path, table(base))
    more = table([*base, (7, "alba", -5, 2.0)])
    with pytest.raises(DataError, match=r"has 3 folds, split\.folds is 4"):
        split(tmp_path, more, SplitConfig(folds=4))
    with pytest.raises(DataError, match=r"has 3 folds, split\.folds is 2"):
        split(tmp_path, more, SplitConfig(folds=2))
