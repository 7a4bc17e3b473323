"""Harmonisation against what the simulator knows: ADC by scanner, coil field, paraspinal muscle."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from liverstiff import images
from liverstiff.config import HarmonizeConfig
from liverstiff.errors import ExamExcluded
from liverstiff.harmonize import harmonize_exam
from liverstiff.harmonize.diffusion import average_repeats, b_values_for_adc, fit_adc, noise_sigma
from liverstiff.harmonize.muscle import find_muscle
from liverstiff.intensity import bias_field, body_mask, without_bias
from liverstiff.records import Exam
from liverstiff.simulate import anatomy, dialects, scan, signal
from liverstiff.simulate.population import DEVELOPMENT_SITES
from liverstiff.simulate.site import one_patient

SETTINGS = HarmonizeConfig()
MORE_B_SETS = ((0, 0, 400, 400, 800), (0, 50, 500, 1000), (50, 800), (0, 100, 200, 400, 600, 800))


@cache
def patient(number: int) -> tuple[anatomy.Anatomy, dict[str, Any]]:
    rng = np.random.default_rng(number)
    drawn = one_patient(DEVELOPMENT_SITES[number % len(DEVELOPMENT_SITES)], rng)
    return anatomy.build(drawn, rng), drawn


def acquire(number: int, protocol: scan.Protocol) -> scan.Scan:
    body, drawn = patient(number)
    return scan.acquire(body, drawn, protocol, scan.Breath(0, 0, 0), np.random.default_rng(number))


def liver_adc_ratio(protocol: scan.Protocol) -> float:
    """Median of the fitted ADC in the liver over the drawn ADC."""
    body, drawn = patient(0)
    volumes = acquire(0, protocol).dwi
    signals, b, repeats = average_repeats(volumes, np.array(protocol.b_values, float))
    used = b_values_for_adc(b, SETTINGS.adc_min_b)
    sigma = noise_sigma(volumes[-1], body_mask(signals[0], scan.DWI_GRID.affine))
    adc, _ = fit_adc(signals[used], b[used], sigma, repeats[used])
    return float(np.median(adc[signal.mask(body, "liver", scan.DWI_GRID)]) / (1e-3 * drawn["adc"]))


@pytest.mark.parametrize("scanner", dialects.PROTOCOLS, ids=lambda scanner: f"{scanner[0]} {scanner[1]:g} T")
def test_adc_of_the_liver_is_right_at_every_scanner(scanner):
    assert liver_adc_ratio(dialects.PROTOCOLS[scanner]) == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("b_values", MORE_B_SETS, ids=lambda b: "-".join(f"{value:g}" for value in b))
def test_adc_of_the_liver_is_right_with_other_b_values(b_values):
    protocol = replace(dialects.PROTOCOLS["GE", 3.0], b_values=b_values)
    assert liver_adc_ratio(protocol) == pytest.approx(1, abs=0.03)


def test_two_b_values_with_b_zero_carry_perfusion():
    """No fit can part the two: 12 % of flowing blood raise the ADC of 0 and 800 by ln(1 / 0.88) / 800."""
    protocol = replace(dialects.PROTOCOLS["GE", 3.0], b_values=(0, 800))
    adc = 1e-3 * patient(0)[1]["adc"]
    assert liver_adc_ratio(protocol) == pytest.approx(1 + np.log(1 / 0.88) / 800 / adc, abs=0.03)


@pytest.mark.parametrize("strength", [0.15, 0.45])
def test_a_known_coil_field_is_found(strength):
    """T1w: of the field's SD inside the body (of its logarithm) less than half is left, or less than 0.03."""
    body, drawn = patient(1)
    rng = np.random.default_rng(6)
    values = scan._t1_values(signal.tissues(drawn), scan.Protocol((0, 800)), False)
    field = signal.coil_field(scan.T1W_GRID.shape, strength, rng)
    image = 4000 * signal.rician(signal.render(body, values, scan.T1W_GRID, 0.0) * field, 0.0025, rng)
    mask = body_mask(image, scan.T1W_GRID.affine)
    found = bias_field(image, scan.T1W_GRID.affine, mask, SETTINGS.bias_spacing_mm)
    left = float(np.std(np.log(field[mask] / found[mask])))
    assert left < max(0.03, 0.5 * float(np.std(np.log(field[mask]))))


@pytest.mark.parametrize("number", [1, 2, 3])
def test_paraspinal_muscle_is_found_where_it_is(number):
    """Within 10 % of the true muscle's median, in T1w, T2w and diffusion; upside down there is none."""
    protocol = dialects.PROTOCOLS["GE", 3.0]
    scanned, body = acquire(number, protocol), patient(number)[0]
    for voxels, grid in (
        (scanned.t1w, scan.T1W_GRID),
        (scanned.t2w, scan.T2W_GRID),
        (scanned.dwi[-1], scan.DWI_GRID),
    ):
        mask = body_mask(voxels, grid.affine)
        corrected = without_bias(voxels, grid.affine, mask, SETTINGS.bias_spacing_mm)
        truth = signal.mask(body, "paraspinal_left", grid) | signal.mask(body, "paraspinal_right", grid)
        found = find_muscle(corrected, mask, grid.affine)
        assert found is not None
        assert found == pytest.approx(np.median(corrected[truth]), rel=0.1)


def write(folder, voxels: np.ndarray, grid: signal.Grid) -> Exam:
    exam = Exam("e1", "p1", "alba")
    images.save(exam.path(folder, "T1w", datatype="anat"), voxels, grid.affine)
    return exam


def test_muscle_becomes_one_where_it_is_the_reference(tmp_path):
    body = patient(1)[0]
    exam = write(tmp_path, acquire(1, dialects.PROTOCOLS["GE", 3.0]).t1w, scan.T1W_GRID)
    told = harmonize_exam(
        exam, tmp_path / "out", converted=tmp_path, settings=HarmonizeConfig(reference="muscle"), required=()
    )
    assert told["t1w_reference"] == "muscle"
    out, _ = images.load(exam.path(tmp_path / "out", "T1w"))
    truth = signal.mask(body, "paraspinal_left", scan.T1W_GRID)
    assert np.median(out[truth]) == pytest.approx(1, rel=0.1)


def test_without_muscle_the_config_decides(tmp_path):
    """A body of noise around one bright organ has no muscle."""
    x, y, _ = np.moveaxis(images.grid(scan.T1W_GRID.affine, scan.T1W_GRID.shape), -1, 0)
    body = (x / 150) ** 2 + (y / 110) ** 2 < 1
    voxels = np.where(body, np.random.default_rng(1).uniform(20, 180, x.shape), 1).astype(np.float32)
    exam = write(tmp_path, voxels, scan.T1W_GRID)
    paths = {"converted": tmp_path, "required": ()}
    told = harmonize_exam(exam, tmp_path / "out", settings=HarmonizeConfig(reference="muscle"), **paths)
    assert (told["t1w"], told["t1w_reference"]) == (True, "body")
    strict = HarmonizeConfig(reference="muscle", no_muscle="leave_out")
    with pytest.raises(ExamExcluded, match="no paraspinal muscle"):
        harmonize_exam(exam, tmp_path / "out", settings=strict, **paths)
