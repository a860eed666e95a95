"""One month of the raw product log, as the people and scripts of all accounts leave it.

A month is made, written and forgotten before the next, from its own stream of random numbers.
"""

from typing import Final

import numpy as np
import polars as pl

from data.simulator import event_generators, names
from data.simulator.account_state import Generator, IntVector
from data.simulator.event_generators import DAY, SECOND
from data.simulator.noise import GuestVisits, NoiseRates
from data.simulator.simulation import SimulationHistory, random_stream
from data.simulator.tables import format_account_ids, format_user_ids
from data.simulator.users import UserTable

__all__ = ["build_context", "generate_month"]

LATE_SHARE: Final = 0.03  # share that arrives hours after it happened
VERY_LATE_SHARE: Final = 0.003  # share that arrives days after
DUPLICATE_SHARE: Final = 0.005  # share delivered twice
_INSTANT: Final = pl.Datetime("us", "UTC")
_FIRST_ID: Final = 1_000_000_000  # ids of one length sort as they were given
_EVENTS: Final = pl.Series(event_generators.EVENTS)
_FEATURES: Final = pl.Series([*names.FEATURES, *names.INTEGRATIONS, None])  # the last is nothing


def build_context(
    history: SimulationHistory,
    user_table: UserTable,
    noise_rates: NoiseRates,
    guests: GuestVisits,
    rng: Generator,
) -> event_generators.EventContext:
    """Bring together what the months share."""
    size = len(history.traits.joined)
    advanced = np.arange(len(names.FEATURES)) + rng.normal(0, 3, (size, len(names.FEATURES)))
    return event_generators.EventContext(
        history=history,
        user_table=user_table,
        noise_rates=noise_rates,
        guests=guests,
        features=np.argsort(advanced, axis=1, kind="stable"),
        utc_offset=rng.choice([-8, -6, -5, 0, 1, 1, 2, 5, 8, 10], size),
        account_ids=format_account_ids(np.arange(size)),
        user_ids=format_user_ids(np.arange(len(user_table) + len(guests.account))).extend_constant(
            None, 1
        ),
    )


def generate_month(
    context: event_generators.EventContext, start: int, end: int, seed: int, first_id: int
) -> pl.DataFrame:
    """Give the events of the days from start to end, end excluded.

    Parameters
    ----------
    context : traces.World
        What the months share.
    start, end : int
        Day numbers.
    seed : int
        The company's seed.
    first_id : int
        Number of the month's first event.

    Returns
    -------
    polars.DataFrame
        Rows of the events' contract sorted by time; delivered twice means twice in here. What had
        not arrived by the end of the log is not in it.
    """
    rng = random_stream(seed, "events", start)
    quiet = random_stream(seed, "noise", start)
    parts = [
        event_generators.generate_feature_use(context, start, end, rng),
        event_generators.generate_api_calls(context, start, end, rng),
        event_generators.generate_integration_syncs(context, start, end, rng),
        event_generators.generate_seat_changes(context, start, end, rng),
        *(
            event_generators.generate_noise_events(context, start, end, event, quiet)
            for event in (event_generators.LOGIN, event_generators.TICKET, event_generators.NPS)
        ),
        event_generators.generate_guest_logins(context, start, end, quiet),
    ]
    time = np.concatenate([part.time for part in parts])
    order = np.argsort(time, kind="stable")
    order = order[slice(*np.searchsorted(time[order], [start * DAY, end * DAY]))]
    return _to_frame(context, parts, order, first_id, random_stream(seed, "arrival", start))


def _to_frame(
    context: event_generators.EventContext,
    parts: list[event_generators.EventBatch],
    order: IntVector,
    first_id: int,
    rng: Generator,
) -> pl.DataFrame:
    """Let the events arrive, some twice, and put words in the place of numbers."""
    time = np.concatenate([part.time for part in parts])[order]
    known = time + _sample_delay(len(time), rng)
    again = np.repeat(np.arange(len(time)), 1 + (rng.random(len(time)) < DUPLICATE_SHARE))
    arrived = again[known[again] < context.history.period.end * DAY]
    order = order[arrived]

    def column(name: str) -> IntVector:
        return np.concatenate([getattr(part, name) for part in parts])[order]

    def words(dictionary: pl.Series, code: IntVector) -> pl.Series:
        return dictionary.gather(np.where(code < 0, len(dictionary) - 1, code))

    return pl.DataFrame(
        {
            "account_id": words(context.account_ids, column("account")),
            "user_id": words(context.user_ids, column("user")),
            "timestamp": pl.Series(time[arrived]).cast(_INSTANT),
            "event": words(_EVENTS, column("event")),
            "feature": words(_FEATURES, column("feature")),
            "quantity": column("quantity"),
            "event_id": "e" + pl.Series(_FIRST_ID + first_id + arrived).cast(pl.String),
            "known_at": pl.Series(known[arrived]).cast(_INSTANT),
        }
    )


def _sample_delay(size: int, rng: Generator) -> IntVector:
    """Seconds as a rule, hours for some, days for a few."""
    delay = rng.integers(SECOND, 60 * SECOND, size)
    late = rng.integers(0, size, int(LATE_SHARE * size))
    delay[late] += (rng.exponential(6 * 3600, len(late)) * SECOND).astype(np.int64)
    very = rng.integers(0, size, int(VERY_LATE_SHARE * size))
    delay[very] += rng.integers(DAY, 7 * DAY, len(very))
    return delay
