"""A large cohort at array level: packs, cohort table and split, rendered from the simulated population.

Liver and spleen are ellipsoids of the drawn volume in a trunk of muscle and fat; signals follow from the drawn T1, T2
and ADC, each image on a scale of its own, with a tilted sensitivity and noise. Nodularity moves the liver's surface by
0.15 + 0.45 voxel per mm, since 1 mm is invisible in voxels of 7.5 x 7.5 x 11 mm; texture is a mottle of the liver. The
caudate lobe, fat and iron are not drawn. So the ceiling of this cohort is that of the drawn signs and the record.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from scipy import ndimage

from liverstiff.intensity import standardise
from liverstiff.records import CHANNELS, LIVER, SPLEEN
from liverstiff.simulate.population import DEVELOPMENT_SITES, RECORD, SiteModel, draw_cohort

EXTENT_MM = (240.0, 240.0, 176.0)
"""Of the box."""

DRAWN = (
    *("liver_t1", "muscle_t1", "spleen_t1", "liver_t2", "muscle_t2", "spleen_t2", "adc"),
    *("nodularity", "texture", "spleen_ml", "liver_ml"),
)
"""The signs that the images hold."""

EXTERNAL = SiteModel("siemens-x", "Siemens", 1.5, 0.10, 2.0, 0.5)

NOISE = 0.02
"""SD of the noise, relative to muscle; of ADC, in 1e-3 mm2/s, three times that."""

COILS = {"GE": (0.35, -0.25, 0.1), "Siemens": (-0.3, 0.35, 0.0), "Philips": (0.1, 0.3, -0.35)}
"""Slope of the log of a vendor's receive sensitivity along x, y, z, per 120 mm: a strong uncorrected surface coil."""

FIELD_MM = 22.0
"""Voxels in which the bias field is looked for: it is a plane in the logarithm here, and these images are coarse."""


def draw(n: int, seed: int, test: int, external: int = 0, folds: int = 5) -> pd.DataFrame:
    """Patients with one exam each: ``n`` of the cross-validation, ``test`` of the temporal test, some external."""
    inside = draw_cohort(n + test, seed)
    inside = inside.sample(frac=1, random_state=seed, ignore_index=True)
    outside = draw_cohort(external, seed + 1, (EXTERNAL,))
    table = pd.concat([inside, outside], ignore_index=True) if external else inside
    table["exam"] = [f"e{i:012x}" for i in range(len(table))]
    table["patient"] = [f"p{i:012x}" for i in range(len(table))]
    partition = ["cross-validation"] * n + ["temporal"] * test + ["external"] * external
    table["partition"] = partition
    table["fold"] = (
        pd.Series(np.arange(len(table)) % folds).where(table.partition == "cross-validation").astype("Int64")
    )
    table["reference"] = table["measured_kpa"]
    return table


def write_study(
    folder: Path,
    table: pd.DataFrame,
    shape: tuple[int, int, int],
    seed: int,
    missing: float = 0.0,
    coils: bool = False,
    harmonised: bool = False,
) -> dict[str, object]:
    """Write packs, cohort and split of drawn patients; the arguments that the stages share.

    Args:
        folder: to make.
        table: result of :func:`draw`.
        shape: voxels of the box.
        seed: of shapes, scales and noise.
        missing: share of the exams without T2w or without diffusion.
        coils: images have the sensitivity of :data:`COILS`.
        harmonised: images are treated as by the stage harmonize: bias field removed, body's median 1.
    """
    pack = folder / "shard-0000"
    pack.mkdir(parents=True)
    n, rng = len(table), np.random.default_rng(seed)
    images = np.lib.format.open_memmap(pack / "images.npy", "w+", np.float16, (n, len(CHANNELS), *shape))
    masks = np.lib.format.open_memmap(pack / "masks.npy", "w+", np.uint8, (n, *shape))
    present = np.ones((n, len(CHANNELS)), bool)
    lost = rng.random(n)
    present[lost < missing / 2, 1] = False
    present[(lost >= missing / 2) & (lost < missing), 2:] = False
    grid = _grid(shape)
    for index, patient in enumerate(table.to_dict("records")):
        images[index], masks[index] = render(patient, grid, rng, COILS[patient["vendor"]] if coils else (0, 0, 0))
        if harmonised:
            images[index][:-1] = [_harmonise(image, grid) for image in images[index][:-1].astype(np.float32)]
        images[index][~present[index]] = 0
    rows = pd.DataFrame({"exam": table.exam, "row": range(n), "liver_ml": table.liver_ml, "spleen_ml": table.spleen_ml})
    rows[list(CHANNELS)] = present
    rows.to_csv(pack / "table.csv", index=False)
    record = table[[name for name in RECORD if name != "male"]].assign(sex=np.where(table.male == 1, "male", "female"))
    who = table[["exam", "patient", "site", "vendor", "field_t", "reference"]].assign(shard="shard-0000")
    pd.concat([who, record], axis=1).to_csv(folder / "cohort.csv", index=False)
    table[["exam", "patient", "partition", "fold"]].assign(reason="").to_csv(folder / "splits.csv", index=False)
    return {"packs": [pack], "cohort": folder / "cohort.csv", "splits": folder / "splits.csv"}


def render(
    patient: dict[str, float], grid: np.ndarray, rng: np.random.Generator, coil: tuple[float, ...] = (0, 0, 0)
) -> tuple[np.ndarray, np.ndarray]:
    """Images (channel, x, y, z), ADC x 1000, and the mask of one patient.

    Args:
        patient: a row of the population.
        grid: (3, x, y, z), place of each voxel in mm.
        rng: the only source of randomness.
        coil: slopes of the log of the coil's sensitivity, per 120 mm.
    """
    liver, spleen, cavity, trunk = _organs(patient, grid, rng)
    mask = np.where(liver > 0.5, LIVER, np.where(spleen > 0.5, SPLEEN, 0)).astype(np.uint8)
    mottle = _smooth(rng, liver.shape, 0.7)
    signals = _signals(patient)
    images = []
    for channel in CHANNELS:
        level = signals[channel]
        image = np.where(trunk, np.where(cavity, level["fat"], level["muscle"]), 0).astype(np.float32)
        for organ, share in (("spleen", spleen), ("liver", liver)):
            image += share * (level[organ] - image)
        image *= 1 + 0.04 * max(patient["texture"], 0.1) * liver * mottle
        images.append(_scan(image, level["muscle"], channel == "ADC", grid, rng, coil))
    return np.stack(images), mask


def _organs(patient: dict[str, float], grid: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Shares of liver and spleen in each voxel, and where the cavity and the trunk are."""
    shift = rng.normal(0, 5, 3)
    voxel_mm = np.abs(grid[:, 1, 1, 1] - grid[:, 0, 0, 0])
    bumps = (0.15 + 0.45 * max(patient["nodularity"], 0)) * _smooth(rng, grid.shape[1:], 0.6)
    axes = np.array([1.15, 0.95, 0.9]) * np.exp(0.06 * rng.standard_normal(3))
    liver = _ellipsoid(grid, np.array([25.0, 10.0, 5.0]) + shift, axes, patient["liver_ml"], voxel_mm, bumps)
    spleen = _ellipsoid(
        grid, np.array([-80.0, -40.0, 0.0]) + shift, np.array([0.7, 1.0, 1.4]), patient["spleen_ml"], voxel_mm, 0
    )
    size = 1 + 0.012 * (patient["bmi"] - 29.5)
    radius = np.sqrt((grid[0] / (118 * size)) ** 2 + (grid[1] / (100 * size)) ** 2)
    return liver, spleen * (1 - liver), radius < 0.85, radius < 1.0


def _ellipsoid(
    grid: np.ndarray,
    centre: np.ndarray,
    axes: np.ndarray,
    volume_ml: float,
    voxel_mm: np.ndarray,
    bumps: np.ndarray | int,
) -> np.ndarray:
    """Share of each voxel inside an ellipsoid of a volume, its surface moved by ``bumps`` voxels."""
    radius = (volume_ml * 1000 / (4 / 3 * np.pi * axes.prod())) ** (1 / 3)
    away = [(place - c) / (radius * a) for place, c, a in zip(grid, centre, axes, strict=True)]
    depth = radius * (1 - np.sqrt(sum(one**2 for one in away))) / voxel_mm.mean()
    return np.clip(depth + bumps + 0.5, 0, 1).astype(np.float32)


def _signals(patient: dict[str, float]) -> dict[str, dict[str, float]]:
    """Signal of each tissue in each channel: T1-weighted (1 - exp(-TR/T1), short TR), T2-weighted, diffusion."""
    t1 = {organ: patient[f"{organ}_t1"] for organ in ("liver", "spleen", "muscle")} | {"fat": 330.0}
    t2 = {organ: patient[f"{organ}_t2"] for organ in ("liver", "spleen", "muscle")} | {"fat": 70.0}
    adc = {"liver": patient["adc"], "spleen": 0.85, "muscle": 1.55, "fat": 0.3}
    return {
        "T1w": {tissue: 1 - np.exp(-100 / t) for tissue, t in t1.items()},
        "T2w": {tissue: np.exp(-80 / t) for tissue, t in t2.items()},
        "DWI": {tissue: np.exp(-60 / t2[tissue] - 0.6 * value) for tissue, value in adc.items()},
        "ADC": adc,
    }


def _scan(
    image: np.ndarray,
    muscle: float,
    physical: bool,
    grid: np.ndarray,
    rng: np.random.Generator,
    coil: tuple[float, ...],
) -> np.ndarray:
    """What a scanner makes of it: a scale and a tilt of its own, and noise."""
    noise = NOISE * rng.standard_normal(image.shape).astype(np.float32)
    if physical:
        return image + 3 * noise
    tilt = sum(t * place / 120 for t, place in zip(coil + rng.normal(0, 0.04, 3), grid, strict=True))
    scale = np.exp(0.3 * rng.standard_normal()) / muscle
    return scale * image * np.exp(tilt) + noise


def _harmonise(image: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """What the stage harmonize does with an image (x, y, z) that is no map, the bias field on a coarser grid."""
    affine = np.diag([*np.abs(grid[:, 1, 1, 1] - grid[:, 0, 0, 0]), 1.0])
    return standardise(image, affine, FIELD_MM)[0]


def _smooth(rng: np.random.Generator, shape: tuple[int, ...], width: float) -> np.ndarray:
    """Noise of SD 1, smooth over ``width`` voxels."""
    field = ndimage.gaussian_filter(rng.standard_normal(shape).astype(np.float32), width)
    return field / field.std()


def _grid(shape: tuple[int, int, int]) -> np.ndarray:
    """(3, x, y, z): place of each voxel in mm about the middle of the box."""
    lines = [(np.arange(n) - (n - 1) / 2) * extent / n for n, extent in zip(shape, EXTENT_MM, strict=True)]
    return np.stack(np.meshgrid(*lines, indexing="ij")).astype(np.float32)


def perfect_signs(table: pd.DataFrame) -> np.ndarray:
    """(n, k): logs of the drawn signs (ratios to muscle) and of the record, from which the rendered ceiling follows."""
    ratios = {
        f"{organ}_{t}": np.log(table[f"{organ}_{t}"] / table[f"muscle_{t}"])
        for organ in ("liver", "spleen")
        for t in ("t1", "t2")
    }
    others = {name: np.log(table[name]) for name in ("spleen_ml", "liver_ml")}
    plain = table[["adc", "nodularity", "texture"]]
    record = table[list(RECORD)].assign(
        **{n: np.log(table[n]) for n in ("ast", "alt", "ggt", "platelets", "bilirubin")}
    )
    high = (table.field_t > 2).astype(float)
    parts = [pd.DataFrame(ratios), pd.DataFrame(others), plain, record, high.to_frame("high")]
    parts.append(pd.DataFrame({f"{name}_high": value * high for name, value in ratios.items()}))
    return pd.concat(parts, axis=1).to_numpy(dtype=float)


def sites() -> tuple[SiteModel, ...]:
    """The development sites of the cohort."""
    return DEVELOPMENT_SITES
