"""Conversion of a shard against one native dcm2niix process per series, on the same cores.

Run: .venv/bin/python bench/convert.py [--quick]. dcm2niix packs by itself at level 1; so does the stage, by another
library. The exams are a T1w (72 slices of 256 x 256), a T2w (32 slices of 256 x 256) and a DWI (4 x 32 slices of
128 x 128) each, from five vendors in turn; one in eight has its DWI in an order that dcm2niix scrambles.
Medians of alternating runs. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dcm2niix
import numpy as np
import pandas as pd
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian
from scipy.ndimage import gaussian_filter

from liverstiff.config import ConvertConfig
from liverstiff.convert import convert_shard
from liverstiff.records import Exam, ExamStatus, write_status

MR = "1.2.840.10008.5.1.4.1.1.4"
SERIES = {"T1w": (256, 72, (None,)), "T2w": (256, 32, (None,)), "DWI": (128, 32, (0.0, 50.0, 400.0, 800.0))}
"""Size of the matrix, slices, b-values."""
MAKERS = ("SIEMENS", "GE MEDICAL SYSTEMS", "UIH", "Philips Medical Systems", "CANON_MEC")


def dataset(maker: str, size: int, series: str) -> Dataset:
    """A header without position or pixels."""
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = MR
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    values = {"Manufacturer": maker, "Modality": "MR", "StudyInstanceUID": "1.2.3", "SeriesInstanceUID": series}
    values |= {"SeriesNumber": 1, "PatientID": "P", "StudyDate": "20240102", "StudyTime": "100000"}
    values |= {"AcquisitionTime": "100100", "ImageType": ["ORIGINAL", "PRIMARY", "M"], "ScanningSequence": "GR"}
    values |= {"EchoTime": 2.0, "RepetitionTime": 5.0, "FlipAngle": 10, "MRAcquisitionType": "2D"}
    values |= {"SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2", "Rows": size, "Columns": size}
    values |= {"BitsAllocated": 16, "BitsStored": 16, "HighBit": 15, "PixelRepresentation": 0}
    values |= {"PixelSpacing": [380 / size] * 2, "SliceThickness": 5.0, "ImageOrientationPatient": [1, 0, 0, 0, 1, 0]}
    for keyword, value in values.items():
        setattr(data, keyword, value)
    return data


def state_b_value(data: Dataset, maker: str, b: float) -> None:
    """The b-value as the vendor writes it."""
    if maker.startswith("GE"):
        data.private_block(0x0019, "GEMS_ACQU_01", create=True).add_new(0xE0, "DS", "0")
        data.private_block(0x0043, "GEMS_PARM_01", create=True).add_new(0x39, "IS", [int(b), 8, 0, 0])
    elif maker == "SIEMENS":
        data.private_block(0x0019, "SIEMENS MR HEADER", create=True).add_new(0x0C, "IS", int(b))
    else:
        data.DiffusionBValue = b


def volume(size: int, slices: int, rng: np.random.Generator) -> np.ndarray:
    """A body with structure and noise in air (slice, row, column), 12 bits."""
    texture = gaussian_filter(rng.standard_normal((slices, size, size)).astype(np.float32), (1, 3, 3))
    row, column = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    body = (row / 0.7) ** 2 + (column / 0.9) ** 2 < 1
    clean = np.where(body, 900 + 300 * texture / texture.std(), 0)
    noisy = np.hypot(clean + 12 * rng.standard_normal(clean.shape), 12 * rng.standard_normal(clean.shape))
    return np.clip(np.rint(noisy), 0, 4095).astype("<u2")


def write_series(folder: Path, uid: str, kind: str, maker: str, by_slice: bool, rng: np.random.Generator) -> list[Path]:
    """One series, a file a slice; the rows of the table of files."""
    size, slices, b_values = SERIES[kind]
    folder.mkdir(parents=True)
    data, voxels, paths = dataset(maker, size, uid), volume(size, slices, rng), []
    for v, b in enumerate(b_values):
        if b is not None:
            state_b_value(data, maker, b)
        for k in range(slices):
            number = k * len(b_values) + v + 1 if by_slice else v * slices + k + 1
            data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = f"{uid}.{number}"
            data.InstanceNumber, data.ImagePositionPatient = number, [-190.0, -190.0, 5.0 * k]
            data.PixelData = (voxels[k] // (v + 1)).tobytes()
            paths.append(folder / f"{number:04d}.dcm")
            data.save_as(paths[-1], enforce_file_format=True)
    return paths


def write_shard(folder: Path, exams: int) -> list[Path]:
    """Exams with their table and status; the folders of the series."""
    rng, rows, status, folders = np.random.default_rng(0), [], [], []
    for number in range(exams):
        exam = Exam(f"e{number:012d}", f"p{number:012d}", "site")
        status.append(ExamStatus(exam.exam, exam.patient, exam.site, "catalog", "ok"))
        for place, kind in enumerate(SERIES, start=1):
            folders.append(folder / "dicom" / exam.exam / kind)
            maker, uid = MAKERS[number % len(MAKERS)], f"1.2.3.{number + 1}.{place}"
            paths = write_series(folders[-1], uid, kind, maker, kind == "DWI" and number % 8 == 5, rng)
            names = [exam.exam, exam.patient, exam.site, f"s{place:03d}", kind, ""]
            rows += [[*names, 0, "", str(path), "", 0] for path in paths]
    columns = ["exam", "patient", "site", "series", "kind", "variant", "volume", "b_value", "path", "member", "frame"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / "shard.csv", index=False)
    write_status(status, folder / "status.csv")
    return folders


def native(folders: list[Path], out: Path, workers: int) -> None:
    """One process of the binary per series."""
    for number in range(len(folders)):
        (out / str(number)).mkdir(parents=True)
    options = [str(dcm2niix.bin), "-g", "i", "-z", "i", "-1", "-b", "y", "-f", "x%s"]
    with ThreadPoolExecutor(workers) as pool:
        runs = [
            pool.submit(subprocess.run, [*options, "-o", out / str(n), source], stdout=subprocess.DEVNULL, check=True)
            for n, source in enumerate(folders)
        ]
        for run in runs:
            run.result()


def seconds(work: Callable[[Path], None], out: Path) -> float:
    """Wall time of one run into a new folder."""
    start = time.perf_counter()
    work(out)
    took = time.perf_counter() - start
    shutil.rmtree(out)
    return took


def convert_ratio(exams: int = 16, repeats: int = 5, workers: int | None = None) -> dict[str, float]:
    """Wall time of the stage ``convert`` over that of dcm2niix alone."""
    cores = workers or len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folders = write_shard(folder, exams)

        def ours(out: Path) -> None:
            tables = {"shard": folder / "shard.csv", "status": folder / "status.csv"}
            convert_shard(**tables, folder=out, settings=ConvertConfig(), workers=cores)

        def theirs(out: Path) -> None:
            native(folders, out, cores)

        rows = [(seconds(ours, folder / "ours"), seconds(theirs, folder / "theirs")) for _ in range(repeats)]
    own, native_s = (statistics.median(row[column] for row in rows) for column in range(2))
    ratio = statistics.median(row[0] / row[1] for row in rows)
    print(f"{exams} exams, {len(folders)} series, {cores} cores: dcm2niix {native_s:.2f} s, convert {own:.2f} s")
    return {
        "convert_ratio_vs_dcm2niix": round(ratio, 3),
        "dcm2niix_s": round(native_s, 3),
        "convert_s": round(own, 3),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer exams and repeats")
    quick = parser.parse_args().quick
    print(json.dumps(convert_ratio(8, 3) if quick else convert_ratio()))
