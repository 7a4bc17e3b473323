# catalog: which series every exam holds, which are taken, and which exams share a job. Identifiers stop here.
# reads: DICOM headers, NIfTI images, or records    writes: results/catalog/    grain: site, then study


rule catalog_site:
    input:
        tree=site_input,
        overrides=[CONFIG.catalog.overrides] if CONFIG.catalog.overrides else [],
        code=stage_code("catalog"),
    output:
        private=directory("results/catalog/private/sites/{site}"),
        series="results/catalog/sites/{site}.csv",
        skipped="results/catalog/sites/{site}.skipped.csv",
        overridden="results/catalog/sites/{site}.overridden.csv",
    log:
        "logs/catalog/{site}.log",
    benchmark:
        "benchmarks/catalog/{site}.tsv"
    conda:
        "../envs/imaging.yaml"
    threads: CONFIG.data.workers
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
    params:
        key=KEY,
        nifti=lambda wildcards: CONFIG.data.sites[wildcards.site].nifti is not None,
        record=lambda wildcards: CONFIG.data.sites[wildcards.site].recorded(),
        mre_series=lambda wildcards: dict(CONFIG.elastography.of(wildcards.site).series),
        cache="results/catalog/private/headers/{site}.sqlite",  # not an output: those are deleted before a rerun
    script:
        "../workflow_scripts/catalog_site.py"


checkpoint catalog:
    input:
        private_sites=expand(rules.catalog_site.output.private, site=SITES),
        series_sites=expand(rules.catalog_site.output.series, site=SITES),
        skipped_sites=expand(rules.catalog_site.output.skipped, site=SITES),
        overridden_sites=expand(rules.catalog_site.output.overridden, site=SITES),
        code=stage_code("catalog"),
    output:
        series="results/catalog/series.csv",
        exams="results/catalog/exams.csv",
        skipped="results/catalog/skipped.csv",
        overridden="results/catalog/overridden.csv",
        scans="results/catalog/scans.csv",
        shards=update("results/catalog/shards.csv"),  # exams keep their shard when others are added
        shard_tables=directory("results/catalog/private/shards"),
        linkage="results/catalog/private/linkage.csv",
    log:
        "logs/catalog/study.log",
    benchmark:
        "benchmarks/catalog/study.tsv"
    conda:
        "../envs/imaging.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
    params:
        settings=settings("catalog"),
        shard_size=CONFIG.data.shard_size,
    script:
        "../workflow_scripts/catalog.py"
