"""How full each account's seats and usage are, kept in memory and moved on by events and days.

A day's figures are those that the panel gives as of the coming midnight: the people whose seat was
active in the window that ends with the day, and the calls of its trailing month.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Final

import polars as pl

from data.settings import MONTH_DAYS, Playbook, Settings
from features.activity import Activity
from features.moment import as_of
from serving.events.contracts import Contracts
from serving.triggers import Reading

__all__ = ["LIMITS", "Counts", "Event"]

LIMITS: Final = ("seats", "usage")
_API: Final = "api_call"
_BACK_DAYS: Final = 150  # beside the window: a month back, and three months before that
_NEVER: Final = date.max.toordinal()


@dataclass(frozen=True, slots=True)
class Event:
    """What counts of an event; ``account`` is one of ours."""

    account: str
    user_id: str | None
    event: str | None
    quantity: float | None
    happened_at: datetime


@dataclass(slots=True)
class _Person:
    """The days with an active seat as bits, and the first such day ever."""

    days: int = 0
    first: int = _NEVER


@dataclass(slots=True)
class _Account:
    people: dict[str, _Person] = field(default_factory=dict)
    milli: dict[int, int] = field(default_factory=dict)  # calls by day, in thousandths


class Counts:
    """Seats and usage of every account.

    Parameters
    ----------
    settings : data.settings.Settings
        Roles, seats, playbook.
    unpaid : iterable of str
        People whose seat does not count (:func:`features.persons.unpaid`).
    day : datetime.date
        Earlier days than some hundred before this one are forgotten.
    """

    def __init__(self, settings: Settings, unpaid: Iterable[str], day: date) -> None:
        self._roles, self._seats = settings.roles.of(), frozenset(settings.seats.events)
        self._window = settings.seats.window_days
        self._rules: Playbook = settings.playbook
        self._unpaid = frozenset(unpaid)
        self._base = (day - timedelta(days=self._window + _BACK_DAYS)).toordinal()
        self._accounts: defaultdict[str, _Account] = defaultdict(_Account)
        self._log_first_day = day

    def __repr__(self) -> str:
        return f"Counts({len(self._accounts):,} accounts)"

    @property
    def accounts(self) -> Iterable[str]:
        """Those that anything is known of."""
        return self._accounts.keys()

    def load(self, log: Activity, day: date, *, after: date = date.min) -> None:
        """Take what the log knew by the end of a day, and not by that of another day before it."""
        known = pl.col("known_day").is_between(after, day, closed="right")
        (began,) = log.began([as_of(day)])
        self._log_first_day = began or day
        since = date.fromordinal(self._base)
        seated = log.people.filter(known, pl.col("seat_uses") > 0, pl.col("day") >= since)
        for account, user, days in _listed(seated, "day"):
            self._person(account, user).days |= sum({1 << self._bit(each) for each in days})
        first = log.first_people.filter(known, pl.col("seat"))
        for account, user, days in _listed(first, "day"):
            person = self._person(account, user)
            person.first = min(person.first, min(days).toordinal())
        called = log.volume.filter(known, pl.col("role") == _API, pl.col("day") >= since)
        grouped = called.group_by("account_id", "day").agg(pl.col("quantity_milli").sum())
        for account, each, milli in grouped.collect(engine="streaming").iter_rows():
            self._call(account, each.toordinal(), milli)

    def take(self, event: Event) -> bool:
        """Count an event; say whether any figure may have changed."""
        name = event.event or "use"
        role = self._roles.get(name, "use")
        day = event.happened_at.date().toordinal()
        if role == _API:
            quantity = 1.0 if event.quantity is None else event.quantity
            self._call(event.account, day, int(quantity * 1000 + 0.5))
            return True
        seated = name in self._seats if self._seats else role == "use"
        if not seated or event.user_id is None:
            return False
        person = self._person(event.account, event.user_id)
        before = person.days
        person.days |= 1 << (day - self._base) if day >= self._base else 0
        person.first = min(person.first, day)
        return person.days != before

    def active(self, account: str, day: date) -> int:
        """People with an active paid seat in the window that ends with a day."""
        found = self._accounts.get(account)
        if found is None:
            return 0
        start, window = self._bit(day) - self._window + 1, (1 << self._window) - 1
        return sum(
            bool(person.days >> start & window)
            for user, person in found.people.items()
            if user not in self._unpaid
        )

    def called(self, account: str, day: date) -> float:
        """Calls of the thirty days that end with a day."""
        found = self._accounts.get(account)
        if found is None:
            return 0.0
        last = day.toordinal()
        days = range(last - MONTH_DAYS + 1, last + 1)
        return sum(found.milli.get(each, 0) for each in days) * 0.001

    def used(self, account: str, limit: str, day: date) -> float:
        """Active seats, or calls of the trailing month."""
        return self.active(account, day) if limit == "seats" else self.called(account, day)

    def before(self, account: str, limit: str, day: date) -> float | None:
        """What was used three months before a day; None where the log does not reach back."""
        then = day - timedelta(days=3 * MONTH_DAYS)
        reach = self._window if limit == "seats" else MONTH_DAYS
        if (then - self._log_first_day).days + 1 < reach:
            return None
        return self.used(account, limit, then)

    def reading(self, account: str, limit: str, day: date, contracts: Contracts) -> Reading:
        """How full a limit of an account is on a day."""
        terms = contracts.of(account, day)
        of = terms.seats if limit == "seats" else terms.usage_limit
        used = self.used(account, limit, day)
        of = of if terms.paid else None
        first = bool(of) and self._tier_1(account, limit, day, used / (of or 1))
        return Reading(day, used, of, tier_1=first, ended=terms.ended)

    def _tier_1(self, account: str, limit: str, day: date, share: float) -> bool:
        """The rules of :mod:`training.tiers`, for one account."""
        logged = (as_of(day).date() - self._log_first_day).days
        if limit == "seats":
            full = share > self._rules.seat_share and logged >= self._window
            return full and self._has_new(account, day)
        if share < self._rules.usage_share or logged < 2 * MONTH_DAYS:
            return False
        before = self.called(account, day - timedelta(days=MONTH_DAYS))
        now = self.called(account, day)
        return before > 0 and min(now / before - 1, 10) > self._rules.api_growth

    def _has_new(self, account: str, day: date) -> bool:
        """Whether anybody's seat was active for the first time in the last thirty days."""
        last = day.toordinal()
        people = self._accounts[account].people.items()
        return any(
            last - MONTH_DAYS < person.first <= last and user not in self._unpaid
            for user, person in people
        )

    def _person(self, account: str, user: str) -> _Person:
        return self._accounts[account].people.setdefault(user, _Person())

    def _call(self, account: str, day: int, milli: int) -> None:
        if day >= self._base:
            calls = self._accounts[account].milli
            calls[day] = calls.get(day, 0) + milli

    def _bit(self, day: date) -> int:
        return day.toordinal() - self._base


def _listed(rows: pl.LazyFrame, days: str) -> Iterable[tuple[str, str, list[date]]]:
    grouped = rows.group_by("account_id", "user_id").agg(pl.col(days))
    return grouped.collect(engine="streaming").iter_rows()
