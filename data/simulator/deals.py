"""What is signed: first purchases, renewals, price rises, contractions, churn, expansions.

At most one deal per account and step. Seats signed for a later day (a deferred start, or the second
step of a ramp) are pending until then, and nothing else is signed in between.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from data.simulator import pressure
from data.simulator.state import (
    MONTH,
    NEVER,
    STEP_DAYS,
    Generator,
    Integers,
    State,
    Status,
    Traits,
    Vector,
)

__all__ = ["LIMITS", "Change", "Deals", "sign"]

Flags = NDArray[np.bool_]

LIMITS: Final = 1000.0 * np.array([10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000])
CONVERTS: Final = 0.85  # share of trials that become customers
LAPSES: Final = 0.002  # contracts that end between renewals, per month
RAMPS: Final = 0.12  # share of seat deals signed in two steps
DEFERRED: Final = 0.12  # share of seat expansions that start weeks after the signature
RAMP_DAYS: Final = 120.0
YEAR: Final = 365.0
REGRET_DAYS: Final = 60.0


class Change:
    """What a deal is; the values of the contract history's ``change`` by position."""

    NAMES: Final = (
        "", "new", "organic", "true_up", "renewal", "price", "contraction", "churn", "churn"
    )  # fmt: skip
    NONE, NEW, ORGANIC, TRUE_UP, RENEWAL, PRICE, CONTRACTION, CHURN, LAPSE = range(9)


@dataclass(frozen=True)
class Deals:
    """What one step signed, one value per account."""

    change: Integers  # of Change
    day: Vector  # of the signature
    source: Integers  # of the expansion, index into pressure.SOURCES; -1: none
    chance: Vector  # of an expansion in this step, before the dice


def sign(
    traits: Traits, state: State, day: float, rng: Generator, *, expand: bool = True
) -> tuple[State, Deals]:
    """Settle one step's contracts.

    Parameters
    ----------
    traits, state : Traits, State
        The accounts; their contracts at the start of the step.
    day : float
        The step's first day.
    rng : numpy.random.Generator
        Source of all randomness.
    expand : bool, default True
        Whether the dice for expansions are thrown; the truth follows accounts that do not.

    Returns
    -------
    State, Deals
        The contracts at the end of the step, and what was signed.
    """
    due = state.renewal < day + STEP_DAYS
    waiting = state.pending < NEVER
    state = _deliver(state, day)
    free = state.paid & ~due & ~waiting
    lapses = free & _happens(rng, -np.expm1(-MONTH * LAPSES), state)
    change = np.where(lapses, Change.LAPSE, Change.NONE)
    change = np.where(state.paid & due, _renewal(state, rng), change)
    change = np.where((state.status == Status.TRIAL) & due, _trial(state, rng), change)
    pushes = pressure.rates(state, day) * (free & ~lapses)
    chance = -np.expm1(-MONTH * pushes.sum(axis=0))
    source = np.full(len(change), -1)
    if expand:
        source = np.where(_happens(rng, chance, state), _choose(pushes, rng), -1)
        booked = np.where(source == pressure.OVERRUN, Change.TRUE_UP, Change.ORGANIC)
        change = np.where(source >= 0, booked, change)
    when = np.where(due, np.maximum(state.renewal, day), _workday(day, len(change), rng))
    deals = Deals(change, when, source, chance)
    return _apply(traits, state, deals, rng), deals


def _deliver(state: State, day: float) -> State:
    """Let seats signed earlier come into force."""
    due = state.pending < day + STEP_DAYS
    return replace(
        state,
        seats=np.where(due, state.pending_seats, state.seats),
        pending=np.where(due, NEVER, state.pending),
    )


def _trial(state: State, rng: Generator) -> Integers:
    return np.where(_happens(rng, CONVERTS, state), Change.NEW, Change.LAPSE)


def _renewal(state: State, rng: Generator) -> Integers:
    """Leave when few seats are used, cut the idle ones, or renew, perhaps at a higher price."""
    idle = 1 / (1 + np.exp((state.utilization - 0.35) / 0.06))
    leaves = _happens(rng, 0.04 + 0.25 * idle, state)
    cuts = (state.utilization < 0.6) & _happens(rng, 0.4, state)
    dearer = _happens(rng, 0.4, state)
    stays = np.where(cuts, Change.CONTRACTION, np.where(dearer, Change.PRICE, Change.RENEWAL))
    return np.where(leaves, Change.CHURN, stays)


def _choose(pushes: Vector, rng: Generator) -> Integers:
    """Pick the source that tipped each account, in proportion to its push."""
    reached = np.cumsum(pushes, axis=0)
    return np.asarray((reached < rng.random(pushes.shape[1]) * reached[-1]).sum(axis=0))


def _apply(traits: Traits, state: State, deals: Deals, rng: Generator) -> State:
    change = deals.change
    if (change == Change.NEW).any():
        state = _buy_first(traits, state, change == Change.NEW, rng)
    renewed = np.isin(change, (Change.NEW, Change.RENEWAL, Change.PRICE, Change.CONTRACTION))
    rise = np.where(change == Change.PRICE, rng.uniform(1.03, 1.08, len(change)), 1.0)
    cut = np.ceil(1.15 * state.people)
    ended = np.where(change == Change.CHURN, Status.CHURNED, Status.LAPSED)
    ends = (change == Change.CHURN) | (change == Change.LAPSE)
    state = replace(
        state,
        status=np.where(ends, ended, state.status),
        people=np.where(ends, 0.0, state.people),
        usage=np.where(ends, 0.0, state.usage),
        seats=np.where(change == Change.CONTRACTION, np.minimum(cut, state.seats), state.seats),
        price=state.price * rise,
        renewal=np.where(renewed, deals.day + YEAR, state.renewal),
        rests=_rests(state, deals),
    )
    return _expand(state, deals, rng) if (deals.source >= 0).any() else state


def _rests(state: State, deals: Deals) -> Vector:
    """Nobody wants more right after a purchase, and who has just cut seats wants none for long."""
    bought = (deals.source >= 0) | (deals.change == Change.NEW)
    after = np.where(bought, deals.day, state.rests)
    return np.where(deals.change == Change.CONTRACTION, deals.day + REGRET_DAYS, after)


def _buy_first(traits: Traits, state: State, buys: Flags, rng: Generator) -> State:
    """Planners buy for their ceiling and stay there; the others buy for the months ahead."""
    size = len(buys)
    ceiling = traits.department_size * traits.departments * (1 - traits.turnover / traits.growth)
    planned = ceiling / np.maximum(traits.foresight, 0.1)
    ahead = np.maximum(traits.department_size * rng.uniform(1.1, 1.8, size), state.people + 2)
    seats = np.ceil(np.where(traits.foresight > 0, np.maximum(planned, state.people), ahead))
    plan = rng.choice([1.0, 2.0, 3.0], size, p=[0.65, 0.27, 0.08])
    expected = traits.calls * rng.uniform(1.0, 6.0, size)
    limit = np.where(traits.building > 0, _limit_above(expected), np.inf)
    ramps = buys & (traits.foresight == 0) & (rng.random(size) < RAMPS)
    return replace(
        state,
        status=np.where(buys, Status.PAID, state.status),
        seats=np.where(buys, seats, state.seats),
        plan=np.where(buys, plan, state.plan),
        limit=np.where(buys, limit, state.limit),
        pending=np.where(ramps, state.renewal + RAMP_DAYS, state.pending),
        pending_seats=np.where(ramps, np.ceil(1.5 * seats), state.pending_seats),
    )


def _expand(state: State, deals: Deals, rng: Generator) -> State:
    """Raise what the account ran into; seats now, in two steps, or from a later day."""
    size = len(deals.source)
    kind = np.where(deals.source >= 0, np.array(pressure.KINDS)[deals.source], "")
    more = np.ceil(state.people * rng.uniform(1.5, 2.4, size))
    more = np.maximum(more, state.seats + np.maximum(2, np.ceil(0.1 * state.seats)))
    true_up = deals.change == Change.TRUE_UP
    dice, early = rng.random(size), state.renewal > deals.day + RAMP_DAYS + STEP_DAYS
    seats = (kind == "seats") & ~true_up
    deferred = seats & early & (dice < DEFERRED)
    ramps = seats & early & ~deferred & (dice < DEFERRED + RAMPS)
    later = deferred | ramps
    start = deals.day + np.where(ramps, RAMP_DAYS, np.floor(rng.uniform(10, 45, size)))
    now = np.where(true_up, np.ceil(state.people), np.where(seats & ~deferred, more, state.seats))
    return replace(
        state,
        seats=now,
        limit=np.where(kind == "usage", _limit_above(1.5 * state.usage, state.limit), state.limit),
        plan=np.where(kind == "plan", state.plan + 1, state.plan),
        pending=np.where(later, start, state.pending),
        pending_seats=np.where(later, np.maximum(more, np.ceil(1.25 * now)), state.pending_seats),
    )


def _limit_above(usage: Vector, present: Vector | float = 0.0) -> Vector:
    """Give the smallest limit on sale above the usage and the present limit."""
    floor = np.maximum(usage, np.where(np.isinf(present), 0, present))
    rank = np.searchsorted(LIMITS, floor, side="right")
    return np.asarray(np.where(rank < len(LIMITS), LIMITS[rank % len(LIMITS)], 2 * floor))


def _happens(rng: Generator, chance: Vector | float, state: State) -> Flags:
    return np.asarray(rng.random(len(state.status)) < chance)


def _workday(day: float, size: int, rng: Generator) -> Vector:
    """Draw signatures on the step's days from Monday to Friday."""
    days = day + np.arange(STEP_DAYS)
    workdays = days[(days + 3) % 7 < 5]  # 1970-01-01 was a Thursday
    return np.asarray(rng.choice(workdays, size))
