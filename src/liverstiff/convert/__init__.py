"""The stage ``convert``: DICOM to NIfTI, with the header as the source of volumes, scales and b-values."""

from liverstiff.convert.everything import convert_folder
from liverstiff.convert.faults import NotConverted
from liverstiff.convert.series import Converted, convert_series, convert_stack
from liverstiff.convert.shard import convert_shard

__all__ = ["Converted", "NotConverted", "convert_folder", "convert_series", "convert_shard", "convert_stack"]
