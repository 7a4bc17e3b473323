"""TotalSegmentator and MRSegmentator: programs of their own, in an environment of their own, with weights on disk.

Neither may reach for the network: the weights are looked for before a run (``liverstiff check``), and
TotalSegmentator's report of usage is switched off.
"""

from __future__ import annotations

import json
import os
import shlex
import tempfile
from pathlib import Path

import numpy as np
from nipype.interfaces.base import CommandLine

from liverstiff import images
from liverstiff.config import ProgramConfig
from liverstiff.errors import ExamExcluded
from liverstiff.records import LIVER, SPLEEN, Reason

ORGANS = {5: LIVER, 1: SPLEEN}
"""Labels of TotalSegmentator's total_mr and of MRSegmentator, which are the same, and ours."""

Labels = tuple[np.ndarray, np.ndarray]
"""Labels (x, y, z) and affine."""


def totalsegmentator(voxels: np.ndarray, affine: np.ndarray, program: ProgramConfig) -> Labels:
    """Labels by ``TotalSegmentator --task total_mr`` of an image (x, y, z).

    Raises:
        ExamExcluded: ``segmentation_failed`` when it stops with an error or leaves no mask.
    """
    with tempfile.TemporaryDirectory(prefix="liverstiff-totalsegmentator-") as work:
        home = Path(work) / "home"
        home.mkdir()
        silent = {"totalseg_id": "none", "send_usage_stats": False, "prediction_counter": 0}
        (home / "config.json").write_text(json.dumps(silent))
        places = {"TOTALSEG_HOME_DIR": str(home), "TOTALSEG_WEIGHTS_PATH": str(program.weights)}
        arguments = "--task total_mr --ml --nr_thr_saving 1 --roi_subset liver spleen"
        return _run(
            program, "-i image.nii.gz -o labels.nii.gz " + arguments, "labels.nii.gz", voxels, affine, work, places
        )


def mrsegmentator(voxels: np.ndarray, affine: np.ndarray, program: ProgramConfig) -> Labels:
    """Labels by ``mrsegmentator`` of an image (x, y, z); raises as :func:`totalsegmentator`."""
    with tempfile.TemporaryDirectory(prefix="liverstiff-mrsegmentator-") as work:
        places = {"MRSEG_WEIGHTS_PATH": str(program.weights)}
        arguments = "--input image.nii.gz --outdir . --nproc 1 --nproc_export 1 --no_tqdm"
        return _run(program, arguments, "image_seg.nii.gz", voxels, affine, work, places)


def _run(
    program: ProgramConfig,
    arguments: str,
    out: str,
    voxels: np.ndarray,
    affine: np.ndarray,
    work: str,
    places: dict[str, str],
) -> Labels:
    """Run a program on an image in a folder of its own; its labels as ours."""
    images.save(Path(work) / "image.nii.gz", voxels.astype(np.float32), affine)
    job = CommandLine(
        command=shlex.quote(program.program),
        args=arguments,
        environ={**os.environ, **places},
        terminal_output="file_split",
        resource_monitor=False,
    )
    try:
        job.run(cwd=work, ignore_exception=False)
        labels, label_affine = images.load(Path(work) / out)
    except (OSError, RuntimeError, ValueError) as error:
        last = str(error).strip().splitlines()[-1:] or [type(error).__name__]
        raise ExamExcluded(
            Reason.SEGMENTATION_FAILED, f"{Path(program.program).name} gave no mask: {last[0]}"
        ) from error
    ours = np.zeros(labels.shape, np.uint8)
    for theirs, label in ORGANS.items():
        ours[labels == theirs] = label
    return ours, label_affine
