from liverstiff.adapter import paths, stage_log

with stage_log(snakemake.log[0]):
    from liverstiff.config import ReportConfig
    from liverstiff.report import write_report

    write_report(
        **paths(snakemake.input, "template"),
        **paths(snakemake.output),
        config=snakemake.params.config,
        demonstration_below=snakemake.params.config["evaluate"]["demonstration_below"],
        settings=ReportConfig(**snakemake.params.settings),
    )
