"""A report of a made study: the tables and pictures that the stages before would hand over."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np
import pandas as pd
from made_study import TABLES, write_inputs

from liverstiff.config import ReportConfig
from liverstiff.evaluate import evaluate_study
from liverstiff.report import write_report

DOT = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
CONFIG = {
    "data": {
        "private": "/srv/keys",
        "temporal_cut": "2024-01-01",
        "sites": {
            "alba": {"role": "development", "dicom": "/srv/Hospital", "record": {"table": "simulate"}},
            "delta": {"role": "external", "dicom": "/srv/Other", "record": {"table": "/srv/record.csv"}},
        },
    },
    "segment": {"methods": ["network"], "atlases": "/srv/atlases"},
}

FACTS = {
    "source": {"commit": "0123456789abcdef0123456789abcdef01234567", "changed": True},
    "tools": {"python": "3.11.9", "system": "Linux 6.1 x86_64", "dcm2niix": "v1.0.20250506", "git": "git version 2"},
    "packages": {"numpy": "2.0.1", "pandas": "2.2.0"},
    "pinned": {"learning": ["torch==2.7.0", "numpy==1.9.9"], "analysis": ["pandas==2.2.0"]},
    "config": {"data": {"sites": {"alba": {"role": "development"}}}, "report": {"title": "(not shown)"}},
    "sha256": {"metrics": "ab" * 32, "models": {"0": "cd" * 32, "1": "ef" * 32}},
}
"""What the stage provenance wrote, as far as the page reads it."""


def evaluated_fully(folder: Path, sizes: dict[str, int] | None = None, **changes: object) -> dict[str, Path]:
    """Write and evaluate a made study with a baseline; every table of the page by name.

    Args:
        folder: to write to.
        sizes: exams per partition.
        changes: columns of the cohort to overwrite; None takes the column away.
    """
    arguments = write_inputs(folder, sizes)
    cohort_path: Path = arguments["cohort"]  # type: ignore[assignment]
    cohort = pd.read_csv(cohort_path)
    for column, value in changes.items():
        cohort = cohort.drop(columns=column) if value is None else cohort.assign(**{column: value})
    cohort.to_csv(cohort_path, index=False)
    splits = pd.read_csv(arguments["splits"])  # type: ignore[call-overload]
    baseline = splits[splits.partition != "excluded"][["exam", "partition", "fold"]].assign(baseline="FIB-4 alone")
    near = cohort.set_index("exam").reference.reindex(baseline.exam).to_numpy()
    baseline["estimate"] = 2.5 + 0.2 * near + np.random.default_rng(3).normal(0, 0.7, len(near))
    baseline.to_csv(folder / "baselines.csv", index=False)
    evaluate_study(**arguments, baselines=folder / "baselines.csv")  # type: ignore[arg-type]
    tables: dict[str, Path] = arguments["tables"]  # type: ignore[assignment]
    given = {name: tables[name] for name in TABLES}
    exclusions: Path = arguments["exclusions"]  # type: ignore[assignment]
    return {**given, "exclusions": exclusions, **_of_other_stages(folder, cohort, pd.read_csv(exclusions))}


def _of_other_stages(folder: Path, cohort: pd.DataFrame, excluded: pd.DataFrame) -> dict[str, Path]:
    """The tables of catalog, harmonize, cohort and provenance."""
    texts = {
        "scans": "site,vendor,model,field_t,sequence,variant,exams\n"
        "alba,GE,Optima MR450w,1.5,T1w,fat-sat,3\nalba,GE,Optima MR450w,1.5,T1w,water,5\n"
        "alba,GE,Optima MR450w,1.5,T2w,TSE fat-sat,7\nalba,GE,Optima MR450w,1.5,T2w,absent,1\n"
        "alba,GE,Optima MR450w,1.5,DWI,trace,8\nbrook,other,,,T1w,,2\nbrook,other,,,T2w,,2\nbrook,other,,,DWI,,2\n",
        "probe": "when,exams,patients,vendors,accuracy,chance,excess,excess_ratio,note\n"
        "before,60,54,3,0.9,0.46,0.44,,\nafter,60,54,3,0.65,0.46,0.19,0.432,\n",
        "conflicts": "site,patient,exam,what,detail\nalba,p00,e00,two_values,ALT\nalba,p01,e01,two_values,AST\n",
        "cost": "stage,jobs,wall_hours,core_hours,cpu_hours,max_rss_mb\n"
        "convert,2,0.0011,0.0011,0.0,\ntrain,3,12.5,100.25,90.0,7001\ntotal,5,12.5011,100.2511,90.0,7001\n",
        "scanners": "site,vendor,model,field_t,exams\nalba,GE,Optima MR450w,1.5,8\n",
    }
    paths = {name: folder / f"{name}.csv" for name in (*texts, "by_site", "missingness", "agreements")}
    for name, text in texts.items():
        paths[name].write_text(text)
    counts = pd.concat([cohort.site, excluded.site]).value_counts().sort_index()
    by_site = pd.DataFrame({"site": counts.index, "step": "catalogued", "exams": counts.to_numpy()})
    by_site.to_csv(paths["by_site"], index=False)
    shares = cohort[["age", "bmi"]].isna().groupby(cohort.site).mean().reset_index().melt("site", value_name="share")
    shares = shares.assign(exams=shares.site.map(cohort.site.value_counts())).rename(columns={"variable": "variable"})
    shares.assign(missing=(shares.share * shares.exams).round()).to_csv(paths["missingness"], index=False)
    both = cohort.head(20)
    pairs = pd.DataFrame({"exam": both.exam, "elastogram": both.reference, "reported": both.reference * 1.03})
    pairs.to_csv(paths["agreements"], index=False)
    return paths


def write_page(
    folder: Path,
    tables: dict[str, Path],
    below: int = 100,
    gallery: int = 4,
    picture: bytes = DOT,
    formats: tuple[str, ...] = (),
    **config: object,
) -> str:
    """Write the report of these tables, with pictures of six exams, and return the page.

    Args:
        folder: to write to.
        tables: by name.
        below: estimates from fewer exams are a demonstration.
        gallery: pictures shown.
        picture: PNG that stands for every picture.
        formats: of the figures.
        config: sections of the configuration to replace.
    """
    analysed = pd.read_csv(tables["analysed"])
    kinds = {"overlay": "segment", "checkerboard": "register", "elastogram": "elastography"}
    for row in analysed.head(6).itertuples():
        for kind, stage in kinds.items():
            exam = folder / stage / f"sub-{row.patient}" / f"ses-{row.exam}"
            exam.mkdir(parents=True, exist_ok=True)
            (exam / f"sub-{row.patient}_ses-{row.exam}_desc-{kind}.png").write_bytes(picture)
    exams = analysed.exam.head(6)
    measured = pd.DataFrame({"exam": exams, "quality": 0.934, "method": "network", "frame": "T1w"})
    stiffness = {"area_mm2": 3200.0 + 10 * np.arange(len(exams)), "slices": 4, "slice_cv": 0.05, "frequency_hz": 60.0}
    for stage in kinds.values():
        (folder / stage).mkdir(exist_ok=True)
        measured.to_csv(folder / stage / "measures.csv", index=False)
    pd.DataFrame({"exam": exams, **stiffness}).to_csv(folder / "elastography" / "stiffness.csv", index=False)
    explained = [write_explained(folder / "explained", analysed, picture)] if len(analysed) else []
    history = pd.DataFrame({"epoch": [1, 2], "train_loss": [1.0, 0.5], "validation_loss": [1.1, 0.9]})
    history.to_csv(folder / "history.csv", index=False)
    (folder / "provenance.json").write_text(json.dumps(FACTS))
    write_report(
        tables=tables,
        shards={kind: [folder / stage] for kind, stage in kinds.items()} | {"explained": explained},
        histories=[folder / "history.csv"],
        config=CONFIG | {"evaluate": {"demonstration_below": below}} | config,
        report=folder / "report.html",
        card=folder / "model_card.md",
        figures=folder / "figures",
        provenance=folder / "provenance.json",
        settings=ReportConfig(title="Stiffness & <images>", gallery=gallery, furthest=4, formats=formats),
    )
    return (folder / "report.html").read_text()


def write_explained(folder: Path, analysed: pd.DataFrame, picture: bytes = DOT) -> Path:
    """The folder of occlusion of three exams, the last of which does not respond, and of one that is not analysed."""
    folder.mkdir(exist_ok=True)
    rows = analysed.head(3)
    table = pd.DataFrame({"exam": rows.exam, "partition": rows.partition, "liver": 0.12, "elsewhere": 0.0123})
    table["share"] = [0.714, 0.5, np.nan][: len(table)]
    other = pd.DataFrame({"exam": ["ec" + "0" * 11], "partition": "temporal", "liver": 1.0, "elsewhere": 0, "share": 1})
    pd.concat([table, other]).to_csv(folder / "explained.csv", index=False)
    for exam in table.exam:
        (folder / f"{exam}.png").write_bytes(picture)
    return folder
