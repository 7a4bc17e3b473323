"""A tiny study for the tests of learning: two shards of packed exams, a cohort table and a split, with a signal."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from liverstiff.config import TrainConfig
from liverstiff.records import CHANNELS, LIVER, SPLEEN

SHAPE = (16, 16, 8)
SETTINGS = TrainConfig(
    record=("age", "sex", "ast"),
    measured="volumes",
    linear=False,
    patch=(8, 8, 4),
    width=16,
    depth=1,
    heads=2,
    epochs=3,
    batch=16,
    learning_rate=3e-3,
    patience=40,
)


@dataclass
class Study:
    """Files of the study, and its exams as a table."""

    folder: Path
    exams: pd.DataFrame

    @property
    def inputs(self) -> dict[str, object]:
        """The arguments that train_fold and predict_partition share."""
        packs = [self.folder / "shard-0000", self.folder / "shard-0001"]
        return {"packs": packs, "cohort": self.folder / "cohort.csv", "splits": self.folder / "splits.csv"}

    def outputs(self, fold: int, name: str = "models") -> dict[str, Path]:
        """The arguments of train_fold that name what it writes."""
        folder = self.folder / name / f"fold-{fold}"
        return {
            "model": folder / "model.safetensors",
            "description": folder / "model.json",
            "history": folder / "history.csv",
            "validation": folder / "validation.csv",
            "checkpoint": self.folder / name / f".fold-{fold}.checkpoint",
        }

    def rows(self, shard: str) -> pd.DataFrame:
        """Exams of a shard, in the order of its arrays."""
        return self.exams[self.exams["shard"] == shard]


def make_study(folder: Path, exams: int = 60, folds: int = 2, seed: int = 0) -> Study:
    """Exams whose stiffness follows the T1w contrast of liver to the rest, and AST; some lack T2w or diffusion."""
    rng = np.random.default_rng(seed)
    cause = rng.standard_normal(exams)
    stiffness = np.exp(1.0 + 0.4 * cause + 0.05 * rng.standard_normal(exams))
    table = pd.DataFrame(
        {
            "exam": [f"e{i:012x}" for i in range(exams)],
            "patient": [f"p{i // 2:012x}" for i in range(exams)],
            "shard": [f"shard-{i % 2:04d}" for i in range(exams)],
            "age": 50 + 10 * rng.standard_normal(exams),
            "sex": np.where(rng.random(exams) < 0.5, "male", "female"),
            "ast": np.exp(3.3 + 0.2 * cause + 0.2 * rng.standard_normal(exams)),
            "reference": stiffness,
        }
    )
    table.loc[::7, "ast"] = np.nan
    test = exams // 6 // 2 * 2
    partition = np.array(["cross-validation"] * (exams - 2 * test) + ["temporal"] * test + ["external"] * test)
    fold = pd.Series(np.arange(exams) // 2 % folds).where(partition == "cross-validation").astype("Int64")
    table = table.assign(partition=partition, fold=fold, reason="")
    study = Study(folder, table)
    for shard in ("shard-0000", "shard-0001"):
        write_pack(folder / shard, table.index[table["shard"] == shard].to_numpy(), table, cause, rng)
    write_tables(study)
    return study


def write_tables(study: Study) -> None:
    """The cohort and the split."""
    columns = ["exam", "patient", "shard", "age", "sex", "ast", "reference"]
    study.exams[columns].to_csv(study.folder / "cohort.csv", index=False)
    study.exams[["exam", "patient", "partition", "fold", "reason"]].to_csv(study.folder / "splits.csv", index=False)


def write_pack(
    folder: Path, rows: np.ndarray, table: pd.DataFrame, cause: np.ndarray, rng: np.random.Generator
) -> None:
    """One shard folder."""
    folder.mkdir(parents=True)
    mask = np.zeros(SHAPE, np.uint8)
    mask[8:15, 4:12, 2:6] = LIVER
    mask[1:4, 4:8, 2:5] = SPLEEN
    images = 1 + 0.1 * rng.standard_normal((len(rows), len(CHANNELS), *SHAPE))
    outside = mask == 0
    for index, row in enumerate(rows):
        images[index, 0][outside] += 0.4 * cause[row]
    present = np.ones((len(rows), len(CHANNELS)), bool)
    present[::5, 1] = False
    present[1::5, 2:] = False
    images[~present] = 0
    np.save(folder / "images.npy", images.astype(np.float16))
    np.save(folder / "masks.npy", np.repeat(mask[None], len(rows), axis=0))
    pack = pd.DataFrame({"exam": table.loc[rows, "exam"], "row": range(len(rows))})
    pack[list(CHANNELS)] = present
    pack["liver_ml"], pack["spleen_ml"] = 1500.0, 200.0
    pack.to_csv(folder / "table.csv", index=False)
