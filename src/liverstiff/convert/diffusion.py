"""The ``.bval`` and ``.bvec`` beside a diffusion image: always both, from the header where dcm2niix has none."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from liverstiff.dicom import Stack
from liverstiff.images import LPS_RAS

PATIENT_AXES = ("Siemens", "Philips")
"""Vendors whose classic files state directions in the axes of the patient, as all enhanced objects do."""


def directions_usable(stack: Stack) -> bool:
    """False when the header states directions in axes that only its vendor knows."""
    header = stack.first.header
    stated = any(frame.direction is not None and any(frame.direction) for frame in stack.frames)
    return not stated or header.enhanced or header.vendor in PATIENT_AXES


def header_directions(stack: Stack, affine: np.ndarray) -> np.ndarray:
    """Unit directions (3, volume) in the axes of an image, as FSL wants them; zero where the header states none.

    Only for headers that state them in the axes of the patient, see :func:`directions_usable`.

    Args:
        stack: the volumes.
        affine: 4x4 matrix of the image to mm, RAS+ world.
    """
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    if np.linalg.det(axes) > 0:
        axes[:, 0] *= -1  # FSL counts the first axis to the left
    stated = [volume.frames[0].direction or (0.0, 0.0, 0.0) for volume in stack.volumes]
    found = axes.T @ (LPS_RAS * np.array(stated)).T
    length = np.linalg.norm(found, axis=0)
    return np.divide(found, length, out=np.zeros_like(found), where=length > 0.1)


def write_gradients(b_values: list[float], directions: np.ndarray, image: Path) -> None:
    """Write ``.bval`` (s/mm2) and ``.bvec`` (3, volume) beside an image."""
    base = image.name.removesuffix(".nii.gz")
    image.with_name(f"{base}.bval").write_text(" ".join(f"{b:g}" for b in b_values) + "\n")
    rows = [" ".join(f"{value + 0.0:g}" for value in row) for row in directions]
    image.with_name(f"{base}.bvec").write_text("\n".join(rows) + "\n")
