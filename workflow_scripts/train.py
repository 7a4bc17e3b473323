from pathlib import Path

from liverstiff.adapter import paths, stage_log

with stage_log(snakemake):
    from liverstiff.config import TargetConfig, TrainConfig
    from liverstiff.train import train_fold

    train_fold(
        fold=int(snakemake.wildcards.fold),
        **paths(snakemake.input, "pretrained"),
        **paths(snakemake.output),
        checkpoint=Path(snakemake.params.checkpoint),
        tensorboard=Path(snakemake.params.tensorboard),
        settings=TrainConfig(**snakemake.params.settings),
        target=TargetConfig(**snakemake.params.target),
    )
