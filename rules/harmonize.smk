# harmonize: bias field, intensity scale, and diffusion images that mean the same at every site.
# reads: convert    writes: results/harmonize/{shard}/    grain: shard


rule harmonize:
    input:
        converted=rules.convert.output.folder,
        code=stage_code("harmonize"),
    output:
        folder=directory("results/harmonize/{shard}"),
    log:
        "logs/harmonize/{shard}.log",
    benchmark:
        "benchmarks/harmonize/{shard}.tsv"
    conda:
        "../envs/imaging.yaml"
    threads: CONFIG.data.workers
    resources:
        mem_mb=lambda wildcards, attempt, threads: 1500 * threads * attempt,
    params:
        settings=settings("harmonize"),
    script:
        "../workflow_scripts/harmonize.py"
