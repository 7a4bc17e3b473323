from liverstiff.adapter import paths, stage_log

with stage_log(snakemake):
    from liverstiff.config import PackConfig
    from liverstiff.pack import pack_shard

    pack_shard(
        **paths(snakemake.input),
        **paths(snakemake.output),
        settings=PackConfig(**snakemake.params.settings),
        workers=snakemake.threads,
    )
