"""The four tables of a company, from wherever they live, under contract.

The small tables are read and checked at once. The product log is not: each of its files is a
partition, checked as it streams by, because it may be larger than memory.
"""

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import narwhals as nw
import polars as pl

from data import schemas
from data.config import settings
from data.errors import ContractError, SourceError
from data.ingest import files, sql
from data.ingest.files import source_errors
from data.ingest.mapping import MappedTable, RawTable, check_columns, map_table
from data.ingest.timestamps import validate_time_zone
from data.ingest.validation import reject_counts, reject_naive_timestamps, validate_table

__all__ = ["Partition", "Tables", "load_tables", "source_errors", "tables_from_frames"]

# Clocks of phones and servers run ahead of ours by minutes; a day is a wrong date.
MAX_CLOCK_SKEW: Final = timedelta(days=1)
_SAMPLE_ROWS: Final = 100


@dataclass(frozen=True, eq=False)
class Partition:
    """One file of the product log, or one part of a query's answer, or one frame."""

    name: str
    identity: str
    raw_rows: pl.LazyFrame
    mapped: MappedTable

    def __repr__(self) -> str:
        return f"Partition({self.name!r})"

    def valid_rows(self) -> pl.LazyFrame:
        """Rows under contract: the columns of ``contracts.Events``, null where absent."""
        return self.mapped.valid_rows()

    def with_reject_reason(self) -> pl.LazyFrame:
        """Every row, with the ``reason`` for which it is in quarantine, or null."""
        return self.mapped.with_reject_reason()

    def reject_counts(self) -> dict[str, int]:
        """Reason → rows in quarantine, each row under its first reason; one pass."""
        with source_errors(f"events: {self.name}"):
            return reject_counts(self.mapped)

    def count_rows(self) -> int:
        """Rows in the file, valid or not."""
        with source_errors(f"events: {self.name}"):
            return int(self.raw_rows.select(pl.len()).collect(engine="streaming").item())


@dataclass(frozen=True)
class Tables:
    """The four tables of a company."""

    events: tuple[Partition, ...]
    subscriptions: schemas.ValidatedTable
    accounts: schemas.ValidatedTable
    users: schemas.ValidatedTable

    def __repr__(self) -> str:
        small = {name: getattr(self, name) for name in ("subscriptions", "accounts", "users")}
        rows = ", ".join(f"{table.rows.height:,} {name}" for name, table in small.items())
        left_out = sum(sum(table.quarantine.values()) for table in small.values())
        return (
            f"Tables(events in {len(self.events)} partition(s), {rows};"
            f" {left_out:,} rows of the small tables in quarantine)"
        )


def load_tables(config: settings.Settings, now: datetime | None = None) -> Tables:
    """Read the tables that the settings name.

    Parameters
    ----------
    config : Settings
        Where the tables are, and what their columns are called.
    now : datetime.datetime, optional
        The clock: events dated more than a day later are quarantined.

    Returns
    -------
    Tables
        Small tables as checked frames, the log as lazy partitions sorted by name.

    Raises
    ------
    SourceError
        If a table cannot be reached or read.
    ContractError
        If a table lacks a column, holds times without a zone, or breaks its contract in more
        than the allowed share of rows.
    """
    folder = config.base / config.tables.folder
    raws: dict[str, list[RawTable]] = {}
    for table in schemas.TABLES:
        source = getattr(config.tables, table)
        if isinstance(source, settings.SqlQuery) and table == "events":
            raws[table] = sql.export_query_to_parquet(
                table, source, folder, config.state_folder / "spool"
            )
        elif isinstance(source, settings.SqlQuery):
            raws[table] = [sql.read_query(table, source, folder)]
        elif source is not None:
            raws[table] = files.resolve_files(table, source, folder)
    return _validate_tables(raws, config.tables, config.columns, now)


def tables_from_frames(
    events: Any,  # noqa: ANN401 - any frame that Narwhals knows, or several
    subscriptions: Any,  # noqa: ANN401
    accounts: Any,  # noqa: ANN401
    users: Any = None,  # noqa: ANN401
    *,
    tables: settings.TablesConfig | None = None,
    columns: settings.ColumnsConfig | None = None,
    now: datetime | None = None,
) -> Tables:
    """Take the tables from frames in memory.

    Parameters
    ----------
    events : polars, pandas or other frame that Narwhals knows, or a sequence of them
        The product log; each frame becomes a partition.
    subscriptions, accounts, users : frame
        The other tables.
    tables : settings.Tables, optional
        Time zone and tolerated share of quarantine.
    columns : settings.Columns, optional
        Our column names → theirs.
    now : datetime.datetime, optional
        The clock: events dated more than a day later are quarantined.

    Returns
    -------
    Tables
        As from ``read``.

    Raises
    ------
    SourceError
        If something else than a frame is given.
    ContractError
        As from ``read``.
    """
    parts = events if isinstance(events, Sequence) else [events]
    raws = {
        "events": [_wrap_frame("events", part, number) for number, part in enumerate(parts)],
        "subscriptions": [_wrap_frame("subscriptions", subscriptions)],
        "accounts": [_wrap_frame("accounts", accounts)],
    }
    if users is not None:
        raws["users"] = [_wrap_frame("users", users)]
    return _validate_tables(
        raws, tables or settings.TablesConfig(), columns or settings.ColumnsConfig(), now
    )


def _wrap_frame(table: str, frame: Any, number: int = 0) -> RawTable:  # noqa: ANN401
    lazy = (
        frame.lazy()
        if isinstance(frame, pl.DataFrame | pl.LazyFrame)
        else _convert_frame(table, frame)
    )
    return RawTable(f"{table}-{number:05d}", _hash_rows(lazy), lazy)


def _convert_frame(table: str, frame: Any) -> pl.LazyFrame:  # noqa: ANN401
    try:
        known = nw.from_native(frame).lazy()
    except TypeError:
        raise SourceError(
            f"{table}: expected a Polars or pandas frame, found {type(frame).__name__}. Pass the"
            " table itself, or name its file in expansion.toml."
        ) from None
    try:
        with warnings.catch_warnings():
            # Arrow asks pandas for times in a way pandas means to change; the values are right.
            warnings.simplefilter("ignore", DeprecationWarning)
            found: pl.DataFrame = known.collect("polars").to_native()
    except (TypeError, ValueError):  # its message would quote a cell
        raise SourceError(
            f"{table}: a column of the {type(frame).__module__.split('.')[0]} frame mixes types,"
            " expected one type each. Turn such columns into text; what does not fit is counted."
        ) from None
    return found.lazy()


def _hash_rows(frame: pl.LazyFrame) -> str:
    """A digest of the rows, whatever their order."""
    row = pl.struct(pl.all())
    sums = frame.select(row.hash(1).sum().alias("a"), row.hash(2).sum().alias("b"), pl.len())
    return f"{dict(frame.collect_schema())}{sums.collect(engine='streaming').row(0)}"


def _validate_tables(
    raws: Mapping[str, list[RawTable]],
    tables: settings.TablesConfig,
    columns: settings.ColumnsConfig,
    now: datetime | None,
) -> Tables:
    validate_time_zone(tables.time_zone)
    arrived = {
        table: _map_tables(table, found, getattr(columns, table), tables.time_zone)
        for table, found in raws.items()
    }
    share = tables.max_quarantine_share
    accounts = validate_table("accounts", arrived["accounts"], None, share)
    known = accounts.rows["account_id"]
    rules = f"{sorted(columns.events.items())}{tables.time_zone}"
    return Tables(
        events=_build_partitions(raws["events"], dict(arrived["events"]), rules, now),
        subscriptions=validate_table("subscriptions", arrived["subscriptions"], known, share),
        accounts=accounts,
        users=validate_table("users", arrived.get("users", []), known, share),
    )


def _map_tables(
    table: str, raws: Sequence[RawTable], mapping: Mapping[str, str], zone: str | None
) -> list[tuple[str, MappedTable]]:
    full = [raw for raw in raws if not _is_empty(table, raw)]
    if not full:
        raise ContractError(
            f"{table}: no rows, expected at least one; looked in {len(raws)} place(s). Export the"
            f" table again, or correct [tables] {table} in expansion.toml."
        )
    check_columns(table, {raw.name: raw.frame.collect_schema() for raw in full}, mapping)
    return [(raw.name, map_table(table, raw.frame, mapping, zone)) for raw in full]


def _is_empty(table: str, raw: RawTable) -> bool:
    with source_errors(f"{table}: {raw.name}"):
        try:
            return raw.frame.select(pl.first()).head(1).collect(engine="streaming").is_empty()
        except pl.exceptions.NoDataError:
            return True


def _build_partitions(
    raws: Sequence[RawTable],
    mapped_tables: Mapping[str, MappedTable],
    rules: str,
    now: datetime | None,
) -> tuple[Partition, ...]:
    made = []
    for raw in raws:
        if raw.name not in mapped_tables:
            continue
        arrival = mapped_tables[raw.name]
        if now is not None:
            arrival = arrival.with_rule(
                schemas.FUTURE_TIMESTAMP, pl.col("timestamp") > now + MAX_CLOCK_SKEW
            )
        with source_errors(f"events: {raw.name}"):
            reject_naive_timestamps("events", reject_counts(arrival.head(_SAMPLE_ROWS)))
        made.append(Partition(raw.name, _hash_strings(raw.fingerprint, rules), raw.frame, arrival))
    return tuple(sorted(made, key=lambda partition: partition.name))


def _hash_strings(*parts: str) -> str:
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=16).hexdigest()
