import filecmp
from pathlib import Path

import numpy as np
import pytest

from liverstiff import images
from liverstiff.config import PackConfig
from liverstiff.errors import ExamExcluded
from liverstiff.pack import (
    BOX_COLUMNS,
    box_affine,
    describe_box,
    pack_exam,
    pack_shard,
    resample,
    resample_mask,
    shown_share,
    world,
)
from liverstiff.records import Exam, ExamStatus, read_status, read_table, write_status

AFFINE = np.array([[4.0, 0, 0, -100], [0, 4, 0, -80], [0, 0, 5, -60], [0, 0, 0, 1]])
SHAPE = (50, 40, 24)
SETTINGS = PackConfig(shape=(16, 16, 8), spacing_mm=(8.0, 8.0, 10.0))


def organ_mask() -> np.ndarray:
    mask = np.zeros(SHAPE, np.uint8)
    mask[26:37, 12:23, 6:17] = 1  # middle voxel (31, 17, 11)
    mask[5:12, 8:15, 8:14] = 2
    return mask


def write_exam(registered: Path, segmented: Path, exam: Exam, channels: tuple[str, ...]) -> None:
    x = images.grid(AFFINE, SHAPE)[..., 0]
    for channel in channels:
        values = 1.25e-3 * (1 + x / 1e4) if channel == "ADC" else 2 + x / 100
        images.save(exam.path(registered, f"space-frame_{channel}"), values.astype(np.float32), AFFINE)
    images.save(exam.path(segmented, "space-frame_mask"), organ_mask(), AFFINE)


def test_landmark_lands_at_the_voxel_worked_out_by_hand():
    box = box_affine(organ_mask() == 1, AFFINE, (16, 16, 8), (8.0, 8.0, 10.0))
    # the liver's middle, voxel (31, 17, 11), lies at (24, -12, -5) mm; index 0 lies 7.5, 7.5, 3.5 steps before
    np.testing.assert_allclose(box[:3, 3], (24 - 60, -12 - 60, -5 - 35))
    landmark = np.zeros(SHAPE, np.float32)
    landmark[31 + 9, 17 - 9, 11 + 5] = 1  # 36 mm right, 36 mm back, 25 mm up: 4.5, -4.5, 2.5 steps from the middle
    packed = resample(landmark, AFFINE, box, (16, 16, 8))
    assert np.unravel_index(packed.argmax(), packed.shape) == (12, 3, 6)


def test_ramp_is_exact_and_outside_is_zero():
    x = images.grid(AFFINE, SHAPE)[..., 0]
    box = np.diag([8.0, 8, 10, 1])
    box[:3, 3] = (-60, -50, -40)
    packed = resample(x, AFFINE, box, (12, 12, 8))
    np.testing.assert_allclose(packed[:, 5, 4], -60 + 8 * np.arange(12), atol=1e-3)
    box[:3, 3] = (500, 0, 0)
    assert (resample(x, AFFINE, box, (4, 4, 4)) == 0).all()


def test_fine_texture_does_not_alias():
    stripes = np.where(np.arange(SHAPE[0]) % 2 == 0, 1.0, -1.0)[:, None, None] * np.ones(SHAPE)
    box = np.diag([12.0, 12, 10, 1])
    box[:3, 3] = (-60, -50, -40)
    assert np.abs(resample(stripes, AFFINE, box, (8, 8, 8))).max() < 0.1


def test_mask_keeps_volume():
    box = box_affine(organ_mask() == 1, AFFINE, (24, 24, 12), (6.0, 6.0, 8.0))
    packed = resample_mask(organ_mask(), AFFINE, box, (24, 24, 12))
    before = (organ_mask() == 1).sum() * 80
    assert (packed == 1).sum() * 6 * 6 * 8 == pytest.approx(before, rel=0.15)


def test_shard_is_stacked_marked_and_reproducible(tmp_path):
    registered, segmented = tmp_path / "register", tmp_path / "segment"
    whole, lost, partial = Exam("e1", "p1", "alba"), Exam("e2", "p1", "alba"), Exam("e3", "p3", "alba")
    write_exam(registered, segmented, whole, ("T1w", "T2w", "DWI", "ADC"))
    write_exam(registered, segmented, partial, ("T1w", "DWI", "ADC"))
    rows = [ExamStatus(e.exam, e.patient, e.site, "segment", "ok") for e in (whole, partial)]
    gone = ExamStatus(lost.exam, lost.patient, lost.site, "segment", "excluded", "segmentation_failed", "no liver")
    write_status([rows[0], gone, rows[1]], segmented / "status.csv")
    (segmented / "measures.csv").write_text("exam,liver_ml,spleen_ml,agreement\ne1,1500,200,0.9\ne3,1400,300,0.8\n")
    for name in ("one", "two"):
        pack_shard(registered=registered, segmented=segmented, folder=tmp_path / name, settings=SETTINGS)
    one, two = tmp_path / "one", tmp_path / "two"
    files = sorted(str(p.relative_to(one)) for p in one.rglob("*"))
    assert files == ["images.npy", "masks.npy", "status.csv", "table.csv"]
    assert filecmp.cmpfiles(one, two, files, shallow=False)[1:] == ([], [])

    table = read_table(one / "table.csv")
    assert table.columns.tolist() == ["exam", "row", "T1w", "T2w", "DWI", "ADC", "liver_ml", "spleen_ml", *BOX_COLUMNS]
    assert table.set_index("exam").loc["e3"].tolist() == [
        *(1, True, False, True, True, 1400, 300),
        *(0.0, 15.0, False, False, 1.0, 0.0, 1.0, 1.0),
    ]
    stack = np.load(one / "images.npy", mmap_mode="r")
    assert stack.shape == (2, 4, 16, 16, 8)
    assert stack.dtype == np.float16
    assert (stack[1, 1] == 0).all()
    assert np.isfinite(stack).all()
    assert stack[0, 3, 8, 8, 4] == pytest.approx(1.25 * (1 + 28 / 1e4), rel=5e-4)  # x is 28 mm
    masks = np.load(one / "masks.npy", mmap_mode="r")
    assert masks.dtype == np.uint8
    assert masks[0, 8, 8, 4] == 1
    assert [row.status for row in read_status(one)] == ["ok", "excluded", "ok"]


def test_shard_without_any_exam_left(tmp_path):
    segmented = tmp_path / "segment"
    segmented.mkdir()
    gone = ExamStatus("e1", "p1", "alba", "segment", "excluded", "segmentation_failed", "no liver")
    write_status([gone], segmented / "status.csv")
    (segmented / "measures.csv").write_text("exam\n")
    pack_shard(registered=tmp_path, segmented=segmented, folder=tmp_path / "out", settings=SETTINGS)
    assert np.load(tmp_path / "out" / "images.npy").shape == (0, 4, 16, 16, 8)
    assert read_table(tmp_path / "out" / "table.csv").columns[:2].tolist() == ["exam", "row"]


def test_sequence_that_misses_the_liver_is_marked_absent(tmp_path):
    exams = [Exam("e1", "p1", "alba"), Exam("e2", "p2", "alba")]
    registered, segmented = tmp_path / "register", tmp_path / "segment"
    for exam in exams:
        write_exam(registered, segmented, exam, ("T1w", "T2w", "DWI", "ADC"))
    elsewhere = np.zeros(SHAPE, np.float32)
    elsewhere[:, :, :9] = 1 + np.arange(9) / 100  # three of the liver's eleven slices
    images.save(exams[0].path(registered, "space-frame_DWI"), elsewhere, AFFINE)
    images.save(exams[1].path(registered, "space-frame_T1w"), np.zeros(SHAPE, np.float32), AFFINE)
    write_status([ExamStatus(e.exam, e.patient, e.site, "segment", "ok") for e in exams], segmented / "status.csv")
    (segmented / "measures.csv").write_text("exam,liver_ml,spleen_ml\ne1,1,1\ne2,1,1\n")
    pack_shard(registered=registered, segmented=segmented, folder=tmp_path / "pack", settings=SETTINGS)
    table = read_table(tmp_path / "pack" / "table.csv")
    assert table[["exam", "T1w", "T2w", "DWI", "ADC"]].values.tolist() == [["e1", True, True, False, True]]
    packed = np.load(tmp_path / "pack" / "images.npy")
    assert packed.shape[0] == 1
    assert not packed[0, 2].any()
    assert [row.reason for row in read_status(tmp_path / "pack")] == ["", "implausible_image"]


def test_share_of_the_liver_that_a_sequence_shows():
    liver = np.ones((2, 2, 2), bool)
    values = np.arange(1.0, 9.0).reshape(2, 2, 2)
    assert shown_share(values, liver) == 1
    assert shown_share(np.full((2, 2, 2), 3.0), liver) == 0
    assert shown_share(np.where(values > 5, values, 0), liver) == 3 / 8
    assert shown_share(np.where(values > 1, values, np.nan), liver) == 0
    assert shown_share(values, ~liver) == 0


@pytest.mark.parametrize("degrees", [0, 20])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)], ids=["axial", "sagittal"])
def test_the_box_lies_along_the_patient_whatever_the_acquisition(degrees, order):
    """A blob at a known place of the patient, seen on a turned grid and on one whose slices run along x."""
    turn = np.deg2rad(degrees)
    affine = np.eye(4)
    spacing = np.array([4.0, 4.0, 5.0])[list(order)]
    affine[:3, :3] = [[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]] * spacing
    shape = tuple(np.array([50, 40, 24])[list(order)])
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    places = images.grid(affine, shape)
    liver = np.linalg.norm(places - (20, 4, -6), axis=-1) < 22
    image = np.exp(-(np.linalg.norm(places - (30, -8, 4), axis=-1) ** 2) / (2 * 9.0**2))
    box = box_affine(liver, affine, (32, 32, 16), (4.0, 4.0, 8.0))
    np.testing.assert_allclose(box[:3, :3], np.diag([4.0, 4, 8]))
    packed = resample(image.astype(np.float32), affine, box, (32, 32, 16))
    centre = (np.argwhere(packed > 0) * packed[packed > 0][:, None]).sum(axis=0) / packed.sum()
    np.testing.assert_allclose(world(centre[None], box)[0], (30, -8, 4), atol=0.5)


def test_cropping_before_smoothing_changes_nothing():
    rng = np.random.default_rng(1)
    image = rng.random(SHAPE).astype(np.float32)
    box = np.diag([9.0, 9, 9, 1])
    box[:3, 3] = (-20, -20, -20)
    far = np.diag([9.0, 9, 9, 1])
    far[:3, 3] = (-20 - 9 * 12, -20 - 9 * 12, -20 - 9 * 12)
    large = resample(image, AFFINE, far, (30, 30, 30))  # sees the whole image
    np.testing.assert_allclose(resample(image, AFFINE, box, (5, 5, 5)), large[12:17, 12:17, 12:17], atol=1e-6)


def test_a_liver_larger_than_the_box_is_recorded_and_most_of_it_kept():
    liver = np.zeros(SHAPE, bool)
    liver[5:45, 10:20, 6:12] = True  # 160 mm wide in a box of 80
    liver[5:15, 10:30, 6:12] = True  # most of it on the left
    settings = PackConfig(shape=(10, 24, 12), spacing_mm=(8.0, 8.0, 8.0), margin_mm=10)
    box = box_affine(liver, AFFINE, settings.shape, settings.spacing_mm)
    told = describe_box(liver, AFFINE, box, settings)
    kept = liver[5:25].sum() / liver.sum()  # 20 voxels of 4 mm, from the left end
    assert told["liver_cut"] == pytest.approx(1 - kept, abs=1e-3)
    assert told["margin_mm"] == 0
    assert told["margin_short"]
    assert not told["liver_at_edge"]
    liver[5, 10, 0] = True
    assert describe_box(liver, AFFINE, box, settings)["liver_at_edge"]


def test_margin_is_the_distance_to_the_nearest_face():
    liver = organ_mask() == 1  # 44 x 44 x 55 mm
    settings = PackConfig(shape=(16, 16, 8), spacing_mm=(8.0, 8.0, 10.0), margin_mm=15)
    box = box_affine(liver, AFFINE, settings.shape, settings.spacing_mm)
    told = describe_box(liver, AFFINE, box, settings)
    # voxel centres reach 25 mm up and down, the faces of the box lie at 40
    assert told == {"liver_cut": 0.0, "margin_mm": 15.0, "margin_short": False, "liver_at_edge": False}


def test_frame_need_not_be_t1w(tmp_path):
    exam = Exam("e1", "p1", "alba")
    (tmp_path / "out" / exam.folder).mkdir(parents=True)
    write_exam(tmp_path / "register", tmp_path / "segment", exam, ("DWI", "ADC"))
    folders = {"registered": tmp_path / "register", "segmented": tmp_path / "segment", "settings": SETTINGS}
    told = pack_exam(exam, tmp_path / "out", **folders)
    assert [told[name] for name in ("T1w", "T2w", "DWI", "ADC")] == [False, False, True, True]
    images.save(exam.path(tmp_path / "register", "space-frame_DWI"), np.zeros(SHAPE, np.float32), AFFINE)
    with pytest.raises(ExamExcluded, match="DWI shows nothing"):
        pack_exam(exam, tmp_path / "out", **folders)


def test_values_that_are_not_finite_mark_a_sequence_absent(tmp_path):
    exam = Exam("e1", "p1", "alba")
    (tmp_path / "out" / exam.folder).mkdir(parents=True)
    write_exam(tmp_path / "register", tmp_path / "segment", exam, ("T1w", "T2w"))
    broken = np.full(SHAPE, 2.0, np.float32)
    broken[0, 0, 0] = np.nan
    images.save(exam.path(tmp_path / "register", "space-frame_T2w"), broken, AFFINE)
    told = pack_exam(
        exam, tmp_path / "out", registered=tmp_path / "register", segmented=tmp_path / "segment", settings=SETTINGS
    )
    assert (told["T1w"], told["T2w"], told["T2w_shown"]) == (True, False, 0.0)
    packed = np.load(exam.path(tmp_path / "out", "images", ".npy"))
    assert np.isfinite(packed).all()
    assert not packed[1].any()
