"""A made table of anybody's predictions, with names of columns of its own."""

from __future__ import annotations

import numpy as np
import pandas as pd


def table(exams: int = 60) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    y = 1.9 + rng.gamma(1.3, 1.1, exams)
    return pd.DataFrame(
        {
            **{"id": np.arange(exams) // 2, "truth": y, "network": y + rng.normal(0, 0.5, exams)},
            **{"fib4": rng.normal(0, 1, exams), "model": y, "Alter": rng.normal(50, 9, exams)},
            **{"sex": np.resize(["male", "female"], exams), "hospital": np.resize([1, 2], exams)},
        }
    )


NAMED = [
    *("--column", "estimate=network", "--column", "reference=truth", "--column", "patient=id"),
    *("--column", "age=Alter", "--column", "second=fib4", "--column", "site=hospital"),
]
