from pathlib import Path

from liverstiff.adapter import paths, stage_log

with stage_log(snakemake):
    from liverstiff.config import PredictConfig
    from liverstiff.predict.occlusion import explain_partition

    explain_partition(
        **paths(snakemake.input, "models", "descriptions"),
        **paths(snakemake.output),
        models=[Path(path).parent for path in snakemake.input.models],
        settings=PredictConfig(**snakemake.params.settings),
    )
