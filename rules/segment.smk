# segment: liver and spleen, with a picture of every exam.
# reads: register, labelled atlases    writes: results/segment/{shard}/    grain: shard


rule segment:
    input:
        registered=rules.register.output.folder,
        atlases=atlas_input,
        code=stage_code("segment"),
    output:
        folder=directory("results/segment/{shard}"),
    log:
        "logs/segment/{shard}.log",
    benchmark:
        "benchmarks/segment/{shard}.tsv"
    conda:
        "../envs/imaging.yaml"
    threads: CONFIG.data.workers
    resources:
        mem_mb=lambda wildcards, attempt, threads: 2000 * threads * attempt,
    params:
        settings=settings("segment"),
    script:
        "../workflow_scripts/segment.py"
