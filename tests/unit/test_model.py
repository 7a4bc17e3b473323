"""The model that train and predict share: its network, its inputs, its files."""

import json
from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import pytest
import torch

from liverstiff.errors import ConfigError, DataError
from liverstiff.model import (
    Batch,
    Description,
    Fitted,
    ModelConfig,
    StiffnessNet,
    ValueScale,
    build,
    choose_device,
    find_exams,
    fit_adc,
    fit_values,
    load_model,
    names,
    raw_values,
    read_batch,
    save_model,
    split_sha256,
    training_exams,
    weight_bytes,
)
from liverstiff.model.inputs import LIMIT, condition
from liverstiff.model.signs import measure
from liverstiff.records import CHANNELS

CONFIG = ModelConfig("transformer", (8, 8, 4), CHANNELS, ("age", "sex"), (4, 4, 2), width=8, depth=2, heads=2)
SCALE = ValueScale(("age", "sex"), (False, False), (50.0, 0.5), (10.0, 0.5), (True, True))
FITTED = Fitted(SCALE, CHANNELS, 1.2, 0.2, (True,) * 4, 1.0, 0.4, (1.5, 9.0), "log")


@pytest.fixture
def network() -> StiffnessNet:
    torch.manual_seed(0)
    return StiffnessNet(CONFIG).eval()


@pytest.fixture
def batch() -> Batch:
    torch.manual_seed(1)
    masks = torch.randint(0, 3, (3, 8, 8, 4), dtype=torch.uint8)
    present = torch.tensor([[True] * 4, [True, False, True, True], [True, True, False, False]])
    known = torch.tensor([[True, True], [False, True], [True, True]])
    return Batch(torch.randn(3, 4, 8, 8, 4), masks, present, torch.randn(3, 2), known)


def result(network: StiffnessNet, batch: Batch) -> torch.Tensor:
    with torch.no_grad():
        return torch.stack(network(batch))


def test_mean_and_positive_spread(network, batch):
    mean, spread = result(network, batch)
    assert mean.shape == spread.shape == (3,)
    assert (spread > 0.1).all()


def test_absent_channel_is_absent_whatever_its_voxels_hold(network, batch):
    images = batch.images.clone()
    images[1, 1] = torch.nan
    images[2, 2:] = 1e4
    assert torch.equal(result(network, batch._replace(images=images)), result(network, batch))


def test_unknown_value_is_unknown_whatever_number_stands_there(network, batch):
    values = batch.values.clone()
    values[1, 0] = 1e6
    assert torch.equal(result(network, batch._replace(values=values)), result(network, batch))


@pytest.mark.parametrize("channel", range(4))
def test_present_channel_counts(network, batch, channel):
    images = batch.images.clone()
    images[0, channel] += torch.randn(8, 8, 4)
    assert not torch.allclose(result(network, batch._replace(images=images))[:, 0], result(network, batch)[:, 0])


def test_absent_is_not_the_same_as_zero(network, batch):
    zeros = batch.images.clone()
    zeros[0, 1] = 0
    present = batch.present.clone()
    present[0, 1] = False
    absent = result(network, batch._replace(present=present))
    assert not torch.allclose(result(network, batch._replace(images=zeros))[:, 0], absent[:, 0])


def test_unknown_is_not_the_same_as_the_mean(network, batch):
    values, known = batch.values.clone(), batch.known.clone()
    values[0, 0] = 0
    known[0, 0] = False
    unknown = result(network, batch._replace(known=known))
    assert not torch.allclose(result(network, batch._replace(values=values))[:, 0], unknown[:, 0])


def test_exams_do_not_see_each_other(network, batch):
    alone = batch.of(torch.tensor([1]))
    assert torch.allclose(result(network, alone)[:, 0], result(network, batch)[:, 1], atol=1e-6)


def test_a_patch_is_a_token_in_order(network, batch):
    """A change in one patch changes that patch's token alone: patches along z come first, then y, then x."""
    images = batch.images.clone()
    images[0, 0, 4:, :4, 2:] += 1
    before, after = (network.patches(pixels, batch.masks)[0, 0] for pixels in (batch.images, images))
    assert before.shape == (8, 8)
    assert ((before != after).any(dim=1)).nonzero().flatten().tolist() == [5]


def test_training_and_evaluation_agree_without_dropout(network, batch):
    evaluated = result(network, batch)
    assert torch.allclose(torch.stack(network.train()(batch)), evaluated, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"patch": (3, 4, 2)}, "train.patch"),
        ({"patch": (1, 4, 2), "stem": "conv"}, "train.patch"),
        ({"heads": 3}, "train.width"),
        ({"kind": "swin", "channels": ()}, "train.model"),
        ({"channels": (), "variables": ()}, "train.inputs"),
        ({"kind": "forest"}, "train.model"),
        ({"kind": "ridge", "variables": ()}, "train.model: ridge reads variables alone"),
    ],
)
def test_impossible_architecture(change, words):
    with pytest.raises(ConfigError, match=words):
        replace(CONFIG, **change)


def described(weights_sha256: str) -> Description:
    return Description(
        fold=1,
        architecture=CONFIG,
        fitted=FITTED,
        sensitivity=0.7,
        voxel_sensitivity=0.2,
        smearing=1.05,
        settings={"width": 8},
        seed=1,
        training_exams=20,
        validation_exams=4,
        epoch=3,
        split_sha256="0" * 64,
        ledger_sha256="0" * 64,
        weights_sha256=weights_sha256,
        versions={"torch": "2"},
    )


def test_saved_model_comes_back_and_other_weights_are_refused(network, batch, tmp_path):
    import hashlib

    weights = weight_bytes(network)
    files = tmp_path / "model.safetensors", tmp_path / "model.json"
    save_model(weights, described(hashlib.sha256(weights).hexdigest()), *files)
    loaded, description = load_model(tmp_path)
    assert description == described(hashlib.sha256(weights).hexdigest())
    assert torch.equal(result(loaded, batch), result(network, batch))
    files[0].write_bytes(weights[:-1] + bytes([weights[-1] ^ 1]))
    with pytest.raises(DataError, match="not the weights"):
        load_model(tmp_path)


def test_damaged_description_is_one_line(tmp_path):
    (tmp_path / "model.json").write_text(json.dumps({"fold": 1, "fitted": asdict(FITTED)}))
    with pytest.raises(DataError, match="train it again") as caught:
        load_model(tmp_path)
    assert "\n" not in str(caught.value)


def test_absent_device_is_an_error(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=r"predict.device: got 'cuda'"):
        choose_device("cuda", "predict.device")
    assert choose_device("cpu", "predict.device").type == "cpu"


def test_conditioning_by_hand():
    liver = np.array([[[True, True, False]]])
    images = np.array([[[[8.0, 12.0, 16.0]]]] * 3 + [[[[1.0, 1.4, 1.8]]]])
    got = condition(images, liver, np.array([True, False, True, True]), FITTED)
    assert got[0].ravel() == pytest.approx([-1 / 3, 1 / 3, 1.0])  # mean 10, SD 2
    assert (got[1] == 0).all()
    assert got[3].ravel() == pytest.approx([-1 / 3, 1 / 3, 1.0])  # the fold's 1.2 and 0.2
    images[0, 0, 0, 2] = 1000
    assert condition(images, liver, np.array([True, False, True, True]), FITTED)[0].max() == LIMIT


@pytest.mark.parametrize("bad", [7.0, np.nan])
def test_channel_that_cannot_be_scaled(bad):
    images = np.ones((4, 2, 2, 2)) * bad
    with pytest.raises(ValueError, match="T1w is constant or not finite"):
        condition(images, np.ones((2, 2, 2), bool), np.array([True] * 4), FITTED)


def pack(folder, exams, adc=1.2, channels=(True, True, True, True)):
    folder.mkdir()
    images = np.random.default_rng(0).random((len(exams), 4, 4, 4, 2)).astype(np.float16)
    images[:, 3] += adc
    np.save(folder / "images.npy", images)
    np.save(folder / "masks.npy", np.ones((len(exams), 4, 4, 2), np.uint8))
    table = pd.DataFrame({"exam": exams, "row": range(len(exams)), "liver_ml": 1500.0, "spleen_ml": np.e - 1})
    table[["T1w", "T2w", "DWI", "ADC"]] = channels
    table.to_csv(folder / "table.csv", index=False)
    return images


def test_exams_are_found_in_the_order_asked_and_read_from_their_own_rows(tmp_path):
    first = pack(tmp_path / "a", ["e1", "e2"])
    second = pack(tmp_path / "b", ["e3"], channels=(True, False, True, True))
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "table.csv").write_text("exam\n")
    folders = [tmp_path / "a", tmp_path / "b", tmp_path / "c"]
    found = find_exams(folders, ["e3", "e2"], CHANNELS)
    cohort = pd.DataFrame({"age": [60, 40, np.nan], "sex": ["male", "female", "male"]}, index=["e1", "e2", "e3"])
    batch = read_batch(found, raw_values(cohort, found, ("age", "sex")), FITTED)
    assert batch.present.tolist() == [[True, False, True, True], [True] * 4]
    assert batch.values.tolist() == [[0.0, 1.0], [-1.0, -1.0]]
    assert batch.known.tolist() == [[False, True], [True, True]]
    for index, voxels in enumerate((second[0], first[1])):
        liver = voxels[0].astype(float)
        assert np.allclose(batch.images[index, 0], (liver - liver.mean()) / liver.std() / 3, atol=2e-3)
    assert fit_adc(found) == pytest.approx(
        (
            np.concatenate([second[0, 3], first[1, 3]], dtype=float).mean(),
            np.concatenate([second[0, 3], first[1, 3]], dtype=float).std(),
        )
    )
    with pytest.raises(DataError, match="1 of 2 exams"):
        find_exams(folders, ["e3", "e9"], CHANNELS)


def test_channel_without_training_exam_is_not_used(tmp_path):
    pack(tmp_path / "a", ["e1"])
    batch = read_batch(find_exams([tmp_path / "a"], ["e1"], CHANNELS), np.empty((1, 0)), _without_adc())
    assert batch.present.tolist() == [[True, True, True, False]]


def _without_adc() -> Fitted:
    return replace(FITTED, values=ValueScale((), (), (), (), ()), trained=(True, True, True, False))


def test_record_without_images_needs_no_pack():
    found = find_exams([], ["e2", "e1"], ())
    cohort = pd.DataFrame({"age": [60.0, 40.0], "sex": ["male", None]}, index=["e1", "e2"])
    batch = read_batch(found, raw_values(cohort, found, ("age", "sex")), replace(FITTED, channels=(), trained=()))
    assert batch.values.tolist() == [[-1.0, 0.0], [1.0, 1.0]]
    assert batch.known.tolist() == [[True, False], [True, True]]
    assert batch.images.shape == (2, 0, 0, 0, 0)


def test_columns_of_words_are_refused():
    cohort = pd.DataFrame({"aetiology": ["viral"]}, index=["e1"])
    with pytest.raises(DataError, match="aetiology holds words"):
        raw_values(cohort, find_exams([], ["e1"], ()), ("aetiology",))


def test_scales_by_hand():
    values = np.array([[1.0, 5.0, np.nan, 0.0], [3.0, 5.0, np.nan, 1.0], [np.nan, 5.0, np.nan, 99.0]])
    scale = fit_values(values, ("a", "b", "c", "d"))
    assert scale.logarithm == (False, False, False, True)
    logs = np.log1p([0, 1, 99])
    assert scale.mean == pytest.approx((2.0, 5.0, 0.0, logs.mean()))
    assert scale.sd == pytest.approx((1.0, 1.0, 1.0, logs.std()))
    assert scale.known == (True, True, False, True)
    scaled, known = scale.apply(np.array([[4.0, np.nan, 7.0, 1.0]]), ["e1"])
    assert known.tolist() == [[True, False, False, True]]  # nobody's third variable was known in training
    assert scaled[0] == pytest.approx([2.0, 0.0, 0.0, (np.log(2) - logs.mean()) / logs.std()], abs=1e-6)
    with pytest.raises(DataError, match="d of exam e7 is negative"):
        scale.apply(np.array([[0.0, 0.0, 0.0, -1.0]]), ["e7"])


def test_signs_are_never_taken_as_logarithms_amounts_are():
    """Log ratios that happen to be positive and skewed in training may be negative later."""
    skewed = np.array([0.0, 0.1, 0.1, 0.2, 3.0])
    columns = ("T1w:spleen", "surface", "ADC:liver", "liver_ml", "ast")
    scale = fit_values(np.stack([skewed] * 5, axis=1), columns)
    assert scale.logarithm == (False, False, False, True, True)
    scaled, known = scale.apply(np.array([[-0.5, -0.5, -0.5, 0.1, 0.1]]), ["e1"])
    assert known.all()
    assert scaled[0, 0] == pytest.approx((-0.5 - skewed.mean()) / skewed.std())


def test_signs_by_hand():
    mask = np.zeros((12, 12, 12), np.uint8)
    mask[:6], mask[8:] = 1, 2
    image = np.where(mask == 1, 4.0, np.where(mask == 2, 2.0, 8.0))
    found = measure(np.stack([image] * 4), mask, np.array([True, True, False, True]))
    assert found["T1w:liver"] == pytest.approx(np.log(4))
    assert found["T1w:spleen"] == pytest.approx(np.log(2))
    assert found["T1w:rest"] == pytest.approx(-np.log(2))
    assert found["ADC:liver"] == 4
    assert np.isnan(found["DWI:liver"])
    assert set(found) | {"liver_ml", "spleen_ml"} == set(names("signs", CHANNELS))


def test_rough_surface_and_texture_are_seen():
    rng = np.random.default_rng(0)
    mask = np.zeros((16, 16, 16), np.uint8)
    mask[3:13, 3:13, 3:13] = 1
    rough = mask.copy()
    rough[3][rng.random((16, 16)) < 0.5] = 0
    flat = np.ones((4, 16, 16, 16)) + 0.01 * rng.standard_normal((4, 16, 16, 16))
    before = measure(flat, mask, np.ones(4, bool))
    after = measure(flat + 0.1 * rng.standard_normal(flat.shape), rough, np.ones(4, bool))
    assert after["surface"] > before["surface"] + 0.1
    assert after["T1w:texture"] > before["T1w:texture"] + 1


def test_kinds_share_one_interface_and_absent_channels_are_absent(batch):
    big = Batch(torch.randn(2, 4, 32, 32, 16), torch.randint(0, 3, (2, 32, 32, 16)), *(part[:2] for part in batch[2:]))
    for kind, width in (("transformer", 16), ("swin", 12), ("densenet121", 16), ("ridge", 16)):
        model = build(replace(CONFIG, kind=kind, shape=(32, 32, 16), patch=(8, 8, 8), width=width)).eval()
        before = result(model, big)
        assert before.shape == (2, 2)
        images = big.images.clone()
        images[1, 1] = torch.nan
        assert torch.equal(result(model, big._replace(images=images)), before)


@pytest.mark.parametrize(("kind", "width"), [("transformer", 16), ("swin", 12), ("densenet121", 16)])
def test_nothing_depends_on_the_other_exams_of_a_batch_or_on_what_was_seen_in_training(kind, width):
    """Averaged weights have no statistics of batches of their own, and one exam may be all of a batch."""
    torch.manual_seed(0)
    numbers = torch.ones(3, 4, dtype=torch.bool), torch.randn(3, 2), torch.ones(3, 2, dtype=torch.bool)
    batch = Batch(torch.randn(3, 4, 32, 32, 16), torch.randint(0, 3, (3, 32, 32, 16)), *numbers)
    model = build(replace(CONFIG, kind=kind, shape=(32, 32, 16), patch=(8, 8, 8), width=width))
    trained = result(model.train(), batch)
    assert torch.allclose(result(model.train(), batch.of(torch.tensor([1])))[:, 0], trained[:, 1], atol=1e-4)
    assert torch.allclose(result(model.eval(), batch), trained, atol=1e-4)


def test_monai_is_imported_only_where_it_is_used():
    import subprocess
    import sys

    code = "import sys, liverstiff.train, liverstiff.predict; sys.exit('monai' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_conv_stem_and_models_of_one_input(batch):
    for change in ({"stem": "conv"}, {"variables": ()}, {"channels": (), "shape": (0, 0, 0)}):
        config = replace(CONFIG, **change)
        some = batch._replace(
            images=batch.images[:, : len(config.channels)],
            present=batch.present[:, : len(config.channels)],
            values=batch.values[:, : len(config.variables)],
            known=batch.known[:, : len(config.variables)],
        )
        assert torch.isfinite(result(build(config).eval(), some)).all()


def test_exam_without_any_channel_of_the_model_is_estimated(network, batch):
    present = batch.present.clone()
    present[0] = False
    assert torch.isfinite(result(network, batch._replace(present=present))).all()


def test_training_exams_leave_out_the_fold_and_every_test():
    splits = pd.DataFrame(
        {
            "exam": ["e4", "e3", "e2", "e1"],
            "patient": ["p4", "p3", "p2", "p1"],
            "partition": ["cross-validation", "cross-validation", "temporal", "cross-validation"],
            "fold": [0, 1, np.nan, 0],
        }
    )
    assert training_exams(splits, 1).to_numpy().tolist() == [["e1", "p1"], ["e4", "p4"]]
    assert training_exams(splits, 0)["exam"].tolist() == ["e3"]
    assert split_sha256(training_exams(splits, 0)) != split_sha256(training_exams(splits, 1))
    assert split_sha256(training_exams(splits, 0)) == split_sha256(training_exams(splits.iloc[::-1], 0))
