"""Why accounts expand: the known hazard, the sum of a few sources of pressure.

A limit alone moves nobody. An account expands when it nears a limit *and* is still growing towards
it; one that has sat at the same high utilisation for a year hardly ever does. Logins, tickets and
NPS appear nowhere in here.
"""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Final

import numpy as np

from data.simulator.state import FEATURES_IN_PLAN, PLANS, STEP_DAYS, State, Vector

__all__ = ["KINDS", "OVERRUN", "SOURCES", "rates"]

SOURCES: Final[Mapping[str, str]] = {
    "seats filling up": "seats",
    "more people than seats": "seats",
    "API calls nearing the limit": "usage",
    "features outgrowing the plan": "plan",
    "new departments": "plan",
    "chance": "seats",
}
KINDS: Final = tuple(SOURCES.values())
OVERRUN: Final = 1  # place of the second source, which is settled by a true-up

# Monthly rates under full pressure.
FILLING: Final = 0.33
TRUE_UP: Final = 2.0  # within the last days of a quarter only
CALLS: Final = 0.34
DEPTH: Final = 0.22
LATERAL: Final = 0.55
CHANCE: Final = 0.003
FLAT: Final = 0.01  # what is left of the pressure of a limit when nothing grows
REST_DAYS: Final = 90  # an account that has just bought does not buy again at once


def rates(state: State, day: float) -> Vector:
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
    gaining = _rise(state.people_trend / np.maximum(state.seats, 1), 0.037, 0.007)
    adopting = np.maximum(_rise(state.feature_trend, 0.5, 0.12), 0.5 * (depth >= 1))
    waiting = 0.5 * _rise(state.utilization, 1.03, 0.02)  # held back by the licence, not content
    throttled = 0.7 * _rise(load, 1.03, 0.02)
    sources = [
        FILLING * _rise(state.utilization, 0.84, 0.04) * _floor(np.maximum(gaining, waiting)),
        TRUE_UP * (state.utilization > 1) * _ends_quarter(day),
        CALLS
        * _rise(load, 0.82, 0.05)
        * _floor(np.maximum(_rise(state.usage_trend, 0.05, 0.015), throttled)),
        DEPTH * _rise(depth, 0.88, 0.04) * _floor(adopting) * room,
        # So steep that nothing is left where no department is new: most accounts have none.
        LATERAL * _rise(depth, 0.7, 0.06) * _rise(state.department_trend, 0.15, 0.02) * room,
        np.full_like(depth, CHANCE),
    ]
    rested = -np.expm1(-np.maximum(day - state.rests, 0) / REST_DAYS)
    return np.stack(sources) * (_season(day) * rested)


def _rise(level: Vector, middle: float, width: float) -> Vector:
    """Climb from 0 to 1 around the middle (logistic)."""
    return np.asarray(0.5 + 0.5 * np.tanh((level - middle) / (2 * width)))


def _floor(growth: Vector) -> Vector:
    return FLAT + (1 - FLAT) * growth


def _date(day: float) -> date:
    return date(1970, 1, 1) + timedelta(days=int(day))


def _ends_quarter(day: float) -> bool:
    now, after = _date(day), _date(day + STEP_DAYS)
    return (now.month - 1) // 3 != (after.month - 1) // 3


def _season(day: float) -> float:
    """Budgets close with the quarter, and most of all with the year."""
    now = _date(day)
    if now.month % 3:
        return 0.85
    return 1.6 if now.month == 12 else 1.3
