# cohort: the health record joined to the exams; one reason for every exam that is not analysed.
# reads: record tables, catalog, elastography, every status table    writes: results/cohort/    grain: study


rule cohort:
    input:
        exams=rules.catalog.output.exams,
        linkage=rules.catalog.output.linkage,
        records=record_tables,
        statuses=every_shard(
            rules.convert,
            rules.harmonize,
            rules.register,
            rules.segment,
            rules.elastography,
            rules.pack,
        ),
        stiffness=every_shard(rules.elastography),
        code=stage_code("cohort"),
    output:
        cohort="results/cohort/cohort.csv",
        exclusions="results/cohort/exclusions.csv",
        flow="results/cohort/flow.csv",
    log:
        "logs/cohort/cohort.log",
    benchmark:
        "benchmarks/cohort/cohort.tsv"
    conda:
        "../envs/analysis.yaml"
    resources:
        mem_mb=4000,
    params:
        settings=settings("cohort"),
        data=settings("data"),
        key=KEY,
    script:
        "../workflow_scripts/cohort.py"
