"""The same activity and account aggregates as a DuckDB engineer would write them in SQL.

This is the reference implementation of the agreement test and the baseline of the speed
benchmark, so it is tuned. Tried and slower: ENUM names from the start, one temporary table of
all events, file by file instead of all files at once, grouping sets, an anti-join against the
duplicates, dates via the time zone.

Read ``duckdb_activity`` (log → daily tables → months), ``duckdb_subscription_terms``, and for one
as-of ``duckdb_aggregates``, ``duckdb_feature_adoption`` and ``duckdb_seat_streaks``.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import polars as pl

from data.config.settings import Settings
from data.ingest.table_loader import Tables
from tests.benchmarks.features import duckdb_activity, duckdb_aggregates, duckdb_subscription_terms


def open_database(spill: Path | None = None) -> duckdb.DuckDBPyConnection:
    """Open an empty in-memory database that may spill into a folder."""
    con = duckdb.connect()
    con.execute("set TimeZone = 'UTC'; set preserve_insertion_order = false")
    if spill is not None:
        con.execute(f"set temp_directory = '{spill}'")
    return con


def build_activity(
    con: duckdb.DuckDBPyConnection, files: Sequence[Path], tables: Tables, settings: Settings
) -> None:
    """Build the daily tables of a log from its files and the validated small tables."""
    stable = settings.tables.time_invariant_attributes
    undated = [n for n in ("department", "email_domain", "seat_type") if n not in stable]
    users = tables.users.rows.with_columns(pl.lit(None, pl.String).alias(n) for n in undated)
    _create_table(con, "accounts", tables.accounts.rows.select("account_id", "created_date"))
    _create_table(con, "users", users)
    _create_table(con, "subscriptions", tables.subscriptions.rows)
    for statement in duckdb_activity.build_daily_tables(files, settings, _list_columns(con, files)):
        con.execute(statement)


def aggregate_as_ofs(
    con: duckdb.DuckDBPyConnection, as_ofs: Sequence[datetime], settings: Settings
) -> Iterator[pl.DataFrame]:
    """Aggregate everything at each as-of, latest first; all are whole months before the latest."""
    anchor = max(as_ofs)
    for statement in (
        *duckdb_activity.build_monthly_tables(_days_since_epoch(anchor)),
        duckdb_subscription_terms.build_timeline(settings),
    ):
        con.execute(statement)
    for as_of in sorted(as_ofs, reverse=True):
        back = (anchor - as_of).days // 30
        for statement in (
            *duckdb_subscription_terms.aggregate_subscription_terms(as_of),
            *duckdb_aggregates.aggregate_as_of(as_of, back, settings),
        ):
            con.execute(statement)
        yield pl.DataFrame(con.sql(duckdb_aggregates.select_account_aggregates()).to_arrow_table())


def resolve_last_as_of(con: duckdb.DuckDBPyConnection) -> datetime:
    """Return the start of the day after the last event."""
    last = con.execute("select max(day) from volume_daily").fetchall()[0][0]
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=last + 1)


def count_daily_rows(con: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """Count the rows of the daily tables."""
    return {
        table: con.execute(f"select count(*) from {table}").fetchall()[0][0]
        for table in duckdb_activity.DAILY_TABLES
    }


def _create_table(con: duckdb.DuckDBPyConnection, name: str, frame: pl.DataFrame) -> None:
    con.register("given", frame.to_arrow())
    con.execute(f"create temp table {name} as select * from given")
    con.unregister("given")


def _list_columns(con: duckdb.DuckDBPyConnection, files: Sequence[Path]) -> list[str]:
    return con.sql(f"select * from {duckdb_activity.parquet_relation(files)}").columns


def _days_since_epoch(moment: datetime) -> int:
    return (moment.date() - date(1970, 1, 1)).days
