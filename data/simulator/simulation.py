"""The company's life: one step for all accounts, and the history that many steps make."""

from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from data.simulator import adoption, subscriptions
from data.simulator.account_state import (
    STEP_DAYS,
    AccountState,
    AccountTraits,
    Generator,
    IntVector,
    Vector,
    empty_state,
    sample_accounts,
    select_accounts,
)
from data.simulator.subscriptions import Deals, DealType

__all__ = [
    "BURN_IN_DAYS",
    "SignedDeals",
    "SimulationHistory",
    "SimulationPeriod",
    "advance",
    "day_number",
    "random_stream",
    "simulate",
]

BURN_IN_DAYS: Final = 720  # lived before the log starts, so that it opens on a company in motion
AS_OF_DAYS: Final = 30
# Every purpose draws from its own stream: more of one never shifts another.
PURPOSES: Final = (
    "traits", "life", "roster", "events", "noise", "arrival", "dirt", "truth", "names"
)  # fmt: skip


def random_stream(seed: int, purpose: str, *more: int) -> Generator:
    """Give the purpose its own stream of random numbers."""
    return np.random.default_rng([seed, PURPOSES.index(purpose), *more])


def day_number(day: date) -> int:
    """Count days from 1970-01-01."""
    return (day - date(1970, 1, 1)).days


@dataclass(frozen=True)
class SimulationPeriod:
    """The log's first day and its end, excluded; and the first day lived, as day numbers."""

    start: int
    end: int

    @property
    def step_count(self) -> int:
        """Steps lived, so many that the last one ends with the log."""
        return -(-(self.end - self.start + BURN_IN_DAYS) // STEP_DAYS)

    @property
    def origin(self) -> int:
        """First day lived."""
        return self.end - self.step_count * STEP_DAYS

    @property
    def as_ofs(self) -> list[int]:
        """Every 30 days back from the end, as long as the log reaches; rising."""
        return list(range(self.end, self.start, -AS_OF_DAYS))[::-1]


@dataclass(frozen=True)
class SignedDeals:
    """The contracts signed in one step, one value per deal."""

    account: IntVector
    deals: Deals
    before: AccountState
    after: AccountState


@dataclass(frozen=True)
class SimulationHistory:
    """What happened; matrices have a row per step and a column per account."""

    period: SimulationPeriod
    traits: AccountTraits
    joined: NDArray[np.int32]
    left: NDArray[np.int32]
    departments: NDArray[np.int8]
    features: NDArray[np.int8]
    integrations: NDArray[np.int8]
    usage: NDArray[np.float32]
    alive: NDArray[np.bool_]
    signed_deals: list[SignedDeals]
    states: dict[int, AccountState]  # by as-of

    def step_index(self, day: IntVector) -> IntVector:
        """Give the row of the matrices that covers a day."""
        return (day - self.period.origin) // STEP_DAYS


def advance(
    traits: AccountTraits, state: AccountState, day: float, rng: Generator, *, expand: bool = True
) -> tuple[AccountState, Vector, Vector, Deals]:
    """Move every account forward by five days.

    The history and the truth both move by this function alone, so the truth cannot drift from
    what is simulated.

    Parameters
    ----------
    traits, state : Traits, State
        The accounts at the start of the step.
    day : float
        Its first day.
    rng : numpy.random.Generator
        Source of all randomness.
    expand : bool, default True
        Whether accounts may expand; otherwise only their chance to is told.

    Returns
    -------
    State
        The accounts at the end of the step.
    joined, left : numpy.ndarray, shape (n_accounts,)
        People who started and stopped.
    Deals
        What was signed.
    """
    signed_up = adoption.start_trials(traits, state, day, rng)
    grown, joined, left = adoption.step_adoption(traits, signed_up, rng)
    after, signed = subscriptions.step_subscriptions(traits, grown, day, rng, expand=expand)
    joined = joined + (signed_up.people - state.people)
    left = left + (grown.people - after.people)
    return after, joined, left, signed


def simulate(accounts: int, period: SimulationPeriod, seed: int) -> SimulationHistory:
    """Let a company live from its first customer to the end of the log.

    Parameters
    ----------
    accounts : int
        How many accounts ever sign up.
    period : Span
        When.
    seed : int
        Same seed, same life.

    Returns
    -------
    SimulationHistory
        All that the tables are made of, and the states the truth starts from.
    """
    days = (float(period.origin), float(period.start), float(period.end))
    traits = sample_accounts(accounts, days, random_stream(seed, "traits"))
    rng = random_stream(seed, "life")
    state = empty_state(accounts)
    rows: list[tuple[NDArray[Any], ...]] = []
    bookings, states, as_ofs = [], {}, set(period.as_ofs)
    for day in range(period.origin, period.end, STEP_DAYS):
        if day in as_ofs:
            states[day] = state
        before = state
        state, joined, left, signed = advance(traits, before, day, rng)
        rows.append((joined, left, state.departments, state.features, state.integrations,
                     state.usage, before.is_active | state.is_active))  # fmt: skip
        bookings.append(_collect_deals(before, state, signed))
    states[period.end] = state
    columns = [np.stack(column) for column in zip(*rows, strict=True)]
    return SimulationHistory(
        period=period,
        traits=traits,
        joined=columns[0].astype(np.int32),
        left=columns[1].astype(np.int32),
        departments=columns[2].astype(np.int8),
        features=columns[3].astype(np.int8),
        integrations=columns[4].astype(np.int8),
        usage=columns[5].astype(np.float32),
        alive=columns[6].astype(bool),
        signed_deals=bookings,
        states=states,
    )


def _collect_deals(before: AccountState, after: AccountState, signed: Deals) -> SignedDeals:
    account = np.flatnonzero(signed.deal_type != DealType.NONE)
    chosen = Deals(
        signed.deal_type[account],
        signed.day[account],
        signed.source[account],
        signed.probability[account],
    )
    return SignedDeals(
        account, chosen, select_accounts(before, account), select_accounts(after, account)
    )
