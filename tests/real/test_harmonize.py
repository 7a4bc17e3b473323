"""ADC of real diffusion images against the scanner's own map; paraspinal muscle on real abdominal T2w."""

import shutil

import numpy as np
import pytest
from public_data import DATA, needs

from liverstiff import images
from liverstiff.catalog.listing import list_series
from liverstiff.config import HarmonizeConfig
from liverstiff.convert import convert_folder
from liverstiff.harmonize import harmonize_exam
from liverstiff.harmonize.muscle import find_muscle
from liverstiff.intensity import body_mask, without_bias
from liverstiff.pseudonyms import private_folder
from liverstiff.records import Exam


@needs("siemens_xa30_dwi")
def test_adc_is_that_of_the_scanner(tmp_path):
    """Siemens XA30, a head, b = 0 and 20 directions of b = 2500; the scanner's map is in 1e-6 mm2/s."""
    folder = DATA / "siemens_xa30_dwi"
    exam = Exam("e1", "p1", "real")
    private = private_folder(tmp_path / "private")
    list_series(folder / "In" / "10_DWI_dir80_PA", private, [], 1)
    table = convert_folder(
        files=private / "files.csv", series=private / "series.csv", out=tmp_path / "nifti", workers=1
    )
    image = tmp_path / "nifti" / table[table.kind == "DWI"].file.iloc[0]
    target = exam.path(tmp_path / "convert", "dwi", datatype="dwi")
    target.parent.mkdir(parents=True)
    for ending in (".nii.gz", ".bval"):
        shutil.copy(
            image.with_name(image.name.replace(".nii.gz", ending)), target.with_name(f"{target.name[:-7]}{ending}")
        )
    harmonize_exam(exam, tmp_path / "out", converted=tmp_path / "convert", settings=HarmonizeConfig(), required=())
    ours, affine = images.load(exam.path(tmp_path / "out", "ADC"))
    scanner, expected_affine = images.load(folder / "Ref" / "11_DWI_dir80_PA.nii")
    np.testing.assert_allclose(affine, expected_affine, atol=1e-3)
    inside = (ours > 0) & (scanner > 0)
    ratio = 1e6 * ours[inside] / scanner[inside]
    low, middle, high = np.percentile(ratio, (5, 50, 95))
    print(f"ADC over the scanner's in {inside.sum()} voxels: median {middle:.4f}, 5th to 95th {low:.4f} to {high:.4f}")
    assert inside.sum() > 20_000
    assert middle == pytest.approx(1, abs=0.005)
    assert (low, high) == pytest.approx((1, 1), abs=0.02)


CHAOS = DATA / "chaos_t2spir_liver"


@needs("chaos_t2spir_liver")
def test_muscle_of_real_volumes():
    """On most volumes found, darker than the liver and spleen beside it, brighter than suppressed fat; else None."""
    found = {}
    for path in sorted(CHAOS.glob("image_*.nii.gz")):
        voxels, affine = images.load(path)
        mask = body_mask(voxels, affine)
        corrected = without_bias(voxels, affine, mask, HarmonizeConfig().bias_spacing_mm)
        labels = images.load(path.with_name(path.name.replace("image", "label")))[0]
        muscle = find_muscle(corrected, mask, affine)
        found[path.name] = None if muscle is None else muscle / float(np.median(corrected[labels == 1]))
    print(found)
    ratios = [ratio for ratio in found.values() if ratio is not None]
    assert len(ratios) >= 0.6 * len(found)
    assert all(0.35 < ratio < 0.85 for ratio in ratios)
