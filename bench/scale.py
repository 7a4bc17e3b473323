"""How long Snakemake takes to plan a study, and in how much memory: dry runs over catalogs of made exams.

The catalog is there already, since shards are known only after it: two sites, no image, the files the rules look for.
Rival: none; the goals are 5 s at 3,680 exams, 90 s and 1,500 MB at 100,000, and a time that grows no faster than
the exams. The last line is JSON.

    .venv/bin/python bench/scale.py [--quick] [--exams 3680 36800 100000] [--shard-size 32]
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

from liverstiff.check import load_config
from liverstiff.records import CHANNELS

ROOT = Path(__file__).resolve().parent.parent
EXAMS = (3_680, 36_800, 100_000)
SITES = {"alba": "development", "delta": "external"}
GOALS = {3_680: {"seconds": 5.0}, 100_000: {"seconds": 90.0, "peak_mb": 1_500.0}}
"""Upper limits by number of exams."""


def make_study(folder: Path, exams: int, shard_size: int) -> None:
    """A folder in which the stage catalog is done: config.yaml, one empty DICOM file a site, tables, shards."""
    catalog = folder / "results" / "catalog"
    sites = {}
    for site, role in SITES.items():
        (folder / site).mkdir(parents=True)
        (folder / site / "image.dcm").write_bytes(bytes(128) + b"DICM")
        (folder / f"{site}.csv").write_text("patient,date,age\n")
        record = {"table": f"{site}.csv", "patient": "patient", "date": "date", "columns": {"age": {"column": "age"}}}
        sites[site] = {"role": role, "dicom": site, "record": record}
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    config["data"] |= {"sites": sites, "shard_size": shard_size}
    config["simulate"]["sites"] = {}
    load_config(config)
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))

    shards = [f"shard-{at // shard_size:04d}" for at in range(exams)]
    tables = catalog / "private" / "shards"
    tables.mkdir(parents=True)
    for site in SITES:
        (catalog / "private" / "sites" / site).mkdir(parents=True)
        for kind in ("", ".skipped", ".overridden"):
            write(catalog / "sites" / f"{site}{kind}.csv")
    for shard in sorted(set(shards)):
        write(tables / f"{shard}.csv")
        write(tables / f"{shard}.status.csv")
    for name in ("series", "skipped", "overridden", "scans"):
        write(catalog / f"{name}.csv")
    write(catalog / "private" / "linkage.csv")
    rows = [(f"e{at:012x}", shard) for at, shard in enumerate(shards)]
    write(catalog / "exams.csv", ["exam", "shard", *CHANNELS], rows)
    write(catalog / "shards.csv", ["exam", "shard"], rows)


def write(path: Path, header: list[str] | None = None, rows: list[tuple[str, str]] | None = None) -> None:
    """A CSV table."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header or ["exam"], *(rows or [])])


def dry_run(folder: Path) -> dict[str, float]:
    """Seconds, of them of a processor, peak resident memory, jobs of a ``snakemake --dry-run``, printing included."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder)]
    command += ["--cores", "2", "--dry-run", "--quiet", "rules"]
    out = folder / "planned.txt"
    begun = time.perf_counter()
    with out.open("w") as file:
        process = subprocess.Popen(command, cwd=folder, stdout=file, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - begun
    process.returncode = os.waitstatus_to_exitcode(status)
    text = out.read_text()
    planned = re.findall(r"^total\s+(\d+)$", text, re.MULTILINE)
    if process.returncode or not planned:
        sys.exit(f"snakemake --dry-run failed:\n{text[-2000:]}")
    by_rule = dict(re.findall(r"^(\w+)\s+(\d+)$", text, re.MULTILINE))
    if "catalog" in by_rule:
        sys.exit(f"the made catalog was not taken for finished, so nothing behind it was planned:\n{text[-2000:]}")
    cpu_s = round(used.ru_utime + used.ru_stime, 1)
    return {
        "seconds": round(seconds, 1),
        "cpu_s": cpu_s,
        "peak_mb": round(used.ru_maxrss / 1024),
        "jobs": int(planned[-1]),
    }


def verdicts(exams: int, found: dict[str, float]) -> list[str]:
    """Each goal for this number of exams, met or not."""
    return [
        f"{name} {found[name]:g} of at most {most:g}: {'met' if found[name] <= most else 'NOT MET'}"
        for name, most in GOALS.get(exams, {}).items()
    ]


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--exams", type=int, nargs="+", default=EXAMS)
    parser.add_argument("--shard-size", type=int, default=32)
    parser.add_argument("--quick", action="store_true", help="3,680 exams alone")
    given = parser.parse_args()
    found = {}
    for exams in EXAMS[:1] if given.quick else given.exams:
        with tempfile.TemporaryDirectory(prefix="scale-") as folder:
            make_study(Path(folder), exams, given.shard_size)
            found[exams] = dry_run(Path(folder))
        print(f"{exams:>8,} exams: {found[exams]}", *verdicts(exams, found[exams]), sep="  ", flush=True)
    least, most = min(found), max(found)
    growth = found[most]["seconds"] / found[least]["seconds"] / (most / least)
    linear = {"time_growth_per_exam": round(growth, 2)} if most > least else {}
    met = all("NOT MET" not in one for exams in found for one in verdicts(exams, found[exams]))
    print(json.dumps({"dryrun": found, "shard_size": given.shard_size, "goals_met": met, **linear}))


if __name__ == "__main__":
    main()
