#!/usr/bin/env python3
"""Refuse DICOM files under any name: the pre-commit hook hands the paths over."""

import sys
from pathlib import Path


def is_dicom(path: Path) -> bool:
    """True when the file carries DICOM's mark after its 128-byte preamble."""
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


if __name__ == "__main__":
    found = [name for name in sys.argv[1:] if is_dicom(Path(name))]
    for name in found:
        print(f"{name}: a DICOM file; patients' data is never committed")
    sys.exit(bool(found))
