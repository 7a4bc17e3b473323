from pathlib import Path

from liverstiff.adapter import paths, stage_log

with stage_log(snakemake):
    from liverstiff.config import ReportConfig
    from liverstiff.report import write_report

    given = paths(snakemake.input, "template", "histories", "provenance")
    write_report(
        tables={name: value for name, value in given.items() if isinstance(value, Path)},
        shards={name: value for name, value in given.items() if isinstance(value, list)},
        histories=[Path(path) for path in snakemake.input.histories],
        provenance=Path(snakemake.input.provenance),
        config=snakemake.params.config,
        settings=ReportConfig(**snakemake.params.settings),
        **paths(snakemake.output),
    )
