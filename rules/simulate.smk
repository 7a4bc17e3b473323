# simulate: a cohort with known truth, for runs without data of one's own.
# reads: config    writes: results/simulate/    grain: site


rule simulate:
    input:
        code=stage_code("simulate"),
    output:
        tree=directory("results/simulate/{site}/dicom"),
        record="results/simulate/{site}/record.csv",
        truth="results/simulate/{site}/truth.csv",
        truth_series="results/simulate/{site}/truth_series.csv",
    log:
        "logs/simulate/{site}.log",
    benchmark:
        "benchmarks/simulate/{site}.tsv"
    conda:
        "../envs/imaging.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
    params:
        settings=settings("simulate"),
    script:
        "../workflow_scripts/simulate.py"


rule simulate_atlases:
    input:
        code=stage_code("simulate"),
    output:
        folder=directory("results/simulate/atlases"),
    log:
        "logs/simulate/atlases.log",
    benchmark:
        "benchmarks/simulate/atlases.tsv"
    conda:
        "../envs/imaging.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
    params:
        settings=settings("simulate"),
    script:
        "../workflow_scripts/simulate_atlases.py"
