"""What the workflow costs beside its stages, and what a second core brings.

    python bench/workflow.py            # the default cohort
    python bench/workflow.py --quick    # 22 exams; 14 minutes on two cores

Overhead is (wall time x cores) / (sum of the seconds of all jobs, by their benchmark files; each takes one core). It
includes a core that waits because only one job can run. Then the exam-level stages, convert to pack, are done again on
one core and on two. The last line is one JSON object.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
import yaml
from few_exams import few_exams

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests" / "workflow")]

from tiny_cohort import copy_checkout, give_key  # noqa: E402

EXAM_LEVEL = ("convert", "harmonize", "register", "segment", "elastography", "pack")


def run(folder: Path, cores: int, *arguments: str) -> float:
    """Seconds of wall time of Snakemake."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "snakemake", "--cores", str(cores), "--quiet", "all", *arguments]
    subprocess.run(command, cwd=folder, check=True)
    return time.perf_counter() - start


def costs(folder: Path) -> pd.DataFrame:
    """A row for every job: stage and seconds, from its benchmark file."""
    files = sorted((folder / "benchmarks").rglob("*.tsv"))
    names = ["segment_train" if file.stem == "network" else file.parent.name for file in files]
    return pd.DataFrame({"stage": names, "s": [pd.read_csv(file, sep="\t").s.sum() for file in files]})


def main() -> None:
    """Run all, then the exam-level stages twice, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    with tempfile.TemporaryDirectory() as scratch:
        folder = copy_checkout(ROOT, Path(scratch) / "checkout").folder
        config = yaml.safe_load((folder / "config.yaml").read_text())
        if quick:
            few_exams(config)
        (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
        give_key(folder / config["data"]["private"])
        wall = run(folder, 2)
        jobs = costs(folder)
        computed = float(jobs.s.sum())
        print(jobs.groupby("stage").s.agg(["count", "sum", "max"]).round(1).to_string())
        again = ("--forcerun", "convert", "--until", "elastography", "pack")
        exam_level = {}
        for cores in (1, 2):
            exam_level[cores] = run(folder, cores, *again)
            jobs = costs(folder)
            inside = jobs[jobs.stage.isin(EXAM_LEVEL)].s.sum()
            print(f"convert to pack, {cores} cores: {exam_level[cores]:.1f} s, inside jobs {inside:.1f} s", flush=True)
    print(
        json.dumps(
            {
                "wall_s": round(wall, 1),
                "inside_jobs_s": round(computed, 1),
                "overhead": round(2 * wall / computed, 3),
                "exam_level_1_core_s": round(exam_level[1], 1),
                "exam_level_2_cores_s": round(exam_level[2], 1),
                "speedup_2_cores": round(exam_level[1] / exam_level[2], 2),
            }
        )
    )


if __name__ == "__main__":
    main()
