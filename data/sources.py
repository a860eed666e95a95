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

from data import contracts, database, files, settings
from data.arrival import Arrival, Raw, arrive, check_names
from data.checking import check, counts, refuse_zoneless
from data.errors import ContractError, SourceError
from data.files import reading
from data.instants import check_zone

__all__ = ["Partition", "Tables", "from_frames", "read", "reading"]

# Clocks of phones and servers run ahead of ours by minutes; a day is a wrong date.
CLOCK_SKEW: Final = timedelta(days=1)
_SAMPLE_ROWS: Final = 100


@dataclass(frozen=True, eq=False)
class Partition:
    """One file of the product log, or one part of a query's answer, or one frame."""

    name: str
    identity: str
    raw: pl.LazyFrame
    arrival: Arrival

    def __repr__(self) -> str:
        return f"Partition({self.name!r})"

    def valid(self) -> pl.LazyFrame:
        """Rows under contract: the columns of ``contracts.Events``, null where absent."""
        return self.arrival.valid()

    def judged(self) -> pl.LazyFrame:
        """Every row, with the ``reason`` for which it is in quarantine, or null."""
        return self.arrival.judged()

    def faults(self) -> dict[str, int]:
        """Reason → rows in quarantine, each row under its first reason; one pass."""
        with reading(f"events: {self.name}"):
            return counts(self.arrival)

    def seen(self) -> int:
        """Rows in the file, valid or not."""
        with reading(f"events: {self.name}"):
            return int(self.raw.select(pl.len()).collect(engine="streaming").item())


@dataclass(frozen=True)
class Tables:
    """The four tables of a company."""

    events: tuple[Partition, ...]
    subscriptions: contracts.Checked
    accounts: contracts.Checked
    users: contracts.Checked

    def __repr__(self) -> str:
        small = {name: getattr(self, name) for name in ("subscriptions", "accounts", "users")}
        rows = ", ".join(f"{table.rows.height:,} {name}" for name, table in small.items())
        left_out = sum(sum(table.quarantine.values()) for table in small.values())
        return (
            f"Tables(events in {len(self.events)} partition(s), {rows};"
            f" {left_out:,} rows of the small tables in quarantine)"
        )


def read(config: settings.Settings, now: datetime | None = None) -> Tables:
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
    raws: dict[str, list[Raw]] = {}
    for table in contracts.TABLES:
        source = getattr(config.tables, table)
        if isinstance(source, settings.Query) and table == "events":
            raws[table] = database.spool(table, source, folder, config.state_folder / "spool")
        elif isinstance(source, settings.Query):
            raws[table] = [database.fetch(table, source, folder)]
        elif source is not None:
            raws[table] = files.find(table, source, folder)
    return _tables(raws, config.tables, config.columns, now)


def from_frames(
    events: Any,  # noqa: ANN401 - any frame that Narwhals knows, or several
    subscriptions: Any,  # noqa: ANN401
    accounts: Any,  # noqa: ANN401
    users: Any = None,  # noqa: ANN401
    *,
    tables: settings.Tables | None = None,
    columns: settings.Columns | None = None,
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
        "events": [_frame("events", part, number) for number, part in enumerate(parts)],
        "subscriptions": [_frame("subscriptions", subscriptions)],
        "accounts": [_frame("accounts", accounts)],
    }
    if users is not None:
        raws["users"] = [_frame("users", users)]
    return _tables(raws, tables or settings.Tables(), columns or settings.Columns(), now)


def _frame(table: str, frame: Any, number: int = 0) -> Raw:  # noqa: ANN401
    lazy = (
        frame.lazy() if isinstance(frame, pl.DataFrame | pl.LazyFrame) else _foreign(table, frame)
    )
    return Raw(f"{table}-{number:05d}", _content(lazy), lazy)


def _foreign(table: str, frame: Any) -> pl.LazyFrame:  # noqa: ANN401
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


def _content(frame: pl.LazyFrame) -> str:
    """A digest of the rows, whatever their order."""
    row = pl.struct(pl.all())
    sums = frame.select(row.hash(1).sum().alias("a"), row.hash(2).sum().alias("b"), pl.len())
    return f"{dict(frame.collect_schema())}{sums.collect(engine='streaming').row(0)}"


def _tables(
    raws: Mapping[str, list[Raw]],
    tables: settings.Tables,
    columns: settings.Columns,
    now: datetime | None,
) -> Tables:
    check_zone(tables.time_zone)
    arrived = {
        table: _arrivals(table, found, getattr(columns, table), tables.time_zone)
        for table, found in raws.items()
    }
    share = tables.max_quarantine_share
    accounts = check("accounts", arrived["accounts"], None, share)
    known = accounts.rows["account_id"]
    rules = f"{sorted(columns.events.items())}{tables.time_zone}"
    return Tables(
        events=_partitions(raws["events"], dict(arrived["events"]), rules, now),
        subscriptions=check("subscriptions", arrived["subscriptions"], known, share),
        accounts=accounts,
        users=check("users", arrived.get("users", []), known, share),
    )


def _arrivals(
    table: str, raws: Sequence[Raw], mapping: Mapping[str, str], zone: str | None
) -> list[tuple[str, Arrival]]:
    full = [raw for raw in raws if not _is_empty(table, raw)]
    if not full:
        raise ContractError(
            f"{table}: no rows, expected at least one; looked in {len(raws)} place(s). Export the"
            f" table again, or correct [tables] {table} in expansion.toml."
        )
    check_names(table, {raw.name: raw.frame.collect_schema() for raw in full}, mapping)
    return [(raw.name, arrive(table, raw.frame, mapping, zone)) for raw in full]


def _is_empty(table: str, raw: Raw) -> bool:
    with reading(f"{table}: {raw.name}"):
        try:
            return raw.frame.select(pl.first()).head(1).collect(engine="streaming").is_empty()
        except pl.exceptions.NoDataError:
            return True


def _partitions(
    raws: Sequence[Raw],
    arrivals: Mapping[str, Arrival],
    rules: str,
    now: datetime | None,
) -> tuple[Partition, ...]:
    made = []
    for raw in raws:
        if raw.name not in arrivals:
            continue
        arrival = arrivals[raw.name]
        if now is not None:
            arrival = arrival.also(contracts.FUTURE, pl.col("timestamp") > now + CLOCK_SKEW)
        with reading(f"events: {raw.name}"):
            refuse_zoneless("events", counts(arrival.head(_SAMPLE_ROWS)))
        made.append(Partition(raw.name, _digest(raw.content, rules), raw.frame, arrival))
    return tuple(sorted(made, key=lambda partition: partition.name))


def _digest(*parts: str) -> str:
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=16).hexdigest()
