"""Read stored webhook events: account mapping, and deduplication against the product log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any, Final

import numpy as np
import polars as pl
import sqlalchemy as sa
from numpy.typing import NDArray

from data.ingest.table_loader import Partition
from data.schemas import TABLES
from serving.store import as_utc
from serving.store.event_schema import WEBHOOK_EVENTS

__all__ = [
    "StoredEvent",
    "WorkspaceMap",
    "flag_logged_events",
    "is_logged",
    "load_unlogged_events",
    "read_events",
]

_BATCH_ROWS: Final = 50_000


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """One row of the webhook events table."""

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
    def received_on(self) -> date:
        """UTC day on which the event became known."""
        return self.received_at.date()


_COLUMNS: Final = [WEBHOOK_EVENTS.c[name] for name in StoredEvent.__slots__]


@dataclass(frozen=True)
class WorkspaceMap:
    """Workspace → account; a workspace without a mapping is an account id."""

    account_by_workspace: Mapping[str, str]
    accounts: frozenset[str]

    def find_account(self, workspace: str | None) -> str | None:
        """Return the account of a workspace, or None if it does not exist."""
        if workspace is None:
            return None
        name = self.account_by_workspace.get(workspace, workspace)
        return name if name in self.accounts else None

    def list_workspaces(self, accounts: Sequence[str]) -> list[str]:
        """Return every workspace whose events belong to these accounts."""
        requested = set(accounts)
        return sorted(
            requested
            | {name for name, account in self.account_by_workspace.items() if account in requested}
        )


def read_events(
    connection: sa.Connection, *, after: int, up_to: int | None = None, rows: int | None = None
) -> Iterator[StoredEvent]:
    """Yield stored events in the order of their ids."""
    query = sa.select(*_COLUMNS).where(WEBHOOK_EVENTS.c.id > after).order_by(WEBHOOK_EVENTS.c.id)
    if up_to is not None:
        query = query.where(WEBHOOK_EVENTS.c.id <= up_to)
    if rows is not None:
        query = query.limit(rows)
    return map(_to_stored_event, _stream(connection, query))


def load_unlogged_events(
    connection: sa.Connection,
    workspaces: WorkspaceMap,
    accounts: Sequence[str],
    logged_mask: NDArray[np.bool_],
    *,
    up_to: int,
) -> pl.DataFrame:
    """Return the events of some accounts that the log does not contain, in the events schema."""
    query = (
        sa.select(*_COLUMNS)
        .where(
            WEBHOOK_EVENTS.c.workspace.in_(workspaces.list_workspaces(accounts)),
            WEBHOOK_EVENTS.c.id <= up_to,
        )
        .order_by(WEBHOOK_EVENTS.c.id)
    )
    events = map(_to_stored_event, connection.execute(query))
    rows = [
        (
            workspaces.find_account(event.workspace),
            event.user_id,
            event.happened_at,
            event.event,
            event.feature,
            event.quantity,
            event.message_id,
            event.received_at,
        )
        for event in events
        if not is_logged(event, logged_mask)
    ]
    return pl.DataFrame(rows, schema=TABLES["events"].create_empty().schema, orient="row")


def flag_logged_events(
    connection: sa.Connection, partitions: Sequence[Partition]
) -> NDArray[np.bool_]:
    """Return a mask over event row ids: True where the log also contains the event.

    Where the log carries event ids, matching is by message id. Without ids, every event up to the
    log's last timestamp counts as logged.
    """
    span = connection.execute(
        sa.select(sa.func.max(WEBHOOK_EVENTS.c.id), sa.func.min(WEBHOOK_EVENTS.c.happened_at))
    ).one()
    logged_mask = np.zeros((span[0] or 0) + 1, dtype=np.bool_)
    if not span[0] or not partitions:
        return logged_mask
    first = as_utc(span[1])
    recent = [part.valid_rows().filter(pl.col("timestamp") >= first) for part in partitions]
    ids = pl.concat([part.select("event_id") for part in recent]).drop_nulls().unique()
    known_ids = ids.collect(engine="streaming")["event_id"]
    query = sa.select(
        WEBHOOK_EVENTS.c.id, WEBHOOK_EVENTS.c.message_id, WEBHOOK_EVENTS.c.happened_at
    )
    last_logged = (
        None if len(known_ids) or _has_event_ids(partitions) else _find_last_timestamp(recent)
    )
    for chunk in _stream(connection, query).partitions():
        row_ids = np.array([row[0] for row in chunk])
        if last_logged is not None:
            logged_mask[row_ids] = [as_utc(row[2]) <= last_logged for row in chunk]
        elif len(known_ids):
            messages = pl.Series([row[1] for row in chunk], dtype=pl.String)
            logged_mask[row_ids] = messages.is_in(known_ids.implode()).to_numpy()
    return logged_mask


def is_logged(event: StoredEvent, logged_mask: NDArray[np.bool_]) -> bool:
    """Return True if the log also contains a stored event; later events are not in the mask."""
    return event.id < len(logged_mask) and bool(logged_mask[event.id])


def _stream(connection: sa.Connection, query: sa.Select[Any]) -> Any:  # noqa: ANN401 - rows of the query
    return connection.execution_options(yield_per=_BATCH_ROWS).execute(query)


def _has_event_ids(partitions: Sequence[Partition]) -> bool:
    newest = partitions[-1].valid_rows().select(pl.col("event_id").is_not_null().any())
    return bool(newest.collect(engine="streaming").item())


def _find_last_timestamp(rows: Sequence[pl.LazyFrame]) -> datetime | None:
    maxima = pl.concat([part.select(pl.col("timestamp").max()) for part in rows])
    last: datetime | None = maxima.max().collect().item()
    return last


def _to_stored_event(row: Any) -> StoredEvent:  # noqa: ANN401 - a row of the query above
    event = StoredEvent(*row)
    return replace(
        event, happened_at=as_utc(event.happened_at), received_at=as_utc(event.received_at)
    )
