from pathlib import Path

from liverstiff.adapter import paths, stage_log

with stage_log(snakemake):
    from liverstiff.config import SplitConfig, TargetConfig
    from liverstiff.split import split_cohort

    split_cohort(
        **paths(snakemake.input),
        **paths(snakemake.output),
        folds=snakemake.params.folds,
        ledger=Path(snakemake.params.ledger),
        settings=SplitConfig(**snakemake.params.settings),
        target=TargetConfig(**snakemake.params.target),
    )
