"""The raw product log, month by month: what the users and scripts of all accounts did.

Each month has its own stream of random numbers. Everything is numeric, one vector per column;
names are decoded when the month's frame is built.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from data.simulator import names
from data.simulator.account_state import Generator, IntVector, Vector
from data.simulator.adoption import MAX_INTEGRATIONS
from data.simulator.simulation import SimulationHistory, create_random_stream
from data.simulator.tables import format_account_ids, format_user_ids
from data.simulator.users import (
    GuestVisits,
    NoiseRates,
    UserTable,
    expand_users,
    sample_noise_rates,
    simulate_guest_visits,
)

__all__ = ["EventContext", "build_event_context", "generate_month"]

EVENTS: Final = (
    "use", "api_call", "integration", "user_added", "user_removed", "login", "support_ticket", "nps"
)  # fmt: skip
USE, API, SYNC, ADDED, REMOVED, LOGIN, TICKET, NPS = range(8)
WEEKEND_ACTIVITY: Final = 0.12  # activity of a weekend day relative to a workday
WORKDAYS_PER_MONTH: Final = 30 * (5 + 2 * WEEKEND_ACTIVITY) / 7  # weighted by activity
USES_PER_SESSION: Final = 2.4
SECOND: Final = 1_000_000  # microseconds
DAY: Final = 86_400 * SECOND
LATE_SHARE: Final = 0.03  # share that arrives hours after it happened
VERY_LATE_SHARE: Final = 0.003  # share that arrives days after
DUPLICATE_SHARE: Final = 0.005  # share delivered twice
_UTC_DATETIME: Final = pl.Datetime("us", "UTC")
_FIRST_ID: Final = 1_000_000_000  # ids of equal length sort in order of creation
_FEATURES: Final = pl.Series([*names.FEATURES, *names.INTEGRATIONS, None])  # the last is null


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


def build_event_context(history: SimulationHistory, seed: int) -> EventContext:
    """Build the inputs that all months share, from each purpose's stream of random numbers."""
    size = len(history.traits.sign_up_day)
    user_table = expand_users(history, create_random_stream(seed, "users"))
    noise_rng = create_random_stream(seed, "noise")
    noise_rates = sample_noise_rates(size, noise_rng)
    guests = simulate_guest_visits(history, user_table, noise_rates, noise_rng)
    rng = create_random_stream(seed, "events")
    adoption_order = np.arange(len(names.FEATURES)) + rng.normal(0, 3, (size, len(names.FEATURES)))
    return EventContext(
        history=history,
        user_table=user_table,
        noise_rates=noise_rates,
        guests=guests,
        features=np.argsort(adoption_order, axis=1, kind="stable"),
        utc_offset=rng.choice([-8, -6, -5, 0, 1, 1, 2, 5, 8, 10], size),
        account_ids=format_account_ids(np.arange(size)),
        user_ids=format_user_ids(np.arange(len(user_table) + len(guests.account))).extend_constant(
            None, 1
        ),
    )


def generate_month(
    context: EventContext, start: int, end: int, seed: int, first_id: int
) -> pl.DataFrame:
    """Generate the events of the days from start to end, end excluded, with ids from ``first_id``.

    Returns
    -------
    polars.DataFrame
        Rows of the event schema sorted by time, including duplicate deliveries. Events that had
        not arrived by the end of the log are left out.
    """
    rng = create_random_stream(seed, "events", start)
    noise_rng = create_random_stream(seed, "noise", start)
    parts = [
        _generate_feature_use(context, start, end, rng),
        _generate_api_calls(context, start, end, rng),
        _generate_integration_syncs(context, start, end, rng),
        _generate_seat_changes(context, start, end, rng),
        *(
            _generate_noise_events(context, start, end, event, noise_rng)
            for event in (LOGIN, TICKET, NPS)
        ),
        _generate_guest_logins(context, start, end, noise_rng),
    ]
    time = np.concatenate([part.time for part in parts])
    order = np.argsort(time, kind="stable")
    order = order[slice(*np.searchsorted(time[order], [start * DAY, end * DAY]))]
    return _to_frame(context, parts, order, first_id, create_random_stream(seed, "arrival", start))


def _to_frame(
    context: EventContext,
    parts: list[EventBatch],
    order: IntVector,
    first_id: int,
    rng: Generator,
) -> pl.DataFrame:
    """Simulate arrival and duplicate delivery, and decode ids to names."""
    time = np.concatenate([part.time for part in parts])[order]
    known_at = time + _sample_delay(len(time), rng)
    repeats = np.repeat(np.arange(len(time)), 1 + (rng.random(len(time)) < DUPLICATE_SHARE))
    arrived = repeats[known_at[repeats] < context.history.period.end * DAY]
    order = order[arrived]

    def column(name: str) -> IntVector:
        return np.concatenate([getattr(part, name) for part in parts])[order]

    def decode(values: pl.Series, code: IntVector) -> pl.Series:
        return values.gather(np.where(code < 0, len(values) - 1, code))

    return pl.DataFrame(
        {
            "account_id": decode(context.account_ids, column("account")),
            "user_id": decode(context.user_ids, column("user")),
            "timestamp": pl.Series(time[arrived]).cast(_UTC_DATETIME),
            "event": decode(pl.Series(EVENTS), column("event")),
            "feature": decode(_FEATURES, column("feature")),
            "quantity": column("quantity"),
            "event_id": "e" + pl.Series(_FIRST_ID + first_id + arrived).cast(pl.String),
            "known_at": pl.Series(known_at[arrived]).cast(_UTC_DATETIME),
        }
    )


def _sample_delay(size: int, rng: Generator) -> IntVector:
    """Sample the delivery delay: seconds as a rule, hours for some, days for a few."""
    delay = rng.integers(SECOND, 60 * SECOND, size)
    late = rng.integers(0, size, int(LATE_SHARE * size))
    delay[late] += (rng.exponential(6 * 3600, len(late)) * SECOND).astype(np.int64)
    very_late = rng.integers(0, size, int(VERY_LATE_SHARE * size))
    delay[very_late] += rng.integers(DAY, 7 * DAY, len(very_late))
    return delay


def _generate_feature_use(
    context: EventContext, start: int, end: int, rng: Generator
) -> EventBatch:
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


def _generate_api_calls(context: EventContext, start: int, end: int, rng: Generator) -> EventBatch:
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


def _generate_integration_syncs(
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


def _generate_seat_changes(
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


def _generate_noise_events(
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


def _generate_guest_logins(
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
