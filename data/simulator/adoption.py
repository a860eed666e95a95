"""Adoption inside an account: users, departments, features, API use, integrations.

Users follow a logistic curve towards a ceiling: the departments reached so far times the people in
each who could use the product. The ceiling rises when a new department is reached.
"""

from dataclasses import replace
from typing import Final

import numpy as np

from data.simulator.account_state import (
    FEATURES_IN_PLAN,
    STEP_DAYS,
    STEP_MONTHS,
    AccountState,
    AccountTraits,
    Generator,
    IntVector,
    LifecycleStatus,
    Vector,
)

__all__ = ["MAX_INTEGRATIONS", "start_trials", "step_adoption"]

MAX_INTEGRATIONS: Final = 8  # per account
TRIAL_SEATS: Final = 10.0
_SMOOTHING_WEIGHT = 1 - np.exp(-STEP_DAYS / 45)  # of trends and usage: time constant of 45 days
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
    """Return the accounts after one step, contracts unchanged, and users who joined and left."""
    saturation = state.users / np.maximum(traits.department_size * state.departments, 1)
    joined, left = _step_users(traits, state, saturation, rng)
    department_rate = traits.department_rate * np.clip(saturation, 0, 1)
    is_reached = rng.random(len(saturation)) < -np.expm1(-STEP_MONTHS * department_rate)
    has_more = state.departments < traits.potential_departments
    departments = (is_reached & state.is_active & has_more).astype(float)
    joined = joined + departments  # a department is reached through one of its users
    adopted = _sample_growth(state, traits.feature_rate, state.features, traits.max_features, rng)
    plan_features = FEATURES_IN_PLAN[state.plan.astype(int)]
    features = np.minimum(state.features + adopted, np.maximum(plan_features, state.features))
    automations = state.automations + _sample_growth(
        state, traits.automation_rate, state.automations, traits.max_automations, rng
    )
    usage = _step_usage(traits, state, automations, rng) * state.is_active
    connected = _sample_growth(
        state, traits.integration_rate, state.integrations, MAX_INTEGRATIONS, rng
    )
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
    usage = state.usage + (demand - state.usage) * _SMOOTHING_WEIGHT
    usage = usage * np.exp(0.02 * rng.standard_normal(len(usage)))
    return np.asarray(np.minimum(usage, _MAX_UTILIZATION * state.limit))


def _sample_growth(
    state: AccountState,
    monthly_rate: Vector,
    current: Vector,
    maximum: Vector | float,
    rng: Generator,
) -> IntVector:
    """Sample how many are added in a step; the rate falls as the maximum comes near."""
    remaining_share = np.clip(1 - current / maximum, 0, 1)
    return rng.poisson(state.is_active * STEP_MONTHS * monthly_rate * remaining_share)


def _update_trend(trend: Vector, change: Vector) -> Vector:
    return np.asarray(trend + (change / STEP_MONTHS - trend) * _SMOOTHING_WEIGHT)
