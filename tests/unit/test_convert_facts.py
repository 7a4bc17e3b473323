"""The ten facts about dcm2niix that decide the design: each is shown with the plain binary, then ours beside it."""

import json

import nibabel as nib
import numpy as np
import pytest
from made_images import bval, change, expected, plain, stacks_of, voxels
from tiny_dicom import pixels, write_enhanced, write_series

from liverstiff.convert import NotConverted, convert_series, convert_stack

VOLUME_BY_VOLUME = ["converted volume by volume"]
OTHER_B = ["dcm2niix reads other b-values; those of the header are kept"]
OWN_SCALES = ["read frame by frame: slices have scales of their own"]


def test_fact_01_isotropic_frames_of_philips_get_2000(tmp_path):
    path = write_enhanced(tmp_path / "in" / "x", (0.0, 50.0, 400.0, 800.0))
    code, theirs = plain(tmp_path / "in")
    assert (code, bval(theirs["x.bval"])) == (0, [2000] * 4)
    done = convert_series([path], tmp_path / "out.nii.gz")
    assert bval(tmp_path / "out.bval") == done.b_values == [0, 50, 400, 800]
    assert np.array_equal(voxels(done.path), expected(4, 4))
    assert done.notes == OTHER_B


def test_fact_02_ge_with_a_number_of_directions_gets_zero(tmp_path):
    files = write_series(tmp_path / "in", "GE", b_values=(0, 400, 800), slices=3)
    change(files, lambda data, _: setattr(data[0x0019, 0x10E0], "value", "6"))
    code, theirs = plain(tmp_path / "in")
    assert (code, bval(theirs["x.bval"])) == (0, [0, 0, 0])
    done = convert_series(files, tmp_path / "out.nii.gz")
    assert bval(tmp_path / "out.bval") == [0, 400, 800]
    assert np.array_equal(voxels(done.path), expected(3, 3))
    assert done.notes == OTHER_B


@pytest.mark.parametrize("vendor", ["GE", "Philips"])
def test_fact_03_two_b0_volumes_are_split_off_as_adc(tmp_path, vendor):
    files = write_series(tmp_path / "in", vendor, b_values=(0, 0, 400, 400, 800), slices=4)
    code, theirs = plain(tmp_path / "in", "-z", "n")
    assert (code, [name for name in theirs if name.endswith(".nii")]) == (0, ["x.nii", "x_ADC.nii"])
    assert voxels(theirs["x.nii"]).shape[3] == 2
    assert "x_ADC.bval" not in theirs
    done = convert_series(files, tmp_path / "out.nii.gz")
    assert done.b_values == [0, 0, 400, 400, 800]
    assert np.array_equal(voxels(done.path), expected(5, 4))
    assert not list(tmp_path.glob("*ADC*"))


@pytest.mark.parametrize("vendor", ["Siemens", "UIH", "Canon"])
def test_fact_04_slice_by_slice_is_scrambled_in_silence(tmp_path, vendor):
    files = write_series(tmp_path / "in", vendor, b_values=(0, 400, 800), slices=4, slice_major=True)
    code, theirs = plain(tmp_path / "in", "-z", "n")
    assert (code, bval(theirs["x.bval"])) == (0, [0, 400, 800])
    assert voxels(theirs["x.nii"]).shape == expected(3, 4).shape
    assert not np.array_equal(voxels(theirs["x.nii"]), expected(3, 4))
    done = convert_series(files, tmp_path / "out.nii.gz")
    assert np.array_equal(voxels(done.path), expected(3, 4))
    assert (done.b_values, done.notes) == ([0, 400, 800], VOLUME_BY_VOLUME)


@pytest.mark.parametrize("vendor", ["Siemens", "GE", "Philips", "UIH", "Canon"])
def test_fact_05_instance_numbers_without_order_scramble(tmp_path, vendor):
    files = write_series(tmp_path / "in", vendor, b_values=(0, 400, 800), slices=4)
    numbers = np.random.default_rng(1).permutation(len(files)) + 1
    change(files, lambda data, k: setattr(data, "InstanceNumber", int(numbers[k])))
    code, theirs = plain(tmp_path / "in", "-z", "n")
    assert code == 0
    written = [voxels(path) for name, path in theirs.items() if name.endswith(".nii")]
    assert not any(_holds_true_volumes(found) for found in written)
    done = convert_series(files, tmp_path / "out.nii.gz")
    order = [[0, 400, 800].index(b) for b in done.b_values]
    assert np.array_equal(voxels(done.path), expected(3, 4)[..., order])
    assert done.notes == VOLUME_BY_VOLUME


def _holds_true_volumes(found):
    """Every volume is one of the true ones."""
    true = np.moveaxis(expected(3, 4), -1, 0)
    return all(any(np.array_equal(one, other) for other in true) for one in np.moveaxis(found, -1, 0))


def test_fact_06_a_slope_per_slice_is_lost(tmp_path):
    slopes = (1.0, 2.0, 3.0, 4.0)
    truth = expected(1, 4) * np.array(slopes)[:, None]
    classic = write_series(tmp_path / "ge", "GE", slices=4)
    change(classic, lambda data, k: setattr(data, "RescaleSlope", slopes[k]) or setattr(data, "RescaleIntercept", 0))
    _, theirs = plain(tmp_path / "ge", "-p", "n", "-z", "n")
    assert not np.allclose(voxels(theirs["x.nii"]), truth)
    enhanced = write_enhanced(tmp_path / "xa" / "x", (0.0,), vendor="Siemens", slopes=slopes)
    for option in ("y", "n"):
        code, theirs = plain(tmp_path / "xa", "-p", option, "-z", "n")
        assert code == 0
        assert np.allclose(voxels(theirs["x.nii"]), expected(1, 4) * slopes[-1])  # the last frame's for all
    for files in (classic, [enhanced]):
        done = convert_series(files, tmp_path / "out.nii.gz")
        assert np.allclose(voxels(done.path), truth)
        assert done.notes == OWN_SCALES


def write_parts(folder, parts, **attributes):
    """One series whose images differ in image type: as many volumes as there are parts."""
    files = []
    for number, part in enumerate(parts):
        kind = {"ImageType": ["DERIVED", "PRIMARY", "M", "DIXON", part], **attributes}
        found = write_series(folder / part, slices=3, **kind)
        for place, path in enumerate(found):
            files.append(folder / f"{part}.{place}")
            path.rename(files[-1])
            change([files[-1]], lambda data, _, number=number, place=place: _renumber(data, number, place))
        (folder / part).rmdir()
    return files


def _renumber(data, part, place):
    data.InstanceNumber = 10 * part + place + 1
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = f"1.2.{part}.{place}"
    data.PixelData = pixels(part, place).tobytes()


def test_fact_07_water_and_fat_are_stacked_into_one(tmp_path):
    files = write_parts(tmp_path / "in", ("WATER", "FAT"))
    code, theirs = plain(tmp_path / "in", "-z", "n")
    assert (code, voxels(theirs["x.nii"]).shape[3]) == (0, 2)
    with pytest.raises(NotConverted, match="holds 2 kinds of image"):
        convert_series(files, tmp_path / "out.nii.gz")
    for stack in stacks_of(files):
        part = stack.first.image_type[-1]
        done = convert_stack(stack, tmp_path / f"{part}.nii.gz")
        assert np.array_equal(voxels(done.path)[..., 0], expected(2, 3)[..., int(part == "FAT")])


def test_fact_08_in_and_opposed_phase_are_called_phase(tmp_path):
    files = write_parts(tmp_path / "in", ("IN_PHASE", "OPP_PHASE"))
    _, theirs = plain(tmp_path / "in", "-z", "n")
    images = [name for name in theirs if name.endswith(".nii")]
    assert all("_ph" in name for name in images)
    assert "PHASE" in json.loads(theirs[images[0].replace(".nii", ".json")].read_text())["ImageType"]
    for stack in stacks_of(files):
        part = stack.first.image_type[-1]
        done = convert_stack(stack, tmp_path / f"{part}.nii.gz")
        assert np.array_equal(voxels(done.path)[..., 0], expected(2, 3)[..., int(part == "OPP_PHASE")])
        assert stack.first.component == ""
        assert "PHASE" not in (tmp_path / f"{part}.json").read_text()


def test_fact_09_exit_code_and_wrapper_tell_nothing(tmp_path, monkeypatch):
    import dcm2niix
    from nipype.interfaces.dcm2nii import Dcm2niix

    monkeypatch.setenv("PATH", str(dcm2niix.bin).rsplit("/", 1)[0], prepend=":")
    adc = write_series(tmp_path / "adc", "GE", b_values=(0, 0, 400, 400, 800), slices=4)
    (tmp_path / "out").mkdir()
    run = Dcm2niix(source_dir=str(tmp_path / "adc"), output_dir=str(tmp_path / "out"), out_filename="x").run()
    assert "_ADC" not in str(run.outputs.converted_files)
    assert (tmp_path / "out" / "x_ADC.nii.gz").exists()
    assert convert_series(adc, tmp_path / "adc.nii.gz").shape[3] == 5
    short = write_series(tmp_path / "short", slices=3)
    short[1].write_bytes(short[1].read_bytes()[:-100])
    run = Dcm2niix(source_dir=str(tmp_path / "short"), output_dir=str(tmp_path / "out"), out_filename="y").run()
    assert run.runtime.returncode == 1  # and nothing was raised
    with pytest.raises(NotConverted, match="the pixels of 1 of 3 images are cut short") as fault:
        convert_series(short, tmp_path / "short.nii.gz")
    assert fault.value.code == "truncated_pixels"


def test_fact_10_free_text_is_left_after_anonymisation(tmp_path):
    files = write_series(tmp_path / "in", slices=3, ImageComments="SECRETCOMMENT", ProtocolName="SECRETPROTOCOL")
    _, theirs = plain(tmp_path / "in", "-ba", "y", "-z", "n")
    header = nib.load(theirs["x.nii"]).header
    assert b"SECRETCOMMENT" in bytes(header["aux_file"])
    assert b"Time=" in bytes(header["descrip"])
    assert "SECRETPROTOCOL" in theirs["x.json"].read_text()
    done = convert_series(files, tmp_path / "out.nii.gz")
    header = nib.load(done.path).header
    assert not any(bytes(header[field]).strip(b"\0") for field in ("descrip", "aux_file", "intent_name", "db_name"))
    assert "SECRET" not in (tmp_path / "out.json").read_text()
    assert np.array_equal(voxels(done.path), expected(1, 3))
