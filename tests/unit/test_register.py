import filecmp
from pathlib import Path

import numpy as np
import pytest
from made_abdomen import AFFINE, SHAPE, T1, T2, abdomen, body_mask, liver_points
from scipy.spatial.transform import Rotation
from threadpoolctl import threadpool_limits

from liverstiff import images
from liverstiff.config import RegisterConfig
from liverstiff.errors import ExamExcluded
from liverstiff.records import Exam, ExamStatus, read_status, read_table, write_status
from liverstiff.register import Fit, Volume, bending_axes, fit_sequence, register_shard

SETTINGS = RegisterConfig(spacing_mm=7.0)
LINEAR = np.zeros((0, 3))
ALONG_Y = np.array([[0.0, 1, 0]])


def fit(moving: np.ndarray, affine: np.ndarray = AFFINE, axes: np.ndarray = LINEAR) -> Fit:
    frame = Volume(abdomen(AFFINE, SHAPE, T1).astype(np.float32), AFFINE)
    return fit_sequence(frame, body_mask(), Volume(moving.astype(np.float32), affine), SETTINGS, axes)


def error_mm(found: Fit, truth: np.ndarray) -> float:
    """Mean distance in the liver between where the motion takes points and where they are."""
    return float(np.linalg.norm(found.motion(liver_points()) - truth, axis=1).mean())


def tissue(points: np.ndarray) -> np.ndarray:
    """Whose signal an echo-planar image shows at its points (..., 3): displaced along y by up to 9 mm."""
    x, y, z = np.moveaxis(points, -1, 0)
    return np.stack([x, y + 9 * np.sin(z / 40) * np.cos(x / 70), z], axis=-1)


def grid_about(
    centre: tuple[float, ...], shape: tuple[int, ...], spacing: tuple[float, ...], turn: Rotation
) -> np.ndarray:
    """Affine of a turned grid around a point."""
    affine = np.eye(4)
    affine[:3, :3] = turn.as_matrix() * spacing
    affine[:3, 3] = centre - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return affine


def test_known_breath_of_15_mm_is_recovered():
    found = fit(abdomen(AFFINE, SHAPE, T2, dz=-15))
    assert found.kept
    assert found.metric_after > found.metric_before
    np.testing.assert_allclose(found.shift_mm, (0, 0, 15), atol=1.5)


def test_geometry_of_the_header_stays_when_it_fits():
    found = fit(abdomen(AFFINE, SHAPE, T1), axes=ALONG_Y)
    assert not found.kept
    assert found.motion.name == "header"
    assert found.metric_after == found.metric_before
    np.testing.assert_array_equal(found.motion(liver_points()), liver_points())


def test_noise_moves_nothing():
    found = fit(np.random.default_rng(3).normal(50, 10, SHAPE), axes=ALONG_Y)
    assert error_mm(found, liver_points()) < 0.5


CASES = {
    "oblique": ((45, 35, 30), (7, 7, 8), Rotation.from_euler("xz", (25, 15), degrees=True), 0.0),
    "sagittal": ((30, 45, 40), (9, 5, 5), Rotation.identity(), 0.0),
    "huge field of view": ((90, 90, 60), (9, 9, 9), Rotation.identity(), 0.0),
    "cut off": ((41, 31, 9), (7, 7, 8), Rotation.identity(), 20.0),
}


@pytest.mark.parametrize("case", CASES)
def test_any_grid_is_registered(case):
    shape, spacing, turn, z = CASES[case]
    affine = grid_about((0, 0, z), shape, spacing, turn)
    found = fit(abdomen(affine, shape, T2, dz=12), affine)
    assert error_mm(found, liver_points() + np.array([0, 0, 12])) < 2


def test_distortion_along_the_phase_axis_is_undone():
    moving = abdomen(AFFINE, SHAPE, T2, dz=8, bend=tissue)
    truth = lifted = liver_points() + np.array([0, 0, 8])
    for _ in range(50):
        truth = truth + (lifted - tissue(truth))
    straight, bent = fit(moving), fit(moving, axes=ALONG_Y)
    assert bent.motion.name == "deformable"
    assert bent.bend_mm > 3
    assert error_mm(bent, truth) < 0.6 * error_mm(straight, truth)
    assert error_mm(bent, truth) < 2.5
    off_axis = bent.motion.bend(liver_points())[:, [0, 2]]
    assert not off_axis.any()


def test_direction_of_phase_encoding_follows_the_grid():
    turned = grid_about((0, 0, 0), SHAPE, (4, 4, 9), Rotation.from_euler("z", 20, degrees=True))
    (axis,) = bending_axes("DWI", turned, SETTINGS)
    np.testing.assert_allclose(axis, Rotation.from_euler("z", 20, degrees=True).apply([0, 1, 0]))
    (axis,) = bending_axes("DWI", turned, RegisterConfig(phase_axis="right-left"))
    np.testing.assert_allclose(axis, Rotation.from_euler("z", 20, degrees=True).apply([1, 0, 0]))
    assert bending_axes("T2w", turned, SETTINGS).shape == (0, 3)
    assert bending_axes("T2w", turned, RegisterConfig(deformable=("T2w",))).shape == (3, 3)


def test_images_that_do_not_meet_or_show_nothing_are_a_fault():
    away = AFFINE.copy()
    away[2, 3] += 900
    for moving, affine, word in ((abdomen(AFFINE, SHAPE, T2), away, "meet"), (np.ones(SHAPE), AFFINE, "contrast")):
        with pytest.raises(ExamExcluded, match=word) as fault:
            fit(moving, affine)
        assert fault.value.reason == "registration_failed"


def test_the_number_of_threads_changes_nothing():
    moving = abdomen(AFFINE, SHAPE, T2, dz=-10, bend=tissue)
    found = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            found.append(fit(moving, axes=ALONG_Y).motion)
    assert found[0].name == "deformable"
    np.testing.assert_array_equal(found[0].matrix, found[1].matrix)
    np.testing.assert_array_equal(found[0].coefficients, found[1].coefficients)


def test_a_frame_without_a_body_is_a_fault():
    frame, nothing = Volume(abdomen(AFFINE, SHAPE, T1).astype(np.float32), AFFINE), np.zeros(SHAPE, bool)
    with pytest.raises(ExamExcluded, match="body mask"):
        fit_sequence(frame, nothing, frame, SETTINGS, LINEAR)


def write_exam(folder: Path, exam: Exam, moved: dict[str, np.ndarray], frame: str = "T1w") -> None:
    """A frame with its body mask, and other images on the same grid."""
    tissues = T1 if frame == "T1w" else T2
    for name, voxels in {frame: abdomen(AFFINE, SHAPE, tissues), **moved}.items():
        images.save(exam.path(folder, name), voxels.astype(np.float32), AFFINE)
    images.save(exam.path(folder, "desc-body_mask"), body_mask().astype(np.uint8), AFFINE)


def exam_of(number: int) -> Exam:
    return Exam(f"e{number}", f"p{number}", "alba")


def register(folder: Path, exams: list[Exam], name: str = "register") -> Path:
    rows = [ExamStatus(e.exam, e.patient, e.site, "harmonize", "ok") for e in exams]
    gone = ExamStatus("e99", "p99", "alba", "harmonize", "excluded", "implausible_image", "empty")
    write_status([*rows, gone], folder / "harmonize" / "status.csv")
    register_shard(harmonized=folder / "harmonize", folder=folder / name, settings=SETTINGS)
    return folder / name


def files_of(folder: Path, exam: Exam) -> set[str]:
    return {path.name.split("_", 2)[2] for path in (folder / exam.folder).iterdir()}


def test_shard_moves_adc_with_dwi_and_is_reproducible(tmp_path):
    exams = [exam_of(1), exam_of(2)]
    moved = abdomen(AFFINE, SHAPE, T2, dz=-15)
    write_exam(tmp_path / "harmonize", exams[0], {"DWI": moved, "ADC": moved * 1e-5})
    write_exam(tmp_path / "harmonize", exams[1], {})
    one, two = (register(tmp_path, exams, name) for name in ("one", "two"))
    files = sorted(p.relative_to(one) for p in one.rglob("*") if p.is_file())
    assert filecmp.cmpfiles(one, two, files, shallow=False)[1:] == ([], [])
    expected = {f"space-frame_{channel}.nii.gz" for channel in ("T1w", "DWI", "ADC")} | {"desc-checkerboard.png"}
    assert files_of(one, exams[0]) == expected
    dwi, affine = images.load(exams[0].path(one, "space-frame_DWI"))
    adc, _ = images.load(exams[0].path(one, "space-frame_ADC"))
    np.testing.assert_allclose(adc, dwi * 1e-5, atol=1e-6)
    np.testing.assert_allclose(affine, AFFINE)
    assert [row.status for row in read_status(one)] == ["ok", "ok", "excluded"]
    measures = read_table(one / "measures.csv").set_index("exam")
    assert measures.loc["e1", "dwi_kept"] == True  # noqa: E712  (read from CSV)
    assert measures.loc["e1", "dwi_metric_after"] > measures.loc["e1", "dwi_metric_before"]
    assert measures.loc["e1", "dwi_shift_z_mm"] == pytest.approx(15, abs=1.5)
    assert list(measures.frame) == ["T1w", "T1w"]
    assert np.isnan(measures.loc["e2", "dwi_metric_after"])


def test_without_t1w_the_next_sequence_is_the_frame(tmp_path):
    exams = [exam_of(1), exam_of(2)]
    moved = abdomen(AFFINE, SHAPE, T1, dz=10)
    write_exam(tmp_path / "harmonize", exams[0], {"DWI": moved, "ADC": moved * 1e-5}, frame="T2w")
    write_exam(tmp_path / "harmonize", exams[1], {"ADC": moved * 1e-5}, frame="DWI")
    out = register(tmp_path, exams)
    measures = read_table(out / "measures.csv").set_index("exam")
    assert list(measures.frame) == ["T2w", "DWI"]
    assert measures.loc["e1", "dwi_shift_z_mm"] == pytest.approx(-10, abs=1.5)
    assert [exam.frame(out).name.split("_")[-1] for exam in exams] == ["T2w.nii.gz", "DWI.nii.gz"]
    adc, _ = images.load(exams[1].path(out, "space-frame_ADC"))
    np.testing.assert_allclose(adc, moved * 1e-5, atol=1e-9)


def test_an_image_of_a_prone_patient_is_registered(tmp_path):
    exam, flip = exam_of(1), np.diag([-1.0, -1, 1, 1])
    write_exam(tmp_path / "harmonize", exam, {"T2w": abdomen(AFFINE, SHAPE, T2, dz=-15)})
    voxels, affine = images.load(exam.path(tmp_path / "harmonize", "T2w"))
    flip[:2, 3] = [SHAPE[0] - 1, SHAPE[1] - 1]
    images.save(exam.path(tmp_path / "harmonize", "T2w"), voxels[::-1, ::-1], affine @ flip)  # columns to the right
    measures = read_table(register(tmp_path, [exam]) / "measures.csv")
    assert measures.loc[0, "t2w_shift_z_mm"] == pytest.approx(15, abs=1.5)


def test_a_sequence_that_cannot_be_registered_is_left_out_and_named(tmp_path):
    exam = exam_of(1)
    moved = abdomen(AFFINE, SHAPE, T2, dz=-15)
    write_exam(tmp_path / "harmonize", exam, {"T2w": moved, "DWI": np.ones(SHAPE), "ADC": moved * 1e-5})
    out = register(tmp_path, [exam])
    assert read_status(out)[0].ok
    measures = read_table(out / "measures.csv").iloc[0]
    assert "contrast" in measures.dwi_fault
    assert measures.t2w_kept == True  # noqa: E712  (read from CSV)
    assert files_of(out, exam) == {"space-frame_T1w.nii.gz", "space-frame_T2w.nii.gz", "desc-checkerboard.png"}


def test_an_exam_without_images_is_excluded_and_a_lost_mask_is_a_bug(tmp_path):
    (tmp_path / "harmonize").mkdir()
    assert read_status(register(tmp_path, [exam_of(1)]))[0].reason == "registration_failed"
    write_exam(tmp_path / "harmonize", exam_of(2), {})
    exam_of(2).path(tmp_path / "harmonize", "desc-body_mask").unlink()
    with pytest.raises(FileNotFoundError):
        register(tmp_path, [exam_of(2)])
