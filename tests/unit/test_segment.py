import filecmp
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from liverstiff import images
from liverstiff.config import SegmentConfig
from liverstiff.errors import DataError, ExamExcluded
from liverstiff.records import Exam, ExamStatus, read_status, read_table, write_status
from liverstiff.segment import Segmentation, implausible, segment_image, segment_shard, segment_voxels
from liverstiff.segment.atlas import View, atlas_pairs, crop, normalise, read_atlas
from liverstiff.segment.fusion import agreement, decide, dice, fuse, largest_piece, local_correlation, refine
from liverstiff.segment.overlay import overlay_png

AFFINE = np.array([[6.0, 0, 0, -147], [0, 6, 0, -111], [0, 0, 8, -92], [0, 0, 0, 1]])
SHAPE = (50, 38, 24)
SETTINGS = SegmentConfig(atlases="atlases", select=2, spacing_mm=10.0)


def person(seed: int, *, mirrored: bool = False, up: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """A T1w-like abdomen of a person of its own size and build, and its labels."""
    rng = np.random.default_rng(seed)
    x, y, z = np.moveaxis(images.grid(AFFINE, SHAPE), -1, 0)
    x = -x if mirrored else x
    z = z - up
    width, depth = rng.uniform(118, 132), rng.uniform(84, 96)
    shift = rng.uniform(-6, 6, 3)
    size = rng.uniform(0.92, 1.08, 3)

    def ball(cx: float, cy: float, cz: float, rx: float, ry: float, rz: float) -> np.ndarray:
        return (
            ((x - cx - shift[0]) / (rx * size[0])) ** 2
            + ((y - cy - shift[1]) / (ry * size[1])) ** 2
            + ((z - cz - shift[2]) / (rz * size[2])) ** 2
        ) < 1

    image = np.where((x / width) ** 2 + (y / depth) ** 2 < 1, 60.0, 0.0)
    liver = ball(55, 5, 20, 55, 58, 52) | ball(10, 35, 30, 50, 25, 25)
    spleen = ball(-80, -25, 20, 28, 32, 36) & ~liver
    image[liver], image[spleen] = 120, 80
    for side in (-50, 50):
        image[ball(side, -50, -50, 20, 20, 30)] = 95
    image[ball(0, -62, 0, 18, 18, 500)] = 25
    return image + np.abs(rng.normal(0, 3, SHAPE)), np.where(liver, 1, np.where(spleen, 2, 0)).astype(np.uint8)


@pytest.fixture(scope="module")
def atlases(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("atlases")
    for number in (1, 2, 3):
        image, label = person(number)
        images.save(folder / f"image_{number}.nii.gz", image.astype(np.float32), AFFINE)
        images.save(folder / f"label_{number}.nii.gz", label, AFFINE)
    return folder


def test_person_unseen_by_the_atlases_is_segmented(atlases):
    image, label = person(11, up=18)
    found = segment_voxels(image.astype(np.float32), AFFINE, atlases, SETTINGS)
    assert dice(found.mask == 1, label == 1) > 0.9
    assert dice(found.mask == 2, label == 2) > 0.8
    assert found.liver_ml == pytest.approx((label == 1).sum() * 6 * 6 * 8 / 1000, rel=0.1)
    assert 0.8 < found.agreement <= 1


def test_mask_is_written_on_the_axes_of_the_image(atlases, tmp_path):
    image, label = person(12)
    flipped = AFFINE @ np.diag([-1.0, 1, 1, 1])
    flipped[0, 3] = AFFINE[0, 0] * (SHAPE[0] - 1) + AFFINE[0, 3]
    images.save(tmp_path / "image.nii.gz", image[::-1].astype(np.float32), flipped)
    found = segment_image(tmp_path / "image.nii.gz", atlases, tmp_path / "mask.nii.gz", SETTINGS)
    written, affine = images.load(tmp_path / "mask.nii.gz")
    np.testing.assert_allclose(affine, AFFINE)
    np.testing.assert_array_equal(written, found.mask)
    assert dice(written == 1, label == 1) > 0.85


def test_image_that_cannot_be_read_is_named(atlases, tmp_path):
    (tmp_path / "broken.nii.gz").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"broken\.nii\.gz"):
        segment_image(tmp_path / "broken.nii.gz", atlases, tmp_path / "mask.nii.gz", SETTINGS)


def test_volume_outside_the_range_is_an_exclusion(atlases):
    image, _ = person(11)
    strict = SETTINGS.model_copy(update={"liver_ml": (3000.0, 5000.0), "select": 1, "transform": "SyNOnly"})
    with pytest.raises(ExamExcluded, match="ml, expected 3000 to 5000") as fault:
        segment_voxels(image.astype(np.float32), AFFINE, atlases, strict)
    assert fault.value.reason == "segmentation_failed"


def test_side_of_the_liver():
    _, label = person(1)
    right, left = (Segmentation(mask, 1500, 200, 1) for mask in (label, label[::-1]))
    alone = Segmentation(np.where(label[::-1] == 1, 1, 0), 1500, 0, 1)
    assert implausible(right, AFFINE, (400, 5000)) == ""
    assert "left of the spleen" in implausible(left, AFFINE, (400, 5000))
    assert "on the left" in implausible(alone, AFFINE, (400, 5000))


def test_shard_has_mask_picture_and_measures_and_is_reproducible(atlases, tmp_path):
    registered = tmp_path / "register"
    exam, empty = Exam("e1", "p1", "alba"), Exam("e2", "p2", "alba")
    image, _ = person(11)
    images.save(exam.path(registered, "space-frame_T1w"), image.astype(np.float32), AFFINE)
    images.save(empty.path(registered, "space-frame_T1w"), np.zeros(SHAPE, np.float32), AFFINE)
    write_status(
        [ExamStatus(e.exam, e.patient, e.site, "register", "ok") for e in (exam, empty)], registered / "status.csv"
    )
    for name in ("one", "two"):
        segment_shard(registered=registered, atlases=atlases, folder=tmp_path / name, settings=SETTINGS)
    one, two = tmp_path / "one", tmp_path / "two"
    files = sorted(p.relative_to(one) for p in one.rglob("*") if p.is_file())
    assert filecmp.cmpfiles(one, two, files, shallow=False)[1:] == ([], [])
    names = {p.name.split("_", 2)[2] for p in (one / exam.folder).iterdir()}
    assert names == {"space-frame_mask.nii.gz", "desc-overlay.png"}
    assert [row.reason for row in read_status(one)] == ["", "segmentation_failed"]
    assert read_table(one / "measures.csv").columns.tolist() == ["exam", "liver_ml", "spleen_ml", "agreement"]


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


def test_atlases_need_labels(tmp_path):
    with pytest.raises(DataError, match="no image"):
        atlas_pairs(tmp_path)
    images.save(tmp_path / "image_1.nii.gz", np.ones((4, 4, 4), np.float32), AFFINE)
    with pytest.raises(DataError, match=r"label_1\.nii\.gz"):
        atlas_pairs(tmp_path)


def test_atlas_labels_can_have_other_numbers(atlases, tmp_path):
    for name in ("image_1.nii.gz", "label_1.nii.gz"):
        voxels, affine = images.load(atlases / name)
        images.save(tmp_path / name, np.where(voxels == 2, 4, voxels) if "label" in name else voxels, affine)
    one = read_atlas(atlases / "image_1.nii.gz", atlases / "label_1.nii.gz", 1, 2)
    other = read_atlas(tmp_path / "image_1.nii.gz", tmp_path / "label_1.nii.gz", 1, 4)
    np.testing.assert_array_equal(one.spleen, other.spleen)
    with pytest.raises(DataError, match="liver labelled 7"):
        read_atlas(tmp_path / "image_1.nii.gz", tmp_path / "label_1.nii.gz", 7, 4)


def test_crop_keeps_positions():
    x = images.grid(AFFINE, SHAPE)[..., 0]
    part, affine = crop(x, AFFINE, np.array([-20.0, -20, -20]), np.array([20.0, 20, 20]))
    np.testing.assert_allclose(part, images.grid(affine, part.shape)[..., 0])
    assert part.min() <= -20
    assert part.max() >= 20
    assert part.max() < 40


def test_local_correlation_of_an_image_with_itself_and_its_negative():
    image = np.random.default_rng(1).random((12, 12, 12))
    sigma = np.full(3, 2.0)
    np.testing.assert_allclose(local_correlation(image, 3 * image + 1, sigma), 1, atol=1e-3)
    np.testing.assert_allclose(local_correlation(image, -image, sigma), -1, atol=1e-3)


def test_the_atlas_that_looks_like_the_image_outvotes_the_others():
    rng = np.random.default_rng(1)
    image = rng.random((12, 12, 12))
    yes, no = np.ones((2, 12, 12, 12)), np.zeros((2, 12, 12, 12))
    view = View(
        image, np.diag([5.0, 5, 5, 1]), [image, rng.random((12, 12, 12)), rng.random((12, 12, 12))], [yes, no, no]
    )
    assert fuse(view)[0].mean() > 0.95


def test_intensity_moves_an_uncertain_edge():
    image = np.zeros((40, 20, 20))
    image[:20] = 0.8
    image = np.clip(image + np.random.default_rng(1).normal(0.1, 0.05, image.shape), 0, 1)
    prior = np.clip((26 - np.arange(40)) / 12, 0, 1)[:, None, None] * np.ones(
        image.shape
    )  # one half at 20 + 2... shifted
    edge = refine(image, np.stack([prior, np.zeros(image.shape)]), np.diag([3.0, 3, 3, 1]))[0]
    assert (prior[:20] > 0.5).all()
    assert edge[:19].min() > 0.5
    assert edge[21:].max() < 0.5


def test_labels_go_to_the_most_probable():
    view = View(np.zeros((4, 4, 4)), np.diag([2.0, 2, 2, 1]), [], [])
    probability = np.zeros((2, 4, 4, 4))
    probability[0, :2], probability[1, :2], probability[1, 2:] = 0.5, 0.2, 0.6
    labels = decide(probability, view, (7, 7, 7), np.eye(4))
    assert labels[0, 3, 3] == 1
    assert labels[6, 3, 3] == 2
    probability[:] = 0.1
    assert not decide(probability, view, (7, 7, 7), np.eye(4)).any()


def test_largest_piece_and_its_holes():
    mask = np.zeros((10, 10, 10), bool)
    mask[1:6, 1:6, 1:6] = True
    mask[3, 3, 3] = False
    mask[8, 8, 8] = True
    piece = largest_piece(mask)
    assert piece.sum() == 125
    assert not largest_piece(np.zeros((3, 3, 3), bool)).any()


def test_dice_and_agreement_by_hand():
    a, b, c = np.array([1, 1, 0, 0], bool), np.array([1, 0, 0, 0], bool), np.array([0, 0, 1, 0], bool)
    assert dice(a, b) == pytest.approx(2 / 3)
    assert agreement([a, b, c]) == pytest.approx((2 / 3 + 0 + 0) / 3)
    assert agreement([a]) == 1


def test_normalise_ignores_air():
    image = np.zeros((10, 10, 10))
    image[:2] = 50
    assert normalise(image).max() == 1
    assert (normalise(np.zeros((3, 3, 3))) == 0).all()
