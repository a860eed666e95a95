"""Logins, support tickets and NPS: frequent events without any effect on expansion.

Their rates are sampled per account, independent of everything else, even of its size. Happy
accounts, and accounts with guests who log in only once, are chosen at random.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from data.simulator.account_state import Generator, IntVector, Vector
from data.simulator.simulation import SimulationHistory
from data.simulator.tables import format_account_ids, format_user_ids, to_utc_datetime
from data.simulator.users import UserTable

__all__ = ["GuestVisits", "NoiseRates", "sample_noise_rates", "simulate_guest_visits"]

GUEST_ACCOUNT_SHARE: Final = 0.12  # share of accounts with frequent one-time guests


@dataclass(frozen=True)
class NoiseRates:
    """Rates of noise events, one value per account."""

    logins: Vector  # per month
    tickets: Vector  # per month
    nps_responses: Vector  # to the NPS question, per month
    mean_nps_score: Vector  # mean NPS score, 0 to 10
    guest_visits: Vector  # per month


@dataclass(frozen=True)
class GuestVisits:
    """One-time guests, one value per user, sorted by day."""

    account: IntVector
    day: IntVector
    first_user: int  # user number of the first guest

    def to_users_table(self) -> pl.DataFrame:
        """Return the guests' rows of the users table."""
        size = len(self.account)
        return pl.DataFrame(
            {
                "user_id": format_user_ids(self.first_user + np.arange(size)),
                "account_id": format_account_ids(self.account),
                "created_at": to_utc_datetime(self.day),
                "seat_type": ["free"] * size,
            }
        )


def sample_noise_rates(accounts: int, rng: Generator) -> NoiseRates:
    """Sample every account's noise rates."""
    has_guests = rng.random(accounts) < GUEST_ACCOUNT_SHARE
    return NoiseRates(
        logins=rng.lognormal(np.log(40), 0.8, accounts),
        tickets=rng.lognormal(np.log(0.8), 0.8, accounts),
        nps_responses=rng.lognormal(np.log(0.5), 0.5, accounts),
        mean_nps_score=rng.uniform(4, 9.8, accounts),
        guest_visits=np.where(has_guests, rng.uniform(4, 12, accounts), 0.2),
    )


def simulate_guest_visits(
    history: SimulationHistory, user_table: UserTable, noise_rates: NoiseRates, rng: Generator
) -> GuestVisits:
    """Simulate one-time guest visits to active accounts during the log."""
    span = history.period
    days = np.arange(span.start, span.end)
    is_active = history.is_active[history.step_index(days)]
    day, account = np.nonzero(rng.poisson(noise_rates.guest_visits / 30 * is_active))
    joined = history.traits.sign_up_day[account] <= days[day]
    return GuestVisits(account[joined], days[day][joined], len(user_table))
