"""Snakemake killed with SIGKILL at random moments of a run of the tiny cohort, rerun each time: the same bytes.

    python bench/faults.py --kills 20

One run is left alone; of a second, Snakemake is killed at moments drawn from the length of the first and started
again. Prints, as JSON, the kills, the files compared and those that differ, the jobs that were finished twice, and the
epochs of training that were ended, and ended twice.
"""

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests" / "workflow"), str(ROOT / "tests" / "unit")]

from tiny_cohort import Checkout, copy_checkout, tiny_config  # noqa: E402

TIMES = ("provenance", "evaluate/summary.json", "catalog/private/headers")
"""Below results: files that state when or how long, or when another file was written."""


def digests(checkout: Checkout) -> dict[str, str]:
    """SHA-256 of every file of the results by path."""
    top = checkout.folder / "results"
    files = [path for path in sorted(top.rglob("*")) if path.is_file() and not path.name.startswith(".snakemake")]
    names = {path.relative_to(top).as_posix(): path for path in files}
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in names.items()
        if not name.startswith(TIMES)
    }


def start(checkout: Checkout, *arguments: str) -> subprocess.Popen:
    """Snakemake, its output into ``run.log`` of the checkout."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "NO_ET": "1", "MPLBACKEND": "Agg"}
    command = [sys.executable, "-m", "snakemake", "--cores", "2", *arguments]
    with (checkout.folder / "run.log").open("a") as log:
        return subprocess.Popen(command, cwd=checkout.folder, env=environment, stdout=log, stderr=log)


def finished_jobs(checkout: Checkout) -> list[str]:
    """Rule and wildcards of the jobs that Snakemake called finished, in order."""
    jobs, waiting, rule = [], {}, ""
    for line in (checkout.folder / "run.log").read_text().splitlines():
        words = line.split()
        if line.startswith(("rule ", "localrule ", "checkpoint ", "localcheckpoint ")):
            rule = words[1].rstrip(":")
        elif line.startswith("    jobid:"):
            number = words[1]
            waiting[number] = rule
        elif line.startswith("    wildcards:"):
            waiting[number] += " " + " ".join(words[1:])
        elif line.startswith("Finished jobid:"):
            jobs.append(waiting[words[2]])
    return jobs


class Epochs:
    """Epochs of training that were ended, over all attempts: a job that starts again begins its log anew."""

    def __init__(self, checkout: Checkout) -> None:
        self.checkout, self.read, self.counts = checkout, {}, Counter()

    def count(self) -> None:
        """Take up what has been logged since the last time; a line holds its speed, so none is like that of before."""
        for log in sorted((self.checkout.folder / "logs" / "train").glob("fold-*.log")):
            lines = [line for line in log.read_text().splitlines() if line.startswith("train: epoch ")]
            before = self.read.get(log.name, [])
            new = lines[len(before) :] if lines[: len(before)] == before else lines
            self.counts.update(f"{log.stem} {line.split(',')[0]}" for line in new)
            self.read[log.name] = lines


def main() -> None:
    """Run both and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    rng = random.Random(given.seed)
    with tempfile.TemporaryDirectory() as scratch:
        calm, killed = (copy_checkout(ROOT, Path(scratch) / name) for name in ("calm", "killed"))
        for checkout in (calm, killed):
            tiny_config(checkout)
        begin = time.perf_counter()
        if start(calm).wait():
            sys.exit((calm.folder / "run.log").read_text())
        seconds = time.perf_counter() - begin
        kills, epochs = 0, Epochs(killed)
        while kills < given.kills:
            run = start(killed, "--rerun-incomplete")
            try:
                ended = run.wait(timeout=rng.uniform(4, 4 + 2 * seconds / given.kills))
            except subprocess.TimeoutExpired:
                os.kill(run.pid, signal.SIGKILL)
                run.wait()
                kills += 1
                epochs.count()
                subprocess.run(
                    [sys.executable, "-m", "snakemake", "--unlock"], cwd=killed.folder, capture_output=True, check=True
                )
                continue
            if ended:
                sys.exit((killed.folder / "run.log").read_text())
            break
        if start(killed, "--rerun-incomplete").wait():
            sys.exit((killed.folder / "run.log").read_text())
        expected, found, jobs = digests(calm), digests(killed), finished_jobs(killed)
        epochs.count()
        print(
            json.dumps(
                {
                    "undisturbed_s": round(seconds, 1),
                    "kills": kills,
                    "files": len(expected),
                    "different": sorted(n for n in expected.keys() | found.keys() if expected.get(n) != found.get(n)),
                    "finished_twice": sorted({job for job in jobs if jobs.count(job) > 1}),
                    "epochs": len(epochs.counts),
                    "epochs_twice": sorted(name for name, times in epochs.counts.items() if times > 1),
                }
            )
        )


if __name__ == "__main__":
    main()
