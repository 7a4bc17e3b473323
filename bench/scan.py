"""Header scan of the stage `catalog`: against plain pydicom, a rescan, kinds on 1,000 exams, memory at a million files.

Run: .venv/bin/python bench/scan.py [--quick]. --quick takes 100 exams for the kinds and 100,000 files for the memory.
Speeds are medians of alternating runs on one core over the same files, all in the page cache. The million files are
links to some 4,000; as links share their images, the same is done with files that all differ: a fifth as many, or as
many as --distinct says (a million take 4 GB of disk and six minutes more).
The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
import tempfile
import time
import warnings
from pathlib import Path

from demo import timed
from pydicom import dcmread

ROOT = Path(__file__).resolve().parent.parent
REAL = ROOT.parent / "shared" / "data"
sys.path.insert(0, str(ROOT / "tests" / "unit"))

CATALOG = """
import sys
from pathlib import Path
from liverstiff.catalog import catalog_site
tree, out = Path(sys.argv[1]), Path(sys.argv[2])
catalog_site(site="bench", tree=tree, key=out / "key/pseudonym.key", private=out / "private", series=out / "series.csv",
             skipped=out / "skipped.csv", overridden=out / "overridden.csv", cache=out / "headers/bench.sqlite",
             overrides=[], workers=2)
"""


def seconds(work) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def read_plain(paths: list[Path]) -> None:
    """What a script with pydicom does; files that are no DICOM are passed over."""
    for path in paths:
        try:
            dcmread(path, stop_before_pixels=True)
        except Exception:
            continue


def scan_speed(tree: Path, scratch: Path, rounds: int = 5) -> dict[str, float]:
    """Files per second by pydicom, by the first scan and by a rescan, on one core; medians of the ratios."""
    from liverstiff.catalog.scan import scan

    paths = [path for path in sorted(tree.rglob("*")) if path.is_file()]
    read_plain(paths)
    rows = []
    for number in range(rounds):
        cache = scratch / str(number) / "headers.sqlite"
        plain = seconds(lambda: read_plain(paths))
        first = seconds(lambda cache=cache: scan(tree, cache))
        rows.append((plain, first, seconds(lambda cache=cache: scan(tree, cache))))
    plain, first, again = (statistics.median(row[column] for row in rows) for column in range(3))
    return {
        "files": len(paths),
        "pydicom_per_s": round(len(paths) / plain),
        "scan_per_s": round(len(paths) / first),
        "rescan_per_s": round(len(paths) / again),
        "scan_speedup_vs_pydicom": round(statistics.median(row[0] / row[1] for row in rows), 2),
        "rescan_speedup": round(statistics.median(row[1] / row[2] for row in rows), 1),
    }


def kinds(exams: int, folder: Path) -> dict[str, float]:
    """Share of the series of simulated exams whose kind is right, over all dialects and clutter."""
    from test_catalog_kinds import judged, run_site, write_small_exams

    write_small_exams(exams=exams, seed=2026, tree=folder / "tree", truth_series=folder / "truth_series.csv")
    run_site(folder / "tree", folder / "out", workers=2)
    found = judged(folder)
    taken = found[found.chosen == "True"]
    return {
        "kind_exams": exams,
        "kind_series": len(found),
        "kinds_right": round(float((found.true == found.kind).mean()), 5),
        "variants_right": round(float(((found.true == found.kind) & (found.true_variant == found.variant)).mean()), 5),
        "post_taken_as_pre": int(((found.true == "T1w_post") & (found.kind == "T1w")).sum()),
        "taken_that_may_not": int((~taken.source).sum()),
    }


def make_tree(folder: Path, source: Path, files: int, links: bool) -> None:
    """``files`` links to the files below ``source``, or as many files that differ in their unique identifiers."""
    paths = [path for path in sorted(source.rglob("*")) if path.is_file()]
    contents = [] if links else [path.read_bytes() for path in paths]
    for number in range(files):
        copy, place = divmod(number, len(paths))
        target = folder / f"{copy:05d}" / f"{place:05d}"
        if place == 0:
            target.parent.mkdir(parents=True)
        if links:
            target.symlink_to(paths[place])
        else:  # every identifier of the simulator is 2.25. and 39 digits
            target.write_bytes(re.sub(rb"(2\.25\.\d{33})\d{6}", rb"\g<1>%06d" % copy, contents[place]))


def memory(files: int, links: bool, source: Path, folder: Path) -> dict[str, float]:
    """Peak memory of all processes and time of the stage over a generated tree, with two workers."""
    make_tree(folder / "tree", source, files, links)
    command = [sys.executable, "-c", CATALOG, str(folder / "tree"), str(folder / "out")]
    took, peak, code = timed(command, folder, folder / "log")
    again, _, _ = timed(command, folder, folder / "log again")
    name = "links" if links else "distinct"
    print((folder / "log").read_text().strip())
    return {f"{name}_files": files, f"{name}_peak_mb": round(peak), f"{name}_s": took, f"{name}_again_s": again,
            f"{name}_exit": code}  # fmt: skip


def main(quick: bool, distinct: int | None = None) -> dict[str, float]:
    """All measurements."""
    from liverstiff.simulate import write_small_exams

    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory(dir=ROOT.parent) as name:
        folder = Path(name)
        write_small_exams(exams=32, seed=1, tree=folder / "small", truth_series=folder / "truth.csv")
        found = scan_speed(folder / "small", folder / "speed")
        if REAL.is_dir():
            for number, one in enumerate(("canon_dwi_classic", "ge_epi", "siemens_xa30_dwi", "uih_dwi")):
                real = scan_speed(REAL / one, folder / f"real{number}")
                found[f"scan_speedup_{one}"] = real["scan_speedup_vs_pydicom"]
        (folder / "kinds").mkdir()
        found |= kinds(100 if quick else 1000, folder / "kinds")
        for links, files in (
            (True, 100_000 if quick else 1_000_000),
            (False, distinct or (20_000 if quick else 200_000)),
        ):
            found |= memory(files, links, folder / "small", folder / f"memory{links}")
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="within five minutes on two cores")
    parser.add_argument("--distinct", type=int, help="files that all differ")
    options = parser.parse_args()
    print(json.dumps(main(options.quick, options.distinct)))
