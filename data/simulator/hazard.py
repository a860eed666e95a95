"""Why accounts expand: the known hazard, the sum of a few sources of pressure.

A limit alone moves nobody. An account expands when it nears a limit *and* is still growing towards
it; one that has sat at the same high utilisation for a year hardly ever does. Logins, tickets and
NPS appear nowhere in here.
"""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Final

import numpy as np

from data.simulator.account_state import FEATURES_IN_PLAN, PLANS, STEP_DAYS, AccountState, Vector

__all__ = ["EXPANSION_TYPES", "SOURCES", "TRUE_UP_SOURCE", "hazard_rates"]

SOURCES: Final[Mapping[str, str]] = {
    "seats filling up": "seats",
    "more people than seats": "seats",
    "API calls nearing the limit": "usage",
    "features outgrowing the plan": "plan",
    "new departments": "plan",
    "chance": "seats",
}
EXPANSION_TYPES: Final = tuple(SOURCES.values())
TRUE_UP_SOURCE: Final = 1  # place of the second source, which is settled by a true-up

# Monthly rates under full pressure.
SEAT_RATE: Final = 0.33
TRUE_UP_RATE: Final = 2.0  # within the last days of a quarter only
USAGE_RATE: Final = 0.34
PLAN_RATE: Final = 0.22
DEPARTMENT_RATE: Final = 0.55
BASELINE_RATE: Final = 0.003
PLATEAU_FACTOR: Final = 0.01  # what is left of the pressure of a limit when nothing grows
COOLDOWN_DAYS: Final = 90  # an account that has just bought does not buy again at once


def hazard_rates(state: AccountState, day: float) -> Vector:
    """Say how strongly each source pushes each account to expand.

    Parameters
    ----------
    state : State
        The accounts at the start of a step.
    day : float
        The step's first day, for the season.

    Returns
    -------
    numpy.ndarray, shape (len(SOURCES), n_accounts)
        Expansions per month, by source, as if every account were free to sign.
    """
    room = state.plan < len(PLANS) - 1
    depth = state.features / FEATURES_IN_PLAN[state.plan.astype(int)]
    load = state.usage / state.limit
    gaining = _logistic(state.people_trend / np.maximum(state.seats, 1), 0.037, 0.007)
    adopting = np.maximum(_logistic(state.feature_trend, 0.5, 0.12), 0.5 * (depth >= 1))
    waiting = 0.5 * _logistic(
        state.utilization, 1.03, 0.02
    )  # held back by the licence, not content
    throttled = 0.7 * _logistic(load, 1.03, 0.02)
    sources = [
        SEAT_RATE
        * _logistic(state.utilization, 0.84, 0.04)
        * _with_floor(np.maximum(gaining, waiting)),
        TRUE_UP_RATE * (state.utilization > 1) * _crosses_quarter_end(day),
        USAGE_RATE
        * _logistic(load, 0.82, 0.05)
        * _with_floor(np.maximum(_logistic(state.usage_trend, 0.05, 0.015), throttled)),
        PLAN_RATE * _logistic(depth, 0.88, 0.04) * _with_floor(adopting) * room,
        # So steep that nothing is left where no department is new: most accounts have none.
        DEPARTMENT_RATE
        * _logistic(depth, 0.7, 0.06)
        * _logistic(state.department_trend, 0.15, 0.02)
        * room,
        np.full_like(depth, BASELINE_RATE),
    ]
    rested = -np.expm1(-np.maximum(day - state.rests, 0) / COOLDOWN_DAYS)
    return np.stack(sources) * (_seasonal_factor(day) * rested)


def _logistic(value: Vector, midpoint: float, width: float) -> Vector:
    """Climb from 0 to 1 around the middle (logistic)."""
    return np.asarray(0.5 + 0.5 * np.tanh((value - midpoint) / (2 * width)))


def _with_floor(growth: Vector) -> Vector:
    return PLATEAU_FACTOR + (1 - PLATEAU_FACTOR) * growth


def _to_date(day: float) -> date:
    return date(1970, 1, 1) + timedelta(days=int(day))


def _crosses_quarter_end(day: float) -> bool:
    now, after = _to_date(day), _to_date(day + STEP_DAYS)
    return (now.month - 1) // 3 != (after.month - 1) // 3


def _seasonal_factor(day: float) -> float:
    """Budgets close with the quarter, and most of all with the year."""
    now = _to_date(day)
    if now.month % 3:
        return 0.85
    return 1.6 if now.month == 12 else 1.3
