"""Synthetic elastograms in the dialects of three vendors; every expected number is worked out by hand.

The patient: a liver that is a box, x -60 to 60 mm, y -45 to 45 mm, z -40 to 40 mm (RAS). The elastogram: 40 x 40
pixels of 5 mm, so the eroded liver (10 mm) has 20 x 14 = 280 pixels of 25 mm2 = 7000 mm2 in every slice.
"""

import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from pydicom import Dataset, FileDataset
from pydicom.dataset import FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from liverstiff import images
from liverstiff.config import ElastographyConfig
from liverstiff.dicom import SourceFile
from liverstiff.elastography import elastography_shard
from liverstiff.elastography.maps import read_map
from liverstiff.errors import ExamExcluded
from liverstiff.records import Exam, ExamStatus, Reason, read_status, read_table, write_status

EXAM = Exam("e000000000001", "p000000000001", "alba")
Z = (-21.0, -9.0, 3.5, 14.0)  # unevenly spaced
SIZE, PIXEL = 40, 5.0
MR, SECONDARY = "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.7"


def pixel_centres():
    """x and y in RAS mm of columns and rows: columns run to the left (-x in RAS), rows to the back (-y)."""
    run = 97.5 - PIXEL * np.arange(SIZE)
    return run, run


def in_eroded_liver():
    x, y = pixel_centres()
    return (np.abs(y) < 35)[:, None] & (np.abs(x) < 50)[None, :]


def dicom(stored, z, *, sop=MR, instance=1, text="", bits=16, **attributes):
    """A classic one-slice file."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = sop, generate_uid()
    data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = sop, meta.MediaStorageSOPInstanceUID
    data.PatientID, data.SeriesDescription, data.InstanceNumber = "MRN-0815", text, instance
    data.Rows, data.Columns = stored.shape[:2]
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated = data.BitsStored = bits
    data.HighBit, data.PixelRepresentation = bits - 1, 0
    place(data, z)
    data.PixelData = np.asarray(stored, np.uint16).tobytes()
    for name, value in attributes.items():
        setattr(data, name, value)
    return data


def place(data, z):
    """A slice in DICOM's LPS world: first pixel at the patient's right front."""
    data.ImagePositionPatient = [-97.5, -97.5, z]
    data.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    data.PixelSpacing = [PIXEL, PIXEL]


def mapping(slope, code, first=0, last=65535, intercept=0):
    """A real-world value mapping with a UCUM unit."""
    unit = Dataset()
    unit.CodeValue, unit.CodingSchemeDesignator, unit.CodeMeaning = code, "UCUM", code
    item = Dataset()
    item.MeasurementUnitsCodeSequence = Sequence([unit])
    item.RealWorldValueIntercept, item.RealWorldValueSlope = float(intercept), float(slope)
    item.add_new("RealWorldValueFirstValueMapped", "US", first)
    item.add_new("RealWorldValueLastValueMapped", "US", last)
    return Sequence([item])


class Shard:
    """A shard of one exam on disk."""

    def __init__(self, folder: Path):
        self.folder, self.rows = folder, []
        self.segmented, self.registered = folder / "segment", folder / "register"
        affine = np.diag([5.0, 5, 5, 1])
        affine[:3, 3] = -97.5
        x, y, z = np.moveaxis(images.grid(affine, (SIZE, SIZE, SIZE)), -1, 0)
        liver = (np.abs(x) < 60) & (np.abs(y) < 45) & (np.abs(z) < 40)
        self.image, self.affine = np.where(liver, 100.0, 0.0), affine
        images.save(EXAM.path(self.segmented, "space-frame_mask"), liver.astype(np.uint8), affine)
        images.save(EXAM.path(self.registered, "space-frame_T1w"), self.image.astype(np.float32), affine)
        write_status([ExamStatus(EXAM.exam, EXAM.patient, EXAM.site, "segment", "ok")], self.segmented / "status.csv")

    def add(self, kind, datasets):
        for data in datasets:
            path = self.folder / "dicom" / f"{len(self.rows)}.dcm"
            path.parent.mkdir(exist_ok=True)
            data.save_as(path, enforce_file_format=True)
            self.rows.append([EXAM.exam, EXAM.patient, EXAM.site, "s1", kind, "", 0, "", path, "", 0])
        return self

    def read(self, **settings):
        """Run the stage; the exam's status and its measures."""
        columns = ["exam", "patient", "site", "series", "kind", "variant", "volume", "b_value", "path", "member"]
        columns.append("frame")
        pd.DataFrame(self.rows, columns=columns).to_csv(self.folder / "shard.csv", index=False)
        out = self.folder / "elastography"
        elastography_shard(
            shard=self.folder / "shard.csv",
            segmented=self.segmented,
            registered=self.registered,
            folder=out,
            settings=ElastographyConfig(**settings),
        )
        return read_status(out)[0], read_table(out / "stiffness.csv")


@pytest.fixture
def shard(tmp_path):
    return Shard(tmp_path)


def stripes(count):
    """A pixel mask: the first ``count`` pixels of the eroded liver, row by row."""
    inside = np.flatnonzero(in_eroded_liver())[:count]
    pixels = np.zeros((SIZE, SIZE), bool)
    pixels.flat[inside] = True
    return pixels


def everywhere(value):
    return np.full((SIZE, SIZE), value)


def test_ge_reads_pa_where_the_masked_map_equals_the_map(shard):
    stiffness = [everywhere(value) for value in (2000, 2400, 3000, 5000)]
    kept = [stripes(count) for count in (200, 100, 100, 0)]
    shard.add("MRE_stiffness", [dicom(s, z) for s, z in zip(stiffness, Z, strict=True)])
    masked = [dicom(np.where(k, s, 0), z) for k, s, z in zip(kept, stiffness, Z, strict=True)]
    shard.add("MRE_masked_stiffness", reversed(masked))
    status, table = shard.read()
    assert status.ok
    row = table.iloc[0]
    assert row.stiffness_kpa == pytest.approx((2.0 * 200 + 2.4 * 100 + 3.0 * 100) / 400)  # 2.35
    assert (row.area_mm2, row.slices, row.unit, row.erosion_mm) == (400 * 25, 3, "Pa", 10.0)
    assert row.confidence == 0.95


@pytest.mark.parametrize(("full", "kind"), [(100, "percent"), (1000, "per mille")])
def test_siemens_reads_a_slope_per_slice_and_a_confidence_map(shard, full, kind):
    slopes, stored = (1.0, 2.0, 0.5, 4.0), (2000, 1200, 6000, 1000)  # 2000, 2400, 3000, 4000 Pa
    files = [
        dicom(everywhere(v), z, RescaleSlope=s, RescaleIntercept=0, RescaleType="US")
        for v, s, z in zip(stored, slopes, Z, strict=True)
    ]
    shard.add("MRE_stiffness", files)
    sure = [np.where(stripes(count), full, 0.9 * full) for count in (280, 140, 0, 70)]
    shard.add("MRE_confidence", [dicom(c, z) for c, z in zip(sure, Z, strict=True)])
    status, table = shard.read()
    assert status.ok, kind
    assert table.stiffness_kpa[0] == pytest.approx((2.0 * 280 + 2.4 * 140 + 4.0 * 70) / 490, abs=1e-4)  # 2.4
    assert table.area_mm2[0] == 490 * 25
    assert table.confidence[0] == 1.0


def philips_enhanced(stored, real_slope, rescale_slope, code):
    """An enhanced object: the mapping in the shared group, slope and place in every frame's own."""
    data = dicom(stored[0], 0.0, sop="1.2.840.10008.5.1.4.1.1.4.1")
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        delattr(data, keyword)
    shared, frames = Dataset(), []
    shared.RealWorldValueMappingSequence = mapping(real_slope, code)
    for z in Z:
        group, source = Dataset(), Dataset()
        place(source, z)
        for name, keywords in {
            "PlanePositionSequence": ["ImagePositionPatient"],
            "PlaneOrientationSequence": ["ImageOrientationPatient"],
            "PixelMeasuresSequence": ["PixelSpacing"],
        }.items():
            item = Dataset()
            for keyword in keywords:
                setattr(item, keyword, getattr(source, keyword))
            setattr(group, name, Sequence([item]))
        item = Dataset()
        item.RescaleSlope, item.RescaleIntercept, item.RescaleType = rescale_slope, 0.0, "US"
        group.PixelValueTransformationSequence = Sequence([item])
        frames.append(group)
    data.SharedFunctionalGroupsSequence = Sequence([shared])
    data.PerFrameFunctionalGroupsSequence = Sequence(frames)
    data.NumberOfFrames = len(Z)
    data.PixelData = np.asarray(stored, np.uint16).tobytes()
    return data


def test_philips_reads_the_real_world_value_and_not_the_rescale_slope(shard):
    stored = [everywhere(value) for value in (200, 240, 300, 400)]  # 2, 2.4, 3, 4 kPa; rescaled: 1400 ... "Pa"
    shard.add("MRE_stiffness", [philips_enhanced(stored, 0.01, 7.0, "kPa")])
    sure = [np.where(stripes(count), 96, 10) for count in (280, 0, 140, 0)]
    shard.add("MRE_confidence", [philips_enhanced(sure, 1.0, 0.01, "%")])
    status, table = shard.read()
    assert status.ok
    assert table.stiffness_kpa[0] == pytest.approx((2.0 * 280 + 3.0 * 140) / 420, abs=1e-4)
    assert table.unit[0] == "kPa"
    assert table.confidence[0] == pytest.approx(0.96)


def test_only_the_chosen_frames_are_read(tmp_path):
    stored = [everywhere(value) for value in (1, 2, 3, 4)]
    philips_enhanced(stored, 1.0, 7.0, "kPa").save_as(tmp_path / "a.dcm", enforce_file_format=True)
    parts = read_map({SourceFile(str(tmp_path / "a.dcm")): [2, 4]}, "map")
    assert [part.values[0, 0] for part in parts] == [2, 4]
    assert [part.affine[2, 3] for part in parts] == [Z[1], Z[3]]


def ge(shard, value, keep=280, **attributes):
    """A GE exam of one stiffness, with so many confident pixels a slice."""
    shard.add("MRE_stiffness", [dicom(everywhere(value), z, **attributes) for z in Z])
    return shard.add("MRE_masked_stiffness", [dicom(np.where(stripes(keep), value, 0), z, **attributes) for z in Z])


@pytest.mark.parametrize(
    ("value", "keep", "attributes", "reason"),
    [
        (2500, 0, {}, Reason.NO_CONFIDENT_PIXEL),
        (2500, 4, {}, Reason.AREA_TOO_SMALL),  # 4 slices x 4 pixels x 25 mm2 = 400 mm2
        (100, 280, {}, Reason.UNIT_UNCLEAR),  # neither 100 kPa nor 100 Pa is a liver
        (2500, 280, {"RescaleType": "kPa"}, Reason.UNIT_UNCLEAR),  # states what cannot be
        (25000, 280, {"RescaleType": "Pa"}, Reason.STIFFNESS_OUT_OF_RANGE),
        (2500, 280, {"PhotometricInterpretation": "PALETTE COLOR"}, Reason.UNREADABLE),
        (2500, 280, {"SOPClassUID": SECONDARY}, Reason.UNREADABLE),
    ],
)
def test_every_failure_has_its_reason(shard, value, keep, attributes, reason):
    status, table = ge(shard, value, keep, **attributes).read()
    assert (status.reason, len(table)) == (reason, 0)
    assert status.detail
    assert "dicom" not in status.detail
    assert "MRN" not in status.detail


def test_an_exam_without_maps_misses_its_elastogram(shard):
    assert shard.read()[0].reason == Reason.MISSING_MRE


def test_a_map_without_any_confidence_is_not_measured(shard):
    shard.add("MRE_stiffness", [dicom(everywhere(2500), z) for z in Z])
    assert shard.read()[0].reason == Reason.NO_CONFIDENT_PIXEL


def confident(shard, places, count=70):
    """Four slices of stiffness, and confidence at the given places: ``count`` pixels a slice."""
    values = (2000, 2400, 3000, 9000)
    shard.add("MRE_stiffness", [dicom(everywhere(value), z) for value, z in zip(values, Z, strict=True)])
    return shard.add("MRE_confidence", [dicom(np.where(stripes(count), 100, 10), z) for z in places])


def test_a_slice_without_confidence_does_not_count(shard):
    status, table = confident(shard, Z[:3]).read()
    assert status.ok
    assert table.stiffness_kpa[0] == pytest.approx((2.0 + 2.4 + 3.0) / 3, abs=1e-4)
    assert (table.slices[0], table.area_mm2[0]) == (3, 3 * 70 * 25)


def test_confidence_beside_the_slices_is_none(shard):
    status, table = confident(shard, [z + 1.5 for z in Z], 280).read()
    assert (status.reason, len(table)) == (Reason.NO_CONFIDENT_PIXEL, 0)
    assert "no slice of the confidence map lies in the plane" in status.detail


def test_a_masked_map_cannot_tell_more_than_its_threshold(shard):
    assert ge(shard, 2500).read(confidence=0.97)[0].reason == Reason.NO_CONFIDENT_PIXEL


def test_slices_beside_the_liver(shard):
    shard.add("MRE_masked_stiffness", [dicom(everywhere(2500), 80 + z) for z in Z])
    assert shard.read()[0].reason == Reason.AREA_TOO_SMALL


def test_two_slices_at_one_position_are_refused(shard):
    shard.add("MRE_masked_stiffness", [dicom(everywhere(2500), z) for z in (*Z, Z[0])])
    assert shard.read()[0].reason == Reason.UNREADABLE


def test_a_damaged_file_costs_only_its_exam(shard):
    ge(shard, 2500)
    Path(shard.rows[2][-3]).write_bytes(b"\0" * 300)
    assert shard.read()[0].reason == Reason.UNREADABLE


def test_vessels_are_left_out(shard):
    ge(shard, 2500)
    x, y, _ = np.moveaxis(images.grid(shard.affine, shard.image.shape), -1, 0)
    vessel = (np.abs(x) < 5) & (np.abs(y) < 10)  # 2 x 4 pixels of the elastogram
    rng = np.random.default_rng(0)
    image = np.where(vessel, 20.0, 100 + rng.uniform(-1, 1, shard.image.shape))
    images.save(EXAM.path(shard.registered, "space-frame_T1w"), image.astype(np.float32), shard.affine)
    assert shard.read()[1].area_mm2[0] == 4 * (280 - 8) * 25


def test_a_site_rule_decides_the_unit_only_where_it_can_be_true(shard):
    assert ge(shard, 2500).read(sites={"alba": {"unit": "kPa"}})[0].reason == Reason.UNIT_UNCLEAR


def test_the_same_exam_gives_the_same_bytes(shard):
    ge(shard, 2500).read()
    first = (shard.folder / "elastography" / "stiffness.csv").read_bytes()
    shard.read()
    assert (shard.folder / "elastography" / "stiffness.csv").read_bytes() == first


def test_a_tilted_slice_lies_where_the_header_says(tmp_path):
    data = dicom(everywhere(1), 0.0)
    data.ImagePositionPatient = [10, 20, 30]
    data.ImageOrientationPatient = [0, 1, 0, 0, 0, -1]  # sagittal: columns to the back, rows to the feet
    data.PixelSpacing = [2, 3]  # 2 mm between rows, 3 mm between columns
    data.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    part = read_map({SourceFile(str(tmp_path / "a.dcm")): ()}, "map")[0]
    np.testing.assert_allclose(part.points[4, 5], [-10, -20 - 15, 30 - 8])
    assert part.pixel_mm == (2, 3)


def test_values_outside_the_real_world_mapping_are_missing(tmp_path):
    stored = np.array([[5, 10], [20, 30]])
    data = dicom(stored, 0.0, RealWorldValueMappingSequence=mapping(0.5, "kPa", first=10, last=20, intercept=1))
    data.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    part = read_map({SourceFile(str(tmp_path / "a.dcm")): ()}, "map")[0]
    np.testing.assert_array_equal(part.values, [[np.nan, 6.0], [11.0, np.nan]])


def test_a_nifti_map_has_its_slices_along_the_third_axis(tmp_path):
    voxels = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    affine = np.array([[-2.0, 0, 0, 10], [0, 3, 0, 20], [0, 0, 8, 30], [0, 0, 0, 1]])
    nib.Nifti1Image(voxels, affine).to_filename(tmp_path / "a.nii.gz")
    parts = read_map({SourceFile(str(tmp_path / "a.nii.gz")): [0]}, "map")
    assert len(parts) == 4
    np.testing.assert_array_equal(parts[2].values, voxels[:, :, 2])
    np.testing.assert_allclose(parts[2].points[1, 2], [8, 26, 46])
    np.testing.assert_allclose(parts[2].affine[:3, 2], [0, 0, -1])
    assert parts[2].pixel_mm == (2, 3)


def test_maps_of_a_zip_archive(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for number, z in enumerate(Z):
            dicom(everywhere(number), z).save_as(tmp_path / "x.dcm", enforce_file_format=True)
            archive.write(tmp_path / "x.dcm", f"in/{number}")
    parts = read_map({SourceFile(str(tmp_path / "a.zip"), f"in/{number}"): [0] for number in range(4)}, "map")
    assert [part.values[0, 0] for part in parts] == [0, 1, 2, 3]


@pytest.mark.parametrize("name", ["a.nii", "b.dcm"])
def test_a_file_that_is_no_map_is_unreadable(tmp_path, name):
    (tmp_path / name).write_bytes(b"no image" * 100)
    with pytest.raises(ExamExcluded, match="map: file 1 cannot be read") as error:
        read_map({SourceFile(str(tmp_path / name)): [0]}, "map")
    assert error.value.reason == Reason.UNREADABLE
