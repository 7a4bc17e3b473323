"""DICOM headers read once: frames, their b-values, and the stacks and volumes that they form."""

from liverstiff.dicom.frames import Frame, read_frames
from liverstiff.dicom.stacks import Stack, Volume, split_stacks

__all__ = ["Frame", "Stack", "Volume", "read_frames", "split_stacks"]
