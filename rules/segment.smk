# segment: liver and spleen, with a picture of every exam.
# reads: register, labelled volumes    writes: results/segment/{shard}/, results/segment/network/    grain: shard


rule segment_train:
    input:
        atlases=atlas_input,
        code=stage_code("segment"),
    output:
        network=directory("results/segment/network"),
    log:
        "logs/segment/network.log",
    benchmark:
        "benchmarks/segment/network.tsv"
    conda:
        "../envs/imaging.yaml"
    threads: CONFIG.segment.network.threads
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
    params:
        settings=settings("segment"),
        checkpoint="results/segment/.network.checkpoint",
    script:
        "../workflow_scripts/segment_train.py"


rule segment:
    input:
        unpack(segment_sources),
        registered=rules.register.output.folder,
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
