# evaluate: every number of the report, and summary.json with the headline figures and every gap.
# Fails unless exams in = analysed + excluded.
# reads: predict, cohort, split, catalog    writes: results/evaluate/    grain: study


rule evaluate:
    input:
        predictions=expand(rules.predict.output.predictions, partition=PARTITIONS),
        cohort=rules.cohort.output.cohort,
        exclusions=rules.cohort.output.exclusions,
        splits=rules.split.output.splits,
        exams=rules.catalog.output.exams,
        baselines=rules.predict_baselines.output.baselines,
        validation=expand(rules.train.output.validation, fold=FOLDS),
        code=stage_code("evaluate"),
    output:
        flow="results/evaluate/flow.csv",
        analysed="results/evaluate/analysed.csv",
        metrics="results/evaluate/metrics.csv",
        thresholds="results/evaluate/thresholds.csv",
        cutpoints="results/evaluate/cutpoints.csv",
        bland_altman="results/evaluate/bland_altman.csv",
        residuals="results/evaluate/residuals.csv",
        subgroups="results/evaluate/subgroups.csv",
        contrasts="results/evaluate/contrasts.csv",
        comparisons="results/evaluate/comparisons.csv",
        coverage="results/evaluate/coverage.csv",
        calibration="results/evaluate/calibration.csv",
        roc="results/evaluate/roc.csv",
        decision="results/evaluate/decision.csv",
        table1="results/evaluate/table1.csv",
        summary="results/evaluate/summary.json",
    log:
        "logs/evaluate/evaluate.log",
    benchmark:
        "benchmarks/evaluate/evaluate.tsv"
    conda:
        "../envs/analysis.yaml"
    threads: 2
    resources:
        mem_mb=4000,
    params:
        settings=settings("evaluate"),
        target=settings("target"),
    script:
        "../workflow_scripts/evaluate.py"
