"""An independent derivation of the features: plain Python, from timestamps instead of days.

It shares no code with the panel. Each value comes with the days of log it needs, so that a window
that starts before the log does is missing in both.
"""

import math
import random
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from statistics import stdev
from typing import Any, NamedTuple

import polars as pl
import pytest

from data.config import settings
from data.ingest import table_loader
from features.catalogue import FEATURE_NAMES, FEATURES
from features.panel.feature_adoption import ADVANCED_MAX_SHARE
from tests import ROOT
from tests.tables import build_panel

END = datetime(2024, 6, 1, tzinfo=UTC)
OPENSTACK = ROOT / "data/examples/openstack.toml"

Value = tuple[float | None, int]  # and the days of log it needs


@dataclass(frozen=True)
class Event:
    user: str | None
    at: datetime
    known: datetime
    role: str
    feature: str
    quantity: float
    seat: bool


@dataclass(frozen=True)
class Terms:
    effective: datetime
    known: datetime
    seats: float | None
    limit: float | None
    mrr: float | None
    renewal: datetime | None
    paid: bool


class Person(NamedTuple):
    user_id: str
    created_at: datetime | None
    known_at: datetime | None
    deactivated_at: datetime | None
    department: str | None
    email_domain: str | None


NOTHING = Terms(END, END, seats=None, limit=None, mrr=None, renewal=None, paid=False)
EARLIER = END - timedelta(days=1)
ALWAYS = replace(NOTHING, effective=EARLIER, known=EARLIER, paid=True)


class Account:
    """One account at one as-of, event by event."""

    def __init__(
        self,
        as_of: datetime,
        seat_days: int,
        events: Iterable[Event],
        terms: Iterable[Terms],
        people: Sequence[Person],
        *,
        log_days: int,
        advanced: Collection[str] = (),
    ) -> None:
        self.as_of, self.seat_days, self.log_days = as_of, seat_days, log_days
        self.advanced = advanced
        self.events = [e for e in events if max(e.at, e.known) < as_of]
        self.terms = sorted(
            (t for t in terms if t.known < as_of), key=lambda t: (t.effective, t.known)
        )
        self.people = people
        self.use = [e for e in self.events if e.role == "use"]
        self.by_people = [e for e in self.use if e.user is not None]
        self.seated = [e for e in self.events if e.seat and e.user is not None]

    def during(self, events: Sequence[Event], oldest: int, newest: int = 0) -> list[Event]:
        start, end = (self.as_of - timedelta(days=days) for days in (oldest, newest))
        return [e for e in events if start <= e.at < end]

    def month(self, events: Sequence[Event], back: int) -> list[Event]:
        return self.during(events, 30 * back + 30, 30 * back)

    def by_role(self, role: str) -> list[Event]:
        return [e for e in self.events if e.role == role]

    def terms_in_force(self, days_ago: int = 0) -> Terms | None:
        moment = self.as_of - timedelta(days=days_ago)
        return next((t for t in reversed(self.terms) if t.effective <= moment), None)

    def seats(self, back: int = 0) -> float | None:
        terms = self.terms_in_force(30 * back)
        return terms.seats or None if terms else None

    def active(self, back: int = 0) -> set[str]:
        return users(self.during(self.seated, 30 * back + self.seat_days, 30 * back))

    def utilization(self, back: int = 0) -> float | None:
        return ratio(len(self.active(back)), self.seats(back))

    def new_users(self, oldest: int, newest: int = 0) -> set[str]:
        """Return users whose first seat event ever is in the window."""
        return users(self.during(self.seated, oldest, newest)) - users(
            e for e in self.seated if e.at < self.as_of - timedelta(days=oldest)
        )

    def features_first_used(self, oldest: int, newest: int = 0) -> set[str]:
        """Return features first used in the window."""
        return names(self.during(self.use, oldest, newest)) - names(
            e for e in self.use if e.at < self.as_of - timedelta(days=oldest)
        )

    def days_since(self, moment: datetime | None) -> int | None:
        return None if moment is None else (self.as_of.date() - moment.date()).days

    # ---- Families

    def features(self) -> dict[str, Value]:
        return {
            **self.seat_levels(),
            **self.seat_trends(),
            **self.new_user_features(),
            **self.departure_features(),
            **self.adoption(),
            **self.first_uses(),
            **self.engagement(),
            **self.usage(),
            **self.usage_of_limit(),
            **self.spend(),
            **self.integrations(),
            **self.cross_department(),
            **self.contract(),
            **self.controls(),
            **self.calendar(),
        }

    def seat_levels(self) -> dict[str, Value]:
        window, seats = self.seat_days, self.seats()
        free = None if seats is None else seats - len(self.active())
        pace = (len(self.new_users(90)) + 0.5) / 3
        growth = len(self.active()) - len(self.active(3))
        return {
            "licensed_seats": (seats, 0),
            "active_seats": (len(self.active()), window),
            "active_seats_90d_ago": (len(self.active(3)), window + 90),
            "seat_utilization": (self.utilization(), window),
            "seat_headroom": (free, window),
            "seat_headroom_months": (ratio(free, pace), window + 90),
            "seat_days_to_ceiling": (days_to_limit(free, growth), window + 90),
            "seat_growth_90d": (ratio(growth, seats), window + 90),
        }

    def seat_trends(self) -> dict[str, Value]:
        window, now = self.seat_days, self.utilization()
        half_year = [self.utilization(back) for back in range(6)]
        measured = [level for level in half_year if level is not None]
        mean_month = sum(range(6)) / 6
        slope = None
        if len(measured) == 6:
            rise = sum(
                (mean_month - month) * (level - sum(measured) / 6)
                for month, level in enumerate(measured)
            )
            slope = rise / sum((month - mean_month) ** 2 for month in range(6))
        flat = 0
        while flat < 12 and (step := less(self.utilization(flat + 1), now)) is not None:
            if abs(step) > 0.1 or self.log_days < window + 30 * (flat + 1):
                break
            flat += 1
        peak = max(len(self.active(back)) for back in range(12))
        return {
            **{
                f"seat_utilization_change_{30 * back}d": (
                    less(now, self.utilization(back)),
                    window + 30 * back,
                )
                for back in (1, 2, 3, 6, 12)
            },
            "seat_utilization_slope_180d": (slope, window + 150),
            "seat_utilization_volatility_180d": (
                stdev(measured) if len(measured) > 1 else None,
                window + 150,
            ),
            "plateau_months": (None if now is None else flat, window + 60),
            "seat_days_above_80_percent": (self.days_high(), window),
            "seat_utilization_peak_360d": (ratio(peak, self.seats()), window + 330),
        }

    def days_high(self) -> int | None:
        """Count back day by day until utilization was not high."""
        if self.seats() is None:
            return None
        for days in range(90):
            terms = self.terms_in_force(days)
            active = len(users(self.during(self.seated, days + self.seat_days, days)))
            high = terms is not None and terms.seats is not None and active > 0.8 * terms.seats
            if not high or self.log_days < self.seat_days + days:
                return days
        return 90

    def agreement(self) -> int | None:
        use = less(self.utilization(), self.utilization(2))
        if use is None:
            return None
        came = len(self.new_users(60)) - len(self.new_users(120, 60))
        return (use > 0 and came > 0) - (use < 0 and came < 0)

    def new_user_features(self) -> dict[str, Value]:
        seats = self.seats()
        first_days: dict[str, datetime] = {}
        for event in self.seated:
            user = str(event.user)
            first_days[user] = min(first_days.get(user, event.at), event.at)
        met = {days: len(users(self.during(self.by_people, days))) for days in (90, 180, 360)}
        return {
            **{
                f"new_users_{days}d": (len(self.new_users(days)), days)
                for days in (30, 60, 90, 180)
            },
            "new_users_previous_30d": (len(self.new_users(60, 30)), 60),
            "new_users_change_60d": (len(self.new_users(60)) - len(self.new_users(120, 60)), 120),
            "seat_agreement_60d": (self.agreement(), self.seat_days + 90),
            "new_users_acceleration_90d": (
                len(self.new_users(90)) - len(self.new_users(180, 90)),
                180,
            ),
            "new_users_per_seat_90d": (ratio(len(self.new_users(90)), seats), 90),
            "new_users_months_6m": (
                sum(bool(self.new_users(30 * back + 30, 30 * back)) for back in range(6)),
                180,
            ),
            "days_since_new_user": (self.days_since(max(first_days.values(), default=None)), 0),
            "people_90d": (met[90], 90),
            **{f"people_{days}d_over_seats": (less(met[days], seats), days) for days in met},
            "people_180d_per_seat": (ratio(met[180], seats), 180),
            "people_kept_90d_per_seat": (ratio(self.retained_users(), seats), 90),
            "people_kept_90d_over_seats": (less(self.retained_users(), seats), 90),
        }

    def retained_users(self) -> int | None:
        """Return recently active users with a paid seat and a login; null without logins."""
        deactivated = {
            person.user_id
            for person in self.people
            if person.deactivated_at is not None
            and person.deactivated_at < self.as_of
            and self.existed(person)
        }
        seen = users(self.during(self.seated, 90))
        return len(seen - deactivated) if self.users_with_login() else None

    def existed(self, person: Person) -> bool:
        """Return whether a user existed: from the first date on, or from when the row was known."""
        first = min(day for day in (person.created_at, person.deactivated_at) if day is not None)
        return max(first, person.known_at or first) < self.as_of

    def departure_features(self) -> dict[str, Value]:
        window = self.seat_days
        leaving = self.active() - users(self.during(self.seated, window * 2 // 3))
        lost_users = self.active(1) - self.active()
        old = {e.user for e in self.seated if e.at < self.as_of - timedelta(days=30)}
        back = {user for user in self.active() - self.active(1) if user in old}
        provisioned = self.users_with_login()
        return {
            "users_rolling_off": (len(leaving), window),
            "rolling_off_per_seat": (ratio(len(leaving), self.seats()), window),
            "lost_users": (len(lost_users), window + 30),
            "returned_users": (len(back), window + 30),
            "provisioned_users": (len(provisioned), 0),
            "provisioned_per_seat": (ratio(len(provisioned), self.seats()), 0),
            **{
                f"provisioned_per_seat_change_{days}d": (
                    ratio(len(provisioned) - len(self.users_with_login(days)), self.seats()),
                    days,
                )
                for days in (30, 60, 90, 180)
            },
        }

    def users_with_login(self, days: int = 0) -> list[Person]:
        """Return users who had a login some days ago, as known now."""
        moment = self.as_of - timedelta(days=days)
        return [
            person
            for person in self.people
            if person.created_at is not None
            and max(person.created_at, person.known_at or person.created_at) < self.as_of
            and person.created_at < moment
            and not (person.deactivated_at is not None and person.deactivated_at < moment)
        ]

    def adoption(self) -> dict[str, Value]:
        late, early = len(self.features_first_used(60)), len(self.features_first_used(120, 60))
        ever = len(names(self.use))
        shares = Counter(e.user for e in self.during(self.by_people, 90))
        return {
            "features_30d": (len(names(self.month(self.use, 0))), 30),
            "features_90d_ago": (len(names(self.month(self.use, 3))), 120),
            "features_ever": (ever, 0),
            "features_new_60d": (late, 60),
            "features_new_previous_60d": (early, 120),
            "features_new_180d": (len(self.features_first_used(180)), 180),
            "adoption_acceleration_60d": (late - early, 120),
            "features_new_share_60d": (ratio(late, ever), 60),
            "champion_share_90d": (
                ratio(max(shares.values(), default=0), shares.total()),
                90,
            ),
        }

    def first_uses(self) -> dict[str, Value]:
        first: dict[tuple[str, str], int] = {}
        for e in self.by_people:
            key, ago = (str(e.user), e.feature), (self.as_of.date() - e.at.date()).days
            first[key] = max(first.get(key, 0), ago)
        came = {
            user: max(ago for (group, _), ago in first.items() if group == user)
            for user, _ in first
        }
        tried = {
            (group, window): [
                (user, feature)
                for (user, feature), ago in first.items()
                if window <= ago - 1 < window + 60
                and (came[user] > window + 60) == (group == "old")
            ]
            for group in ("old", "new")
            for window in (0, 60)
        }
        counts = {key: len(pairs) for key, pairs in tried.items()}
        return {
            "first_uses_established_60d": (counts["old", 0], 60),
            "first_uses_established_previous_60d": (counts["old", 60], 120),
            "first_uses_established_change_60d": (counts["old", 0] - counts["old", 60], 120),
            "first_uses_recent_60d": (counts["new", 0], 60),
            "first_uses_recent_previous_60d": (counts["new", 60], 120),
            "first_uses_recent_change_60d": (counts["new", 0] - counts["new", 60], 120),
            "features_of_recent_users_60d": (len({f for _, f in tried["new", 0]}), 60),
            **self.spread(first),
            **self.advanced_use(first),
        }

    def spread(self, first: Mapping[tuple[str, str], int]) -> dict[str, Value]:
        done = Counter(str(e.user) for e in self.during(self.by_people, 90))
        champion = min(done, key=lambda user: (-done[user], user), default=None)
        features = {feature for _, feature in first}
        beyond, spread = 0, []
        for feature in features:
            others = [ago for (u, f), ago in first.items() if f == feature and u != champion]
            beyond += bool(others)
            if others and champion and max(others) < first.get((champion, feature), 0):
                spread.append(max(others))
        return {
            "features_spread_60d": (sum(ago <= 60 for ago in spread), 60),
            "features_spread_previous_60d": (sum(60 < ago <= 120 for ago in spread), 120),
            "features_beyond_champion_share": (ratio(beyond, len(features)), 90),
        }

    def advanced_use(self, first: Mapping[tuple[str, str], int]) -> dict[str, Value]:
        features, people = defaultdict(list), defaultdict(list)
        for (user, feature), ago in first.items():
            if feature in self.advanced:
                features[feature].append(ago)
                people[user].append(ago)
        return {
            "advanced_features_ever": (len(features), 0),
            "advanced_features_new_60d": (sum(max(a) <= 60 for a in features.values()), 60),
            "advanced_users_ever": (len(people), 0),
            "advanced_users_new_60d": (sum(max(a) <= 60 for a in people.values()), 60),
        }

    def sessions(self, back: int) -> int:
        """Count runs of clock hours; rows that became known in another month count separately."""
        hours = defaultdict(set)
        for e in self.month(self.by_people, back):
            known = max(e.at, e.known).date()
            months_known = ((self.as_of.date() - known).days - 1) // 30
            hours[e.user, e.at.date(), months_known].add(e.at.hour)
        return sum(
            hour - 1 not in disagreeing for disagreeing in hours.values() for hour in disagreeing
        )

    def weeks(self, back: int) -> int:
        end = self.as_of.date() - timedelta(days=30 * back)
        used = {
            (e.user, ((end - e.at.date()).days - 1) // 7) for e in self.month(self.by_people, back)
        }
        return sum(week < 4 for _, week in used)

    def engagement(self) -> dict[str, Value]:
        active = {back: len(users(self.month(self.by_people, back))) for back in (0, 1, 3, 6)}
        done = {back: len(self.month(self.use, back)) for back in (0, 1, 3, 12)}
        days = {back: days_of_each(self.month(self.by_people, back)) for back in (0, 3)}
        per_user = {back: ratio(sum(d.values()), len(d)) for back, d in days.items()}
        power = {back: sum(n >= 12 for n in d.values()) for back, d in days.items()}
        return {
            "active_users_30d": (active[0], 30),
            "active_users_90d_ago": (active[3], 120),
            "active_users_growth_30d": (growth(active[0], active[1]), 60),
            "active_users_growth_90d": (growth(active[0], active[3]), 120),
            "active_users_growth_180d": (growth(active[0], active[6]), 210),
            "events_30d": (done[0], 30),
            "events_90d_ago": (done[3], 120),
            "events_growth_30d": (growth(done[0], done[1]), 60),
            "events_growth_90d": (growth(done[0], done[3]), 120),
            "events_growth_360d": (growth(done[0], done[12]), 390),
            "active_days_per_user_30d": (per_user[0] or 0, 30),
            "active_days_per_user_change_90d": (less(per_user[0], per_user[3]) or 0, 120),
            "sessions_per_user_30d": (ratio(self.sessions(0), active[0]) or 0, 30),
            "sessions_per_user_90d_ago": (ratio(self.sessions(3), active[3]) or 0, 120),
            "weekly_stickiness_30d": ((ratio(self.weeks(0), active[0]) or 0) / 4, 30),
            "weekly_stickiness_change_90d": (
                (less(ratio(self.weeks(0), active[0]), ratio(self.weeks(3), active[3])) or 0) / 4,
                120,
            ),
            "power_users_30d": (power[0], 30),
            "power_users_90d_ago": (power[3], 120),
        }

    def monthly_calls(self) -> list[float]:
        calls = self.by_role("api_call")
        return [sum(event.quantity for event in self.month(calls, back)) for back in range(13)]

    def usage(self) -> dict[str, Value]:
        terms = self.terms_in_force()
        limit = terms.limit if terms else None
        calls = self.monthly_calls()
        pace = less(ratio(calls[0], calls[1]), 1)
        run = 0
        while run < 6 and calls[run + 1] and calls[run] / calls[run + 1] > 1.2:
            run += 1
        return {
            "api_calls_30d": (calls[0], 30),
            "api_calls_previous_30d": (calls[1], 60),
            "api_growth_30d": (None if pace is None else min(pace, 10), 60),
            "api_growth_90d": (growth(calls[0], calls[3]), 120),
            "api_months_above_20_percent": (run, 210),
            "usage_ratio": (ratio(calls[0], limit), 30),
            "usage_ratio_90d_ago": (ratio(calls[3], limit), 120),
            "api_in_first_90_days": (self.early_api(), 0),
            "usage_days_to_limit": (
                days_to_limit(less(limit, calls[0]), calls[0] - calls[3]),
                120,
            ),
        }

    def usage_of_limit(self) -> dict[str, Value]:
        terms = self.terms_in_force()
        limit = terms.limit if terms else None
        calls = self.monthly_calls()
        used = [ratio(volume, limit) for volume in calls]
        half_year = [level for level in used[:6] if level is not None]
        slope = peak = spread = high = None
        if limit:
            rises = [(2.5 - month) * level for month, level in enumerate(half_year)]
            slope, spread = sum(rises) / 17.5, stdev(half_year)
            peak = max(level or 0 for level in used[:12])
            high = next((m for m in range(6) if half_year[m] <= 0.8), 6)
        return {
            **{
                f"usage_ratio_change_{30 * m}d": (less(used[0], used[m]), 30 + 30 * m)
                for m in (1, 2, 3, 6, 12)
            },
            "usage_ratio_slope_180d": (slope, 180),
            "usage_ratio_volatility_180d": (spread, 180),
            "usage_ratio_peak_360d": (peak, 360),
            "usage_months_above_80_percent": (high, 30),
            "usage_headroom": (less(limit, calls[0]), 30),
        }

    def spend(self) -> dict[str, Value]:
        values: dict[str, Value] = {}
        events = [len(self.month(self.use, back)) for back in range(7)]
        for measured, volume in (
            ("usage_per_mrr", self.monthly_calls()),
            ("events_per_mrr", events),
        ):
            paid = {
                m: ratio(volume[m], (self.terms_in_force(30 * m) or NOTHING).mrr) for m in (0, 3, 6)
            }
            values[f"{measured}_30d"] = (paid[0], 30)
            for m in (3, 6):
                change = less(ratio(paid[0], paid[m]), 1)
                change = None if change is None else min(change, 10)
                values[f"{measured}_change_{30 * m}d"] = (change, 30 + 30 * m)
        return values

    def early_api(self) -> int:
        first = min((e.at for e in self.by_role("api_call")), default=None)
        joined = min(t.effective for t in self.effective_rows() if t.paid)
        return int(first is not None and (first.date() - joined.date()).days <= 90)

    def effective_rows(self) -> list[Terms]:
        """Return rows in force up to now; of one effective date, the one known last."""
        by_date = {t.effective: t for t in self.terms if t.effective <= self.as_of}
        return [by_date[effective] for effective in sorted(by_date)]

    def integrations(self) -> dict[str, Value]:
        disagreeing = self.by_role("integration")
        before = names(e for e in disagreeing if e.at < self.as_of - timedelta(days=90))
        now, then = (len(names(self.month(disagreeing, back))) for back in (0, 3))
        return {
            "integrations_30d": (now, 30),
            "integrations_90d_ago": (then, 120),
            "integrations_new_90d": (len(names(disagreeing) - before), 90),
            "integrations_growth_90d": (now - then, 120),
        }

    def cross_department(self) -> dict[str, Value]:
        values: dict[str, Value] = {}
        for plural, attribute in (("departments", "department"), ("email_domains", "email_domain")):
            group = {
                person.user_id: getattr(person, attribute)
                for person in self.people
                if self.existed(person)
            }
            seen = [(e.at, group.get(str(e.user))) for e in self.by_people]
            start = self.as_of - timedelta(days=90)
            now = {name for at, name in seen if name is not None and at >= start}
            before = {name for at, name in seen if name is not None and at < start}
            values[f"{plural}_90d"] = (len(now), 90)
            values[f"{plural}_new_90d"] = (len(now - before), 90)
            singular = plural.removesuffix("s")
            values[f"days_since_new_{singular}"] = (self.days_since_newest(attribute), 0)
        return values

    def days_since_newest(self, attribute: str) -> int | None:
        """Return the days since the newest of several groups of users got its first login."""
        first: dict[str, datetime] = {}
        for person in self.people:
            name, created = getattr(person, attribute), person.created_at
            known = created and max(created, person.known_at or created)
            if name is not None and created is not None and known < self.as_of:
                first[name] = min(first.get(name, created), created)
        return self.days_since(max(first.values())) if len(first) > 1 else None

    def contract(self) -> dict[str, Value]:
        now, before = self.terms_in_force() or NOTHING, self.terms_in_force(360) or NOTHING
        past = self.effective_rows()
        ahead = [terms.seats for terms in self.terms if terms.effective > self.as_of]
        rises = [
            self.days_since(new.effective)
            for old, new in pairwise(past)
            if old.paid and new.paid and bought_more(old, new)
        ]
        since = [days for days in rises if days is not None]
        cuts = [
            whole_days(self.as_of, new.effective) for old, new in pairwise(past) if cut(old, new)
        ]
        signed = list({t.effective: t for t in self.terms}.values())
        bought = [
            self.signed_days(new)
            for old, new in pairwise([NOTHING, *signed])
            if new.paid and (not old.paid or bought_more(old, new))
        ]
        reduced = [self.signed_days(new) for old, new in pairwise(signed) if cut(old, new)]
        return {
            "tenure_days": (self.days_since(min(t.effective for t in past if t.paid)), 0),
            "contract_days": (self.days_since(now.effective), 0),
            "mrr": (now.mrr, 0),
            "mrr_per_seat": (ratio(now.mrr, now.seats), 0),
            "mrr_growth_360d": (less(ratio(now.mrr, before.mrr), 1), 0),
            "seats_growth_360d": (less(ratio(now.seats, before.seats), 1), 0),
            "expansions_so_far": (len(since), 0),
            "expansions_360d": (sum(days <= 360 for days in since), 0),
            "days_since_expansion": (min(since, default=None), 0),
            "days_since_seat_cut": (min(cuts, default=None), 0),
            "days_since_purchase": (min(bought, default=None), 0),
            "days_since_terms_changed": (min(bought + reduced, default=None), 0),
            "days_to_renewal": (whole_days(now.renewal, self.as_of), 0),
            "seats_ahead_share": (
                ratio(max((s for s in ahead if s is not None), default=None), now.seats),
                0,
            ),
        }

    def signed_days(self, terms: Terms) -> int:
        """Return the days since a subscription row was signed, or in force if earlier."""
        return (self.as_of - min(terms.known, terms.effective)).days

    def controls(self) -> dict[str, Value]:
        logins = [len(self.month(self.by_role("login"), back)) for back in (0, 1)]
        tickets = self.by_role("support_ticket")
        answers = [e.quantity for e in self.during(self.by_role("nps"), 180)]
        return {
            "logins_30d": (logins[0], 30),
            "logins_growth_30d": (growth(*logins), 60),
            "tickets_90d": (len(self.during(tickets, 90)), 90),
            "tickets_change_90d": (
                len(self.during(tickets, 90)) - len(self.during(tickets, 180, 90)),
                180,
            ),
            "nps_180d": (ratio(sum(answers), len(answers)), 180),
        }

    def calendar(self) -> dict[str, Value]:
        day = today = self.as_of.date()
        while day == today or day.day != 1 or day.month not in (1, 4, 7, 10):
            day += timedelta(days=1)
        new_year = date(today.year + 1, 1, 1)
        return {
            "month_of_year": (today.month, 0),
            "days_to_quarter_end": ((day - today).days, 0),
            "days_to_year_end": ((new_year - today).days, 0),
        }


def users(events: Iterable[Event]) -> set[str]:
    return {e.user for e in events if e.user is not None}


def names(events: Iterable[Event]) -> set[str]:
    return {e.feature for e in events}


def days_of_each(events: Iterable[Event]) -> Counter[str | None]:
    return Counter(user for user, _ in {(e.user, e.at.date()) for e in events})


def ratio(over: float | None, under: float | None) -> float | None:
    return None if over is None or not under else over / under


def less(level: float | None, by: float | None) -> float | None:
    return None if level is None or by is None else level - by


def growth(now: float, before: float) -> float:
    return math.log((now + 1) / (before + 1))


def days_to_limit(free: float | None, rise_90d: float) -> float | None:
    """Extrapolate the last three months linearly; two years mean never."""
    if free is None or free <= 0:
        return None if free is None else 0.0
    return min(free / (rise_90d / 90), 720.0) if rise_90d > 0 else 720.0


def whole_days(moment: datetime | None, since: datetime) -> int | None:
    return None if moment is None else (moment - since).days


def bought_more(before: Terms, after: Terms) -> bool:
    pairs = [(before.seats, after.seats), (before.limit, after.limit)]
    return any(old is not None and new is not None and new > old for old, new in pairs)


def cut(before: Terms, after: Terms) -> bool:
    fewer = (after.seats or math.inf) < (before.seats or 0)
    return before.paid and after.paid and fewer


# ---- Comparing


@dataclass(frozen=True)
class Company:
    """All rows of the tables, by account."""

    seat_days: int
    events: Mapping[str, Sequence[Event]]
    terms: Mapping[str, Sequence[Terms]]
    people: Mapping[str, Sequence[Person]]
    known: Sequence[tuple[datetime, date]]  # when an event became visible, and its day
    adoption: settings.AdoptionConfig

    def advanced(self, as_of: datetime) -> Collection[str]:
        """Return the features named as advanced, else the rarely used ones."""
        if self.adoption.advanced_features:
            return self.adoption.advanced_features
        used = {
            (account, e.feature)
            for account, events in self.events.items()
            for e in events
            if e.role == "use" and e.user is not None and max(e.at, e.known) < as_of
        }
        most = ADVANCED_MAX_SHARE * len({account for account, _ in used})
        return {f for f, n in Counter(feature for _, feature in used).items() if n <= most}

    def features(self, name: str, as_of: datetime) -> dict[str, float | None]:
        """Return every feature of an account; null where it needs more days of log than exist."""
        log_days = (as_of.date() - min(day for seen, day in self.known if seen < as_of)).days
        rows = self.events[name], self.terms[name], self.people.get(name, ())
        advanced = self.advanced(as_of)
        account = Account(as_of, self.seat_days, *rows, log_days=log_days, advanced=advanced)
        return {
            feature: value if log_days >= reach else None
            for feature, (value, reach) in account.features().items()
        }


def disagreements(disagreeing: pl.DataFrame, company: Company) -> Counter[tuple[str, date]]:
    """Return feature and as-of → snapshots in which the two derivations differ."""
    wrong: Counter[tuple[str, date]] = Counter()
    for row in disagreeing.iter_rows(named=True):
        day = row["as_of"]
        as_of = datetime(day.year, day.month, day.day, tzinfo=UTC)
        for name, expected in company.features(row["account_id"], as_of).items():
            wrong[name, day] += not equal(row[name], expected)
    return +wrong


def equal(left: float | None, right: float | None) -> bool:
    if left is None or right is None:
        return left is right
    return math.isclose(left, right, rel_tol=1e-9, abs_tol=1e-9)


# ---- A small random company

DAYS = 520
RARE = {"acme": ["law", "ai"], "beta": ["ai"], "coop": ["ai", "maps"], "dyne": ["view"]}
EVENTS = ["view", "edit", "share", "chart", "api_call", "integration_sync", "login", "ticket"]
ACCOUNTS = ("acme", "beta", "coop", "dyne")


def random_events(rng: random.Random) -> list[dict[str, Any]]:
    """Generate uneven use over the days before the end, some known late, some on window edges."""
    rows = []
    for number in range(4000):
        account = rng.choice(ACCOUNTS)
        person = min(int(rng.expovariate(0.25)), 12)
        age = timedelta(days=DAYS * rng.random() ** (1 + 0.1 * person))
        if rng.random() < 0.2:
            age = timedelta(days=30 * rng.randint(0, 14), microseconds=rng.choice([-1, 0, 1]))
        event = rng.choice([*EVENTS, *EVENTS[:4], *RARE[account], "nps"])
        rows.append(
            {
                "account_id": account,
                "user_id": None if rng.random() < 0.1 else f"{account}-{person}",
                "timestamp": END - age,
                "event": event,
                "feature": rng.choice(["slack", "mail", None]) if event[0] == "i" else None,
                "quantity": rng.choice([None, 1.5, 3.0, 0.125]),
                "event_id": f"e{number}",
                "known_at": END - age + timedelta(days=rng.choice([0, 0, 0, 0, 1, 30, 75])),
            }
        )
    return rows


def random_contracts(rng: random.Random) -> list[dict[str, Any]]:
    rows = []
    for account in ACCOUNTS:
        seats, limit = 4.0, 100.0
        for days in sorted(rng.sample(range(-100, 1500), 12), reverse=True):
            seats = max(1.0, seats + rng.choice([-2, 0, 1, 3]))
            limit *= rng.choice([1, 1, 1, 2, 0.5])
            rows.append(
                {
                    "account_id": account,
                    "effective_date": END - timedelta(days=days),
                    "licensed_seats": seats,
                    "usage_limit": limit,
                    "mrr": seats * rng.choice([9.0, 10.0]),
                    "renewal_date": END - timedelta(days=days - 365),
                    "known_at": END - timedelta(days=days + rng.choice([-40, 0, 0, 0, 60])),
                }
            )
    return rows


def random_people(rng: random.Random) -> list[dict[str, Any]]:
    return [
        {
            "user_id": f"{account}-{person}",
            "account_id": account,
            "created_at": END - timedelta(days=rng.randint(-30, 500)),
            "known_at": rng.choice([None, END - timedelta(days=rng.randint(0, 300))]),
            "deactivated_at": rng.choice([None, END - timedelta(days=rng.randint(-30, 200))]),
            "department": rng.choice([None, "sales", "law", "labs"]),
            "email_domain": rng.choice([None, f"{account}.example", "mail.example"]),
        }
        for account in ACCOUNTS
        for person in range(13)
    ]


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("seat_days", [30, 60])
def test_every_feature_agrees_with_a_slow_derivation_on_a_random_company(
    tmp_path: Path, seed: int, seat_days: int
) -> None:
    rng = random.Random(seed)  # noqa: S311 - not for secrets
    log, deals, people = random_events(rng), random_contracts(rng), random_people(rng)
    as_ofs = [END - timedelta(days=back) for back in (0, 30, 45, 150, 300, 430)]
    config = settings.Settings(
        seats=settings.SeatsConfig(window_days=seat_days),
        adoption=settings.AdoptionConfig(advanced_features=("chart", "ai") if seed == 2 else ()),
        tables=settings.TablesConfig(time_invariant_attributes=("department", "email_domain")),
    )
    tables = table_loader.tables_from_frames(
        pl.DataFrame(log, infer_schema_length=None),
        pl.DataFrame(deals),
        pl.DataFrame({"account_id": ACCOUNTS, "created_date": [END - timedelta(days=2000)] * 4}),
        pl.DataFrame(people, infer_schema_length=None),
        tables=config.tables,
    )

    disagreeing = build_panel(tables, as_ofs, config, tmp_path).snapshots

    company = company_of(log, deals, people, config)
    assert disagreeing.height > 15
    assert not disagreements(disagreeing, company)


def test_all_features_but_plan_rank_and_peer_percentiles_are_derived_here() -> None:
    derived = Account(END, 30, [], [ALWAYS], [], log_days=0).features()

    elsewhere = {feature.name for feature in FEATURES if feature.family == "peers"}
    assert set(FEATURE_NAMES) - set(derived) == {"plan_rank", *elsewhere}
    assert set(derived) <= set(FEATURE_NAMES)


@pytest.mark.slow
def test_every_feature_agrees_with_a_slow_derivation_on_a_real_product_log(
    tmp_path: Path,
) -> None:
    disagreeing = settings.load_settings(OPENSTACK)
    # Named, because rarity depends on all accounts, and this is a sample.
    adoption = settings.AdoptionConfig(advanced_features=("nova/api", "heat/cmd"))
    config = disagreeing.model_copy(update={"adoption": adoption})
    folder = config.base / config.tables.folder
    if not folder.exists():
        pytest.skip(f"the OpenStack log is not on this machine: no folder {folder.resolve()}")
    tables = table_loader.load_tables(config)
    as_ofs = [datetime(year, 3, 1, tzinfo=UTC) for year in (2011, 2013, 2016, 2020, 2026)]

    disagreeing = build_panel(tables, as_ofs, config, tmp_path).snapshots

    sample = disagreeing.sample(60, seed=7)
    is_sampled = pl.col("account_id").is_in(sample["account_id"].unique().implode())
    log = pl.concat(part.valid_rows() for part in tables.events).collect()
    company = company_of(
        log.filter(is_sampled | (pl.col("timestamp") == log["timestamp"].min())).to_dicts(),
        tables.subscriptions.rows.filter(is_sampled).to_dicts(),
        tables.users.rows.filter(is_sampled).to_dicts(),
        config,
    )
    assert not disagreements(sample, company)


def company_of(
    log: Iterable[Mapping[str, Any]],
    deals: Iterable[Mapping[str, Any]],
    people: Iterable[Mapping[str, Any]],
    config: settings.Settings,
) -> Company:
    roles, seats = config.roles.map_event_names(), config.seats.events
    events, terms, persons = defaultdict(list), defaultdict(list), defaultdict(list)
    for row in log:
        events[row["account_id"]].append(event(row, roles, seats))
    for row in deals:
        terms[row["account_id"]].append(terms_of(row))
    for row in people:
        persons[row["account_id"]].append(Person(*(row[name] for name in Person._fields)))
    known = [(max(e.at, e.known), e.at.date()) for each in events.values() for e in each]
    return Company(config.seats.window_days, events, terms, persons, known, config.adoption)


def event(row: Mapping[str, Any], roles: Mapping[str, str], seats: Sequence[str]) -> Event:
    role = roles.get(row["event"], "use")
    return Event(
        user=row["user_id"],
        at=row["timestamp"],
        known=row["known_at"] or row["timestamp"],
        role=role,
        feature=row["feature"] or row["event"],
        quantity=1.0 if row["quantity"] is None else row["quantity"],
        seat=row["event"] in seats if seats else role == "use",
    )


def terms_of(row: Mapping[str, Any]) -> Terms:
    return Terms(
        effective=row["effective_date"],
        known=row["known_at"] or row["effective_date"],
        seats=row["licensed_seats"],
        limit=row["usage_limit"],
        mrr=row["mrr"],
        renewal=row.get("renewal_date"),
        paid=row.get("status") in (None, "paid") and row["licensed_seats"] is not None,
    )
