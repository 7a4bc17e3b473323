"""A damaged file is a status, a bug of ours a traceback, and no text of a header gets into a message."""

import gzip
import json
import warnings

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from made_images import change, expected, one_stack, refused, stacks_of, voxels
from pydicom import dcmread
from pydicom.uid import RLELossless
from tiny_dicom import write_enhanced, write_series

from liverstiff.convert import NotConverted, by_pydicom, convert_series, convert_stack, pixels
from liverstiff.convert.by_pydicom import convert_frames, convert_quantities
from liverstiff.convert.rewrite import is_nifti, rewrite_nifti
from liverstiff.dicom import SourceFile, values
from liverstiff.dicom.reading import Damaged
from liverstiff.dicom.values import open_image
from liverstiff.elastography.maps import read_map
from liverstiff.errors import ExamExcluded
from liverstiff.harmonize.faults import SequenceFault, read_plausible
from liverstiff.images import UNREADABLE

STIFFNESS = "MRE_stiffness"


def packed_enhanced(path):
    """An enhanced object of two kinds of image, its pixels packed by RLE; returns its stacks."""
    data = dcmread(write_enhanced(path, (0.0, 400.0), slices=4))
    for number, group in enumerate(data.PerFrameFunctionalGroupsSequence):
        if number % 2:
            group.MRImageFrameTypeSequence[0].FrameType = ["ORIGINAL", "PRIMARY", "ADC", "NONE"]
    data.compress(RLELossless)
    data.save_as(path)
    return stacks_of([path])


def test_damaged_packed_pixels_are_a_status(tmp_path):
    path = tmp_path / "x.dcm"
    stacks = packed_enhanced(path)
    assert len(stacks) == 2
    for number, stack in enumerate(stacks):
        done = convert_stack(stack, tmp_path / f"{number}.nii.gz")
        assert np.array_equal(voxels(done.path)[..., 0], expected(2, 4)[..., number])
    content = bytearray(path.read_bytes())
    start = content.rfind(b"\xe0\x7f\x10\x00")
    for place in (60, 100, 200, 300, 400):
        content[start + place : start + place + 8] = b"\xff" * 8
    path.write_bytes(content)
    for stack in stacks:
        assert refused(convert_stack, stack, tmp_path / "out.nii.gz") == "unreadable_image"


def test_fewer_frames_than_the_header_lists_are_a_status(tmp_path):
    path = tmp_path / "x.dcm"
    stacks = packed_enhanced(path)
    data = dcmread(path)
    data.decompress()
    data.NumberOfFrames, data.PixelData = 4, data.PixelData[: len(data.PixelData) // 2]
    data.compress(RLELossless)
    data.save_as(path)
    for stack in stacks:
        assert refused(convert_stack, stack, tmp_path / "out.nii.gz") == "unreadable_image"
        assert refused(convert_quantities, stack, False) == "unreadable_image"


def bug(*_, **__):
    raise TypeError("a programming bug")


@pytest.mark.parametrize("name", ["_mapping", "_rescale", "affine"])
def test_a_bug_in_the_reading_of_maps_shows(tmp_path, monkeypatch, name):
    files = write_series(tmp_path / "in", slices=4)
    monkeypatch.setattr(values.Image, name, bug)
    with pytest.raises(TypeError, match="a programming bug"):
        convert_series(files, tmp_path / "out.nii.gz", STIFFNESS)
    with pytest.raises(TypeError, match="a programming bug"):
        read_map({SourceFile(str(files[0])): [0]}, "map")


@pytest.mark.parametrize(("module", "name"), [(values, "unit_of"), (by_pydicom, "_axes"), (by_pydicom, "make_raw")])
def test_a_bug_in_our_arithmetic_of_maps_shows(tmp_path, monkeypatch, module, name):
    files = write_series(tmp_path / "in", slices=4)
    monkeypatch.setattr(module, name, bug)
    with pytest.raises(TypeError, match="a programming bug"):
        convert_series(files, tmp_path / "out.nii.gz", STIFFNESS)


@pytest.mark.parametrize("name", ["slice_of", "_relation"])
def test_a_bug_in_the_comparison_of_pixels_shows(tmp_path, monkeypatch, name):
    files = write_series(tmp_path / "in", slices=4)
    monkeypatch.setattr(pixels, name, bug)
    with pytest.raises(TypeError, match="a programming bug"):
        convert_series(files, tmp_path / "out.nii.gz")


@pytest.mark.parametrize(
    "keyword", ["PixelSpacing", "ImagePositionPatient", "PhotometricInterpretation", "SamplesPerPixel", "BitsAllocated"]
)
def test_a_missing_attribute_is_a_status(tmp_path, keyword):
    files = write_series(tmp_path / "in", slices=4)
    stack = one_stack(files)  # read before the damage, as the catalog does
    change(files, lambda data, _: delattr(data, keyword))
    assert refused(convert_quantities, stack, False) == "unreadable_image"
    assert refused(convert_frames, stack) == "unreadable_image"


def test_an_attribute_that_is_no_number_is_a_status(tmp_path):
    files = write_series(tmp_path / "in", slices=4, RescaleSlope=123456, RescaleIntercept=0, FlipAngle=77)
    stack = one_stack(files)
    for path in files:
        path.write_bytes(path.read_bytes().replace(b"77", b"x7"))  # of the sidecar alone
    assert "FlipAngle" not in convert_quantities(stack, False).sidecar
    for path in files:
        path.write_bytes(path.read_bytes().replace(b"123456", b"12NAME"))
    with pytest.raises(NotConverted, match="cannot be read") as error:
        convert_quantities(stack, False)
    assert "NAME" not in error.value.detail


def test_an_attribute_of_half_a_number_is_a_status(tmp_path):
    files = write_series(tmp_path / "in", slices=4)
    stack = one_stack(files)
    whole = b"\x28\x00\x00\x01US\x02\x00\x10\x00"  # BitsAllocated, 16
    for path in files:
        assert whole in path.read_bytes()
        path.write_bytes(path.read_bytes().replace(whole, whole[:6] + b"\x01\x00\x10"))
    with pytest.raises(NotConverted, match="BytesLengthException") as error:
        convert_quantities(stack, False)
    assert error.value.code == "unreadable_image"


def test_an_image_without_orientation_is_a_status(tmp_path):
    content = bytearray(nib.Nifti1Image(np.zeros((4, 4, 4), np.int16), np.eye(4)).to_bytes())
    content[280:284] = bytes(4)  # the first axis of the affine has no length
    (tmp_path / "x.nii").write_bytes(content)
    with pytest.raises(SequenceFault) as error:
        read_plausible(tmp_path / "x.nii", 3, 0.01)
    assert error.value.reason == "unreadable_image"


def test_warnings_about_a_header_are_dropped(tmp_path, monkeypatch):
    (path,) = write_series(tmp_path / "in", slices=1)
    decode = values.pixel_array

    def warns(*args, **more):
        warnings.warn("invalid value NAME", stacklevel=1)
        return decode(*args, **more)

    def gdcm_warns(dataset):
        warnings.warn("invalid value NAME", stacklevel=1)
        return dataset.PixelData

    monkeypatch.setattr(values, "pixel_array", warns)
    monkeypatch.setattr(values, "_gdcm_pixels", gdcm_warns)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        image = open_image(SourceFile(str(path)))
        assert np.array_equal(image.frame(0), image.stored[0])
        assert np.array_equal(values._decoded_by_gdcm(image.dataset)[0], image.stored[0])
        assert not said
        monkeypatch.setattr(values, "_gdcm_pixels", lambda dataset: dataset.PixelData[:-1])
        with pytest.raises(Damaged, match="cannot be decoded"):
            values._decoded_by_gdcm(image.dataset)


@pytest.mark.parametrize("name", ["IMAGE.NII", "IMAGE.NII.GZ", "image.nii"])
def test_nifti_names_in_capitals(tmp_path, name):
    image = nib.Nifti1Image(np.arange(60, dtype=np.int16).reshape(3, 4, 5), np.diag([2.0, 2, 2, 1]))
    content = image.to_bytes()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.lower().endswith("gz") else content)
    (tmp_path / name.split(".")[0]).with_suffix(".json").write_text('{"EchoTime": 0.002}')
    rows = pd.DataFrame([{"path": str(tmp_path / name), "member": "", "volume": 0, "b_value": np.nan}])
    assert is_nifti(rows)
    assert rewrite_nifti(rows, tmp_path / "out" / "x.nii.gz")[0] == (3, 4, 5)
    assert np.array_equal(nib.load(tmp_path / "out" / "x.nii.gz").dataobj, image.dataobj)
    assert json.loads((tmp_path / "out" / "x.json").read_text()) == {"EchoTime": 0.002}
    assert len(read_map({SourceFile(str(tmp_path / name)): [0]}, "map")) == 5


def damaged_nifti(kind) -> bytes:
    """A NIfTI file with one kind of damage."""
    noise = np.random.default_rng(1).integers(0, 1000, (8, 8, 8), dtype=np.int16)
    content = bytearray(nib.Nifti1Image(noise, np.eye(4)).to_bytes())
    if kind == "type":
        content[70:72] = b"\x99\x09"
    elif kind == "short":
        del content[-100:]
    elif kind == "shape":
        content[40:56] = b"\x05\x00" + b"\xff\x7f" * 7
    elif kind == "text":
        content[:] = b"no image at all"
    packed = bytearray(gzip.compress(bytes(content)))
    if kind == "packing":
        packed[300:340] = b"\xff" * 40
    elif kind == "end":
        del packed[-200:]
    return bytes(packed)


@pytest.mark.filterwarnings("ignore:overflow encountered")
@pytest.mark.parametrize("kind", ["type", "short", "shape", "text", "packing", "end"])
def test_a_damaged_nifti_is_a_status_everywhere(tmp_path, kind):
    path = tmp_path / "x.nii.gz"
    path.write_bytes(damaged_nifti(kind))
    with pytest.raises(UNREADABLE):
        np.asarray(nib.load(path).dataobj)
    rows = pd.DataFrame([{"path": str(path), "member": "", "volume": 0, "b_value": np.nan}])
    assert refused(rewrite_nifti, rows, tmp_path / "out.nii.gz") == "unreadable_image"
    with pytest.raises(SequenceFault) as error:
        read_plausible(path, 3, 0.01)
    assert error.value.reason == "unreadable_image"
    with pytest.raises(ExamExcluded, match="file 1 cannot be read"):
        read_map({SourceFile(str(path)): [0]}, "map")
