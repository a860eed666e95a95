"""Two large logs to measure on: one that compresses badly, and the simulator's own.

The hard log is made so that little can be saved on it: uneven use by very many people, every event
under an id of its own, names in hexadecimal, some rows late, a few delivered twice. It is written
file by file, so memory does not grow with it, and each file has a stream of random numbers of its
own: the same arguments give the same rows.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from data import simulator

MONTHS = 24
ACCOUNTS = 4_000
USERS = 150_000
FEATURES = 40
FIRST = date(2024, 6, 1)
NOW = datetime(2026, 7, 1, tzinfo=UTC)  # the clock of every measurement
LATE = 0.02  # share that arrives days after it happened
TWICE = 0.001  # share that is delivered twice
SEED = 1
# What one simulated account leaves in a month, on average over 24 months; measured.
SIMULATED_EVENTS_PER_ACCOUNT_MONTH = 185
_EVENTS = pl.Series(["use", "api_call", "login", "integration"])
_EVENT_SHARES = [0.85, 0.06, 0.07, 0.02]
_ADDED = "-first-week.parquet"
_SET_ASIDE = ".original"
_SECOND = 1_000_000
_DAY = 86_400 * _SECOND
_INSTANT = pl.Datetime("us", "UTC")
_SETTINGS = """\
# A made-up log to measure speed on, written by `make bench-features`.
as_of = "data end"
state = "state"

[tables]
users = "users.parquet"
time_invariant_attributes = ["department"]

[outcome]
plans = ["team", "business"]
"""
Report = Callable[[int, int], None]


@dataclass(frozen=True)
class World:
    """What the files of the hard log share."""

    accounts: pl.Series
    users: pl.Series
    features: pl.Series
    account_of: np.ndarray[Any, Any]
    activity: np.ndarray[Any, Any]
    joined: np.ndarray[Any, Any]


def months(first: date = FIRST, count: int = MONTHS) -> list[date]:
    """The first days of so many calendar months, and of the one after."""
    start = first.year * 12 + first.month - 1
    return [date(m // 12, m % 12 + 1, 1) for m in range(start, start + count + 1)]


def last_as_of() -> datetime:
    """The end of both logs."""
    return _at(months()[-1])


def hard(out: Path, events: int, report: Report) -> None:
    """Write the log that compresses badly, unless it is there; the settings file comes last."""
    if (out / "expansion.toml").exists():
        return
    (out / "events").mkdir(parents=True, exist_ok=True)
    world, firsts = _world(), months()
    for number, (start, end) in enumerate(itertools.pairwise(firsts)):
        month(world, number, start, end, events // MONTHS).write_parquet(
            out / "events" / f"{start:%Y-%m}.parquet"
        )
        report(number + 1, MONTHS)
    _accounts(world).write_parquet(out / "accounts.parquet")
    _users(world).write_parquet(out / "users.parquet")
    _subscriptions(world, firsts[-1]).write_parquet(out / "subscriptions.parquet")
    (out / "expansion.toml").write_text(_SETTINGS, encoding="utf-8")


def simulated(out: Path, events: int, report: Report) -> None:
    """Write the simulator's log with about so many events, unless it is there."""
    if not (out / "expansion.toml").exists():
        accounts = max(1, events // (SIMULATED_EVENTS_PER_ACCOUNT_MONTH * MONTHS))
        simulator.write_company(out, accounts=accounts, months=MONTHS, seed=SEED, progress=report)


def next_week(out: Path, events: int) -> None:
    """Add the week after the hard log as a file of its own."""
    start = months()[-1]
    rows = month(_world(), MONTHS, start, start + timedelta(days=7), events * 7 // 730)
    rows.write_parquet(out / "events" / f"{start:%Y-%m}{_ADDED}")


def redeliver(out: Path) -> None:
    """Write one month of the hard log again, with one row in a hundred more."""
    file = sorted((out / "events").glob("*.parquet"))[MONTHS // 2]
    original = file.replace(file.with_suffix(_SET_ASIDE))
    rows = pl.read_parquet(original)
    more = rows.gather_every(100).with_columns(event_id="late-" + pl.col("event_id"))
    pl.concat([rows, more]).write_parquet(file)


def restore(out: Path) -> None:
    """Undo :func:`next_week` and :func:`redeliver`."""
    for added in (out / "events").glob(f"*{_ADDED}"):
        added.unlink()
    for original in (out / "events").glob(f"*{_SET_ASIDE}"):
        original.replace(original.with_suffix(".parquet"))


def month(world: World, number: int, start: date, end: date, events: int) -> pl.DataFrame:
    """Make one file of the hard log, in order of time.

    Parameters
    ----------
    world : World
        What the files share.
    number : int
        Which file it is: its stream of random numbers, and who had joined by then.
    start, end : datetime.date
        The days of its events, the end excluded.
    events : int
        How many there are, before some are delivered twice.
    """
    rng = np.random.default_rng([SEED, number])
    weight = world.activity * (world.joined <= number)
    person = rng.choice(len(weight), events, p=weight / weight.sum())
    kind = rng.choice(len(_EVENTS), events, p=_EVENT_SHARES)
    popularity = 1 / np.arange(1, FEATURES + 1)
    feature = rng.choice(FEATURES, events, p=popularity / popularity.sum())
    midnight = (start - date(1970, 1, 1)).days * _DAY
    at = midnight + np.sort(rng.integers(0, (end - start).days * 86_400_000, events)) * 1000
    late = rng.random(events) < LATE
    known = at + rng.integers(0, 60 * _SECOND, events) + late * rng.integers(0, 10 * _DAY, events)
    rows = pl.DataFrame(
        {
            "account_id": world.accounts.gather(world.account_of[person]),
            "user_id": world.users.gather(person),
            "timestamp": pl.Series(at).cast(_INSTANT),
            "event": _EVENTS.gather(kind),
            "feature": world.features.gather(feature),
            "quantity": np.where(kind == 1, rng.integers(1, 5000, events), 1).astype(float),
            "event_id": _hex(events, rng),
            "known_at": pl.Series(known).cast(_INSTANT),
        }
    )
    return pl.concat([rows, rows.sample(fraction=TWICE, seed=number)]).sort(
        "timestamp", maintain_order=True
    )


def _world() -> World:
    rng = np.random.default_rng([SEED, 10**6])
    size = rng.pareto(1.2, ACCOUNTS) + 1
    return World(
        accounts="acct_" + _hex(ACCOUNTS, rng),
        users="user_" + _hex(USERS, rng),
        features=pl.Series([f"feature_{place:02d}" for place in range(FEATURES)]),
        account_of=np.sort(rng.choice(ACCOUNTS, USERS, p=size / size.sum())),
        activity=rng.pareto(1.5, USERS) + 0.2,
        # A third is there when the log begins.
        joined=rng.integers(0, MONTHS, USERS) * (rng.random(USERS) < 0.7),
    )


def _hex(count: int, rng: np.random.Generator) -> pl.Series:
    """Random names of sixteen hexadecimal digits."""
    raw = pa.py_buffer(rng.bytes(8 * count))
    keys = pa.FixedSizeBinaryArray.from_buffers(pa.binary(8), count, [None, raw])
    return pl.Series(keys.cast(pa.binary())).bin.encode("hex")


def _accounts(world: World) -> pl.DataFrame:
    rng = np.random.default_rng([SEED, 10**6 + 1])
    age = pl.Series(rng.integers(1, 700, ACCOUNTS)) * _DAY
    return pl.DataFrame(
        {"account_id": world.accounts, "created_date": _at(FIRST) - age.cast(pl.Duration("us"))}
    )


def _users(world: World) -> pl.DataFrame:
    rng = np.random.default_rng([SEED, 10**6 + 2])
    names = pl.Series(["engineering", "operations", "sales", "people", "finance"])
    after = pl.Series(world.joined * 30 * _DAY).cast(pl.Duration("us"))
    return pl.DataFrame(
        {
            "user_id": world.users,
            "account_id": world.accounts.gather(world.account_of),
            "created_at": _at(FIRST) + after,
            "department": names.gather(rng.integers(0, len(names), USERS)),
        }
    )


def _subscriptions(world: World, end: date) -> pl.DataFrame:
    """Contracts that grow every few months, about as fast as their people."""
    rng = np.random.default_rng([SEED, 10**6 + 3])
    people = np.bincount(world.account_of, minlength=ACCOUNTS)
    rows = [
        row
        for account in range(ACCOUNTS)
        for row in _terms(world.accounts[account], int(people[account]), end, rng)
    ]
    columns = ["account_id", "effective_date", "licensed_seats", "usage_limit", "mrr", "plan"]
    return pl.DataFrame(rows, schema=columns, orient="row")


def _terms(account: str, people: int, end: date, rng: np.random.Generator) -> list[tuple[Any, ...]]:
    seats, rows = max(2, people // 2), []
    day = FIRST - timedelta(days=int(rng.integers(1, 400)))
    while day < end:
        plan = "team" if seats < 50 else "business"
        rows.append((account, _at(day), float(seats), seats * 1000.0, seats * 20.0, plan))
        seats = int(seats * (1 + 0.15 * rng.random())) + 1
        day += timedelta(days=int(rng.integers(60, 400)))
    return rows


def _at(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
