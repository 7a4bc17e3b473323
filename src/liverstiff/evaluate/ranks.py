"""Metrics made of ranks, of exams that a resample holds several times or not at all: each variable is sorted once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from liverstiff.evaluate.sample import Array, Sample

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Order:
    """A variable in ascending order, with its ties."""

    exam: Indices
    """Exams from the lowest value to the highest."""
    first: Indices
    """Places where a new value begins."""
    group: Indices
    """Number of the distinct value at each place."""

    @classmethod
    def of(cls, values: Array) -> Order:
        """The order of values."""
        exam = np.argsort(values, kind="stable")
        new = np.r_[True, np.diff(values[exam]) > 0]
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
        return values[:, self.group] if self.tied else values


@dataclass(frozen=True)
class Ranking:
    """What the ranks of a sample need, found once."""

    patient: Indices
    """Patient of each exam, by ascending estimate."""
    of_x: Order
    """Ties of the estimate; the exams are in this order already."""
    of_y: Order
    """Order of the reference."""
    back: Indices
    """Place of each exam in the order of the reference."""
    cases: dict[float, Indices]
    """By threshold, the exams at or above it."""

    @classmethod
    def of(cls, sample: Sample, thresholds: tuple[float, ...]) -> Ranking:
        """The ranking of a sample."""
        order = np.argsort(sample.estimate, kind="stable")
        y = sample.reference[order]
        of_y = Order.of(y)
        cases = {level: np.flatnonzero(y >= level) for level in thresholds}
        return cls(sample.patient[order], Order.of(sample.estimate[order]), of_y, np.argsort(of_y.exam), cases)


def mid_ranks(order: Order, weights: Array) -> Array:
    """Mid-ranks of values that occur so many times each, both in ascending order: (resamples, exams)."""
    of_value = order.per_value(weights)
    rank = np.cumsum(of_value, axis=1)
    rank -= of_value / 2
    rank += 0.5
    return order.per_place(rank)


def rank_metrics(ranking: Ranking, counts: Array) -> dict[str, Array]:
    """Spearman's rho, AUROC and average precision of resamples, ``counts`` of shape (resamples, patients)."""
    weights = np.take(counts, ranking.patient, axis=1)
    by_y = np.take(weights, ranking.of_y.exam, axis=1)
    rank_x = mid_ranks(ranking.of_x, weights)
    rank_y = np.take(mid_ranks(ranking.of_y, by_y), ranking.back, axis=1)
    n = weights.sum(axis=1)
    spread = _squares(ranking.of_x.per_value(weights), n) * _squares(ranking.of_y.per_value(by_y), n)
    together = np.einsum("ij,ij,ij->i", weights, rank_x, rank_y) - n * ((n + 1) / 2) ** 2
    values = {"spearman_rho": together / np.sqrt(spread)}
    of_exam = np.multiply(weights, rank_x, out=rank_y)
    called = _called(ranking.of_x, weights, rank_x, n) if ranking.cases else rank_x
    for level, cases in ranking.cases.items():
        of_cases = np.take(weights, cases, axis=1)
        n1 = of_cases.sum(axis=1)
        is_case = np.zeros(weights.shape[1])
        is_case[cases] = 1
        with np.errstate(divide="ignore", invalid="ignore"):
            values[f"auroc_{level:g}"] = (of_exam @ is_case - n1 * (n1 + 1) / 2) / (n1 * (n - n1))
            precise = _precision_sum(ranking.of_x, of_cases, np.take(called, cases, axis=1), cases)
            values[f"auprc_{level:g}"] = np.where(n1 < n, precise / n1, np.nan)
    return values


def _called(order: Order, weights: Array, rank: Array, n: Array) -> Array:
    """How many are estimated as high as each exam or higher: n + 1/2 + (tied with it) / 2 - mid-rank; at least 1/2."""
    tied = order.per_place(order.per_value(weights)) if order.tied else weights
    called = tied / 2
    called -= rank
    called += n[:, None] + 0.5
    return np.maximum(called, 0.5, out=called)


def _squares(tied: Array, n: Array) -> Array:
    """Sum of squares of mid-ranks about their mean, (n^3 - n - sum of t^3 - t) / 12 with ties of t; NaN if all tie."""
    found = (n**3 - np.einsum("ij,ij,ij->i", tied, tied, tied)) / 12
    return np.where(found > 0, found, np.nan)


def _precision_sum(order: Order, of_cases: Array, called: Array, cases: Indices) -> Array:
    """Sum over the cases of the share of cases among all exams estimated as high or higher, (resamples,)."""
    hits = np.cumsum(of_cases[:, ::-1], axis=1)[:, ::-1]
    if order.tied and len(cases):
        hits = np.take(hits, np.searchsorted(order.group[cases], order.group[cases]), axis=1)
    return np.asarray(np.einsum("ij,ij->i", of_cases, hits / called))
