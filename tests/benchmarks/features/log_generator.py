"""Generators of two large event logs: one that compresses badly, and the simulator's own.

The hard log resists compression: uneven use by very many users, a unique id per event,
hexadecimal names, some rows late, a few delivered twice. It is written file by file, so memory
does not grow with it. Each file has its own random stream: equal arguments give equal rows.
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
NOW = datetime(2026, 7, 1, tzinfo=UTC)  # the current time of every measurement
LATE_SHARE = 0.02  # share that becomes known days later
DUPLICATE_SHARE = 0.001  # share delivered twice
SEED = 1
# Mean events of one simulated account per month over 24 months; measured.
SIMULATED_EVENTS_PER_ACCOUNT_MONTH = 185
_EVENTS = pl.Series(["use", "api_call", "login", "integration"])
_EVENT_SHARES = [0.85, 0.06, 0.07, 0.02]
_ADDED_SUFFIX = "-first-week.parquet"
_BACKUP_SUFFIX = ".original"
_SECOND = 1_000_000
_DAY = 86_400 * _SECOND
_INSTANT = pl.Datetime("us", "UTC")
_SETTINGS = """\
# A generated log for the feature benchmark, written by `make bench-features`.
as_of = "data end"
state = "state"

[tables]
users = "users.parquet"
time_invariant_attributes = ["department"]

[outcome]
plans = ["team", "business"]
"""
ProgressCallback = Callable[[int, int], None]


@dataclass(frozen=True)
class LogPopulation:
    """Accounts, users and features shared by the files of the hard log."""

    accounts: pl.Series
    users: pl.Series
    features: pl.Series
    account_of: np.ndarray[Any, Any]
    activity: np.ndarray[Any, Any]
    joined: np.ndarray[Any, Any]


def list_month_starts(first: date = FIRST, count: int = MONTHS) -> list[date]:
    """Return the first days of ``count`` calendar months and of the one after."""
    start = first.year * 12 + first.month - 1
    return [date(m // 12, m % 12 + 1, 1) for m in range(start, start + count + 1)]


def resolve_last_as_of() -> datetime:
    """Return the end of both logs."""
    return _utc_midnight(list_month_starts()[-1])


def write_incompressible_log(out: Path, events: int, report: ProgressCallback) -> None:
    """Write the log that compresses badly, unless it exists; the settings file is written last."""
    if (out / "expansion.toml").exists():
        return
    (out / "events").mkdir(parents=True, exist_ok=True)
    population, month_starts = _generate_population(), list_month_starts()
    for number, (start, end) in enumerate(itertools.pairwise(month_starts)):
        generate_month(population, number, start, end, events // MONTHS).write_parquet(
            out / "events" / f"{start:%Y-%m}.parquet"
        )
        report(number + 1, MONTHS)
    _generate_accounts(population).write_parquet(out / "accounts.parquet")
    _generate_users(population).write_parquet(out / "users.parquet")
    _generate_subscriptions(population, month_starts[-1]).write_parquet(
        out / "subscriptions.parquet"
    )
    (out / "expansion.toml").write_text(_SETTINGS, encoding="utf-8")


def write_simulated_log(out: Path, events: int, report: ProgressCallback) -> None:
    """Write the simulator's log with about ``events`` events, unless it exists."""
    if not (out / "expansion.toml").exists():
        accounts = max(1, events // (SIMULATED_EVENTS_PER_ACCOUNT_MONTH * MONTHS))
        simulator.write_company(out, accounts=accounts, months=MONTHS, seed=SEED, progress=report)


def add_week(out: Path, events: int) -> None:
    """Add the week after the hard log as a separate file."""
    start = list_month_starts()[-1]
    rows = generate_month(
        _generate_population(), MONTHS, start, start + timedelta(days=7), events * 7 // 730
    )
    rows.write_parquet(out / "events" / f"{start:%Y-%m}{_ADDED_SUFFIX}")


def redeliver_month(out: Path) -> None:
    """Rewrite one month of the hard log with one percent more rows."""
    file = sorted((out / "events").glob("*.parquet"))[MONTHS // 2]
    original = file.replace(file.with_suffix(_BACKUP_SUFFIX))
    rows = pl.read_parquet(original)
    added = rows.gather_every(100).with_columns(event_id="late-" + pl.col("event_id"))
    pl.concat([rows, added]).write_parquet(file)


def restore_files(out: Path) -> None:
    """Undo :func:`add_week` and :func:`redeliver_month`."""
    for added in (out / "events").glob(f"*{_ADDED_SUFFIX}"):
        added.unlink()
    for original in (out / "events").glob(f"*{_BACKUP_SUFFIX}"):
        original.replace(original.with_suffix(".parquet"))


def generate_month(
    population: LogPopulation, month_index: int, start: date, end: date, events: int
) -> pl.DataFrame:
    """Generate one file of the hard log, ordered by time, with ``events`` before duplicates.

    The number of the file selects its random stream and the users who had joined by then.
    """
    rng = np.random.default_rng([SEED, month_index])
    weight = population.activity * (population.joined <= month_index)
    person = rng.choice(len(weight), events, p=weight / weight.sum())
    kind = rng.choice(len(_EVENTS), events, p=_EVENT_SHARES)
    popularity = 1 / np.arange(1, FEATURES + 1)
    feature = rng.choice(FEATURES, events, p=popularity / popularity.sum())
    midnight = (start - date(1970, 1, 1)).days * _DAY
    timestamps = midnight + np.sort(rng.integers(0, (end - start).days * 86_400_000, events)) * 1000
    is_late = rng.random(events) < LATE_SHARE
    known_at = (
        timestamps
        + rng.integers(0, 60 * _SECOND, events)
        + is_late * rng.integers(0, 10 * _DAY, events)
    )
    rows = pl.DataFrame(
        {
            "account_id": population.accounts.gather(population.account_of[person]),
            "user_id": population.users.gather(person),
            "timestamp": pl.Series(timestamps).cast(_INSTANT),
            "event": _EVENTS.gather(kind),
            "feature": population.features.gather(feature),
            "quantity": np.where(kind == 1, rng.integers(1, 5000, events), 1).astype(float),
            "event_id": _generate_hex_ids(events, rng),
            "known_at": pl.Series(known_at).cast(_INSTANT),
        }
    )
    return pl.concat([rows, rows.sample(fraction=DUPLICATE_SHARE, seed=month_index)]).sort(
        "timestamp", maintain_order=True
    )


def _generate_population() -> LogPopulation:
    rng = np.random.default_rng([SEED, 10**6])
    size = rng.pareto(1.2, ACCOUNTS) + 1
    return LogPopulation(
        accounts="acct_" + _generate_hex_ids(ACCOUNTS, rng),
        users="user_" + _generate_hex_ids(USERS, rng),
        features=pl.Series([f"feature_{index:02d}" for index in range(FEATURES)]),
        account_of=np.sort(rng.choice(ACCOUNTS, USERS, p=size / size.sum())),
        activity=rng.pareto(1.5, USERS) + 0.2,
        # A third of the users have joined when the log begins.
        joined=rng.integers(0, MONTHS, USERS) * (rng.random(USERS) < 0.7),
    )


def _generate_hex_ids(count: int, rng: np.random.Generator) -> pl.Series:
    """Return random names of sixteen hexadecimal digits."""
    raw = pa.py_buffer(rng.bytes(8 * count))
    keys = pa.FixedSizeBinaryArray.from_buffers(pa.binary(8), count, [None, raw])
    return pl.Series(keys.cast(pa.binary())).bin.encode("hex")


def _generate_accounts(population: LogPopulation) -> pl.DataFrame:
    rng = np.random.default_rng([SEED, 10**6 + 1])
    age = pl.Series(rng.integers(1, 700, ACCOUNTS)) * _DAY
    return pl.DataFrame(
        {
            "account_id": population.accounts,
            "created_date": _utc_midnight(FIRST) - age.cast(pl.Duration("us")),
        }
    )


def _generate_users(population: LogPopulation) -> pl.DataFrame:
    rng = np.random.default_rng([SEED, 10**6 + 2])
    names = pl.Series(["engineering", "operations", "sales", "people", "finance"])
    delay = pl.Series(population.joined * 30 * _DAY).cast(pl.Duration("us"))
    return pl.DataFrame(
        {
            "user_id": population.users,
            "account_id": population.accounts.gather(population.account_of),
            "created_at": _utc_midnight(FIRST) + delay,
            "department": names.gather(rng.integers(0, len(names), USERS)),
        }
    )


def _generate_subscriptions(population: LogPopulation, end: date) -> pl.DataFrame:
    """Generate contracts that grow every few months, about as fast as the users."""
    rng = np.random.default_rng([SEED, 10**6 + 3])
    people = np.bincount(population.account_of, minlength=ACCOUNTS)
    rows = [
        row
        for account in range(ACCOUNTS)
        for row in _generate_account_terms(
            population.accounts[account], int(people[account]), end, rng
        )
    ]
    columns = ["account_id", "effective_date", "licensed_seats", "usage_limit", "mrr", "plan"]
    return pl.DataFrame(rows, schema=columns, orient="row")


def _generate_account_terms(
    account: str, people: int, end: date, rng: np.random.Generator
) -> list[tuple[Any, ...]]:
    seats, rows = max(2, people // 2), []
    day = FIRST - timedelta(days=int(rng.integers(1, 400)))
    while day < end:
        plan = "team" if seats < 50 else "business"
        rows.append((account, _utc_midnight(day), float(seats), seats * 1000.0, seats * 20.0, plan))
        seats = int(seats * (1 + 0.15 * rng.random())) + 1
        day += timedelta(days=int(rng.integers(60, 400)))
    return rows


def _utc_midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
