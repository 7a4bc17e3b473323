"""dcm2niix through nipype: typed inputs, the outputs by listing the folder, the exit code taken seriously.

nipype's own interface parses the log: it never lists ``_ADC`` files, loses outputs when a path holds a blank, and
raises nothing on exit codes 1, 2 and 8.
"""

from __future__ import annotations

import errno
import os
import shlex
import shutil
from pathlib import Path
from typing import Any

os.environ["NO_ET"] = "1"  # before nipype is imported: it would ask a server for its newest version

import dcm2niix
from nipype.interfaces.base import CommandLine, CommandLineInputSpec, Directory, File, TraitedSpec, traits

from liverstiff.convert.faults import NotConverted
from liverstiff.records import Reason

ROOM = 4
"""A disk with less room than this many times the files of a series counts as full after dcm2niix failed on it."""

NOT_CONVERTED = {1: "it could not convert all", 2: "it found no image", 8: "it converted only a part"}
"""Exit codes of dcm2niix that nipype lets pass."""


class _Inputs(CommandLineInputSpec):
    """Folders stand without quotation marks of ours: nipype then quotes them itself for the shell."""

    settings = traits.Str(
        '-g i -b y -ba y -c "" -f x%s -z n', argstr="%s", usedefault=True, position=0, desc="ignores a user's defaults"
    )
    out_folder = Directory(exists=True, mandatory=True, argstr="-o %s", position=1, desc="empty private folder")
    source = Directory(exists=True, mandatory=True, argstr="%s", position=-1, desc="folder of the files of one series")


class _Outputs(TraitedSpec):
    images = traits.List(File(exists=True), desc="all images written, in the order of their names")


class Dcm2niix(CommandLine):
    """The binary that the PyPI wheel carries."""

    _cmd = shlex.quote(str(dcm2niix.bin))
    input_spec = _Inputs
    output_spec = _Outputs

    def _list_outputs(self) -> dict[str, Any]:
        return {"images": sorted(str(path) for path in Path(self.inputs.out_folder).glob("*.nii"))}


def run_dcm2niix(source: Path, out_folder: Path) -> list[Path]:
    """Convert a folder of DICOM files into an empty folder; returns the images.

    Raises:
        NotConverted: when dcm2niix does not report full success. The message holds no path and no text of the header.
    """
    interface = Dcm2niix(source=str(source), out_folder=str(out_folder))
    interface.terminal_output = "allatonce"
    interface._ldd = False  # else every run asks ldd for the libraries
    try:
        result = interface.run(cwd=str(out_folder), ignore_exception=False)
    except RuntimeError as error:  # nipype quotes the command and its output, which hold paths and texts
        _refuse_full_disk(source, out_folder)
        detail = "dcm2niix failed; look at the files of the series"
        raise NotConverted(Reason.CONVERSION_FAILED, detail) from error
    code = result.runtime.returncode
    if code:
        _refuse_full_disk(source, out_folder)
        why = NOT_CONVERTED.get(code, "it failed")
        raise NotConverted(Reason.CONVERSION_FAILED, f"dcm2niix ended with code {code}: {why}")
    return [Path(image) for image in result.outputs.images]


def _refuse_full_disk(source: Path, folder: Path) -> None:
    """A full disk is no fault of the series.

    Raises:
        OSError: ENOSPC.
    """
    if shutil.disk_usage(folder).free < ROOM * sum(path.stat().st_size for path in source.iterdir()):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))
