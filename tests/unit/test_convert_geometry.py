"""An image lies where its headers say, or is refused with a code; whatever wrote it."""

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from made_images import change, expected, one_stack, refused, shard_of
from test_convert_maps import STIFFNESS, state_mapping
from tiny_dicom import COLUMNS, GAP_MM, ROWS, write_series

from liverstiff.convert import by_dcm2niix, convert_folder, convert_series, convert_stack
from liverstiff.convert.by_pydicom import convert_frames, convert_quantities
from liverstiff.convert.grid import lies_where_stated, place_of
from liverstiff.convert.nifti import make_raw
from liverstiff.dicom import SourceFile
from liverstiff.dicom.reading import Implausible
from liverstiff.dicom.values import open_image, plane_affine
from liverstiff.elastography.maps import read_map
from liverstiff.errors import ExamExcluded

AFFINE = np.array([[-3, 0, 0, 10], [0, 2, 0, 20 - 2 * (ROWS - 1)], [0, 0, GAP_MM, 0], [0, 0, 0, 1.0]])


def edit_some(files, numbers, **attributes):
    """Other attributes in some of the files."""

    def edit(data, number):
        if number in numbers:
            for keyword, value in attributes.items():
                setattr(data, keyword, value)

    return change(files, edit)


OTHER_PLACES = {
    "shifted": {"ImagePositionPatient": [-9.6, -20.0, GAP_MM]},  # 0.13 of a pixel of 3 mm
    "larger pixels": {"PixelSpacing": [2.0, 3.03]},
    "tilted": {"ImageOrientationPatient": [1, 0, 0, 0, 0.9999, 0.0141]},  # 0.2 mm over 8 rows, of slices 1 mm apart
    "turned": {"ImageOrientationPatient": [-1, 0, 0, 0, -1, 0]},
    "off its step": {"ImagePositionPatient": [-10.0, -20.0, 5.6]},
}


@pytest.mark.parametrize("name", OTHER_PLACES)
def test_frames_beside_the_grid_of_the_others_are_refused(tmp_path, name):
    heights = (0, 1, 2, 3) if name == "tilted" else (0, 5, 10, 15)
    files = write_series(tmp_path / "in", heights=heights)
    assert convert_frames(one_stack(files)).image.stored.shape == (COLUMNS, ROWS, 4)
    place = {"ImagePositionPatient": [-10.0, -20.0, 1.0]} if name == "tilted" else {}
    edit_some(files, [1], **place, **OTHER_PLACES[name])
    assert refused(convert_frames, one_stack(files)) == "implausible_image"
    assert refused(convert_quantities, one_stack(files), False) == "implausible_image"
    assert refused(convert_stack, one_stack(files), tmp_path / "out.nii.gz")  # by whichever check comes first


def test_a_volume_beside_the_first_is_refused(tmp_path):
    files = write_series(tmp_path / "in", b_values=(0, 800), slices=4)

    def shift(data, number):
        if number >= 4:
            x, y, z = data.ImagePositionPatient
            data.ImagePositionPatient = [x + 20, y, z]

    stack = one_stack(change(files, shift))
    assert refused(convert_frames, stack) == "implausible_image"
    assert refused(convert_quantities, stack, True) == "implausible_image"


def test_slices_in_a_slanted_row_share_a_grid(tmp_path):
    files = write_series(tmp_path / "in", slices=4)
    change(files, lambda data, k: setattr(data, "ImagePositionPatient", [-10.0 + 3 * k, -20.0, GAP_MM * k]))
    image = convert_frames(one_stack(files)).image
    assert np.array_equal(image.stored, expected(1, 4)[..., 0])
    assert np.allclose(image.affine[:3, 2], [-3, 0, GAP_MM])


def test_the_grid_of_dcm2niix_is_compared_with_the_header(tmp_path):
    stack = one_stack(write_series(tmp_path / "in", b_values=(0, 800), slices=4))
    right = expected(2, 4)
    assert lies_where_stated(make_raw(right, AFFINE), stack)
    for axis in range(3):
        off = AFFINE.copy()
        off[:3, axis] *= 1.002  # less than 0.1 voxel over these few pixels
        assert not lies_where_stated(make_raw(right, off), stack)
        off = AFFINE.copy()
        off[axis, 3] += 0.11 * np.abs(AFFINE[axis, axis])
        assert not lies_where_stated(make_raw(right, off), stack)


def test_a_result_on_another_grid_is_read_frame_by_frame(tmp_path, monkeypatch):
    files = write_series(tmp_path / "in", slices=4)
    (tmp_path / "work").mkdir()
    assert by_dcm2niix.convert_whole(one_stack(files), tmp_path / "work") is not None

    def wrong(path):
        image = original(path)
        affine = image.affine.copy()
        affine[:3, 2] *= 1.002
        return make_raw(image.stored, affine)

    original = by_dcm2niix.read_raw
    monkeypatch.setattr(by_dcm2niix, "read_raw", wrong)
    done = convert_series(files, tmp_path / "out.nii.gz")
    assert done.notes == ["read frame by frame: dcm2niix did not write the image that the header describes"]
    assert np.allclose(nib.load(done.path).affine, AFFINE)


def test_placement_of_a_plane():
    plane = plane_affine((-10, -20, 10), (1, 0, 0, 0, 1, 0), (2, 3))
    found = place_of(plane, AFFINE, (COLUMNS, ROWS, 4))
    assert (found.across, found.down, found.through, found.place) == (0, 1, 2, 2)
    assert (found.rows_turned, found.columns_turned) == (True, False)
    assert place_of(plane, AFFINE, (COLUMNS, ROWS, 2)) is None
    assert place_of(plane, AFFINE, (COLUMNS, ROWS + 1, 4)) is None
    assert place_of(plane, np.diag([0.0, 0, 0, 1]), (COLUMNS, ROWS, 4)) is None


def write_mosaic(folder):
    """Siemens' picture of four tiled slices, called an ADC map."""
    kind = ["DERIVED", "PRIMARY", "DIFFUSION", "ADC", "ND", "MOSAIC"]
    files = write_series(folder, slices=1, ImageType=kind)
    return change(
        files, lambda data, _: data.private_block(0x0019, "SIEMENS MR HEADER", create=True).add_new(0x0A, "US", 4)
    )


def test_a_tiled_map_is_refused(tmp_path):
    files = write_mosaic(tmp_path / "in")
    for kind in ("ADC", STIFFNESS):
        assert refused(convert_series, files, tmp_path / "out.nii.gz", kind) == "conversion_failed"
    with pytest.raises(ExamExcluded, match="slices tiled into one picture"):
        read_map({SourceFile(str(files[0])): [0]}, "map")


def test_a_tiled_image_has_the_pixel_size_of_its_header(tmp_path):
    stack = one_stack(write_mosaic(tmp_path / "in"))
    assert lies_where_stated(make_raw(np.zeros((6, 4, 4)), AFFINE), stack)
    assert not lies_where_stated(make_raw(np.zeros((6, 4, 4)), AFFINE @ np.diag([2.0, 1, 1, 1])), stack)


@pytest.mark.parametrize("slope", [0, "nan", "inf"])
def test_a_scale_that_is_none_is_refused(tmp_path, slope):
    files = write_series(tmp_path / "in", slices=4)

    def edit(data, number):
        data.RescaleIntercept = 0
        data.RescaleSlope = 1
        if number == 2:
            data["RescaleSlope"]._value = slope

    change(files, edit)
    for kind in ("", STIFFNESS) if slope == 0 else (STIFFNESS,):
        assert refused(convert_series, files, tmp_path / "out.nii.gz", kind) == "implausible_image"
    with pytest.raises(Implausible, match="a slope of zero, or is not finite"):
        open_image(SourceFile(str(files[2]))).values(0)
    with pytest.raises(ExamExcluded, match="file 3 cannot be read"):
        read_map({SourceFile(str(path)): [0] for path in files}, "map")


def test_a_real_world_slope_of_zero_is_refused(tmp_path):
    files = change(write_series(tmp_path / "in", slices=4), lambda data, _: state_mapping(data, 0.0, "kPa"))
    assert refused(convert_series, files, tmp_path / "out.nii.gz", STIFFNESS) == "implausible_image"


IMPOSSIBLE = {
    "spacing of zero": {"PixelSpacing": [0.0, 0.0]},
    "negative spacing": {"PixelSpacing": [-1.0, 1.0]},
    "no spacing": {"PixelSpacing": None},
    "parallel axes": {"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]},
    "axes of zero": {"ImageOrientationPatient": [0, 0, 0, 0, 0, 0]},
    "long axes": {"ImageOrientationPatient": [2, 0, 0, 0, 2, 0]},
}


@pytest.mark.parametrize("name", IMPOSSIBLE)
@pytest.mark.parametrize("slices", [1, 4])
def test_an_impossible_geometry_is_a_status(tmp_path, name, slices):
    files = write_series(tmp_path / "in", slices=slices)
    edit_some(files, range(slices), **IMPOSSIBLE[name])
    expected_code = "unreadable_image" if name == "no spacing" else "implausible_image"
    assert refused(convert_frames, one_stack(files)) == expected_code
    assert refused(convert_quantities, one_stack(files), False) == expected_code
    for kind in ("", "ADC"):
        assert refused(convert_series, files, tmp_path / "out.nii.gz", kind) == "implausible_image"
    with pytest.raises(ExamExcluded, match="cannot be read"):
        read_map({SourceFile(str(files[0])): [0]}, "map")


def test_a_thickness_below_zero_is_a_status(tmp_path):
    files = write_series(tmp_path / "in", slices=1, SliceThickness=-5.0)
    assert refused(convert_series, files, tmp_path / "out.nii.gz", "ADC") == "implausible_image"


def test_an_impossible_series_leaves_the_others_of_a_folder(tmp_path):
    shard_of(tmp_path)
    edit_some(sorted((tmp_path / "tree" / "exam" / "2").iterdir()), range(8), PixelSpacing=[0.0, 0.0])
    tables = tmp_path / "catalog" / "private"
    files = next(path for path in tables.rglob("*.csv") if "shard-0000.csv" in path.name)
    series = tmp_path / "series.csv"
    names = ["exam", "patient", "site", "series", "kind", "variant"]
    pd.read_csv(files, dtype=str)[names].drop_duplicates().to_csv(series, index=False)
    done = convert_folder(files=files, series=series, out=tmp_path / "all")
    refusals = done[done.status == "refused"]
    assert list(refusals.kind) == ["T2w"]
    assert list(refusals.reason) == ["implausible_image"]
    assert (done.status == "converted").sum() == len(done) - 1 >= 4
