"""Intervals hold the truth of a population as often as they say, and the equivalence test keeps its level."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

STUDIES = 120


@pytest.fixture(scope="module")
def shares() -> dict[str, float]:
    """Of a small version of the study in ``bench/evaluate.py``: 120 studies of 365 exams."""
    path = Path(__file__).parents[2] / "bench" / "evaluate.py"
    spec = importlib.util.spec_from_file_location("bench_statistics", path)
    assert spec is not None
    assert spec.loader is not None
    bench = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bench)
    truth = bench.truth_of(500_000)
    return bench.shares_of([bench.one_study(seed, 365, 300, truth) for seed in range(STUDIES)])


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [
        # three standard errors of 120 studies about 94 % are 0.07; intervals that hold in every study are too wide
        *(("pearson_r", 0.87, 0.995), ("pearson_r of subgroups", 0.86, 0.995), ("mae", 0.86, 0.995)),
        *(("difference pearson_r", 0.86, 0.995), ("difference mae", 0.86, 0.995), ("auroc_4", 0.86, 0.995)),
        *(("equivalent sex at margin", 0.0, 0.12), ("equivalent age at margin", 0.0, 0.12)),
        *(("different sex at none", 0.0, 0.12), ("different age at none", 0.0, 0.12)),
        # the textbook's interval falls short: the same measure sees it
        ("pearson_r by n - 3", 0.5, 0.85),
    ],
)
def test_shares_of_studies(shares, name, least, most):
    assert least <= shares[name] <= most
