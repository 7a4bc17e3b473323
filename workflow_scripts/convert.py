from liverstiff.adapter import paths, stage_log

with stage_log(snakemake):
    from liverstiff.config import ConvertConfig
    from liverstiff.convert import convert_shard

    convert_shard(
        **paths(snakemake.input),
        **paths(snakemake.output),
        settings=ConvertConfig(**snakemake.params.settings["convert"]),
        required=tuple(snakemake.params.settings["catalog"]["required"]),
        workers=snakemake.threads,
    )
