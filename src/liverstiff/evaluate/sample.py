"""What is compared: the estimates and references of a group of exams, and the terms of the comparison."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from liverstiff.config import EvaluateConfig, TargetConfig

Array = NDArray[np.float64]


class UndefinedError(Exception):
    """A statistic has no value here; the message says why."""


@dataclass(frozen=True)
class Terms:
    """What is asked of a comparison."""

    thresholds: tuple[float, ...] = ()
    """References at or above are cases, in the target's unit."""
    within: float = 0.19
    """A close estimate differs from the reference by at most this share of it."""
    reference_cv: float = 0.10
    """Within-subject coefficient of variation of the reference."""

    @classmethod
    def of(cls, settings: EvaluateConfig, target: TargetConfig) -> Terms:
        """As the configuration has them."""
        return cls(target.thresholds, settings.within, settings.reference_cv)


@dataclass(frozen=True)
class Sample:
    """Estimates and references of one group of exams."""

    estimate: Array
    """x, in the target's unit, shape (exams,)."""
    reference: Array
    """y, shape (exams,)."""
    low: Array
    """Lower end of each estimate's interval; NaN where there is none."""
    high: Array
    """Upper end."""
    patient: NDArray[np.int64]
    """Number of each exam's patient, 0 ... patients - 1."""
    site: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    """Number of each exam's site, 0 ... sites - 1; empty where unknown."""
    called: Array = field(default_factory=lambda: np.empty((0, 0)))
    """1 where the estimate is at or above the frozen cut-point, else 0, NaN without one: (exams, thresholds)."""

    @classmethod
    def of(cls, rows: pd.DataFrame, called: Array | None = None) -> Sample:
        """Sample of rows of ``analysed.csv``."""
        x, y, low, high = (rows[name].to_numpy(float) for name in ("estimate", "reference", "low", "high"))
        site = numbers(rows.site) if "site" in rows and rows.site.notna().all() else np.empty(0, np.int64)
        return cls(x, y, low, high, numbers(rows.patient), site, np.empty((0, 0)) if called is None else called)

    @property
    def exams(self) -> int:
        """Number of exams."""
        return len(self.estimate)

    @property
    def patients(self) -> int:
        """Number of patients."""
        return len(np.unique(self.patient))

    @property
    def sites(self) -> int:
        """Number of sites, 0 where unknown."""
        return len(np.unique(self.site))


def numbers(names: pd.Series) -> NDArray[np.int64]:
    """The names as 0, 1, ... in their order."""
    return pd.factorize(names, sort=True)[0].astype(np.int64)


def constant(values: Array) -> bool:
    """True when the values do not differ beyond the rounding of float64."""
    return len(values) == 0 or bool(np.ptp(values) <= 1e-12 * max(1.0, np.abs(values).max()))


def need(exams: int, values: Array) -> None:
    """Raise unless there are so many exams.

    Raises:
        UndefinedError: with their number.
    """
    if len(values) == 0:
        raise UndefinedError("no exam analysed")
    if len(values) < exams:
        raise UndefinedError(f"needs {exams} exams, has {len(values)}")


def need_spread(x: Array, y: Array) -> None:
    """Raise unless there are three exams and neither array is constant.

    Raises:
        UndefinedError: naming which is.
    """
    need(3, x)
    for name, values in (("estimate", x), ("reference", y)):
        if constant(values):
            raise UndefinedError(f"the {name} is constant")
