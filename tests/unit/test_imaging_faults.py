"""Good and bad exams of one shard through harmonize, register, segment and pack: a status with a reason each."""

import filecmp
from pathlib import Path

import numpy as np
import pytest
from made_people import AFFINE, SHAPE, atlas_folder, person
from scipy import ndimage

from liverstiff import images
from liverstiff.config import AtlasConfig, HarmonizeConfig, PackConfig, RegisterConfig, SegmentConfig
from liverstiff.harmonize import harmonize_shard
from liverstiff.pack import pack_shard
from liverstiff.records import Exam, ExamStatus, read_status, read_table, write_status
from liverstiff.register import register_shard
from liverstiff.segment import segment_shard
from liverstiff.segment.fusion import dice

Image = tuple[np.ndarray, np.ndarray]
"""Voxels (x, y, z) and affine."""

IMAGE, LABEL = person(11)
SEGMENT = SegmentConfig(
    methods=("atlas",), atlases="atlases", sequences=("T1w", "T2w"), atlas=AtlasConfig(select=2, spacing_mm=10.0)
)
PACK = PackConfig(shape=(16, 16, 8), spacing_mm=(14.0, 14.0, 20.0))
STAGES = ("harmonize", "register", "segment", "pack")


def with_values(value: float, share: float) -> np.ndarray:
    changed = IMAGE.copy()
    changed[np.random.default_rng(1).random(SHAPE) < share] = value
    return changed


def wide() -> Image:
    """The person in the middle of a field of view of a metre."""
    around = [(60, 60), (70, 70), (40, 40)]
    moved = AFFINE.copy()
    moved[:3, 3] -= AFFINE[:3, :3] @ [before for before, _ in around]
    noise = np.abs(np.random.default_rng(1).normal(0, 3, tuple(n + sum(p) for n, p in zip(SHAPE, around, strict=True))))
    noise[60:110, 70:108, 40:64] = IMAGE
    return noise, moved


def oblique(degrees: float = 20.0) -> Image:
    """The person on slices turned about the left-right axis, about the same middle."""
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    affine = np.array([[1, 0, 0, 0], [0, c, -s, 0], [0, s, c, 0], [0, 0, 0, 1]]) @ AFFINE
    middle = [*(np.array(SHAPE) - 1) / 2, 1]
    affine[:3, 3] += ((AFFINE - affine) @ middle)[:3]
    back = np.linalg.inv(AFFINE) @ affine
    return ndimage.affine_transform(IMAGE, back[:3, :3], back[:3, 3], order=1), affine


def sagittal() -> Image:
    """The same voxels with the slices along x."""
    return IMAGE.transpose(1, 2, 0), AFFINE[:, [1, 2, 0, 3]]


def turned(right: bool) -> Image:
    """The patient lies on the front: turned about the long axis; ``right``: the affine says so."""
    affine = AFFINE @ np.diag([-1.0, -1, 1, 1])
    affine[:3, 3] = (AFFINE @ [SHAPE[0] - 1, SHAPE[1] - 1, 0, 1])[:3]
    return IMAGE[::-1, ::-1], affine if right else AFFINE


T1W: dict[str, Image] = {
    "good": (IMAGE, AFFINE),
    "zero": (np.zeros(SHAPE), AFFINE),
    "slice": (IMAGE[..., 12:13], AFFINE),
    "wide": wide(),
    "manynan": (with_values(np.nan, 0.3), AFFINE),
    "fewnan": (with_values(np.nan, 2e-4), AFFINE),
    "negative": (with_values(-40, 0.01), AFFINE),
    "sagittal": sagittal(),
    "oblique": oblique(),
    "prone": turned(right=True),
    "upsidedown": turned(right=False),
    "cut": (IMAGE[..., :15], AFFINE),
    "shaved": (IMAGE[..., :18], AFFINE),
}

EXCLUDED = {
    "zero": ("harmonize", "implausible_image", "all values"),
    "slice": ("harmonize", "implausible_image", "expected at least 3"),
    "manynan": ("harmonize", "implausible_image", "not finite"),
    "upsidedown": ("segment", "segmentation_failed", "atlas: "),
    "cut": ("segment", "segmentation_failed", "the liver measures 156 x 108 x 56 mm"),
    "shaved": ("segment", "segmentation_failed", "ends inside the liver"),
}
"""Stage, reason and words of the detail."""


def exam(name: str) -> Exam:
    return Exam(f"e{name}", f"p{name}", "alba")


def convert(folder: Path, series: dict[str, dict[str, Image]]) -> Path:
    """A shard as ``convert`` leaves it: the sequences of each exam."""
    for name, sequences in series.items():
        for sequence, (voxels, affine) in sequences.items():
            path = exam(name).path(folder / "convert", sequence, datatype="anat")
            images.save(path, voxels.astype(np.float32), affine)
    rows = [ExamStatus(f"e{name}", f"p{name}", "alba", "convert", "ok") for name in series]
    write_status(rows, folder / "convert" / "status.csv")
    return folder


def run(
    folder: Path, atlases: Path, required: tuple[str, ...] = ("T1w",), segmented: tuple[str, ...] = ("T1w", "T2w")
) -> Path:
    """All four stages over a shard; ``segmented``: the sequences that are."""
    harmonized, registered, segments = (folder / stage for stage in STAGES[:3])
    settings = SEGMENT.model_copy(update={"sequences": segmented})
    harmonize_shard(converted=folder / "convert", folder=harmonized, settings=HarmonizeConfig(), required=required)
    register_shard(harmonized=harmonized, folder=registered, settings=RegisterConfig())
    segment_shard(registered=registered, folder=segments, settings=settings, atlases=atlases)
    pack_shard(registered=registered, segmented=segments, folder=folder / "pack", settings=PACK)
    return folder


def status(folder: Path, name: str) -> ExamStatus:
    """What became of an exam."""
    (row,) = (row for row in read_status(folder / "pack") if row.exam == f"e{name}")
    return row


def row_of(folder: Path, stage: str, name: str, table: str = "measures.csv") -> dict:
    """An exam's row of a stage's table, as text."""
    rows = read_table(folder / stage / table).astype(str).set_index("exam")
    return rows.loc[f"e{name}"].to_dict()


def packed(folder: Path, name: str, what: str) -> np.ndarray:
    """An exam's part of a stack."""
    return np.load(folder / "pack" / f"{what}.npy")[int(row_of(folder, "pack", name, "table.csv")["row"])]


def liver_dice(folder: Path, name: str) -> float:
    """Dice of an exam's liver with the true one, brought onto the exam's grid."""
    mask, affine = images.load(exam(name).path(folder / "segment", "space-frame_mask"))
    back = np.linalg.inv(AFFINE) @ affine
    truth = ndimage.affine_transform((LABEL == 1).astype(float), back[:3, :3], back[:3, 3], mask.shape, order=1)
    return dice(mask == 1, truth > 0.5)


@pytest.fixture(scope="module")
def atlases(tmp_path_factory) -> Path:
    return atlas_folder(tmp_path_factory.mktemp("atlases"))


@pytest.fixture(scope="module")
def shard(atlases, tmp_path_factory) -> Path:
    """Every exam, all in one shard, one after the other in one process."""
    series = {name: {"T1w": image} for name, image in T1W.items()}
    return run(convert(tmp_path_factory.mktemp("shard"), series), atlases)


@pytest.fixture(scope="module")
def alone(atlases, tmp_path_factory) -> Path:
    """The good exam by itself."""
    return run(convert(tmp_path_factory.mktemp("alone"), {"good": {"T1w": T1W["good"]}}), atlases)


@pytest.mark.parametrize("name", EXCLUDED)
def test_a_bad_exam_is_a_status_with_a_reason(shard, name):
    row, (stage, reason, words) = status(shard, name), EXCLUDED[name]
    assert (row.status, row.stage, row.reason) == ("excluded", stage, reason)
    assert words in row.detail
    assert len(row.detail) > 20


@pytest.mark.parametrize("name", EXCLUDED)
def test_a_bad_exam_leaves_no_file_from_the_stage_that_excludes_it_on(shard, name):
    for stage in STAGES[STAGES.index(EXCLUDED[name][0]) :]:
        assert not list((shard / stage).glob(f"sub-p{name}*")), stage
    assert f"e{name}" not in read_table(shard / "pack" / "table.csv").exam.tolist()


@pytest.mark.parametrize("name", sorted(set(T1W) - set(EXCLUDED)))
def test_an_unusual_exam_is_segmented_where_its_organs_are(shard, name):
    row = status(shard, name)
    assert row.ok, row.detail
    assert liver_dice(shard, name) > 0.95
    whole = row_of(shard, "segment", "good")
    assert float(row_of(shard, "segment", name)["liver_ml"]) == pytest.approx(float(whole["liver_ml"]), rel=0.06)


@pytest.mark.parametrize("name", ["wide", "sagittal", "oblique", "prone"])
def test_the_pack_of_an_unusual_acquisition_is_like_that_of_the_usual_one(shard, name):
    one, usual = (packed(shard, n, "masks") == 1 for n in (name, "good"))
    assert dice(one, usual) > 0.9
    assert dice(one[::-1], usual) < 0.8
    one, usual = (packed(shard, n, "images")[0].astype(float) for n in (name, "good"))
    assert np.corrcoef(one.ravel(), usual.ravel())[0, 1] > 0.9


@pytest.mark.parametrize("name", ["good", "fewnan", "negative"])
def test_voxels_that_were_put_right_are_counted(shard, name):
    voxels, row = T1W[name][0], row_of(shard, "harmonize", name)
    assert int(row["t1w_not_finite"]) == np.isnan(voxels).sum()
    assert int(row["t1w_negative"]) == (np.nan_to_num(voxels) < 0).sum()


def test_the_others_are_untouched_by_bad_ones(shard, alone):
    for stage in STAGES[:3]:
        here, there = (folder / stage / exam("good").folder for folder in (alone, shard))
        files = sorted(path.name for path in here.iterdir())
        assert files == sorted(path.name for path in there.iterdir())
        assert len(files) >= 2
        assert filecmp.cmpfiles(here, there, files, shallow=False) == (files, [], []), stage
        assert row_of(alone, stage, "good") == row_of(shard, stage, "good")
    assert len(np.load(shard / "pack" / "images.npy")) == len(T1W) - len(EXCLUDED)
    for what in ("images", "masks"):
        assert packed(alone, "good", what).tobytes() == packed(shard, "good", what).tobytes()
    here, there = (row_of(folder, "pack", "good", "table.csv") for folder in (alone, shard))
    assert here | {"row": ""} == there | {"row": ""}


def test_an_exam_without_t1w_goes_on_in_the_space_of_its_t2w(atlases, tmp_path):
    series = {"only": {"T2w": T1W["good"]}, "spoilt": {"T1w": T1W["zero"], "T2w": T1W["good"]}}
    folder = run(convert(tmp_path, series), atlases, required=())
    for name in series:
        assert status(folder, name).ok
        assert row_of(folder, "register", name)["frame"] == "T2w"
        table = row_of(folder, "pack", name, "table.csv")
        assert (table["T1w"], table["T2w"]) == ("False", "True")
        assert liver_dice(folder, name) > 0.95
    assert row_of(folder, "harmonize", "spoilt")["t1w_fault"] == "empty_image"


def test_an_exam_with_a_faulty_t1w_or_none_stops_where_t1w_is_needed(atlases, tmp_path):
    series = {"only": {"T2w": T1W["good"]}, "spoilt": {"T1w": T1W["zero"], "T2w": T1W["good"]}}
    folder = run(convert(tmp_path, series), atlases, required=("T1w",), segmented=("T1w",))
    spoilt, only = status(folder, "spoilt"), status(folder, "only")
    assert (spoilt.stage, spoilt.reason) == ("harmonize", "implausible_image")
    assert (only.stage, only.reason) == ("segment", "missing_sequence")
    assert np.load(folder / "pack" / "images.npy").shape[0] == 0
