"""Labelled volumes: images beside masks that somebody drew, from which every method of ours learns."""

from __future__ import annotations

import filecmp
from pathlib import Path

import numpy as np
from scipy import ndimage

from liverstiff import images
from liverstiff.errors import DataError
from liverstiff.intensity import standardise


def labelled_pairs(folder: Path, without: Path | None = None) -> list[tuple[Path, Path]]:
    """Image and label of every labelled volume of a folder, in the order of their names.

    Args:
        folder: of ``image_<n>.nii.gz`` and ``label_<n>.nii.gz``.
        without: an image that is left out where it is one of them: a mask must not be copied from its own label.

    Raises:
        DataError: when there is none, or an image has no label.
    """
    found = [path for path in sorted(Path(folder).glob("image_*.nii.gz")) if not _same(path, without)]
    pairs = [(image, image.with_name(image.name.replace("image_", "label_", 1))) for image in found]
    lacking = [label.name for _, label in pairs if not label.exists()]
    if lacking or not pairs:
        wanted = ", ".join(lacking) or "image_<n>.nii.gz and label_<n>.nii.gz"
        raise DataError(f"{folder}: no {wanted}; expected a label for every atlas image; complete the folder")
    return pairs


def _same(one: Path, other: Path | None) -> bool:
    """True for two files with the same bytes."""
    return other is not None and filecmp.cmp(one, other, shallow=False)


def find_spleen(folder: Path, liver_label: int) -> int:
    """The label of the spleen: the label furthest to the left, which must be the same in every volume.

    Raises:
        DataError: when there is no other label than the liver's, or the volumes disagree.
    """
    furthest = set()
    for _, path in labelled_pairs(folder):
        labels, affine = images.load(path)
        numbers = [int(number) for number in np.unique(labels) if number not in (0, liver_label)]
        centres = ndimage.center_of_mass(np.ones_like(labels), labels, numbers)
        across = [float((affine[:3, :3] @ centre + affine[:3, 3])[0]) for centre in centres]
        furthest |= {numbers[int(np.argmin(across))]} if numbers else {0}
    if len(furthest) != 1 or furthest == {0}:
        raise DataError(f"{folder}: cannot tell which label is the spleen; give it")
    return furthest.pop()


def read_labelled(image: Path, label: Path, liver_label: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One labelled volume: image (x, y, z) in units of its body's median, labels (x, y, z) uint8, affine.

    Raises:
        DataError: for files that cannot be read, that differ in shape or place, or a label without liver.
    """
    try:
        voxels, affine = images.load(image)
        labels, label_affine = images.load(label)
    except images.UNREADABLE as error:
        raise DataError(f"{image.name}: {type(error).__name__}; expected an atlas that can be read") from error
    if labels.shape != voxels.shape or not np.allclose(affine, label_affine, atol=0.1):
        raise DataError(f"{label.name}: expected the grid of its image, {voxels.shape} voxels at the same place")
    if not (labels == liver_label).any():
        raise DataError(f"{label.name}: expected a liver labelled {liver_label}")
    return standardise(voxels, affine)[0], labels.astype(np.uint8), affine
