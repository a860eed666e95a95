"""Logins, support tickets and NPS: loud, and without any bearing on expansion.

Their rates are drawn per account and look at nothing else, not even at its size. Some accounts are
happy, some have visitors who log in once and never return; which ones is a throw of the dice.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from data.simulator.company import History
from data.simulator.people import Roster
from data.simulator.state import Generator, Integers, Vector
from data.simulator.tables import account_ids, instant, user_ids

__all__ = ["Guests", "Habits", "habits", "visit"]

VISITED: Final = 0.12  # share of accounts with a stream of one-time visitors


@dataclass(frozen=True)
class Habits:
    """Noisy habits, one value per account."""

    logins: Vector  # per month
    tickets: Vector  # per month
    answers: Vector  # to the NPS question, per month
    happiness: Vector  # mean NPS score, 0 to 10
    visitors: Vector  # per month


@dataclass(frozen=True)
class Guests:
    """One-time visitors, one value per person, sorted by day."""

    account: Integers
    day: Integers
    first_user: int  # number of the first of them

    def table(self) -> pl.DataFrame:
        """Give their rows of the users table."""
        size = len(self.account)
        return pl.DataFrame(
            {
                "user_id": user_ids(self.first_user + np.arange(size)),
                "account_id": account_ids(self.account),
                "created_at": instant(self.day),
                "seat_type": ["free"] * size,
            }
        )


def habits(accounts: int, rng: Generator) -> Habits:
    """Draw every account's noisy habits."""
    visited = rng.random(accounts) < VISITED
    return Habits(
        logins=rng.lognormal(np.log(40), 0.8, accounts),
        tickets=rng.lognormal(np.log(0.8), 0.8, accounts),
        answers=rng.lognormal(np.log(0.5), 0.5, accounts),
        happiness=rng.uniform(4, 9.8, accounts),
        visitors=np.where(visited, rng.uniform(4, 12, accounts), 0.2),
    )


def visit(history: History, roster: Roster, habits: Habits, rng: Generator) -> Guests:
    """Let people drop in on the living accounts, once each, during the log."""
    span = history.span
    days = np.arange(span.start, span.end)
    alive = history.alive[history.step_of(days)]
    day, account = np.nonzero(rng.poisson(habits.visitors / 30 * alive))
    joined = history.traits.joined[account] <= days[day]
    return Guests(account[joined], days[day][joined], len(roster))
