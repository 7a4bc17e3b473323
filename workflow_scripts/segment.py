from liverstiff.adapter import paths, stage_log

with stage_log(snakemake):
    from liverstiff.config import SegmentConfig
    from liverstiff.segment import segment_shard

    segment_shard(
        **paths(snakemake.input),
        **paths(snakemake.output),
        settings=SegmentConfig(**snakemake.params.settings),
        workers=snakemake.threads,
    )
