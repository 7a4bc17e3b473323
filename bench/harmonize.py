"""Harmonisation measured on simulated exams: vendor probe, ADC, bias field, time and memory.

Run: .venv/bin/python bench/harmonize.py [--quick]. The last line is one JSON object.

- Vendor probe: exams of the sites of config.yaml, and of three vendors at both field strengths, where the vendor is no
  proxy for the field. Anatomy differs between exams, tissue differs truly between 1.5 and 3 T. The share of the excess
  over chance that is left in T1w, T2w and DWI after harmonisation should be at most 0.5; ADC, which harmonisation must
  not touch, is told apart, and once added on both sides. The same patients all on one vendor's scanners
  tell how much of it are true differences of patients and field.
- ADC: median of the liver over the drawn truth, per scanner and b-set; within 3 %.
- Bias field: the error left of a known coil field inside the body, ours and N4 at ANTs' defaults on the full image;
  and the time of both.
- CPU seconds and peak memory of one exam, each in a process of its own: T1w, T2w and 4 b-values.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from liverstiff import images
from liverstiff.config import HarmonizeConfig, PackConfig
from liverstiff.harmonize import harmonize_exam
from liverstiff.harmonize.diffusion import average_repeats, b_values_for_adc, fit_adc, noise_sigma
from liverstiff.harmonize.features import PERCENTILES
from liverstiff.harmonize.probe import evaluate_probe, feature_columns, name_vendors
from liverstiff.intensity import bias_field, body_mask
from liverstiff.pack import pack_exam
from liverstiff.records import Exam
from liverstiff.simulate import anatomy, dialects, scan, signal
from liverstiff.simulate.population import DEVELOPMENT_SITES, SiteModel
from liverstiff.simulate.site import generator, one_patient

ROOT = Path(__file__).resolve().parent.parent
EXAM = Exam("e1", "p1", "bench")
OTHER_B_SETS = ((0, 0, 400, 400, 800), (0, 50, 500, 1000), (50, 800), (0, 100, 200, 400, 600, 800), (0, 800))


def default_sites() -> dict[str, tuple[str, float, int]]:
    """Dialect, field strength and number of exams of the sites of config.yaml."""
    sites = yaml.safe_load((ROOT / "config.yaml").read_text())["simulate"]["sites"]
    return {name: (site["dialect"], site["field_t"], site["exams"]) for name, site in sites.items()}


def balanced_sites(exams: int) -> dict[str, tuple[str, float, int]]:
    """Every vendor at both field strengths."""
    return {f"{v}{f:g}": (v, f, exams) for v in ("ge", "siemens", "philips") for f in (1.5, 3.0)}


def acquire(site: str, dialect: dialects.Dialect, field_t: float, number: int, protocol: scan.Protocol):
    """A patient's anatomy, truth and images."""
    vendor = dialects.VENDORS[dialect]
    known = (m for m in DEVELOPMENT_SITES if (m.vendor, m.field_t) == (vendor, field_t))
    rng = generator(1, site, "bench", number)
    patient = one_patient(next(known, SiteModel(site, vendor, field_t, 0.0, 0.0, 0.0)), rng)
    body = anatomy.build(patient, rng)
    breath = scan.Breath.draw(rng)
    return body, patient, breath, scan.acquire(body, patient, protocol, breath, rng)


def write_converted(exam: Exam, folder: Path, scanned: scan.Scan, b_values: tuple[float, ...], top: int) -> None:
    """The exam as the stage ``convert`` leaves it, in stored integers."""

    def stored(image: np.ndarray) -> np.ndarray:
        return np.rint(np.minimum(image, top)).astype(np.int16)

    images.save(exam.path(folder, "T1w", datatype="anat"), stored(scanned.t1w), scan.T1W_GRID.affine)
    images.save(exam.path(folder, "T2w", datatype="anat"), stored(scanned.t2w), scan.T2W_GRID.affine)
    volumes = np.moveaxis(stored(scanned.dwi), 0, -1)
    images.save(exam.path(folder, "dwi", datatype="dwi"), volumes, scan.DWI_GRID.affine)
    exam.path(folder, "dwi", ".bval", "dwi").write_text(" ".join(f"{b:g}" for b in b_values))


def probe(
    sites: dict[str, tuple[str, float, int]], times: int, settings: HarmonizeConfig, scanner_of_all: str = ""
) -> dict[str, object]:
    """The vendor probe on the exams of some sites, ``times`` as many as they have.

    With ``scanner_of_all`` every site has the scanners of one dialect, at its own field strength and with its own
    patients: what then names the "vendor" are true differences of patients and field.
    """
    rows = []
    with tempfile.TemporaryDirectory() as work:
        for site, (dialect, field_t, exams) in sites.items():
            scanner = dialects.Scanner(scanner_of_all or dialect, field_t)
            for number in range(exams * times):
                exam = Exam(f"e{site.replace('.', '')}{number}", f"p{site.replace('.', '')}{number}", site)
                *_, scanned = acquire(site, dialect, field_t, number, scanner.protocol)
                write_converted(exam, Path(work), scanned, scanner.protocol.b_values, scanner.top)
                measures = harmonize_exam(exam, Path(work), converted=Path(work), settings=settings)
                rows.append(
                    {"exam": exam.exam, "patient": exam.patient, "vendor": dialects.VENDORS[dialect], **measures}
                )
    table = pd.DataFrame(rows)
    result, named = evaluate_probe(table)
    used = {s: float((table[f"{s}_reference"] == settings.reference).mean()) for s in ("t1w", "t2w", "dwi")}
    kind = f"all on {scanner_of_all} scanners, " if scanner_of_all else ""
    print(f"probe, {len(table)} exams, {kind}reference {settings.reference}, found in {used}")
    print(result.drop(columns="note").to_string(index=False), named.to_string(index=False), sep="\n")
    for left_out in ("snr", "dwi_", "t1w_", "t2w_"):
        gone = [name for name in table if left_out in name and ("_before_" in name or "_after_" in name)]
        without, _ = evaluate_probe(table.drop(columns=gone))
        print(f"  without {left_out.strip('_')}: {without.accuracy.round(3).tolist()}")
    before, after, adc, both_after = result.accuracy
    told = {"before": before, "after": after, "adc": adc, "chance": result.chance[0]}
    return told | {"excess_ratio": result.excess_ratio[1]} | _with_adc(table, both_after, result.chance[0])


def _with_adc(table: pd.DataFrame, after: float, chance: float) -> dict[str, float]:
    """Accuracies when ADC is added on both sides: the plain one of two b-values before, the fitted one after."""
    features = feature_columns(table, "before") + [f"adc_before_p{p}" for p in PERCENTILES]
    before = float((name_vendors(table, features) == table.vendor).mean())
    ratio = (after - chance) / (before - chance)
    print(f"  with ADC on both sides: before {before:.3f}, after {after:.3f}, excess left {ratio:.3f}")
    return {"before_with_adc": before, "after_with_adc": after, "excess_ratio_with_adc": ratio}


def adc_bias(exams: int) -> dict[str, float]:
    """Median over exams of liver ADC over truth, less 1, by scanner and b-set."""
    found = {}
    settings = [(f"{v} {f:g} T", d, f, None) for (d, v) in dialects.VENDORS.items() for f in (1.5, 3.0) if "-" not in d]
    settings += [("GE 3 T", "ge", 3.0, b) for b in OTHER_B_SETS]
    for name, dialect, field_t, b_set in settings:
        protocol = dialects.PROTOCOLS[dialects.VENDORS[dialect], field_t]
        protocol = scan.Protocol(**{**vars(protocol), "b_values": b_set or protocol.b_values})
        ratios = [_liver_adc_ratio(dialect, field_t, number, protocol) for number in range(exams)]
        key = f"{name} " + "/".join(f"{b:g}" for b in protocol.b_values)
        found[key] = float(np.median(ratios)) - 1
        print(f"ADC {key}: {100 * found[key]:+.2f} %")
    return found


def _liver_adc_ratio(dialect: dialects.Dialect, field_t: float, number: int, protocol: scan.Protocol) -> float:
    body, patient, breath, scanned = acquire("adc", dialect, field_t, number, protocol)
    signals, b, repeats = average_repeats(scanned.dwi, np.array(protocol.b_values, float))
    mask = body_mask(signals[0], scan.DWI_GRID.affine)
    used = b_values_for_adc(b, HarmonizeConfig().adc_min_b)
    adc, _ = fit_adc(signals[used], b[used], noise_sigma(scanned.dwi[-1], mask), repeats[used])
    return float(np.median(adc[signal.mask(body, "liver", scan.DWI_GRID, breath.dwi)]) / (1e-3 * patient["adc"]))


def bias_accuracy(exams: int) -> dict[str, float]:
    """Error left of a known coil field in the body (SD of the log ratio), without correction, ours, ANTs' defaults."""
    import ants

    rows = []
    for number in range(exams):
        body, patient, _, _ = acquire("coil", "siemens", 3.0, number, dialects.PROTOCOLS["Siemens", 3.0])
        rng = np.random.default_rng(number)
        protocol, grid = dialects.PROTOCOLS["Siemens", 3.0], scan.T1W_GRID
        values = scan._t1_values(signal.tissues(patient), protocol, False)
        image = signal.render(body, values, grid, 0.0)
        field = signal.coil_field(grid.shape, protocol.coil, rng)
        shaded = (4000 * signal.rician(image * field, 0.0025, rng)).astype(np.float32)
        mask = body_mask(shaded, grid.affine)
        started = time.process_time()
        ours = bias_field(shaded, grid.affine, mask, HarmonizeConfig().bias_spacing_mm)
        middle = time.process_time()
        whole = ants.n4_bias_field_correction(
            images.to_ants(shaded, grid.affine),
            mask=images.to_ants(mask.astype(np.float32), grid.affine),
            return_bias_field=True,
        ).numpy()
        ended = time.process_time()
        left = [float(np.std(np.log(field[mask] / found[mask]))) for found in (np.ones_like(field), ours, whole)]
        rows.append([*left, middle - started, ended - middle])
    uncorrected, ours, defaults, ours_s, defaults_s = np.median(rows, axis=0)
    print(f"coil field left: none {uncorrected:.3f}, ours {ours:.3f}, ANTs' defaults {defaults:.3f} (SD of the log)")
    print(f"N4: ours {ours_s:.2f} s, ANTs' defaults on the full image {defaults_s:.1f} s")
    return {"field_left": ours, "field_left_ants": defaults, "field_uncorrected": uncorrected, "n4_s": ours_s} | {
        "n4_speedup": defaults_s / ours_s
    }


def measure_one(stage: str, xy: int, slices: int) -> None:
    """Child process: harmonise or pack one exam of this size, print CPU seconds and peak memory in MB."""
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        subprocess.run([sys.executable, __file__, "--write", stage, work, str(xy), str(slices)], check=True)
        (folder / "out" / EXAM.folder).mkdir(parents=True)
        before = time.process_time()
        if stage == "harmonize":
            harmonize_exam(EXAM, folder / "out", converted=folder, settings=HarmonizeConfig())
        else:
            pack_exam(EXAM, folder / "out", registered=folder, segmented=folder, settings=PackConfig())
        seconds = time.process_time() - before
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"cpu_s": seconds, "peak_mb": peak}))


def write_large(stage: str, folder: Path, xy: int, slices: int) -> None:
    """One exam of xy x xy x slices voxels as ``convert``, or as ``register`` and ``segment`` leave it."""
    grid = signal.Grid((xy, xy, slices), (380 / xy, 380 / xy, 192 / slices))
    scan.T1W_GRID = scan.T2W_GRID = scan.DWI_GRID = grid
    body, _, _, scanned = acquire("large", "ge", 1.5, 0, scanner := dialects.PROTOCOLS["GE", 1.5])
    if stage == "harmonize":
        write_converted(EXAM, folder, scanned, scanner.b_values, 32767)
        return
    for channel, image in zip(("T1w", "T2w", "DWI", "ADC"), (scanned.t1w, scanned.t2w, *scanned.dwi[1:3]), strict=True):
        images.save(EXAM.path(folder, f"space-frame_{channel}"), image, grid.affine)
    images.save(EXAM.path(folder, "space-frame_mask"), signal.mask(body, "liver", grid).astype(np.uint8), grid.affine)


def in_child(stage: str, xy: int, slices: int) -> dict[str, float]:
    """:func:`measure_one` in a process of its own."""
    command = [sys.executable, __file__, "--measure", stage, str(xy), str(slices)]
    told = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
    print(f"{stage} {xy}x{xy}x{slices}: {told['cpu_s']:.2f} CPU s, peak {told['peak_mb']:.0f} MB")
    return told


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--quick", action="store_true", help="fewer exams, not all on one scanner, no image of 512 x 512 x 80"
    )
    parser.add_argument("--reference", choices=("body", "muscle"), default="body")
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--write", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        stage, xy, slices = arguments.measure
        measure_one(stage, int(xy), int(slices))
        return
    if arguments.write:
        stage, folder, xy, slices = arguments.write
        write_large(stage, Path(folder), int(xy), int(slices))
        return
    settings = HarmonizeConfig(reference=arguments.reference)
    times = 1 if arguments.quick else 2
    result: dict[str, object] = {"reference": arguments.reference}
    result["probe"] = probe(default_sites(), times, settings)
    if not arguments.quick:
        result["probe_one_scanner"] = probe(default_sites(), times, settings, "siemens")
    result["probe_balanced"] = probe(balanced_sites(8 if arguments.quick else 20), 1, settings)
    result["adc_bias"] = adc_bias(1 if arguments.quick else 5)
    result |= bias_accuracy(1 if arguments.quick else 4)
    for stage in ("harmonize", "pack"):
        for xy, slices in [(256, 40)] if arguments.quick else [(256, 40), (512, 80)]:
            result |= {f"{stage}_{xy}_{key}": value for key, value in in_child(stage, xy, slices).items()}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
