"""Arrivals as they are read back: whose they are, and which of them the log holds by now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any, Final

import numpy as np
import polars as pl
import sqlalchemy as sa
from numpy.typing import NDArray

from data.sources import Partition
from serving.events.tables import ARRIVALS

__all__ = ["Arrival", "Workspaces", "frame", "in_log", "read", "workspaces"]

_ROWS_AT_ONCE: Final = 50_000
_SCHEMA: Final[Mapping[str, Any]] = {
    "account_id": pl.String,
    "user_id": pl.String,
    "timestamp": pl.Datetime("us", "UTC"),
    "event": pl.String,
    "feature": pl.String,
    "quantity": pl.Float64,
    "event_id": pl.String,
    "known_at": pl.Datetime("us", "UTC"),
}


@dataclass(frozen=True, slots=True)
class Arrival:
    """One row of ``arrivals``."""

    id: int
    workspace: str | None
    user_id: str | None
    event: str | None
    feature: str | None
    quantity: float | None
    happened_at: datetime
    received_at: datetime
    message_id: str

    @property
    def day(self) -> date:
        """The day on which it became known."""
        return self.received_at.date()


_COLUMNS: Final = [ARRIVALS.c[name] for name in Arrival.__slots__]


@dataclass(frozen=True)
class Workspaces:
    """Which account a workspace belongs to; a name that is not told is an account's own."""

    told: Mapping[str, str]
    accounts: frozenset[str]

    def account(self, workspace: str | None) -> str | None:
        """The account, or None where there is none of that name."""
        name = self.told.get(workspace, workspace) if workspace is not None else None
        return name if name in self.accounts else None

    def of(self, accounts: Sequence[str]) -> list[str]:
        """Every name under which events of these accounts may come."""
        wanted = set(accounts)
        return sorted(wanted | {name for name, account in self.told.items() if account in wanted})


def read(
    connection: sa.Connection, *, after: int, up_to: int | None = None, rows: int | None = None
) -> Iterator[Arrival]:
    """Read arrivals in the order of their numbers."""
    query = sa.select(*_COLUMNS).where(ARRIVALS.c.id > after).order_by(ARRIVALS.c.id)
    if up_to is not None:
        query = query.where(ARRIVALS.c.id <= up_to)
    if rows is not None:
        query = query.limit(rows)
    found = connection.execution_options(yield_per=_ROWS_AT_ONCE).execute(query)
    return map(_arrival, found)


def frame(
    connection: sa.Connection,
    of: Workspaces,
    accounts: Sequence[str],
    covered: NDArray[np.bool_],
    *,
    up_to: int,
) -> pl.DataFrame:
    """Give the events of some accounts that are not in the log, under the contract of events."""
    query = (
        sa.select(*_COLUMNS)
        .where(ARRIVALS.c.workspace.in_(of.of(accounts)), ARRIVALS.c.id <= up_to)
        .order_by(ARRIVALS.c.id)
    )
    found = map(_arrival, connection.execute(query))
    rows = [
        (
            of.account(each.workspace),
            each.user_id,
            each.happened_at,
            each.event,
            each.feature,
            each.quantity,
            each.message_id,
            each.received_at,
        )
        for each in found
        if not (each.id < len(covered) and covered[each.id])
    ]
    return pl.DataFrame(rows, schema=dict(_SCHEMA), orient="row")


def in_log(connection: sa.Connection, partitions: Sequence[Partition]) -> NDArray[np.bool_]:
    """Say of every arrival by its number whether the log holds it, too.

    Where the log carries ids, a message is there that has the id of one; else everything that
    happened before the log's last event is the log's to tell.
    """
    span = connection.execute(
        sa.select(sa.func.max(ARRIVALS.c.id), sa.func.min(ARRIVALS.c.happened_at))
    ).one()
    covered = np.zeros((span[0] or 0) + 1, dtype=np.bool_)
    if not span[0] or not partitions:
        return covered
    first = _utc(span[1])
    late = [part.valid().filter(pl.col("timestamp") >= first) for part in partitions]
    ids = pl.concat([part.select("event_id") for part in late]).drop_nulls().unique()
    held = ids.collect(engine="streaming")["event_id"]
    query = sa.select(ARRIVALS.c.id, ARRIVALS.c.message_id, ARRIVALS.c.happened_at)
    last = None if len(held) or _has_ids(partitions) else _last(late)
    found = connection.execution_options(yield_per=_ROWS_AT_ONCE).execute(query)
    for some in found.partitions():
        numbers = np.array([row[0] for row in some])
        if last is not None:
            covered[numbers] = [_utc(row[2]) <= last for row in some]
        elif len(held):
            messages = pl.Series([row[1] for row in some], dtype=pl.String)
            covered[numbers] = messages.is_in(held.implode()).to_numpy()
    return covered


def workspaces(accounts: pl.Series, told: pl.DataFrame | None) -> Workspaces:
    """Put together what is told of workspaces, and the accounts that exist."""
    rows = () if told is None else told.select("workspace_id", "account_id").iter_rows()
    return Workspaces(dict(rows), frozenset(accounts))


def _has_ids(partitions: Sequence[Partition]) -> bool:
    newest = partitions[-1].valid().select(pl.col("event_id").is_not_null().any())
    return bool(newest.collect(engine="streaming").item())


def _last(rows: Sequence[pl.LazyFrame]) -> datetime | None:
    found = pl.concat([part.select(pl.col("timestamp").max()) for part in rows])
    last: datetime | None = found.max().collect().item()
    return last


def _arrival(row: Any) -> Arrival:  # noqa: ANN401 - a row of the query above
    told = Arrival(*row)
    return replace(told, happened_at=_utc(told.happened_at), received_at=_utc(told.received_at))


def _utc(moment: datetime) -> datetime:
    """SQLite gives its times without their zone."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
