"""Segmentation by labelled volumes that are brought onto an image."""

from pathlib import Path

import numpy as np
import pytest
from made_people import AFFINE, SHAPE, atlas_folder, person
from scipy import ndimage

from liverstiff import images
from liverstiff.config import AtlasConfig, SegmentConfig
from liverstiff.errors import DataError
from liverstiff.segment import Sources, segment_voxels
from liverstiff.segment.atlas import View, _on_image, crop, normalise, read_atlas
from liverstiff.segment.fusion import dice, fuse, local_correlation, refine
from liverstiff.segment.labelled import find_spleen, labelled_pairs, read_labelled
from liverstiff.segment.methods import Case, by_atlas

SETTINGS = SegmentConfig(methods=("atlas",), atlases="atlases", atlas=AtlasConfig(select=2, spacing_mm=10.0))


@pytest.fixture(scope="module")
def atlases(tmp_path_factory) -> Path:
    return atlas_folder(tmp_path_factory.mktemp("atlases"))


def test_person_unseen_by_the_atlases_is_segmented(atlases):
    image, label = person(11, up=18)
    found = segment_voxels(image.astype(np.float32), AFFINE, Sources(atlases), SETTINGS)
    assert dice(found.mask == 1, label == 1) > 0.9
    assert dice(found.mask == 2, label == 2) > 0.8
    assert found.liver_ml == pytest.approx((label == 1).sum() * 6 * 6 * 8 / 1000, rel=0.1)
    assert found.quality > 0.85
    assert found.method == "atlas"


def test_quality_is_low_for_what_no_atlas_resembles(atlases):
    image, _ = person(11)
    noise = np.random.default_rng(1).random(SHAPE).astype(np.float32)
    sure, unsure = (by_atlas(Case(x.astype(np.float32), AFFINE), Sources(atlases), SETTINGS) for x in (image, noise))
    assert unsure.quality < sure.quality - 0.05


def test_an_image_is_not_its_own_atlas(atlases, tmp_path):
    (tmp_path / "copy.nii.gz").write_bytes((atlases / "image_2.nii.gz").read_bytes())
    left = [image.name for image, _ in labelled_pairs(atlases, tmp_path / "copy.nii.gz")]
    assert left == ["image_1.nii.gz", "image_3.nii.gz"]


def test_the_spleen_is_the_label_furthest_to_the_left(atlases, tmp_path):
    assert find_spleen(atlases, 1) == 2
    image, label = person(1)
    label[ndimage.binary_dilation(label == 1) & (label == 0)] = 3  # on the right
    images.save(tmp_path / "image_1.nii.gz", image.astype(np.float32), AFFINE)
    images.save(tmp_path / "label_1.nii.gz", label, AFFINE)
    assert find_spleen(tmp_path, 1) == 2
    images.save(tmp_path / "label_1.nii.gz", np.where(label == 1, 1, 0).astype(np.uint8), AFFINE)
    with pytest.raises(DataError, match="which label is the spleen"):
        find_spleen(tmp_path, 1)


def test_a_label_elsewhere_than_its_image_is_refused(atlases, tmp_path):
    label, affine = images.load(atlases / "label_1.nii.gz")
    affine = affine.copy()
    affine[2, 3] += 20
    images.save(tmp_path / "label_1.nii.gz", label, affine)
    with pytest.raises(DataError, match="at the same place"):
        read_labelled(atlases / "image_1.nii.gz", tmp_path / "label_1.nii.gz", 1)


def test_atlases_need_labels(tmp_path):
    with pytest.raises(DataError, match="no image"):
        labelled_pairs(tmp_path)
    images.save(tmp_path / "image_1.nii.gz", np.ones((4, 4, 4), np.float32), AFFINE)
    with pytest.raises(DataError, match=r"label_1\.nii\.gz"):
        labelled_pairs(tmp_path)


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
    warped = [image, rng.random((12, 12, 12)), rng.random((12, 12, 12))]
    assert fuse(image, np.diag([5.0, 5, 5, 1]), warped, [yes, no, no])[0].mean() > 0.95


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


def test_probabilities_of_a_view_lie_where_the_view_lies():
    view = View(np.zeros((4, 4, 4)), np.diag([2.0, 2, 2, 1]), [], [])
    organs = np.zeros((2, 4, 4, 4))
    organs[0, :2], organs[1, 2:] = 0.5, 0.6
    on = _on_image(organs, view, (9, 7, 7), np.eye(4))
    assert on[0, 0, 3, 3] == pytest.approx(0.5)
    assert on[1, 6, 3, 3] == pytest.approx(0.6)
    assert not on[:, 8].any()


def test_normalise_ignores_air():
    image = np.zeros((10, 10, 10))
    image[:2] = 50
    assert normalise(image).max() == 1
    assert (normalise(np.zeros((3, 3, 3))) == 0).all()
