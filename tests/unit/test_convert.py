"""Volumes and b-values from the header, voxels by dcm2niix, no identifier in what comes out."""

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from pydicom import dcmread
from test_catalog import run_site, run_study
from tiny_dicom import COLUMNS, GAP_MM, ROWS, pixels, write_enhanced, write_exam, write_series

from liverstiff.config import ConvertConfig
from liverstiff.convert import convert_series, convert_shard, convert_stack
from liverstiff.convert.interface import run_dcm2niix
from liverstiff.convert.nifti import RawImage, stack_volumes
from liverstiff.convert.pixels import slice_of
from liverstiff.convert.sidecar import whitelisted
from liverstiff.convert.source import unpack
from liverstiff.dicom import SourceFile, read_frames, split_stacks
from liverstiff.errors import ExamExcluded
from liverstiff.records import read_status


def voxels(path: Path) -> np.ndarray:
    """(x, y, z, volume)."""
    array = np.asarray(nib.load(path).dataobj)
    return array if array.ndim == 4 else array[..., None]


def expected(volumes: int, slices: int) -> np.ndarray:
    """What the tiny series hold, in dcm2niix's axes: x to the left, y to the front, z upwards."""
    stack = [[pixels(volume, place).T[:, ::-1] for place in range(slices)] for volume in range(volumes)]
    return np.array(stack).transpose(2, 3, 1, 0)


def test_voxels_affine_and_b_values(tmp_path):
    files = write_series(tmp_path / "in", b_values=(0, 400, 800), slices=4)
    done = convert_series(files, tmp_path / "out.nii.gz")
    assert done.shape == (COLUMNS, ROWS, 4, 3)
    assert done.notes == []
    assert np.array_equal(voxels(done.path), expected(3, 4))
    # first DICOM pixel at LPS (-10, -20, 0), spacing 2 mm between rows and 3 mm between columns
    affine = [[-3, 0, 0, 10], [0, 2, 0, 20 - 2 * (ROWS - 1)], [0, 0, GAP_MM, 0], [0, 0, 0, 1]]
    assert np.allclose(nib.load(done.path).affine, affine, atol=1e-4)
    assert (tmp_path / "out.bval").read_text() == "0 400 800\n"
    assert not (tmp_path / "out.bvec").exists()


@pytest.mark.parametrize("vendor", ["Siemens", "GE", "Philips", "UIH", "Canon"])
def test_slice_by_slice_order(tmp_path, vendor):
    files = write_series(
        tmp_path / "in", vendor, b_values=(0, 400, 800), slices=4, slice_major=True, AcquisitionNumber=1
    )
    done = convert_series(files, tmp_path / "out.nii.gz")
    assert np.array_equal(voxels(done.path), expected(3, 4))
    assert done.b_values == [0, 400, 800]


@pytest.mark.parametrize("b_values", [(0.0, 50.0, 400.0, 800.0), (0.0, 800.0), (50.0, 400.0)])
def test_philips_enhanced_trace_keeps_the_b_values_of_its_frames(tmp_path, b_values):
    done = convert_series([write_enhanced(tmp_path / "x", b_values)], tmp_path / "out.nii.gz")
    assert done.b_values == list(b_values)
    assert np.array_equal(voxels(done.path), expected(len(b_values), 4))
    assert done.notes == ["dcm2niix reads other b-values; those of the header are kept"]


@pytest.mark.parametrize("vendor", ["GE", "Philips"])
def test_two_b0_volumes_are_not_split_off(tmp_path, vendor):
    files = write_series(tmp_path / "in", vendor, b_values=(0, 0, 400, 400, 800), slices=4)
    done = convert_series(files, tmp_path / "out.nii.gz")
    assert done.b_values == [0, 0, 400, 400, 800]
    assert np.array_equal(voxels(done.path), expected(5, 4))


def test_ge_with_a_direction_count_keeps_its_b_values(tmp_path):
    files = write_series(tmp_path / "in", "GE", b_values=(0, 400), slices=3)
    for path in files:
        data = dcmread(path)
        data[0x0019, 0x10E0].value = "6"
        data.save_as(path)
    done = convert_series(files, tmp_path / "out.nii.gz")
    assert (tmp_path / "out.bval").read_text() == "0 400\n"
    assert np.array_equal(voxels(done.path), expected(2, 3))


def test_packed_files(tmp_path):
    files = []
    for path in write_series(tmp_path / "in", slices=3):
        files.append(path.with_name(path.name + ".gz"))
        files[-1].write_bytes(gzip.compress(path.read_bytes()))
    assert np.array_equal(voxels(convert_series(files, tmp_path / "out.nii.gz").path), expected(1, 3))


def test_water_and_fat_in_one_series_are_converted_apart(tmp_path):
    parts = {}
    for part, first in (("WATER", 1), ("FAT", 2)):
        kind = ["DERIVED", "PRIMARY", "DIXON", part]
        parts[part] = write_series(tmp_path / part, slices=3, ImageType=kind)
        for number, path in enumerate(parts[part]):
            data = dcmread(path)
            data.InstanceNumber = data.file_meta.MediaStorageSOPInstanceUID = f"{first * 10 + number}"
            data.SOPInstanceUID = f"1.{first}.{number}"
            data.PixelData = pixels(first, number).tobytes()
            data.save_as(path)
    files = [*parts["WATER"], *parts["FAT"]]
    with pytest.raises(ExamExcluded, match="holds 2 kinds of image"):
        convert_series(files, tmp_path / "out.nii.gz")
    stacks = split_stacks(frame for path in files for frame in read_frames(SourceFile(str(path))))
    fat = next(stack for stack in stacks if "FAT" in stack.first.image_type)
    done = convert_stack(fat, tmp_path / "fat.nii.gz")
    assert np.array_equal(voxels(done.path)[..., 0], expected(3, 3)[..., 2])


@pytest.mark.parametrize(
    ("heights", "fault"),
    [((0, 5, 15, 20), "unevenly spaced: 5.00 to 10.00 mm"), ((0, 5, 10.4, 15), "unevenly spaced: 4.60 to 5.40 mm")],
)
def test_uneven_slices_are_refused(tmp_path, heights, fault):
    with pytest.raises(ExamExcluded, match=fault) as error:
        convert_series(write_series(tmp_path / "in", heights=heights), tmp_path / "out.nii.gz")
    assert error.value.reason == "conversion_failed"
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


def test_unpacking_has_a_bound(tmp_path):
    (tmp_path / "big.gz").write_bytes(gzip.compress(bytes(1000)))
    with pytest.raises(ExamExcluded, match="more than 999 bytes"):
        unpack(tmp_path / "big.gz", tmp_path / "big", largest=999)
    (tmp_path / "bad.gz").write_bytes(b"\x1f\x8b rest")
    with pytest.raises(ExamExcluded, match="damaged"):
        unpack(tmp_path / "bad.gz", tmp_path / "bad")


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
    (stack,) = split_stacks(frame for path in write_series(tmp_path, slices=4) for frame in read_frames(SourceFile(str(path))))
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


def shard_of(tmp_path: Path, **identity) -> Path:
    """One exam through catalog and convert; the shard folder."""
    write_exam(tmp_path / "tree" / "exam", **identity)
    run_site(tmp_path / "tree", tmp_path / "catalog")
    run_study(tmp_path / "catalog")
    return convert_again(tmp_path, "shard-0000")


def convert_again(tmp_path: Path, name: str) -> Path:
    tables = tmp_path / "catalog" / "private" / "shards"
    convert_shard(
        shard=tables / "shard-0000.csv",
        status=tables / "shard-0000.status.csv",
        folder=tmp_path / "convert" / name,
        settings=ConvertConfig(),
    )
    return tmp_path / "convert" / name


def test_a_shard_has_the_files_of_the_contract(tmp_path):
    folder = shard_of(tmp_path)
    (row,) = read_status(folder)
    start = f"{row.identity.folder}/{{}}/sub-{row.patient}_ses-{row.exam}_{{}}"
    names = [("anat", "T1w.nii.gz"), ("anat", "T1w.json"), ("anat", "T2w.nii.gz"), ("anat", "T2w.json")]
    names += [("dwi", "dwi.nii.gz"), ("dwi", "dwi.json"), ("dwi", "dwi.bval")]
    wanted = {start.format(*pair) for pair in names} | {"status.csv", "measures.csv", "dataset_description.json"}
    assert {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} == wanted
    assert row.ok
    (measures,) = pd.read_csv(folder / "measures.csv").to_dict("records")
    assert [measures[name] for name in ("t1w_volumes", "t2w_volumes", "dwi_volumes")] == [1, 1, 3]
    again = convert_again(tmp_path, "again")
    for path in (path for path in folder.rglob("*") if path.is_file()):
        assert path.read_bytes() == (again / path.relative_to(folder)).read_bytes()


def test_an_exam_that_cannot_be_converted_does_not_stop_the_shard(tmp_path):
    write_exam(tmp_path / "tree" / "broken", StudyInstanceUID="1.9", PatientID="P9")
    folder = shard_of(tmp_path)
    assert [row.ok for row in read_status(folder)] == [True, True]
    for path in sorted((tmp_path / "tree" / "broken" / "2").iterdir())[:3]:
        path.write_bytes(path.read_bytes()[:-50])
    after = convert_again(tmp_path, "after")
    assert sorted(row.reason for row in read_status(after)) == ["", "conversion_failed"]
    assert len(list(after.rglob("*T1w.nii.gz"))) == 1


PLANTED = {
    "PatientName": "SECRETNAME^ONE",
    "PatientID": "SECRETID77",
    "PatientBirthDate": "19510213",
    "AccessionNumber": "SECRETACC",
    "InstitutionName": "SECRETHOSPITAL",
    "InstitutionAddress": "SECRETSTREET",
    "StationName": "SECRETSTATION",
    "DeviceSerialNumber": "SECRETSERIAL",
    "ReferringPhysicianName": "SECRETDOCTOR",
    "StudyDescription": "SECRETSTUDY",
    "ImageComments": "SECRETCOMMENT",
    "PatientComments": "SECRETPATIENTCOMMENT",
    "ProtocolName": "SECRETPROTOCOL",
    "BodyPartExamined": "SECRETBODY",
    "StudyInstanceUID": "1.2.777.888.999",
    "StudyDate": "20230406",
    "StudyTime": "112233",
}
TOKENS = [b"SECRET", b"1.2.777", b"19510213", b"20230406", b"112233", b"tree/exam", b"ep2d", b"t1_vibe"]


def test_no_identifier_leaves_the_private_folder(tmp_path, capsys):
    folder = shard_of(tmp_path, **PLANTED)
    assert read_status(folder)[0].ok
    public = [
        path for path in tmp_path.rglob("*") if path.is_file() and not {"tree", "private", "key"} & set(path.parts)
    ]
    assert len(public) > 10
    for path in public:
        content = path.read_bytes()
        content = gzip.decompress(content) if path.suffix == ".gz" else content
        assert [token for token in TOKENS if token.lower() in content.lower()] == [], path.name
    printed = capsys.readouterr()
    said = (printed.out + printed.err).lower().encode()
    assert [token for token in TOKENS if token.lower() in said] == []
    headers = [nib.load(path).header for path in public if path.suffix == ".gz"]
    texts = ("descrip", "aux_file", "intent_name", "db_name")
    assert not any(bytes(header[field]).strip(b"\0") for header in headers for field in texts)
