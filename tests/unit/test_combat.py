"""ComBat of features, against its reference implementation and its own promises."""

import numpy as np
import pandas as pd
import pytest

from liverstiff.predict.combat import LEAST, Combat

X = np.arange(12)
BATCH = np.repeat([0, 1], 6)
FEATURES = np.stack(
    [np.sin(1.3 * X) + BATCH, np.cos(0.7 * X) * (1 + BATCH) + 3, np.sin(2.1 * X + 1) + 0.2 * X * BATCH, np.cos(X * X)],
    1,
)
NEUROCOMBAT = [
    [0.546922, 4.451066, 1.417790, 1.149049],
    [0.743440, 2.659767, -0.091102, 1.141718],
    [1.416011, 1.603194, 1.375746, -0.492140],
    [1.404782, 2.806747, 0.667700, -0.404655],
]
"""Rows 0, 5, 6, 11 by neuroCombat 0.2.12, parametric, no covariates; it stops at a relative change of 1e-4."""


def flagged(batch: np.ndarray, features: np.ndarray, batches: int = 2) -> np.ndarray:
    return np.hstack([np.eye(batches)[batch], features])


def test_agrees_with_the_reference_implementation():
    given = flagged(BATCH, FEATURES)
    common = Combat(2).fit(given).transform(given)
    assert common[[0, 5, 6, 11]] == pytest.approx(np.array(NEUROCOMBAT), abs=2e-5)


@pytest.fixture
def scanners():
    """Two scanners of 200 exams each that differ in level and spread of ten features: scanner, features."""
    rng = np.random.default_rng(1)
    seen, batch = rng.normal(size=(400, 10)), rng.permutation(np.repeat([0, 1], 200))
    seen[batch == 1] = seen[batch == 1] * rng.uniform(1.5, 3, 10) + rng.normal(3, 1, 10)
    return batch, seen


def test_new_exams_of_a_known_scanner_are_brought_to_the_common_level(scanners):
    batch, seen = scanners
    given = flagged(batch, seen)
    combat = Combat(2).fit(given[:300])
    after, own = pd.DataFrame(combat.transform(given[300:])), batch[300:]
    before = pd.DataFrame(seen[300:])
    apart = [(table[own == 1].mean() - table[own == 0].mean()).abs().mean() for table in (before, after)]
    wider = [(table[own == 1].std() / table[own == 0].std()).mean() for table in (before, after)]
    assert apart[0] > 2
    assert apart[1] < 0.5
    assert wider[0] > 1.5
    assert wider[1] == pytest.approx(1, abs=0.2)


def test_nothing_is_done_to_an_exam_of_an_unknown_scanner(scanners):
    batch, seen = scanners
    training = flagged(batch, seen, batches=4)
    few = flagged(np.full(LEAST - 1, 2), seen[: LEAST - 1], batches=4)
    combat = Combat(4).fit(np.vstack([training, few]))
    for scanner in (2, 3):
        new = flagged(np.full(5, scanner), seen[:5], batches=4)
        assert np.array_equal(combat.transform(new), seen[:5])


def test_a_feature_that_does_not_vary_stays_finite():
    features = np.column_stack([FEATURES, np.ones(12)])
    given = flagged(BATCH, features)
    assert np.isfinite(Combat(2).fit(given).transform(given)).all()
    alone = flagged(BATCH, features[:, :1])
    assert np.isfinite(Combat(2).fit(alone).transform(alone)).all()


def test_features_that_are_not_finite_are_an_error_and_no_endless_loop():
    given = flagged(BATCH, FEATURES)
    given[0, 2] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        Combat(2).fit(given)
