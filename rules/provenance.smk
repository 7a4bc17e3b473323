# provenance: what the run was: software, configuration, source, checksums, cost by stage; an RO-Crate that may be shared.
# reads: catalog, harmonize, cohort, split, train, predict, evaluate, benchmarks/    writes: results/provenance/    grain: study
# No stage of the study: nothing is estimated from it. Neither dates nor commits are among its params.


rule provenance:
    input:
        exams=rules.catalog.output.exams,
        series=rules.catalog.output.series,
        shards=rules.catalog.output.shards,
        scans=rules.catalog.output.scans,
        probe=rules.harmonize_probe.output.probe,
        cohort=rules.cohort.output.cohort,
        exclusions=rules.cohort.output.exclusions,
        by_site=rules.cohort.output.flow,
        missingness=rules.cohort.output.missingness,
        scanners=rules.cohort.output.scanners,
        conflicts=rules.cohort.output.conflicts,
        agreements=rules.cohort.output.agreements,
        splits=rules.split.output.splits,
        models=expand(rules.train.output.model, fold=FOLDS),
        predictions=expand(rules.predict.output.predictions, partition=PARTITIONS),
        flow=rules.evaluate.output.flow,
        analysed=rules.evaluate.output.analysed,
        metrics=rules.evaluate.output.metrics,
        thresholds=rules.evaluate.output.thresholds,
        cutpoints=rules.evaluate.output.cutpoints,
        bland_altman=rules.evaluate.output.bland_altman,
        residuals=rules.evaluate.output.residuals,
        subgroups=rules.evaluate.output.subgroups,
        contrasts=rules.evaluate.output.contrasts,
        comparisons=rules.evaluate.output.comparisons,
        coverage=rules.evaluate.output.coverage,
        calibration=rules.evaluate.output.calibration,
        roc=rules.evaluate.output.roc,
        decision=rules.evaluate.output.decision,
        table1=rules.evaluate.output.table1,
        summary=rules.evaluate.output.summary,
        finished=EXPLAINED,
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
