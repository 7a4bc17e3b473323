from liverstiff.adapter import paths, stage_log

with stage_log(snakemake):
    from liverstiff.config import ElastographyConfig
    from liverstiff.elastography import elastography_shard

    elastography_shard(
        **paths(snakemake.input),
        **paths(snakemake.output),
        settings=ElastographyConfig(**snakemake.params.settings),
        workers=snakemake.threads,
    )
