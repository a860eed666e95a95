"""Individual users, expanded from the simulated counts, and noise without any effect on expansion.

Noise is logins, support tickets and NPS. Its rates are sampled per account, independent of
everything else, even of its size. Happy accounts, and accounts with guests who log in only once,
are chosen at random.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from data.simulator.account_state import NEVER, STEP_DAYS, Generator, IntVector, Vector
from data.simulator.simulation import SimulationHistory

__all__ = [
    "GuestVisits",
    "NoiseRates",
    "UserTable",
    "expand_users",
    "sample_noise_rates",
    "simulate_guest_visits",
]

# Extra share of invitations to users of the newest department.
_NEWEST_DEPARTMENT_SHARE: Final = 0.35
GUEST_ACCOUNT_SHARE: Final = 0.12  # share of accounts with frequent one-time guests


@dataclass(frozen=True)
class UserTable:
    """One value per user, sorted by the day they joined."""

    account: IntVector
    department: IntVector  # 0 is the champion's
    joined: IntVector  # day
    left: IntVector  # day; NEVER while they stay
    champion: NDArray[np.bool_]
    sessions: Vector  # per month
    breadth: Vector  # share of the account's features that they will use
    removed: NDArray[np.bool_]  # whether their seat was deactivated when they stopped

    def __len__(self) -> int:
        """Return the number of users."""
        return len(self.account)


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


def expand_users(history: SimulationHistory, rng: Generator) -> UserTable:
    """Expand the history's counts into everyone who ever used the product, also before the log."""
    steps, account = np.nonzero(history.joined)
    count = history.joined[steps, account]
    step, account = np.repeat(steps, count), np.repeat(account, count)
    size = len(account)
    joined = history.period.origin + step * STEP_DAYS + rng.integers(0, STEP_DAYS, size)
    joined = np.maximum(joined, history.traits.sign_up_day[account].astype(int))
    champion = np.zeros(size, dtype=bool)
    champion[np.unique(account, return_index=True)[1]] = True
    reached = np.maximum(history.departments[step, account], 1)
    newest = (rng.random(size) < _NEWEST_DEPARTMENT_SHARE) | _is_first_of_department(
        history, step, account
    )
    department = np.where(newest, reached - 1, rng.integers(0, reached))
    return UserTable(
        account=account,
        department=np.where(champion, 0, department),
        joined=joined,
        left=_assign_leave_days(history, account, step, champion, rng),
        champion=champion,
        sessions=np.where(champion, 9.0, 2.0 + rng.gamma(1.5, 3.0, size)),
        breadth=np.where(champion, 1.0, rng.beta(2.0, 2.5, size)),
        removed=rng.random(size) < 0.7,  # most companies deactivate unused logins
    )


def _is_first_of_department(
    history: SimulationHistory, step: IntVector, account: IntVector
) -> NDArray[np.bool_]:
    """Flag the first user of a department: the first to join in the step that reached it."""
    previous = np.vstack([history.departments[:1], history.departments[:-1]])
    reached = (history.departments > previous)[step, account]
    first = np.ones(len(step), dtype=bool)
    first[1:] = (step[1:] != step[:-1]) | (account[1:] != account[:-1])
    return np.asarray(reached & first)


def _assign_leave_days(
    history: SimulationHistory,
    account: IntVector,
    step: IntVector,
    champion: NDArray[np.bool_],
    rng: Generator,
) -> IntVector:
    """Sample which users leave in each step; the champion leaves last."""
    left = np.full(len(account), int(NEVER))
    loyalty = rng.random(len(account)) + champion
    first = np.searchsorted(step, np.arange(len(history.left) + 1))
    for step_number in np.flatnonzero(history.left.sum(axis=1)):
        leaving = history.left[step_number]
        candidates = np.arange(first[step_number + 1])
        candidates = candidates[
            (left[candidates] == int(NEVER)) & (leaving[account[candidates]] > 0)
        ]
        candidates = candidates[np.lexsort((loyalty[candidates], account[candidates]))]
        owners = account[candidates]
        rank = np.arange(len(candidates)) - np.searchsorted(owners, owners)
        leaving_users = candidates[rank < leaving[owners]]
        left[leaving_users] = history.period.origin + (step_number + 1) * STEP_DAYS
    return left


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
