"""Held-out exams of a finished run, poisoned: split and training give the bytes that the run gave."""

import shutil

import numpy as np
import pandas as pd
import pytest
import yaml

from liverstiff.check import load_config
from liverstiff.records import read_table
from liverstiff.split import split_cohort
from liverstiff.train import train_fold

pytestmark = pytest.mark.xdist_group("flow")

FOLD = 0
STAYS = {"exam", "patient", "site", "role", "vendor", "shard", "day"}
"""Ids, places and dates of the cohort: what the split may know of an exam that is held out."""


def poison_cohort(path, held_out):
    """Replace reference and record of the exams: numbers by a huge one, words and flags by others."""
    table = read_table(path)
    rows = table.exam.isin(held_out)
    assert rows.any()
    for name in set(table) - STAYS:
        if table[name].dtype == bool:
            table.loc[rows, name] = ~table.loc[rows, name]
        else:
            numeric = pd.api.types.is_numeric_dtype(table[name])
            table[name] = table[name].astype(float if numeric else object)
            table.loc[rows, name] = 987654.0 if numeric else "poison"
    table.to_csv(path, index=False)


def poison_packs(folders, held_out):
    """Replace pixels, masks and measures of the exams; how many were found."""
    count = 0
    for folder in folders:
        pack = read_table(folder / "table.csv")
        rows = pack.exam.isin(held_out).to_numpy()
        count += rows.sum()
        for name, value in (("images.npy", np.nan), ("masks.npy", 1)):
            array = np.load(folder / name)
            array[pack.row[rows]] = value
            np.save(folder / name, array)
        pack.loc[rows, ["liver_ml", "spleen_ml"]] = 987654.0
        pack.to_csv(folder / "table.csv", index=False)
    return count


def test_poison_in_held_out_exams_changes_no_byte_of_the_development(finished, tmp_path):
    results = tmp_path / "results"
    for stage in ("cohort", "split", "pack", "train"):
        shutil.copytree(finished.folder / "results" / stage, results / stage)
    config = load_config(yaml.safe_load(finished.read("config.yaml")))
    folder = results / "train" / f"fold-{FOLD}"
    made = {path: path.read_bytes() for path in [*(results / "split").iterdir(), *folder.iterdir()]}
    shutil.copytree(finished.folder / config.data.private, tmp_path / "private")
    ledger = tmp_path / "private" / config.split.ledger
    made[ledger] = ledger.read_bytes()

    splits = read_table(results / "split" / "splits.csv")
    tests = set(splits.exam[splits.partition != "cross-validation"])
    own = set(splits.exam[splits.fold == FOLD])
    cohort, packs = results / "cohort" / "cohort.csv", sorted((results / "pack").iterdir())
    for path in made:
        if path != ledger:
            path.unlink()

    # the temporal, external and excluded exams: even folds given out anew are the same
    poison_cohort(cohort, tests)
    ledger.unlink()
    resplit(config, results, ledger)
    assert {path.name for path in made if path.exists() and path.read_bytes() != made[path]} == set()
    assert ledger.exists()

    # the fold itself as well: the ledger holds the split, and the fold's model learns nothing of it
    poison_cohort(cohort, own)
    resplit(config, results, ledger)
    poisoned = poison_packs(packs, tests | own)
    assert poisoned == len(tests | own) > len(tests) > 0
    folder.mkdir(exist_ok=True)
    train_fold(
        packs=packs,
        cohort=cohort,
        splits=results / "split" / "splits.csv",
        ledger=results / "split" / "ledger.json",
        fold=FOLD,
        model=folder / "model.safetensors",
        description=folder / "model.json",
        history=folder / "history.csv",
        validation=folder / "validation.csv",
        checkpoint=tmp_path / "checkpoint",
        settings=config.train,
        target=config.target,
    )
    assert [path.name for path in made if path.read_bytes() != made[path]] == []


def resplit(config, results, ledger):
    """The stage split, again."""
    split_cohort(
        cohort=results / "cohort" / "cohort.csv",
        aliases=results / "cohort" / "aliases.csv",
        ledger=ledger,
        splits=results / "split" / "splits.csv",
        strata=results / "split" / "strata.csv",
        used=results / "split" / "ledger.json",
        folds=config.split.fold_names(config.data.sites),
        settings=config.split,
        target=config.target,
    )
