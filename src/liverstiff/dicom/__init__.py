"""DICOM headers read once: frames, their b-values, and the stacks and volumes that they form."""

from liverstiff.dicom.files import SourceFile
from liverstiff.dicom.frames import Frame, Unused, read_frames
from liverstiff.dicom.stacks import Fault, Stack, Volume, in_plane, split_stacks, without_copies

__all__ = [
    "Fault",
    "Frame",
    "SourceFile",
    "Stack",
    "Unused",
    "Volume",
    "in_plane",
    "read_frames",
    "split_stacks",
    "without_copies",
]
