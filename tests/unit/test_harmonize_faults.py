"""Faulty and unusual images through harmonize: each works, costs its sequence with a fault, or excludes the exam."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_harmonize import AFFINE, SHAPE, phantom, write_exam

from liverstiff import images
from liverstiff.config import HarmonizeConfig
from liverstiff.errors import ExamExcluded
from liverstiff.harmonize import harmonize_exam
from liverstiff.harmonize.faults import SequenceFault, read_plausible
from liverstiff.records import Exam

EXAM = Exam("e1", "p1", "alba")


def noisy(scale: float = 1.0) -> np.ndarray:
    return (scale * np.abs(phantom()[0] + np.random.default_rng(2).normal(0, 2, SHAPE))).astype(np.float32)


def write(folder: Path, name: str, voxels: np.ndarray, affine: np.ndarray = AFFINE) -> None:
    images.save(EXAM.path(folder, name, datatype="dwi" if name == "dwi" else "anat"), voxels, affine)


def harmonise(folder: Path, *, required: tuple[str, ...] = (), **settings: Any) -> dict[str, Any]:
    return harmonize_exam(
        EXAM, folder / "out", converted=folder, settings=HarmonizeConfig(**settings), required=required
    )


def written(folder: Path) -> set[str]:
    return {path.name.split("_", 2)[2].removesuffix(".nii.gz") for path in (folder / "out" / EXAM.folder).iterdir()}


def with_nan(share: float) -> np.ndarray:
    voxels = noisy()
    voxels.ravel()[: round(share * voxels.size)] = np.nan
    return voxels


FAULTS: dict[str, tuple[Callable[[], np.ndarray], str]] = {
    "all zero": (lambda: np.zeros(SHAPE, np.float32), "empty_image"),
    "all one value": (lambda: np.full(SHAPE, 7, np.float32), "empty_image"),
    "all not finite": (lambda: with_nan(1.0), "not_finite"),
    "many not finite": (lambda: with_nan(0.02), "not_finite"),
    "all negative": (lambda: -1 - noisy(), "empty_image"),
    "one slice": (lambda: noisy()[..., :1], "too_few_slices"),
    "one slice and no third axis": (lambda: noisy()[..., 4], "wrong_dimensions"),
    "two volumes": (lambda: np.stack([noisy(), noisy()], axis=-1), "wrong_dimensions"),
    "a mask": (lambda: 100 * phantom()[1].astype(np.float32), "no_contrast"),
    "noise": (lambda: np.random.default_rng(3).rayleigh(5, SHAPE).astype(np.float32), "no_body"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_faulty_sequence_is_left_out_and_the_exam_goes_on(name, tmp_path):
    voxels, fault = FAULTS[name]
    write_exam(tmp_path, EXAM, bvals=())
    write(tmp_path, "T2w", voxels())
    told = harmonise(tmp_path, required=("T1w",))
    assert (told["t1w"], told["t2w"], told["t1w_fault"], told["t2w_fault"]) == (True, False, "", fault)
    assert told["notes"].startswith("T2w: ")
    assert written(tmp_path) == {"T1w", "desc-body_mask"}


@pytest.mark.parametrize("name", FAULTS)
def test_a_faulty_sequence_that_is_required_excludes_the_exam(name, tmp_path):
    voxels, fault = FAULTS[name]
    write_exam(tmp_path, EXAM)
    write(tmp_path, "T1w", voxels())
    with pytest.raises(ExamExcluded, match=rf"^T1w \({fault}\)") as excluded:
        harmonise(tmp_path, required=("T1w",))
    assert excluded.value.reason == "implausible_image"
    assert harmonise(tmp_path)["frame"] == "T2w"


def test_an_unreadable_file(tmp_path):
    write_exam(tmp_path, EXAM)
    path = EXAM.path(tmp_path, "T1w", datatype="anat")
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ExamExcluded) as excluded:
        harmonise(tmp_path, required=("T1w",))
    assert excluded.value.reason == "unreadable_image"
    assert harmonise(tmp_path)["t1w_fault"] == "unreadable_image"


@pytest.mark.parametrize("affine", [np.diag([1.0, 0, 1, 1]), np.diag([80.0, 80, 80, 1])], ids=["flat", "3 m wide"])
def test_a_grid_that_is_no_volume_in_space(affine, tmp_path):
    path = tmp_path / "image.nii"
    image = images.nib.Nifti1Image(noisy(), AFFINE)
    image.set_qform(None)
    image.set_sform(affine, code=1)
    images.nib.save(image, path)
    with pytest.raises(SequenceFault):
        read_plausible(path)


@pytest.mark.parametrize(
    ("bvals", "fault"),
    [("0 0 0 0", "one_b_value"), ("0 50 400", "no_b_values"), ("", "no_b_values"), ("0 50 x 800", "no_b_values")],
)
def test_faulty_b_values_cost_diffusion_alone(bvals, fault, tmp_path):
    write_exam(tmp_path, EXAM)
    EXAM.path(tmp_path, "dwi", ".bval", "dwi").write_text(bvals)
    told = harmonise(tmp_path, required=("T1w",))
    assert (told["dwi"], told["dwi_fault"], told["frame"]) == (False, fault, "T1w")
    assert written(tmp_path) == {"T1w", "T2w", "desc-body_mask"}
    with pytest.raises(ExamExcluded, match=fault):
        harmonise(tmp_path, required=("DWI",))


@pytest.mark.parametrize(
    ("absent", "frame"), [((), "T1w"), (("T1w",), "T2w"), (("T1w", "T2w"), "DWI")], ids=["all", "no T1w", "DWI alone"]
)
def test_the_body_mask_is_that_of_the_frame(absent, frame, tmp_path):
    write_exam(tmp_path, EXAM)
    for name in absent:
        EXAM.path(tmp_path, name, datatype="anat").unlink()
    shorter = {"T1w": 16, "T2w": 14, "DWI": 12}
    write_image = {name: EXAM.path(tmp_path, name, datatype="anat") for name in ("T1w", "T2w")}
    for name, path in {**write_image, "DWI": EXAM.path(tmp_path, "dwi", datatype="dwi")}.items():
        if path.exists():
            images.save(path, images.load(path)[0][:, :, : shorter[name]], AFFINE)
    told = harmonise(tmp_path)
    assert told["frame"] == frame
    mask, affine = images.load(EXAM.path(tmp_path / "out", "desc-body_mask"))
    voxels, frame_affine = images.load(EXAM.path(tmp_path / "out", frame))
    assert mask.shape == voxels.shape == (*SHAPE[:2], shorter[frame])
    np.testing.assert_array_equal(affine, frame_affine)
    body = phantom()[1][:, :, : shorter[frame]]
    assert 2 * ((mask > 0) & body).sum() / ((mask > 0).sum() + body.sum()) > 0.95


def test_nothing_is_left(tmp_path):
    with pytest.raises(ExamExcluded) as excluded:
        harmonise(tmp_path)
    assert excluded.value.reason == "missing_sequence"
    write(tmp_path, "T2w", np.zeros(SHAPE, np.float32))
    with pytest.raises(ExamExcluded, match="no sequence is left: T2w: all values") as excluded:
        harmonise(tmp_path)
    assert excluded.value.reason == "implausible_image"


def test_a_few_voxels_that_are_negative_or_not_finite_are_counted(tmp_path):
    voxels = noisy()
    voxels[0, 0, :5] = -20
    voxels[0, 1, :3] = np.nan, np.inf, -np.inf
    write(tmp_path, "T1w", voxels)
    told = harmonise(tmp_path)
    assert (told["t1w_negative"], told["t1w_not_finite"], told["t1w_fault"]) == (5, 3, "")
    out, _ = images.load(EXAM.path(tmp_path / "out", "T1w"))
    assert np.isfinite(out).all()
    assert (out[0, 0, :5] == 0).all()
    assert (out[0, 1, :3] == 0).all()
    with pytest.raises(ExamExcluded, match="not finite"):
        harmonise(tmp_path, most_not_finite=0.0)


def turned(matrix: np.ndarray) -> np.ndarray:
    """AFFINE with the patient turned about the middle of the image."""
    affine = np.eye(4)
    affine[:3, :3] = matrix @ AFFINE[:3, :3]
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(SHAPE) - 1) / 2)
    return affine


OBLIQUE = np.array([[np.cos(0.3), 0, np.sin(0.3)], [0, 1, 0], [-np.sin(0.3), 0, np.cos(0.3)]])


@pytest.mark.parametrize(
    "matrix",
    [OBLIQUE, np.diag([-1.0, -1, 1]), np.array([[0, 0, 1.0], [1, 0, 0], [0, 1, 0]]), np.diag([1.0, -1, -1])],
    ids=["oblique", "prone", "sagittal", "feet first"],
)
def test_any_orientation_gives_the_same_scale(matrix, tmp_path):
    """The phantom's body on other axes: the median, the contrast and the place stay."""
    write(tmp_path, "T1w", noisy(), turned(matrix))
    told = harmonise(tmp_path)
    out, affine = images.load(EXAM.path(tmp_path / "out", "T1w"))
    source, expected = images.load(EXAM.path(tmp_path, "T1w", datatype="anat"))
    np.testing.assert_allclose(affine, expected, atol=1e-5)
    assert told["t1w_scale"] == pytest.approx(102, rel=0.06)
    bright, dark = source > 180, (source > 90) & (source < 110)
    assert np.median(out[bright]) / np.median(out[dark]) == pytest.approx(2, rel=0.12)


def test_a_huge_field_of_view(tmp_path):
    """The body in an image of 1.2 m."""
    wide = np.pad(noisy(), ((80, 80), (60, 60), (30, 30)))
    wide += np.abs(np.random.default_rng(4).normal(0, 2, wide.shape)).astype(np.float32) * (wide == 0)
    write(tmp_path, "T1w", wide)
    assert harmonise(tmp_path)["t1w_scale"] == pytest.approx(102, rel=0.06)


def test_a_cut_off_body(tmp_path):
    """The image ends inside the liver, above and on the right."""
    write(tmp_path, "T1w", noisy()[:28, :, :10])
    told = harmonise(tmp_path)
    assert told["t1w_fault"] == ""
    assert told["t1w_scale"] == pytest.approx(105, rel=0.1)
