"""One month of the raw product log, from the users and scripts of all accounts.

Each month is generated and written separately, from its own stream of random numbers.
"""

from typing import Final

import numpy as np
import polars as pl

from data.simulator import event_generators, names
from data.simulator.account_state import Generator, IntVector
from data.simulator.event_generators import DAY, SECOND
from data.simulator.noise import GuestVisits, NoiseRates
from data.simulator.simulation import SimulationHistory, create_random_stream
from data.simulator.tables import format_account_ids, format_user_ids
from data.simulator.users import UserTable

__all__ = ["build_event_context", "generate_month"]

LATE_SHARE: Final = 0.03  # share that arrives hours after it happened
VERY_LATE_SHARE: Final = 0.003  # share that arrives days after
DUPLICATE_SHARE: Final = 0.005  # share delivered twice
_UTC_DATETIME: Final = pl.Datetime("us", "UTC")
_FIRST_ID: Final = 1_000_000_000  # ids of equal length sort in order of creation
_EVENTS: Final = pl.Series(event_generators.EVENTS)
_FEATURES: Final = pl.Series([*names.FEATURES, *names.INTEGRATIONS, None])  # the last is null


def build_event_context(
    history: SimulationHistory,
    user_table: UserTable,
    noise_rates: NoiseRates,
    guests: GuestVisits,
    rng: Generator,
) -> event_generators.EventContext:
    """Build the inputs that all months share."""
    size = len(history.traits.sign_up_day)
    adoption_order = np.arange(len(names.FEATURES)) + rng.normal(0, 3, (size, len(names.FEATURES)))
    return event_generators.EventContext(
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
    context: event_generators.EventContext, start: int, end: int, seed: int, first_id: int
) -> pl.DataFrame:
    """Generate the events of the days from start to end, end excluded.

    Parameters
    ----------
    context : event_generators.EventContext
        Inputs that all months share.
    start, end : int
        Day numbers.
    seed : int
        The company's seed.
    first_id : int
        Number of the month's first event.

    Returns
    -------
    polars.DataFrame
        Rows of the event schema sorted by time, including duplicate deliveries. Events that had
        not arrived by the end of the log are left out.
    """
    rng = create_random_stream(seed, "events", start)
    noise_rng = create_random_stream(seed, "noise", start)
    parts = [
        event_generators.generate_feature_use(context, start, end, rng),
        event_generators.generate_api_calls(context, start, end, rng),
        event_generators.generate_integration_syncs(context, start, end, rng),
        event_generators.generate_seat_changes(context, start, end, rng),
        *(
            event_generators.generate_noise_events(context, start, end, event, noise_rng)
            for event in (event_generators.LOGIN, event_generators.TICKET, event_generators.NPS)
        ),
        event_generators.generate_guest_logins(context, start, end, noise_rng),
    ]
    time = np.concatenate([part.time for part in parts])
    order = np.argsort(time, kind="stable")
    order = order[slice(*np.searchsorted(time[order], [start * DAY, end * DAY]))]
    return _to_frame(context, parts, order, first_id, create_random_stream(seed, "arrival", start))


def _to_frame(
    context: event_generators.EventContext,
    parts: list[event_generators.EventBatch],
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
            "event": decode(_EVENTS, column("event")),
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
