"""The frequency of the vibration as the files state it.

No standard attribute holds it, so it is looked for in texts: scanners and protocols name it there (``MRE 60 Hz``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from pydicom import dcmread

from liverstiff.dicom import SourceFile
from liverstiff.dicom.reading import reading, text_of
from liverstiff.errors import ExamExcluded
from liverstiff.images import is_nifti_path
from liverstiff.records import Reason

KEYWORDS = ("SeriesDescription", "ProtocolName", "SequenceName", "PulseSequenceName", "ImageComments")
"""Attributes whose text may name it."""

VIBRATION_HZ = (10.0, 500.0)
"""Below and above this a number of Hz is something else."""

TOLERANCE_HZ = 0.5


def stated_frequencies(files: Iterable[SourceFile]) -> set[float]:
    """The frequencies in Hz that the texts of some DICOM files name."""
    found: set[float] = set()
    for file in files:
        if not is_nifti_path(file.path):
            with reading(), file.open() as opened:
                data = dcmread(opened, stop_before_pixels=True, specific_tags=list(KEYWORDS))
            found |= frequencies_in(" | ".join(text_of(data, keyword) for keyword in KEYWORDS))
    return found


def frequencies_in(text: str) -> set[float]:
    """Numbers of Hz in a text, such as ``MRE_60Hz`` or ``62.5 hz``; ``Hz/px``, a bandwidth, is none."""
    numbers = re.findall(r"(?<![\d.])(\d{1,4}(?:[.,]\d+)?)[ _-]?hz(?![a-z]|[ _]?/|[ _]?p)", text, re.IGNORECASE)
    low, high = VIBRATION_HZ
    return {hz for number in numbers if low <= (hz := float(number.replace(",", "."))) <= high}


def accept_frequency(stated: set[float], wanted: float | None) -> float | None:
    """The one frequency stated, in Hz; None where none is.

    Args:
        stated: what the files or the site's rule name.
        wanted: the only one that is taken; None takes any.

    Raises:
        ExamExcluded: ``wrong_frequency`` when another is stated, or several that differ.
    """
    several = bool(stated) and max(stated) - min(stated) > TOLERANCE_HZ
    if several or (wanted is not None and any(abs(hz - wanted) > TOLERANCE_HZ for hz in stated)):
        said = " and ".join(f"{hz:g}" for hz in sorted(stated))
        expected = "one frequency" if wanted is None else f"{wanted:g} Hz"
        raise ExamExcluded(
            Reason.WRONG_FREQUENCY, f"the files state {said} Hz, not {expected}; see elastography.frequency_hz"
        )
    return min(stated, default=None)
