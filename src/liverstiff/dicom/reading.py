"""Calls into pydicom and its decoders: one error for all that a damaged file makes them raise, and no warnings.

Only these calls are wrapped. An error in our own arithmetic is a bug, and shows as one.
"""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from pydicom import Dataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.sequence import Sequence

from liverstiff.dicom.files import BROKEN_PACKING

READ_ERRORS = (
    *(InvalidDicomError, BytesLengthException, AttributeError, ValueError, KeyError, IndexError, TypeError),
    *(OverflowError, StopIteration, struct.error),
    *BROKEN_PACKING,
)
"""What pydicom and its decoders raise for a damaged file."""


class CannotRead(Exception):
    """A file gives no values with a place in the patient; the text quotes nothing of the file."""


class Damaged(CannotRead):
    """It cannot be read or decoded, or an attribute is missing or no number."""


class Implausible(CannotRead):
    """It can be read, and states what no image can have."""


class NotAMap(CannotRead):
    """It can be read, and holds no values with a place in the patient."""


@contextmanager
def reading() -> Iterator[None]:
    """For a block that only calls pydicom or a decoder: their errors become Damaged, their warnings are dropped."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they may quote the header
            yield
    except READ_ERRORS as error:
        raise Damaged(type(error).__name__) from None


def value_of(data: Dataset, keyword: str) -> Any:
    """An attribute as pydicom gives it; None where it is absent."""
    with reading():
        return data.get(keyword)


def text_of(data: Dataset, keyword: str) -> str:
    """An attribute as text; empty where it is absent."""
    value = value_of(data, keyword)
    return "" if value is None else str(value)


def number_of(data: Dataset, keyword: str, default: float | None = None) -> float:
    """An attribute that is one number; ``default`` where it is absent or empty, :class:`Damaged` without a default."""
    value = value_of(data, keyword)
    if value is not None and value != "":
        with reading():
            return float(value)
    if default is None:
        raise Damaged(f"{keyword} is missing")
    return default


def numbers_of(data: Dataset, keyword: str, count: int | None = None) -> np.ndarray:
    """An attribute that is ``count`` finite numbers, or at least one where no count is given; float64."""
    value = value_of(data, keyword)
    if value is None:
        raise Damaged(f"{keyword} is missing")
    with reading():
        found = np.atleast_1d(np.array(value, np.float64))
    if not found.size or (count is not None and found.shape != (count,)) or not np.isfinite(found).all():
        raise Damaged(f"{keyword} is not {count or 'a list of'} numbers")
    return found


def items_of(data: Dataset, keyword: str) -> list[Dataset]:
    """Items of a sequence; none where it is absent."""
    value = value_of(data, keyword)
    if value is None:
        return []
    if not isinstance(value, Sequence):
        raise Damaged(f"{keyword} is no sequence")
    with reading():
        return list(value)
