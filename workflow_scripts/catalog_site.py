from pathlib import Path

from liverstiff.adapter import paths, stage_log

with stage_log(snakemake):
    from liverstiff.catalog import catalog_site
    from liverstiff.config import RecordConfig

    record = snakemake.params.record
    catalog_site(
        site=snakemake.wildcards.site,
        **paths(snakemake.input),
        **paths(snakemake.output),
        key=Path(snakemake.params.key),
        cache=Path(snakemake.params.cache),
        nifti=snakemake.params.nifti,
        record=RecordConfig(**record) if record else None,
        mre_series=snakemake.params.mre_series,
        workers=snakemake.threads,
    )
