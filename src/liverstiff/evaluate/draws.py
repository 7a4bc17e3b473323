"""One set of resamples of a partition's patients that serves any number of small tables."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from liverstiff.evaluate.bootstrap import Interval, draw_counts, percentile_interval
from liverstiff.evaluate.sample import Array

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Draws:
    """How often each patient of a partition is drawn."""

    counts: NDArray[np.float32]
    """(patients, resamples); whole numbers, so exact."""
    patient: Indices
    """Number of each exam's patient, (exams,)."""

    @classmethod
    def of(cls, patient: Indices, resamples: int, seed: int) -> Draws:
        """Resamples of the patients of these exams."""
        patients = int(patient.max(initial=-1)) + 1
        counts = np.empty((patients, resamples), np.float32)
        for start in range(0, resamples if patients else 0, 256):
            stop = min(start + 256, resamples)
            counts[:, start:stop] = draw_counts(patients, stop - start, np.random.default_rng([seed, start])).T
        return cls(counts, patient)

    def patients(self, exams: Indices) -> Indices:
        """Patients of some exams, ascending."""
        return np.unique(self.patient[exams])

    def per_patient(self, exams: Indices, columns: Array) -> tuple[Indices, Array]:
        """The patients of some exams, and the columns (exams, k) summed over their exams, (patients, k)."""
        patients, of = np.unique(self.patient[exams], return_inverse=True)
        sums = np.stack([np.bincount(of, weights=column, minlength=len(patients)) for column in columns.T], axis=1)
        return patients, np.asarray(sums, dtype=float)

    def sums(self, exams: Indices, columns: Array) -> Array:
        """Sums of columns (exams, k) in every resample, (k, resamples)."""
        patients, sums = self.per_patient(exams, columns)
        return np.asarray(sums.T @ self.counts[patients].astype(float))

    def mean_interval(self, exams: Indices, values: Array) -> Interval:
        """Percentile interval of the mean of values of some exams."""
        total, n = self.sums(exams, np.column_stack([values, np.ones(len(values))]))
        with np.errstate(divide="ignore", invalid="ignore"):
            return percentile_interval(total / n)
