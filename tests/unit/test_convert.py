"""Volumes and b-values from the header, voxels by dcm2niix, no identifier in what comes out."""

import gzip
import json
import pickle
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from made_images import change, expected, stacks_of, voxels
from tiny_dicom import COLUMNS, GAP_MM, ROWS, pixels, write_enhanced, write_series

from liverstiff.convert import NotConverted, convert_series, convert_stack
from liverstiff.convert.by_pydicom import convert_frames
from liverstiff.convert.diffusion import header_directions
from liverstiff.convert.interface import run_dcm2niix
from liverstiff.convert.nifti import RawImage, make_raw, stack_volumes
from liverstiff.convert.pixels import slice_of
from liverstiff.convert.sidecar import whitelisted
from liverstiff.dicom import SourceFile
from liverstiff.errors import ExamExcluded
from liverstiff.records import SeriesReason

AFFINE = [[-3, 0, 0, 10], [0, 2, 0, 20 - 2 * (ROWS - 1)], [0, 0, GAP_MM, 0], [0, 0, 0, 1]]
"""First DICOM pixel at LPS (-10, -20, 0), spacing 2 mm between rows and 3 mm between columns."""


def test_voxels_affine_and_b_values(tmp_path):
    files = write_series(tmp_path / "in", b_values=(0, 400, 800), slices=4)
    done = convert_series(files, tmp_path / "out.nii.gz")
    assert done.shape == (COLUMNS, ROWS, 4, 3)
    assert done.notes == []
    assert np.array_equal(voxels(done.path), expected(3, 4))
    assert np.allclose(nib.load(done.path).affine, AFFINE, atol=1e-4)
    assert (tmp_path / "out.bval").read_text() == "0 400 800\n"
    assert (tmp_path / "out.bvec").read_text() == "0 0 0\n" * 3


@pytest.mark.parametrize("b_values", [(0.0, 50.0, 400.0, 800.0), (0.0, 800.0), (50.0, 400.0)])
def test_philips_enhanced_trace_keeps_the_b_values_of_its_frames(tmp_path, b_values):
    done = convert_series([write_enhanced(tmp_path / "x", b_values)], tmp_path / "out.nii.gz")
    assert done.b_values == list(b_values)
    assert np.array_equal(voxels(done.path), expected(len(b_values), 4))
    assert done.notes == ["dcm2niix reads other b-values; those of the header are kept"]


def test_packed_files(tmp_path):
    files = []
    for path in write_series(tmp_path / "in", slices=3):
        files.append(path.with_name(path.name + ".gz"))
        files[-1].write_bytes(gzip.compress(path.read_bytes()))
    assert np.array_equal(voxels(convert_series(files, tmp_path / "out.nii.gz").path), expected(1, 3))


@pytest.mark.parametrize(
    ("heights", "fault", "code"),
    [
        ((0, 5, 15, 20), "unevenly spaced, 5.00 to 10.00 mm", "missing_slice"),
        ((0, 5, 10.4, 15), "unevenly spaced: 4.60 to 5.40 mm", "uneven_slices"),
    ],
)
def test_uneven_slices_are_refused(tmp_path, heights, fault, code):
    with pytest.raises(NotConverted, match=fault) as error:
        convert_series(write_series(tmp_path / "in", heights=heights), tmp_path / "out.nii.gz")
    assert (error.value.reason, error.value.code) == ("conversion_failed", code)
    assert not (tmp_path / "out.nii.gz").exists()


def test_a_missing_slice_of_one_volume_is_refused(tmp_path):
    files = write_series(tmp_path / "in", b_values=(0, 400), slices=4)
    with pytest.raises(ExamExcluded, match="volumes have 3 to 4 slices"):
        convert_series(files[:-1], tmp_path / "out.nii.gz")


def test_truncated_pixels_are_refused_without_naming_the_file(tmp_path):
    files = write_series(tmp_path / "in", slices=3)
    files[1].write_bytes(files[1].read_bytes()[:-100])
    with pytest.raises(ExamExcluded) as error:
        convert_series(files, tmp_path / "out.nii.gz")
    assert str(tmp_path) not in str(error.value)


def test_dcm2niix_without_images_is_an_exclusion(tmp_path):
    for name in ("in", "out"):
        (tmp_path / name).mkdir()
    with pytest.raises(ExamExcluded, match="code 2: it found no image"):
        run_dcm2niix(tmp_path / "in", tmp_path / "out")


def test_members_of_an_archive(tmp_path):
    members = []
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for path in write_series(tmp_path / "in", b_values=(0, 400), slices=3):
            archive.write(path, f"deep/{path.name}")
            members.append(SourceFile(str(tmp_path / "all.zip"), f"deep/{path.name}"))
    assert np.array_equal(voxels(convert_series(members, tmp_path / "out.nii.gz").path), expected(2, 3))


def test_a_folder_with_other_files_beside(tmp_path):
    files = write_series(tmp_path / "in", slices=3)
    write_series(tmp_path / "in", slices=3, SeriesInstanceUID="1.2.3.77", SeriesNumber=1)
    assert np.array_equal(voxels(convert_series(files, tmp_path / "out.nii.gz").path), expected(1, 3))


ORIENTATIONS = {
    "axial": [1, 0, 0, 0, 1, 0],
    "sagittal": [0, 1, 0, 0, 0, -1],
    "coronal": [1, 0, 0, 0, 0, -1],
    "oblique": [0.8, 0.6, 0, -0.36, 0.48, 0.8],
    "turned": [-1, 0, 0, 0, 1, 0],
}


@pytest.mark.parametrize("name", ORIENTATIONS)
@pytest.mark.parametrize("way", [1, -1])
def test_pydicom_gives_the_axes_of_dcm2niix(tmp_path, name, way):
    cosines = ORIENTATIONS[name]
    step = way * GAP_MM * np.cross(cosines[:3], cosines[3:])

    def edit(data, number):
        data.ImageOrientationPatient = cosines
        data.ImagePositionPatient = [round(float(x), 6) for x in np.array([-10, -20, 3]) + number * step]

    files = change(write_series(tmp_path / "in", slices=5), edit)
    done = convert_series(files, tmp_path / "out.nii.gz")
    (stack,) = stacks_of(files)
    ours, theirs = convert_frames(stack), nib.load(done.path)
    assert done.notes == []
    assert np.array_equal(ours.image.stored, np.asarray(theirs.dataobj))
    assert np.allclose(ours.image.affine, theirs.affine, atol=1e-5)
    assert np.allclose(ours.image.header.get_qform(), theirs.get_qform(), atol=1e-5)
    assert ours.sidecar["EchoTime"] == 0.002
    shared = set(ours.sidecar) & set(whitelisted(done_sidecar(done.path)))
    assert {"EchoTime", "RepetitionTime", "FlipAngle", "SliceThickness", "MagneticFieldStrength"} <= shared
    assert all(ours.sidecar[key] == done_sidecar(done.path)[key] for key in shared)


def done_sidecar(image: Path) -> dict:
    return json.loads(image.with_name(image.name.replace(".nii.gz", ".json")).read_text())


def test_sheared_slices_keep_their_places(tmp_path):
    files = write_series(tmp_path / "in", slices=4)
    change(files, lambda data, k: setattr(data, "ImagePositionPatient", [-10.0 + 3 * k, -20.0, GAP_MM * k]))
    done = convert_series(files, tmp_path / "out.nii.gz")
    assert done.notes == ["read frame by frame: dcm2niix did not write the image that the header describes"]
    assert np.array_equal(voxels(done.path), expected(1, 4))
    assert np.allclose(nib.load(done.path).affine[:3, 2], [-3, 0, GAP_MM])


def test_directions_follow_the_axes_of_the_image(tmp_path):
    files = write_series(tmp_path / "in", b_values=(0, 800, 800), slices=4, slice_major=True)
    turns = [None, [1.0, 0.0, 0.0], [0.0, 0.6, 0.8]]

    def edit(data, number):
        if turns[number % 3]:
            data.private_block(0x0019, "SIEMENS MR HEADER").add_new(0x0E, "FD", turns[number % 3])

    done = convert_series(change(files, edit), tmp_path / "out.nii.gz")
    assert done.notes == ["converted volume by volume"]
    # x to the left is LPS x, rows run to the front so LPS y turns, slices ascend
    assert np.allclose(np.loadtxt(tmp_path / "out.bvec"), [[0, 1, 0], [0, 0, -0.6], [0, 0, 0.8]])
    (stack,) = stacks_of(files)
    right = np.diag([3.0, 2, 5, 1])  # FSL counts x to the left whatever the image does
    assert np.allclose(header_directions(stack, right)[:, 1:], [[1, 0], [0, -0.6], [0, 0.8]])


def test_directions_in_axes_of_the_vendor_are_not_guessed(tmp_path):
    files = write_series(tmp_path / "in", "UIH", b_values=(0, 800, 800), slices=4, slice_major=True)

    def edit(data, number):
        if number % 3:
            block = data.private_block(0x0065, "Image Private Header")
            block.add_new(0x37, "FD", [1.0, 0, 0] if number % 3 == 1 else [0, 1.0, 0])

    done = convert_series(change(files, edit), tmp_path / "out.nii.gz")
    assert not np.loadtxt(tmp_path / "out.bvec").any()
    assert done.notes[-1] == "directions are stated in axes of the vendor: zeros are written"


@pytest.mark.parametrize(
    ("attributes", "code"),
    [
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, "secondary_capture"),
        ({"BurnedInAnnotation": "YES"}, "burned_in_annotation"),
    ],
)
def test_pictures_are_refused(tmp_path, attributes, code):
    (stack,) = stacks_of(write_series(tmp_path / "in", slices=3, **attributes))
    for kind in ("T1w", "MRE_stiffness"):
        with pytest.raises(NotConverted) as error:
            convert_stack(stack, tmp_path / "out.nii.gz", kind)
        assert error.value.code == code
    assert not (tmp_path / "out.nii.gz").exists()


def test_images_without_a_place_are_refused(tmp_path):
    files = write_series(tmp_path / "in", slices=3)
    change(files, lambda data, _: delattr(data, "ImagePositionPatient"))
    (stack,) = stacks_of(files)
    with pytest.raises(NotConverted, match="have no place"):
        convert_stack(stack, tmp_path / "out.nii.gz")


def test_a_damaged_archive_is_an_exclusion(tmp_path):
    (path,) = write_series(tmp_path / "in", slices=1)
    packed = tmp_path / "x.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    (stack,) = stacks_of([packed])
    packed.write_bytes(packed.read_bytes()[:-40])
    with pytest.raises(NotConverted, match="a packed file is damaged") as error:
        convert_stack(stack, tmp_path / "out.nii.gz")
    assert error.value.reason == "unreadable_image"


def test_sidecar_whitelist():
    sidecar = {"EchoTime": 0.002, "SliceTiming": [0, 0.1], "InstitutionName": "X", "AcquisitionTime": "10:00:00"}
    sidecar |= {"Manufacturer": "A hospital", "MRAcquisitionType": "3D", "FlipAngle": "secret", "DeviceSerialNumber": 7}
    assert whitelisted(sidecar) == {"EchoTime": 0.002, "MRAcquisitionType": "3D", "SliceTiming": [0, 0.1]}


def raw(values, slope=1.0, dtype=np.int16) -> RawImage:
    header = nib.Nifti1Header()
    header.set_data_dtype(dtype)
    header.set_data_shape((1, 1, 2))
    header.set_sform(np.eye(4), 1)
    header.set_slope_inter(slope, 0)
    return RawImage(header, np.array(values, dtype).reshape(1, 1, 2))


def test_volumes_with_different_slopes_become_values():
    image = stack_volumes([raw([1, 2]), raw([3, 4], slope=0.5)])
    assert image.stored.dtype == np.float32
    assert image.stored[0, 0].tolist() == [[1.0, 1.5], [2.0, 2.0]]
    assert stack_volumes([raw([1, 2]), raw([3, 4])]).stored.dtype == np.int16


def test_a_slice_is_found_in_flipped_and_swapped_axes(tmp_path):
    (stack,) = stacks_of(write_series(tmp_path, slices=4))
    frame = stack.frames[2]
    axes = [(0, 1, 2), (1, 0, 2), (2, 1, 0)]
    for order in axes:
        for flip in (1, -1):
            volume = expected(1, 4)[..., 0][::flip].transpose(order)
            affine = np.array([[-3.0, 0, 0, 10], [0, 2, 0, 20 - 2 * (ROWS - 1)], [0, 0, GAP_MM, 0], [0, 0, 0, 1]])
            if flip == -1:
                affine[0] = [3, 0, 0, 10 - 3 * (COLUMNS - 1)]
            affine[:3, :3] = affine[:3, :3][:, order]
            assert np.array_equal(slice_of(volume, affine, frame), pixels(0, 2))
    affine[:3, 3] += 500
    assert slice_of(volume, affine, frame) is None


def test_an_image_made_here_states_its_grid():
    affine = np.array([[-2.0, 0, 0, 7], [0, 3, 0, 8], [0, 0, 4, 9], [0, 0, 0, 1]])
    image = make_raw(np.zeros((2, 3, 4, 5), np.uint16), affine, (0.5, 1.0))
    assert np.allclose(image.affine, affine)
    assert image.scale == (0.5, 1.0)
    assert image.header.get_zooms() == (2, 3, 4, 1)


def test_a_fault_survives_the_way_between_processes():
    fault = pickle.loads(pickle.dumps(NotConverted(SeriesReason.UNEVEN_SLICES, "why")))
    assert (fault.code, fault.reason, fault.detail) == ("uneven_slices", "conversion_failed", "why")


def test_a_temporary_folder_with_a_blank_in_its_name(tmp_path, monkeypatch):
    (tmp_path / "two words").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "two words"))
    files = write_series(tmp_path / "in", slices=3)
    assert convert_series(files, tmp_path / "out.nii.gz").notes == []
    assert not list((tmp_path / "two words").iterdir())
