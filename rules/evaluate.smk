# evaluate: every number of the report. Fails unless exams in = analysed + excluded.
# reads: predict, cohort, split, catalog    writes: results/evaluate/    grain: study


rule evaluate:
    input:
        predictions=expand(rules.predict.output.predictions, partition=PARTITIONS),
        cohort=rules.cohort.output.cohort,
        exclusions=rules.cohort.output.exclusions,
        splits=rules.split.output.splits,
        exams=rules.catalog.output.exams,
        code=stage_code("evaluate"),
    output:
        flow="results/evaluate/flow.csv",
        analysed="results/evaluate/analysed.csv",
        metrics="results/evaluate/metrics.csv",
        residuals="results/evaluate/residuals.csv",
        table1="results/evaluate/table1.csv",
    log:
        "logs/evaluate/evaluate.log",
    benchmark:
        "benchmarks/evaluate/evaluate.tsv"
    conda:
        "../envs/analysis.yaml"
    resources:
        mem_mb=4000,
    params:
        settings=settings("evaluate"),
        target=settings("target"),
    script:
        "../workflow_scripts/evaluate.py"
