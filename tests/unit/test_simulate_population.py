"""What images, record and both together can tell about stiffness is what the equations were chosen for."""

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression

from liverstiff.simulate.population import (
    DEVELOPMENT_SITES,
    RECORD,
    SIGNS,
    SiteModel,
    draw_cohort,
    draw_patients,
    fib4,
    measure,
)

SKEWED = ("ast", "alt", "ggt", "platelets", "bilirubin", "inr")


def image_signs(table):
    """What images of unknown scale show: ratios to muscle and spleen, ADC, shape; and the scanner's field."""
    signs = {
        "t1_muscle": np.log(table["liver_t1"] / table["muscle_t1"]),
        "t1_spleen": np.log(table["liver_t1"] / table["spleen_t1"]),
        "t2_muscle": np.log(table["liver_t2"] / table["muscle_t2"]),
        "t2_spleen": np.log(table["liver_t2"] / table["spleen_t2"]),
        "adc": np.log(table["adc"]),
        "nodularity": table["nodularity"].clip(lower=0),
        "texture": table["texture"].clip(lower=0.1),
        "spleen_ml": np.log(table["spleen_ml"]),
        "liver_ml": np.log(table["liver_ml"]),
        "caudate_ratio": table["caudate_ratio"],
        "field_t": table["field_t"],
    }
    return pd.DataFrame(signs)


def record(table):
    return table[list(RECORD)].assign(**{name: np.log(table[name]) for name in SKEWED})


def mixture(n, seed):
    """Three sites, 40 : 30 : 30."""
    rng = np.random.default_rng(seed)
    shares = zip(DEVELOPMENT_SITES[:3], (0.4, 0.3, 0.3), strict=True)
    return pd.concat([draw_patients(round(n * share), site, rng) for site, share in shares], ignore_index=True)


def ceiling(inputs, target, new_inputs, new_target):
    """Pearson r on fresh patients of the better of a log-linear and a boosted fit."""
    linear = LinearRegression().fit(inputs, np.log(target - 0.5))
    boosted = HistGradientBoostingRegressor(max_iter=150, learning_rate=0.08, max_leaf_nodes=15, random_state=0)
    boosted.fit(inputs, np.log(target))
    return max(np.corrcoef(np.exp(model.predict(new_inputs)), new_target)[0, 1] for model in (linear, boosted))


@pytest.fixture(scope="module")
def patients():
    """20,000 patients whose ceilings are wanted, and 50,000 fresh ones to fit on."""
    return mixture(20_000, 1), mixture(50_000, 2)


@pytest.mark.parametrize(
    ("inputs", "low", "high"),
    [
        ((image_signs, record), 0.82, 0.88),
        ((image_signs,), 0.75, 0.81),
        ((record,), 0.50, 0.58),
    ],
    ids=["all", "images", "record"],
)
def test_ceiling(patients, inputs, low, high):
    drawn, fresh = patients
    columns = [pd.concat([part(table) for part in inputs], axis=1) for table in (fresh, drawn)]
    r = ceiling(columns[0], fresh["measured_kpa"], columns[1], drawn["measured_kpa"])
    print(f"ceiling: r {r:.3f}")
    assert low <= r <= high


def test_fib4_of_the_record(patients):
    drawn, _ = patients
    index = fib4(drawn["age"], drawn["ast"], drawn["alt"], drawn["platelets"])
    r = np.corrcoef(index, drawn["measured_kpa"])[0, 1]
    print(f"FIB-4: r {r:.3f}")
    assert r == pytest.approx(0.44, abs=0.03)
    one = {"age": 50.0, "ast": 40.0, "alt": 25.0, "platelets": 200.0}
    assert fib4(**{k: pd.Series([v]) for k, v in one.items()})[0] == pytest.approx(2.0)  # 50 x 40 / (200 x 5)


def test_stiffness_is_spread_as_in_a_clinic(patients):
    measured = patients[0]["measured_kpa"]
    assert measured.mean() == pytest.approx(3.19, abs=0.06)
    assert measured.std() == pytest.approx(1.47, abs=0.06)
    shares = [(measured >= kpa).mean() for kpa in (2.5, 3.0, 3.5, 4.0, 5.0)]
    np.testing.assert_allclose(shares, [0.63, 0.41, 0.27, 0.18, 0.09], atol=0.02)


def test_six_sites_three_vendors_two_fields():
    assert {(site.vendor, site.field_t) for site in DEVELOPMENT_SITES} == {
        (vendor, field) for vendor in ("GE", "Siemens", "Philips") for field in (1.5, 3.0)
    }
    cohort = draw_cohort(6_001, seed=3)
    assert sorted(cohort["site"].value_counts()) == [1000] * 5 + [1001]
    assert not cohort[[*SIGNS, *RECORD, "measured_kpa"]].isna().any().any()
    pd.testing.assert_frame_equal(cohort, draw_cohort(6_001, seed=3))
    assert (draw_cohort(6_001, seed=4)["measured_kpa"] != cohort["measured_kpa"]).all()


def test_a_site_shifts_its_patients():
    rng = np.random.default_rng(0)
    plain, shifted = (
        draw_patients(20_000, SiteModel("s", "GE", 3.0, *shift), rng) for shift in ((0.0, 0.0, 0.0), (0.5, 3.0, -1.0))
    )
    assert shifted["age"].mean() - plain["age"].mean() == pytest.approx(3.0, abs=0.5)
    assert shifted["bmi"].mean() - plain["bmi"].mean() == pytest.approx(-1.0, abs=0.2)
    # fibrosis: the shift itself, age 0.22 x 3/15, BMI 0.06 x -1/6, and a little through diabetes
    assert shifted["fibrosis"].mean() - plain["fibrosis"].mean() == pytest.approx(0.5 + 0.044 - 0.01, abs=0.04)


def test_measurement_has_the_asked_coefficient_of_variation():
    true = np.full(40_000, 4.0)
    measured = measure(true, np.random.default_rng(0), 0.15)
    assert measured.std() / measured.mean() == pytest.approx(0.15, abs=0.003)
    np.testing.assert_array_equal(measure(true, np.random.default_rng(0), 0.0), true)
