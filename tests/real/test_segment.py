"""Segmentation of real abdominal T2-SPIR volumes by the other volumes of the same set."""

from pathlib import Path

import pytest
from public_data import DATA, needs

from liverstiff import images
from liverstiff.config import SegmentConfig
from liverstiff.segment import segment_image
from liverstiff.segment.fusion import dice

FOLDER = DATA / "chaos_t2spir_liver"
TARGETS = (1, 19)
LIVER, SPLEEN = 1, 4
"""Labels of this set; 2 and 3 are the kidneys."""

pytestmark = needs("chaos_t2spir_liver")


@pytest.fixture(scope="module")
def atlases(tmp_path_factory) -> Path:
    """The volumes that are not targets."""
    folder = tmp_path_factory.mktemp("atlases")
    targets = {f"{kind}_{number}.nii.gz" for kind in ("image", "label") for number in TARGETS}
    for path in FOLDER.glob("*.nii.gz"):
        if path.name not in targets:
            (folder / path.name).symlink_to(path)
    return folder


@pytest.mark.parametrize("number", TARGETS)
def test_liver_of_a_real_volume(number, atlases, tmp_path):
    settings = SegmentConfig(
        atlases=str(atlases), select=8, spacing_mm=8.0, transform="SyN", liver_label=LIVER, spleen_label=SPLEEN
    )
    found = segment_image(FOLDER / f"image_{number}.nii.gz", atlases, tmp_path / "mask.nii.gz", settings)
    mask, affine = images.load(tmp_path / "mask.nii.gz")
    label, expected_affine = images.load(FOLDER / f"label_{number}.nii.gz")
    liver, spleen = dice(mask == 1, label == LIVER), dice(mask == 2, label == SPLEEN)
    print(f"volume {number}: Dice liver {liver:.3f}, spleen {spleen:.3f}; agreement {found.agreement:.2f}")
    assert affine == pytest.approx(expected_affine)
    assert liver >= 0.80
    assert found.liver_ml == pytest.approx((label == LIVER).sum() * images.voxel_ml(affine), rel=0.2)
