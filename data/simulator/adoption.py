"""How the product spreads inside an account: people, departments, features, API, integrations.

People follow a logistic curve under an internal ceiling: the departments reached so far, each with
so many people who could use the product. The ceiling rises when a new department is reached.
"""

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from data.simulator.account_state import (
    FEATURES_IN_PLAN,
    STEP_DAYS,
    STEP_MONTHS,
    AccountState,
    AccountTraits,
    Generator,
    LifecycleStatus,
    Vector,
)

__all__ = ["MAX_INTEGRATIONS", "start_trials", "step_adoption"]

MAX_INTEGRATIONS: Final = 8  # that one account connects at most
TRIAL_SEATS: Final = 10.0
_TREND_WEIGHT = 1 - np.exp(-STEP_DAYS / 45)  # a trend forgets with a time constant of 45 days
_USAGE_ADJUSTMENT = 1 - np.exp(-STEP_DAYS / 45)  # a new automation reaches its volume as slowly
_MAX_OVERUSE = (
    1.12  # the product slows people and scripts down beyond this share of what was bought
)


def start_trials(
    traits: AccountTraits, state: AccountState, day: float, rng: Generator
) -> AccountState:
    """Let the accounts whose day has come start their trial with a champion and some colleagues."""
    comes = (state.status == LifecycleStatus.BEFORE) & (traits.joined < day + STEP_DAYS)
    if not comes.any():
        return state
    people = 1.0 + rng.poisson(2.0, len(comes))
    return replace(
        state,
        status=np.where(comes, LifecycleStatus.TRIAL, state.status),
        people=np.where(comes, people, state.people),
        departments=np.where(comes, 1.0, state.departments),
        features=np.where(comes, 3.0, state.features),
        seats=np.where(comes, TRIAL_SEATS, state.seats),
        renewal=np.where(comes, traits.joined + traits.trial_days, state.renewal),
    )


def step_adoption(
    traits: AccountTraits, state: AccountState, rng: Generator
) -> tuple[AccountState, Vector, Vector]:
    """Let the product spread for one step.

    Parameters
    ----------
    traits, state : Traits, State
        The accounts at the start of the step.
    rng : numpy.random.Generator
        Source of all randomness.

    Returns
    -------
    State
        The accounts at the end of the step, contracts untouched.
    joined, left : numpy.ndarray, shape (n_accounts,)
        People who started and people who stopped within it.
    """
    alive = state.is_active
    fullness = state.people / np.maximum(traits.department_size * state.departments, 1)
    joined, left = _step_users(traits, state, fullness, rng)
    departments = _sample_occurrence(rng, traits.spread * np.clip(fullness, 0, 1), alive)
    departments *= state.departments < traits.departments
    joined = joined + departments  # one of its people is how a department is reached
    tried = rng.poisson(
        alive * STEP_MONTHS * traits.pace * _remaining_share(state.features, traits.curiosity)
    )
    gate = FEATURES_IN_PLAN[state.plan.astype(int)]
    features = np.minimum(state.features + tried, np.maximum(gate, state.features))
    room = _remaining_share(state.automations, traits.automations)
    automations = state.automations + rng.poisson(alive * STEP_MONTHS * traits.building * room)
    usage = _step_usage(traits, state, automations, rng) * alive
    room = _remaining_share(state.integrations, MAX_INTEGRATIONS)
    connected = rng.poisson(alive * STEP_MONTHS * traits.connecting * room)
    grown = replace(
        state,
        people=state.people + joined - left,
        departments=state.departments + departments,
        features=features,
        automations=automations,
        integrations=np.minimum(state.integrations + connected, MAX_INTEGRATIONS),
        usage=usage,
        people_trend=_update_trend(state.people_trend, joined - left),
        department_trend=_update_trend(state.department_trend, departments),
        feature_trend=_update_trend(state.feature_trend, features - state.features),
        usage_trend=_update_trend(state.usage_trend, np.log((usage + 100) / (state.usage + 100))),
    )
    return grown, joined, left


def _step_users(
    traits: AccountTraits, state: AccountState, fullness: Vector, rng: Generator
) -> tuple[Vector, Vector]:
    """Those who are in invite others, as far as the licence goes; some stop, never the last."""
    brake = np.clip((_MAX_OVERUSE - state.utilization) / (_MAX_OVERUSE - 1), 0, 1)
    brake = np.where(state.is_paying, brake, 1.0)
    invited = traits.growth * state.people * np.clip(1 - fullness, 0, 1) * brake
    joined = rng.poisson(state.is_active * STEP_MONTHS * invited).astype(float)
    left = rng.poisson(state.is_active * STEP_MONTHS * traits.turnover * state.people)
    return joined, np.minimum(left, np.maximum(state.people - 1, 0)).astype(float)


def _step_usage(
    traits: AccountTraits, state: AccountState, automations: Vector, rng: Generator
) -> Vector:
    """API calls settle at what the automations need, up to a little above what was bought."""
    wanted = automations * traits.calls
    usage = state.usage + (wanted - state.usage) * _USAGE_ADJUSTMENT
    usage = usage * np.exp(0.02 * rng.standard_normal(len(usage)))
    return np.asarray(np.minimum(usage, _MAX_OVERUSE * state.limit))


def _remaining_share(current: Vector, maximum: Vector | float) -> Vector:
    return np.asarray(np.clip(1 - current / maximum, 0, 1))


def _sample_occurrence(rng: Generator, monthly_rate: Vector, eligible: NDArray[np.bool_]) -> Vector:
    happens = rng.random(len(monthly_rate)) < -np.expm1(-STEP_MONTHS * monthly_rate)
    return np.asarray(happens & eligible, dtype=float)


def _update_trend(trend: Vector, change: Vector) -> Vector:
    return np.asarray(trend + (change / STEP_MONTHS - trend) * _TREND_WEIGHT)
