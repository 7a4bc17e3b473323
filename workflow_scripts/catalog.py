from liverstiff.adapter import paths, stage_log

with stage_log(snakemake):
    from liverstiff.catalog import catalog_study
    from liverstiff.config import CatalogConfig

    catalog_study(
        **paths(snakemake.input),
        **paths(snakemake.output),
        shard_size=snakemake.params.shard_size,
        settings=CatalogConfig(**snakemake.params.settings),
    )
