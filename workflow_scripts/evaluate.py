from pathlib import Path

from liverstiff.adapter import paths, stage_log

with stage_log(snakemake):
    from liverstiff.config import EvaluateConfig, TargetConfig
    from liverstiff.evaluate import evaluate_study

    tables = paths(snakemake.output)
    evaluate_study(
        predictions={Path(path).stem: Path(path) for path in snakemake.input.predictions},
        **paths(snakemake.input, "predictions"),
        summary=tables.pop("summary"),
        tables=tables,
        settings=EvaluateConfig(**snakemake.params.settings),
        target=TargetConfig(**snakemake.params.target),
    )
