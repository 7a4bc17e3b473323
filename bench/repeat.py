"""Are two runs with the same key and the same seed the same bytes? Runs the workflow twice and compares every file.

Run: .venv/bin/python bench/repeat.py [--quick] [--cores 2]. --quick: 22 exams instead of the default cohort.
Logs, benchmarks and Snakemake's own records hold times and are left out. The last line is one JSON object.
"""

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml
from few_exams import few_exams

ROOT = Path(__file__).resolve().parent.parent
PARTS = ("Snakefile", "rules", "envs", "profiles", "workflow_scripts", "src", "docs")


def run(folder: Path, config: dict, cores: int) -> dict[str, str]:
    """Hash by path of everything a run writes."""
    for part in PARTS:
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        copy(ROOT / part, folder / part)
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    (folder / "private").mkdir(mode=0o700)
    (folder / "private/pseudonym.key").write_bytes(bytes(range(32)))
    command = [sys.executable, "-m", "snakemake", "--cores", str(cores), "--quiet", "all"]
    subprocess.run(command, cwd=folder, check=True)
    files = [path for top in ("results", "reports") for path in sorted((folder / top).rglob("*")) if path.is_file()]
    kept = [path for path in files if path.name != ".snakemake_timestamp"]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in kept}


def main() -> None:
    """Run twice in two folders, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--cores", type=int, default=2)
    arguments = parser.parse_args()
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    if arguments.quick:
        few_exams(config)
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        first, second = (run(Path(folder), config, arguments.cores) for folder in (one, two))
    different = sorted(path for path in first.keys() | second.keys() if first.get(path) != second.get(path))
    print(*different[:20], sep="\n")
    print(json.dumps({"files": len(first), "different": len(different)}))


if __name__ == "__main__":
    main()
