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
