"""Programs of their own: a stand-in with their command line, their environment and their file names."""

import json
import stat
import sys
from pathlib import Path

import numpy as np
import pytest
from made_people import AFFINE, person

from liverstiff.config import ProgramConfig, SegmentConfig
from liverstiff.errors import ExamExcluded
from liverstiff.segment import Case, Sources
from liverstiff.segment.methods import METHODS

STAND_IN = """#!{python}
import json, os, sys
from pathlib import Path
import nibabel as nib
import numpy as np
arguments = dict(zip(sys.argv[1::2], sys.argv[2::2]))
image = nib.load(arguments.get("-i") or arguments["--input"])
home = os.environ.get("TOTALSEG_HOME_DIR")
seen = {{
    "arguments": sys.argv[1:],
    "weights": os.environ.get("TOTALSEG_WEIGHTS_PATH") or os.environ.get("MRSEG_WEIGHTS_PATH"),
    "reports": json.loads((Path(home) / "config.json").read_text())["send_usage_stats"] if home else False,
}}
Path("{seen}").write_text(json.dumps(seen))
if {fails}:
    sys.exit("no weights")
voxels = np.asarray(image.dataobj)
labels = np.where(voxels > 1.6, 5, 0).astype(np.uint8)
labels[:8] = np.where(voxels[:8] > 1.2, 1, 0)
nib.save(nib.Nifti1Image(labels, image.affine), "{out}")
"""


def stand_in(folder: Path, out: str, fails: bool = False) -> ProgramConfig:
    path = folder / "program"
    path.write_text(STAND_IN.format(python=sys.executable, seen=folder / "seen.json", out=out, fails=fails))
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return ProgramConfig(program=str(path), weights=str(folder))


PROGRAMS = (("totalsegmentator", "labels.nii.gz"), ("mrsegmentator", "image_seg.nii.gz"))


@pytest.mark.parametrize(("method", "out"), PROGRAMS)
def test_labels_of_the_program_become_ours(method, out, tmp_path):
    settings = SegmentConfig(methods=(method,), **{method: stand_in(tmp_path, out)})
    image = (person(1)[0] / 60).astype(np.float32)
    found = METHODS[method](Case(image, AFFINE), Sources(), settings)
    np.testing.assert_array_equal(found.organs[0][8:] > 0.5, image[8:] > 1.6)
    np.testing.assert_array_equal(found.organs[1][:8] > 0.5, image[:8] > 1.2)
    seen = json.loads((tmp_path / "seen.json").read_text())
    assert seen["weights"] == str(tmp_path)
    assert not seen["reports"]


@pytest.mark.parametrize(("method", "out"), PROGRAMS)
def test_a_program_that_fails_is_a_reason(method, out, tmp_path):
    settings = SegmentConfig(methods=(method,), **{method: stand_in(tmp_path, out, fails=True)})
    with pytest.raises(ExamExcluded, match="program gave no mask") as fault:
        METHODS[method](Case((person(1)[0] / 60).astype(np.float32), AFFINE), Sources(), settings)
    assert fault.value.reason == "segmentation_failed"
