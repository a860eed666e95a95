"""One month of the raw product log, as the people and scripts of all accounts leave it.

A month is made, written and forgotten before the next, from its own stream of random numbers.
"""

from typing import Final

import numpy as np
import polars as pl

from data.simulator import names, traces
from data.simulator.company import History, random
from data.simulator.noise import Guests, Habits
from data.simulator.people import Roster
from data.simulator.state import Generator, Integers
from data.simulator.tables import account_ids, user_ids
from data.simulator.traces import DAY, SECOND

__all__ = ["build", "month"]

LATE: Final = 0.03  # share that arrives hours after it happened
VERY_LATE: Final = 0.003  # share that arrives days after
REPEATED: Final = 0.005  # share delivered twice
_INSTANT: Final = pl.Datetime("us", "UTC")
_FIRST_ID: Final = 1_000_000_000  # ids of one length sort as they were given
_EVENTS: Final = pl.Series(traces.EVENTS)
_FEATURES: Final = pl.Series([*names.FEATURES, *names.INTEGRATIONS, None])  # the last is nothing


def build(
    history: History, roster: Roster, habits: Habits, guests: Guests, rng: Generator
) -> traces.World:
    """Bring together what the months share."""
    size = len(history.traits.joined)
    advanced = np.arange(len(names.FEATURES)) + rng.normal(0, 3, (size, len(names.FEATURES)))
    return traces.World(
        history=history,
        roster=roster,
        habits=habits,
        guests=guests,
        features=np.argsort(advanced, axis=1, kind="stable"),
        zone=rng.choice([-8, -6, -5, 0, 1, 1, 2, 5, 8, 10], size),
        accounts=account_ids(np.arange(size)),
        users=user_ids(np.arange(len(roster) + len(guests.account))).extend_constant(None, 1),
    )


def month(world: traces.World, start: int, end: int, seed: int, first_id: int) -> pl.DataFrame:
    """Give the events of the days from start to end, end excluded.

    Parameters
    ----------
    world : traces.World
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
    rng = random(seed, "events", start)
    quiet = random(seed, "noise", start)
    parts = [
        traces.use(world, start, end, rng),
        traces.calls(world, start, end, rng),
        traces.syncs(world, start, end, rng),
        traces.seats(world, start, end, rng),
        *(
            traces.noise(world, start, end, event, quiet)
            for event in (traces.LOGIN, traces.TICKET, traces.NPS)
        ),
        traces.visits(world, start, end, quiet),
    ]
    time = np.concatenate([part.time for part in parts])
    order = np.argsort(time, kind="stable")
    order = order[slice(*np.searchsorted(time[order], [start * DAY, end * DAY]))]
    return _frame(world, parts, order, first_id, random(seed, "arrival", start))


def _frame(
    world: traces.World, parts: list[traces.Traces], order: Integers, first_id: int, rng: Generator
) -> pl.DataFrame:
    """Let the events arrive, some twice, and put words in the place of numbers."""
    time = np.concatenate([part.time for part in parts])[order]
    known = time + _delay(len(time), rng)
    again = np.repeat(np.arange(len(time)), 1 + (rng.random(len(time)) < REPEATED))
    arrived = again[known[again] < world.history.span.end * DAY]
    order = order[arrived]

    def column(name: str) -> Integers:
        return np.concatenate([getattr(part, name) for part in parts])[order]

    def words(dictionary: pl.Series, code: Integers) -> pl.Series:
        return dictionary.gather(np.where(code < 0, len(dictionary) - 1, code))

    return pl.DataFrame(
        {
            "account_id": words(world.accounts, column("account")),
            "user_id": words(world.users, column("user")),
            "timestamp": pl.Series(time[arrived]).cast(_INSTANT),
            "event": words(_EVENTS, column("event")),
            "feature": words(_FEATURES, column("feature")),
            "quantity": column("quantity"),
            "event_id": "e" + pl.Series(_FIRST_ID + first_id + arrived).cast(pl.String),
            "known_at": pl.Series(known[arrived]).cast(_INSTANT),
        }
    )


def _delay(size: int, rng: Generator) -> Integers:
    """Seconds as a rule, hours for some, days for a few."""
    delay = rng.integers(SECOND, 60 * SECOND, size)
    late = rng.integers(0, size, int(LATE * size))
    delay[late] += (rng.exponential(6 * 3600, len(late)) * SECOND).astype(np.int64)
    very = rng.integers(0, size, int(VERY_LATE * size))
    delay[very] += rng.integers(DAY, 7 * DAY, len(very))
    return delay
