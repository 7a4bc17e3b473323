"""When an image was acquired, as text that sorts."""

from __future__ import annotations

import datetime as dt
import re
from functools import lru_cache

from liverstiff.dicom.elements import Elements, tag_of

HALF_A_DAY = 12
"""Hours by which an acquisition is earlier than its series when midnight lies between them."""

_WORDS = (
    *("AcquisitionDateTime", "AcquisitionDate", "AcquisitionTime"),
    *("SeriesDate", "SeriesTime", "StudyDate", "StudyTime"),
)
_T = {word: tag_of(word) for word in _WORDS}
TIME_TAGS = tuple(_T.values())
_OFFSET = re.compile(r"[+-]\d{4}$")
_WHOLE = re.compile(r"\d{12,14}(\.\d*)?")


def acquisition_time(data: Elements) -> str:
    """Start of the acquisition as ``YYYYMMDDhhmmss[.f]`` in local time; empty when it is not stated in full.

    By date and time of the acquisition in one or two elements, else of the series. A time without a date of its own is
    on the day of the series or study, or on the next day when midnight lies between.
    """
    values = data.values
    return _stated(tuple([values.get(tag) for tag in TIME_TAGS]))


@lru_cache(4096)
def _stated(values: tuple) -> str:
    """See :func:`acquisition_time`; many images of a series state the same."""
    data = Elements({tag: value for tag, value in zip(TIME_TAGS, values, strict=True) if value is not None})
    whole = data.text(_T["AcquisitionDateTime"])
    time = data.text(_T["AcquisitionTime"])
    if whole and not (time and _OFFSET.search(whole)):  # an offset from UTC: the local time counts where it is stated
        return _digits(whole[:8], _OFFSET.sub("", whole[8:]))
    own_date = data.text(_T["AcquisitionDate"] if time else _T["SeriesDate"])
    time = time or data.text(_T["SeriesTime"])
    if own_date:
        return _digits(own_date, time)
    series_date = data.text(_T["SeriesDate"])
    begun = data.text(_T["SeriesTime"] if series_date else _T["StudyTime"])
    return _after(series_date or data.text(_T["StudyDate"]), time, begun)


def _digits(date: str, time: str) -> str:
    """Date and time without separators; empty unless both are there and are numbers."""
    date, time = date.replace(".", "").strip(), time.replace(":", "").strip()
    clock, point, fraction = time.partition(".")
    stated = f"{date}{clock.ljust(6, '0')}{point}{fraction}"
    return stated if len(date) == 8 and len(clock) >= 4 and _WHOLE.fullmatch(stated) else ""


def _after(date: str, time: str, begun: str) -> str:
    """Date and time; on the next day when it is long before the time at which all began."""
    stated, start = _digits(date, time), _digits(date, begun)
    if not (stated and start) or int(start[8:10]) - int(stated[8:10]) <= HALF_A_DAY:
        return stated
    try:
        day = dt.datetime.strptime(stated[:8], "%Y%m%d") + dt.timedelta(days=1)
    except ValueError:
        return ""
    return day.strftime("%Y%m%d") + stated[8:]
