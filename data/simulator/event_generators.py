"""What people and scripts leave behind: the traces of one kind of action in a span of days.

Everything is numbers here, one vector per column; words come when the log is put together.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from data.simulator import names
from data.simulator.account_state import Generator, IntVector, Vector
from data.simulator.adoption import MAX_INTEGRATIONS
from data.simulator.noise import GuestVisits, NoiseRates
from data.simulator.simulation import SimulationHistory
from data.simulator.users import UserTable

__all__ = [
    "DAY",
    "EVENTS",
    "LOGIN",
    "NPS",
    "SECOND",
    "TICKET",
    "EventBatch",
    "EventContext",
    "generate_api_calls",
    "generate_feature_use",
    "generate_guest_logins",
    "generate_integration_syncs",
    "generate_noise_events",
    "generate_seat_changes",
]  # fmt: skip

EVENTS: Final = (
    "use", "api_call", "integration", "user_added", "user_removed", "login", "support_ticket", "nps"
)  # fmt: skip
USE, API, SYNC, ADDED, REMOVED, LOGIN, TICKET, NPS = range(8)
WEEKEND_ACTIVITY: Final = 0.12  # activity of a Saturday or Sunday beside a workday's
WORKDAYS_PER_MONTH: Final = 30 * (5 + 2 * WEEKEND_ACTIVITY) / 7  # in a month
USES_PER_SESSION: Final = 2.4
SECOND: Final = 1_000_000  # microseconds
DAY: Final = 86_400 * SECOND


@dataclass(frozen=True)
class EventContext:
    """All that a month of events is made of."""

    history: SimulationHistory
    user_table: UserTable
    noise_rates: NoiseRates
    guests: GuestVisits
    features: IntVector  # per account, the order in which it adopts them
    utc_offset: IntVector  # per account, hours from UTC
    account_ids: pl.Series
    user_ids: pl.Series


@dataclass(frozen=True)
class EventBatch:
    """Events as numbers, one value each; -1 is nothing."""

    account: IntVector
    user: IntVector
    time: IntVector  # microseconds
    event: IntVector
    feature: IntVector
    quantity: Vector


def generate_feature_use(context: EventContext, start: int, end: int, rng: Generator) -> EventBatch:
    """Sessions on the days people work, each a few uses of features they know."""
    roster, history = context.user_table, context.history
    here = np.flatnonzero((roster.joined < end) & (roster.left > start))
    work = np.concatenate([[0.0], np.cumsum(_activity_by_day(np.arange(start, end)))])
    opens = work[np.maximum(roster.joined[here], start) - start]
    closes = work[np.minimum(roster.left[here], end) - start]
    sessions = rng.poisson(roster.sessions[here] * (closes - opens) / WORKDAYS_PER_MONTH)
    stay = np.repeat(closes - opens, sessions)
    moment = np.repeat(opens, sessions) + rng.random(len(stay)) * stay
    day = start + np.searchsorted(work, moment, side="right") - 1
    who = np.repeat(here, sessions)
    account = roster.account[who]
    adopted = history.features[history.step_index(day), account]
    settled = np.minimum(0.3 + (day - roster.joined[who]) / 120, 1.0)
    reach = 1 + (adopted - 1) * np.where(roster.champion[who], 1.0, roster.breadth[who] * settled)
    begins = _sample_office_time(context, account, day, rng)

    uses = rng.geometric(1 / USES_PER_SESSION, len(who))
    session = np.repeat(np.arange(len(who)), uses)
    place = np.arange(len(session)) - np.repeat(np.cumsum(uses) - uses, uses)
    dice = rng.random(len(session))
    known = (reach[session] * dice * (0.4 + 0.6 * dice)).astype(np.int64)
    gap = rng.integers(20 * SECOND, 400 * SECOND, len(session))
    whose = account[session]
    return EventBatch(
        account=whose,
        user=who[session],
        time=begins[session] + place * gap,
        event=np.full(len(session), USE),
        feature=context.features[whose, known],
        quantity=np.ones(len(session)),
    )


def generate_api_calls(context: EventContext, start: int, end: int, rng: Generator) -> EventBatch:
    """Twice a day, how many calls an account's scripts have made since the last count."""
    history = context.history
    days = np.arange(start, end)
    usage = history.usage[history.step_index(days)] * history.alive[history.step_index(days)]
    at, account = np.nonzero(usage > 1)
    share = np.where(_activity_by_day(days) < 1, 0.75, 1.1)[at] / 60
    calls = np.repeat(usage[at, account] * share, 2)
    calls *= np.exp(0.15 * rng.standard_normal(len(calls)))
    account, day = np.repeat(account, 2), np.repeat(days[at], 2)
    half = np.tile([0, 1], len(at)) * (DAY // 2)
    # One account in three calls with its champion's key, the others with a machine's.
    champions = np.flatnonzero(context.user_table.champion)
    owner = np.full(len(context.utc_offset), -1)
    owner[context.user_table.account[champions]] = champions
    user = np.where(account % 3 == 0, owner[account], -1)
    time = day * DAY + half + rng.integers(0, DAY // 2, len(day))
    return _build_batch(account, user, time, API, quantity=np.ceil(calls))


def generate_integration_syncs(
    context: EventContext, start: int, end: int, rng: Generator
) -> EventBatch:
    """Connected integrations exchange data every few days."""
    history = context.history
    days = np.arange(start, end)
    steps = history.step_index(days)
    connected = history.integrations[steps] * history.alive[steps]
    runs = rng.random((*connected.shape, MAX_INTEGRATIONS)) < 0.3  # a day
    at, account, slot = np.nonzero(runs & (np.arange(MAX_INTEGRATIONS) < connected[..., None]))
    time = days[at] * DAY + rng.integers(0, DAY, len(at))
    feature = len(names.FEATURES) + (account * 5 + slot) % len(names.INTEGRATIONS)
    return _build_batch(account, np.full(len(at), -1), time, SYNC, feature=feature)


def generate_seat_changes(
    context: EventContext, start: int, end: int, rng: Generator
) -> EventBatch:
    """Seats given to those who join, and taken back from those who stopped."""
    roster = context.user_table
    added = np.flatnonzero((roster.joined >= start) & (roster.joined < end))
    gone = roster.removed & (roster.left >= start) & (roster.left < end)
    removed = np.flatnonzero(gone)
    user = np.concatenate([added, removed])
    day = np.concatenate([roster.joined[added], roster.left[removed]])
    event = np.repeat([ADDED, REMOVED], [len(added), len(removed)])
    account = roster.account[user]
    return _build_batch(account, user, _sample_office_time(context, account, day, rng), event)


def generate_noise_events(
    context: EventContext, start: int, end: int, event: int, rng: Generator
) -> EventBatch:
    """Logins, tickets or NPS answers of members picked at random."""
    roster, history, habits = context.user_table, context.history, context.noise_rates
    rate = {LOGIN: habits.logins, TICKET: habits.tickets, NPS: habits.answers}[event]
    days = np.arange(start, end)
    here = np.flatnonzero((roster.joined < end) & (roster.left > start))
    here = here[np.argsort(roster.account[here], kind="stable")]
    first = np.searchsorted(roster.account[here], np.arange(len(rate) + 1))
    open_to = history.alive[history.step_index(days)] & (np.diff(first) > 0)
    open_to &= history.traits.joined <= days[:, None]
    count = rng.poisson(open_to * rate * (_activity_by_day(days) / WORKDAYS_PER_MONTH)[:, None])
    at, account = np.nonzero(count)
    at, account = np.repeat(at, count[at, account]), np.repeat(account, count[at, account])
    members = np.diff(first)[account]
    user = here[first[account] + (rng.random(len(account)) * members).astype(np.int64)]
    day = np.clip(days[at], roster.joined[user], roster.left[user])
    score = np.clip(np.round(rng.normal(habits.happiness[account], 1.5)), 0, 10)
    quantity = score if event == NPS else np.ones(len(account))
    return _build_batch(
        account, user, _sample_office_time(context, account, day, rng), event, quantity=quantity
    )


def generate_guest_logins(
    context: EventContext, start: int, end: int, rng: Generator
) -> EventBatch:
    """Guests log in, once each."""
    guests = context.guests
    now = np.flatnonzero((guests.day >= start) & (guests.day < end))
    account = guests.account[now]
    time = _sample_office_time(context, account, guests.day[now], rng)
    return _build_batch(account, guests.first_user + now, time, LOGIN)


def _build_batch(
    account: IntVector,
    user: IntVector,
    time: IntVector,
    event: IntVector | int,
    *,
    feature: IntVector | int = -1,
    quantity: Vector | float = 1.0,
) -> EventBatch:
    """Fill up what all the events of a kind share."""
    size = len(account)
    return EventBatch(
        account,
        user,
        time,
        np.broadcast_to(event, size),
        np.broadcast_to(feature, size),
        np.broadcast_to(quantity, size),
    )


def _activity_by_day(days: IntVector) -> Vector:
    """Give each day's share of a workday's activity; 1970-01-01 was a Thursday."""
    return np.where((days + 3) % 7 < 5, 1.0, WEEKEND_ACTIVITY)


def _sample_office_time(
    context: EventContext, account: IntVector, day: IntVector, rng: Generator
) -> IntVector:
    """Draw a time within office hours where the account is."""
    hour = (rng.triangular(7, 13, 21, len(day)) - context.utc_offset[account]) % 24
    return np.asarray(day * DAY + (hour * 3600 * SECOND).astype(np.int64))
