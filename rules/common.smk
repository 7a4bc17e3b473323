# Shared functions: the checked configuration, what a stage's code and settings are, and which shards exist.

import csv
import re

from liverstiff.check import check_inputs, load_config
from liverstiff.config import SIMULATE
from liverstiff.errors import ConfigError
from liverstiff.records import PARTITIONS

try:
    CONFIG = load_config(config)
    check_inputs(CONFIG)
except ConfigError as error:
    sys.exit(str(error))

SITES = list(CONFIG.data.sites)
FOLDS = range(len(CONFIG.split.fold_names(CONFIG.data.sites)))
KEY = f"{CONFIG.data.private}/pseudonym.key"
LEDGER = f"{CONFIG.data.private}/{CONFIG.split.ledger}"


wildcard_constraints:
    site="|".join(SITES),
    fold=r"\d+",
    shard=r"shard-\d+",
    partition="|".join(PARTITIONS),
    variant=r"[a-z][A-Za-z0-9-]*",


def settings(*stages):
    """The configuration of one stage, or of several by name, as plain values."""
    values = CONFIG.model_dump(mode="json", by_alias=True)
    several = {stage: values[stage] for stage in stages}
    return values[stages[0]] if len(stages) == 1 else several


def stage_code(stage):
    """Source files whose edit must rerun a stage: its own, and the shared modules they import.

    config, records and errors are left out: they describe, and their values reach a job as params.
    """
    package, found, waiting = SRC / "liverstiff", {}, {stage}
    while waiting:
        name = waiting.pop()
        folder = package / name
        found[name] = sorted(folder.rglob("*.py")) or [package / f"{name}.py"]
        text = "\n".join(file.read_text() for file in found[name])
        imported = set(re.findall(r"^\s*from liverstiff\.(\w+)", text, re.M))
        for line in re.findall(r"^\s*from liverstiff import (.+)", text, re.M):
            imported |= set(re.findall(r"\b[a-z]\w+", line))
        waiting |= imported - set(found) - {"config", "records", "errors"}
    return [str(file) for name in sorted(found) for file in found[name]]


def site_input(wildcards):
    """A site's DICOM tree, simulated or as given, its NIfTI images, or its record."""
    site = CONFIG.data.sites[wildcards.site]
    simulated = expand(rules.simulate.output.tree, site=wildcards.site)[0]
    images = simulated if site.dicom == SIMULATE else site.dicom or site.nifti
    return images or record_files(wildcards.site)


def record_files(site):
    """The files of a site's health record, in the order of its tables."""
    simulated = expand(rules.simulate.output.record, site=site)[0]
    tables = CONFIG.data.sites[site].record.sources
    files = [table.table for table in tables if not table.is_database]
    return [simulated if file == SIMULATE else file for file in files]


def atlas_input(wildcards):
    """The folder of labelled volumes."""
    folder = CONFIG.segment.atlases
    return rules.simulate_atlases.output.folder if folder == SIMULATE else folder


def segment_sources(wildcards):
    """What the methods of segmentation stand on, by the name of the input."""
    sources = {
        "network": ("network", rules.segment_train.output.network),
        "atlas": ("atlases", atlas_input(wildcards)),
        "masks": ("masks", CONFIG.segment.masks),
    }
    return dict(sources[name] for name in CONFIG.segment.methods if name in sources)


def shards(wildcards):
    """Names of all shards, known once the catalog is written."""
    with open(checkpoints.catalog.get().output.shards, newline="") as file:
        return sorted({row["shard"] for row in csv.DictReader(file)})


def shard_files(wildcards):
    """The chosen files of a shard."""
    return f"{checkpoints.catalog.get().output.shard_tables}/{wildcards.shard}.csv"


def shard_status(wildcards):
    """What the catalog decided about the exams of a shard."""
    return (
        f"{checkpoints.catalog.get().output.shard_tables}/{wildcards.shard}.status.csv"
    )


def every_shard(*producers):
    """An input function: the shard folders of the given rules."""
    return lambda wildcards: [
        expand(producer.output.folder, shard=shard)[0]
        for producer in producers
        for shard in shards(wildcards)
    ]


def calibration_input(wildcards):
    """Out-of-fold predictions, from which the intervals of held-out exams follow."""
    known = dict(wildcards.items()) | {"partition": "cross-validation"}
    producer = rules.predict_variant if "variant" in known else rules.predict
    pooled = expand(producer.output.predictions, **known)
    return pooled if wildcards.partition != "cross-validation" else []
