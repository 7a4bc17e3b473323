"""Time and peak memory of the newcomer's first command: a fresh clone, no .venv, `make demo`, then `make demo` again.

Run: .venv/bin/python bench/demo.py [--cores 2]. Bounds: 10 minutes, 6 GB, 10 s for the second call.
Memory is the largest sum of proportional set sizes over all processes of the run, sampled every half second.
The last line is one JSON object.
"""

import argparse
import json
import os
import subprocess
import tempfile
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent


def memory_mb(process: psutil.Process) -> float:
    """Memory in MB of a process and all below it; shared pages are counted once."""
    total = 0.0
    for one in [process, *process.children(recursive=True)]:
        try:
            total += one.memory_full_info().pss
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return total / 1e6


def timed(command: list[str], folder: Path, log: Path) -> tuple[float, float, int]:
    """Seconds, peak MB and exit code of a command; its output goes to ``log``."""
    environment = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTHONPATH")}
    start, peak = time.monotonic(), 0.0
    with (
        log.open("w") as out,
        subprocess.Popen(command, cwd=folder, stdout=out, stderr=subprocess.STDOUT, env=environment) as running,
    ):
        process = psutil.Process(running.pid)
        while running.poll() is None:
            peak = max(peak, memory_mb(process))
            time.sleep(0.5)
    return time.monotonic() - start, peak, running.returncode


def main() -> None:
    """Clone, run twice, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="accepted for uniformity; this bench has one size")
    cores = parser.parse_args().cores
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "liverstiff"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        first = timed(["make", "demo", f"CORES={cores}"], clone, Path(folder) / "first.log")
        print("".join((Path(folder) / "first.log").read_text().splitlines(keepends=True)[-12:]))
        second = timed(["make", "demo", f"CORES={cores}"], clone, Path(folder) / "second.log")
        print((Path(folder) / "second.log").read_text())
        report = clone / "reports" / "report.html"
        figures = {
            "cores": cores,
            "demo_s": round(first[0], 1),
            "demo_peak_mb": round(first[1]),
            "demo_exit": first[2],
            "report_kb": round(report.stat().st_size / 1e3) if report.exists() else None,
            "again_s": round(second[0], 1),
            "again_exit": second[2],
        }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
