"""Intensities by landmarks: one scale for scanners that show the same tissue differently, fitted in the fold."""

import json

import numpy as np
import pytest
from made_packs import SETTINGS, make_study

from liverstiff.config import TargetConfig
from liverstiff.errors import DataError
from liverstiff.model.landmarks import RANGE, landmarks_of, standard_scale, to_standard
from liverstiff.records import CHANNELS
from liverstiff.train import train_fold


@pytest.fixture
def tissue() -> np.ndarray:
    """An image (x, y, z) with air."""
    image = np.random.default_rng(0).gamma(4, 1, (20, 20, 20))
    image[:3] = 0
    return image


def test_scale_by_hand():
    ramp = np.arange(1.0, 102.0)
    assert landmarks_of(ramp) == pytest.approx([2, 11, 21, 31, 41, 51, 61, 71, 81, 91, 100])
    standard = standard_scale([landmarks_of(ramp), landmarks_of(ramp * 7)])
    assert standard[0] == -RANGE / 2
    assert standard[5] == pytest.approx(0)
    assert standard[-1] == RANGE / 2
    assert to_standard(ramp, standard)[[0, 50, 100]] == pytest.approx([-2, 0, 2])  # beyond the ends it is cut off


def test_gain_and_contrast_of_a_scanner_are_undone(tissue):
    """The mapping is straight between landmarks, so a curve is undone up to what lies between two of them."""
    standard = standard_scale([landmarks_of(tissue)])
    one, other = (to_standard(seen, standard)[3:] for seen in (tissue, 30 * tissue**1.4))
    assert np.abs(one - other).max() < 0.12
    assert np.abs(one - other).mean() < 0.02
    assert np.ptp(one) == RANGE


@pytest.mark.parametrize("bad", [0.0, 7.0, np.nan])
def test_image_without_contrast_is_refused(bad):
    with pytest.raises(ValueError, match="no width"):
        landmarks_of(np.full((3, 3, 3), bad))


def train(study, left_out=0) -> dict:
    outputs = study.outputs(left_out)
    settings = SETTINGS.model_copy(update={"intensity": "landmarks", "epochs": 1, "sensitivity": 0.0})
    train_fold(**study.inputs, **outputs, fold=left_out, settings=settings, target=TargetConfig())
    return json.loads(outputs["description"].read_text())["fitted"]


def test_the_scale_comes_from_the_training_exams_and_the_images_are_on_it(tmp_path):
    study = make_study(tmp_path)
    before = train(study)
    assert [len(marks) for marks in before["landmarks"]] == [11, 11, 11, 0]
    held_out = (study.exams["partition"] != "cross-validation") | (study.exams["fold"] == 0)
    for chosen, changes in ((held_out, False), (~held_out, True)):
        for shard in ("shard-0000", "shard-0001"):
            images = np.load(study.folder / shard / "images.npy")
            rows = chosen[study.exams["shard"] == shard].to_numpy()
            images[rows] = images[rows] ** 2
            np.save(study.folder / shard / "images.npy", images)
        assert (train(study)["landmarks"] != before["landmarks"]) is changes


def test_an_exam_without_contrast_is_named(tmp_path):
    study = make_study(tmp_path)
    images = np.load(study.folder / "shard-0000" / "images.npy")
    images[:, CHANNELS.index("T1w")] = 1
    np.save(study.folder / "shard-0000" / "images.npy", images)
    with pytest.raises(DataError, match=r"packs: exam e[0-9a-f]{12}: T1w: the histogram has no width; expected"):
        train(study)
