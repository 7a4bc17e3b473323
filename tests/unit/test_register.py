import filecmp
from pathlib import Path

import numpy as np
import pytest

from liverstiff import images
from liverstiff.alignment import align, coarse, mutual_information, write_shift
from liverstiff.config import RegisterConfig
from liverstiff.errors import ExamExcluded
from liverstiff.records import Exam, ExamStatus, read_status, read_table, write_status
from liverstiff.register import fit_sequence, motion, plausible, register_shard

AFFINE = np.array([[7.0, 0, 0, -140], [0, 7, 0, -105], [0, 0, 8, -76], [0, 0, 0, 1]])
SHAPE = (41, 31, 20)


def abdomen(affine: np.ndarray, shape: tuple[int, ...], tissues: dict[str, float], dz: float = 0.0) -> np.ndarray:
    """Body, liver, spleen, two kidneys and spine; ``dz``: how far the patient's inside has moved up."""
    x, y, z = np.moveaxis(images.grid(affine, shape), -1, 0)
    z = z - dz

    def ball(cx: float, cy: float, cz: float, rx: float, ry: float, rz: float) -> np.ndarray:
        return ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 + ((z - cz) / rz) ** 2 < 1

    image = np.where((x / 130) ** 2 + (y / 95) ** 2 < 1, tissues["body"], 0.0)
    image[ball(50, 5, 15, 60, 60, 50)] = tissues["liver"]
    image[ball(-85, -30, 20, 25, 30, 35)] = tissues["spleen"]
    for side in (-50, 50):
        image[ball(side, -50, -45, 20, 20, 30)] = tissues["kidney"]
    image[ball(0, -60, 0, 18, 18, 500)] = tissues["spine"]
    return image + np.random.default_rng(int(abs(dz) + image.max())).normal(0, 2, shape)


T1 = {"body": 60.0, "liver": 120.0, "spleen": 70.0, "kidney": 80.0, "spine": 30.0}
T2 = {"body": 50.0, "liver": 40.0, "spleen": 110.0, "kidney": 140.0, "spine": 80.0}


def body_mask() -> np.ndarray:
    x, y, _ = np.moveaxis(images.grid(AFFINE, SHAPE), -1, 0)
    return (x / 130) ** 2 + (y / 95) ** 2 < 1


def fit(moving: np.ndarray, folder: Path, affine: np.ndarray = AFFINE):
    return fit_sequence(
        abdomen(AFFINE, SHAPE, T1), body_mask(), AFFINE, moving, affine, RegisterConfig(spacing_mm=7.0), folder
    )


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


def test_known_breath_of_15_mm_is_recovered(tmp_path):
    found = fit(abdomen(AFFINE, SHAPE, T2, dz=-15), tmp_path)
    assert found.kept
    assert found.metric_after > found.metric_before
    assert found.shift_mm[2] == pytest.approx(15, abs=3)
    assert found.shift_mm[0] == pytest.approx(0, abs=3)


def test_geometry_of_the_header_stays_when_it_fits(tmp_path):
    found = fit(abdomen(AFFINE, SHAPE, T1), tmp_path)
    assert not found.kept
    matrix, shift = motion(found.transforms[0], np.zeros(3))
    np.testing.assert_allclose(matrix, np.eye(3))
    assert shift == (0, 0, 0)


def test_images_that_do_not_meet_are_an_exclusion(tmp_path):
    away = AFFINE.copy()
    away[2, 3] += 900
    with pytest.raises(ExamExcluded) as fault:
        fit(abdomen(AFFINE, SHAPE, T2), tmp_path, away)
    assert fault.value.reason == "registration_failed"


def test_shift_is_written_in_the_direction_of_the_image(tmp_path):
    _, shift = motion(write_shift((5, -7, 20), tmp_path / "t.mat"), np.array([10.0, 20, 30]))
    np.testing.assert_allclose(shift, (5, -7, 20), atol=1e-5)


def test_what_is_plausible():
    assert plausible(np.eye(3), (0, 5, 20))
    assert not plausible(np.eye(3), (0, 0, 60))
    assert not plausible(np.diag([1, 1, 1.5]), (0, 0, 0))


def test_align_takes_the_best_start(tmp_path):
    fixed, moving = (images.to_ants(abdomen(AFFINE, SHAPE, T1, dz), AFFINE) for dz in (0, -24))
    starts = [(0.0, 0.0, z) for z in (-24.0, 0.0, 24.0)]
    found = align(fixed, moving, body_mask(), starts_mm=starts, stages=(), seed=1, prefix=tmp_path / "a")
    assert motion(found.path, np.zeros(3))[1] == pytest.approx((0, 0, 24))


def test_the_seed_decides_the_sampling(tmp_path):
    fixed, moving = (images.to_ants(abdomen(AFFINE, SHAPE, t, dz), AFFINE) for t, dz in ((T1, 0), (T2, -10)))

    def metric(run: str, seed: int) -> float:
        start = [(0.0, 0.0, 10.0)]
        return align(
            fixed, moving, body_mask(), starts_mm=start, stages=("affine",), seed=seed, prefix=tmp_path / run
        ).metric

    first = metric("a", 1)
    assert metric("b", 1) == first
    assert metric("c", 2) != first


def write_exam(folder: Path, exam: Exam, *, dwi: bool) -> None:
    images.save(exam.path(folder, "T1w"), abdomen(AFFINE, SHAPE, T1).astype(np.float32), AFFINE)
    images.save(exam.path(folder, "desc-body_mask"), body_mask().astype(np.uint8), AFFINE)
    if dwi:
        moved = abdomen(AFFINE, SHAPE, T2, dz=-15).astype(np.float32)
        images.save(exam.path(folder, "DWI"), moved, AFFINE)
        images.save(exam.path(folder, "ADC"), moved * 1e-5, AFFINE)


def test_shard_moves_adc_with_dwi_and_is_reproducible(tmp_path):
    harmonized = tmp_path / "harmonize"
    exams = [Exam("e1", "p1", "alba"), Exam("e2", "p2", "alba")]
    write_exam(harmonized, exams[0], dwi=True)
    write_exam(harmonized, exams[1], dwi=False)
    rows = [ExamStatus(e.exam, e.patient, e.site, "harmonize", "ok") for e in exams]
    gone = ExamStatus("e3", "p3", "alba", "harmonize", "excluded", "implausible_image", "empty")
    write_status([*rows, gone], harmonized / "status.csv")
    settings = RegisterConfig(spacing_mm=7.0)
    for name in ("one", "two"):
        register_shard(harmonized=harmonized, folder=tmp_path / name, settings=settings)
    one, two = tmp_path / "one", tmp_path / "two"
    files = sorted(p.relative_to(one) for p in one.rglob("*") if p.is_file())
    assert filecmp.cmpfiles(one, two, files, shallow=False)[1:] == ([], [])
    names = {p.name.split("_", 2)[2] for p in (one / exams[0].folder).iterdir()}
    assert names == {"space-frame_T1w.nii.gz", "space-frame_DWI.nii.gz", "space-frame_ADC.nii.gz"}
    dwi, affine = images.load(exams[0].path(one, "space-frame_DWI"))
    adc, _ = images.load(exams[0].path(one, "space-frame_ADC"))
    np.testing.assert_allclose(adc, dwi * 1e-5, atol=1e-6)
    np.testing.assert_allclose(affine, AFFINE)
    assert [row.status for row in read_status(one)] == ["ok", "ok", "excluded"]
    measures = read_table(one / "measures.csv").set_index("exam")
    assert measures.loc["e1", "dwi_kept"] == True  # noqa: E712  (read from CSV)
    assert measures.loc["e1", "dwi_metric_after"] > measures.loc["e1", "dwi_metric_before"]
    assert np.isnan(measures.loc["e2", "dwi_metric_after"])
