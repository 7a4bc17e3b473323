"""Signs drawn for a patient can be measured from the rendered images with true masks: they survive voxel and noise."""

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage
from threadpoolctl import threadpool_limits

from liverstiff.simulate import anatomy, scan, signal
from liverstiff.simulate.dialects import PROTOCOLS
from liverstiff.simulate.population import DEVELOPMENT_SITES, draw_patients
from liverstiff.simulate.shapes import SHAPE

SITES, PER_SITE = DEVELOPMENT_SITES[:3], 36
SIGNS = ("t1", "t2", "adc", "nodularity", "texture", "spleen_ml", "liver_ml", "caudate_ratio")


def log_contrast(image, tissue, reference):
    return float(np.log(np.median(image[tissue]) / np.median(image[reference])))


def fitted_adc(volumes, b_values, tissue):
    """Log-linear fit of the mean signal over b of 50 and more, 1e-3 mm2/s."""
    b = np.array(b_values)
    means = np.array([volume[tissue].mean() for volume in volumes])
    return -1000 * np.polyfit(b[b >= 50], np.log(means[b >= 50]), 1)[0]


def roughness(liver):
    """Voxels that smoothing moves across the surface, as a share of the surface."""
    smooth = ndimage.gaussian_filter(liver.astype(np.float32), (1.5, 1.5, 0.8)) > 0.5
    return (smooth ^ liver).sum() / (liver ^ ndimage.binary_erosion(liver)).sum()


def heterogeneity(image, tissue):
    """SD over mean of the signal inside the tissue, without single-voxel noise and without slow trends."""
    weight = tissue.astype(np.float32)

    def blurred(sigma):
        blur = ndimage.gaussian_filter(image * weight, sigma) / np.maximum(ndimage.gaussian_filter(weight, sigma), 1e-3)
        return blur[tissue]

    return float((blurred((0.8, 0.8, 0.4)) / blurred((6, 6, 3))).std())


def measure(patient, rng, protocol):
    body = anatomy.build(patient, rng)
    breath = scan.Breath.draw(rng)
    images = scan.acquire(body, patient, protocol, breath, rng)
    grids = {"t1": (scan.T1W_GRID, 0.0), "t2": (scan.T2W_GRID, breath.t2w), "dwi": (scan.DWI_GRID, breath.dwi)}

    def deep(organ, kind):
        return ndimage.binary_erosion(signal.mask(body, organ, *grids[kind]), np.ones((5, 5, 1)))

    whole, caudate, right = (signal.mask(body, organ, scan.T1W_GRID) for organ in ("liver", "caudate", "right_lobe"))
    vessels = ndimage.binary_dilation(signal.sample(body.fraction("vessels"), scan.T1W_GRID) > 0.2, np.ones((3, 3, 1)))
    voxel_ml = np.prod(scan.T1W_GRID.spacing) / 1000
    return {
        "t1": log_contrast(
            images.t1w, deep("liver", "t1"), deep("paraspinal_right", "t1") | deep("paraspinal_left", "t1")
        ),
        "t2": log_contrast(
            images.t2w, deep("liver", "t2"), deep("paraspinal_right", "t2") | deep("paraspinal_left", "t2")
        ),
        "adc": fitted_adc(images.dwi, protocol.b_values, deep("liver", "dwi")),
        "nodularity": roughness(whole),
        "texture": heterogeneity(images.t1w, deep("liver", "t1") & ~vessels),
        "spleen_ml": signal.mask(body, "spleen", scan.T1W_GRID).sum() * voxel_ml,
        "liver_ml": whole.sum() * voxel_ml,
        "caudate_ratio": caudate.any(axis=(1, 2)).sum() / right[:, :, 15:18].any(axis=(1, 2)).sum(),
    }


def drawn(patient):
    return {
        "t1": np.log(patient["liver_t1"] / patient["muscle_t1"]),
        "t2": np.log(patient["liver_t2"] / patient["muscle_t2"]),
        "nodularity": max(patient["nodularity"], 0.0),
        "texture": max(patient["texture"], 0.1),
        **{name: patient[name] for name in ("adc", "spleen_ml", "liver_ml", "caudate_ratio")},
    }


@pytest.fixture(scope="module")
def measured_and_drawn():
    """Two tables, a row a patient, less the mean of the patient's scanner."""
    rows = []
    for number, site in enumerate(SITES):
        rng = np.random.default_rng(number)
        for patient in draw_patients(PER_SITE, site, rng).to_dict("records"):
            found = measure(patient, rng, PROTOCOLS[site.vendor, site.field_t])
            rows.append({"site": number} | {("measured", k): v for k, v in found.items()})
            rows[-1] |= {("drawn", k): v for k, v in drawn(patient).items()}
    table = pd.DataFrame(rows)
    return table - table.groupby("site").transform("mean").assign(site=0)


@pytest.mark.parametrize("sign", SIGNS)
def test_sign_survives_rendering(measured_and_drawn, sign):
    table = measured_and_drawn
    assert len(table) >= 100
    r = np.corrcoef(table[("measured", sign)], table[("drawn", sign)])[0, 1]
    print(f"{sign}: r {r:.2f} over {len(table)} patients")
    assert (-r if sign == "t1" else r) >= 0.8  # a longer T1 is darker


def test_volumes_are_the_drawn_ones(measured_and_drawn):
    table = measured_and_drawn
    for organ in ("liver_ml", "spleen_ml"):
        slope = np.polyfit(table[("drawn", organ)], table[("measured", organ)], 1)[0]
        assert slope == pytest.approx(1.0, abs=0.07)


def test_number_of_threads_changes_no_byte():
    world = np.random.default_rng(0).random(SHAPE, dtype=np.float32)
    sampled = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            sampled.append(signal.sample(world, scan.T1W_GRID, 3.3).tobytes())
    assert sampled[0] == sampled[1]


def test_sampling_averages_over_the_voxel():
    """A voxel of 6 x 6 x 8 mm over 2 x 2 x 2 world voxels holds their mean; a ramp keeps its height when it moves."""
    shape = tuple(n // 2 for n in SHAPE)
    world = np.random.default_rng(0).random(SHAPE, dtype=np.float32)
    blocks = world.reshape(shape[0], 2, shape[1], 2, shape[2], 2).mean(axis=(1, 3, 5))
    grid = signal.Grid(shape, (6.0, 6.0, 8.0))
    np.testing.assert_allclose(signal.sample(world, grid), blocks, atol=1e-5)
    ramp = np.broadcast_to(np.arange(SHAPE[2], dtype=np.float32) * 4.0, SHAPE)
    moved = signal.sample(np.ascontiguousarray(ramp), grid, -4.0) - signal.sample(np.ascontiguousarray(ramp), grid)
    np.testing.assert_allclose(moved[:, :, 2:-2], 4.0, atol=1e-3)
