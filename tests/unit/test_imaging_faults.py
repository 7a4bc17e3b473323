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

IMAGE, LABEL = person(11)
SEGMENT = SegmentConfig(
    methods=("atlas",), atlases="atlases", sequences=("T1w", "T2w"), atlas=AtlasConfig(select=2, spacing_mm=10.0)
)
PACK = PackConfig(shape=(16, 16, 8), spacing_mm=(14.0, 14.0, 20.0))


def with_values(value: float, share: float) -> np.ndarray:
    changed = IMAGE.copy()
    changed[np.random.default_rng(1).random(SHAPE) < share] = value
    return changed


def wide() -> tuple[np.ndarray, np.ndarray]:
    """The person in the middle of a field of view of a metre."""
    around = [(60, 60), (70, 70), (40, 40)]
    moved = AFFINE.copy()
    moved[:3, 3] -= AFFINE[:3, :3] @ [before for before, _ in around]
    noise = np.abs(np.random.default_rng(1).normal(0, 3, tuple(n + sum(p) for n, p in zip(SHAPE, around, strict=True))))
    noise[60:110, 70:108, 40:64] = IMAGE
    return noise, moved


def oblique(degrees: float = 20.0) -> tuple[np.ndarray, np.ndarray]:
    """The person on slices turned about the left-right axis."""
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    turn = np.array([[1, 0, 0, 0], [0, c, -s, 0], [0, s, c, 0], [0, 0, 0, 1]])
    affine = turn @ AFFINE
    affine[:3, 3] += (AFFINE - affine)[:3, :3] @ ((np.array(SHAPE) - 1) / 2) + AFFINE[:3, 3] - affine[:3, 3]
    back = np.linalg.inv(AFFINE) @ affine
    return ndimage.affine_transform(IMAGE, back[:3, :3], back[:3, 3], order=1), affine


def sagittal() -> tuple[np.ndarray, np.ndarray]:
    """The same voxels with the slices along x."""
    return IMAGE.transpose(1, 2, 0), AFFINE[:, [1, 2, 0, 3]]


def turned(right: bool) -> tuple[np.ndarray, np.ndarray]:
    """The patient turned about the long axis; ``right``: the header says so."""
    affine = AFFINE @ np.diag([-1.0, -1, 1, 1])
    affine[:3, 3] = (AFFINE @ [SHAPE[0] - 1, SHAPE[1] - 1, 0, 1])[:3]
    return IMAGE[::-1, ::-1], affine if right else AFFINE


T1W: dict[str, tuple[np.ndarray, np.ndarray]] = {
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
}

REASONS = {
    "zero": "implausible_image",
    "slice": "implausible_image",
    "manynan": "implausible_image",
    "upsidedown": "segmentation_failed",
    "cut": "segmentation_failed",
}


def exam(name: str) -> Exam:
    return Exam(f"e{name}", f"p{name}", "alba")


def run(folder: Path, atlases: Path, names: list[str], t2w_only: tuple[str, ...] = ()) -> Path:
    """All four stages over a shard; T1w of each exam, or T2w alone."""
    for name in names:
        voxels, affine = T1W[name]
        images.save(exam(name).path(folder / "convert", "T1w", datatype="anat"), voxels.astype(np.float32), affine)
    for name in t2w_only:
        images.save(exam(name).path(folder / "convert", "T2w", datatype="anat"), IMAGE.astype(np.float32), AFFINE)
    rows = [ExamStatus(e.exam, e.patient, e.site, "convert", "ok") for e in map(exam, [*names, *t2w_only])]
    write_status(rows, folder / "convert" / "status.csv")
    required = () if t2w_only else ("T1w",)
    harmonize_shard(
        converted=folder / "convert", folder=folder / "harmonize", settings=HarmonizeConfig(), required=required
    )
    register_shard(harmonized=folder / "harmonize", folder=folder / "register", settings=RegisterConfig())
    segment_shard(registered=folder / "register", folder=folder / "segment", settings=SEGMENT, atlases=atlases)
    pack_shard(registered=folder / "register", segmented=folder / "segment", folder=folder / "pack", settings=PACK)
    return folder


@pytest.fixture(scope="module")
def atlases(tmp_path_factory) -> Path:
    return atlas_folder(tmp_path_factory.mktemp("atlases"))


@pytest.fixture(scope="module")
def shard(atlases, tmp_path_factory) -> Path:
    return run(tmp_path_factory.mktemp("shard"), atlases, list(T1W))


@pytest.mark.parametrize("name", REASONS)
def test_a_bad_exam_is_a_status_with_a_reason(shard, name):
    (row,) = (row for row in read_status(shard / "pack") if row.exam == f"e{name}")
    assert (row.status, row.reason) == ("excluded", REASONS[name])
    assert len(row.detail) > 20
    assert not exam(name).path(shard / "segment", "space-frame_mask").exists()


@pytest.mark.parametrize("name", sorted(set(T1W) - set(REASONS)))
def test_an_unusual_exam_is_segmented_where_its_organs_are(shard, name):
    (row,) = (row for row in read_status(shard / "pack") if row.exam == f"e{name}")
    assert row.ok, row.detail
    mask, affine = images.load(exam(name).path(shard / "segment", "space-frame_mask"))
    back = np.linalg.inv(AFFINE) @ affine
    truth = ndimage.affine_transform((LABEL == 1).astype(float), back[:3, :3], back[:3, 3], mask.shape, order=1)
    assert dice(mask == 1, truth > 0.5) > 0.88


def test_the_others_are_untouched_by_bad_ones(shard, atlases, tmp_path):
    alone = run(tmp_path, atlases, ["good"])
    for stage in ("harmonize", "register", "segment"):
        files = sorted(path.name for path in (alone / stage / exam("good").folder).iterdir())
        here, there = (folder / stage / exam("good").folder for folder in (alone, shard))
        assert filecmp.cmpfiles(here, there, files, shallow=False) == (files, [], []), stage
    row = read_table(shard / "pack" / "table.csv").set_index("exam").row["egood"]
    one, many = (np.load(folder / "pack" / "images.npy") for folder in (alone, shard))
    np.testing.assert_array_equal(one[0], many[row])


def test_an_exam_without_t1w_goes_on_in_the_space_of_its_t2w(atlases, tmp_path):
    folder = run(tmp_path, atlases, [], t2w_only=("t2w",))
    assert [row.status for row in read_status(folder / "pack")] == ["ok"]
    table = read_table(folder / "pack" / "table.csv")
    assert table[["T1w", "T2w"]].to_numpy().tolist() == [[False, True]]
    mask, _ = images.load(exam("t2w").path(folder / "segment", "space-frame_mask"))
    assert dice(mask == 1, LABEL == 1) > 0.88
