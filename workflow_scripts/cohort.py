from pathlib import Path

from liverstiff.adapter import paths, stage_log

with stage_log(snakemake):
    from liverstiff.cohort import build_cohort
    from liverstiff.config import CohortConfig, DataConfig, TargetConfig

    data = DataConfig(**snakemake.params.data)
    build_cohort(
        **paths(snakemake.input),
        **paths(snakemake.output),
        sites=data.sites,
        temporal_cut=data.temporal_cut,
        key=Path(snakemake.params.key),
        settings=CohortConfig(**snakemake.params.settings),
        target=TargetConfig(**snakemake.params.target),
    )
