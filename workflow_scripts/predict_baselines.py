from pathlib import Path

from liverstiff.adapter import paths, stage_log

with stage_log(snakemake):
    from liverstiff.config import TargetConfig, TrainConfig
    from liverstiff.predict.baselines import predict_baselines

    files = iter(snakemake.input.variants)
    predict_baselines(
        **paths(snakemake.input, "variants"),
        **paths(snakemake.output),
        variants={name: [Path(next(files)) for _ in snakemake.params.partitions] for name in snakemake.params.variants},
        settings=TrainConfig(**snakemake.params.settings),
        target=TargetConfig(**snakemake.params.target),
    )
