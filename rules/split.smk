# split: folds by patient, the temporal test, the external test.
# reads: cohort    writes: results/split/    grain: study
# The ledger of folds lies with the key of the pseudonyms: adding exams never moves an earlier patient.


rule split:
    input:
        cohort=rules.cohort.output.cohort,
        aliases=rules.cohort.output.aliases,
        code=stage_code("split"),
    output:
        splits="results/split/splits.csv",
        strata="results/split/strata.csv",
        used="results/split/ledger.json",
    log:
        "logs/split/split.log",
    benchmark:
        "benchmarks/split/split.tsv"
    conda:
        "../envs/analysis.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
    params:
        settings=settings("split"),
        target=settings("target"),
        folds=CONFIG.split.fold_names(CONFIG.data.sites),
        ledger=LEDGER,
    script:
        "../workflow_scripts/split.py"
