# pack: one array per shard on the model grid, memory-mappable.
# reads: register, segment    writes: results/pack/{shard}/    grain: shard


rule pack:
    input:
        registered=rules.register.output.folder,
        segmented=rules.segment.output.folder,
        code=stage_code("pack"),
    output:
        folder=directory("results/pack/{shard}"),
    log:
        "logs/pack/{shard}.log",
    benchmark:
        "benchmarks/pack/{shard}.tsv"
    conda:
        "../envs/imaging.yaml"
    threads: CONFIG.data.workers
    resources:
        mem_mb=lambda wildcards, attempt, threads: 1500 * threads * attempt,
    params:
        settings=settings("pack"),
    script:
        "../workflow_scripts/pack.py"
