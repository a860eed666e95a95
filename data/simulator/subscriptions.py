"""Subscription deals: first purchases, renewals, price rises, contractions, churn, expansions.

At most one deal per account and step. Seats signed for a later day (a deferred start, or the second
step of a ramp) are pending until then, and nothing else is signed in between.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from data.simulator import hazard
from data.simulator.account_state import (
    NEVER,
    STEP_DAYS,
    STEP_MONTHS,
    AccountState,
    AccountTraits,
    Generator,
    IntVector,
    LifecycleStatus,
    Vector,
)

__all__ = ["USAGE_LIMITS", "DealType", "Deals", "step_subscriptions"]

BoolVector = NDArray[np.bool_]

USAGE_LIMITS: Final = 1000.0 * np.array([10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000])
CONVERSION_RATE: Final = 0.85  # share of trials that become customers
MONTHLY_LAPSE_RATE: Final = 0.002  # contracts that end between renewals, per month
RAMP_SHARE: Final = 0.12  # share of seat deals signed in two steps
DEFERRED_SHARE: Final = 0.12  # share of seat expansions that start weeks after the signature
RAMP_DAYS: Final = 120.0
YEAR: Final = 365.0
CONTRACTION_COOLDOWN_DAYS: Final = 60.0


class DealType:
    """Deal types; ``NAMES`` holds the subscription history's ``change``, by position."""

    NAMES: Final = (
        "", "new", "organic", "true_up", "renewal", "price", "contraction", "churn", "churn"
    )  # fmt: skip
    NONE, NEW, ORGANIC, TRUE_UP, RENEWAL, PRICE, CONTRACTION, CHURN, LAPSE = range(9)


@dataclass(frozen=True)
class Deals:
    """The deals of one step, one value per account."""

    deal_type: IntVector  # of DealType
    day: Vector  # of the signature
    source: IntVector  # of the expansion, index into hazard.SOURCES; -1: none
    probability: Vector  # of an expansion in this step


def step_subscriptions(
    traits: AccountTraits, state: AccountState, day: float, rng: Generator, *, expand: bool = True
) -> tuple[AccountState, Deals]:
    """Return the accounts with their contracts after one step, and the signed deals.

    Without ``expand`` none expands: the ground truth follows such futures.
    """
    is_due = state.renewal < day + STEP_DAYS
    is_pending = state.pending_start < NEVER
    state = _activate_pending_seats(state, day)
    can_sign = state.is_paying & ~is_due & ~is_pending
    size = len(state.status)
    is_lapsing = can_sign & (rng.random(size) < -np.expm1(-STEP_MONTHS * MONTHLY_LAPSE_RATE))
    deal_type = np.where(is_lapsing, DealType.LAPSE, DealType.NONE)
    deal_type = np.where(state.is_paying & is_due, _renew_contracts(state, rng), deal_type)
    converted = np.where(rng.random(size) < CONVERSION_RATE, DealType.NEW, DealType.LAPSE)
    deal_type = np.where((state.status == LifecycleStatus.TRIAL) & is_due, converted, deal_type)
    rates = hazard.compute_hazard_rates(state, day) * (can_sign & ~is_lapsing)
    probability = -np.expm1(-STEP_MONTHS * rates.sum(axis=0))
    source = np.full(size, -1)
    if expand:
        source = np.where(rng.random(size) < probability, _sample_source(rates, rng), -1)
        expansion_type = np.where(
            source == hazard.TRUE_UP_SOURCE, DealType.TRUE_UP, DealType.ORGANIC
        )
        deal_type = np.where(source >= 0, expansion_type, deal_type)
    signature_day = np.where(
        is_due, np.maximum(state.renewal, day), _sample_workday(day, size, rng)
    )
    deals = Deals(deal_type, signature_day, source, probability)
    return _apply_deals(traits, state, deals, rng), deals


def _activate_pending_seats(state: AccountState, day: float) -> AccountState:
    """Activate seats that were signed earlier."""
    is_due = state.pending_start < day + STEP_DAYS
    return replace(
        state,
        seats=np.where(is_due, state.pending_seats, state.seats),
        pending_start=np.where(is_due, NEVER, state.pending_start),
    )


def _renew_contracts(state: AccountState, rng: Generator) -> IntVector:
    """Sample renewals: churn or contraction at low utilization, else a renewal or price rise."""
    churn_pressure = 1 / (1 + np.exp((state.utilization - 0.35) / 0.06))
    size = len(state.status)
    churns = rng.random(size) < 0.04 + 0.25 * churn_pressure
    contracts = (state.utilization < 0.6) & (rng.random(size) < 0.4)
    price_rises = rng.random(size) < 0.4
    renewal_types = np.where(
        contracts, DealType.CONTRACTION, np.where(price_rises, DealType.PRICE, DealType.RENEWAL)
    )
    return np.where(churns, DealType.CHURN, renewal_types)


def _sample_source(rates: Vector, rng: Generator) -> IntVector:
    """Sample the source of each expansion, in proportion to its rate."""
    cumulative = np.cumsum(rates, axis=0)
    return np.asarray((cumulative < rng.random(rates.shape[1]) * cumulative[-1]).sum(axis=0))


def _apply_deals(
    traits: AccountTraits, state: AccountState, deals: Deals, rng: Generator
) -> AccountState:
    deal_type = deals.deal_type
    if (deal_type == DealType.NEW).any():
        state = _apply_first_purchase(traits, state, deal_type == DealType.NEW, rng)
    is_renewed = np.isin(
        deal_type, (DealType.NEW, DealType.RENEWAL, DealType.PRICE, DealType.CONTRACTION)
    )
    price_factor = np.where(
        deal_type == DealType.PRICE, rng.uniform(1.03, 1.08, len(deal_type)), 1.0
    )
    reduced_seats = np.ceil(1.15 * state.users)
    end_status = np.where(
        deal_type == DealType.CHURN, LifecycleStatus.CHURNED, LifecycleStatus.LAPSED
    )
    is_ending = (deal_type == DealType.CHURN) | (deal_type == DealType.LAPSE)
    state = replace(
        state,
        status=np.where(is_ending, end_status, state.status),
        users=np.where(is_ending, 0.0, state.users),
        usage=np.where(is_ending, 0.0, state.usage),
        seats=np.where(
            deal_type == DealType.CONTRACTION, np.minimum(reduced_seats, state.seats), state.seats
        ),
        price=state.price * price_factor,
        renewal=np.where(is_renewed, deals.day + YEAR, state.renewal),
        last_purchase=_update_last_purchase(state, deals),
    )
    return _apply_expansions(state, deals, rng) if (deals.source >= 0).any() else state


def _update_last_purchase(state: AccountState, deals: Deals) -> Vector:
    """Return the day of the last purchase; a contraction counts as a purchase some days later."""
    is_purchase = (deals.source >= 0) | (deals.deal_type == DealType.NEW)
    last_purchase = np.where(is_purchase, deals.day, state.last_purchase)
    return np.where(
        deals.deal_type == DealType.CONTRACTION,
        deals.day + CONTRACTION_COOLDOWN_DAYS,
        last_purchase,
    )


def _apply_first_purchase(
    traits: AccountTraits, state: AccountState, buyers: BoolVector, rng: Generator
) -> AccountState:
    """Apply first purchases: planners buy for their final size, the others for the next months."""
    size = len(buyers)
    ceiling = (
        traits.department_size
        * traits.potential_departments
        * (1 - traits.leave_rate / traits.invitation_rate)
    )
    planned_seats = ceiling / np.maximum(traits.planned_utilization, 0.1)
    seats_ahead = np.maximum(traits.department_size * rng.uniform(1.1, 1.8, size), state.users + 2)
    seats = np.ceil(
        np.where(
            traits.planned_utilization > 0, np.maximum(planned_seats, state.users), seats_ahead
        )
    )
    plan = rng.choice([1.0, 2.0, 3.0], size, p=[0.65, 0.27, 0.08])
    expected_usage = traits.calls_per_automation * rng.uniform(1.0, 6.0, size)
    limit = np.where(traits.automation_rate > 0, _select_next_usage_limit(expected_usage), np.inf)
    is_ramp = buyers & (traits.planned_utilization == 0) & (rng.random(size) < RAMP_SHARE)
    return replace(
        state,
        status=np.where(buyers, LifecycleStatus.PAID, state.status),
        seats=np.where(buyers, seats, state.seats),
        plan=np.where(buyers, plan, state.plan),
        limit=np.where(buyers, limit, state.limit),
        pending_start=np.where(is_ramp, state.renewal + RAMP_DAYS, state.pending_start),
        pending_seats=np.where(is_ramp, np.ceil(1.5 * seats), state.pending_seats),
    )


def _apply_expansions(state: AccountState, deals: Deals, rng: Generator) -> AccountState:
    """Raise the limit that was reached; seats now, in two steps, or from a later day."""
    size = len(deals.source)
    kind = np.where(deals.source >= 0, np.array(hazard.EXPANSION_TYPES)[deals.source], "")
    increased_seats = np.ceil(state.users * rng.uniform(1.5, 2.4, size))
    increased_seats = np.maximum(
        increased_seats, state.seats + np.maximum(2, np.ceil(0.1 * state.seats))
    )
    is_true_up = deals.deal_type == DealType.TRUE_UP
    draws, has_time = rng.random(size), state.renewal > deals.day + RAMP_DAYS + STEP_DAYS
    is_seat_deal = (kind == "seats") & ~is_true_up
    is_deferred = is_seat_deal & has_time & (draws < DEFERRED_SHARE)
    is_ramp = is_seat_deal & has_time & ~is_deferred & (draws < DEFERRED_SHARE + RAMP_SHARE)
    is_pending = is_deferred | is_ramp
    start = deals.day + np.where(is_ramp, RAMP_DAYS, np.floor(rng.uniform(10, 45, size)))
    current_seats = np.where(
        is_true_up,
        np.ceil(state.users),
        np.where(is_seat_deal & ~is_deferred, increased_seats, state.seats),
    )
    return replace(
        state,
        seats=current_seats,
        limit=np.where(
            kind == "usage", _select_next_usage_limit(1.5 * state.usage, state.limit), state.limit
        ),
        plan=np.where(kind == "plan", state.plan + 1, state.plan),
        pending_start=np.where(is_pending, start, state.pending_start),
        pending_seats=np.where(
            is_pending,
            np.maximum(increased_seats, np.ceil(1.25 * current_seats)),
            state.pending_seats,
        ),
    )


def _select_next_usage_limit(usage: Vector, current: Vector | float = 0.0) -> Vector:
    """Return the smallest limit of the price list above the usage and the current limit."""
    floor = np.maximum(usage, np.where(np.isinf(current), 0, current))
    rank = np.searchsorted(USAGE_LIMITS, floor, side="right")
    return np.asarray(
        np.where(rank < len(USAGE_LIMITS), USAGE_LIMITS[rank % len(USAGE_LIMITS)], 2 * floor)
    )


def _sample_workday(day: float, size: int, rng: Generator) -> Vector:
    """Sample signature days among the step's workdays."""
    days = day + np.arange(STEP_DAYS)
    workdays = days[(days + 3) % 7 < 5]  # 1970-01-01 was a Thursday
    return np.asarray(rng.choice(workdays, size))
