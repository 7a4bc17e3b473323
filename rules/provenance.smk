# provenance: what the run was: software, configuration, source, checksums, cost by stage; an RO-Crate that may be shared.
# reads: catalog, cohort, split, train, predict, evaluate, benchmarks/    writes: results/provenance/    grain: study
# No stage of the study: nothing is estimated from it. Neither dates nor commits are among its params.


rule provenance:
    input:
        exams=rules.catalog.output.exams,
        series=rules.catalog.output.series,
        shards=rules.catalog.output.shards,
        cohort=rules.cohort.output.cohort,
        exclusions=rules.cohort.output.exclusions,
        splits=rules.split.output.splits,
        models=expand(rules.train.output.model, fold=FOLDS),
        predictions=expand(rules.predict.output.predictions, partition=PARTITIONS),
        metrics=rules.evaluate.output.metrics,
        thresholds=rules.evaluate.output.thresholds,
        coverage=rules.evaluate.output.coverage,
        summary=rules.evaluate.output.summary,
        finished=rules.harmonize_probe.output.probe,
        code=stage_code("provenance"),
    output:
        provenance="results/provenance/provenance.json",
        cost="results/provenance/cost.csv",
        crate=directory("results/provenance/crate"),
    log:
        "logs/provenance/provenance.log",
    localrule: True
    conda:
        "../envs/analysis.yaml"
    resources:
        mem_mb=1000,
    params:
        config=CONFIG.model_dump(mode="json", by_alias=True),
        benchmarks="benchmarks",
        shared=["metrics", "thresholds", "coverage", "summary"],
        cores={
            rule.name: rule.resources["_cores"].value
            for rule in workflow.rules
            if not rule.resources["_cores"].is_evaluable()
        },
    script:
        "../workflow_scripts/provenance.py"
