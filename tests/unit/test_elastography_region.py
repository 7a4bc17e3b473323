"""The arithmetic of the region of interest: units, confidence, erosion, weights."""

import numpy as np
import pytest

from liverstiff.dicom.values import MapSlice, unit_in_text
from liverstiff.elastography.maps import nearest, on_slice
from liverstiff.elastography.region import area_weighted_mean, confidence_fraction, decide_unit, erode, tissue_like
from liverstiff.errors import ExamExcluded
from liverstiff.records import Reason


@pytest.mark.parametrize(
    ("median", "stated", "unit"),
    [(2.5, set(), "kPa"), (2500, set(), "Pa"), (2.5, {"kPa"}, "kPa"), (25, {"kPa"}, "kPa"), (299, {"Pa"}, "Pa")],
)
def test_unit_is_decided(median, stated, unit):
    assert decide_unit(median, stated) == unit


@pytest.mark.parametrize(("median", "stated"), [(100, set()), (2.5, {"Pa"}), (2.5, {"percent"}), (2.5, {"Pa", "kPa"})])
def test_unit_is_unclear(median, stated):
    with pytest.raises(ExamExcluded) as fault:
        decide_unit(median, stated)
    assert fault.value.reason == Reason.UNIT_UNCLEAR


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("Stiffness_kPa", "kPa"),
        ("elastogram (Pa)", "Pa"),
        ("ep2d PA wave", ""),
        ("Pa kPa", ""),
        ("STIFFNESS KPA", "kPa"),
        ("Partial", ""),
    ],
)
def test_unit_in_a_series_text(text, unit):
    assert unit_in_text(text) == unit


def test_confidence_scales():
    assert confidence_fraction([np.array([0.5, 1.0])], "")[0].tolist() == [0.5, 1.0]
    assert confidence_fraction([np.array([50.0]), np.array([95.0])], "")[1].tolist() == [0.95]
    assert confidence_fraction([np.array([950.0, 1000.0])], "")[0].tolist() == [0.95, 1.0]
    assert confidence_fraction([np.array([40.0])], "per mille")[0].tolist() == [0.04]
    for values, stated in ((4095.0, ""), (400.0, "percent")):
        with pytest.raises(ExamExcluded):
            confidence_fraction([np.array([values])], stated)


def test_erosion_is_in_millimetres_and_gives_way_in_a_thin_slice():
    liver = np.zeros((30, 30), bool)
    liver[5:25, 5:25] = True  # 20 x 20 pixels of 2 x 4 mm: 40 x 80 mm
    kept, taken = erode(liver, (2.0, 4.0), 10.0)
    assert taken == 10.0
    assert kept.sum() == 10 * 16  # distance > 10 mm: 5 rows and 2 columns off each side
    thin = np.zeros((30, 30), bool)
    thin[5:11, :] = True  # 12 mm wide: pixel centres up to 6 mm from the outside
    kept, taken = erode(thin, (2.0, 4.0), 10.0)
    assert (taken, kept.any(axis=1).sum()) == (5.0, 2)


def test_tissue_like_keeps_the_spread_asked_for():
    image = np.array([[[90.0, 100, 100, 110, 200]]])
    liver = np.array([[[True, True, True, True, True]]])  # median 100, deviations 10 0 0 10 100: MAD 10
    assert tissue_like(image, liver, 3.0)[0, 0].tolist() == [True, True, True, True, False]
    assert tissue_like(image, liver, 0.5)[0, 0].tolist() == [False, True, True, False, False]


def test_slices_weigh_by_area():
    assert area_weighted_mean([2.0, 5.0], [300.0, 100.0]) == 2.75


def test_nearest_voxel_and_nothing_outside():
    voxels = np.arange(8.0).reshape(2, 2, 2)
    points = np.array([[0.4, 0, 0], [0.6, 0.9, 1.2], [1.6, 0, 0]])
    np.testing.assert_array_equal(nearest(voxels, np.eye(4), points), [0, 7, np.nan])


def test_another_map_counts_only_in_the_same_plane():
    here = MapSlice(np.zeros((2, 2)), np.eye(4))
    for z, expected in ((0.9, 5.0), (1.5, np.nan)):
        affine = np.eye(4)
        affine[2, 3] = z
        np.testing.assert_array_equal(
            on_slice([MapSlice(np.full((2, 2), 5.0), affine)], here), np.full((2, 2), expected)
        )
