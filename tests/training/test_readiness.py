"""Dates are read off the curve as a constant hazard, worked out by hand, says they should be."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.model import event_date

HORIZONS = (14, 30, 45, 60, 90, 120, 180)

steps = st.sampled_from([0.0, 0.0, 1e-12, 1e-3, 0.1, 1.0]) | st.floats(0, 1)
# A curve that rises by a share of what is left at each horizon: flat, steep, or certain.
curves = st.lists(st.lists(steps, min_size=7, max_size=7), min_size=1, max_size=5).map(
    lambda rows: 1 - np.cumprod(1 - np.array(rows), axis=1)
)


def constant(rate: float, horizons: tuple[int, ...]) -> np.ndarray:
    return -np.expm1(-rate * np.array([horizons], dtype=np.float64))


@pytest.mark.parametrize("rate", [1e-6, 0.001, 0.01, 0.05])
@pytest.mark.parametrize("horizons", [HORIZONS, (60,), (14,), (30, 90)])
def test_a_constant_hazard_gives_the_dates_worked_out_by_hand(
    rate: float, horizons: tuple[int, ...]
) -> None:
    found = event_date.estimate_event_dates(constant(rate, horizons), horizons)

    within = 1 - np.exp(-180 * rate)
    days = [-np.log(1 - quantile * within) / rate for quantile in (0.1, 0.5, 0.9)]
    assert found.probability_180d[0] == pytest.approx(within)
    assert [found.early[0], found.median[0], found.late[0]] == pytest.approx(days, rel=1e-6)
    assert found.width[0] == pytest.approx(days[2] - days[0], rel=1e-6)


def test_a_hazard_that_all_comes_late_is_dated_late() -> None:
    curve = np.array([[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.3]])

    found = event_date.estimate_event_dates(curve, HORIZONS)

    assert found.early[0] > 120
    assert found.late[0] <= 180


def test_where_the_curve_is_flat_the_earliest_day_counts() -> None:
    curve = np.array([[0.5, 0.5, 1.0]])

    found = event_date.estimate_event_dates(curve, (30, 90, 180))

    # Half of everything is reached on day 30, and nothing is added until day 90.
    assert found.median[0] == pytest.approx(30, abs=1e-6)


@given(curves)
def test_quantiles_are_ordered_and_lie_within_the_180_days(curve: np.ndarray) -> None:
    found = event_date.estimate_event_dates(curve, HORIZONS)

    assert (found.early >= 0).all()
    assert (found.early <= found.median).all()
    assert (found.median <= found.late).all()
    assert (found.late <= event_date.MAX_HORIZON_DAYS).all()
    assert found.probability_180d == pytest.approx(curve[:, -1], abs=1e-8)


@given(curves)
def test_each_account_is_dated_on_its_own(curve: np.ndarray) -> None:
    together = event_date.estimate_event_dates(curve, HORIZONS)

    alone = [
        event_date.estimate_event_dates(curve[[row]], HORIZONS).median[0]
        for row in range(len(curve))
    ]

    assert together.median.tolist() == alone


@given(st.floats(0, 1), st.integers(7, 180))
def test_one_horizon_is_carried_on_to_180_days(probability: float, horizon: int) -> None:
    found = event_date.estimate_event_dates(np.array([[probability]]), [horizon])

    assert found.probability_180d[0] >= probability - 1e-8
    assert 0 <= found.early[0] <= found.median[0] <= found.late[0] <= event_date.MAX_HORIZON_DAYS
