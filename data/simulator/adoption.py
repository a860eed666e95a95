"""Adoption inside an account: users, departments, features, API use, integrations.

Users follow a logistic curve towards a ceiling: the departments reached so far times the people in
each who could use the product. The ceiling rises when a new department is reached.
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

MAX_INTEGRATIONS: Final = 8  # per account
TRIAL_SEATS: Final = 10.0
_TREND_WEIGHT = 1 - np.exp(-STEP_DAYS / 45)  # time constant of 45 days
_USAGE_ADJUSTMENT_WEIGHT = 1 - np.exp(-STEP_DAYS / 45)  # time constant of 45 days
_MAX_UTILIZATION = 1.12  # use is throttled beyond this share of the licensed amount


def start_trials(
    traits: AccountTraits, state: AccountState, day: float, rng: Generator
) -> AccountState:
    """Start the trial of accounts that join in this step, with a champion and some colleagues."""
    joins = (state.status == LifecycleStatus.BEFORE) & (traits.sign_up_day < day + STEP_DAYS)
    if not joins.any():
        return state
    initial_users = 1.0 + rng.poisson(2.0, len(joins))
    return replace(
        state,
        status=np.where(joins, LifecycleStatus.TRIAL, state.status),
        users=np.where(joins, initial_users, state.users),
        departments=np.where(joins, 1.0, state.departments),
        features=np.where(joins, 3.0, state.features),
        seats=np.where(joins, TRIAL_SEATS, state.seats),
        renewal=np.where(joins, traits.sign_up_day + traits.trial_days, state.renewal),
    )


def step_adoption(
    traits: AccountTraits, state: AccountState, rng: Generator
) -> tuple[AccountState, Vector, Vector]:
    """Advance the product's adoption by one step.

    Parameters
    ----------
    traits, state : AccountTraits, AccountState
        The accounts at the start of the step.
    rng : numpy.random.Generator
        Source of all randomness.

    Returns
    -------
    AccountState
        The accounts at the end of the step, contracts unchanged.
    joined, left : numpy.ndarray, shape (n_accounts,)
        Users who started and users who stopped within it.
    """
    is_active = state.is_active
    saturation = state.users / np.maximum(traits.department_size * state.departments, 1)
    joined, left = _step_users(traits, state, saturation, rng)
    departments = _sample_occurrence(
        rng, traits.department_rate * np.clip(saturation, 0, 1), is_active
    )
    departments *= state.departments < traits.potential_departments
    joined = joined + departments  # a department is reached through one of its users
    adopted = rng.poisson(
        is_active
        * STEP_MONTHS
        * traits.feature_rate
        * _compute_remaining_share(state.features, traits.max_features)
    )
    plan_features = FEATURES_IN_PLAN[state.plan.astype(int)]
    features = np.minimum(state.features + adopted, np.maximum(plan_features, state.features))
    remaining = _compute_remaining_share(state.automations, traits.max_automations)
    automations = state.automations + rng.poisson(
        is_active * STEP_MONTHS * traits.automation_rate * remaining
    )
    usage = _step_usage(traits, state, automations, rng) * is_active
    remaining = _compute_remaining_share(state.integrations, MAX_INTEGRATIONS)
    connected = rng.poisson(is_active * STEP_MONTHS * traits.integration_rate * remaining)
    new_state = replace(
        state,
        users=state.users + joined - left,
        departments=state.departments + departments,
        features=features,
        automations=automations,
        integrations=np.minimum(state.integrations + connected, MAX_INTEGRATIONS),
        usage=usage,
        user_trend=_update_trend(state.user_trend, joined - left),
        department_trend=_update_trend(state.department_trend, departments),
        feature_trend=_update_trend(state.feature_trend, features - state.features),
        usage_trend=_update_trend(state.usage_trend, np.log((usage + 100) / (state.usage + 100))),
    )
    return new_state, joined, left


def _step_users(
    traits: AccountTraits, state: AccountState, saturation: Vector, rng: Generator
) -> tuple[Vector, Vector]:
    """Sample invitations, limited by the licensed seats, and churned users, never the last one."""
    throttle = np.clip((_MAX_UTILIZATION - state.utilization) / (_MAX_UTILIZATION - 1), 0, 1)
    throttle = np.where(state.is_paying, throttle, 1.0)
    invited = traits.invitation_rate * state.users * np.clip(1 - saturation, 0, 1) * throttle
    joined = rng.poisson(state.is_active * STEP_MONTHS * invited).astype(float)
    left = rng.poisson(state.is_active * STEP_MONTHS * traits.leave_rate * state.users)
    return joined, np.minimum(left, np.maximum(state.users - 1, 0)).astype(float)


def _step_usage(
    traits: AccountTraits, state: AccountState, automations: Vector, rng: Generator
) -> Vector:
    """Adjust API calls towards the automations' demand, up to a little above the usage limit."""
    demand = automations * traits.calls_per_automation
    usage = state.usage + (demand - state.usage) * _USAGE_ADJUSTMENT_WEIGHT
    usage = usage * np.exp(0.02 * rng.standard_normal(len(usage)))
    return np.asarray(np.minimum(usage, _MAX_UTILIZATION * state.limit))


def _compute_remaining_share(current: Vector, maximum: Vector | float) -> Vector:
    return np.asarray(np.clip(1 - current / maximum, 0, 1))


def _sample_occurrence(rng: Generator, monthly_rate: Vector, eligible: NDArray[np.bool_]) -> Vector:
    occurs = rng.random(len(monthly_rate)) < -np.expm1(-STEP_MONTHS * monthly_rate)
    return np.asarray(occurs & eligible, dtype=float)


def _update_trend(trend: Vector, change: Vector) -> Vector:
    return np.asarray(trend + (change / STEP_MONTHS - trend) * _TREND_WEIGHT)
