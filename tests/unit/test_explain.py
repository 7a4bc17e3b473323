"""What an estimate rests on: blocks of the liver in a simulated cohort, and nothing where nothing is."""

import numpy as np
import pandas as pd
import pytest
from made_packs import SETTINGS, make_study, write_tables
from PIL import Image

from liverstiff.config import PredictConfig, TargetConfig
from liverstiff.errors import DataError
from liverstiff.model import load_model
from liverstiff.predict import occlusion
from liverstiff.predict.estimates import Source
from liverstiff.predict.occlusion import BLOCKS, COLUMNS, cover, draw, explain_exam, explain_partition, gallery, summary
from liverstiff.records import LIVER
from liverstiff.train import train_fold

CHANGES = {"inputs": ("images",), "epochs": 40, "measured": "none"}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Exams whose target is the ADC in the upper half of the liver, and models of two folds."""
    made = make_study(tmp_path_factory.mktemp("study"), exams=160)
    cause = (np.log(made.exams["reference"]) - 1) / 0.4
    for shard in ("shard-0000", "shard-0001"):
        folder = made.folder / shard
        masks = np.load(folder / "masks.npy")
        images = 1 + 0.1 * np.random.default_rng(1).standard_normal((len(masks), 4, *masks.shape[1:]))
        upper = (masks == LIVER) & (np.arange(masks.shape[2])[None, None, :, None] >= 8)
        images[:, 3] += 0.3 * upper * cause[made.exams["shard"] == shard].to_numpy()[:, None, None, None]
        np.save(folder / "images.npy", images.astype(np.float16))
        table = pd.read_csv(folder / "table.csv")
        table[["T1w", "T2w", "DWI", "ADC"]] = True
        table.to_csv(folder / "table.csv", index=False)
    for fold in range(2):
        settings = SETTINGS.model_copy(update=CHANGES)
        train_fold(**made.inputs, **made.outputs(fold), fold=fold, settings=settings, target=TargetConfig())
    return made


def run(study, **changes):
    models = [study.outputs(fold)["model"].parent for fold in range(2)]
    folder = study.folder / "explained"
    explain_partition(
        **study.inputs, models=models, folder=folder, settings=PredictConfig(gallery=5).model_copy(update=changes)
    )
    return pd.read_csv(folder / "explained.csv")


def test_it_responds_to_the_liver(study):
    table = run(study)
    assert list(table) == list(COLUMNS)
    assert len(table) == 5
    assert (table["partition"] == "temporal").all()
    assert table["liver"].mean() > 3 * table["elsewhere"].mean()
    for exam in table["exam"]:
        assert (study.folder / "explained" / f"{exam}.png").read_bytes()[1:4] == b"PNG"


def test_it_tells_where_in_the_liver(study):
    folds = [load_model(study.outputs(fold)["model"].parent) for fold in range(2)]
    source = Source(study.inputs["packs"], pd.read_csv(study.inputs["cohort"]).set_index("exam"))
    exam = study.exams[study.exams["partition"] == "temporal"].sort_values("reference")["exam"].iloc[-1]
    images, _, maps = explain_exam(exam, folds, source)
    assert images.shape == (4, 16, 16, 8)
    each = [explain_exam(exam, [fold], source)[2] for fold in folds]
    assert maps == pytest.approx(np.mean(each, axis=0))
    upper, lower = maps[4:7, 4:6], maps[4:7, 2:4]  # blocks of 2 x 2 x 2 voxels; the liver is x 8-15, y 4-12
    assert upper.mean() > 2 * lower.mean()


def test_signs_of_a_covered_exam_are_measured_once_for_all_folds(study, monkeypatch):
    real, measured = occlusion.measure, []
    monkeypatch.setattr(occlusion, "measure", lambda *args: measured.append(1) or real(*args))
    run(study, gallery=1)
    assert len(measured) == np.prod(BLOCKS)


def test_models_of_another_fold_are_refused(study):
    models = [study.outputs(fold)["model"].parent for fold in (1, 0)]
    with pytest.raises(DataError, match="model 0 is of fold 1"):
        explain_partition(**study.inputs, models=models, folder=study.folder / "wrong", settings=PredictConfig())


def test_held_out_exams_first_then_own_folds(study):
    splits = pd.read_csv(study.inputs["splits"])
    cohort = pd.read_csv(study.inputs["cohort"]).set_index("exam")
    folds = [load_model(study.outputs(fold)["model"].parent) for fold in range(2)]
    inside = splits[splits["partition"] == "cross-validation"]
    for exam, partition, own in gallery(inside, cohort, folds, 4):
        assert partition == "cross-validation"
        assert [described.fold for _, described in own] == [inside.set_index("exam").loc[exam, "fold"]]
    assert list(gallery(inside, cohort, folds, 0)) == []


def test_every_block_is_covered_once_by_the_mean():
    images = np.arange(2 * 16 * 16 * 8, dtype=np.float32).reshape(2, 16, 16, 8)
    changed = np.stack([covered != images for covered in cover(images)])
    assert len(changed) == np.prod(BLOCKS)
    assert (changed.sum(axis=0) == 1).mean() > 0.99  # a voxel may hold just the mean
    first = next(cover(images))
    assert (first[0, :2, :2, :2] == images[0].mean()).all()


def test_summary_by_hand():
    mask = np.zeros((16, 16, 8), np.uint8)
    mask[:8] = LIVER
    maps = np.ones(BLOCKS)
    maps[:4] = 3
    assert summary(maps, mask) == {"liver": 3, "elsewhere": 1, "share": 0.75}


def test_record_alone_has_nothing_to_show(study, tmp_path):
    write_tables(study)
    settings = SETTINGS.model_copy(update={"inputs": ("record",), "model": "ridge"})
    models = []
    for fold in range(2):
        outputs = {name: tmp_path / str(fold) / path.name for name, path in study.outputs(fold).items()}
        train_fold(**study.inputs, **outputs, fold=fold, settings=settings, target=TargetConfig())
        models.append(outputs["model"].parent)
    explain_partition(**study.inputs, models=models, folder=tmp_path / "none", settings=PredictConfig())
    assert [path.name for path in (tmp_path / "none").iterdir()] == ["explained.csv"]


def test_the_patient_is_seen_from_the_feet(tmp_path):
    """The patient's right, at high x of images in RAS+ axes, is on the left of the picture."""
    images = np.zeros((1, 16, 16, 8), np.float32)
    images[:, 8:] = 1
    mask = np.zeros((16, 16, 8), np.uint8)
    mask[10:14, 4:12, 2:6] = LIVER
    draw(images, mask, np.ones(BLOCKS), tmp_path / "exam.png")
    first = np.asarray(Image.open(tmp_path / "exam.png").convert("L"), dtype=float)
    first = first[:, : first.shape[1] // 2]
    half = first.shape[1] // 2
    assert first[:, :half].mean() > 2 * first[:, half:].mean()
