"""Segmentation of real abdominal volumes by labelled volumes of the same set, and of a volume of another hospital."""

from pathlib import Path

import numpy as np
import pytest
from public_data import DATA, needs

from liverstiff import images
from liverstiff.config import SegmentConfig
from liverstiff.errors import DataError
from liverstiff.segment import Sources, segment_image
from liverstiff.segment.fusion import dice
from liverstiff.segment.labelled import find_spleen

FOLDER = DATA / "chaos_t2spir_liver"
OTHER = DATA / "totalsegmentator_mr"
LIVER, SPLEEN = 1, 4
"""Labels of the first set; 2 and 3 are the kidneys."""

SETTINGS = SegmentConfig(methods=("atlas",), atlases=str(FOLDER), liver_label=LIVER, spleen_label=SPLEEN)


@needs("chaos_t2spir_liver")
def test_the_label_of_the_spleen_is_found():
    assert find_spleen(FOLDER, LIVER) == SPLEEN


@needs("chaos_t2spir_liver")
@pytest.mark.parametrize("number", [1, 19])
def test_liver_of_a_real_volume(number, tmp_path):
    image = FOLDER / f"image_{number}.nii.gz"
    found = segment_image(image, tmp_path / "mask.nii.gz", SETTINGS, Sources(FOLDER, without=image))
    mask, affine = images.load(tmp_path / "mask.nii.gz")
    label, expected_affine = images.load(FOLDER / f"label_{number}.nii.gz")
    liver, spleen = dice(mask == 1, label == LIVER), dice(mask == 2, label == SPLEEN)
    print(f"volume {number}: Dice liver {liver:.3f}, spleen {spleen:.3f}; expected {found.quality:.2f}")
    assert affine == pytest.approx(expected_affine)
    assert liver >= 0.85
    assert found.liver_ml == pytest.approx((label == LIVER).sum() * images.voxel_ml(affine), rel=0.2)


def on_the_right(path: Path) -> bool:
    mask, affine = images.load(path)
    return float((affine[:3, :3] @ np.argwhere(mask == 1).mean(axis=0) + affine[:3, 3])[0]) > 0


@needs("totalsegmentator_mr")
@needs("chaos_t2spir_liver")
def test_mr_of_another_hospital_is_segmented_or_refused(tmp_path):
    """Another sequence, 6 cm of the abdomen: a mask must lie on the right; refusing is honest, too."""
    out = tmp_path / "mask.nii.gz"
    settings = SETTINGS.model_copy(update={"least_quality": 0.0, "most_cut_off": 1.0, "liver_ml": (100.0, 5000.0)})
    segment_image(OTHER / "example_mr_sm.nii.gz", out, settings, Sources(FOLDER))
    truth = images.load(OTHER / "example_seg_mr.nii.gz")[0]
    print(f"Dice with TotalSegmentator's liver: {dice(images.load(out)[0] == 1, truth == 5):.3f}")
    assert on_the_right(out)


@needs("totalsegmentator_mr")
@needs("chaos_t2spir_liver")
def test_computed_tomography_is_refused(tmp_path):
    with pytest.raises(DataError, match="computed tomography"):
        segment_image(OTHER / "example_ct_sm.nii.gz", tmp_path / "mask.nii.gz", SETTINGS, Sources(FOLDER))
