# catalog: which series every exam holds, which are taken, and which exams share a job. Identifiers stop here.
# reads: DICOM headers    writes: results/catalog/    grain: site, then study


rule catalog_site:
    input:
        tree=site_input,
        code=stage_code("catalog"),
    output:
        private=directory("results/catalog/private/sites/{site}"),
        series="results/catalog/sites/{site}.csv",
    log:
        "logs/catalog/{site}.log",
    benchmark:
        "benchmarks/catalog/{site}.tsv"
    conda:
        "../envs/imaging.yaml"
    threads: CONFIG.data.workers
    resources:
        mem_mb=4000,
    params:
        settings=settings("catalog"),
        key=KEY,
    script:
        "../workflow_scripts/catalog_site.py"


checkpoint catalog:
    input:
        private_sites=expand(rules.catalog_site.output.private, site=SITES),
        series_sites=expand(rules.catalog_site.output.series, site=SITES),
        code=stage_code("catalog"),
    output:
        series="results/catalog/series.csv",
        exams="results/catalog/exams.csv",
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
        mem_mb=4000,
    params:
        settings=settings("catalog"),
        shard_size=CONFIG.data.shard_size,
    script:
        "../workflow_scripts/catalog.py"
