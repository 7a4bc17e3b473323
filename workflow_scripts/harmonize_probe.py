from liverstiff.adapter import paths, stage_log

with stage_log(snakemake):
    from liverstiff.harmonize.probe import probe_vendor

    probe_vendor(**paths(snakemake.input), **paths(snakemake.output))
