from liverstiff.adapter import paths, stage_log

with stage_log(snakemake):
    from liverstiff.config import RegisterConfig
    from liverstiff.register import register_shard

    register_shard(
        **paths(snakemake.input),
        **paths(snakemake.output),
        settings=RegisterConfig(**snakemake.params.settings),
        workers=snakemake.threads,
    )
