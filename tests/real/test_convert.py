"""Every public DICOM set, converted: voxels, affine and b-values as their reference, or as the expected hash."""

import functools
import hashlib
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from public_data import DATA, needs

from liverstiff.convert import Converted, convert_series, convert_stack
from liverstiff.dicom import SourceFile, read_frames, split_stacks
from liverstiff.errors import ExamExcluded

EXPECTED = DATA / "checks" / "dicom_expected.json"
pytestmark = needs("checks")

# folder of one series, key in the file of expected answers, name of the output there, reference
SERIES = [
    ("canon_dwi_classic/In", "", "DTI_PA-ortho_9000", "canon_dwi_classic/Ref/DTI_PA-ortho_9000"),
    ("canon_dwi_enhanced/In", "/enh/3000.dcm.gz", "DTI_PA-ortho_3000", "canon_dwi_enhanced/Ref/3000_DTI_PA-ortho_enh"),
    ("ge_dwi/In/01_Ax_DWI_TENSOR_R2", "", "Ax_DWI_TENSOR_R2_1", "ge_dwi/Ref/Ax_DWI_TENSOR_R2_1"),
    ("ge_dwi/In/03_Ax_DWI_TENSOR_R1p5", "", "Ax_DWI_TENSOR_R1p5_3", "ge_dwi/Ref/Ax_DWI_TENSOR_R1p5_3"),
    ("ge_epi/In", "", "Axial_EPI-FMRI_(Interleaved_I_to_S)_4", "ge_epi/Ref/DCM2NIIX_regression_test_4"),
    (
        "philips_dwi_classic/In/cl",
        "",
        "DTI_Biobank_2mm_MB3S2_EPI_701",
        "philips_dwi_classic/Ref/701_DTI_Biobank_2mm_MB3S2_EPI_cl",
    ),
    ("philips_epi/In", "", "EPI_asc_201", "philips_epi/Ref/EPI_asc_CLEAR_201"),
    ("siemens_epi/In/20180918Si/mr_0003", "", "EPI_PE=AP_3", "siemens_epi/Ref/EPI_PE=AP_3"),
    ("siemens_epi/In/20180918Si/mr_0004", "", "EPI_PE=PA_4", "siemens_epi/Ref/EPI_PE=PA_4"),
    ("siemens_via_agfa_pacs/Agfa", "", "ep2d_fid_weisskoff_25slc_11", None),
    ("siemens_via_agfa_pacs/Siemens", "", "ep2d_fid_weisskoff_25slc_11", None),
    *[
        (f"siemens_xa30_dwi/In/{folder}", "", name, f"siemens_xa30_dwi/Ref/{reference}")
        for folder, name, reference in (
            ("10_DWI_dir80_PA", "DWI_dir80_PA_10", "10_DWI_dir80_PA"),
            ("11_DWI_dir80_PA", "DWI_dir80_PA_ADC_11", "11_DWI_dir80_PA"),
            ("12_DWI_dir80_PA", "DWI_dir80_PA_TRACEW_12", "12_DWI_dir80_PA"),
            ("13_DWI_dir80_PA", "DWI_dir80_PA_FA_13", "13_DWI_dir80_PA"),
            ("9_gre_field_mapping", "gre_field_mapping_9_e2_ph", "9_gre_field_mapping_e2_ph"),
        )
    ],
    ("uih_dwi/In", "", "dti_tra_dir16_PA_rot_SaveBySlc_12", "uih_dwi/Ref/dti_tra_dir16_PA_rot_12_132222"),
]


def files_of(folder: str) -> list[Path]:
    return sorted(path for path in (DATA / folder).rglob("*") if path.is_file())


@functools.cache
def answers() -> dict:
    return json.loads(EXPECTED.read_text())


def check(done: Converted, answer: dict, reference: Path | None) -> None:
    """Against the expected hash of the values, and the reference image where there is one."""
    image = nib.load(done.path)
    values = np.asarray(image.dataobj)
    assert list(done.shape) == answer["shape"]
    assert hashlib.sha256(values.tobytes("F")).hexdigest()[:16] == answer["sha256_voxels_le"]
    if "bval" in answer:
        assert done.b_values == pytest.approx(answer["bval"], abs=1e-3)
        directions = np.loadtxt(done.path.with_name(done.path.name.replace(".nii.gz", ".bvec")), ndmin=2)
        assert directions.shape == (3, len(done.b_values))
        if "12_DWI" in str(reference):  # the trace images
            assert not directions.any()
    if reference is None:
        return
    found = [path for ext in (".nii", ".nii.gz") if (path := reference.with_name(reference.name + ext)).exists()]
    for path in found:
        assert np.array_equal(values, np.asarray(nib.load(path).dataobj))
        assert np.allclose(image.affine, nib.load(path).affine, atol=1e-4)
    for ext in (".bval", ".bvec"):
        theirs = reference.with_name(reference.name + ext)
        if theirs.exists():
            ours = done.path.with_name(done.path.name.replace(".nii.gz", ext))
            assert np.allclose(np.loadtxt(ours), np.loadtxt(theirs), atol=1e-3)


@pytest.mark.parametrize(("folder", "key", "name", "reference"), SERIES, ids=[row[0] for row in SERIES])
def test_series_equals_its_reference(tmp_path, folder, key, name, reference):
    done = convert_series(files_of(folder), tmp_path / "image.nii.gz")
    answer = answers()[folder + key]["outputs"][name]
    check(done, answer, DATA / reference if reference else None)
    assert done.notes == []


def test_two_echoes_in_one_series_are_two_images(tmp_path):
    folder = "siemens_xa30_dwi/In/8_gre_field_mapping"
    stacks = split_stacks(frame for path in files_of(folder) for frame in read_frames(SourceFile(str(path))))
    assert [stack.first.echo_time for stack in stacks] == [10.0, 12.46]
    for echo, stack in enumerate(stacks, start=1):
        done = convert_stack(stack, tmp_path / f"{echo}.nii.gz")
        name = f"gre_field_mapping_8_e{echo}"
        check(done, answers()[folder]["outputs"][name], DATA / f"siemens_xa30_dwi/Ref/8_gre_field_mapping_e{echo}")


@pytest.mark.parametrize(("series", "name"), [("045", "mre_noInv_45"), ("046", "mre_noInv_46_ph")])
def test_mosaic_of_raw_elastography(tmp_path, series, name):
    files = [path for path in files_of("mre_brain_raw/IRMRE_DICOM") if path.name.startswith(series)]
    done = convert_series(files, tmp_path / "image.nii.gz")
    check(done, answers()["mre_brain_raw/IRMRE_DICOM"]["outputs"][name], None)


def test_a_second_series_among_the_files_is_refused(tmp_path):
    with pytest.raises(ExamExcluded, match="hold 2 MR series"):
        convert_series(files_of("mre_brain_raw/IRMRE_DICOM"), tmp_path / "image.nii.gz")


def test_compressed_and_plain_pixels_are_equal(tmp_path):
    folder = DATA / "pydicom_mr_codecs"
    images = [
        nib.load(convert_series([folder / name], tmp_path / f"{name}.nii.gz").path)
        for name in ("MR2_UNCR.dcm", "MR2_J2KR.dcm")
    ]
    assert images[0].shape == (1024, 1024, 1)
    assert np.array_equal(np.asarray(images[0].dataobj), np.asarray(images[1].dataobj))
    assert np.allclose(images[0].affine, images[1].affine, atol=1e-4)


def test_an_overlay_is_no_second_image(tmp_path):
    path = DATA / "pydicom_mr_codecs" / "MR-SIEMENS-DICOM-WithOverlays.dcm"
    done = convert_series([path], tmp_path / "image.nii.gz")
    assert done.shape == (484, 484, 1)


def test_no_text_of_a_real_header_is_left(tmp_path):
    files = [path for path in files_of("mre_brain_raw/IRMRE_DICOM") if path.name.startswith("045")]
    header = read_frames(SourceFile(str(files[0])))[0].header
    done = convert_series(files, tmp_path / "image.nii.gz")
    written = nib.load(done.path).header.binaryblock + (tmp_path / "image.json").read_bytes()
    for text in (header.patient_id, header.study_uid, header.study_date, *header.text.split("|")):
        assert text
        assert text.encode() not in written.lower()
