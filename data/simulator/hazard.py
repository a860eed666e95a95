"""The known hazard of expansion: the sum of a few sources of pressure.

A limit alone causes no expansion. An account expands when it nears a limit *and* is still growing
towards it; one at the same high utilization for a year hardly ever does. Logins, tickets and NPS
have no effect here.
"""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Final

import numpy as np

from data.simulator.account_state import FEATURES_IN_PLAN, PLANS, STEP_DAYS, AccountState, Vector

__all__ = ["EXPANSION_TYPES", "SOURCES", "TRUE_UP_SOURCE", "compute_hazard_rates"]

SOURCES: Final[Mapping[str, str]] = {
    "seats filling up": "seats",
    "more people than seats": "seats",
    "API calls nearing the limit": "usage",
    "features outgrowing the plan": "plan",
    "new departments": "plan",
    "chance": "seats",
}
EXPANSION_TYPES: Final = tuple(SOURCES.values())
TRUE_UP_SOURCE: Final = 1  # index of the second source, which is booked as a true-up

# Monthly rates under full pressure.
SEAT_RATE: Final = 0.33
TRUE_UP_RATE: Final = 2.0  # within the last days of a quarter only
USAGE_RATE: Final = 0.34
PLAN_RATE: Final = 0.22
DEPARTMENT_RATE: Final = 0.55
BASELINE_RATE: Final = 0.003
PLATEAU_FACTOR: Final = 0.01  # remaining share of the pressure without growth
COOLDOWN_DAYS: Final = 90  # time constant after a purchase


def compute_hazard_rates(state: AccountState, day: float) -> Vector:
    """Return expansions per month, as if every account were free to sign, in a step from a day.

    Shape (len(SOURCES), n_accounts).
    """
    room = state.plan < len(PLANS) - 1
    depth = state.features / FEATURES_IN_PLAN[state.plan.astype(int)]
    load = state.usage / state.limit
    user_growth = _logistic(state.user_trend / np.maximum(state.seats, 1), 0.037, 0.007)
    feature_growth = np.maximum(_logistic(state.feature_trend, 0.5, 0.12), 0.5 * (depth >= 1))
    suppressed_growth = 0.5 * _logistic(state.utilization, 1.03, 0.02)  # limited by the licence
    suppressed_usage = 0.7 * _logistic(load, 1.03, 0.02)
    sources = [
        SEAT_RATE
        * _logistic(state.utilization, 0.84, 0.04)
        * _apply_floor(np.maximum(user_growth, suppressed_growth)),
        TRUE_UP_RATE * (state.utilization > 1) * _crosses_quarter_end(day),
        USAGE_RATE
        * _logistic(load, 0.82, 0.05)
        * _apply_floor(np.maximum(_logistic(state.usage_trend, 0.05, 0.015), suppressed_usage)),
        PLAN_RATE * _logistic(depth, 0.88, 0.04) * _apply_floor(feature_growth) * room,
        # Steep, so that the rate vanishes without a new department, which is the common case.
        DEPARTMENT_RATE
        * _logistic(depth, 0.7, 0.06)
        * _logistic(state.department_trend, 0.15, 0.02)
        * room,
        np.full_like(depth, BASELINE_RATE),
    ]
    recovery = -np.expm1(-np.maximum(day - state.last_purchase, 0) / COOLDOWN_DAYS)
    return np.stack(sources) * (_compute_seasonal_factor(day) * recovery)


def _logistic(value: Vector, midpoint: float, width: float) -> Vector:
    """Return a logistic curve from 0 to 1 around the midpoint."""
    return np.asarray(0.5 + 0.5 * np.tanh((value - midpoint) / (2 * width)))


def _apply_floor(growth: Vector) -> Vector:
    return PLATEAU_FACTOR + (1 - PLATEAU_FACTOR) * growth


def _to_date(day: float) -> date:
    return date(1970, 1, 1) + timedelta(days=int(day))


def _crosses_quarter_end(day: float) -> bool:
    start, end = _to_date(day), _to_date(day + STEP_DAYS)
    return (start.month - 1) // 3 != (end.month - 1) // 3


def _compute_seasonal_factor(day: float) -> float:
    """Return the seasonal factor: budgets close with the quarter, and most of all with the year."""
    today = _to_date(day)
    if today.month % 3:
        return 0.85
    return 1.6 if today.month == 12 else 1.3
