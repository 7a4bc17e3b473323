# convert: the chosen series of every exam as NIfTI with BIDS names.
# reads: catalog    writes: results/convert/{shard}/    grain: shard


rule convert:
    input:
        shard=shard_files,
        status=shard_status,
        code=stage_code("convert"),
    output:
        folder=directory("results/convert/{shard}"),
    log:
        "logs/convert/{shard}.log",
    benchmark:
        "benchmarks/convert/{shard}.tsv"
    conda:
        "../envs/imaging.yaml"
    threads: CONFIG.data.workers
    resources:
        mem_mb=lambda wildcards, attempt, threads: 1500 * threads * attempt,
    params:
        settings=settings("catalog", "convert"),
    script:
        "../workflow_scripts/convert.py"
