"""DICOM headers read once: frames, their b-values, and the stacks and volumes that they form."""

from liverstiff.dicom.files import SourceFile
from liverstiff.dicom.frames import Frame, Unused, read_frames
from liverstiff.dicom.stacks import Fault, Stack, Volume, split_stacks

__all__ = ["Fault", "Frame", "SourceFile", "Stack", "Unused", "Volume", "read_frames", "split_stacks"]
