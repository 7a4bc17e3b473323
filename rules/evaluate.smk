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
        metrics=report(
            "results/evaluate/metrics.csv",
            caption="../docs/captions/metrics.rst",
            category="Statistics",
            labels={"table": "agreement"},
        ),
        thresholds=report(
            "results/evaluate/thresholds.csv",
            caption="../docs/captions/thresholds.rst",
            category="Statistics",
            labels={"table": "thresholds and cut-points"},
        ),
        cutpoints="results/evaluate/cutpoints.csv",
        bland_altman="results/evaluate/bland_altman.csv",
        residuals=report(
            "results/evaluate/residuals.csv",
            caption="../docs/captions/residuals.rst",
            category="Statistics",
            labels={"table": "residuals by covariate"},
        ),
        subgroups=report(
            "results/evaluate/subgroups.csv",
            caption="../docs/captions/subgroups.rst",
            category="Statistics",
            labels={"table": "subgroups"},
        ),
        contrasts="results/evaluate/contrasts.csv",
        comparisons=report(
            "results/evaluate/comparisons.csv",
            caption="../docs/captions/comparisons.rst",
            category="Statistics",
            labels={"table": "comparison with baselines"},
        ),
        coverage=report(
            "results/evaluate/coverage.csv",
            caption="../docs/captions/coverage.rst",
            category="Statistics",
            labels={"table": "coverage of the intervals"},
        ),
        calibration="results/evaluate/calibration.csv",
        roc="results/evaluate/roc.csv",
        decision="results/evaluate/decision.csv",
        table1=report(
            "results/evaluate/table1.csv",
            caption="../docs/captions/table1.rst",
            category="Statistics",
            labels={"table": "Table 1"},
        ),
        summary="results/evaluate/summary.json",
    log:
        "logs/evaluate/evaluate.log",
    benchmark:
        "benchmarks/evaluate/evaluate.tsv"
    conda:
        "../envs/analysis.yaml"
    threads: 2
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
    params:
        settings=settings("evaluate"),
        target=settings("target"),
    script:
        "../workflow_scripts/evaluate.py"
