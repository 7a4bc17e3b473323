# harmonize: bias field, intensity scale, and diffusion images that mean the same at every site.
# reads: convert    writes: results/harmonize/{shard}/    grain: shard
# harmonize_probe: can the vendor be told from the intensities?
# reads: harmonize, catalog    writes: results/harmonize/probe*.csv    grain: study


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
        required=list(CONFIG.catalog.required),
    script:
        "../workflow_scripts/harmonize.py"


rule harmonize_probe:
    input:
        harmonized=every_shard(rules.harmonize),
        exams=rules.catalog.output.exams,
        code=stage_code("harmonize"),
    output:
        probe="results/harmonize/probe.csv",
        confusion="results/harmonize/probe_confusion.csv",
    log:
        "logs/harmonize/probe.log",
    benchmark:
        "benchmarks/harmonize/probe.tsv"
    conda:
        "../envs/imaging.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
    script:
        "../workflow_scripts/harmonize_probe.py"
