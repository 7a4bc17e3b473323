"""Stage ``elastography``: the stiffness of the liver in kPa from the scanner's elastogram.

Region of interest: the liver mask, moved onto the elastogram's magnitude where that fits better, in each slice
without its edge and without vessels, where the scanner's confidence reaches the threshold; the mean of each slice, then
the mean of the slices weighted by their areas. Colour images and screen captures are never read.
"""

from __future__ import annotations

from liverstiff.elastography.reading import Reading, read_exam
from liverstiff.elastography.stage import elastography_shard, measure_exam

__all__ = ["Reading", "elastography_shard", "measure_exam", "read_exam"]
