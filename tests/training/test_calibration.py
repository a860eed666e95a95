"""The map from margin to probability keeps the order, and is there only where it helps."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from training.model import calibration
from training.model.calibration import Calibration

IDENTITY = Calibration()


def drawn(
    rows: int, slope: float, intercept: float, seed: int = 5
) -> tuple[np.ndarray, np.ndarray, list[int], np.ndarray]:
    """Margins, outcomes whose true log-odds are affine in them, four cuts, an account a row."""
    rng = np.random.default_rng(seed)
    margin = rng.normal(-1, 1.5, size=rows)
    expanded = rng.uniform(size=rows) < expit(intercept + slope * margin)
    return margin, expanded.astype(np.float64), [row % 4 for row in range(rows)], np.arange(rows)


def test_a_known_affine_map_is_recovered() -> None:
    found = calibration.fit_affine_calibration(*drawn(20_000, slope=0.6, intercept=-0.8))

    assert found.slope == pytest.approx(0.6, abs=0.05)
    assert found.intercept == pytest.approx(-0.8, abs=0.05)
    assert str(found).startswith("calibrated with slope 0.")


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
    found = calibration.fit_affine_calibration(*drawn(rows, slope, intercept, seed))

    probability = found.to_probability(np.sort(np.array(hundredths) / 100))

    assert (np.diff(probability) > 0).all()
    assert ((probability > 0) & (probability < 1)).all()


def test_true_probabilities_are_left_nearly_as_they_are() -> None:
    margin, *rest = drawn(400, slope=1.0, intercept=0.0)

    found = calibration.fit_affine_calibration(margin, *rest).to_probability(margin)

    assert np.abs(found - expit(margin)).max() < 0.1


def test_where_margins_say_nothing_and_are_on_level_the_identity_stays() -> None:
    rng = np.random.default_rng(8)
    expanded = (rng.uniform(size=2_000) < 0.5).astype(np.float64)

    found = calibration.fit_affine_calibration(
        np.zeros(2_000), expanded, ["a", "b"] * 1_000, np.arange(2_000)
    )

    assert found == IDENTITY


def test_margins_that_point_the_wrong_way_are_not_turned_round() -> None:
    found = calibration.fit_affine_calibration(*drawn(2_000, slope=-1.0, intercept=0.0))

    assert found == IDENTITY
    assert str(found) == "uncalibrated"


@pytest.mark.parametrize("rare", [0.0, 1.0])
@pytest.mark.parametrize("count", [0, 19])
def test_too_few_of_either_outcome_leave_the_identity(rare: float, count: int) -> None:
    expanded = np.full(300, 1 - rare)
    expanded[:count] = rare

    cuts, margin = [row % 4 for row in range(300)], np.linspace(-9, 9, 300)
    found = calibration.fit_affine_calibration(margin, expanded, cuts, np.arange(300))

    assert found == IDENTITY


def test_a_single_cut_leaves_the_identity() -> None:
    margin, expanded, _, account = drawn(5_000, slope=0.5, intercept=-1.0)

    assert (
        calibration.fit_affine_calibration(margin, expanded, ["only"] * 5_000, account) == IDENTITY
    )


def test_a_cut_that_holds_nearly_all_expansions_leaves_the_identity() -> None:
    margin, expanded, _, account = drawn(2_000, slope=0.5, intercept=-1.0)
    cuts = ["rich" if happened else "poor" for happened in expanded]

    assert calibration.fit_affine_calibration(margin, expanded, cuts, account) == IDENTITY


def test_the_luck_of_one_account_moves_nobody() -> None:
    """Its rows alone ask for another level; as rows of many accounts they would get it."""
    margin, expanded, cuts, account = drawn(1_000, slope=1.0, intercept=0.0)
    lucky = np.arange(1_000) < 60
    expanded = np.where(lucky, 1.0, expanded)

    of_many = calibration.fit_affine_calibration(margin, expanded, cuts, account)
    of_one = calibration.fit_affine_calibration(
        margin, expanded, cuts, np.where(lucky, 0, account - 59)
    )

    assert of_many != IDENTITY
    assert of_one == IDENTITY


def _share(trees: np.ndarray, linear: np.ndarray, expanded: np.ndarray, accounts: int) -> float:
    account = np.arange(len(expanded)) % accounts
    return calibration.select_blend_weight(trees, linear, expanded, account, default_weight=0.25)


@pytest.mark.parametrize(("right", "share"), [("trees", 0.0), ("linear", 1.0)])
def test_the_learner_that_knows_gets_the_margin(right: str, share: float) -> None:
    margin, expanded, *_ = drawn(4_000, slope=1.0, intercept=0.0)
    noise = np.random.default_rng(1).normal(-1, 1.5, size=4_000)
    margins = {"trees": noise, "linear": noise} | {right: margin}

    assert _share(margins["trees"], margins["linear"], expanded, 500) == share


def test_learners_that_know_as_much_leave_the_usual_share() -> None:
    margin, expanded, *_ = drawn(2_000, slope=1.0, intercept=0.0)

    assert _share(margin, margin, expanded, 300) == 0.25


def test_one_account_alone_does_not_move_the_share() -> None:
    """It is better by far on the rows of one account, and there only."""
    margin, expanded, *_ = drawn(400, slope=1.0, intercept=0.0)
    account = np.arange(400) // 4
    linear = np.where(account == 7, np.where(expanded > 0, 9.0, -9.0), margin)

    found = calibration.select_blend_weight(margin, linear, expanded, account, default_weight=0.25)

    assert found == 0.25


def test_few_expansions_leave_the_usual_share() -> None:
    expanded = np.zeros(300)
    expanded[:19] = 1

    assert _share(np.zeros(300), expanded * 4, expanded, 100) == 0.25
