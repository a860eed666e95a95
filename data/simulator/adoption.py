"""How the product spreads inside an account: people, departments, features, API, integrations.

People follow a logistic curve under an internal ceiling: the departments reached so far, each with
so many people who could use the product. The ceiling rises when a new department is reached.
"""

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from data.simulator.state import (
    FEATURES_IN_PLAN,
    MONTH,
    STEP_DAYS,
    Generator,
    State,
    Status,
    Traits,
    Vector,
)

__all__ = ["INTEGRATIONS", "grow", "sign_up"]

INTEGRATIONS: Final = 8  # that one account connects at most
TRIAL_SEATS: Final = 10.0
_MEMORY = 1 - np.exp(-STEP_DAYS / 45)  # a trend forgets with a time constant of 45 days
_SETTLE = 1 - np.exp(-STEP_DAYS / 45)  # a new automation reaches its volume as slowly
_OVERUSE = 1.12  # the product slows people and scripts down beyond this share of what was bought


def sign_up(traits: Traits, state: State, day: float, rng: Generator) -> State:
    """Let the accounts whose day has come start their trial with a champion and some colleagues."""
    comes = (state.status == Status.BEFORE) & (traits.joined < day + STEP_DAYS)
    if not comes.any():
        return state
    people = 1.0 + rng.poisson(2.0, len(comes))
    return replace(
        state,
        status=np.where(comes, Status.TRIAL, state.status),
        people=np.where(comes, people, state.people),
        departments=np.where(comes, 1.0, state.departments),
        features=np.where(comes, 3.0, state.features),
        seats=np.where(comes, TRIAL_SEATS, state.seats),
        renewal=np.where(comes, traits.joined + traits.trial_days, state.renewal),
    )


def grow(traits: Traits, state: State, rng: Generator) -> tuple[State, Vector, Vector]:
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
    alive = state.alive
    fullness = state.people / np.maximum(traits.department_size * state.departments, 1)
    joined, left = _people(traits, state, fullness, rng)
    departments = _chance(rng, traits.spread * np.clip(fullness, 0, 1), alive)
    departments *= state.departments < traits.departments
    joined = joined + departments  # one of its people is how a department is reached
    tried = rng.poisson(alive * MONTH * traits.pace * _left(state.features, traits.curiosity))
    gate = FEATURES_IN_PLAN[state.plan.astype(int)]
    features = np.minimum(state.features + tried, np.maximum(gate, state.features))
    room = _left(state.automations, traits.automations)
    automations = state.automations + rng.poisson(alive * MONTH * traits.building * room)
    usage = _usage(traits, state, automations, rng) * alive
    room = _left(state.integrations, INTEGRATIONS)
    connected = rng.poisson(alive * MONTH * traits.connecting * room)
    grown = replace(
        state,
        people=state.people + joined - left,
        departments=state.departments + departments,
        features=features,
        automations=automations,
        integrations=np.minimum(state.integrations + connected, INTEGRATIONS),
        usage=usage,
        people_trend=_smooth(state.people_trend, joined - left),
        department_trend=_smooth(state.department_trend, departments),
        feature_trend=_smooth(state.feature_trend, features - state.features),
        usage_trend=_smooth(state.usage_trend, np.log((usage + 100) / (state.usage + 100))),
    )
    return grown, joined, left


def _people(
    traits: Traits, state: State, fullness: Vector, rng: Generator
) -> tuple[Vector, Vector]:
    """Those who are in invite others, as far as the licence goes; some stop, never the last."""
    brake = np.clip((_OVERUSE - state.utilization) / (_OVERUSE - 1), 0, 1)
    brake = np.where(state.paid, brake, 1.0)
    invited = traits.growth * state.people * np.clip(1 - fullness, 0, 1) * brake
    joined = rng.poisson(state.alive * MONTH * invited).astype(float)
    left = rng.poisson(state.alive * MONTH * traits.turnover * state.people)
    return joined, np.minimum(left, np.maximum(state.people - 1, 0)).astype(float)


def _usage(traits: Traits, state: State, automations: Vector, rng: Generator) -> Vector:
    """API calls settle at what the automations need, up to a little above what was bought."""
    wanted = automations * traits.calls
    usage = state.usage + (wanted - state.usage) * _SETTLE
    usage = usage * np.exp(0.02 * rng.standard_normal(len(usage)))
    return np.asarray(np.minimum(usage, _OVERUSE * state.limit))


def _left(have: Vector, most: Vector | float) -> Vector:
    return np.asarray(np.clip(1 - have / most, 0, 1))


def _chance(rng: Generator, monthly_rate: Vector, open_to: NDArray[np.bool_]) -> Vector:
    happens = rng.random(len(monthly_rate)) < -np.expm1(-MONTH * monthly_rate)
    return np.asarray(happens & open_to, dtype=float)


def _smooth(trend: Vector, change: Vector) -> Vector:
    return np.asarray(trend + (change / MONTH - trend) * _MEMORY)
