"""Usage counters of every account in memory, updated by events and by days.

A day's counts equal those of the panel as of the next midnight: users with an active seat in the
window that ends with the day, and API calls of its trailing month.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Final

import polars as pl

from data.config.settings import MONTH_DAYS, Settings
from features import subscription_timeline
from features.activity.daily_tables import Activity
from features.online import get_next_midnight
from features.point_in_time import known_before
from serving.events.ingest.reader import StoredEvent
from serving.events.monitor.threshold import UtilizationReading
from training.rules import tiers

__all__ = ["LIMITS", "SubscriptionIndex", "SubscriptionTerms", "UsageCounters"]

LIMITS: Final = ("seats", "usage")
_API_ROLE: Final = "api_call"
_LOOKBACK_DAYS: Final = 150  # besides the seat window: one month, and three months before that
_NEVER: Final = date.max.toordinal()
_MAX_GROWTH: Final = 10  # as clipped in the catalogue


@dataclass(frozen=True, slots=True)
class SubscriptionTerms:
    """Active subscription terms; None where a limit is not agreed."""

    seats: float | None = None
    usage_limit: float | None = None
    paid: bool = False
    ended: bool = False


_NO_TERMS: Final = SubscriptionTerms()


class SubscriptionIndex:
    """Lookup of the terms of every account, for one day at a time, as the panel reads them.

    ``contracts`` are rows of :func:`features.subscription_timeline.build_timeline`.
    """

    def __init__(self, contracts: pl.DataFrame) -> None:
        self._contracts = contracts
        self._terms_by_day: dict[date, Mapping[str, SubscriptionTerms]] = {}

    def get_terms(self, account: str, day: date) -> SubscriptionTerms:
        """Return the terms of an account on a day; empty terms for an unknown account."""
        if day not in self._terms_by_day:
            self._terms_by_day = {day: self._load_day(day)}
        return self._terms_by_day[day].get(account, _NO_TERMS)

    def _load_day(self, day: date) -> Mapping[str, SubscriptionTerms]:
        midnight = get_next_midnight(day)
        active = subscription_timeline.select_in_force(
            known_before(self._contracts, midnight), midnight
        )
        rows = active.select("account_id", "seats", "usage_limit", "paid", "ended").iter_rows()
        return {account: SubscriptionTerms(*terms) for account, *terms in rows}


@dataclass(slots=True)
class _UserActivity:
    """Days with an active seat as a bit set, and the first such day ever."""

    active_days: int = 0
    first_day: int = _NEVER


@dataclass(slots=True)
class _AccountUsage:
    users: dict[str, _UserActivity] = field(default_factory=dict)
    milli_calls: dict[int, int] = field(default_factory=dict)  # API calls by day, in thousandths


class UsageCounters:
    """Seats and usage of every account.

    Seats of ``free_seat_users`` do not count against the limit. Days before the lookback window
    that ends at ``day`` are discarded.
    """

    def __init__(self, settings: Settings, free_seat_users: Iterable[str], day: date) -> None:
        self._roles = settings.roles.map_event_names()
        self._seat_events = frozenset(settings.seats.events)
        self._window_days = settings.seats.window_days
        self._playbook = settings.playbook
        self._free_seat_users = frozenset(free_seat_users)
        self._first_bit_day = (day - timedelta(days=self._window_days + _LOOKBACK_DAYS)).toordinal()
        self._accounts: defaultdict[str, _AccountUsage] = defaultdict(_AccountUsage)
        self._log_first_day = day

    def __repr__(self) -> str:
        return f"UsageCounters({len(self._accounts):,} accounts)"

    @property
    def accounts(self) -> Iterable[str]:
        """Accounts with any recorded activity."""
        return self._accounts.keys()

    def load_log(self, log: Activity, day: date, *, after: date = date.min) -> None:
        """Add what became known in the log by the end of ``day`` and after the day ``after``."""
        newly_known = pl.col("known_day").is_between(after, day, closed="right")
        (log_start,) = log.find_log_starts([get_next_midnight(day)])
        self._log_first_day = log_start or day
        since = date.fromordinal(self._first_bit_day)
        seat_days = log.people.filter(newly_known, pl.col("seat_uses") > 0, pl.col("day") >= since)
        for account, user, days in _collect_user_days(seat_days):
            self._get_user(account, user).active_days |= sum(
                {1 << self._bit_index(active_day) for active_day in days}
            )
        first = log.first_people.filter(newly_known, pl.col("seat"))
        for account, user, days in _collect_user_days(first):
            activity = self._get_user(account, user)
            activity.first_day = min(activity.first_day, min(days).toordinal())
        call_days = log.volume.filter(
            newly_known, pl.col("role") == _API_ROLE, pl.col("day") >= since
        )
        grouped = call_days.group_by("account_id", "day").agg(pl.col("quantity_milli").sum())
        for account, call_day, milli in grouped.collect(engine="streaming").iter_rows():
            self._add_calls(account, call_day.toordinal(), milli)

    def apply_event(self, account: str, event: StoredEvent) -> bool:
        """Count one event of a known account; return True if a counter may have changed."""
        name = event.event or "use"
        role = self._roles.get(name, "use")
        day = event.happened_at.date().toordinal()
        if role == _API_ROLE:
            quantity = 1.0 if event.quantity is None else event.quantity
            self._add_calls(account, day, int(quantity * 1000 + 0.5))
            return True
        uses_seat = name in self._seat_events if self._seat_events else role == "use"
        if not uses_seat or event.user_id is None:
            return False
        activity = self._get_user(account, event.user_id)
        before = activity.active_days
        activity.active_days |= (
            1 << (day - self._first_bit_day) if day >= self._first_bit_day else 0
        )
        activity.first_day = min(activity.first_day, day)
        return activity.active_days != before

    def count_active_seats(self, account: str, day: date) -> int:
        """Count users with an active paid seat in the window that ends with a day."""
        usage = self._accounts.get(account)
        if usage is None:
            return 0
        start = self._bit_index(day) - self._window_days + 1
        window_mask = (1 << self._window_days) - 1
        return sum(
            bool(activity.active_days >> start & window_mask)
            for user, activity in usage.users.items()
            if user not in self._free_seat_users
        )

    def count_api_calls(self, account: str, day: date) -> float:
        """Sum the API calls of the 30 days that end with a day."""
        usage = self._accounts.get(account)
        if usage is None:
            return 0.0
        last = day.toordinal()
        days = range(last - MONTH_DAYS + 1, last + 1)
        return sum(usage.milli_calls.get(past_day, 0) for past_day in days) * 0.001

    def measure_usage(self, account: str, limit: str, day: date) -> float:
        """Return active seats, or API calls of the trailing month."""
        return (
            self.count_active_seats(account, day)
            if limit == "seats"
            else self.count_api_calls(account, day)
        )

    def measure_usage_90d_ago(self, account: str, limit: str, day: date) -> float | None:
        """Return the usage 90 days before a day; None if the log does not reach back that far."""
        past_day = day - timedelta(days=3 * MONTH_DAYS)
        needed_days = self._window_days if limit == "seats" else MONTH_DAYS
        if (past_day - self._log_first_day).days + 1 < needed_days:
            return None
        return self.measure_usage(account, limit, past_day)

    def read_utilization(
        self, account: str, limit: str, day: date, subscriptions: SubscriptionIndex
    ) -> UtilizationReading:
        """Return the utilization of one limit of an account on a day."""
        terms = subscriptions.get_terms(account, day)
        limit_value = terms.seats if limit == "seats" else terms.usage_limit
        used = self.measure_usage(account, limit, day)
        limit_value = limit_value if terms.paid else None
        tier_1 = bool(limit_value) and self._is_tier_1(account, limit, day, used, limit_value or 1)
        return UtilizationReading(day, used, limit_value, tier_1=tier_1, ended=terms.ended)

    def _is_tier_1(
        self, account: str, limit: str, day: date, used: float, limit_value: float
    ) -> bool:
        """Apply the tier 1 rule of one limit; False where the log is too short, as in a panel.

        The most favourable value comes first, since the actual one takes a count.
        """
        logged_days = (get_next_midnight(day).date() - self._log_first_day).days
        rule = tiers.is_tier1_by_seats if limit == "seats" else tiers.is_tier1_by_volume
        needed_days = self._window_days if limit == "seats" else 2 * MONTH_DAYS
        utilization = used / limit_value
        if logged_days < needed_days or not rule(utilization, _MAX_GROWTH, self._playbook):
            return False
        if limit == "seats":
            return bool(rule(utilization, self._has_new_user(account, day), self._playbook))
        before = self.count_api_calls(account, day - timedelta(days=MONTH_DAYS))
        growth = min(used / before - 1, _MAX_GROWTH) if before > 0 else -1
        return bool(rule(utilization, growth, self._playbook))

    def _has_new_user(self, account: str, day: date) -> bool:
        """Return True if any user's seat became active for the first time in the last 30 days."""
        last, usage = day.toordinal(), self._accounts.get(account)
        users = usage.users.items() if usage else ()
        return any(
            last - MONTH_DAYS < activity.first_day <= last and user not in self._free_seat_users
            for user, activity in users
        )

    def _get_user(self, account: str, user: str) -> _UserActivity:
        return self._accounts[account].users.setdefault(user, _UserActivity())

    def _add_calls(self, account: str, day: int, milli: int) -> None:
        if day >= self._first_bit_day:
            calls = self._accounts[account].milli_calls
            calls[day] = calls.get(day, 0) + milli

    def _bit_index(self, day: date) -> int:
        return day.toordinal() - self._first_bit_day


def _collect_user_days(rows: pl.LazyFrame) -> Iterable[tuple[str, str, list[date]]]:
    grouped = rows.group_by("account_id", "user_id").agg("day")
    return grouped.collect(engine="streaming").iter_rows()
