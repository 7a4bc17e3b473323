from liverstiff.adapter import paths, stage_log

with stage_log(snakemake):
    from liverstiff.config import HarmonizeConfig
    from liverstiff.harmonize import harmonize_shard

    harmonize_shard(
        **paths(snakemake.input),
        **paths(snakemake.output),
        settings=HarmonizeConfig(**snakemake.params.settings),
        required=tuple(snakemake.params.required),
        workers=snakemake.threads,
    )
