from pathlib import Path

import numpy as np
import pytest
from made_abdomen import AFFINE, SHAPE, T1, T2, abdomen, body_mask

from liverstiff import images
from liverstiff.alignment import align, coarse, mutual_information, write_shift

import ants  # isort: skip  (after liverstiff.images, which sets the number of threads)


def shift_of(transform: str) -> np.ndarray:
    """By how much an ANTs affine moves the image at the origin (RAS+ mm)."""
    x, y, z = np.asarray(ants.read_transform(transform).apply_to_point((0.0, 0.0, 0.0)))
    return np.array([x, y, -z])


def test_mutual_information_by_hand():
    one = np.array([0.0, 0, 1, 1]).reshape(4, 1, 1)
    everywhere = np.ones(one.shape, bool)
    assert mutual_information(one, -one, everywhere) == pytest.approx(np.log(2))
    assert mutual_information(one, np.array([0.0, 1, 0, 1]).reshape(4, 1, 1), everywhere) == pytest.approx(0)
    assert mutual_information(one, one, ~everywhere) == 0


def test_coarse_grid_keeps_positions_and_means():
    x = images.grid(AFFINE, SHAPE)[..., 0]
    small, affine = coarse(x.astype(np.float32), AFFINE, 14.0)
    assert images.spacing(affine) == pytest.approx((14, 14, 14))
    np.testing.assert_allclose(small[2:-2], images.grid(affine, small.shape)[..., 0][2:-2], atol=0.5)


def test_shift_is_written_in_the_direction_of_the_image(tmp_path):
    np.testing.assert_allclose(shift_of(write_shift((5, -7, 20), tmp_path / "t.mat")), (5, -7, 20), atol=1e-5)


def test_align_takes_the_best_start(tmp_path):
    fixed, moving = (images.to_ants(abdomen(AFFINE, SHAPE, T1, dz), AFFINE) for dz in (0, -24))
    starts = [(0.0, 0.0, z) for z in (-24.0, 0.0, 24.0)]
    found = align(fixed, moving, body_mask(), starts_mm=starts, stages=(), seed=1, prefix=tmp_path / "a")
    np.testing.assert_allclose(shift_of(found.path), (0, 0, 24), atol=1e-5)


def test_the_seed_decides_the_sampling(tmp_path):
    fixed, moving = (images.to_ants(abdomen(AFFINE, SHAPE, t, dz), AFFINE) for t, dz in ((T1, 0), (T2, -10)))

    def metric(run: str, seed: int) -> float:
        start, prefix = [(0.0, 0.0, 10.0)], Path(tmp_path) / run
        return align(fixed, moving, body_mask(), starts_mm=start, stages=("affine",), seed=seed, prefix=prefix).metric

    first = metric("a", 1)
    assert metric("b", 1) == first
    assert metric("c", 2) != first
