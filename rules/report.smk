# report: one self-contained page, its figures for a paper, and the model card.
# reads: catalog, harmonize, register, segment, elastography, cohort, train, predict, evaluate, provenance
# writes: reports/    grain: study


rule report:
    input:
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
        exclusions=rules.cohort.output.exclusions,
        by_site=rules.cohort.output.flow,
        missingness=rules.cohort.output.missingness,
        scanners=rules.cohort.output.scanners,
        conflicts=rules.cohort.output.conflicts,
        agreements=rules.cohort.output.agreements,
        scans=rules.catalog.output.scans,
        probe=rules.harmonize_probe.output.probe,
        overlay=every_shard(rules.segment),
        checkerboard=every_shard(rules.register),
        elastogram=every_shard(*ELASTOGRAMS),
        explained=EXPLAINED,
        histories=expand(rules.train.output.history, fold=FOLDS),
        cost=rules.provenance.output.cost,
        provenance=rules.provenance.output.provenance,
        code=stage_code("report"),
        template=(SRC / "liverstiff" / "templates").glob("*"),
    output:
        report=report(
            "reports/report.html",
            caption="../docs/captions/report.rst",
            category="Report",
            labels={"content": "the whole page"},
        ),
        card=report(
            "reports/model_card.md",
            caption="../docs/captions/model_card.rst",
            category="Report",
            labels={"content": "model card"},
        ),
        figures=report(
            directory("reports/figures"),
            patterns=["{figure}_{partition}.png"],
            caption="../docs/captions/figure.rst",
            category="Figures",
            subcategory="{partition}",
            labels={"figure": "{figure}", "exams": "{partition}"},
        ),
    log:
        "logs/report/report.log",
    benchmark:
        "benchmarks/report/report.tsv"
    conda:
        "../envs/analysis.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
    params:
        settings=settings("report"),
        config=CONFIG.model_dump(mode="json", by_alias=True),
    script:
        "../workflow_scripts/report.py"
