# train: one model per fold, with everything that is fitted in that fold.
# reads: pack, cohort, split    writes: results/train/fold-{fold}/    grain: fold
# The checkpoint lies beside the declared outputs, which Snakemake deletes before a rerun.

PACKS = [rules.pack] if CONFIG.train.reads_images else []
VARIANTS = {name: CONFIG.train.variant(name) for name in CONFIG.train.variants}


rule train:
    input:
        packs=every_shard(*PACKS),
        cohort=rules.cohort.output.cohort,
        splits=rules.split.output.splits,
        ledger=rules.split.output.used,
        pretrained=CONFIG.train.pretrained or [],
        code=stage_code("train"),
    output:
        model="results/train/fold-{fold}/model.safetensors",
        description="results/train/fold-{fold}/model.json",
        history="results/train/fold-{fold}/history.csv",
        validation="results/train/fold-{fold}/validation.csv",
    log:
        "logs/train/fold-{fold}.log",
    benchmark:
        "benchmarks/train/fold-{fold}.tsv"
    conda:
        "../envs/learning.yaml"
    threads: CONFIG.train.threads
    resources:
        gpu=int(CONFIG.train.device == "cuda"),
        mem_mb=lambda wildcards, attempt: (
            attempt * int(5000 + 1250 * CONFIG.train.resident_gb)
        ),
    params:
        settings=CONFIG.train.model_dump(mode="json", exclude={"variants"}),
        target=settings("target"),
        checkpoint="results/train/.fold-{fold}.checkpoint",
        tensorboard="logs/train/fold-{fold}.tensorboard",
    script:
        "../workflow_scripts/train.py"


use rule train as train_variant with:
    input:
        packs=every_shard(*PACKS),
        cohort=rules.cohort.output.cohort,
        splits=rules.split.output.splits,
        ledger=rules.split.output.used,
        pretrained=lambda wildcards: VARIANTS[wildcards.variant].pretrained or [],
        code=stage_code("train"),
    output:
        model="results/train/variant-{variant}/fold-{fold}/model.safetensors",
        description="results/train/variant-{variant}/fold-{fold}/model.json",
        history="results/train/variant-{variant}/fold-{fold}/history.csv",
        validation="results/train/variant-{variant}/fold-{fold}/validation.csv",
    log:
        "logs/train/variant-{variant}/fold-{fold}.log",
    benchmark:
        "benchmarks/train/variant-{variant}/fold-{fold}.tsv"
    threads: max([variant.threads for variant in VARIANTS.values()], default=1)
    resources:
        gpu=lambda wildcards: int(VARIANTS[wildcards.variant].device == "cuda"),
        mem_mb=lambda wildcards, attempt: (
            attempt * int(5000 + 1250 * VARIANTS[wildcards.variant].resident_gb)
        ),
    params:
        settings=lambda wildcards: VARIANTS[wildcards.variant].model_dump(mode="json"),
        target=settings("target"),
        checkpoint="results/train/.variant-{variant}.fold-{fold}.checkpoint",
        tensorboard="logs/train/variant-{variant}/fold-{fold}.tensorboard",
