"""Where the region lies: tilted slices, other matrices, the liver moved onto the magnitude, vessels, the picture."""

import io

import numpy as np
import pytest
from PIL import Image
from test_elastography import EXAM, PIXEL, SIZE, Shard, Z, dicom, everywhere, ge

from liverstiff import images
from liverstiff.dicom.values import MapSlice
from liverstiff.elastography.picture import upright
from liverstiff.elastography.placement import Frame, fitting_shift
from liverstiff.elastography.region import tissue_like_slices, without_coil
from liverstiff.records import Reason


@pytest.fixture
def shard(tmp_path):
    return Shard(tmp_path)


def organs(points, lower_mm=0.0):
    """A liver with a dome and a few organs around it, in world millimetres; ``lower_mm``: nearer to the feet."""
    x, y, z = np.moveaxis(points, -1, 0)
    z = z + lower_mm

    def ball(cx, cy, cz, rx, ry, rz):
        return ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 + ((z - cz) / rz) ** 2 < 1

    parts = {"liver": ball(10, 0, -10, 70, 50, 45), "vessel": ball(0, 5, -10, 8, 8, 60)}
    return parts | {"kidney": ball(30, -35, -40, 22, 22, 35), "body": (x / 95) ** 2 + (y / 90) ** 2 < 1}


T1, MAGNITUDE = (
    {"body": 60, "liver": 120, "kidney": 80, "vessel": 40},
    {"body": 90, "liver": 50, "kidney": 100, "vessel": 95},
)


def painted(points, signals, lower_mm=0.0, seed=0):
    found = organs(points, lower_mm)
    image = np.zeros(points.shape[:-1])
    for name in ("body", "liver", "kidney", "vessel"):
        image[found[name]] = signals[name]
    return image + np.random.default_rng(seed).normal(0, 3, image.shape)


def frame(lower_mm=0.0):
    """The frame, in which the organs lie lower than in the elastogram."""
    affine = np.diag([4.0, 4, 5, 1])
    affine[:3, 3] = (-98, -98, -97.5)
    points = images.grid(affine, (50, 50, 40))
    liver = organs(points, lower_mm)["liver"]
    return Frame(painted(points, T1, lower_mm).astype(np.float32), liver, affine)


def slices(of=MAGNITUDE):
    """Magnitude slices (row, column) at the places of the elastogram."""
    parts = []
    for number, z in enumerate(Z):
        affine = np.array([[0, -PIXEL, 0, 97.5], [-PIXEL, 0, 0, 97.5], [0, 0, 1, z], [0, 0, 0, 1.0]])
        empty = MapSlice(np.zeros((SIZE, SIZE)), affine)
        parts.append(MapSlice(painted(empty.points, of, seed=number), affine))
    return parts


@pytest.mark.parametrize("lower", [0.0, 6.0, 12.0])
def test_the_liver_is_moved_to_where_the_magnitude_shows_it(lower):
    shift = fitting_shift(frame(lower), slices())
    assert abs(shift[2] - lower) < 2.5
    assert np.hypot(*shift[:2]) < 1.5


def test_the_header_counts_where_the_magnitude_tells_nothing():
    rng = np.random.default_rng(0)
    noise = [MapSlice(rng.rayleigh(10, part.values.shape), part.affine) for part in slices()]
    assert not fitting_shift(frame(12.0), noise).any()
    flat = [MapSlice(np.full(part.values.shape, 7.0), part.affine) for part in slices()]
    assert not fitting_shift(frame(12.0), flat).any()
    away = [MapSlice(part.values, part.affine + np.eye(4, k=1)[[3, 3, 2, 3]] * 500) for part in slices()]
    assert not fitting_shift(frame(12.0), away).any()


def exam_with_magnitude(shard, lower_mm):
    """The maps of a liver that lies higher than the frame shows it, stiff inside it and soft outside."""
    view = frame(lower_mm)
    images.save(EXAM.path(shard.segmented, "space-frame_mask"), view.liver.astype(np.uint8), view.affine)
    images.save(EXAM.path(shard.registered, "space-frame_T1w"), view.image, view.affine)
    parts = slices()
    stiff = [np.where(organs(part.points)["liver"], 4000, 1000) for part in parts]
    shard.add("MRE_stiffness", [dicom(s, z) for s, z in zip(stiff, Z, strict=True)])
    shard.add("MRE_masked_stiffness", [dicom(s, z) for s, z in zip(stiff, Z, strict=True)])
    shard.add("MRE_raw", [dicom(np.clip(p.values, 0, None), z) for p, z in zip(parts, Z, strict=True)])
    for row in shard.rows[-len(Z) :]:
        row[5] = "magnitude"
    return shard


def test_the_mask_moves_with_the_magnitude_in_the_stage(shard):
    lax = {"tissue_spread": 100}  # else the magnitude tells the pixels beside the liver apart
    exam_with_magnitude(shard, 0.0)
    true = shard.read(**lax)[1].area_mm2[0]
    shard.rows = []
    exam_with_magnitude(shard, 16.0)
    table, by_header = shard.read(**lax)[1], shard.read(**lax, refine=False)[1]
    assert table.shift_z_mm[0] == pytest.approx(16, abs=2.5)
    assert by_header.shift_z_mm[0] == 0
    assert abs(table.area_mm2[0] / true - 1) < 0.05 < abs(by_header.area_mm2[0] / true - 1)


def test_the_first_volume_of_a_magnitude_is_enough(shard):
    exam_with_magnitude(shard, 16.0)
    shard.add("MRE_raw", [dicom(everywhere(7), z) for z in Z])
    for row in shard.rows[-len(Z) :]:
        row[5:7] = ["magnitude", 1]
    assert shard.read()[1].shift_z_mm[0] == pytest.approx(16, abs=2.5)


def test_a_damaged_magnitude_costs_nothing_but_the_refinement(shard):
    exam_with_magnitude(shard, 16.0)
    damaged = shard.rows[-1][-3]
    damaged.write_bytes(damaged.read_bytes()[:900])
    status, table = shard.read()
    assert status.ok, status.detail
    assert table.shift_z_mm[0] == 0
    assert table.notes[0].startswith("done without the magnitude: MRE_magnitude: file 4 cannot be read")


def test_vessels_that_the_magnitude_shows_are_left_out(shard):
    ge(shard, 2500)
    bright = np.full((SIZE, SIZE), 500.0) + np.random.default_rng(0).normal(0, 5, (SIZE, SIZE))
    bright[18:22, 19:21] = 900  # in the liver, 4 x 2 pixels
    shard.add("MRE_raw", [dicom(bright, z) for z in Z])
    for row in shard.rows[-len(Z) :]:
        row[5] = "magnitude"
    area = shard.read(tissue_spread=6)[1].area_mm2[0]
    assert area == 4 * (280 - 8) * 25


def test_the_sensitivity_of_the_coil_is_no_tissue():
    row, column = np.indices((60, 60))
    liver = np.hypot(row - 30, column - 30) < 25
    coil = np.exp(column / 40)  # four and a half times as bright on one side
    values = coil * (100 + np.random.default_rng(0).normal(0, 3, coil.shape))
    values[28:31, 28:31] *= 1.6
    like = tissue_like_slices([without_coil(values, liver, (4.0, 4.0))], 4.0)[0]
    assert not like[28:31, 28:31].any()
    assert (liver & ~like).sum() < 9 + 0.02 * liver.sum()
    assert without_coil(values, liver, (4.0, 4.0))[0, 0] != values[0, 0]  # NaN outside the liver
    assert tissue_like_slices([np.full((2, 2), np.nan)], 3.0)[0].all()


def tilted(data, z, angle):
    """Turn a slice about the x axis: rows run to the back and a little to the head."""
    c, s = np.cos(angle), np.sin(angle)
    data.ImageOrientationPatient = [1, 0, 0, 0, float(c), float(s)]
    data.ImagePositionPatient = [-97.5, float(-97.5 * c - z * s), float(-97.5 * s + z * c)]
    return data


def test_oblique_slices_of_another_matrix(shard):
    """Tilted by 20 degrees, 64 x 64 pixels of 3 x 3 mm: the liver box is cut at y = +-45 / cos 20, mostly."""
    angle, size = np.deg2rad(20), 64

    def files(values):
        for z in (-6.0, 6.0):
            data = tilted(dicom(values, 0.0), z, angle)
            data.PixelSpacing = [3.0, 3.0]
            data.ImagePositionPatient = [
                -94.5,
                float(-94.5 * np.cos(angle) - z * np.sin(angle)),
                float(-94.5 * np.sin(angle) + z * np.cos(angle)),
            ]
            yield data

    shard.add("MRE_stiffness", files(np.full((size, size), 2500)))
    status, table = shard.read(sites={"alba": {"confidence": "none"}})
    assert status.ok
    assert table.slices[0] == 2
    wide, deep = 120 - 20, 90 / np.cos(angle) - 20  # without 10 mm at every edge
    assert table.area_mm2[0] == pytest.approx(2 * wide * deep, rel=0.08)


def test_the_picture_of_the_region(shard):
    ge(shard, 2500)
    assert shard.read()[0].ok
    picture = EXAM.path(shard.folder / "elastography", "desc-elastogram", ".png")
    content = picture.read_bytes()
    assert b"MRN" not in content
    assert not any(chunk in content for chunk in (b"tEXt", b"iTXt", b"zTXt", b"eXIf", b"tIME"))
    shown = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
    assert shown.shape[0] == 300
    assert (shown == (255, 255, 255)).all(axis=-1).sum() > 500  # the region's outline
    shard.read()
    assert picture.read_bytes() == content


def test_an_excluded_exam_has_no_picture(shard):
    ge(shard, 2500, keep=0)
    assert shard.read()[0].reason == Reason.NO_CONFIDENT_PIXEL
    assert not list((shard.folder / "elastography").rglob("*.png"))


@pytest.mark.parametrize("axes", [((0, -1), (-1, 0)), ((-1, 0), (0, -1)), ((0, 1), (1, 0)), ((1, 0), (0, -1))])
def test_a_picture_has_the_right_side_of_the_patient_on_the_left_and_the_front_above(axes):
    """``axes``: x and y (RAS) of a step down the rows, and along the columns."""
    affine = np.eye(4)
    affine[:2, 0], affine[:2, 1] = axes
    part = MapSlice(np.zeros((4, 6)), affine)
    x, y = part.points[..., 0], part.points[..., 1]
    assert (np.diff(upright(x, part), axis=1) < 0).all()
    assert (np.diff(upright(y, part), axis=0) < 0).all()
