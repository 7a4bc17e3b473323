# elastography: the reference: stiffness (kPa) from the elastogram inside the liver, or why not.
# reads: the MRE series of catalog, segment    writes: results/elastography/{shard}/    grain: shard


rule elastography:
    input:
        shard=shard_files,
        registered=rules.register.output.folder,
        segmented=rules.segment.output.folder,
        code=stage_code("elastography"),
    output:
        folder=directory("results/elastography/{shard}"),
    log:
        "logs/elastography/{shard}.log",
    benchmark:
        "benchmarks/elastography/{shard}.tsv"
    conda:
        "../envs/imaging.yaml"
    threads: CONFIG.data.workers
    resources:
        mem_mb=lambda wildcards, attempt, threads: 1500 * threads * attempt,
    params:
        settings=settings("elastography"),
    script:
        "../workflow_scripts/elastography.py"
