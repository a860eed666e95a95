"""A team with so many hours works what a way of working offers it, day after day.

Every way has the same hours. They come in evenly, day by day; what is not used is kept, but never
more than a month's worth, which the team also starts with. Working an account takes its minutes,
looking at one in a review takes fewer; an account that was worked rests.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.settings import MONTH_DAYS
from training.backtest.ways import Plan

__all__ = ["Hours", "Worked", "work"]

Days = NDArray[np.int64]
Flags = NDArray[np.bool_]
_NEVER = -1


@dataclass(frozen=True)
class Hours:
    """What a team has, and what its work takes.

    Attributes
    ----------
    per_month : float
        Minutes per 30 days, of all CSMs together.
    per_account : float
        Minutes to work a flagged account.
    per_look : float
        Minutes to look at one in a review.
    rest_days : int
        An account that was worked is not offered again for so long.
    """

    per_month: float
    per_account: float
    per_look: float
    rest_days: int


@dataclass(frozen=True, eq=False)
class Worked:
    """Who was worked when.

    Attributes
    ----------
    account, day : numpy.ndarray of int, shape (n_flags,)
        Row of the account and column of the day, in the order in which they were worked.
    looks : int
        Accounts looked at in reviews.
    pointed : numpy.ndarray of bool, shape (n_accounts, n_days)
        Whether the way's condition held, worked or not.
    """

    account: Days
    day: Days
    looks: int
    pointed: Flags

    def __repr__(self) -> str:
        return f"Worked({len(self.account):,} flags, {self.looks:,} looks)"


def work(plan: Plan, book: Flags, hours: Hours) -> Worked:
    """Work what a plan offers, as far as the hours go.

    Parameters
    ----------
    plan : training.backtest.ways.Plan
        Whom it offers, day by day.
    book : numpy.ndarray of bool, shape (n_accounts, n_days)
        Accounts that there are to look at: those under paid contract.
    hours : Hours
        The same for every way.

    Returns
    -------
    Worked
        The flags, day by day, of a day in the order of the scores, of equal scores in the order of
        the accounts.
    """
    team = _Team(len(book), hours)
    pointed = np.zeros(book.shape, dtype=bool)
    stretch = plan.stretch
    for day in range(book.shape[1]):
        team.next_day(day)
        if not plan.acts[day]:
            continue
        score = np.where(book[:, day], plan.offers(day), np.nan)
        pointed[:, day] = ~np.isnan(score)
        once = plan.once is None or bool(plan.once[day])
        if plan.reviewed:
            team.look_through(pointed[:, day], book[:, day])
        else:
            team.take(score, None if stretch is None else stretch[:, day], once=once)
    return Worked(*team.flags(), team.looks, pointed)


class _Team:
    """The minutes in hand, and what was done with them.

    Minutes are counted in thirtieths, so that a day's share of a month adds up without rounding.
    """

    def __init__(self, accounts: int, hours: Hours) -> None:
        self._hours = hours
        self._full = hours.per_month * MONTH_DAYS
        self._minutes = self._full
        self._rests_until = np.zeros(accounts, dtype=np.int64)
        self._looked = np.full(accounts, _NEVER)
        self._stretch = np.full(accounts, np.iinfo(np.int64).min)
        self._flags: list[tuple[Days, Days]] = []
        self._day = 0
        self.looks = 0

    def next_day(self, day: int) -> None:
        self._day = day
        if day:
            self._minutes = min(self._minutes + self._hours.per_month, self._full)

    def take(
        self, score: NDArray[np.float64], stretch: Days | None = None, *, once: bool = True
    ) -> None:
        """Work the highest scores."""
        offered = ~np.isnan(score) & self._awake()
        if stretch is not None and once:
            offered &= stretch != self._stretch
        places = np.flatnonzero(offered)
        most = int(self._minutes // (self._hours.per_account * MONTH_DAYS))
        chosen = places[np.argsort(-score[places], kind="stable")[:most]]
        if stretch is not None:
            self._stretch[chosen] = stretch[chosen]
        self._work(chosen)

    def look_through(self, found: Flags, book: Flags) -> None:
        """Look at one account after the other, and work at once whatever is found."""
        places = np.flatnonzero(book & self._awake())
        order = places[np.argsort(self._looked[places], kind="stable")]
        each = self._hours.per_look + self._hours.per_account * found[order]
        seen = order[np.cumsum(each) * MONTH_DAYS <= self._minutes]
        self._looked[seen] = self._day
        self.looks += len(seen)
        self._minutes -= len(seen) * self._hours.per_look * MONTH_DAYS
        self._work(seen[found[seen]])

    def flags(self) -> tuple[Days, Days]:
        if not self._flags:
            return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
        account, day = zip(*self._flags, strict=True)
        return np.concatenate(account), np.concatenate(day)

    def _awake(self) -> Flags:
        return np.asarray(self._rests_until <= self._day)

    def _work(self, accounts: Days) -> None:
        self._rests_until[accounts] = self._day + self._hours.rest_days
        self._minutes -= len(accounts) * self._hours.per_account * MONTH_DAYS
        self._flags.append((accounts, np.full(len(accounts), self._day)))
