"""Baselines in the same splits: what the model must beat, and what would give a shortcut away.

Each is fitted on the training exams of a fold, on the scale of the target, and predicts as the model does: an exam of
the cross-validation by its own fold, a held-out exam by the mean of all folds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.base import RegressorMixin
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from liverstiff.config import TargetConfig, TrainConfig
from liverstiff.model import (
    channels_of,
    find_exams,
    fit_values,
    from_scale,
    names,
    raw_values,
    to_scale,
    training_exams,
)
from liverstiff.model.signs import VOLUMES
from liverstiff.predict.combat import Combat
from liverstiff.records import PARTITIONS, read_table

COLUMNS = ("baseline", "exam", "partition", "fold", "estimate")

ALPHAS = np.logspace(-1, 4, 11)
"""Penalties of the ridges, chosen by leave-one-out."""

FIB4 = ("age", "ast", "alt", "platelets")
"""What FIB-4 is made from."""

Maker = Callable[[], RegressorMixin]


@dataclass(frozen=True)
class Baseline:
    """Its inputs (exam, column), and what is fitted on them."""

    inputs: pd.DataFrame
    make: Maker
    skewed: bool = True
    """Skewed columns are taken as logarithms."""


def predict_baselines(
    *,
    packs: list[Path],
    cohort: Path,
    splits: Path,
    variants: dict[str, list[Path]],
    baselines: Path,
    settings: TrainConfig,
    target: TargetConfig,
) -> None:
    """Write ``baseline, exam, partition, fold, estimate``: every baseline there are inputs for, then the variants.

    Args:
        packs: shard folders of the stage pack; none for a study without images.
        cohort: ``cohort.csv``.
        splits: ``splits.csv``.
        variants: predictions of each variant of the model, in the order of the partitions.
        baselines: CSV to write.
        settings: config section ``train``: which variables of the record, which sequences.
        target: config section ``target``.
    """
    split = read_table(splits)
    rows = split[split["partition"].isin(PARTITIONS)].sort_values("exam", ignore_index=True)
    table = read_table(cohort).set_index("exam").loc[rows["exam"]]
    parts = [
        crossed(baseline, table["reference"].to_numpy(dtype=float), rows, target.transform).assign(baseline=name)
        for name, baseline in all_baselines(table, packs, settings).items()
    ]
    parts += [
        pd.read_csv(path, dtype={"exam": str, "fold": str}).assign(baseline=name, partition=partition)
        for name, paths in variants.items()
        for partition, path in zip(PARTITIONS, paths, strict=True)
    ]
    pd.concat(parts)[list(COLUMNS)].to_csv(baselines, index=False, float_format="%.6g")


def all_baselines(cohort: pd.DataFrame, packs: list[Path], settings: TrainConfig) -> dict[str, Baseline]:
    """The baselines by name, as far as the tables hold their inputs.

    Args:
        cohort: a row per exam, by exam.
        packs: shard folders; none for a study without images.
        settings: which variables of the record, which sequences.
    """
    nothing = pd.DataFrame(index=cohort.index)
    record = _values(cohort, nothing, settings.record)
    found = {
        "mean": Baseline(nothing.assign(one=1.0), LinearRegression),
        "site_mean": Baseline(_flags(cohort, ["site"]), LinearRegression),
        "scanner": Baseline(_flags(cohort, ["vendor", "field_t"]), ridge),
        "record_ridge": Baseline(record, ridge),
        "record_boosting": Baseline(record, boosting),
    }
    if set(FIB4) <= set(cohort) and fib4(cohort).notna().any():
        found["fib4"] = Baseline(np.log(fib4(cohort)).to_frame("fib4"), line, skewed=False)
    missing = record.isna().astype(float)
    if packs:
        channels = channels_of(settings.sequences)
        present = find_exams(packs, cohort.index.tolist(), channels)
        signs = _values(cohort, present, names("signs", channels))
        missing = missing.join(present[list(channels)].astype(float))
        found |= {"signs_ridge": Baseline(signs, ridge), "signs_record_ridge": Baseline(signs.join(record), ridge)}
        found["signs_combat_ridge"] = _harmonised(cohort, signs)
        for sequence in settings.sequences:
            own = [name for name in names("signs", channels_of([sequence])) if ":" in name]
            found[f"{sequence}_ridge"] = Baseline(signs[own], ridge)
    return found | {"missingness": Baseline(missing, ridge)}


def crossed(baseline: Baseline, reference: np.ndarray, rows: pd.DataFrame, transform: str) -> pd.DataFrame:
    """``exam, partition, fold, estimate`` of every exam of ``rows``, each by models that never saw it.

    Args:
        baseline: inputs in the order of ``rows``.
        reference: (n,), in the unit of the target; that of exams that are held out is not read.
        rows: ``exam, patient, partition, fold``.
        transform: scale of the target.
    """
    inside = (rows["partition"] == "cross-validation").to_numpy()
    fold_of = pd.to_numeric(rows["fold"]).to_numpy()
    estimate, held_out = np.full(len(rows), np.nan), []
    for fold in sorted(set(fold_of[inside])):
        training = rows["exam"].isin(training_exams(rows, int(fold))["exam"]).to_numpy()
        values = fitted(baseline, reference, training, transform)
        own = inside & (fold_of == fold)
        estimate[own] = values[own]
        held_out.append(values)
    estimate[~inside] = np.mean(held_out, axis=0)[~inside]
    fold = np.where(inside, pd.Series(fold_of).fillna(-1).astype(int).astype(str), "ensemble")
    return rows[["exam", "partition"]].assign(fold=fold, estimate=estimate)


def fitted(baseline: Baseline, reference: np.ndarray, training: np.ndarray, transform: str) -> np.ndarray:
    """Estimates (n,) of all exams by a fit on those of ``training``; smeared by the residuals of the fit."""
    inputs = _logarithms(baseline.inputs, training) if baseline.skewed else baseline.inputs.to_numpy(dtype=float)
    measured = to_scale(reference[training], transform)
    model = baseline.make().fit(inputs[training], measured)
    middle = model.predict(inputs)
    if transform != "log":
        return np.asarray(middle)
    return np.asarray(np.exp(measured - middle[training]).mean() * from_scale(middle, transform))


def ridge() -> RegressorMixin:
    """Linear with a penalty; the mean and an indicator for what is unknown."""
    fill = SimpleImputer(add_indicator=True, keep_empty_features=True)
    return make_pipeline(fill, StandardScaler(), RidgeCV(ALPHAS))


def line() -> RegressorMixin:
    """A straight line; the mean for what is unknown."""
    return make_pipeline(SimpleImputer(keep_empty_features=True), LinearRegression())


def boosting() -> RegressorMixin:
    """Boosted trees, with a way of their own for what is unknown."""
    return HistGradientBoostingRegressor(learning_rate=0.05, max_leaf_nodes=8, max_iter=150, random_state=0)


def fib4(cohort: pd.DataFrame) -> pd.Series:
    """Age x AST / (platelets x sqrt(ALT)); Sterling et al., Hepatology 2006;43:1317-1325."""
    return cohort["age"] * cohort["ast"] / (cohort["platelets"] * np.sqrt(cohort["alt"]))


def _values(cohort: pd.DataFrame, found: pd.DataFrame, variables: tuple[str, ...]) -> pd.DataFrame:
    """Variables as numbers, a column each."""
    return pd.DataFrame(raw_values(cohort, found, variables), index=cohort.index, columns=list(variables))


def _flags(cohort: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """1 for each value of the columns that are there, else 0; all 0 for what training never saw."""
    there = [name for name in columns if name in cohort]
    flags = pd.get_dummies(cohort[there].astype(str), dtype=float) if there else pd.DataFrame(index=cohort.index)
    return flags.assign(one=1.0)


def _harmonised(cohort: pd.DataFrame, signs: pd.DataFrame) -> Baseline:
    """The signs after ComBat over the scanners, as an ablation: its batches are vendors by field strength."""
    there = [name for name in ("vendor", "field_t") if name in cohort]
    scanner = cohort[there].astype(str).agg(" ".join, axis=1) if there else pd.Series("", index=cohort.index)
    batches = pd.get_dummies(scanner, dtype=float)
    amounts = {name: np.log1p(signs[name]) for name in VOLUMES}

    def combat_ridge() -> RegressorMixin:
        combat = Combat(batches.shape[1])
        return make_pipeline(SimpleImputer(keep_empty_features=True), combat, StandardScaler(), RidgeCV(ALPHAS))

    return Baseline(batches.join(signs.assign(**amounts)), combat_ridge, skewed=False)


def _logarithms(inputs: pd.DataFrame, training: np.ndarray) -> np.ndarray:
    """Inputs (n, k), skewed ones as logarithms, which is decided on the training exams; NaN where unknown."""
    values = inputs.to_numpy(dtype=float)
    scaled, known = fit_values(values[training], tuple(map(str, inputs))).apply(values, inputs.index.tolist())
    return np.where(known, scaled, np.nan)
