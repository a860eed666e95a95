"""Calibration keeps the order and is applied only where it improves log loss."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from training.model import calibration
from training.model.calibration import Calibration

IDENTITY = Calibration()


def simulate(
    rows: int, slope: float, intercept: float, seed: int = 5
) -> tuple[np.ndarray, np.ndarray, list[int], np.ndarray]:
    """Simulate margins, outcomes with affine log-odds, four cutoffs, and one account per row."""
    rng = np.random.default_rng(seed)
    margin = rng.normal(-1, 1.5, size=rows)
    expanded = rng.uniform(size=rows) < expit(intercept + slope * margin)
    return margin, expanded.astype(np.float64), [row % 4 for row in range(rows)], np.arange(rows)


def test_a_known_affine_map_is_recovered() -> None:
    result = calibration.fit_affine_calibration(*simulate(20_000, slope=0.6, intercept=-0.8))

    assert result.slope == pytest.approx(0.6, abs=0.05)
    assert result.intercept == pytest.approx(-0.8, abs=0.05)
    assert str(result).startswith("calibrated with slope 0.")


@given(
    st.floats(0.1, 3),
    st.floats(-2, 2),
    st.integers(50, 400),
    st.integers(0, 99),
    st.lists(st.integers(-600, 600), min_size=2, max_size=20, unique=True),
)
@settings(max_examples=15)
def test_a_higher_margin_is_always_a_higher_probability(
    slope: float, intercept: float, rows: int, seed: int, hundredths: list[int]
) -> None:
    result = calibration.fit_affine_calibration(*simulate(rows, slope, intercept, seed))

    probability = result.to_probability(np.sort(np.array(hundredths) / 100))

    assert (np.diff(probability) > 0).all()
    assert ((probability > 0) & (probability < 1)).all()


def test_calibrated_probabilities_are_nearly_unchanged() -> None:
    margin, *rest = simulate(400, slope=1.0, intercept=0.0)

    result = calibration.fit_affine_calibration(margin, *rest).to_probability(margin)

    assert np.abs(result - expit(margin)).max() < 0.1


def make_unsuitable_predictions() -> dict[str, tuple[Any, Any, Any, Any]]:
    """Return predictions from which no calibration can be learned, by the reason."""
    margin, expanded, cutoffs, account = simulate(2_000, slope=0.5, intercept=-1.0)
    spread, few, coin = np.linspace(-9, 9, 2_000), account < 19, np.random.default_rng(8)
    return {
        "uninformative margins": (margin * 0, coin.integers(0, 2, 2_000) * 1.0, cutoffs, account),
        "inverted margins": simulate(2_000, slope=-1.0, intercept=0.0),
        "a single cutoff": (margin, expanded, ["only"] * 2_000, account),
        "a cutoff with all expansions": (margin, expanded, expanded.tolist(), account),
        "no expansions": (spread, np.zeros(2_000), cutoffs, account),
        "only expansions": (spread, np.ones(2_000), cutoffs, account),
        "few expansions": (spread, few * 1.0, cutoffs, account),
        "few without an expansion": (spread, ~few * 1.0, cutoffs, account),
    }


UNSUITABLE = make_unsuitable_predictions()


@pytest.mark.parametrize("predictions", UNSUITABLE.values(), ids=UNSUITABLE)
def test_without_evidence_probabilities_are_not_calibrated(
    predictions: tuple[Any, Any, Any, Any],
) -> None:
    result = calibration.fit_affine_calibration(*predictions)

    assert result == IDENTITY
    assert str(result) == "uncalibrated"


def test_outliers_of_one_account_do_not_change_the_calibration() -> None:
    """The same rows as many accounts would change it."""
    margin, expanded, cutoffs, account = simulate(1_000, slope=1.0, intercept=0.0)
    lucky = np.arange(1_000) < 60
    expanded = np.where(lucky, 1.0, expanded)

    as_many_accounts = calibration.fit_affine_calibration(margin, expanded, cutoffs, account)
    as_one_account = calibration.fit_affine_calibration(
        margin, expanded, cutoffs, np.where(lucky, 0, account - 59)
    )

    assert as_many_accounts != IDENTITY
    assert as_one_account == IDENTITY


def _select_weight(
    gbm: np.ndarray, logistic: np.ndarray, expanded: np.ndarray, accounts: int
) -> float:
    account = np.arange(len(expanded)) % accounts
    return calibration.select_blend_weight(gbm, logistic, expanded, account, default_weight=0.25)


@pytest.mark.parametrize(("informative", "weight"), [("gbm", 0.0), ("logistic", 1.0)])
def test_the_informative_learner_gets_the_full_weight(informative: str, weight: float) -> None:
    margin, expanded, *_ = simulate(4_000, slope=1.0, intercept=0.0)
    noise = np.random.default_rng(1).normal(-1, 1.5, size=4_000)
    margins = {"gbm": noise, "logistic": noise} | {informative: margin}

    assert _select_weight(margins["gbm"], margins["logistic"], expanded, 500) == weight


def test_equally_good_learners_keep_the_default_weight() -> None:
    margin, expanded, *_ = simulate(2_000, slope=1.0, intercept=0.0)

    assert _select_weight(margin, margin, expanded, 300) == 0.25


def test_one_account_does_not_change_the_blend_weight() -> None:
    """The regression is far better on the rows of one account only."""
    margin, expanded, *_ = simulate(400, slope=1.0, intercept=0.0)
    account = np.arange(400) // 4
    logistic = np.where(account == 7, np.where(expanded > 0, 9.0, -9.0), margin)

    result = calibration.select_blend_weight(
        margin, logistic, expanded, account, default_weight=0.25
    )

    assert result == 0.25


def test_few_expansions_keep_the_default_weight() -> None:
    expanded = np.zeros(300)
    expanded[:19] = 1

    assert _select_weight(np.zeros(300), expanded * 4, expanded, 100) == 0.25
