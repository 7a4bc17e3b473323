import filecmp
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from liverstiff import images
from liverstiff.config import HarmonizeConfig
from liverstiff.harmonize import harmonize_shard
from liverstiff.harmonize.diffusion import average_repeats, b_values_for_adc, fit_adc, noise_sigma, read_bvals
from liverstiff.harmonize.faults import SequenceFault
from liverstiff.intensity import bias_field, body_mask, enlarge_grid, reduce_grid, standardise
from liverstiff.records import Exam, ExamStatus, read_status, read_table, write_status

AFFINE = np.array([[6.0, 0, 0, -120], [0, 6, 0, -90], [0, 0, 8, -60], [0, 0, 0, 1]])
SHAPE = (40, 30, 16)


def phantom(organ: float = 200.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """An elliptic body of 100 with an organ in it; the image, the body, the organ."""
    x, y, z = np.moveaxis(images.grid(AFFINE, SHAPE), -1, 0)
    body = (x / 100) ** 2 + (y / 72) ** 2 < 1
    liver = ((x - 40) / 35) ** 2 + (y / 35) ** 2 + (z / 45) ** 2 < 1
    return np.where(liver, organ, np.where(body, 100.0, 0.0)), body, liver


def smooth_field() -> np.ndarray:
    x, y, _ = np.moveaxis(images.grid(AFFINE, SHAPE), -1, 0)
    return np.exp(0.4 * x / 100 + 0.2 * y / 72)


def spread(values: np.ndarray) -> float:
    return float(values.std() / values.mean())


def write_exam(folder: Path, exam: Exam, *, t2w: bool = True, bvals: tuple[float, ...] = (0, 50, 400, 800)) -> None:
    image, _, _ = phantom()
    rng = np.random.default_rng(1)
    noisy = np.abs(image * smooth_field() + rng.normal(0, 1.0, SHAPE))
    images.save(exam.path(folder, "T1w", datatype="anat"), noisy.astype(np.float32), AFFINE)
    if t2w:
        images.save(exam.path(folder, "T2w", datatype="anat"), noisy.astype(np.float32), AFFINE)
    if bvals:
        signal = 4 * image[..., None] * np.exp(-np.array(bvals) * 1.3e-3)
        images.save(exam.path(folder, "dwi", datatype="dwi"), signal.astype(np.float32), AFFINE)
        exam.path(folder, "dwi", ".bval", "dwi").write_text(" ".join(f"{b:g}" for b in bvals))


def write_shard(folder: Path, *exams: Exam) -> None:
    write_status([ExamStatus(e.exam, e.patient, e.site, "convert", "ok") for e in exams], folder / "status.csv")


def test_adc_and_s0_are_recovered_from_known_signals():
    adc = np.array([[[0.7e-3, 1.28e-3, 2.4e-3]]])
    s0 = np.array([[[900.0, 300.0, 120.0]]])
    b = np.array([50.0, 400.0, 800.0])
    fitted, fitted_s0 = fit_adc(s0 * np.exp(-b.reshape(3, 1, 1, 1) * adc), b)
    np.testing.assert_allclose(fitted, adc, rtol=0.01)
    np.testing.assert_allclose(fitted_s0, s0, rtol=0.01)


def test_adc_of_two_b_values_is_the_ratio_of_logarithms():
    fitted, _ = fit_adc(np.array([1000.0, 500.0]).reshape(2, 1, 1, 1), np.array([0.0, 800.0]))
    assert fitted.item() == pytest.approx(np.log(2) / 800, rel=1e-4)


def test_noise_floor_is_taken_out_of_the_adc():
    rng = np.random.default_rng(2)
    b, sigma, true = np.array([50.0, 400.0, 800.0]), 10.0, 2.4e-3
    clean = 150 * np.exp(-b * true).reshape(3, 1, 1, 1) * np.ones((1, 20, 20, 20))
    noisy = np.abs(clean + sigma * (rng.normal(size=clean.shape) + 1j * rng.normal(size=clean.shape)))
    off = {s: abs(float(np.median(fit_adc(noisy, b, s)[0])) - true) for s in (0.0, sigma)}
    assert off[sigma] < 0.03 * true
    assert off[sigma] < off[0.0]


def test_noise_sigma_of_rayleigh_air_and_of_blanked_air():
    rng = np.random.default_rng(3)
    air = np.abs(rng.normal(0, 5, (20, 20, 10)) + 1j * rng.normal(0, 5, (20, 20, 10)))
    mask = np.zeros(air.shape, bool)
    mask[8:12, 8:12, 3:6] = True
    assert noise_sigma(air, mask) == pytest.approx(5, rel=0.05)
    assert noise_sigma(np.where(mask, air, 0), mask) == 0


def test_repeats_are_averaged_and_b_values_sorted():
    voxels = np.array([800, 10, 1, 40, 4], np.float32).reshape(5, 1, 1, 1)
    signals, b, repeats = average_repeats(voxels, np.array([800, 50, 0.003, 52, 1.25]))
    np.testing.assert_allclose(b, [0.6265, 51, 800])
    np.testing.assert_allclose(signals.ravel(), [2, 20, 800], rtol=1e-6)
    assert repeats.tolist() == [2, 2, 1]


def test_adc_of_directions_is_the_mean_of_their_adcs():
    """In a tissue with an ADC of 1, 1 and 2.2e-3 along x, y, z."""
    along = np.array([1.0, 1.0, 2.2]) * 1e-3
    volumes = 500 * np.exp(-800 * np.array([0, *along])).astype(np.float32).reshape(4, 1, 1, 1)
    signals, b, repeats = average_repeats(volumes, np.array([0, 800, 800, 800.0]))
    assert fit_adc(signals, b, repeats=repeats)[0].item() == pytest.approx(1.4e-3, rel=1e-4)


def test_a_fit_in_slabs_is_the_fit_of_the_whole(monkeypatch):
    signals = np.random.default_rng(5).uniform(1, 500, (3, 11, 7, 4)).astype(np.float32)
    whole = fit_adc(signals, np.array([50.0, 400, 800]), 3.0)
    monkeypatch.setattr("liverstiff.harmonize.diffusion.SLAB", 60)
    for one, other in zip(whole, fit_adc(signals, np.array([50.0, 400, 800]), 3.0), strict=True):
        np.testing.assert_array_equal(one, other)


def test_b_values_of_the_fit():
    assert b_values_for_adc(np.array([0, 50, 400, 800.0]), 50).tolist() == [1, 2, 3]
    assert b_values_for_adc(np.array([0.0, 20, 800]), 50).tolist() == [0, 2]
    assert b_values_for_adc(np.array([0.0, 800]), 50).tolist() == [0, 1]


def test_bval_file_must_match_the_volumes(tmp_path):
    path = tmp_path / "dwi.bval"
    path.write_text("0 400 800\n")
    assert read_bvals(path, 3).tolist() == [0, 400, 800]
    (tmp_path / "words.bval").write_text("0 b=50 400 800")
    for wrong in (path, tmp_path / "absent.bval", tmp_path / "words.bval"):
        with pytest.raises(SequenceFault, match="4 volumes"):
            read_bvals(wrong, 4)


def test_block_means_and_their_way_back():
    ramp = np.broadcast_to(np.arange(9.0)[:, None, None], (9, 4, 4)).copy()
    small, factor = reduce_grid(ramp, np.diag([2.0, 8, 8, 1]), 6.0)
    assert factor.tolist() == [3, 1, 1]
    assert small[:, 0, 0].tolist() == [1, 4, 7]
    np.testing.assert_allclose(enlarge_grid(small, factor, ramp.shape)[1:8], ramp[1:8])


def test_body_mask_has_the_body_without_air():
    image, body, _ = phantom()
    mask = body_mask(image + np.random.default_rng(1).uniform(0, 3, SHAPE), AFFINE)
    assert 2 * (mask & body).sum() / (mask.sum() + body.sum()) > 0.95


def test_bias_field_is_reduced_and_contrast_kept():
    image, body, liver = phantom()
    shaded = image * smooth_field()
    flat = shaded / bias_field(shaded, AFFINE, body, 8.0)
    rest = body & ~liver
    assert spread(flat[rest]) < 0.35 * spread(shaded[rest])
    assert np.median(flat[liver]) / np.median(flat[rest]) == pytest.approx(2.0, rel=0.1)


def test_scale_does_not_depend_on_the_receiver_gain():
    image, body, _ = phantom()
    one, _, scale = standardise(image, AFFINE, 16.0)
    other, _, louder = standardise(image * 37, AFFINE, 16.0)
    assert louder == pytest.approx(37 * scale, rel=1e-3)
    np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)
    assert np.median(one[body]) == pytest.approx(1, abs=0.02)


def test_shard_has_its_files_and_measures_and_is_reproducible(tmp_path):
    whole, plain, broken = (Exam(f"e{k}", f"p{k}", "alba") for k in "123")
    converted = tmp_path / "convert"
    write_exam(converted, whole)
    write_exam(converted, plain, t2w=False, bvals=())
    write_exam(converted, broken)
    images.save(broken.path(converted, "T1w", datatype="anat"), np.zeros(SHAPE, np.float32), AFFINE)
    write_shard(converted, whole, plain, broken)
    for name in ("one", "two"):
        harmonize_shard(converted=converted, folder=tmp_path / name, settings=HarmonizeConfig())
    one, two = tmp_path / "one", tmp_path / "two"
    files = sorted(p.relative_to(one) for p in one.rglob("*") if p.is_file())
    assert filecmp.cmpfiles(one, two, files, shallow=False)[1:] == ([], [])
    names = {p.name.split("_", 2)[2] for p in (one / whole.folder).iterdir()}
    assert names == {"T1w.nii.gz", "T2w.nii.gz", "DWI.nii.gz", "ADC.nii.gz", "desc-body_mask.nii.gz"}
    assert {p.name.split("_", 2)[2] for p in (one / plain.folder).iterdir()} == {"T1w.nii.gz", "desc-body_mask.nii.gz"}
    assert [row.reason for row in read_status(one)] == ["", "", "implausible_image"]
    measures = read_table(one / "measures.csv").set_index("exam")
    assert measures.loc["e1", ["b_values", "adc_b_values"]].tolist() == ["0 50 400 800", "50 400 800"]
    assert measures.loc["e2", ["t1w", "t2w", "dwi"]].tolist() == [True, False, False]
    assert pd.isna(measures.loc["e2", "b_values"])
    assert measures.loc["e1", ["frame", "t1w_reference", "dwi_reference"]].tolist() == ["T1w", "body", "body"]
    assert {"t1w_before_p10", "t1w_after_p90", "dwi_before_snr", "adc_after_p50"} <= set(measures)


def test_adc_and_synthetic_image_of_a_shard(tmp_path):
    exam = Exam("e1", "p1", "alba")
    converted = tmp_path / "convert"
    write_exam(converted, exam, bvals=(0, 800))
    write_shard(converted, exam)
    harmonize_shard(converted=converted, folder=tmp_path / "out", settings=HarmonizeConfig())
    adc, _ = images.load(exam.path(tmp_path / "out", "ADC"))
    dwi, _ = images.load(exam.path(tmp_path / "out", "DWI"))
    inside = phantom()[1]
    assert np.median(adc[inside]) == pytest.approx(1.3e-3, rel=0.01)
    assert np.median(dwi[inside]) == pytest.approx(1.0, abs=0.02)
    assert adc[0, 0, 0] == 0
