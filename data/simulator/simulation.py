"""Simulation loop: one step for all accounts, and the history of many steps."""

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
    create_empty_state,
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
    "create_random_stream",
    "simulate",
    "to_day_number",
]

BURN_IN_DAYS: Final = 720  # simulated before the log starts, to reach a steady state
AS_OF_DAYS: Final = 30
# One random stream per purpose, so that extra draws of one never shift another.
PURPOSES: Final = (
    "traits", "history", "users", "events", "noise", "arrival", "corruption", "ground_truth",
    "names",
)  # fmt: skip


def create_random_stream(seed: int, purpose: str, *more: int) -> Generator:
    """Create the purpose's own stream of random numbers."""
    return np.random.default_rng([seed, PURPOSES.index(purpose), *more])


def to_day_number(day: date) -> int:
    """Convert a date to the number of days since 1970-01-01."""
    return (day - date(1970, 1, 1)).days


@dataclass(frozen=True)
class SimulationPeriod:
    """The log's first day and its end, excluded, as day numbers; and the first simulated day."""

    start: int
    end: int

    @property
    def step_count(self) -> int:
        """Number of simulated steps; the last one ends with the log."""
        return -(-(self.end - self.start + BURN_IN_DAYS) // STEP_DAYS)

    @property
    def origin(self) -> int:
        """First simulated day."""
        return self.end - self.step_count * STEP_DAYS

    @property
    def as_ofs(self) -> list[int]:
        """Every 30 days back from the end, within the log; ascending."""
        return list(range(self.end, self.start, -AS_OF_DAYS))[::-1]


@dataclass(frozen=True)
class SignedDeals:
    """The deals signed in one step, one value per deal."""

    account: IntVector
    deals: Deals
    before: AccountState
    after: AccountState


@dataclass(frozen=True)
class SimulationHistory:
    """The simulated history; matrices have a row per step and a column per account."""

    period: SimulationPeriod
    traits: AccountTraits
    joined: NDArray[np.int32]
    left: NDArray[np.int32]
    departments: NDArray[np.int8]
    features: NDArray[np.int8]
    integrations: NDArray[np.int8]
    usage: NDArray[np.float32]
    is_active: NDArray[np.bool_]
    signed_deals: list[SignedDeals]
    states: dict[int, AccountState]  # by as-of

    def step_index(self, day: IntVector) -> IntVector:
        """Return the matrix row that covers a day."""
        return (day - self.period.origin) // STEP_DAYS

    def list_expansions(self) -> tuple[IntVector, Vector, IntVector]:
        """Return account, day and source of every expansion, step by step."""
        parts = []
        for signed in self.signed_deals:
            expands = signed.deals.source >= 0
            columns = (signed.account, signed.deals.day, signed.deals.source)
            parts.append([column[expands] for column in columns])
        account, day, source = map(np.concatenate, zip(*parts, strict=True))
        return account, day, source


def advance(
    traits: AccountTraits, state: AccountState, day: float, rng: Generator, *, expand: bool = True
) -> tuple[AccountState, Vector, Vector, Deals]:
    """Advance every account by five days; return users who joined, who left, and signed deals too.

    The history and the ground truth both use this function alone, so they cannot diverge. Without
    ``expand`` no account expands, and only the probability is computed.
    """
    after_sign_up = adoption.start_trials(traits, state, day, rng)
    after_adoption, joined, left = adoption.step_adoption(traits, after_sign_up, rng)
    after, signed = subscriptions.step_subscriptions(
        traits, after_adoption, day, rng, expand=expand
    )
    joined = joined + (after_sign_up.users - state.users)
    left = left + (after_adoption.users - after.users)
    return after, joined, left, signed


def simulate(accounts: int, period: SimulationPeriod, seed: int) -> SimulationHistory:
    """Simulate a company from its first customer to the end of the log."""
    days = (float(period.origin), float(period.start), float(period.end))
    traits = sample_accounts(accounts, days, create_random_stream(seed, "traits"))
    rng = create_random_stream(seed, "history")
    state = create_empty_state(accounts)
    rows: list[tuple[NDArray[Any], ...]] = []
    signed_deals, states, as_ofs = [], {}, set(period.as_ofs)
    for day in range(period.origin, period.end, STEP_DAYS):
        if day in as_ofs:
            states[day] = state
        before = state
        state, joined, left, signed = advance(traits, before, day, rng)
        rows.append((joined, left, state.departments, state.features, state.integrations,
                     state.usage, before.is_active | state.is_active))  # fmt: skip
        account = np.flatnonzero(signed.deal_type != DealType.NONE)
        deals = select_accounts(signed, account)
        changed = select_accounts(before, account), select_accounts(state, account)
        signed_deals.append(SignedDeals(account, deals, *changed))
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
        is_active=columns[6].astype(bool),
        signed_deals=signed_deals,
        states=states,
    )
