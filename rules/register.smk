# register: all sequences in the space of one, the frame: T1w, or without it T2w, or DWI.
# reads: harmonize    writes: results/register/{shard}/    grain: shard


rule register:
    input:
        harmonized=rules.harmonize.output.folder,
        code=stage_code("register"),
    output:
        folder=directory("results/register/{shard}"),
    log:
        "logs/register/{shard}.log",
    benchmark:
        "benchmarks/register/{shard}.tsv"
    conda:
        "../envs/imaging.yaml"
    threads: CONFIG.data.workers
    resources:
        mem_mb=lambda wildcards, attempt, threads: 2000 * threads * attempt,
    params:
        settings=settings("register"),
    script:
        "../workflow_scripts/register.py"
