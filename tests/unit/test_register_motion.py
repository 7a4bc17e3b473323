"""The parts of registration: metric and its gradient, motions, resampling, picture."""

import io

import numpy as np
import pytest
from made_abdomen import AFFINE, SHAPE, T1, T2, abdomen, body_mask
from PIL import Image

from liverstiff import images
from liverstiff.register.checkerboard import Row, checkerboard_png
from liverstiff.register.fit import LEFT_WEIGHT, Volume, jacobian, liver_side, plausible
from liverstiff.register.motion import Lattice, Motion, linear, linear_jacobian, parameters_of
from liverstiff.register.resample import onto_frame
from liverstiff.register.similarity import Moving, Samples, cubic, cubic_slope, mutual_information

CENTRE = np.array([5.0, -3.0, 2.0])


def bent(size_mm: float, axes: np.ndarray, seed: int = 0) -> Motion:
    lattice = Lattice.over(body_mask(), AFFINE, 70.0)
    coefficients = size_mm * np.random.default_rng(seed).standard_normal((len(axes), int(np.prod(lattice.shape))))
    matrix = linear("affine", np.array([3.0, -2, 12, 2, 1, -1, 0, 3, 1, 2, 0, 4]))
    return Motion("affine", CENTRE, matrix, lattice, axes, coefficients)


def test_metric_of_two_levels_is_their_entropy_less_what_the_window_blurs():
    checker = (np.indices((12, 12, 12)).sum(axis=0) // 6 % 2).astype(np.float32)
    points = np.argwhere(np.ones(checker.shape, bool)).astype(float)
    moving = Moving(checker, np.eye(4))
    samples = Samples(points, np.where(checker[tuple(points.astype(int).T)] > 0, 20, 3))
    share = checker.mean()
    entropy = -(share * np.log(share) + (1 - share) * np.log(1 - share))
    assert mutual_information(samples, moving, points)[0] == pytest.approx(entropy, abs=1e-6)
    shuffled = Samples(points, np.random.default_rng(0).permutation(samples.bins))
    assert mutual_information(shuffled, moving, points)[0] < 0.02


def test_gradient_of_the_metric_is_its_derivative():
    moving = Moving(abdomen(AFFINE, SHAPE, T2, dz=-5).astype(np.float32), AFFINE)
    samples = Samples.draw(abdomen(AFFINE, SHAPE, T1), body_mask(), AFFINE, 3000, np.random.default_rng(1))
    inner = samples.some(np.abs(samples.points[:, 2]) < 60)  # points that leave the image make the metric jump
    direction = np.random.default_rng(2).standard_normal(inner.points.shape)
    _, slopes = mutual_information(inner, moving, inner.points)
    step = 1e-5
    ahead, behind = (mutual_information(inner, moving, inner.points + d * direction)[0] for d in (step, -step))
    assert (slopes * direction).sum() == pytest.approx((ahead - behind) / (2 * step), rel=1e-3)


def test_points_outside_the_image_do_not_count():
    moving = Moving(abdomen(AFFINE, SHAPE, T2).astype(np.float32), AFFINE)
    samples = Samples.draw(abdomen(AFFINE, SHAPE, T1), body_mask(), AFFINE, 2000, np.random.default_rng(1))
    more = Samples(np.vstack([samples.points, [[0, 0, 900.0]]]), np.append(samples.bins, 7))
    metric, slopes = mutual_information(more, moving, more.points)
    assert metric == mutual_information(samples, moving, samples.points)[0]
    assert not slopes[-1].any()


def test_spline_weights_by_hand():
    np.testing.assert_allclose(cubic(np.array(0.0)), (1 / 6, 4 / 6, 1 / 6, 0))
    part = np.linspace(0, 1, 7)
    np.testing.assert_allclose(cubic(part).sum(axis=0), 1)
    np.testing.assert_allclose(cubic_slope(part), (cubic(part + 1e-6) - cubic(part - 1e-6)) / 2e-6, atol=1e-8)


@pytest.mark.parametrize("kind", ["translation", "rigid", "affine"])
def test_parameters_make_and_describe_a_matrix(kind):
    wanted = np.array([1.0, -2, 3, 4, -5, 6, 1, 2, 3, -4, 5, 6])[: {"translation": 3, "rigid": 6, "affine": 12}[kind]]
    np.testing.assert_allclose(parameters_of(kind, linear(kind, wanted)), wanted, atol=1e-9)
    np.testing.assert_allclose(linear_jacobian(kind, wanted)[1], one_at(1, 3), atol=1e-6)


def one_at(row: int, column: int) -> np.ndarray:
    matrix = np.zeros((3, 4))
    matrix[row, column] = 1
    return matrix


def test_a_rigid_motion_keeps_lengths():
    matrix = linear("rigid", np.array([0.0, 0, 0, 20, -30, 10]))[:, :3]
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-12)


def test_lattice_gives_the_same_at_points_and_on_the_grid():
    motion = bent(3.0, np.array([[0.0, 1, 0]]))
    inside = images.grid(AFFINE, SHAPE).reshape(-1, 3)
    by_point = motion.bend(inside)[:, 1].reshape(SHAPE)
    by_grid = motion.lattice.on_grid(motion.coefficients[0], *[np.arange(n) for n in SHAPE])
    np.testing.assert_allclose(by_grid, by_point, atol=1e-4)
    assert np.ptp(by_grid) > 1


def test_equal_and_linear_coefficients_have_no_roughness():
    lattice = Lattice.over(body_mask(), AFFINE, 70.0)
    index = np.indices(lattice.shape).reshape(3, -1)
    for smooth in (np.ones(index.shape[1]), index[1].astype(float)):
        assert smooth @ (lattice.bending() @ smooth) == pytest.approx(0, abs=1e-9)
    rough = (index.sum(axis=0) % 2).astype(float)
    assert rough @ (lattice.bending() @ rough) > 1


@pytest.mark.parametrize("axes", [np.array([[0.0, 1, 0]]), np.eye(3)], ids=["one axis", "free"])
def test_resampling_follows_the_motion_of_points(axes):
    turned = AFFINE.copy()
    turned[:3, :3] = linear("rigid", np.array([0.0, 0, 0, 15, -10, 20]))[:, :3] @ AFFINE[:3, :3]
    motion, coordinate = bent(2.0, axes), images.grid(turned, (61, 51, 40))
    for k in range(3):
        image = np.ascontiguousarray(coordinate[..., k], dtype=np.float32)
        (moved,) = onto_frame(motion, AFFINE, SHAPE, [image], turned)
        places = motion(images.grid(AFFINE, SHAPE).reshape(-1, 3))
        shown = Moving(image, turned).shows(places).reshape(SHAPE)
        inner = shown & (moved != 0)
        assert inner.mean() > 0.2
        error = np.abs(moved - places[:, k].reshape(SHAPE))[inner]
        assert np.median(error) < 1e-3
        assert not moved[~shown].any()


def test_what_is_plausible():
    points = images.grid(AFFINE, SHAPE)[body_mask()]
    shift = Motion("translation", CENTRE, linear("translation", np.array([0.0, 5, 20])))
    assert plausible(shift, points)
    assert not plausible(Motion("translation", CENTRE, linear("translation", np.array([0.0, 0, 60]))), points)
    assert not plausible(Motion("affine", CENTRE, np.column_stack([np.diag([1, 1, 1.5]), np.zeros(3)])), points)
    assert plausible(bent(2.0, np.array([[0.0, 1, 0]])), points)
    assert not plausible(bent(60.0, np.array([[0.0, 1, 0]])), points)  # it folds


def test_jacobian_of_a_linear_motion_is_its_matrix():
    motion = bent(0.0, np.eye(3))
    np.testing.assert_allclose(jacobian(motion, CENTRE[None])[0], motion.matrix[:, :3], atol=1e-9)


def test_checkerboard_shows_every_sequence_and_the_right_on_the_left():
    frame = Volume(abdomen(AFFINE, SHAPE, T1).astype(np.float32), AFFINE)
    moving = Volume(abdomen(AFFINE, SHAPE, T2, dz=-15).astype(np.float32), AFFINE)
    shift = Motion("translation", np.zeros(3), linear("translation", np.array([0.0, 0, -15])))
    data = checkerboard_png(frame, body_mask(), [Row(moving, shift), Row(moving, shift)])
    assert data == checkerboard_png(frame, body_mask(), [Row(moving, shift), Row(moving, shift)])
    assert len(data) < 20_000
    picture = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)
    alone = np.asarray(Image.open(io.BytesIO(checkerboard_png(frame, body_mask(), []))).convert("RGB")).astype(int)
    height, width = picture.shape[0] // 2, picture.shape[1] // 4
    np.testing.assert_array_equal(picture[:height], picture[height:])
    assert (picture[:height, :width] != picture[:height, width : 2 * width]).any()  # before and after differ
    axial = alone[:, : alone.shape[1] // 2].max(axis=2)
    assert axial[:, : axial.shape[1] // 2].mean() > axial[:, axial.shape[1] // 2 :].mean()  # the liver is bright in T1w


def test_points_lie_mostly_on_the_side_of_the_liver():
    weight = liver_side(body_mask(), AFFINE)
    assert not weight[~body_mask()].any()
    points = Samples.draw(np.zeros(SHAPE), weight, AFFINE, 20000, np.random.default_rng(0)).points
    left, right = (points[:, 0] < -20).sum(), (points[:, 0] > 20).sum()
    assert left / right == pytest.approx(LEFT_WEIGHT, rel=0.1)
