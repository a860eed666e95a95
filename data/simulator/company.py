"""The company's life: one step for all accounts, and the history that many steps make."""

from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from data.simulator import adoption, deals
from data.simulator.deals import Change, Deals
from data.simulator.state import (
    STEP_DAYS,
    Generator,
    Integers,
    State,
    Traits,
    Vector,
    blank,
    found,
    take,
)

__all__ = ["BURN_IN_DAYS", "Booking", "History", "Span", "day_number", "live", "random", "step"]

BURN_IN_DAYS: Final = 720  # lived before the log starts, so that it opens on a company in motion
AS_OF_DAYS: Final = 30
# Every purpose draws from its own stream: more of one never shifts another.
PURPOSES: Final = (
    "traits", "life", "roster", "events", "noise", "arrival", "dirt", "truth", "names"
)  # fmt: skip


def random(seed: int, purpose: str, *more: int) -> Generator:
    """Give the purpose its own stream of random numbers."""
    return np.random.default_rng([seed, PURPOSES.index(purpose), *more])


def day_number(day: date) -> int:
    """Count days from 1970-01-01."""
    return (day - date(1970, 1, 1)).days


@dataclass(frozen=True)
class Span:
    """The log's first day and its end, excluded; and the first day lived, as day numbers."""

    start: int
    end: int

    @property
    def steps(self) -> int:
        """Steps lived, so many that the last one ends with the log."""
        return -(-(self.end - self.start + BURN_IN_DAYS) // STEP_DAYS)

    @property
    def origin(self) -> int:
        """First day lived."""
        return self.end - self.steps * STEP_DAYS

    @property
    def as_ofs(self) -> list[int]:
        """Every 30 days back from the end, as long as the log reaches; rising."""
        return list(range(self.end, self.start, -AS_OF_DAYS))[::-1]


@dataclass(frozen=True)
class Booking:
    """The contracts signed in one step, one value per deal."""

    account: Integers
    deals: Deals
    before: State
    after: State


@dataclass(frozen=True)
class History:
    """What happened; matrices have a row per step and a column per account."""

    span: Span
    traits: Traits
    joined: NDArray[np.int32]
    left: NDArray[np.int32]
    departments: NDArray[np.int8]
    features: NDArray[np.int8]
    integrations: NDArray[np.int8]
    usage: NDArray[np.float32]
    alive: NDArray[np.bool_]
    bookings: list[Booking]
    states: dict[int, State]  # by as-of

    def step_of(self, day: Integers) -> Integers:
        """Give the row of the matrices that covers a day."""
        return (day - self.span.origin) // STEP_DAYS


def step(
    traits: Traits, state: State, day: float, rng: Generator, *, expand: bool = True
) -> tuple[State, Vector, Vector, Deals]:
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
    signed_up = adoption.sign_up(traits, state, day, rng)
    grown, joined, left = adoption.grow(traits, signed_up, rng)
    after, signed = deals.sign(traits, grown, day, rng, expand=expand)
    joined = joined + (signed_up.people - state.people)
    left = left + (grown.people - after.people)
    return after, joined, left, signed


def live(accounts: int, span: Span, seed: int) -> History:
    """Let a company live from its first customer to the end of the log.

    Parameters
    ----------
    accounts : int
        How many accounts ever sign up.
    span : Span
        When.
    seed : int
        Same seed, same life.

    Returns
    -------
    History
        All that the tables are made of, and the states the truth starts from.
    """
    days = (float(span.origin), float(span.start), float(span.end))
    traits = found(accounts, days, random(seed, "traits"))
    rng = random(seed, "life")
    state = blank(accounts)
    rows: list[tuple[NDArray[Any], ...]] = []
    bookings, states, as_ofs = [], {}, set(span.as_ofs)
    for day in range(span.origin, span.end, STEP_DAYS):
        if day in as_ofs:
            states[day] = state
        before = state
        state, joined, left, signed = step(traits, before, day, rng)
        rows.append((joined, left, state.departments, state.features, state.integrations,
                     state.usage, before.alive | state.alive))  # fmt: skip
        bookings.append(_booking(before, state, signed))
    states[span.end] = state
    columns = [np.stack(column) for column in zip(*rows, strict=True)]
    return History(
        span=span,
        traits=traits,
        joined=columns[0].astype(np.int32),
        left=columns[1].astype(np.int32),
        departments=columns[2].astype(np.int8),
        features=columns[3].astype(np.int8),
        integrations=columns[4].astype(np.int8),
        usage=columns[5].astype(np.float32),
        alive=columns[6].astype(bool),
        bookings=bookings,
        states=states,
    )


def _booking(before: State, after: State, signed: Deals) -> Booking:
    account = np.flatnonzero(signed.change != Change.NONE)
    chosen = Deals(
        signed.change[account], signed.day[account], signed.source[account], signed.chance[account]
    )
    return Booking(account, chosen, take(before, account), take(after, account))
