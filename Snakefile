# LiverStiff: liver stiffness from routine MRI and the health record.
# The includes are the flow, in its order; each rule file says what its stage reads and writes.

import sys
from pathlib import Path

from snakemake.utils import min_version

min_version("9.0")


configfile: "config.yaml"


# Every job imports the checkout's own source, with and without conda (which drops PYTHONPATH).
SRC = Path(workflow.basedir).resolve() / "src"
sys.path.insert(0, str(SRC))
shell.prefix(
    f"set -euo pipefail; export PYTHONPATH='{SRC}'${{{{PYTHONPATH:+:$PYTHONPATH}}}}; "
)


include: "rules/common.smk"
include: "rules/simulate.smk"
include: "rules/catalog.smk"
include: "rules/convert.smk"
include: "rules/harmonize.smk"
include: "rules/register.smk"
include: "rules/segment.smk"
include: "rules/elastography.smk"
include: "rules/pack.smk"
include: "rules/cohort.smk"
include: "rules/split.smk"
include: "rules/train.smk"
include: "rules/predict.smk"
include: "rules/evaluate.smk"
include: "rules/provenance.smk"
include: "rules/report.smk"


localrules:
    all,


rule all:
    default_target: True
    input:
        rules.report.output.report,
        rules.provenance.output.provenance,
