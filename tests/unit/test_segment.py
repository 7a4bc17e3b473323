"""The stage: methods in order, quality, plausibility, several sequences, the user's masks, the shard."""

import filecmp
import io
from pathlib import Path

import numpy as np
import pytest
from made_people import AFFINE, SHAPE, atlas_folder, person
from PIL import Image
from scipy import ndimage

from liverstiff import images
from liverstiff.config import AtlasConfig, SegmentConfig
from liverstiff.errors import DataError, ExamExcluded
from liverstiff.records import Exam, ExamStatus, read_status, read_table, write_status
from liverstiff.segment import Case, Opinion, Sources, segment_cases, segment_image, segment_shard
from liverstiff.segment.fusion import dice
from liverstiff.segment.methods import METHODS, by_masks
from liverstiff.segment.organs import cut_off, implausible, largest_piece, segmentation
from liverstiff.segment.overlay import overlay_png
from liverstiff.segment.quality import expected_dice

SETTINGS = SegmentConfig(methods=("atlas",), atlases="atlases", atlas=AtlasConfig(select=2, spacing_mm=10.0))
EXAM, EMPTY, OTHER = Exam("e1", "p1", "alba"), Exam("e2", "p2", "alba"), Exam("e3", "p3", "alba")


def opinion(label: np.ndarray, quality: float = 0.9) -> Opinion:
    return Opinion(np.stack([label == 1, label == 2]).astype(np.float32), quality)


def case(image: np.ndarray, exam: str = "") -> Case:
    return Case(image.astype(np.float32), AFFINE, exam)


@pytest.fixture(scope="module")
def atlases(tmp_path_factory) -> Path:
    return atlas_folder(tmp_path_factory.mktemp("atlases"))


@pytest.fixture
def methods(monkeypatch):
    """Two methods that say what they are told: a bad one, then a good one."""
    image, label = person(1)
    monkeypatch.setattr("liverstiff.segment.body_box", lambda *_: (slice(None),) * 3)
    said = {"network": opinion(label, 0.5), "atlas": opinion(label, 0.9)}
    for name in said:
        monkeypatch.setitem(METHODS, name, lambda *_, name=name: said[name])
    return said, case(image)


BOTH = SETTINGS.model_copy(update={"methods": ("network", "atlas")})


def test_a_mask_below_the_least_quality_gives_way_to_the_next_method(methods):
    said, image = methods
    assert segment_cases([image], Sources(), BOTH).method == "atlas"
    assert segment_cases([image], Sources(), BOTH.model_copy(update={"least_quality": 0.4})).method == "network"
    said["atlas"] = opinion(person(1)[1], 0.3)
    with pytest.raises(ExamExcluded) as fault:
        segment_cases([image], Sources(), BOTH)
    assert fault.value.reason == "segmentation_failed"
    assert "network: predicted quality 0.50, below 0.8; atlas: predicted quality 0.30" in fault.value.detail


def test_a_method_without_an_opinion_gives_way_to_the_next(methods, monkeypatch):
    _, image = methods

    def fail(*_):
        raise ExamExcluded("segmentation_failed", "it broke")

    monkeypatch.setitem(METHODS, "network", fail)
    assert segment_cases([image], Sources(), BOTH).method == "atlas"
    with pytest.raises(ExamExcluded, match="network: it broke; look at the images"):
        segment_cases([image], Sources(), BOTH.model_copy(update={"methods": ("network",)}))


def test_several_sequences_are_fused_by_their_quality(monkeypatch):
    _, label = person(1)
    wrong = np.roll(label, 8, axis=2)
    said = iter([opinion(label, 0.95), opinion(wrong, 0.6)])
    monkeypatch.setattr("liverstiff.segment.body_box", lambda *_: (slice(None),) * 3)
    monkeypatch.setitem(METHODS, "atlas", lambda *_: next(said))
    found = segment_cases([case(label), case(label)], Sources(), SETTINGS)
    assert dice(found.mask == 1, label == 1) == 1


def test_expected_dice_by_hand():
    probability = np.array([0.9, 0.6, 0.2, 0.0])
    assert expected_dice(probability, probability >= 0.5) == pytest.approx(2 * 1.5 / (1.7 + 2))
    assert expected_dice(np.array([1.0, 1, 0]), np.array([True, True, False])) == 1
    assert expected_dice(np.zeros(3), np.zeros(3, bool)) == 0


def test_plausible_masks_and_others():
    _, label = person(1)

    def fault(label: np.ndarray, **changed: object) -> str:
        return implausible(segmentation(opinion(label), AFFINE), AFFINE, SETTINGS.model_copy(update=changed))

    assert fault(label) == ""
    assert "on the left" in fault(label[::-1])
    assert "on the left" in fault(np.where(label[::-1] == 1, 1, 0))
    assert "ml, expected 3000 to 5000" in fault(label, liver_ml=(3000.0, 5000.0))
    i, j, k = np.indices(SHAPE)
    plate = (abs(i - j - 10) <= 1) & (i > 24) & (k > 2) & (k < 20)
    assert "fills" in fault(plate.astype(np.uint8), liver_ml=(1.0, 5000.0))
    assert "mm" in fault(label * (np.arange(24) == 14), liver_ml=(1.0, 5000.0))
    assert "the image ends inside the liver" in fault(np.roll(label, -10, axis=2) * (np.arange(24) < 16))


def test_a_spleen_right_of_the_liver_is_no_spleen():
    _, label = person(1)
    wrong = np.where(label == 1, 1, 0)
    wrong[-6:, 15:25, 8:14] = 2
    found = segmentation(opinion(wrong), AFFINE)
    assert found.spleen_ml == 0
    assert not (found.mask == 2).any()
    assert implausible(found, AFFINE, SETTINGS) == ""


def test_how_much_of_the_liver_is_cut_off():
    liver = np.zeros((10, 10, 10), bool)
    liver[2:8, 2:8, 2:8] = True
    assert cut_off(liver) == 0
    assert cut_off(liver[..., :5]) == 1
    assert cut_off(np.zeros((3, 3, 3), bool)) == 0


def test_the_users_masks_lie_on_any_grid(tmp_path):
    image, label = person(1)
    fine = AFFINE @ np.diag([0.5, 0.5, 0.5, 1])
    images.save(tmp_path / "e1.nii.gz", np.kron(label, np.ones((2, 2, 2))).astype(np.uint8), fine)
    found = by_masks(case(image, "e1"), Sources(masks=tmp_path), SETTINGS)
    assert dice(found.organs[0] >= 0.5, label == 1) > 0.9
    with pytest.raises(ExamExcluded, match="no mask of this exam"):
        by_masks(case(image, "e2"), Sources(masks=tmp_path), SETTINGS)
    (tmp_path / "e3.nii.gz").write_bytes(b"no image")
    with pytest.raises(ExamExcluded, match="the given mask"):
        by_masks(case(image, "e3"), Sources(masks=tmp_path), SETTINGS)


def test_a_mask_at_the_wrong_place_is_judged_worse(tmp_path):
    image, label = person(1)
    for name, mask in (("e1", label), ("e2", np.roll(label, (6, 0, 4), axis=(0, 1, 2)))):
        images.save(tmp_path / f"{name}.nii.gz", mask, AFFINE)
    right, wrong = (by_masks(case(image / 60, name), Sources(masks=tmp_path), SETTINGS) for name in ("e1", "e2"))
    assert right.quality > 0.9
    assert wrong.quality < right.quality - 0.1


def test_mask_is_written_on_the_axes_of_the_image(atlases, tmp_path):
    image, label = person(12)
    flipped = AFFINE @ np.diag([-1.0, 1, 1, 1])
    flipped[0, 3] = AFFINE[0, 0] * (SHAPE[0] - 1) + AFFINE[0, 3]
    images.save(tmp_path / "image.nii.gz", image[::-1].astype(np.float32), flipped)
    out, picture = tmp_path / "mask.nii.gz", tmp_path / "picture.png"
    found = segment_image(tmp_path / "image.nii.gz", out, SETTINGS, Sources(atlases), picture)
    written, affine = images.load(out)
    np.testing.assert_allclose(affine, AFFINE)
    np.testing.assert_array_equal(written, found.mask)
    assert dice(written == 1, label == 1) > 0.85
    assert Image.open(picture).size[0] > 100


@pytest.mark.parametrize(
    ("voxels", "said"),
    [
        (np.zeros(SHAPE), "empty"),
        (np.full(SHAPE, np.nan), "empty"),
        (np.ones((50, 38, 2)), "no volume"),
        (np.ones((50, 38)), "no volume"),
        (np.where(person(1)[0] > 20, 50, -1000), "computed tomography"),
    ],
)
def test_what_is_no_mr_volume_is_refused(voxels, said, atlases, tmp_path):
    images.save(tmp_path / "image.nii.gz", voxels.astype(np.float32), AFFINE)
    with pytest.raises(DataError, match=said):
        segment_image(tmp_path / "image.nii.gz", tmp_path / "mask.nii.gz", SETTINGS, Sources(atlases))
    assert not (tmp_path / "mask.nii.gz").exists()


def test_image_that_cannot_be_read_is_named(atlases, tmp_path):
    (tmp_path / "broken.nii.gz").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"broken\.nii\.gz"):
        segment_image(tmp_path / "broken.nii.gz", tmp_path / "mask.nii.gz", SETTINGS, Sources(atlases))


@pytest.fixture(scope="module")
def registered(tmp_path_factory) -> Path:
    """A shard of one good exam, one without signal, and one that has T2w only."""
    folder = tmp_path_factory.mktemp("register")
    image, _ = person(11)
    images.save(EXAM.path(folder, "space-frame_T1w"), image.astype(np.float32), AFFINE)
    images.save(EMPTY.path(folder, "space-frame_T1w"), np.zeros(SHAPE, np.float32), AFFINE)
    images.save(OTHER.path(folder, "space-frame_T2w"), image.astype(np.float32), AFFINE)
    rows = [ExamStatus(e.exam, e.patient, e.site, "register", "ok") for e in (EXAM, EMPTY, OTHER)]
    write_status(rows, folder / "status.csv")
    return folder


def test_shard_has_mask_picture_and_measures_and_is_reproducible(registered, atlases, tmp_path):
    for name in ("one", "two"):
        segment_shard(registered=registered, atlases=atlases, folder=tmp_path / name, settings=SETTINGS)
    one, two = tmp_path / "one", tmp_path / "two"
    files = sorted(p.relative_to(one) for p in one.rglob("*") if p.is_file())
    assert filecmp.cmpfiles(one, two, files, shallow=False)[1:] == ([], [])
    names = {p.name.split("_", 2)[2] for p in (one / EXAM.folder).iterdir()}
    assert names == {"space-frame_mask.nii.gz", "desc-overlay.png"}
    assert [row.reason for row in read_status(one)] == ["", "segmentation_failed", "missing_sequence"]
    measures = read_table(one / "measures.csv")
    assert measures.columns.tolist() == [
        *("exam", "liver_ml", "spleen_ml", "cut_off", "quality", "method", "sequences"),
    ]
    assert measures.method.tolist() == ["atlas"]


def test_the_sequence_that_the_volumes_show_is_segmented_in_the_space_of_the_frame(registered, atlases, tmp_path):
    settings = SETTINGS.model_copy(update={"sequences": ("T2w",)})
    segment_shard(registered=registered, atlases=atlases, folder=tmp_path / "out", settings=settings)
    assert [row.reason for row in read_status(tmp_path / "out")] == ["missing_sequence", "missing_sequence", ""]
    mask, _ = images.load(OTHER.path(tmp_path / "out", "space-frame_mask"))
    assert dice(mask == 1, person(11)[1] == 1) > 0.85


def test_a_shard_without_usable_sources_stops_at_once(registered, tmp_path):
    with pytest.raises(DataError, match="no image"):
        segment_shard(registered=registered, atlases=tmp_path, folder=tmp_path / "out", settings=SETTINGS)
    with pytest.raises(DataError, match="segment_train"):
        segment_shard(registered=registered, network=tmp_path, folder=tmp_path / "out", settings=BOTH)


def test_a_method_must_have_what_it_stands_on():
    for method in ("network", "atlas", "masks", "totalsegmentator", "mrsegmentator"):
        with pytest.raises(ValueError, match=f"the method '{method}' needs segment"):
            SegmentConfig(methods=(method,))


def test_picture_is_small_and_marks_the_liver():
    image, label = person(1)
    image = ndimage.zoom(image, (2.5, 2.5, 1.5), order=1)
    label = ndimage.zoom(label, (2.5, 2.5, 1.5), order=0)
    image += np.abs(np.random.default_rng(1).normal(0, 10, image.shape))
    png = overlay_png(image, label, AFFINE)
    assert len(png) <= 40_000
    picture = np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)
    orange = (picture[..., 0] > 200) & (picture[..., 2] < 90)
    first = orange[:, : picture.shape[1] // 3]
    assert first.any()
    assert np.argwhere(first)[:, 1].mean() < first.shape[1] / 2  # the patient's right is on the left


def test_largest_piece_and_its_holes():
    mask = np.zeros((10, 10, 10), bool)
    mask[1:6, 1:6, 1:6] = True
    mask[3, 3, 3] = False
    mask[8, 8, 8] = True
    piece = largest_piece(mask)
    assert piece.sum() == 125
    assert not largest_piece(np.zeros((3, 3, 3), bool)).any()


def test_dice_by_hand():
    a, b = np.array([1, 1, 0, 0], bool), np.array([1, 0, 0, 0], bool)
    assert dice(a, b) == pytest.approx(2 / 3)
    assert dice(~a & a, b & ~b) == 0
