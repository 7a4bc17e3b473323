"""What can be known to fail before a run starts.

The Snakefile reads :func:`load_config` and :func:`check_inputs`, so that these import nothing heavy; the command
``liverstiff check`` looks at the machine, the cluster and the size of the study too (:mod:`liverstiff.check.findings`).
"""

from liverstiff.check.inputs import check_inputs
from liverstiff.check.settings import load_config, read_config

__all__ = ["check_inputs", "load_config", "read_config"]
