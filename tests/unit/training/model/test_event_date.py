"""Expected dates match the hand-worked quantiles of a constant hazard."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.model import event_date

HORIZONS = (14, 30, 45, 60, 90, 120, 180)

steps = st.sampled_from([0.0, 0.0, 1e-12, 1e-3, 0.1, 1.0]) | st.floats(0, 1)
# The hazard of each horizon is a share of the remainder: zero, small, or one.
curves = st.lists(st.lists(steps, min_size=7, max_size=7), min_size=1, max_size=5).map(
    lambda rows: 1 - np.cumprod(1 - np.array(rows), axis=1)
)


def constant_hazard(rate: float, horizons: tuple[int, ...]) -> np.ndarray:
    return -np.expm1(-rate * np.array([horizons], dtype=np.float64))


@pytest.mark.parametrize("rate", [1e-6, 0.001, 0.01, 0.05])
@pytest.mark.parametrize("horizons", [HORIZONS, (60,), (14,), (30, 90)])
def test_a_constant_hazard_gives_the_hand_worked_dates(
    rate: float, horizons: tuple[int, ...]
) -> None:
    dates = event_date.estimate_event_dates(constant_hazard(rate, horizons), horizons)

    probability_180d = 1 - np.exp(-180 * rate)
    days = [-np.log(1 - quantile * probability_180d) / rate for quantile in (0.1, 0.5, 0.9)]
    assert dates.probability_180d[0] == pytest.approx(probability_180d)
    assert [dates.early[0], dates.median[0], dates.late[0]] == pytest.approx(days, rel=1e-6)
    assert dates.width[0] == pytest.approx(days[2] - days[0], rel=1e-6)


def test_a_late_hazard_gives_a_late_date() -> None:
    curve = np.array([[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.3]])

    dates = event_date.estimate_event_dates(curve, HORIZONS)

    assert dates.early[0] > 120
    assert dates.late[0] <= 180


def test_on_a_flat_curve_the_earliest_day_counts() -> None:
    curve = np.array([[0.5, 0.5, 1.0]])

    dates = event_date.estimate_event_dates(curve, (30, 90, 180))

    # Half of the total is reached on day 30; the hazard is zero until day 90.
    assert dates.median[0] == pytest.approx(30, abs=1e-6)


@given(curves)
def test_quantiles_are_ordered_and_lie_within_the_180_days(curve: np.ndarray) -> None:
    dates = event_date.estimate_event_dates(curve, HORIZONS)

    assert (dates.early >= 0).all()
    assert (dates.early <= dates.median).all()
    assert (dates.median <= dates.late).all()
    assert (dates.late <= event_date.MAX_HORIZON_DAYS).all()
    assert dates.probability_180d == pytest.approx(curve[:, -1], abs=1e-8)


@given(curves)
def test_dates_of_an_account_do_not_depend_on_others(curve: np.ndarray) -> None:
    together = event_date.estimate_event_dates(curve, HORIZONS)

    alone = [
        event_date.estimate_event_dates(curve[[row]], HORIZONS).median[0]
        for row in range(len(curve))
    ]

    assert together.median.tolist() == alone


@given(st.floats(0, 1), st.integers(7, 180))
def test_a_single_horizon_is_extrapolated_to_180_days(probability: float, horizon: int) -> None:
    dates = event_date.estimate_event_dates(np.array([[probability]]), [horizon])

    assert dates.probability_180d[0] >= probability - 1e-8
    assert 0 <= dates.early[0] <= dates.median[0] <= dates.late[0] <= event_date.MAX_HORIZON_DAYS
