"""Stage train: what a fold's model may know, repeats, resumes, refuses."""

import errno
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from made_packs import SETTINGS, Study, make_study, write_tables
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from liverstiff.config import TargetConfig, TrainConfig
from liverstiff.errors import ConfigError, DataError
from liverstiff.model import Batch, Linear, ModelConfig, inputs, load_model, training_exams
from liverstiff.model.network import PatchTokens
from liverstiff.model.slices import SliceTransformer
from liverstiff.predict.estimates import Source, estimate
from liverstiff.records import CHANNELS
from liverstiff.train import augmentation, fold, learning, prepared, train_fold
from liverstiff.train.linear import fit_linear
from liverstiff.train.material import Material, Resident, Streamed, inverse_density
from liverstiff.train.sensitivity import with_images, with_voxels


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
    return {key: outputs[key].read_bytes() for key in ("model", "description", "history", "validation")}


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

    monkeypatch.setattr(fold, "learn", lambda *args, **_: real(*args, after_epoch=stop))
    with pytest.raises(KeyboardInterrupt):
        train(study, "stopped", dropout=0.1)
    assert study.outputs(0, "stopped")["checkpoint"].exists()
    epochs = []
    monkeypatch.setattr(fold, "learn", lambda *args, **_: real(*args, after_epoch=lambda row: epochs.append(row.epoch)))
    assert train(study, "stopped", dropout=0.1) == whole
    assert epochs == [3]


def test_checkpoint_of_other_settings_is_not_resumed(study, monkeypatch, capsys):
    whole = train(study, "whole", learning_rate=1e-3)
    real = learning.learn

    def stop(row):
        raise KeyboardInterrupt

    monkeypatch.setattr(fold, "learn", lambda *args, **_: real(*args, after_epoch=stop))
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
    assert described["fitted"]["values"]["names"] == described["architecture"]["variables"]
    assert described["training_exams"] + described["validation_exams"] == 20
    history = pd.read_csv(outputs["history"])
    assert list(history) == ["epoch", "train_loss", "validation_loss", "validation_mae", "learning_rate"]
    assert described["epoch"] == history.loc[history["validation_loss"].idxmin(), "epoch"]


def test_scales_come_from_training_patients_alone(study):
    described = json.loads(train(study)["description"])
    table = study.exams[(study.exams["partition"] == "cross-validation") & (study.exams["fold"] == 1)]
    validation = prepared.inner_validation(
        table["patient"], table["reference"].to_numpy(), SETTINGS.inner_validation, SETTINGS.seed
    )
    target = np.log(table.loc[~validation, "reference"])
    assert described["fitted"]["target_mean"] == pytest.approx(target.mean())
    assert described["fitted"]["target_sd"] == pytest.approx(target.std(ddof=0))
    ast = table.loc[~validation, "ast"].dropna()
    taken = np.log1p(ast) if described["fitted"]["values"]["logarithm"][2] else ast
    assert described["fitted"]["values"]["mean"][2] == pytest.approx(taken.mean())


def test_inner_validation_is_by_patient_and_spread_over_stiffness():
    patients = pd.Series([f"p{i // 2}" for i in range(40)])
    stiffness = np.repeat(np.arange(20.0), 2)
    chosen = prepared.inner_validation(patients, stiffness, 0.25, seed=1)
    assert chosen.sum() == 10
    assert not set(patients[chosen]) & set(patients[~chosen])
    assert [band.sum() for band in np.array_split(chosen, 5)] == [2, 2, 2, 2, 2]


def test_smearing_by_hand():
    """Estimates without spread in training, residuals of 0.5 in the validation; then both alike and 3 too low."""
    exact, spread = (np.zeros(2), np.zeros(2)), (np.array([0.5, -0.5]) + 3, np.zeros(2))
    assert fold.smearing_factor(exact, spread) == pytest.approx(np.cosh(0.5))
    assert fold.smearing_factor(spread, spread) == pytest.approx(np.exp(3) * np.cosh(0.5))


def test_learning_rate_rises_then_falls_to_nothing():
    rates = [learning.learning_rate(step, 100, 0.1) for step in range(100)]
    assert rates[0] == pytest.approx(1 / 11)
    assert max(rates) == rates[10] == 1
    assert rates[55] == pytest.approx(0.5)
    assert rates[99] < 0.001


def test_likelihood_by_hand():
    loss = learning.negative_log_likelihood(torch.tensor(1.0), torch.tensor(2.0), torch.tensor(3.0))
    assert loss.item() == pytest.approx(np.log(2) + 0.5)


SIGNED = ModelConfig("transformer", (8, 8, 8), CHANNELS, ("age", "DWI:liver", "ADC:liver", "liver_ml"))


def test_dropped_sequence_takes_diffusion_and_adc_together_and_never_the_last():
    torch.manual_seed(0)
    channels_of = augmentation.Augmentation(SIGNED, 1.0, 0.0).channels_of
    everything = torch.ones(200, 4, dtype=torch.bool)
    after = augmentation.drop(everything, channels_of, 1.0)
    assert {tuple(row) for row in after.tolist()} == {
        (False, True, True, True),
        (True, False, True, True),
        (True, True, False, False),
    }
    assert torch.equal(augmentation.drop(everything, channels_of, 0.0), everything)
    only = torch.tensor([[False, False, True, True]])
    assert torch.equal(augmentation.drop(only, channels_of, 1.0), only)


def whole_batch(n=100):
    numbers = torch.ones(n, 4, dtype=torch.bool), torch.zeros(n, 4), torch.ones(n, 4, dtype=torch.bool)
    return Batch(torch.zeros(n, 4, 8, 8, 8), torch.zeros(n, 8, 8, 8, dtype=torch.uint8), *numbers)


def test_a_dropped_sequence_takes_its_signs_along():
    torch.manual_seed(0)
    after = augmentation.Augmentation(SIGNED, 1.0, 0.0)(whole_batch())
    assert torch.equal(after.known[:, 1:3], after.present[:, 2:4])
    assert after.known[:, [0, 3]].all()
    assert not after.known[:, 1].all()


def test_signs_are_dropped_together_by_chance_and_the_record_stays():
    torch.manual_seed(0)
    after = augmentation.Augmentation(SIGNED, 0.0, 0.0, 0.3)(whole_batch(400))
    assert after.known[:, 0].all()
    assert torch.equal(after.known[:, 1], after.known[:, 2])
    assert torch.equal(after.known[:, 1], after.known[:, 3])
    assert (~after.known[:, 1]).float().mean() == pytest.approx(0.3, abs=0.07)


def test_values_are_dropped_by_chance():
    torch.manual_seed(0)
    after = augmentation.Augmentation(SIGNED, 0.0, 0.3)(whole_batch())
    assert (~after.known).float().mean() == pytest.approx(0.3, abs=0.07)
    assert torch.equal(after.present, whole_batch().present)


def test_augmentation_moves_image_and_mask_alike_and_leaves_the_level_of_adc():
    torch.manual_seed(0)
    mask = torch.zeros(8, 16, 16, 8, dtype=torch.uint8)
    mask[:, 4:12, 4:12, 2:6] = 1
    images = mask[:, None].float().repeat(1, 4, 1, 1, 1)
    moved, labels = augmentation.move(images, mask)
    assert not torch.equal(labels, mask)
    assert ((moved[:, 0] > 0.5) == (labels == 1)).float().mean() > 0.97
    shaded = augmentation.shade(torch.ones(64, 4, 8, 8, 8), torch.tensor([True, True, True, False]))
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


def test_loss_that_is_not_finite_keeps_earlier_results_and_the_epochs_before(study, monkeypatch):
    whole = train(study)
    real, losses = learning.validate, []

    def broken(*args):
        losses.append(real(*args))
        return losses[-1] if len(losses) < 2 else (float("nan"), 1.0)

    with monkeypatch.context() as patched:
        patched.setattr(learning, "validate", broken)
        with pytest.raises(DataError, match="not finite in epoch 2"):
            train(study)
    outputs = study.outputs(0)
    assert {name: outputs[name].read_bytes() for name in whole} == whole
    epochs = []
    learn = learning.learn
    monkeypatch.setattr(
        fold, "learn", lambda *args, **_: learn(*args, after_epoch=lambda row: epochs.append(row.epoch))
    )
    assert train(study) == whole
    assert epochs == [2, 3]


def material_of(exams, target, training):
    rows = torch.arange(len(target))
    return Material(Resident(exams), target, torch.ones(len(target)), rows[:training], rows[training:])


def test_ridge_by_hand():
    """With little to shrink it, the plane through the points; leaving a point out is done literally."""
    torch.manual_seed(0)
    x = torch.randn(60, 2)
    y = x @ torch.tensor([0.6, -0.3]) + 0.1 * torch.randn(60)
    known = torch.ones(60, 2, dtype=torch.bool)
    exams = Batch(torch.zeros(60, 0, 0, 0, 0), torch.zeros(60, 0, 0, 0), torch.ones(60, 0, dtype=torch.bool), x, known)
    linear = Linear(2)
    error = fit_linear(linear, material_of(exams, y, 50))
    design = torch.cat([x, torch.ones(60, 1)], dim=1).double()
    literal = torch.linalg.lstsq(design[:50], y[:50, None].double()).solution.flatten()
    assert linear.weight[:2] == pytest.approx(literal[:2].numpy(), abs=0.01)
    assert linear.weight[2:].abs().max() == 0
    assert linear.bias.item() == pytest.approx(literal[2].item(), abs=0.01)
    left_out = []
    for i in range(50):
        others = [j for j in range(50) if j != i]
        fit = torch.linalg.lstsq(design[others], y[others, None].double()).solution.flatten()
        left_out.append((y[i] - design[i] @ fit).item() ** 2)
    validation = ((y[50:] - design[50:] @ literal) ** 2).tolist()
    assert error == pytest.approx(np.sqrt(np.mean(left_out + validation)), rel=0.02)


def test_a_missing_value_counts_in_the_ridge():
    """Whoever has no value has a higher target: the indicator learns it, the mean alone cannot."""
    torch.manual_seed(0)
    known = torch.rand(80, 1) < 0.6
    y = 2.0 * (~known[:, 0]).float()
    exams = Batch(torch.zeros(80, 0, 0, 0, 0), torch.zeros(80, 0, 0, 0), known[:, :0], torch.randn(80, 1), known)
    linear = Linear(1)
    fit_linear(linear, material_of(exams, y, 60))
    assert linear(exams).numpy() == pytest.approx(y.numpy(), abs=0.05)


@pytest.mark.parametrize("kind", ["ridge", "transformer"])
def test_record_alone_needs_no_packs(study, kind):
    arguments = study.inputs | study.outputs(0, kind) | {"packs": []}
    settings = SETTINGS.model_copy(update={"inputs": ("record",), "model": kind})
    train_fold(**arguments, fold=0, settings=settings, target=TargetConfig())
    described = json.loads(study.outputs(0, kind)["description"].read_text())
    assert described["architecture"]["channels"] == []
    assert described["architecture"]["variables"] == ["age", "sex", "ast"]


def test_images_alone_read_nothing_of_the_record(study):
    before = train(study, "before", inputs=("images",), measured="signs")
    study.exams[["age", "ast"]] = 1.0
    write_tables(study)
    assert train(study, "after", inputs=("images",), measured="signs") == before


def test_one_sequence_alone_reads_no_other(study):
    before = train(study, "before", sequences=("DWI",), measured="signs")
    assert json.loads(before["description"])["fitted"]["channels"] == ["DWI", "ADC"]
    for shard in ("shard-0000", "shard-0001"):
        images = np.load(study.folder / shard / "images.npy")
        images[:, :2] = 7
        np.save(study.folder / shard / "images.npy", images)
    assert train(study, "after", sequences=("DWI",), measured="signs") == before


def test_streamed_images_give_the_same_bytes(study):
    resident = train(study, "resident", measured="signs", dropout=0.1)
    streamed = train(study, "streamed", measured="signs", dropout=0.1, resident_gb=0.0)
    assert streamed["model"] == resident["model"]
    assert streamed["history"] == resident["history"]


def test_streamed_images_are_conditioned_once_and_leave_no_file(study, monkeypatch):
    real, conditioned = inputs.condition, []
    monkeypatch.setattr(inputs, "condition", lambda *args: conditioned.append(1) or real(*args))
    described = json.loads(train(study, "streamed", resident_gb=0.0)["description"])
    assert len(conditioned) == described["training_exams"] + described["validation_exams"]
    folder = study.outputs(0, "streamed")["checkpoint"].parent
    assert [path.name for path in folder.iterdir()] == ["fold-0"]


def test_no_room_for_streamed_images_is_one_line(study, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(DataError, match=r"beside the checkpoint cannot be had \(No space left on device\)"):
        train(study, resident_gb=0.0)


def test_masks_count_where_images_may_lie(study):
    """20 exams of 16 x 16 x 8 voxels: 4 channels of 2 bytes and a mask of 1."""
    size = 20 * 16 * 16 * 8 * 9 / 1e9
    splits = training_exams(pd.read_csv(study.inputs["splits"]), 0)
    cohort = pd.read_csv(study.inputs["cohort"]).set_index("exam")
    prepare = prepared.prepare(splits, cohort, study.inputs["packs"], SETTINGS, "log", 0)
    for room, kind in ((size, Resident), (0.99 * size, Streamed)):
        settings = SETTINGS.model_copy(update={"resident_gb": room})
        assert type(prepare.on(torch.device("cpu"), settings, study.folder).exams) is kind


def stop_at(step, number, monkeypatch):
    """Send this process a signal in the given step of the whole run."""
    real, calls = learning.negative_log_likelihood, []

    def counted(*args):
        calls.append(1)
        if len(calls) == step:
            os.kill(os.getpid(), number)
        return real(*args)

    monkeypatch.setattr(learning, "negative_log_likelihood", counted)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
@pytest.mark.parametrize("step", [1, 2, 3, 4, 5, 6])
def test_a_signal_saves_and_ends_as_a_failure_and_a_rerun_loses_no_step(study, monkeypatch, number, step, capsys):
    changes = {"batch": 6, "dropout": 0.2}  # three steps an epoch; the likelihood of the validation is a fourth call
    whole = train(study, "whole", **changes)
    handlers = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGUSR1)
    with monkeypatch.context() as patched:
        stop_at(step, number, patched)
        with pytest.raises(SystemExit) as caught:
            train(study, "stopped", **changes)
    assert caught.value.code == 128 + number
    assert f"saved after {number.name}" in capsys.readouterr().out
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGUSR1)) == handlers
    assert not study.outputs(0, "stopped")["model"].exists()
    steps = []
    real = learning.learning_rate
    monkeypatch.setattr(learning, "learning_rate", lambda *args: steps.append(args[0]) or real(*args))
    assert train(study, "stopped", **changes) == whole
    assert steps[0] == step - (step - 1) // 4
    assert steps == list(range(steps[0], 9))


def test_a_signal_after_the_last_step_ends_as_a_success(study, monkeypatch):
    whole = train(study, "whole", batch=6)
    with monkeypatch.context() as patched:
        stop_at(12, signal.SIGTERM, patched)  # the validation of the last epoch
        assert train(study, "told", batch=6) == whole


KILLED = """
import sys
sys.path[:0] = {paths!r}
import os, pathlib, signal
from made_packs import SETTINGS, Study
from liverstiff.config import TargetConfig
from liverstiff.train import learning, train_fold
real, calls = learning.negative_log_likelihood, []
def counted(*args):
    calls.append(1)
    if len(calls) == {step}:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*args)
learning.negative_log_likelihood = counted
study = Study(pathlib.Path({folder!r}), None)
settings = SETTINGS.model_copy(update={changes!r})
train_fold(**study.inputs, **study.outputs(0, "killed"), fold=0, settings=settings, target=TargetConfig())
"""


def test_killed_at_a_random_step_and_run_again_gives_the_same_bytes(study, monkeypatch):
    changes = {"batch": 6, "dropout": 0.2, "epochs": 4}
    whole = train(study, "whole", **changes)
    step = int(np.random.default_rng().integers(5, 16))  # after the first epoch
    paths = [str(Path(__file__).parent), str(Path(learning.__file__).parents[2])]
    script = KILLED.format(paths=paths, step=step, folder=str(study.folder), changes=changes)
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    steps = []
    real = learning.learning_rate
    monkeypatch.setattr(learning, "learning_rate", lambda *args: steps.append(args[0]) or real(*args))
    assert train(study, "killed", **changes) == whole, step
    done = step - 1 - (step - 1) // 4
    assert 0 <= done - steps[0] <= 3, f"killed in step {done}, went on from step {steps[0]} of three an epoch"


def test_damaged_checkpoint_is_one_line_and_stays(study):
    path = study.outputs(0)["checkpoint"]
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no checkpoint")
    with pytest.raises(DataError, match="damaged checkpoint"):
        train(study)
    assert path.read_bytes() == b"no checkpoint"


def test_reference_that_never_differs(study):
    study.exams["reference"] = 3.0
    write_tables(study)
    with pytest.raises(DataError, match="have the same reference"):
        train(study)


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Enough exams for the inner validation to tell whether images are used."""
    return make_study(tmp_path_factory.mktemp("large"), exams=320)


def test_model_that_sees_images_says_so(large):
    changes = {"inner_validation": 0.45, "epochs": 12, "record": ("age", "sex")}
    described = json.loads(train(large, **changes)["description"])
    assert described["sensitivity"] > 0.5
    assert described["voxel_sensitivity"] > 0.5  # volumes are the same in all exams


def test_a_network_that_reads_signs_and_no_voxel_is_told(large, monkeypatch, capsys):
    """Signs carry the images, so nothing is wrong with the images; that voxels are not read is said all the same."""
    changes = {"inner_validation": 0.45, "epochs": 1, "measured": "signs", "linear": True}
    real = PatchTokens.forward
    monkeypatch.setattr(PatchTokens, "forward", lambda self, images, masks: 0 * real(self, images, masks))
    described = json.loads(train(large, "blind", **changes)["description"])
    assert described["sensitivity"] > 0.5
    assert described["voxel_sensitivity"] == 0
    assert "WARNING: voxels not used" in capsys.readouterr().out
    monkeypatch.undo()
    ridge = json.loads(train(large, "ridge", **changes | {"model": "ridge"})["description"])
    assert ridge["voxel_sensitivity"] == 0
    assert "voxels not used" not in capsys.readouterr().out


def test_few_exams_are_not_tested_and_a_line_says_so(study, capsys):
    described = json.loads(train(study)["description"])
    assert described["sensitivity"] is None
    assert described["voxel_sensitivity"] is None
    count = described["validation_exams"]
    assert f"not tested whether images are used: inner validation of {count}" in capsys.readouterr().out


def test_others_voxels_by_hand():
    """A channel comes from the exam before that has it; all but the voxels stays."""
    present = torch.tensor([[True, True], [True, False], [True, True]])
    images = torch.arange(6.0).view(3, 2, 1, 1, 1)
    numbers = present, torch.zeros(3, 1), torch.ones(3, 1, dtype=torch.bool)
    batch = Batch(images, torch.arange(3).view(3, 1, 1, 1), *numbers)
    changed = with_voxels(batch)
    assert changed.images.flatten(1).tolist() == [[4, 5], [0, 3], [2, 1]]
    assert all(torch.equal(own, other) for own, other in zip(batch[1:], changed[1:], strict=True))


def test_others_images_by_hand():
    """The record stays, what was measured comes along."""
    values = torch.tensor([[1.0, 10.0], [2.0, 20.0]])
    flags = torch.tensor([[True], [False]])
    masks = torch.arange(2).view(2, 1, 1, 1)
    batch = Batch(torch.arange(2.0).view(2, 1, 1, 1, 1), masks, flags, values, torch.ones(2, 2, dtype=torch.bool))
    changed = with_images(batch, ("age", "T1w:liver"))
    assert changed.values.tolist() == [[1, 20], [2, 10]]
    assert changed.images.flatten().tolist() == changed.masks.flatten().tolist() == [1, 0]
    assert changed.present.flatten().tolist() == [False, True]


@pytest.mark.parametrize("kind", ["transformer", "ridge"])
def test_images_that_are_not_used_end_the_training(large, kind):
    """Images of noise: what is learned is the record, and the images of others change next to nothing."""
    noise = make_study(large.folder / f"noise-{kind}", exams=320)
    rng = np.random.default_rng(0)
    noise.exams["age"] = 50 + 10 * np.log(noise.exams["reference"])
    write_tables(noise)
    for shard in ("shard-0000", "shard-0001"):
        path = noise.folder / shard / "images.npy"
        np.save(path, (1 + 0.1 * rng.standard_normal(np.load(path).shape)).astype(np.float16))
    changes = {"inner_validation": 0.45, "model": kind, "linear": True, "epochs": 2}
    with pytest.raises(DataError, match="images not used"):
        train(noise, **changes)
    assert not noise.outputs(0)["model"].exists()
    described = json.loads(train(noise, **changes, sensitivity=0.0)["description"])
    assert described["sensitivity"] < 0.3


def test_weights_to_start_from(study):
    first = study.outputs(0, "first")["model"]
    train(study, "first")
    assert train(study, "again", pretrained=str(first))["model"] != first.read_bytes()
    with pytest.raises(ConfigError, match=r"train.pretrained: .* cannot be read"):
        train(study, "missing", pretrained="missing.safetensors")
    other = study.folder / "other.safetensors"
    save_file({"weight": torch.zeros(3)}, other)
    with pytest.raises(ConfigError, match="no tensor of"):
        train(study, "other", pretrained=str(other))
    with pytest.raises(ConfigError, match="ridge is fitted at once"):
        train(study, "ridge", pretrained=str(first), model="ridge")


def test_without_a_linear_part_none_comes_from_the_weights_to_start_from(study):
    train(study, "first", linear=True)
    first, again = (study.outputs(0, name)["model"] for name in ("first", "again"))
    train(study, "again", pretrained=str(first), linear=False)
    assert load_file(first)["linear.weight"].abs().max() > 0
    assert load_file(again)["linear.weight"].abs().max() == 0


def test_what_is_kept_of_the_validation_is_what_predict_estimates(study):
    for precision in ("float32", "bfloat16"):
        train(study, precision, precision=precision, measured="signs", linear=True)
        outputs = study.outputs(0, precision)
        kept = pd.read_csv(outputs["validation"])
        source = Source(study.inputs["packs"], pd.read_csv(study.inputs["cohort"]).set_index("exam"))
        again = estimate(*load_model(outputs["model"].parent), kept["exam"].tolist(), source)
        for column in ("estimate", "spread"):
            assert again[column].to_numpy() == pytest.approx(kept[column].to_numpy(), rel=2e-5), precision


def test_inverse_density_by_hand():
    target = torch.cat([torch.zeros(90), torch.full((10,), 5.0)]) + 0.01 * torch.arange(100)
    weight = inverse_density(target, torch.arange(100))
    assert weight.mean().item() == pytest.approx(1)
    assert 3 < weight[95] / weight[45] < 10.01
    study_weight = inverse_density(torch.cat([target, torch.tensor([40.0])]), torch.arange(100))
    assert study_weight[100] <= 10.01 * study_weight[:100].min()


def test_precision_weights_and_large_networks_run(study):
    for name, changes in {
        "bfloat16": {"precision": "bfloat16"},
        "weighted": {"inverse_density": True},
        "conv": {"stem": "conv"},
        "densenet": {"model": "densenet121", "epochs": 1, "batch": 15},
        "swin": {"model": "swin", "width": 12, "epochs": 1},
    }.items():  # 16 are learned from: a batch of 15 leaves one exam alone
        history = pd.read_csv(study.outputs(0, name)["history"]) if train(study, name, **changes) else None
        assert np.isfinite(history["validation_loss"]).all(), name


def test_progress_tells_speed_waiting_and_time_left(study, capsys):
    train(study)
    line = next(line for line in capsys.readouterr().out.splitlines() if "epoch 2/3" in line)
    assert re.search(r"[\d.]+ exams/s, waiting [\d.]+%, at most [\d.]+ min left", line)


def test_estimates_of_the_inner_validation_are_kept(study):
    train(study)
    table = pd.read_csv(study.outputs(0)["validation"])
    described = json.loads(study.outputs(0)["description"].read_text())
    assert list(table) == ["exam", "fold", "estimate", "spread"]
    assert len(table) == described["validation_exams"]
    known = study.exams.set_index("exam").loc[table["exam"]]
    assert (known["fold"] == 1).all()
    history = pd.read_csv(study.outputs(0)["history"])
    error = (table["estimate"] / described["smearing"] - known["reference"].to_numpy()).abs().mean()
    assert error == pytest.approx(history["validation_mae"].min(), abs=0.05) or described["epoch"] < 3


def test_published_like_needs_its_weights_and_keeps_them_frozen(study):
    with pytest.raises(ValueError, match="give the file in pretrained"):
        TrainConfig(model="published_like")
    body = SliceTransformer(width=64, depth=1, patch=2)
    file = study.folder / "vit.safetensors"
    save_file(body.state_dict(), file)
    changes = {"model": "published_like", "pretrained": str(file), "width": 64, "depth": 1, "patch": (2, 2, 1)}
    train(study, "like", **changes)
    network, described = load_model(study.outputs(0, "like")["model"].parent)
    assert described.architecture.linear is False
    for name, tensor in body.state_dict().items():
        assert torch.equal(network.state_dict()[f"body.{name}"], tensor), name
    with pytest.raises(ConfigError, match=r"no tensor of vit.safetensors has the name and shape of blocks\.1"):
        train(study, "deeper", **changes | {"depth": 2})


def test_some_exams_lose_their_fine_detail_and_keep_their_level():
    torch.manual_seed(0)
    fine = torch.tensor([0.0, 2.0]).repeat(4).expand(200, 1, 8, 8, 8).clone()
    after = augmentation.coarsen(fine)
    changed = (after != fine).flatten(1).any(dim=1)
    assert changed.float().mean() == pytest.approx(augmentation.COARSE, abs=0.08)
    assert after[changed].std() < 0.01
    assert after[changed].mean() == pytest.approx(1)


def test_curves_for_tensorboard_hold_the_history(study, tmp_path, monkeypatch):
    """A training that begins anew clears them. Weights do not depend on it."""
    from tensorboardX.proto.event_pb2 import Event

    def epochs(folder: Path) -> list[int]:
        found = []
        for path in sorted(folder.iterdir()):
            data = path.read_bytes()
            while data:  # length (8), its checksum (4), the event, its checksum (4)
                size = int.from_bytes(data[:8], "little")
                event = Event.FromString(data[12 : 12 + size])
                found += [event.step for value in event.summary.value if value.tag == "validation_loss"]
                data = data[16 + size :]
        return found

    folder = tmp_path / "curves"
    whole = train(study, "whole")
    outputs = study.outputs(0, "told")
    given = {**study.inputs, **outputs, "fold": 0, "target": TargetConfig(), "tensorboard": folder}
    settings = SETTINGS.model_copy(update={"tensorboard": True})
    for _ in range(2):  # the second begins anew
        train_fold(**given, settings=settings)
        assert outputs["model"].read_bytes() == whole["model"]
        assert epochs(folder) == [1, 2, 3]
    train_fold(**(given | {"tensorboard": tmp_path / "none"}), settings=SETTINGS)
    assert not (tmp_path / "none").exists()
