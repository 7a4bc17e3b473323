"""Every element that the walk over a header gives, against pydicom, in every public DICOM file."""

import warnings

import pytest
from public_data import DATA, needs
from pydicom import dcmread
from pydicom.multival import MultiValue

from liverstiff.dicom.elements import Elements
from liverstiff.dicom.files import SourceFile
from liverstiff.dicom.frames import WANTED
from liverstiff.dicom.walk import NotDicom, read_elements

pytestmark = needs("checks")

SETS = sorted(path.name for path in DATA.iterdir() if path.is_dir()) if DATA.is_dir() else []
NUMBERS = {"US", "SS", "UL", "SL", "FL", "FD", "DS", "IS"}
TEXTS = {"CS", "LO", "SH", "UI", "DA", "TM", "DT", "PN"}


def listed(value) -> list:
    """Values of an element as a list."""
    if value is None or value == "":
        return []
    return list(value) if isinstance(value, (MultiValue, list)) else [value]


def differences(found: Elements, data) -> list[str]:
    """What pydicom reads otherwise."""
    wrong = [f"{tag:08x} is not there" for tag in found.values if tag not in data and tag != 0x00020010]
    for tag in WANTED & {int(tag) for tag in data.keys()}:  # noqa: SIM118  a data set iterates over its elements
        element = data[tag]
        if element.VR == "SQ":
            same = len(found.items.get(tag, [])) == len(element.value)
        elif element.VR in NUMBERS:
            same = [float(number) for number in listed(element.value)] == list(found.numbers(tag))
        elif element.VR in TEXTS:
            same = "\\".join(map(str, listed(element.value))) == found.text(tag)
        else:
            same = tag in found.values
        if not same:
            wrong.append(f"{tag:08x}: {element.value!r}, found {found.values.get(tag)}")
    return wrong


@pytest.mark.parametrize("name", SETS)
def test_elements_are_those_of_pydicom(name):
    compared, wrong = 0, []
    for path in sorted(path for path in (DATA / name).rglob("*") if path.is_file()):
        file = SourceFile(str(path))
        try:
            with file.reader() as (read, size):
                found = read_elements(read, size, WANTED).elements
        except NotDicom:
            continue
        with warnings.catch_warnings(), file.open() as opened:
            warnings.simplefilter("ignore")
            wrong += differences(found, dcmread(opened, stop_before_pixels=True))
        compared += 1
    print(f"{name}: {compared} files compared")
    assert not wrong, wrong[:5]
