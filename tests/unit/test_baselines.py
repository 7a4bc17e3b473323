"""Baselines in the splits of the model: fitted on training exams, none on an exam they estimate."""

import numpy as np
import pandas as pd
import pytest
from made_packs import SETTINGS, make_study, write_tables

from liverstiff.config import TargetConfig, TrainConfig
from liverstiff.predict.baselines import COLUMNS, Baseline, crossed, fib4, line, predict_baselines

ALWAYS = {"mean", "site_mean", "scanner", "record_ridge", "record_boosting", "missingness"}
IMAGED = {"signs_ridge", "signs_combat_ridge", "signs_record_ridge", "T1w_ridge", "T2w_ridge", "DWI_ridge"}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return make_study(tmp_path_factory.mktemp("study"), exams=240)


def run(study, **changes) -> pd.DataFrame:
    path = study.folder / "baselines.csv"
    arguments = study.inputs | {"variants": {}, "baselines": path, "settings": SETTINGS, "target": TargetConfig()}
    predict_baselines(**(arguments | changes))
    return pd.read_csv(path, dtype={"fold": str})


def correlation(study, table, name, partition="cross-validation"):
    own = table[(table["baseline"] == name) & (table["partition"] == partition)]
    return np.corrcoef(own["estimate"], study.exams.set_index("exam").loc[own["exam"], "reference"])[0, 1]


def test_every_exam_once_by_every_baseline(study):
    table = run(study)
    assert list(table) == list(COLUMNS)
    assert set(table["baseline"]) == ALWAYS | IMAGED
    assert (table.groupby("baseline")["exam"].nunique() == 240).all()
    assert len(table) == 240 * len(ALWAYS | IMAGED)
    held_out = table["partition"] != "cross-validation"
    assert (table.loc[held_out, "fold"] == "ensemble").all()
    known = study.exams.set_index("exam").loc[table.loc[~held_out, "exam"], "fold"].astype(str)
    assert table.loc[~held_out, "fold"].tolist() == known.tolist()


def test_they_find_what_is_there_and_only_that(study):
    """T1w contrast follows the target, AST a little, T2w and the pattern of what is missing not at all."""
    table = run(study)
    assert correlation(study, table, "T1w_ridge") > 0.8
    assert correlation(study, table, "signs_record_ridge", "external") > 0.8
    assert 0.3 < correlation(study, table, "record_ridge") < 0.8
    for name in ("T2w_ridge", "missingness", "site_mean"):
        assert abs(correlation(study, table, name)) < 0.3, name


def test_reference_of_an_exam_does_not_touch_its_estimate(study):
    before = run(study)
    kept = study.exams["reference"].copy()
    out = (study.exams["partition"] != "cross-validation") | (study.exams["fold"] == 0)
    study.exams.loc[out, "reference"] = 1e6
    write_tables(study)
    after = run(study)
    study.exams["reference"] = kept
    write_tables(study)
    own = (before["fold"] == "0").to_numpy()
    pd.testing.assert_frame_equal(before[own], after[own])
    assert not before[~own].equals(after[~own])


def test_sequences_that_are_not_used_reach_no_baseline(study):
    settings = SETTINGS.model_copy(update={"sequences": ("T1w",)})
    before = run(study, settings=settings)
    assert set(before["baseline"]) == ALWAYS | (IMAGED - {"T2w_ridge", "DWI_ridge"})
    every = run(study)
    kept = {}
    for shard in ("shard-0000", "shard-0001"):
        path, table = study.folder / shard / "images.npy", study.folder / shard / "table.csv"
        kept[path], kept[table] = path.read_bytes(), table.read_bytes()
        images = np.load(path)
        images[:, 1:] *= np.random.default_rng(2).uniform(0.5, 2, images[:, 1:].shape).astype(np.float16)
        np.save(path, images)
        pd.read_csv(table).assign(T2w=False).to_csv(table, index=False)
    pd.testing.assert_frame_equal(run(study, settings=settings), before)
    assert not run(study).equals(every)
    for path, content in kept.items():
        path.write_bytes(content)


def test_study_without_images(study):
    assert set(run(study, packs=[])["baseline"]) == ALWAYS


def test_mean_and_line_by_hand():
    rows = pd.DataFrame(
        {
            "exam": list("abcdef"),
            "patient": list("abcdef"),
            "partition": ["cross-validation"] * 4 + ["temporal", "external"],
            "fold": [0, 0, 1, 1, np.nan, np.nan],
        }
    )
    reference = np.array([1.0, 3.0, 5.0, 9.0, np.nan, np.nan])
    inputs = pd.DataFrame({"x": [1.0, 3.0, 5.0, 9.0, 4.0, 2.0]})
    found = crossed(Baseline(inputs, line), reference, rows, "none")
    assert found["estimate"].to_numpy() == pytest.approx(inputs["x"].to_numpy())
    assert found["fold"].tolist() == ["0", "0", "1", "1", "ensemble", "ensemble"]
    mean = crossed(Baseline(pd.DataFrame({"one": [1.0] * 6}), line), reference, rows, "none")
    assert mean["estimate"].tolist() == pytest.approx([7, 7, 2, 2, 4.5, 4.5])
    smeared = crossed(Baseline(pd.DataFrame({"one": [1.0] * 6}), line), reference, rows, "log")
    assert smeared["estimate"].tolist() == pytest.approx([7, 7, 2, 2, 4.5, 4.5])


def test_fib4_by_hand_and_only_where_it_can_be_had(study):
    assert fib4(pd.DataFrame({"age": [50], "ast": [40.0], "alt": [25.0], "platelets": [200.0]})).tolist() == [2.0]
    cohort = pd.read_csv(study.folder / "cohort.csv")
    cohort.assign(alt=30.0, platelets=200.0).to_csv(study.folder / "with.csv", index=False)
    assert "fib4" in set(run(study, cohort=study.folder / "with.csv")["baseline"])


def test_fib4_below_1_in_held_out_exams_alone_is_nothing_wrong(study):
    """Its logarithm is then negative, which it was in no training exam."""
    cohort = pd.read_csv(study.folder / "cohort.csv").assign(age=60.0, ast=40.0, alt=25.0)
    rng = np.random.default_rng(0)
    cohort["platelets"] = 400 / np.exp(rng.exponential(size=len(cohort)))  # FIB-4 of 1.2 and more
    held_out = (study.exams["partition"] == "external").to_numpy()
    cohort.loc[held_out, "platelets"] = 900.0
    cohort.to_csv(study.folder / "low.csv", index=False)
    table = run(study, cohort=study.folder / "low.csv")
    assert table.loc[table["baseline"] == "fib4", "estimate"].gt(0).all()


def test_variants_of_the_model_stand_beside_them(study):
    paths = []
    for name, exam in (("cross-validation", "e1"), ("temporal", "e2"), ("external", "e3")):
        paths.append(study.folder / f"variant-{name}.csv")
        pd.DataFrame({"exam": [exam], "fold": ["0"], "estimate": [2.5], "low": [1.0]}).to_csv(paths[-1], index=False)
    table = run(study, variants={"image-only": paths}).set_index("baseline").loc["image-only"]
    assert table["partition"].tolist() == ["cross-validation", "temporal", "external"]
    assert table["exam"].tolist() == ["e1", "e2", "e3"]


def test_variants_are_checked_as_sections():
    settings = TrainConfig(inputs=("record",), variants={"image-only": {"inputs": ["images"]}, "wide": {"width": 32}})
    assert settings.variant("image-only").inputs == ("images",)
    assert settings.variant("wide").inputs == ("record",)
    assert settings.reads_images
    assert not TrainConfig(inputs=("record",)).reads_images
    with pytest.raises(ValueError, match="Extra inputs"):
        TrainConfig(variants={"wrong": {"widht": 32}})
