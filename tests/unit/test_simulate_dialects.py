"""Siemens XA, Canon and UIH: rendered exams that dcm2niix and pydicom read rightly, and what is true of each series."""

import subprocess

import dcm2niix
import nibabel as nib
import numpy as np
import pandas as pd
import pydicom
import pytest

from liverstiff.config import SimulateConfig
from liverstiff.simulate import scan, simulate_site

SITES = {
    "xa": {"dialect": "siemens-xa", "field_t": 3.0, "record_style": "french", "layout": "exam"},
    "canon": {"dialect": "canon", "field_t": 1.5, "record_style": "coded", "layout": "series"},
    "canonenh": {"dialect": "canon-enhanced", "field_t": 3.0, "record_style": "english", "layout": "exam"},
    "uih": {"dialect": "uih", "field_t": 1.5, "record_style": "plain", "layout": "flat"},
}
B_VALUES = {"xa": [50, 400, 800], "canon": [0, 100, 800], "canonenh": [0, 50, 500, 1000], "uih": [1.25, 50.3, 799.6]}
MAKERS = {"xa": "Siemens Healthineers", "canon": "CANON_MEC", "canonenh": "CANON_MEC", "uih": "UIH"}


def write(site, folder, **changes):
    sites = {name: {"exams": 1, **settings, **changes} for name, settings in SITES.items()}
    plain = {"missing_sequence_fraction": 0, "mre_failure_fraction": 0, "sites": sites}
    tables = {name: folder / f"{name}.csv" for name in ("record", "truth", "truth_series")}
    simulate_site(site=site, config=SimulateConfig.model_validate(plain), tree=folder / "dicom", **tables)
    return folder


def read(folder):
    return [pydicom.dcmread(path) for path in sorted((folder / "dicom").rglob("*")) if path.is_file()]


def frame_types(image):
    """ImageType of a classic image, FrameTypes of an enhanced one, as truth writes them."""
    groups = image.get("PerFrameFunctionalGroupsSequence")
    types = [group.MRImageFrameTypeSequence[0].FrameType for group in groups] if groups else [image.ImageType]
    return {"/".join(kind) for kind in types}


def series_types(images):
    found = {}
    for image in images:
        found.setdefault(image.SeriesInstanceUID, set()).update(frame_types(image))
    return found


def true_types(folder):
    truth = pd.read_csv(folder / "truth_series.csv", keep_default_na=False)
    return truth.groupby("series_uid")["image_type"].agg(set).to_dict()


@pytest.fixture(scope="module", params=list(SITES))
def exam(request, tmp_path_factory):
    folder = write(request.param, tmp_path_factory.mktemp(request.param))
    return request.param, folder, read(folder)


def of(images, folder, kind):
    """Images of the series of one kind, in the order of instance numbers."""
    truth = pd.read_csv(folder / "truth_series.csv")
    uids = set(truth.loc[truth["kind"] == kind, "series_uid"])
    return sorted((image for image in images if image.SeriesInstanceUID in uids), key=lambda i: i.InstanceNumber)


def test_truth_names_every_series(exam):
    site, folder, images = exam
    assert series_types(images) == true_types(folder)
    truth = pd.read_csv(folder / "truth_series.csv", keep_default_na=False)
    assert set(truth.loc[truth["source"], "kind"]) == {
        "T1w",
        "T2w",
        "DWI",
        "MRE_stiffness",
        "MRE_confidence",
        "MRE_raw",
    }
    assert {image.Manufacturer for image in images} == {MAKERS[site]}
    assert {image.StudyInstanceUID for image in images} == set(truth["study_uid"])


def test_required_elements(exam):
    site, _, images = exam
    enhanced = site in ("xa", "canonenh")
    for image in images:
        assert (image.SOPClassUID.name == "Enhanced MR Image Storage") == enhanced
        assert image.file_meta.MediaStorageSOPInstanceUID == image.SOPInstanceUID
        assert image.pixel_array.shape[-2:] == (image.Rows, image.Columns)
        if enhanced:
            assert len(image.PerFrameFunctionalGroupsSequence) == image.NumberOfFrames
            assert image.ContentQualification
            assert image.DimensionIndexSequence
            assert not {"EchoTime", "RepetitionTime", "ScanningSequence", "PixelSpacing", "SliceThickness"} & set(
                image.dir()
            )
        else:
            assert image.ScanningSequence
            assert image.EchoTime > 0
            assert len(image.ImagePositionPatient) == 3


def test_dcm2niix_reads_the_b_values(exam, tmp_path):
    site, folder, _ = exam
    call = [dcm2niix.bin, "-g", "i", "-b", "n", "-z", "n", "-f", "x%s", "-d", "9", "-o", tmp_path, folder / "dicom"]
    assert subprocess.run(call, capture_output=True).returncode == 0
    (bvals,) = tmp_path.glob("*.bval")
    assert [float(b) for b in bvals.read_text().split()] == B_VALUES[site]
    image = nib.load(bvals.with_suffix(".nii"))
    assert image.shape == (*scan.DWI_GRID.shape, len(B_VALUES[site]))
    body = np.asarray(image.dataobj)[20:-20, 20:-20]
    means = body.mean(axis=(0, 1, 2))
    assert all(np.diff(means) < 0)  # the volumes are in order


def stiffness_kpa(site, maps):
    """Stiffness by each vendor's own statement of units."""
    if site == "xa":
        (image,) = maps
        slopes = []
        for group in image.PerFrameFunctionalGroupsSequence:
            pascal = group.PixelValueTransformationSequence[0].RescaleSlope
            (mapping,) = group.RealWorldValueMappingSequence
            assert mapping.MeasurementUnitsCodeSequence[0].CodeValue == "kPa"
            assert mapping.RealWorldValueSlope * 1000 == pytest.approx(pascal)
            slopes.append(mapping.RealWorldValueSlope)
        assert len(set(slopes)) == 4
        return image.pixel_array * np.array(slopes)[:, None, None]
    if site == "canonenh":
        (image,) = maps
        stated = [g.PixelValueTransformationSequence[0] for g in image.PerFrameFunctionalGroupsSequence]
        assert {(s.RescaleSlope, s.RescaleType) for s in stated} == {(5, "Pa")}
        return image.pixel_array * 5 / 1000
    stored = np.array([image.pixel_array for image in maps])
    assert {(i.RescaleSlope, i.RescaleType) for i in maps} == {{"canon": (5, "Pa"), "uih": (0.005, "kPa")}[site]}
    return stored * ({"canon": 0.005, "uih": 0.005}[site])


def test_stiffness_in_the_stated_unit_is_the_measured_one(exam):
    site, folder, images = exam
    kpa = stiffness_kpa(site, of(images, folder, "MRE_stiffness"))
    confidence = of(images, folder, "MRE_confidence")
    stored = np.concatenate([np.atleast_3d(image.pixel_array.T).T for image in confidence])
    deep = (stored >= 950) & (np.arange(kpa.shape[2]) < kpa.shape[2] // 2)  # the patient's right: low columns
    measured = pd.read_csv(folder / "truth.csv")["measured_kpa"][0]
    assert np.median(kpa[deep]) == pytest.approx(measured, rel=0.04)


@pytest.mark.parametrize("exam", ["xa"], indirect=True)
def test_xa_writes_an_object_a_volume(exam):
    _, folder, images = exam
    trace = of(images, folder, "DWI")
    assert [image.NumberOfFrames for image in trace] == [20, 20, 20]
    for image in trace:
        assert (image.EchoPulseSequence, image.EchoPlanarPulseSequence) == ("GRADIENT", "YES")
        assert list(image.ImageType) == ["DERIVED", "PRIMARY", "DIFFUSION", "TRACEW"]
        assert "PlaneOrientationSequence" not in image.SharedFunctionalGroupsSequence[0]
        groups = image.PerFrameFunctionalGroupsSequence
        assert {group.MRDiffusionSequence[0].DiffusionDirectionality for group in groups} == {"ISOTROPIC"}
        assert all("PlaneOrientationSequence" in group for group in groups)
    pointers = [item.DimensionIndexPointer for item in trace[0].DimensionIndexSequence]
    assert pointers == [0x00209056, 0x00209057, 0x00209128]
    assert images[0].InstitutionName == "Hôpital de l'Évêché"


@pytest.mark.parametrize("exam", ["canonenh"], indirect=True)
def test_canon_enhanced_states_directionality_on_every_frame(exam):
    _, folder, images = exam
    (trace,) = of(images, folder, "DWI")
    groups = [group.MRDiffusionSequence[0] for group in trace.PerFrameFunctionalGroupsSequence]
    stated = {(group.DiffusionBValue, group.DiffusionDirectionality) for group in groups}
    assert stated == {(0, "NONE"), (50, "ISOTROPIC"), (500, "ISOTROPIC"), (1000, "ISOTROPIC")}
    assert "SpacingBetweenSlices" not in trace.PerFrameFunctionalGroupsSequence[0].PixelMeasuresSequence[0]


@pytest.mark.parametrize("exam", ["canon"], indirect=True)
def test_canon_states_b_twice(exam):
    _, folder, images = exam
    trace = of(images, folder, "DWI")
    assert {image.ImageComments for image in trace} == {"b=0", "b=100", "b=800"}
    assert all(image.ImageComments == f"b={image.DiffusionBValue:g}" for image in trace)


@pytest.mark.parametrize("exam", ["uih"], indirect=True)
def test_uih_states_b_privately_and_unrounded(exam):
    _, folder, images = exam
    trace = of(images, folder, "DWI")
    assert {image[0x0065, 0x1009].value for image in trace} == {1.25, 50.3, 799.6}
    assert {image[0x0065, 0x0010].value for image in trace} == {"Image Private Header"}
    assert not any("DiffusionBValue" in image for image in trace)


def test_cluttered_exam_is_rendered_and_repeatable(tmp_path):
    first, second = (write("xa", tmp_path / name, clutter=1.0, exams=2) for name in "ab")
    paths = sorted(path.relative_to(first) for path in first.rglob("*") if path.is_file())
    assert all((first / path).read_bytes() == (second / path).read_bytes() for path in paths)
    images = read(first)
    assert series_types(images) == true_types(first)
    assert len(true_types(first)) > 20
