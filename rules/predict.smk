# predict: stiffness and its interval for exams no model was trained on.
# reads: pack, cohort, split, train    writes: results/predict/    grain: partition


rule predict:
    input:
        packs=every_shard(*PACKS),
        cohort=rules.cohort.output.cohort,
        splits=rules.split.output.splits,
        models=expand(rules.train.output.model, fold=FOLDS),
        descriptions=expand(rules.train.output.description, fold=FOLDS),
        calibration=calibration_input,
        code=stage_code("predict"),
    output:
        predictions="results/predict/{partition}.csv",
    log:
        "logs/predict/{partition}.log",
    benchmark:
        "benchmarks/predict/{partition}.tsv"
    conda:
        "../envs/learning.yaml"
    resources:
        gpu=int(CONFIG.predict.device == "cuda"),
        mem_mb=lambda wildcards, attempt: 8000 * attempt,
    params:
        settings=settings("predict"),
        target=settings("target"),
    script:
        "../workflow_scripts/predict.py"


use rule predict as predict_variant with:
    input:
        packs=every_shard(*PACKS),
        cohort=rules.cohort.output.cohort,
        splits=rules.split.output.splits,
        models=expand(rules.train_variant.output.model, fold=FOLDS, allow_missing=True),
        descriptions=expand(
            rules.train_variant.output.description, fold=FOLDS, allow_missing=True
        ),
        calibration=calibration_input,
        code=stage_code("predict"),
    output:
        predictions="results/predict/variant-{variant}/{partition}.csv",
    log:
        "logs/predict/variant-{variant}/{partition}.log",
    benchmark:
        "benchmarks/predict/variant-{variant}/{partition}.tsv"


rule predict_explain:
    input:
        packs=every_shard(*PACKS),
        cohort=rules.cohort.output.cohort,
        splits=rules.split.output.splits,
        models=expand(rules.train.output.model, fold=FOLDS),
        descriptions=expand(rules.train.output.description, fold=FOLDS),
        code=stage_code("predict"),
    output:
        folder=directory("results/predict/explained"),
    log:
        "logs/predict/explain.log",
    benchmark:
        "benchmarks/predict/explain.tsv"
    conda:
        "../envs/learning.yaml"
    resources:
        gpu=int(CONFIG.predict.device == "cuda"),
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
    params:
        settings=settings("predict"),
    script:
        "../workflow_scripts/predict_explain.py"


SHOWN = CONFIG.predict.gallery > 0 and "images" in CONFIG.train.inputs
EXPLAINED = [rules.predict_explain.output.folder] if SHOWN else []


rule predict_baselines:
    input:
        packs=every_shard(*PACKS),
        cohort=rules.cohort.output.cohort,
        splits=rules.split.output.splits,
        variants=expand(
            rules.predict_variant.output.predictions,
            variant=CONFIG.train.variants,
            partition=PARTITIONS,
        ),
        code=stage_code("predict"),
    output:
        baselines="results/predict/baselines.csv",
    log:
        "logs/predict/baselines.log",
    benchmark:
        "benchmarks/predict/baselines.tsv"
    conda:
        "../envs/learning.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
    params:
        settings=settings("train"),
        target=settings("target"),
        partitions=PARTITIONS,
        variants=list(CONFIG.train.variants),
    script:
        "../workflow_scripts/predict_baselines.py"
