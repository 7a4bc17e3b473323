"""Stage predict: out-of-fold estimates that have learnt something, intervals that hold what they promise."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from made_packs import SETTINGS, Study, make_study, write_tables

from liverstiff.config import PredictConfig, TargetConfig
from liverstiff.errors import ConfigError, DataError
from liverstiff.model import Familiarity, load_model, signs
from liverstiff.predict import COLUMNS, estimates, predict_partition
from liverstiff.predict.baselines import Baseline, boosting, ridge
from liverstiff.predict.baselines import crossed as crossed_baseline
from liverstiff.predict.estimates import flags_of, sequences_of
from liverstiff.predict.intervals import conformal_quantile, cross_intervals, cross_unlike
from liverstiff.predict.suspicion import auroc, closest_variables, explained, suspicion
from liverstiff.records import CHANNELS
from liverstiff.simulate.population import RECORD, draw_cohort
from liverstiff.train import train_fold
from liverstiff.train.familiarity import fit_familiarity

FOLDS = 2


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Study:
    """A study with a model per fold."""
    made = make_study(tmp_path_factory.mktemp("study"), exams=120, folds=FOLDS)
    settings = SETTINGS.model_copy(update={"epochs": 60})
    for fold in range(FOLDS):
        train_fold(**made.inputs, **made.outputs(fold), fold=fold, settings=settings, target=TargetConfig())
    return made


def run(study: Study, partition: str, calibration=None, **changes) -> pd.DataFrame:
    """Predict a partition and read what was written."""
    arguments = study.inputs | {
        "models": [study.outputs(fold)["model"].parent for fold in range(FOLDS)],
        "partition": partition,
        "calibration": calibration,
        "predictions": study.folder / f"{partition}.csv",
        "settings": PredictConfig(),
        "target": TargetConfig(),
    }
    predict_partition(**(arguments | changes))
    return pd.read_csv(arguments["predictions"], dtype={"fold": str}, keep_default_na=False, na_values={"low": ""})


@pytest.fixture(scope="module")
def crossed(study) -> pd.DataFrame:
    return run(study, "cross-validation")


def truth(study: Study, table: pd.DataFrame) -> np.ndarray:
    return study.exams.set_index("exam").loc[table["exam"], "reference"].to_numpy()


def test_out_of_fold_estimates_beat_the_mean(study, crossed):
    stiffness = truth(study, crossed)
    assert list(crossed) == list(COLUMNS)
    assert len(crossed) == 80
    error = np.abs(crossed["estimate"] - stiffness).mean()
    assert error < 0.6 * np.abs(stiffness - stiffness.mean()).mean()
    assert np.corrcoef(crossed["estimate"], stiffness)[0, 1] > 0.8


def test_images_are_used(study, crossed, monkeypatch):
    read = estimates.read_batch

    def swapped(*args):
        batch = read(*args)
        return batch._replace(images=batch.images.flip(0), masks=batch.masks.flip(0), present=batch.present.flip(0))

    monkeypatch.setattr(estimates, "read_batch", swapped)
    changed = run(study, "cross-validation")["estimate"] - crossed["estimate"]
    run_again = monkeypatch.undo() or run(study, "cross-validation")
    assert changed.std() > 0.5 * crossed["estimate"].std()
    pd.testing.assert_frame_equal(run_again, crossed)


def test_each_exam_is_estimated_by_its_own_fold(study, crossed):
    folds = study.exams.set_index("exam").loc[crossed["exam"], "fold"].astype(str)
    assert crossed["fold"].tolist() == folds.tolist()


def test_held_out_partitions_are_means_over_folds(study, crossed, tmp_path):
    held_out = run(study, "temporal", study.folder / "cross-validation.csv")
    assert set(held_out["fold"]) == {"ensemble"}
    source = estimates.Source(study.inputs["packs"], pd.read_csv(study.inputs["cohort"]).set_index("exam"))
    by_fold = [
        estimates.estimate(*load_model(study.outputs(fold)["model"].parent), held_out["exam"].tolist(), source)
        for fold in range(FOLDS)
    ]
    values = np.stack([table["estimate"] for table in by_fold])
    spread = np.stack([table["spread"] for table in by_fold])
    assert held_out["estimate"].to_numpy() == pytest.approx(values.mean(axis=0), rel=1e-5)
    total = np.sqrt((spread**2).mean(axis=0) + np.log(values).var(axis=0))
    assert held_out["spread"].to_numpy() == pytest.approx(total, rel=1e-5)
    scores = np.abs(np.log(truth(study, crossed) / crossed["estimate"])) / crossed["spread"]
    factor = np.exp(np.sort(scores)[73 - 1] * held_out["spread"])  # 80 residuals: ceil(81 x 0.9) = 73
    assert held_out["high"].to_numpy() == pytest.approx(held_out["estimate"] * factor, rel=1e-4)
    assert held_out["low"].to_numpy() == pytest.approx(held_out["estimate"] / factor, rel=1e-4)


def test_signs_are_measured_once_for_all_folds(study, crossed, monkeypatch):
    models = []
    for fold in range(FOLDS):
        outputs = study.outputs(fold, "signs")
        settings = SETTINGS.model_copy(update={"epochs": 1, "measured": "signs"})
        train_fold(**study.inputs, **outputs, fold=fold, settings=settings, target=TargetConfig())
        models.append(outputs["model"].parent)
    real, measured = signs.measure, []
    monkeypatch.setattr(signs, "measure", lambda *args: measured.append(1) or real(*args))
    table = run(study, "temporal", study.folder / "cross-validation.csv", models=models)
    assert len(measured) == len(table)


def test_intervals_cover_about_what_they_promise(study, crossed):
    stiffness = truth(study, crossed)
    inside = (crossed["low"] <= stiffness) & (stiffness <= crossed["high"])
    assert 0.8 <= inside.mean() <= 1.0


def test_stiffness_of_a_held_out_exam_does_not_touch_its_estimate(study):
    before = run(study, "external", study.folder / "cross-validation.csv")
    table = study.exams
    kept = table["reference"].copy()
    table.loc[table["partition"] == "external", "reference"] = 1e6
    write_tables(study)
    after = run(study, "external", study.folder / "cross-validation.csv")
    table["reference"] = kept
    write_tables(study)
    pd.testing.assert_frame_equal(before, after)


def test_sequences_and_flags(study, crossed):
    shard = pd.concat([pd.read_csv(study.folder / name / "table.csv") for name in ("shard-0000", "shard-0001")])
    table = crossed.merge(shard, on="exam")
    assert (table.loc[~table["T2w"] & table["DWI"], "sequences"] == "T1w+DWI").all()
    without = table.loc[table["T2w"] & ~table["DWI"]]
    assert len(without)
    assert (without["sequences"] == "T1w+T2w").all()
    assert without["flags"].str.startswith("missing_DWI;missing_ADC").all()


def test_partition_without_exams_is_a_header(study):
    table = study.exams
    kept = table["partition"].copy()
    table.loc[table["partition"] == "external", "partition"] = "excluded"
    write_tables(study)
    assert run(study, "external").empty
    table["partition"] = kept
    write_tables(study)
    assert (study.folder / "external.csv").read_text().strip() == ",".join(COLUMNS)


def test_models_of_another_split_are_refused(study):
    models = [study.outputs(fold)["model"].parent for fold in (1, 0)]
    with pytest.raises(DataError, match="model 0 is of fold 1"):
        run(study, "cross-validation", models=models)
    table = study.exams
    kept = table["fold"].copy()
    table.loc[:1, "fold"] = 1 - table.loc[:1, "fold"]
    write_tables(study)
    with pytest.raises(DataError, match="another split"):
        run(study, "cross-validation")
    table["fold"] = kept
    write_tables(study)


@pytest.mark.parametrize(
    ("partition", "changes", "error", "words"),
    [
        ("temporal", {}, DataError, "calibration: none given for temporal"),
        ("training", {}, ConfigError, "partition: got 'training'"),
        ("temporal", {"settings": PredictConfig(device="cuda")}, ConfigError, "predict.device: got 'cuda'"),
    ],
)
def test_expected_errors(study, monkeypatch, partition, changes, error, words):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(error, match=words):
        run(study, partition, **changes)


def test_conformal_quantile_by_hand():
    scores = np.arange(1.0, 20.0)[::-1]
    assert conformal_quantile(scores, 0.90) == 18  # ceil(20 x 0.9) = 18, not 19 by rounding
    assert conformal_quantile(scores[:9], 0.90) == 19  # 9 residuals: the largest
    assert conformal_quantile(scores[:8], 0.90) == np.inf
    assert conformal_quantile(np.array([]), 0.5) == np.inf


def test_conformal_quantile_covers():
    rng = np.random.default_rng(0)
    scores = rng.exponential(size=(4000, 31))
    covered = [row[0] <= conformal_quantile(row[1:], 0.8) for row in scores]
    assert np.mean(covered) == pytest.approx(25 / 31, abs=0.02)  # ceil(31 x 0.8) = 25 of 31


def test_an_exam_gets_its_interval_from_the_other_folds():
    table = pd.DataFrame(
        {
            "exam": ["e1", "e2", "e3", "e4"],
            "fold": ["0", "0", "1", "1"],
            "estimate": [1.0, 1.0, 1.0, 1.0],
            "spread": [1.0, 1.0, 1.0, 0.5],
            "flags": ["", "", "", "missing_T2w"],
        }
    )
    stiffness = pd.Series(np.exp([0.1, 0.2, 1.0, 0.5]), index=table["exam"])
    got = cross_intervals(table, stiffness, 0.5, "log")  # of two residuals the ceil(3 x 0.5) = 2nd
    assert got["high"].to_numpy() == pytest.approx(np.exp([1.0, 1.0, 0.2, 0.1]))
    assert got["low"].to_numpy() == pytest.approx(np.exp([-1.0, -1.0, -0.2, -0.1]))
    none = cross_intervals(table, stiffness, 0.9, "log")
    assert none[["low", "high"]].isna().all(axis=None)
    assert none["flags"].tolist() == ["interval_unavailable"] * 3 + ["missing_T2w;interval_unavailable"]


def test_words_for_channels():
    assert sequences_of(CHANNELS, np.array([True, False, False, True])) == "T1w+DWI"
    assert flags_of(CHANNELS, np.array([True, False, True, True]), in_range=False) == "missing_T2w;out_of_range"
    assert flags_of(CHANNELS, np.ones(4, bool), in_range=True) == ""


def test_estimate_outside_the_training_range_is_flagged(study):
    path = study.outputs(0)["description"]
    kept = path.read_text()
    described = json.loads(kept)
    described["fitted"]["target_range"] = [2.0, 2.5]
    path.write_text(json.dumps(described))
    table = run(study, "cross-validation")
    path.write_text(kept)
    first = table[table["fold"] == "0"]
    outside = ~first["estimate"].between(2.0, 2.5)
    assert outside.any()
    assert (first["flags"].str.contains("out_of_range") == outside).all()


def test_auroc_r2_and_the_closest_variables_by_hand():
    case = np.array([False] * 20 + [True] * 20)
    assert auroc(case, np.arange(40.0)) == 1
    assert auroc(case, np.arange(40.0) % 20) == 0.5
    assert np.isnan(auroc(case[:30], np.arange(30.0)))
    measured = np.tile([0.0, 2.0], 50)
    assert explained(measured, np.tile([0.5, 1.5], 50) + 3) == pytest.approx(0.75)
    values = np.stack([np.arange(100.0), -(np.arange(100.0) ** 3), np.ones(100), np.tile([0.0, np.nan], 50)], axis=1)
    rng = np.random.default_rng(0)
    order = closest_variables(values + [[1, 0, 0, 0]] * rng.normal(0, 30, (100, 1)), np.arange(100.0), tuple("abcd"))
    assert order[:2] == ["b", "a"]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A study without packs; ``lsm`` is the target once more with a little noise."""
    made = make_study(tmp_path_factory.mktemp("recorded"), exams=300, folds=FOLDS)
    rng = np.random.default_rng(1)
    made.exams["lsm"] = made.exams["reference"] * np.exp(0.2 * rng.standard_normal(300))
    made.exams[["exam", "patient", "age", "sex", "ast", "lsm", "reference"]].to_csv(made.folder / "cohort.csv")
    return made


def recorded_run(study, record, **changes):
    settings = SETTINGS.model_copy(update={"inputs": ("record",), "model": "ridge", "record": record})
    for fold in range(FOLDS):
        arguments = study.inputs | study.outputs(fold) | {"packs": []}
        train_fold(**arguments, fold=fold, settings=settings, target=TargetConfig())
    return run(study, "cross-validation", packs=[], **changes)


def test_record_alone_is_predicted_without_packs(recorded):
    lenient = PredictConfig(suspicious_auroc=1, suspicious_r2=1)
    table = recorded_run(recorded, ("age", "sex", "ast"), settings=lenient)
    assert (table["sequences"] == "").all()
    assert not table["flags"].str.contains("missing").any()
    assert np.corrcoef(table["estimate"], truth(recorded, table))[0, 1] > 0.3


def test_a_variable_made_from_the_target_stops_prediction_and_is_named(recorded, capsys):
    with pytest.raises(DataError, match="made from the target; look at lsm, ") as caught:
        recorded_run(recorded, ("age", "sex", "lsm"))
    assert "\n" not in str(caught.value)
    recorded_run(recorded, ("age", "sex"))
    assert "record alone, AUROC(>= 3.5 kPa)" in capsys.readouterr().out


def test_a_variant_made_from_the_target_is_flagged_and_stops_nothing(recorded, capsys):
    table = recorded_run(recorded, ("age", "sex", "lsm"), variant=True)
    assert table["flags"].str.contains("suspicious_record").all()
    assert "WARNING: the record alone reaches" in capsys.readouterr().out
    table = recorded_run(recorded, ("age", "sex"), variant=True)
    assert not table["flags"].str.contains("suspicious_record").any()


@pytest.mark.parametrize("seed", range(1, 7))
def test_an_honest_record_is_not_suspicious(seed):
    """Boosted trees and a ridge on the record of a drawn population, out of fold; its R2 reaches 0.31."""
    drawn = draw_cohort(2000, seed).assign(exam=lambda table: [f"e{i}" for i in table.index])
    rows = drawn.assign(patient=drawn["exam"], partition="cross-validation", fold=drawn.index % 5)
    cohort = drawn.rename(columns={"measured_kpa": "reference"}).set_index("exam")
    for make in (ridge, boosting):
        found = crossed_baseline(Baseline(cohort[list(RECORD)], make), cohort["reference"].to_numpy(), rows, "log")
        assert suspicion(found, cohort, RECORD, PredictConfig(), TargetConfig()) == ""
        measured, estimate = np.log(cohort["reference"].to_numpy()), np.log(found["estimate"].to_numpy())
        assert 0.15 < explained(measured, estimate) < 0.40


def test_exams_unlike_the_training_are_flagged(study, crossed):
    """Scaled values and images of noise: exams at 20 and more times the usual distance."""
    assert 0.3 < crossed["distance"].median() < 1.5
    assert crossed["flags"].str.contains("unlike_training").mean() < 0.1
    table = study.exams
    kept = table[["age", "ast"]].copy()
    external = table["partition"] == "external"
    lenient = PredictConfig(unlike=0.95)
    before = run(study, "external", study.folder / "cross-validation.csv", settings=lenient)
    table.loc[external, "age"] = 500.0
    write_tables(study)
    after = run(study, "external", study.folder / "cross-validation.csv", settings=lenient)
    table[["age", "ast"]] = kept
    write_tables(study)
    assert before["flags"].str.contains("unlike_training").mean() < 0.4
    assert after["flags"].str.contains("unlike_training").all()
    assert (after["distance"] > before["distance"]).all()


def test_familiarity_by_hand():
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((4000, 3)) @ np.array([[2.0, 0, 0], [1, 1, 0], [0, 0, 1]]) + [5, 0, 1]
    familiarity = Familiarity(3)
    fit_familiarity(familiarity, rows)
    distance = familiarity(torch.tensor(rows, dtype=torch.float32)).numpy()
    assert np.mean(distance**2) == pytest.approx(1, abs=0.02)
    apart = rows[0] - rows.mean(axis=0)
    literal = np.sqrt(apart @ np.linalg.inv(np.cov(rows.T)) @ apart / 3)
    assert distance[0] == pytest.approx(literal, rel=0.02)


def test_unlike_exams_are_told_by_the_other_folds():
    table = pd.DataFrame({"fold": list("0000011111"), "distance": [1.0, 2, 3, 4, 9, 1, 2, 3, 4, 8], "flags": "x"})
    got = cross_unlike(table, 0.8)  # of five distances the ceil(6 x 0.8) = 5th: 8 for fold 0, 9 for fold 1
    assert got["flags"].tolist() == ["x"] * 4 + ["x;unlike_training"] + ["x"] * 5


def test_too_few_exams_to_tell_which_are_unlike_are_flagged():
    few = pd.DataFrame({"fold": ["0", "1"] * 98, "distance": 1.0, "flags": "x"})
    assert (cross_unlike(few, 0.99)["flags"] == "x;likeness_unavailable").all()
    enough = pd.DataFrame({"fold": ["0", "1"] * 99, "distance": 1.0, "flags": "x"})
    assert (cross_unlike(enough, 0.99)["flags"] == "x").all()


def test_held_out_exams_say_too_when_too_few_tell_which_are_unlike(study, crossed):
    assert crossed["flags"].str.contains("likeness_unavailable").all()  # 40 exams in the other fold
    table = run(study, "external", study.folder / "cross-validation.csv")
    assert table["flags"].str.contains("likeness_unavailable").all()  # 80 of the cross-validation
    lenient = run(study, "external", study.folder / "cross-validation.csv", settings=PredictConfig(unlike=0.95))
    assert not lenient["flags"].str.contains("likeness_unavailable").any()
