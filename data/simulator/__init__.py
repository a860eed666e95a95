"""Simulator of a synthetic SaaS company with known drivers of expansion.

No row is random noise: accounts adopt the product and sign contracts by explicit mechanisms, users
generate events, and the hazard of expansion follows from the pressure on each account's limits. So
every result of the product can be compared with the ground truth.

Reading order: ``account_state`` (state vectors), ``adoption`` (spread of the product), ``hazard``
(expansion hazard), ``subscriptions`` (deals), ``simulation`` (one step, and the history); then
``users``, ``event_log``, ``tables`` and ``corruption`` (the tables), and ``ground_truth`` (true
probabilities).

Tuned on 1,000 to 1,500 accounts over 36 months: 6 to 7.5 % of the snapshots expand within 60 days;
ranking them by the true probability gives an AUROC of .86 to .89, by seat utilization from the
events .70 to .74, by logins, tickets or NPS .5.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Final

import polars as pl

from data.errors import DeliveryError, SettingsError
from data.io.atomic import atomic_write
from data.simulator import event_log, ground_truth, tables
from data.simulator.account_state import PLANS
from data.simulator.corruption import corrupt_rows
from data.simulator.simulation import (
    SimulationHistory,
    SimulationPeriod,
    create_random_stream,
    simulate,
    to_day_number,
)

__all__ = ["SimulationSummary", "write_company"]

DEFAULT_END: Final = date(2026, 6, 1)
_ROWS_PER_GROUP: Final = 500_000  # fixed, so that the bytes do not depend on the number of threads
_SETTINGS_HEADER: Final = "# A synthetic company, written by `expansion simulate`."
_SETTINGS_TEXT: Final = f"""\
# A synthetic company, written by `expansion simulate`.
as_of = "data end"
state = "."

[tables]
events = "events/*.parquet"
subscriptions = "subscriptions.parquet"
accounts = "accounts.parquet"
users = "users.parquet"
time_invariant_attributes = ["department", "email_domain", "seat_type"] # constant here

[outcome]
plans = [{", ".join(f'"{plan}"' for plan in PLANS)}]
"""


@dataclass(frozen=True)
class SimulationSummary:
    """Counts and dates of a simulated company."""

    folder: Path
    accounts: int
    users: int
    events: int
    snapshots: int
    expansions: int
    first_day: date
    last_day: date


def write_company(
    out: Path,
    *,
    accounts: int,
    months: int,
    seed: int,
    corruption: float = 0.0,
    end: date = DEFAULT_END,
    progress: Callable[[int, int], None] | None = None,
) -> SimulationSummary:
    """Simulate a company and write its tables, its ground truth, and a settings file for them.

    The settings file is deleted first and written last: a folder that has one is complete.

    Parameters
    ----------
    out : pathlib.Path
        Output folder; created if necessary. Same arguments, same bytes in every file.
    accounts : int
        Accounts that ever sign up; more than half exist when the log starts.
    months : int
        Calendar months of the product log.
    seed : int
        Not negative.
    corruption : float, default 0
        Malformed rows per valid row, in [0, 1].
    end : datetime.date, default 2026-06-01
        First day of the month after the log's last.
    progress : callable, optional
        Receives the number of completed steps and the total.

    Returns
    -------
    SimulationSummary
        Folder, counts, and the log's first and last day.

    Raises
    ------
    SettingsError
        If an argument is out of bounds, or the folder holds events of other months.
    DeliveryError
        If a file cannot be written.
    """
    _validate_arguments(accounts, months, seed, corruption, end)
    month_starts = _list_month_starts(end, months)
    paths = [out / "events" / f"{first:%Y-%m}.parquet" for first in month_starts[:-1]]
    _prepare_folder(out, paths)
    report = progress or (lambda _done, _total: None)
    history = simulate(
        accounts, SimulationPeriod(to_day_number(month_starts[0]), to_day_number(end)), seed
    )
    context = event_log.build_event_context(history, seed)

    def write_table(name: str, table: pl.DataFrame, path: Path, number: int) -> int:
        stream = create_random_stream(seed, "corruption", number)
        return _write_parquet(path, corrupt_rows(name, table, corruption, stream))

    event_count, row_count = 0, 0
    for month, path in enumerate(paths):
        report(month, months + 1)
        first, after = map(to_day_number, month_starts[month : month + 2])
        log = event_log.generate_month(context, first, after, seed, event_count)
        event_count += len(log)
        row_count += write_table("events", log, path, month)
    report(months, months + 1)
    truth, drivers = _build_ground_truth(history, seed), tables.build_drivers(history)
    _write_parquet(out / "truth.parquet", truth)
    _write_parquet(out / "drivers.parquet", drivers)
    rng = create_random_stream(seed, "names")
    small_tables = {
        "accounts": tables.build_accounts(history, rng),
        "subscriptions": tables.build_subscriptions(history, rng),
        "users": tables.build_users(history, context.user_table, context.guests),
    }
    for number, (name, table) in enumerate(small_tables.items(), start=months):
        write_table(name, table, out / f"{name}.parquet", number)
    atomic_write(
        out / "expansion.toml", lambda draft: draft.write_text(_SETTINGS_TEXT, encoding="utf-8")
    )
    report(months + 1, months + 1)
    return SimulationSummary(
        out,
        accounts,
        len(context.user_ids) - 1,
        row_count,
        len(truth),
        len(drivers),
        month_starts[0],
        end - timedelta(days=1),
    )


def _validate_arguments(
    accounts: int, months: int, seed: int, corruption: float, end: date
) -> None:
    if min(accounts, months) < 1 or seed < 0 or not 0 <= corruption <= 1:
        raise SettingsError(
            "simulate needs at least one account and one month, a seed that is not negative, and a"
            f" share of malformed rows from 0 to 1; got {accounts}, {months}, {seed} and"
            f" {corruption}."
        )
    if end.day != 1:
        raise SettingsError(
            f"a simulated log ends with a month; {end} is not the first day of a month."
        )


def _list_month_starts(end: date, months: int) -> list[date]:
    """Return the first day of each month, and the end."""
    last = end.year * 12 + end.month - 1
    return [date(m // 12, m % 12 + 1, 1) for m in range(last - months, last + 1)]


def _prepare_folder(out: Path, paths: list[Path]) -> None:
    """Prepare the folder; raise if it holds months of another company."""
    settings_file = out / "expansion.toml"
    if settings_file.exists() and not settings_file.read_text("utf-8").startswith(_SETTINGS_HEADER):
        raise SettingsError(
            f"{settings_file} was not written by the simulator and would be replaced; use another"
            " folder."
        )
    other_months = sorted(set((out / "events").glob("*.parquet")) - set(paths))
    if other_months:
        raise SettingsError(
            f"{out / 'events'} already holds other months ({other_months[0].name} is the first);"
            " use an empty folder, or remove them."
        )
    try:
        (out / "events").mkdir(parents=True, exist_ok=True)
        (out / "expansion.toml").unlink(missing_ok=True)
    except OSError as error:
        raise DeliveryError(f"{out} cannot be written to: {error}. Use another folder.") from None


def _build_ground_truth(history: SimulationHistory, seed: int) -> pl.DataFrame:
    frame = ground_truth.build_snapshots(history, seed)
    return frame.select(
        tables.format_account_ids(frame["account"].to_numpy()),
        tables.to_utc_datetime(frame["as_of"].to_numpy()).alias("as_of"),
        pl.col("^p_.*$"),
        "expands_60",
    )


def _write_parquet(file: Path, frame: pl.DataFrame) -> int:
    atomic_write(
        file,
        lambda draft: frame.write_parquet(
            draft,
            compression="zstd",
            compression_level=1,
            statistics=False,
            row_group_size=_ROWS_PER_GROUP,
        ),
    )
    return len(frame)
