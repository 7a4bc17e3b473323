"""The simulated hospital: readable DICOM with each dialect's traps, a record in its own terms, same bytes twice."""

import shutil
import subprocess

import dcm2niix
import nibabel as nib
import numpy as np
import pandas as pd
import pydicom
import pytest
from pydicom.pixels import apply_modality_lut

from liverstiff.config import SimulateConfig
from liverstiff.simulate import anatomy, scan, signal, simulate_atlases, simulate_site
from liverstiff.simulate.elastogram import FAILURES, acquire_elastogram, slice_grids
from liverstiff.simulate.population import DEVELOPMENT_SITES
from liverstiff.simulate.site import acquire_exam, draw_patient, generator, one_patient, schedule

SITES = {
    "ge": {"dialect": "ge", "field_t": 1.5, "record_style": "english", "layout": "series"},
    "siemens": {"dialect": "siemens", "field_t": 3.0, "record_style": "german", "layout": "exam"},
    "slices": {"dialect": "siemens", "field_t": 1.5, "record_style": "plain", "layout": "flat"},
    "philips": {"dialect": "philips", "field_t": 1.5, "record_style": "coded", "layout": "series"},
    "enhanced": {"dialect": "philips-enhanced", "field_t": 3.0, "record_style": "coded", "layout": "exam"},
}
B_VALUES = {
    "ge": [0, 50, 400, 800],
    "siemens": [50, 400, 800],
    "slices": [0, 100, 600],
    "philips": [0, 100, 600],
    "enhanced": [0, 2000, 2000, 2000],  # what dcm2niix makes of isotropic frames; the header says 0, 50, 400, 800
}


def config(exams=1, **changes):
    sites = {name: site | {"exams": exams} for name, site in SITES.items()}
    plain = {"missing_sequence_fraction": 0, "mre_failure_fraction": 0, "sites": sites}
    return SimulateConfig.model_validate(plain | changes)


def write(site, folder, settings):
    tables = {name: folder / f"{name}.csv" for name in ("record", "truth", "truth_series")}
    simulate_site(site=site, config=settings, tree=folder / "dicom", **tables)
    return folder


@pytest.fixture(scope="module", params=list(SITES))
def exam(request, tmp_path_factory):
    """One exam of a site: the site, its folder, and every image."""
    folder = write(request.param, tmp_path_factory.mktemp(request.param), config())
    paths = sorted(path for path in (folder / "dicom").rglob("*") if path.is_file())
    return request.param, folder, [pydicom.dcmread(path) for path in paths]


def of(images, *words):
    """Images of the series whose description holds all of the words, in the order of instance numbers."""
    chosen = [image for image in images if all(word in image.SeriesDescription for word in words)]
    return sorted(chosen, key=lambda image: image.InstanceNumber)


def test_files_hold_one_study_of_the_patient_in_the_record(exam):
    site, folder, images = exam
    truth = pd.read_csv(folder / "truth.csv", dtype=str)
    assert {image.PatientID for image in images} == set(truth["patient_id"])
    assert {image.StudyInstanceUID for image in images} == set(truth["study_uid"])
    record = pd.read_csv(folder / "record.csv", dtype=str)
    assert set(record.iloc[:, 0]) == set(truth["patient_id"])
    assert len({image.SOPInstanceUID for image in images}) == len(images) <= 230
    assert len({(image.StudyDate, image.StudyTime) for image in images}) == 1
    assert all(image.file_meta.MediaStorageSOPInstanceUID == image.SOPInstanceUID for image in images)
    assert all(keyword in images[0] for keyword in ("PositionReferenceIndicator", "Laterality", "AccessionNumber"))
    assert images[0].PatientName.family_name
    assert images[0].InstitutionName
    if site == "siemens":  # UTF-8
        assert images[0].SpecificCharacterSet == "ISO_IR 192"
        assert images[0].InstitutionName == "Klinikum Brücktal Süd"


def test_contrast_comes_after_the_native_image(exam):
    _, _, images = exam
    with_agent = {image.SeriesDescription for image in images if image.get("ContrastBolusAgent")}
    assert len(with_agent) == 2  # enhanced T1w and its subtraction
    native = [i for i in images if i.get("MRAcquisitionType") == "3D" and i.SeriesDescription not in with_agent]
    enhanced = [i for i in images if i.SeriesDescription in with_agent]
    assert max(i.AcquisitionTime for i in native) < min(i.AcquisitionTime for i in enhanced)


def test_dcm2niix_converts_every_series(exam, tmp_path):
    site, folder, images = exam
    call = [dcm2niix.bin, "-g", "i", "-b", "n", "-z", "n", "-f", "x%s", "-d", "9", "-o", tmp_path, folder / "dicom"]
    result = subprocess.run(call, capture_output=True, text=True)
    elastogram = of(images, "STGRY") if site == "ge" else of(images, "Stiffness")
    gaps = np.diff(sorted({image.ImagePositionPatient[2] for image in elastogram}))
    even = np.ptp(gaps) < 0.3  # else it complains of the elastogram, and of nothing more
    assert result.returncode == (0 if even else 8)
    assert result.stdout.count("Interslice distance varies") == (0 if even else 3)
    found = {path.stem: nib.load(path) for path in tmp_path.glob("*.nii")}
    series = {image.SeriesNumber for image in images}
    assert {int(name[1:].rstrip("ab")) for name in found} == series  # the localizer has three planes: x1, x1a, x1b
    assert len(found) == len(series) + 2
    bvals = list(tmp_path.glob("*.bval"))
    assert len(bvals) == 1
    assert [float(b) for b in bvals[0].read_text().split()] == B_VALUES[site]
    assert found[bvals[0].stem].shape == (*scan.DWI_GRID.shape, len(B_VALUES[site]))


def test_converted_voxels_are_the_rendered_ones_in_place(exam, tmp_path):
    site, folder, images = exam
    settings = config()
    patient = draw_patient(site, settings, schedule(site, settings)[0])
    rendered = acquire_exam(patient, settings.sites[site], settings, generator(settings.seed, site, "exam", 0)).acquired
    number = min(i.SeriesNumber for i in images if i.get("MRAcquisitionType") == "3D")
    (tmp_path / "t1w").mkdir()
    for path in (folder / "dicom").rglob("*"):
        if path.is_file() and pydicom.dcmread(path, stop_before_pixels=True).SeriesNumber == number:
            shutil.copy(path, tmp_path / "t1w")
    call = [dcm2niix.bin, "-g", "i", "-b", "n", "-z", "n", "-f", "t1w", "-o", tmp_path, tmp_path / "t1w"]
    subprocess.run(call, capture_output=True, check=True)
    image = nib.as_closest_canonical(nib.load(tmp_path / "t1w.nii"))
    np.testing.assert_allclose(image.affine, scan.T1W_GRID.affine, atol=1e-3)
    np.testing.assert_array_equal(np.asarray(image.dataobj), np.rint(rendered.scan.t1w).astype(int))
    liver = signal.mask(rendered.anatomy, "liver", scan.T1W_GRID)
    centre = image.affine @ [*np.argwhere(liver).mean(axis=0), 1]
    assert centre[0] > 20  # to the right, in RAS+


def stiffness_kpa(site, images):
    """Stiffness and confidence by each vendor's own statement of units, (slice, row, column)."""
    if site == "ge":
        masked = np.array([i.pixel_array for i in of(images, "STGRYM")])
        full = np.array([i.pixel_array for i in of(images, "STGRY") if "STGRYM" not in i.SeriesDescription])
        return full / 1000, (full == masked).astype(float)
    maps, sure = of(images, "Stiffness"), of(images, "Conf")
    scaled = np.array([apply_modality_lut(i.pixel_array, i) for i in maps])
    share = np.array([apply_modality_lut(i.pixel_array, i) for i in sure])
    if site in ("siemens", "slices"):
        assert len({i.RescaleSlope for i in maps}) == 4  # a slope per slice
        return scaled / 1000, share / 1000
    mapping = [i.RealWorldValueMappingSequence[0] for i in maps]
    assert {m.MeasurementUnitsCodeSequence[0].CodeValue for m in mapping} == {"kPa"}
    kpa = np.array([i.pixel_array * m.RealWorldValueSlope for i, m in zip(maps, mapping, strict=True)])
    assert not np.allclose(kpa, scaled)  # the rescale slope means nothing
    return kpa, share / 100


def test_stiffness_in_the_vendors_unit_is_the_measured_one(exam):
    site, folder, images = exam
    kpa, confidence = stiffness_kpa(site, images)
    deep = (confidence >= 0.95) & (np.arange(kpa.shape[2]) < kpa.shape[2] // 2)  # the patient's right: low columns
    measured = pd.read_csv(folder / "truth.csv")["measured_kpa"][0]
    assert deep.sum() * 16 > 5000  # mm2
    assert np.median(kpa[deep]) == pytest.approx(measured, rel=0.04)


@pytest.mark.parametrize(
    ("exam", "element"), [("ge", (0x0043, 0x1039)), ("slices", (0x0019, 0x100C))], indirect=["exam"]
)
def test_b_values_in_private_elements(exam, element):
    site, folder, images = exam
    trace = of(images, "DWI") if site == "ge" else of(images, "TRACEW")
    stated = [image[element].value for image in trace]
    if site == "ge":
        offset = 1_000_000_000 if pd.read_csv(folder / "truth.csv")["ge_offset"][0] else 0
        assert [b[0] - offset for b in stated] == [b for b in B_VALUES[site] for _ in range(20)]
        assert all(float(image[0x0019, 0x10E0].value) == 0 for image in trace)
    else:
        assert stated == B_VALUES[site] * 20  # all b of the first slice, then the next


def test_ge_adds_its_offset_in_some_exams():
    settings = config(exams=12)
    rngs = [generator(1, "ge", "exam", n) for n in range(6)]
    patient = one_patient(DEVELOPMENT_SITES[0], np.random.default_rng(0))
    assert {acquire_exam(patient, settings.sites["ge"], settings, rng).acquired.ge_offset for rng in rngs} == {
        True,
        False,
    }


@pytest.mark.parametrize("exam", ["enhanced"], indirect=True)
def test_enhanced_diffusion_is_one_object_of_isotropic_frames(exam):
    _, _, images = exam
    (trace,) = of(images, "DWI")
    groups = [frame.MRDiffusionSequence[0] for frame in trace.PerFrameFunctionalGroupsSequence]
    assert trace.NumberOfFrames == len(groups) == 80
    assert {(g.DiffusionBValue, g.DiffusionDirectionality) for g in groups} == {
        (0, "NONE"),
        (50, "ISOTROPIC"),
        (400, "ISOTROPIC"),
        (800, "ISOTROPIC"),
    }
    assert "EchoTime" not in trace


def test_same_config_same_bytes(tmp_path):
    settings = config(exams=2, repeat_fraction=0.9)
    first, second = (write("siemens", tmp_path / name, settings) for name in "ab")
    files = sorted(path.relative_to(first) for path in first.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(second) for path in second.rglob("*") if path.is_file())
    assert all((first / path).read_bytes() == (second / path).read_bytes() for path in files)
    truth = pd.read_csv(first / "truth.csv")
    assert truth["patient_id"].nunique() == 1  # one person, examined twice, measured anew
    assert truth["study_uid"].nunique() == truth["measured_kpa"].nunique() == 2
    assert truth["stiffness_kpa"].nunique() == 1
    births = {pydicom.dcmread(path, stop_before_pixels=True).PatientBirthDate for path in first.rglob("01-*")}
    assert len(births) == 1
    other = write("siemens", tmp_path / "c", config(exams=2, repeat_fraction=0.9, seed=2))
    assert set(pd.read_csv(other / "truth.csv")["study_uid"]).isdisjoint(truth["study_uid"])


def test_absent_sequences_and_planted_failures(tmp_path):
    folder = write("slices", tmp_path, config(exams=6, missing_sequence_fraction=0.9, mre_failure_fraction=0.9))
    truth = pd.read_csv(folder / "truth.csv", keep_default_na=False, dtype={"patient_id": str})
    assert set(truth["absent"]) >= {"T2w", "DWI"}
    assert len(set(truth["failure"]) & set(FAILURES)) >= 2
    kinds = {uid: set() for uid in truth["study_uid"]}
    for path in (folder / "dicom").iterdir():
        assert not path.suffix[1:].isalpha()
        image = pydicom.dcmread(path, stop_before_pixels=True)
        kinds[image.StudyInstanceUID].add(image.SeriesDescription)
    for row in truth.itertuples():
        assert any("t2_tse" in text for text in kinds[row.study_uid]) == (row.absent != "T2w")
        assert any("TRACEW" in text for text in kinds[row.study_uid]) == (row.absent != "DWI")


@pytest.mark.parametrize(
    ("failure", "low", "high"), [("", 5000, 1e6), ("no_confident_pixel", 0, 0), ("area_too_small", 1, 499)]
)
def test_confident_area_in_mm2(failure, low, high):
    rng = np.random.default_rng(0)
    patient = one_patient(DEVELOPMENT_SITES[0], rng)
    mre = acquire_elastogram(anatomy.build(patient, rng), patient, slice_grids(), 0.0, failure, rng)
    area = (mre.confidence >= 0.95).sum() * 4.0 * 4.0
    assert low <= area <= high


def test_atlases_are_labelled_and_repeatable(tmp_path):
    settings = config(atlases=2)
    for name in "ab":
        simulate_atlases(config=settings, folder=tmp_path / name)
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == ["image_1.nii.gz", "image_2.nii.gz", "label_1.nii.gz", "label_2.nii.gz"]
    assert all((tmp_path / "a" / n).read_bytes() == (tmp_path / "b" / n).read_bytes() for n in names)
    image, label = nib.load(tmp_path / "a/image_1.nii.gz"), nib.load(tmp_path / "a/label_1.nii.gz")
    labels = np.asarray(label.dataobj)
    assert image.shape == labels.shape
    assert set(np.unique(labels)) == {0, 1, 2}
    ml = (labels == 1).sum() * np.prod(scan.T1W_GRID.spacing) / 1000
    assert 700 < ml < 4000
