"""The stage ``convert``: DICOM to NIfTI, with the header as the source of volumes and b-values."""

from liverstiff.convert.series import Converted, convert_series, convert_stack
from liverstiff.convert.shard import convert_shard

__all__ = ["Converted", "convert_series", "convert_shard", "convert_stack"]
