# train: one model per fold, with everything that is fitted in that fold.
# reads: pack, cohort, split    writes: results/train/fold-{fold}/    grain: fold
# The checkpoint lies beside the declared outputs, which Snakemake deletes before a rerun.

PACKS = [rules.pack] if "images" in CONFIG.train.inputs else []

rule train:
    input:
        packs=every_shard(*PACKS),
        cohort=rules.cohort.output.cohort,
        splits=rules.split.output.splits,
        code=stage_code("train"),
    output:
        model="results/train/fold-{fold}/model.safetensors",
        description="results/train/fold-{fold}/model.json",
        history="results/train/fold-{fold}/history.csv",
    log:
        "logs/train/fold-{fold}.log",
    benchmark:
        "benchmarks/train/fold-{fold}.tsv"
    conda:
        "../envs/learning.yaml"
    threads: CONFIG.train.threads
    resources:
        gpu=int(CONFIG.train.device == "cuda"),
        mem_mb=lambda wildcards, attempt: 8000 * attempt,
    params:
        settings=settings("train"),
        target=settings("target"),
        checkpoint="results/train/.fold-{fold}.checkpoint",
    script:
        "../workflow_scripts/train.py"
