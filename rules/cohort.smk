# cohort: the health record joined to the exams; one reason for every exam that is not analysed.
# reads: record tables, catalog, elastography, every status table    writes: results/cohort/    grain: study

ELASTOGRAMS = [] if CONFIG.cohort.reference == "reported" else [rules.elastography]


rule cohort:
    input:
        exams=rules.catalog.output.exams,
        linkage=rules.catalog.output.linkage,
        records=[file for site in SITES for file in record_files(site)],
        statuses=every_shard(
            rules.convert,
            rules.harmonize,
            rules.register,
            rules.segment,
            rules.pack,
            *ELASTOGRAMS,
        ),
        stiffness=every_shard(*ELASTOGRAMS),
        code=stage_code("cohort"),
    output:
        cohort="results/cohort/cohort.csv",
        exclusions="results/cohort/exclusions.csv",
        flow="results/cohort/flow.csv",
        missingness="results/cohort/missingness.csv",
        scanners="results/cohort/scanners.csv",
        conflicts="results/cohort/conflicts.csv",
        agreements="results/cohort/agreement.csv",
        aliases="results/cohort/aliases.csv",
    log:
        "logs/cohort/cohort.log",
    benchmark:
        "benchmarks/cohort/cohort.tsv"
    conda:
        "../envs/analysis.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
    params:
        settings=settings("cohort"),
        data=settings("data"),
        target=settings("target"),
        key=KEY,
    script:
        "../workflow_scripts/cohort.py"
