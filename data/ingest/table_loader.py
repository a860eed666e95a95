"""Load the four tables of a company from files, SQL or frames, and validate them.

Small tables are read and validated at once. The product log is not: each of its files is a lazy
partition, validated while streaming, because it may be larger than memory.
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
from data.ingest.files import translate_source_errors
from data.ingest.mapping import MappedTable, RawTable, check_columns, map_table
from data.ingest.timestamps import validate_time_zone
from data.ingest.validation import reject_naive_timestamps, validate_table

__all__ = ["Partition", "Tables", "load_tables", "tables_from_frames"]

# Device clocks run ahead by minutes; a day ahead is a wrong date.
MAX_CLOCK_SKEW: Final = timedelta(days=1)
_SAMPLE_ROWS: Final = 100


@dataclass(frozen=True, eq=False)
class Partition:
    """One partition of the product log: a file, a part of a query result, or a frame."""

    name: str
    identity: str
    raw_rows: pl.LazyFrame
    mapped: MappedTable

    def __repr__(self) -> str:
        return f"Partition({self.name!r})"

    def valid_rows(self) -> pl.LazyFrame:
        """Return the valid rows: the columns of ``schemas.EventSchema``, null where absent."""
        return self.mapped.valid_rows()

    def count_rejects(self) -> dict[str, int]:
        """Return quarantined rows per reason, each row under its first reason; one pass."""
        with translate_source_errors(f"events: {self.name}"):
            return self.mapped.count_rejects()

    def count_rows(self) -> int:
        """Count all rows of the partition, valid or not."""
        with translate_source_errors(f"events: {self.name}"):
            return int(self.raw_rows.select(pl.len()).collect(engine="streaming").item())


@dataclass(frozen=True)
class Tables:
    """The four tables of a company."""

    events: tuple[Partition, ...]
    subscriptions: schemas.ValidatedTable
    accounts: schemas.ValidatedTable
    users: schemas.ValidatedTable

    def __repr__(self) -> str:
        small_tables = {
            name: getattr(self, name) for name in ("subscriptions", "accounts", "users")
        }
        rows = ", ".join(f"{table.rows.height:,} {name}" for name, table in small_tables.items())
        rejected = sum(sum(table.quarantine.values()) for table in small_tables.values())
        return (
            f"Tables(events in {len(self.events)} partition(s), {rows};"
            f" {rejected:,} rows of the small tables in quarantine)"
        )


def load_tables(config: settings.Settings, now: datetime | None = None) -> Tables:
    """Load the tables named in the settings.

    Parameters
    ----------
    config : Settings
        Locations of the tables and column mappings.
    now : datetime.datetime, optional
        The current time: events dated more than a day later are quarantined.

    Returns
    -------
    Tables
        Small tables as validated frames, the log as lazy partitions sorted by name.

    Raises
    ------
    SourceError
        If a table cannot be reached or read.
    ContractError
        If a table lacks a column, holds naive timestamps, or exceeds the allowed share of invalid
        rows.
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
    """Build the tables from frames in memory.

    Parameters
    ----------
    events : polars, pandas or other frame that Narwhals supports, or a sequence of them
        The product log; each frame becomes a partition.
    subscriptions, accounts, users : frame
        The other tables.
    tables : TablesConfig, optional
        Time zone and quarantine limit.
    columns : ColumnsConfig, optional
        Schema column names → source column names.
    now : datetime.datetime, optional
        The current time: events dated more than a day later are quarantined.

    Returns
    -------
    Tables
        As from ``load_tables``.

    Raises
    ------
    SourceError
        If an argument is not a frame.
    ContractError
        As from ``load_tables``.
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
        lazy = nw.from_native(frame).lazy()
    except TypeError:
        raise SourceError(
            f"{table}: expected a Polars or pandas frame, found {type(frame).__name__}. Pass the"
            " table itself, or name its file in expansion.toml."
        ) from None
    try:
        with warnings.catch_warnings():
            # Arrow uses a pandas API that is about to change; the values are correct.
            warnings.simplefilter("ignore", DeprecationWarning)
            collected: pl.DataFrame = lazy.collect("polars").to_native()
    except (TypeError, ValueError):  # its message would quote a cell
        raise SourceError(
            f"{table}: a column of the {type(frame).__module__.split('.')[0]} frame mixes types,"
            " expected one type each. Cast such columns to text; values that cannot be cast are"
            " counted."
        ) from None
    return collected.lazy()


def _hash_rows(frame: pl.LazyFrame) -> str:
    """Return an order-independent hash of the rows."""
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
    mapped_tables = {
        table: _map_tables(table, table_raws, getattr(columns, table), tables.time_zone)
        for table, table_raws in raws.items()
    }
    share = tables.max_quarantine_share
    accounts = validate_table("accounts", mapped_tables["accounts"], None, share)
    known_accounts = accounts.rows["account_id"]
    rules = f"{sorted(columns.events.items())}{tables.time_zone}"
    return Tables(
        events=_build_partitions(mapped_tables["events"], rules, now),
        subscriptions=validate_table(
            "subscriptions", mapped_tables["subscriptions"], known_accounts, share
        ),
        accounts=accounts,
        users=validate_table("users", mapped_tables.get("users", []), known_accounts, share),
    )


def _map_tables(
    table: str, raws: Sequence[RawTable], mapping: Mapping[str, str], zone: str | None
) -> list[tuple[RawTable, MappedTable]]:
    """Map the files that have rows."""
    non_empty = [raw for raw in raws if not _is_empty(table, raw)]
    if not non_empty:
        raise ContractError(
            f"{table}: no rows, expected at least one; looked in {len(raws)} file(s). Export the"
            f" table again, or correct [tables] {table} in expansion.toml."
        )
    check_columns(table, {raw.name: raw.frame.collect_schema() for raw in non_empty}, mapping)
    return [(raw, map_table(table, raw.frame, mapping, zone)) for raw in non_empty]


def _is_empty(table: str, raw: RawTable) -> bool:
    with translate_source_errors(f"{table}: {raw.name}"):
        try:
            return raw.frame.select(pl.first()).head(1).collect(engine="streaming").is_empty()
        except pl.exceptions.NoDataError:
            return True


def _build_partitions(
    mapped_tables: Sequence[tuple[RawTable, MappedTable]], rules: str, now: datetime | None
) -> tuple[Partition, ...]:
    partitions = []
    for raw, mapped in mapped_tables:
        rows = mapped
        if now is not None:
            is_future = pl.col("timestamp") > now + MAX_CLOCK_SKEW
            rows = mapped.with_rule(schemas.FUTURE_TIMESTAMP, is_future)
        with translate_source_errors(f"events: {raw.name}"):
            reject_naive_timestamps("events", rows.head(_SAMPLE_ROWS).count_rejects())
        identity = hashlib.blake2b(f"{raw.fingerprint}\0{rules}".encode(), digest_size=16)
        partitions.append(Partition(raw.name, identity.hexdigest(), raw.frame, rows))
    return tuple(sorted(partitions, key=lambda partition: partition.name))
