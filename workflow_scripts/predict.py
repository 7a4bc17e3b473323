from pathlib import Path

from liverstiff.adapter import paths, stage_log

with stage_log(snakemake):
    from liverstiff.config import PredictConfig, TargetConfig
    from liverstiff.predict import predict_partition

    predict_partition(
        partition=snakemake.wildcards.partition,
        variant=snakemake.wildcards.get("variant") is not None,
        **paths(snakemake.input, "models", "descriptions", "calibration"),
        **paths(snakemake.output),
        models=[Path(path).parent for path in snakemake.input.models],
        calibration=next(map(Path, snakemake.input.calibration), None),
        settings=PredictConfig(**snakemake.params.settings),
        target=TargetConfig(**snakemake.params.target),
    )
