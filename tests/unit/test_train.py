"""Stage train: what a fold's model may know, repeats, resumes, refuses."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from made_packs import SETTINGS, Study, make_study, write_tables
from safetensors import safe_open

from liverstiff.config import TargetConfig
from liverstiff.errors import ConfigError, DataError
from liverstiff.records import CHANNELS
from liverstiff.train import augmentation, fold, learning, train_fold


@pytest.fixture
def study(tmp_path):
    return make_study(tmp_path)


def train(study: Study, name: str = "models", left_out: int = 0, **changes) -> dict[str, bytes]:
    """Train a fold and return the bytes it wrote."""
    outputs = study.outputs(left_out, name)
    train_fold(
        **study.inputs, **outputs, fold=left_out, settings=SETTINGS.model_copy(update=changes), target=TargetConfig()
    )
    assert not outputs["checkpoint"].exists()
    return {key: outputs[key].read_bytes() for key in ("model", "description", "history")}


def test_same_seed_same_bytes_and_another_seed_others(study):
    first = train(study, "first")
    assert train(study, "second") == first
    assert train(study, "third", seed=2)["model"] != first["model"]


def test_held_out_exams_reach_nothing(study):
    before = train(study, "before")
    table = study.exams
    held_out = (table["partition"] != "cross-validation") | (table["fold"] == 0)
    table.loc[held_out, ["age", "ast", "reference"]] = 1e6
    table.loc[held_out, "sex"] = "male"
    for shard in ("shard-0000", "shard-0001"):
        images = np.load(study.folder / shard / "images.npy")
        images[held_out[table["shard"] == shard].to_numpy()] = np.nan
        np.save(study.folder / shard / "images.npy", images)
    write_tables(study)
    assert train(study, "after") == before


def test_training_exams_do_reach_the_weights(study):
    before = train(study, "before")
    chosen = (study.exams["partition"] == "cross-validation") & (study.exams["fold"] == 1)
    study.exams.loc[study.exams.index[chosen][0], "reference"] += 0.1
    write_tables(study)
    assert train(study, "after")["model"] != before["model"]


def test_stopped_and_resumed_gives_the_same_bytes(study, monkeypatch):
    whole = train(study, "whole", dropout=0.1)
    real = learning.learn

    def stop(row):
        if row.epoch == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(fold, "learn", lambda *args: real(*args, after_epoch=stop))
    with pytest.raises(KeyboardInterrupt):
        train(study, "stopped", dropout=0.1)
    assert study.outputs(0, "stopped")["checkpoint"].exists()
    epochs = []
    monkeypatch.setattr(fold, "learn", lambda *args: real(*args, after_epoch=lambda row: epochs.append(row.epoch)))
    assert train(study, "stopped", dropout=0.1) == whole
    assert epochs == [3]


def test_checkpoint_of_other_settings_is_not_resumed(study, monkeypatch, capsys):
    whole = train(study, "whole", learning_rate=1e-3)
    real = learning.learn

    def stop(row):
        raise KeyboardInterrupt

    monkeypatch.setattr(fold, "learn", lambda *args: real(*args, after_epoch=stop))
    with pytest.raises(KeyboardInterrupt):
        train(study, "stopped")
    monkeypatch.setattr(fold, "learn", real)
    assert train(study, "stopped", learning_rate=1e-3) == whole
    assert "starting anew" in capsys.readouterr().out


def test_files_are_safetensors_and_json(study):
    train(study)
    outputs = study.outputs(0)
    with safe_open(outputs["model"], framework="pt") as file:
        assert {file.get_tensor(name).dtype for name in file.keys()} == {torch.float32}  # noqa: SIM118
    assert b"\x80\x04" not in outputs["model"].read_bytes()[:64]
    described = json.loads(outputs["description"].read_text())
    assert described["architecture"]["channels"] == list(CHANNELS)
    assert described["architecture"]["variables"] == ["age", "sex", "ast", "liver_ml", "spleen_ml"]
    assert described["training_exams"] + described["validation_exams"] == 20
    history = pd.read_csv(outputs["history"])
    assert list(history) == ["epoch", "train_loss", "validation_loss", "validation_mae", "learning_rate"]
    assert described["epoch"] == history.loc[history["validation_loss"].idxmin(), "epoch"]


def test_scales_come_from_training_patients_alone(study):
    described = json.loads(train(study)["description"])
    table = study.exams[(study.exams["partition"] == "cross-validation") & (study.exams["fold"] == 1)]
    validation = fold.inner_validation(
        table["patient"], table["reference"].to_numpy(), SETTINGS.inner_validation, SETTINGS.seed
    )
    target = np.log(table.loc[~validation, "reference"])
    assert described["fitted"]["target_mean"] == pytest.approx(target.mean())
    assert described["fitted"]["target_sd"] == pytest.approx(target.std(ddof=0))
    ast = np.log1p(table.loc[~validation, "ast"].dropna())
    assert described["fitted"]["value_mean"][2] == pytest.approx(ast.mean())


def test_inner_validation_is_by_patient_and_spread_over_stiffness():
    patients = pd.Series([f"p{i // 2}" for i in range(40)])
    stiffness = np.repeat(np.arange(20.0), 2)
    chosen = fold.inner_validation(patients, stiffness, 0.25, seed=1)
    assert chosen.sum() == 10
    assert not set(patients[chosen]) & set(patients[~chosen])
    assert [band.sum() for band in np.array_split(chosen, 5)] == [2, 2, 2, 2, 2]


def test_smearing_by_hand():
    assert fold.smearing_factor(np.array([0.5, -0.5]) + 3) == pytest.approx(np.cosh(0.5))


def test_learning_rate_rises_then_falls_to_nothing():
    rates = [learning.learning_rate(step, 100, 0.1) for step in range(100)]
    assert rates[0] == pytest.approx(1 / 11)
    assert max(rates) == rates[10] == 1
    assert rates[55] == pytest.approx(0.5)
    assert rates[99] < 0.001


def test_likelihood_by_hand():
    loss = learning.negative_log_likelihood(torch.tensor(1.0), torch.tensor(2.0), torch.tensor(3.0))
    assert loss.item() == pytest.approx(np.log(2) + 0.5)


def test_dropped_sequence_takes_diffusion_and_adc_together_and_never_the_last():
    torch.manual_seed(0)
    everything = torch.ones(200, 4, dtype=torch.bool)
    after = augmentation.drop(everything, 1.0)
    assert {tuple(row) for row in after.tolist()} == {
        (False, True, True, True),
        (True, False, True, True),
        (True, True, False, False),
    }
    assert torch.equal(augmentation.drop(everything, 0.0), everything)
    only = torch.tensor([[False, False, True, True]])
    assert torch.equal(augmentation.drop(only, 1.0), only)


def test_augmentation_moves_image_and_mask_alike_and_leaves_the_level_of_adc():
    torch.manual_seed(0)
    mask = torch.zeros(8, 16, 16, 8, dtype=torch.uint8)
    mask[:, 4:12, 4:12, 2:6] = 1
    images = mask[:, None].float().repeat(1, 4, 1, 1, 1)
    moved, labels = augmentation.move(images, mask)
    assert not torch.equal(labels, mask)
    assert torch.equal((moved[:, 0] > 0.5), labels == 1) or ((moved[:, 0] > 0.5) == (labels == 1)).float().mean() > 0.97
    shaded = augmentation.shade(torch.ones(64, 4, 8, 8, 8))
    level = shaded.mean(dim=(2, 3, 4)).std(dim=0)
    assert level[3] < 0.02
    assert (level[:3] > 0.05).all()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"patch": (5, 8, 4)}, "train.patch"),
        ({"width": 15}, "train.width"),
        ({"device": "cuda"}, "train.device: got 'cuda'"),
    ],
)
def test_impossible_settings_are_one_line(study, changes, words, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=words) as caught:
        train(study, **changes)
    assert "\n" not in str(caught.value)


def test_too_few_exams(tmp_path):
    with pytest.raises(DataError, match="expected 8 or more"):
        train(make_study(tmp_path, exams=20))


def test_unknown_variable(study):
    with pytest.raises(DataError, match=r"train.record: no column shoe_size"):
        train(study, record=("age", "shoe_size"))


def test_exam_without_any_sequence(study):
    path = study.folder / "shard-0000" / "table.csv"
    table = pd.read_csv(path)
    victim = study.exams.loc[(study.exams["fold"] == 1) & (study.exams["shard"] == "shard-0000"), "exam"].iloc[0]
    table.loc[table["exam"] == victim, list(CHANNELS)] = False
    table.to_csv(path, index=False)
    with pytest.raises(DataError, match=f"{victim} has none of"):
        train(study)


def test_exam_in_no_pack(study):
    path = study.folder / "shard-0000" / "table.csv"
    pd.read_csv(path).iloc[5:].to_csv(path, index=False)
    with pytest.raises(DataError, match="in no pack table"):
        train(study)


def test_loss_that_is_not_finite(study, monkeypatch):
    monkeypatch.setattr(learning, "validate", lambda *args: (float("nan"), 1.0))
    with pytest.raises(DataError, match="not finite in epoch 1"):
        train(study)
