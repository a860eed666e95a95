"""Event generators: users' and scripts' events of one kind within a range of days.

Everything is numeric here, one vector per column; names are decoded when the log is assembled.
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
WEEKEND_ACTIVITY: Final = 0.12  # activity of a weekend day relative to a workday
WORKDAYS_PER_MONTH: Final = 30 * (5 + 2 * WEEKEND_ACTIVITY) / 7  # weighted by activity
USES_PER_SESSION: Final = 2.4
SECOND: Final = 1_000_000  # microseconds
DAY: Final = 86_400 * SECOND


@dataclass(frozen=True)
class EventContext:
    """Inputs of a month of events."""

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
    """Encoded events, one value each; -1 is null."""

    account: IntVector
    user: IntVector
    time: IntVector  # microseconds
    event: IntVector
    feature: IntVector
    quantity: Vector


def generate_feature_use(context: EventContext, start: int, end: int, rng: Generator) -> EventBatch:
    """Generate sessions on workdays, each with a few uses of features the user has adopted."""
    users, history = context.user_table, context.history
    present = np.flatnonzero((users.joined < end) & (users.left > start))
    activity = np.concatenate([[0.0], np.cumsum(_compute_daily_activity(np.arange(start, end)))])
    start_activity = activity[np.maximum(users.joined[present], start) - start]
    end_activity = activity[np.minimum(users.left[present], end) - start]
    sessions = rng.poisson(
        users.sessions[present] * (end_activity - start_activity) / WORKDAYS_PER_MONTH
    )
    duration = np.repeat(end_activity - start_activity, sessions)
    activity_time = np.repeat(start_activity, sessions) + rng.random(len(duration)) * duration
    day = start + np.searchsorted(activity, activity_time, side="right") - 1
    session_user = np.repeat(present, sessions)
    account = users.account[session_user]
    adopted = history.features[history.step_index(day), account]
    familiarity = np.minimum(0.3 + (day - users.joined[session_user]) / 120, 1.0)
    reach = 1 + (adopted - 1) * np.where(
        users.champion[session_user], 1.0, users.breadth[session_user] * familiarity
    )
    session_start = _sample_office_time(context, account, day, rng)

    uses = rng.geometric(1 / USES_PER_SESSION, len(session_user))
    session = np.repeat(np.arange(len(session_user)), uses)
    position = np.arange(len(session)) - np.repeat(np.cumsum(uses) - uses, uses)
    draws = rng.random(len(session))
    feature_rank = (reach[session] * draws * (0.4 + 0.6 * draws)).astype(np.int64)
    gap = rng.integers(20 * SECOND, 400 * SECOND, len(session))
    event_account = account[session]
    return EventBatch(
        account=event_account,
        user=session_user[session],
        time=session_start[session] + position * gap,
        event=np.full(len(session), USE),
        feature=context.features[event_account, feature_rank],
        quantity=np.ones(len(session)),
    )


def generate_api_calls(context: EventContext, start: int, end: int, rng: Generator) -> EventBatch:
    """Generate API call counts twice a day: the calls since the last count."""
    history = context.history
    days = np.arange(start, end)
    usage = history.usage[history.step_index(days)] * history.is_active[history.step_index(days)]
    day_index, account = np.nonzero(usage > 1)
    share = np.where(_compute_daily_activity(days) < 1, 0.75, 1.1)[day_index] / 60
    calls = np.repeat(usage[day_index, account] * share, 2)
    calls *= np.exp(0.15 * rng.standard_normal(len(calls)))
    account, day = np.repeat(account, 2), np.repeat(days[day_index], 2)
    half_day = np.tile([0, 1], len(day_index)) * (DAY // 2)
    # One account in three uses its champion's API key, the others a machine key.
    champions = np.flatnonzero(context.user_table.champion)
    key_owner = np.full(len(context.utc_offset), -1)
    key_owner[context.user_table.account[champions]] = champions
    user = np.where(account % 3 == 0, key_owner[account], -1)
    time = day * DAY + half_day + rng.integers(0, DAY // 2, len(day))
    return _build_batch(account, user, time, API, quantity=np.ceil(calls))


def generate_integration_syncs(
    context: EventContext, start: int, end: int, rng: Generator
) -> EventBatch:
    """Generate syncs of connected integrations every few days."""
    history = context.history
    days = np.arange(start, end)
    steps = history.step_index(days)
    connected = history.integrations[steps] * history.is_active[steps]
    runs = rng.random((*connected.shape, MAX_INTEGRATIONS)) < 0.3  # a day
    day_index, account, slot = np.nonzero(
        runs & (np.arange(MAX_INTEGRATIONS) < connected[..., None])
    )
    time = days[day_index] * DAY + rng.integers(0, DAY, len(day_index))
    feature = len(names.FEATURES) + (account * 5 + slot) % len(names.INTEGRATIONS)
    return _build_batch(account, np.full(len(day_index), -1), time, SYNC, feature=feature)


def generate_seat_changes(
    context: EventContext, start: int, end: int, rng: Generator
) -> EventBatch:
    """Generate the addition and removal of seats for users who join and leave."""
    users = context.user_table
    added = np.flatnonzero((users.joined >= start) & (users.joined < end))
    is_removed = users.removed & (users.left >= start) & (users.left < end)
    removed = np.flatnonzero(is_removed)
    user = np.concatenate([added, removed])
    day = np.concatenate([users.joined[added], users.left[removed]])
    event = np.repeat([ADDED, REMOVED], [len(added), len(removed)])
    account = users.account[user]
    return _build_batch(account, user, _sample_office_time(context, account, day, rng), event)


def generate_noise_events(
    context: EventContext, start: int, end: int, event: int, rng: Generator
) -> EventBatch:
    """Generate logins, tickets or NPS answers of randomly sampled users."""
    users, history, rates = context.user_table, context.history, context.noise_rates
    rate = {LOGIN: rates.logins, TICKET: rates.tickets, NPS: rates.nps_responses}[event]
    days = np.arange(start, end)
    present = np.flatnonzero((users.joined < end) & (users.left > start))
    present = present[np.argsort(users.account[present], kind="stable")]
    first = np.searchsorted(users.account[present], np.arange(len(rate) + 1))
    can_occur = history.is_active[history.step_index(days)] & (np.diff(first) > 0)
    can_occur &= history.traits.sign_up_day <= days[:, None]
    count = rng.poisson(
        can_occur * rate * (_compute_daily_activity(days) / WORKDAYS_PER_MONTH)[:, None]
    )
    day_index, account = np.nonzero(count)
    day_index, account = (
        np.repeat(day_index, count[day_index, account]),
        np.repeat(account, count[day_index, account]),
    )
    member_count = np.diff(first)[account]
    user = present[first[account] + (rng.random(len(account)) * member_count).astype(np.int64)]
    day = np.clip(days[day_index], users.joined[user], users.left[user])
    score = np.clip(np.round(rng.normal(rates.mean_nps_score[account], 1.5)), 0, 10)
    quantity = score if event == NPS else np.ones(len(account))
    return _build_batch(
        account, user, _sample_office_time(context, account, day, rng), event, quantity=quantity
    )


def generate_guest_logins(
    context: EventContext, start: int, end: int, rng: Generator
) -> EventBatch:
    """Generate the guests' single logins."""
    guests = context.guests
    current = np.flatnonzero((guests.day >= start) & (guests.day < end))
    account = guests.account[current]
    time = _sample_office_time(context, account, guests.day[current], rng)
    return _build_batch(account, guests.first_user + current, time, LOGIN)


def _build_batch(
    account: IntVector,
    user: IntVector,
    time: IntVector,
    event: IntVector | int,
    *,
    feature: IntVector | int = -1,
    quantity: Vector | float = 1.0,
) -> EventBatch:
    """Broadcast the values that all events of a kind share."""
    size = len(account)
    return EventBatch(
        account,
        user,
        time,
        np.broadcast_to(event, size),
        np.broadcast_to(feature, size),
        np.broadcast_to(quantity, size),
    )


def _compute_daily_activity(days: IntVector) -> Vector:
    """Return each day's activity relative to a workday; 1970-01-01 was a Thursday."""
    return np.where((days + 3) % 7 < 5, 1.0, WEEKEND_ACTIVITY)


def _sample_office_time(
    context: EventContext, account: IntVector, day: IntVector, rng: Generator
) -> IntVector:
    """Sample a time within office hours of the account's time zone."""
    hour = (rng.triangular(7, 13, 21, len(day)) - context.utc_offset[account]) % 24
    return np.asarray(day * DAY + (hour * 3600 * SECOND).astype(np.int64))
