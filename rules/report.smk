# report: one self-contained page, and its figures for a paper.
# reads: evaluate, catalog, harmonize, register, segment, train    writes: reports/    grain: study


rule report:
    input:
        flow=rules.evaluate.output.flow,
        analysed=rules.evaluate.output.analysed,
        metrics=rules.evaluate.output.metrics,
        residuals=rules.evaluate.output.residuals,
        table1=rules.evaluate.output.table1,
        exclusions=rules.cohort.output.exclusions,
        scans=rules.catalog.output.scans,
        probe=rules.harmonize_probe.output.probe,
        overlays=every_shard(rules.segment),
        checkerboards=every_shard(rules.register),
        histories=expand(rules.train.output.history, fold=FOLDS),
        code=stage_code("report"),
        template=(SRC / "liverstiff" / "templates").glob("*"),
    output:
        report=report(
            "reports/report.html",
            caption="../docs/captions/report.rst",
            category="Report",
            labels={"content": "the whole page"},
        ),
        figures=report(
            directory("reports/figures"),
            patterns=["{figure}.png"],
            caption="../docs/captions/figure.rst",
            category="Figures",
            labels={"figure": "{figure}"},
        ),
    log:
        "logs/report/report.log",
    benchmark:
        "benchmarks/report/report.tsv"
    conda:
        "../envs/analysis.yaml"
    resources:
        mem_mb=2000,
    params:
        settings=settings("report"),
        config=CONFIG.model_dump(mode="json", by_alias=True),
    script:
        "../workflow_scripts/report.py"
