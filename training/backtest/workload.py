"""Simulate a capacity-limited team working through a strategy's daily recommendations.

Every strategy gets the same hours. They accrue evenly, day by day; unused time accumulates up to
one month's worth, which is also the initial stock. Contacting an account takes its minutes,
reviewing one takes fewer, and a contacted account enters a cool-down.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.config.settings import MONTH_DAYS
from training.backtest.strategies import Strategy

__all__ = ["ContactLog", "TeamCapacity", "simulate_workload"]

Days = NDArray[np.int64]
Flags = NDArray[np.bool_]
_NEVER_REVIEWED = -1


@dataclass(frozen=True)
class TeamCapacity:
    """Time a team has, and time its tasks take.

    Minutes are per 30 days of all CSMs together, per contacted account and per reviewed account; an
    account is not offered again for ``cooldown_days`` days after a contact.
    """

    minutes_per_month: float
    minutes_per_account: float
    minutes_per_review: float
    cooldown_days: int


@dataclass(frozen=True, eq=False, repr=False)
class ContactLog:
    """Accounts contacted, and when.

    ``account`` and ``day``, shape (n_flags,), are rows and columns in the order of the contacts;
    ``condition_met``, shape (n_accounts, n_days), is whether the strategy's condition held,
    contacted or not.
    """

    account: Days
    day: Days
    reviews: int
    condition_met: Flags


def simulate_workload(
    strategy: Strategy, under_contract: Flags, capacity: TeamCapacity
) -> ContactLog:
    """Simulate the contacts that a strategy leads to within the team's capacity.

    ``under_contract``, shape (n_accounts, n_days), marks the accounts under paid contract, which
    are available for review. Contacts are ordered by day, by score, and by row of the account.
    """
    team = _TeamSimulator(len(under_contract), capacity)
    condition_met = np.zeros(under_contract.shape, dtype=bool)
    for day in range(under_contract.shape[1]):
        team.start_day(day)
        if not strategy.active_days[day]:
            continue
        score = np.where(under_contract[:, day], strategy.score_day(day), np.nan)
        condition_met[:, day] = ~np.isnan(score)
        if strategy.is_manual_review:
            team.review_accounts(condition_met[:, day], under_contract[:, day])
        elif strategy.streak_id is None:
            team.contact_highest_scores(score)
        else:
            once = strategy.once_per_streak is None or bool(strategy.once_per_streak[day])
            team.contact_highest_scores(score, strategy.streak_id[:, day], once=once)
    return ContactLog(*team.collect_flags(), team.reviews, condition_met)


class _TeamSimulator:
    """Remaining minutes and contacts of a simulated team.

    Minutes are counted in thirtieths, so that a day's share of a month accumulates without
    rounding.
    """

    def __init__(self, accounts: int, capacity: TeamCapacity) -> None:
        self._capacity = capacity
        self._max_minutes = capacity.minutes_per_month * MONTH_DAYS
        self._minutes = self._max_minutes
        self._cooldown_until = np.zeros(accounts, dtype=np.int64)
        self._last_review = np.full(accounts, _NEVER_REVIEWED)
        self._last_streak = np.full(accounts, np.iinfo(np.int64).min)
        self._flags: list[tuple[Days, Days]] = []
        self._day = 0
        self.reviews = 0

    def start_day(self, day: int) -> None:
        self._day = day
        if day:
            self._minutes = min(self._minutes + self._capacity.minutes_per_month, self._max_minutes)

    def contact_highest_scores(
        self, score: NDArray[np.float64], streak_id: Days | None = None, *, once: bool = True
    ) -> None:
        """Contact the accounts with the highest scores."""
        offered = ~np.isnan(score) & self._find_available()
        if streak_id is not None and once:
            offered &= streak_id != self._last_streak
        candidates = np.flatnonzero(offered)
        max_contacts = int(self._minutes // (self._capacity.minutes_per_account * MONTH_DAYS))
        chosen = candidates[np.argsort(-score[candidates], kind="stable")[:max_contacts]]
        if streak_id is not None:
            self._last_streak[chosen] = streak_id[chosen]
        self._record_contacts(chosen)

    def review_accounts(self, condition_met: Flags, under_contract: Flags) -> None:
        """Review accounts in turn, and contact at once those that meet the condition."""
        candidates = np.flatnonzero(under_contract & self._find_available())
        order = candidates[np.argsort(self._last_review[candidates], kind="stable")]
        cost = (
            self._capacity.minutes_per_review
            + self._capacity.minutes_per_account * condition_met[order]
        )
        reviewed = order[np.cumsum(cost) * MONTH_DAYS <= self._minutes]
        self._last_review[reviewed] = self._day
        self.reviews += len(reviewed)
        self._minutes -= len(reviewed) * self._capacity.minutes_per_review * MONTH_DAYS
        self._record_contacts(reviewed[condition_met[reviewed]])

    def collect_flags(self) -> tuple[Days, Days]:
        if not self._flags:
            return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
        account, day = zip(*self._flags, strict=True)
        return np.concatenate(account), np.concatenate(day)

    def _find_available(self) -> Flags:
        return np.asarray(self._cooldown_until <= self._day)

    def _record_contacts(self, accounts: Days) -> None:
        self._cooldown_until[accounts] = self._day + self._capacity.cooldown_days
        self._minutes -= len(accounts) * self._capacity.minutes_per_account * MONTH_DAYS
        self._flags.append((accounts, np.full(len(accounts), self._day)))
