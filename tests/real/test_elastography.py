"""A real elastography without inversion (brain, Siemens mosaic): it is no map, and is never read as one."""

import pytest
from public_data import DATA, needs

from liverstiff.dicom import SourceFile
from liverstiff.elastography.frequency import stated_frequencies
from liverstiff.elastography.maps import read_map
from liverstiff.errors import ExamExcluded
from liverstiff.records import Reason

RAW = DATA / "mre_brain_raw" / "IRMRE_DICOM"


@needs("mre_brain_raw")
@pytest.mark.parametrize("series", ["045", "046"])
def test_raw_mosaics_are_refused_as_maps(series):
    files = {SourceFile(str(path)): [0] for path in sorted(RAW.glob(f"{series}_*"))[:2]}
    assert files
    with pytest.raises(ExamExcluded, match="tiled") as fault:
        read_map(files, "MRE_stiffness")
    assert fault.value.reason == Reason.UNREADABLE
    assert series not in fault.value.detail


@needs("mre_brain_raw")
def test_no_frequency_is_guessed_from_numbers_in_real_headers():
    """Its comments hold indices and times in microseconds, but no frequency."""
    assert stated_frequencies(SourceFile(str(path)) for path in sorted(RAW.iterdir())) == set()
