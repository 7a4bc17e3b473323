from pathlib import Path

from liverstiff.adapter import paths, stage_log

with stage_log(snakemake):
    from liverstiff.provenance import write_provenance

    write_provenance(
        tables=paths(snakemake.input, "finished"),
        shared={name: Path(snakemake.input[name]) for name in snakemake.params.shared},
        config=snakemake.params.config,
        benchmarks=Path(snakemake.params.benchmarks),
        cores=snakemake.params.cores,
        **paths(snakemake.output),
    )
