from liverstiff.adapter import paths, stage_log

with stage_log(snakemake):
    from liverstiff.config import SegmentConfig
    from liverstiff.segment.training import train_network

    train_network(
        **paths(snakemake.input),
        **paths(snakemake.output),
        settings=SegmentConfig(**snakemake.params.settings),
        checkpoint=snakemake.params.checkpoint,
    )
