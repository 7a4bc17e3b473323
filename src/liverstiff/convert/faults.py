"""Why a sequence could not be converted."""

from __future__ import annotations

from liverstiff.dicom.reading import CannotRead, Implausible
from liverstiff.errors import ExamExcluded
from liverstiff.records import Reason, SeriesReason


class NotConverted(ExamExcluded):
    """One sequence has no image. It excludes the exam only where the sequence is required.

    The detail quotes no path and no text of a header.
    """

    def __init__(self, code: SeriesReason | Reason, detail: str) -> None:
        known = {reason.value: reason for reason in Reason}
        super().__init__(known.get(code.value, Reason.CONVERSION_FAILED), detail)
        self.code = code
        """A :class:`SeriesReason`, or a :class:`Reason` where dcm2niix or a file is to blame."""

    def __reduce__(self) -> tuple:
        return type(self), (self.code, self.detail)


def not_converted(fault: CannotRead) -> NotConverted:
    """The status of a series of which a file gives no values."""
    code = SeriesReason.IMPLAUSIBLE if isinstance(fault, Implausible) else SeriesReason.UNREADABLE
    return NotConverted(code, f"a file cannot be read ({fault})")
