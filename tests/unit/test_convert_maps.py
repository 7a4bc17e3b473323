"""Quantitative maps keep their physical units; packed pixels come out as plain ones."""

import json

import gdcm
import nibabel as nib
import numpy as np
import pytest
from made_images import change, expected, plain, stacks_of, voxels
from pydicom import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian
from tiny_dicom import GAP_MM, pixels, write_enhanced, write_series

from liverstiff.convert import NotConverted, convert_series, convert_stack
from liverstiff.convert.series import chunk_path
from liverstiff.dicom import SourceFile
from liverstiff.dicom.values import read_values, unit_of

STIFFNESS = "MRE_stiffness"
NOT_BY_DCM2NIIX = ["read frame by frame: dcm2niix did not write the image that the header describes"]
SYNTAX = gdcm.TransferSyntax


def state_mapping(data, slope, unit, intercept=0.0):
    """A real-world value mapping of all stored values."""
    code, item = Dataset(), Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = unit, "UCUM", unit
    item.MeasurementUnitsCodeSequence = [code]
    item.RealWorldValueSlope, item.RealWorldValueIntercept = slope, intercept
    item.add_new("RealWorldValueFirstValueMapped", "US", 0)
    item.add_new("RealWorldValueLastValueMapped", "US", 65535)
    data.RealWorldValueMappingSequence = [item]


def pack(path, syntax):
    """Pack the pixels of a file."""
    reader, change_syntax, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
    reader.SetFileName(str(path))
    assert reader.Read()
    change_syntax.SetTransferSyntax(SYNTAX(syntax))
    change_syntax.SetInput(reader.GetImage())
    assert change_syntax.Change()
    writer.SetFileName(str(path))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change_syntax.GetOutput())
    assert writer.Write()


def test_the_real_world_mapping_counts_before_the_rescale_slope(tmp_path):
    files = write_series(tmp_path / "in", "Philips", slices=4)

    def edit(data, number):
        data.RescaleSlope, data.RescaleIntercept, data.RescaleType = 7.0, 3.0, "US"
        state_mapping(data, 0.001 * (number + 1), "kPa", 0.5)

    done = convert_series(change(files, edit), tmp_path / "out.nii.gz", STIFFNESS)
    slopes = 0.001 * np.arange(1, 5)[:, None]
    assert np.allclose(voxels(done.path), expected(1, 4) * slopes + 0.5, rtol=1e-6)
    assert nib.load(done.path).get_data_dtype() == np.float32
    assert json.loads((tmp_path / "out.json").read_text())["Units"] == "kPa"
    assert done.notes == ["read frame by frame, in kPa"]


@pytest.mark.parametrize("vendor", ["GE", "Siemens", "Philips", "Canon", "UIH"])
def test_a_slope_per_slice_and_its_unit(tmp_path, vendor):
    slopes = np.array([1.0, 2.0, 0.5, 4.0])
    files = write_series(tmp_path / "in", vendor, slices=4)

    def edit(data, number):
        data.RescaleSlope, data.RescaleIntercept, data.RescaleType = slopes[number], 10, "Pa"
        if vendor == "Philips":
            data.private_block(0x2005, "Philips MR Imaging DD 001", create=True).add_new(0x0E, "FL", 0.002)

    done = convert_series(change(files, edit), tmp_path / "out.nii.gz", STIFFNESS)
    assert np.allclose(voxels(done.path), expected(1, 4) * slopes[:, None] + 10)
    assert json.loads((tmp_path / "out.json").read_text())["Units"] == "Pa"


def test_an_enhanced_map_with_a_slope_per_frame(tmp_path):
    slopes = (1.0, 2.0, 0.5, 4.0)
    path = write_enhanced(tmp_path / "in" / "x", (0.0,), vendor="Siemens", slopes=slopes)
    done = convert_series([path], tmp_path / "out.nii.gz", "ADC")
    assert np.allclose(voxels(done.path), expected(1, 4) * np.array(slopes)[:, None])
    assert done.notes == ["read frame by frame; no unit is stated"]
    assert "Units" not in json.loads((tmp_path / "out.json").read_text())


def test_uneven_slices_become_files_with_their_own_positions(tmp_path):
    heights = (0, 12, 24.5, 35)
    files = write_series(tmp_path / "in", heights=heights, RescaleSlope=2, RescaleIntercept=0)
    done = convert_series(files, tmp_path / "sub-1_ses-1_desc-s001_stiffness.nii.gz", STIFFNESS)
    names = [f"sub-1_ses-1_chunk-{number}_desc-s001_stiffness" for number in range(1, 5)]
    assert [path.name for path in done.paths] == [f"{name}.nii.gz" for name in names]
    for place, (path, height) in enumerate(zip(done.paths, heights, strict=True)):
        assert np.array_equal(voxels(path)[:, :, 0, 0], 2.0 * pixels(0, place).T[:, ::-1])
        affine = nib.load(path).affine
        assert np.allclose(affine[:3, 3], [10, 6, height])
        assert np.allclose(affine[:3, 2], [0, 0, GAP_MM])  # the thickness, not the gap
        assert path.with_name(names[place] + ".json").exists()
    assert done.notes[-1] == "slices are unevenly spaced: 4 files of one slice"


def test_chunks_come_before_the_last_parts_of_a_name(tmp_path):
    assert chunk_path(tmp_path / "sub-1_T1w.nii.gz", 2).name == "sub-1_chunk-2_T1w.nii.gz"
    assert chunk_path(tmp_path / "map.nii.gz", 2).name == "map_chunk-2.nii.gz"


def test_a_map_whose_volumes_differ_is_refused(tmp_path):
    files = write_series(tmp_path / "in", heights=(0, 5, 10, 15))
    copy = write_series(tmp_path / "again", heights=(0,), SeriesInstanceUID="1.2.3.9")
    change(copy, lambda data, _: setattr(data, "InstanceNumber", 99))
    stacks = stacks_of(files + copy)
    with pytest.raises(NotConverted) as error:
        convert_stack(stacks[0], tmp_path / "out.nii.gz", STIFFNESS)
    assert error.value.code == "duplicated_slice"


def test_a_damaged_map_names_no_file(tmp_path):
    files = write_series(tmp_path / "in", slices=3)
    (stack,) = stacks_of(files)
    files[1].write_bytes(files[1].read_bytes()[:-100])
    with pytest.raises(NotConverted, match="a file cannot be read") as error:
        convert_stack(stack, tmp_path / "out.nii.gz", STIFFNESS)
    assert error.value.code == "unreadable_image"
    assert "in/" not in error.value.detail


@pytest.mark.parametrize("syntax", ["RLELossless", "JPEG2000Lossless", "JPEGLSLossless", "JPEGLosslessProcess14_1"])
def test_packed_pixels_equal_plain_ones(tmp_path, syntax):
    files = write_series(tmp_path / "in", b_values=(0, 400), slices=3)
    for path in files:
        pack(path, getattr(SYNTAX, syntax))
    done = convert_series(files, tmp_path / "out.nii.gz")
    assert np.array_equal(voxels(done.path), expected(2, 3))
    assert done.notes == []


@pytest.mark.parametrize("syntax", ["RLELossless", "JPEG2000Lossless", "JPEGLSLossless"])
def test_a_packed_map_equals_the_plain_one(tmp_path, syntax):
    files = write_series(tmp_path / "in", slices=4)
    change(files, lambda data, number: state_mapping(data, 0.001 * (number + 1), "kPa"))
    truth = [part.values for path in files for part in read_values(SourceFile(str(path)))]
    for path in files:
        pack(path, getattr(SYNTAX, syntax))
    found = [part for path in files for part in read_values(SourceFile(str(path)))]
    assert np.array_equal([part.values for part in found], truth)
    assert {part.unit for part in found} == {"kPa"}
    done = convert_series(files, tmp_path / "out.nii.gz", STIFFNESS)
    assert np.allclose(voxels(done.path), expected(1, 4) * 0.001 * np.arange(1, 5)[:, None])


@pytest.mark.parametrize("syntax", ["deflated", "12-bit JPEG"])
def test_what_dcm2niix_refuses_is_read_all_the_same(tmp_path, syntax):
    files = write_series(tmp_path / "in", slices=4, BitsStored=12, HighBit=11)

    def edit(data, _):
        data.PixelData = (np.frombuffer(data.PixelData, "<u2") % 4096).tobytes()
        if syntax == "deflated":
            data.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian

    for path in change(files, edit):
        if syntax != "deflated":
            pack(path, SYNTAX.JPEGExtendedProcess2_4)
    assert plain(tmp_path / "in")[0] == 2
    done = convert_series(files, tmp_path / "out.nii.gz")
    assert np.abs(voxels(done.path) - (expected(1, 4) % 4096).astype(int)).max() <= 1  # that JPEG is not lossless
    assert done.notes == NOT_BY_DCM2NIIX


def test_units_of_diffusion():
    assert [unit_of(text) for text in ("mm2/s", "um2/s", "10-6 mm2/s", "US", "normalized", None)] == [
        *("mm2/s", "um2/s", "um2/s", "", "", "")
    ]
