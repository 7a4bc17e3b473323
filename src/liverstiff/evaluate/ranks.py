"""Metrics made of ranks, of exams that a resample holds several times or not at all: each variable is sorted once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from liverstiff.evaluate.sample import Array, Sample

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Order:
    """A variable in descending order, with its ties."""

    exam: Indices
    """Exams from the highest value to the lowest."""
    first: Indices
    """Places where a new value begins."""
    group: Indices
    """Number of the distinct value at each place."""

    @classmethod
    def of(cls, values: Array) -> Order:
        """The order of values."""
        exam = np.argsort(-values, kind="stable")
        new = np.r_[True, np.diff(values[exam]) < 0]
        return cls(exam, np.flatnonzero(new), np.cumsum(new) - 1)

    @property
    def tied(self) -> bool:
        """True where a value occurs twice."""
        return len(self.first) < len(self.exam)

    def per_value(self, weights: Array) -> Array:
        """Weights in this order summed over ties, (resamples, distinct values)."""
        return np.add.reduceat(weights, self.first, axis=1) if self.tied else weights

    def per_place(self, values: Array) -> Array:
        """Each distinct value's number at all of its places, (resamples, exams)."""
        return np.take(values, self.group, axis=1) if self.tied else values


@dataclass(frozen=True)
class Ranking:
    """What the ranks of a sample need, found once; exams are in descending order of the estimate."""

    patient: Indices
    """Patient of each exam."""
    of_x: Order
    """Ties of the estimate."""
    of_y: Order
    """Order of the reference."""
    back: Indices
    """Place of each exam in the order of the reference."""
    thresholds: tuple[float, ...]
    is_case: Array
    """1 where an exam is at or above a threshold, else 0, (exams, thresholds)."""

    @classmethod
    def of(cls, sample: Sample, thresholds: tuple[float, ...]) -> Ranking:
        """The ranking of a sample."""
        order = np.argsort(-sample.estimate, kind="stable")
        y = sample.reference[order]
        of_y = Order.of(y)
        is_case = (y[:, None] >= np.array(thresholds)).astype(float)
        of_x = Order.of(sample.estimate[order])
        return cls(sample.patient[order], of_x, of_y, np.argsort(of_y.exam), thresholds, is_case)


@dataclass(frozen=True)
class Ranks:
    """Ranks of values that occur so many times each, 1 for the highest, (resamples, exams)."""

    reached: Array
    """How many values are as high or higher."""
    middle: Array
    """Mid-ranks."""
    squares: Array
    """Sum of the squares of mid-ranks about their mean: (n^3 - sum of t^3) / 12 with ties of t; NaN if all tie."""

    @classmethod
    def of(cls, order: Order, weights: Array) -> Ranks:
        """Of weights in an order."""
        of_value = order.per_value(weights)
        reached = np.cumsum(of_value, axis=1)
        squares = (reached[:, -1] ** 3 - np.einsum("ij,ij,ij->i", of_value, of_value, of_value)) / 12
        middle = of_value * -0.5
        middle += reached
        middle += 0.5
        squares = np.where(squares > 0, squares, np.nan)
        return cls(order.per_place(reached), order.per_place(middle), squares)


def rank_metrics(ranking: Ranking, counts: Array) -> dict[str, Array]:
    """Spearman's rho, AUROC and average precision of resamples, ``counts`` of shape (resamples, patients)."""
    weights = np.take(counts, ranking.patient, axis=1)
    of_x = Ranks.of(ranking.of_x, weights)
    of_y = Ranks.of(ranking.of_y, np.take(weights, ranking.of_y.exam, axis=1))
    n = weights.sum(axis=1)
    of_exam = weights * of_x.middle
    products = np.einsum("ij,ij->i", of_exam, np.take(of_y.middle, ranking.back, axis=1))
    values = {"spearman_rho": (products - n * ((n + 1) / 2) ** 2) / np.sqrt(of_x.squares * of_y.squares)}
    cases, ranks = (weights @ ranking.is_case).T, (of_exam @ ranking.is_case).T
    reached = np.maximum(of_x.reached, 1)
    for number, level in enumerate(ranking.thresholds):
        n1 = cases[number]
        with np.errstate(divide="ignore", invalid="ignore"):
            below = (n1 * (n + 1) - ranks[number]) - n1 * (n1 + 1) / 2
            values[f"auroc_{level:g}"] = below / (n1 * (n - n1))
            precise = _precision_sum(ranking.of_x, weights, reached, np.flatnonzero(ranking.is_case[:, number]))
            values[f"auprc_{level:g}"] = np.where(n1 < n, precise / n1, np.nan)
    return values


def _precision_sum(order: Order, weights: Array, reached: Array, cases: Indices) -> Array:
    """Sum over the cases of the share of cases among all exams estimated as high or higher, (resamples,)."""
    of_cases = np.take(weights, cases, axis=1)
    hits = np.cumsum(of_cases, axis=1)
    if order.tied and len(cases):
        hits = np.take(hits, np.searchsorted(order.group[cases], order.group[cases], side="right") - 1, axis=1)
    hits /= np.take(reached, cases, axis=1)
    return np.asarray(np.einsum("ij,ij->i", of_cases, hits))
