"""Event writer: messages are durable before their sender is answered, many requests per commit.

One thread writes. While it waits for the disk, further requests queue up and share the next
transaction (group commit), so a durable commit costs a request little more than its wait.
"""

from __future__ import annotations

import asyncio
import json
import queue
import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from data.errors import DeliveryError
from serving import store
from serving.events.ingest.parsers import InboundEvent
from serving.store.event_schema import QUARANTINE, WEBHOOK_EVENTS

__all__ = ["EventWriter", "QueueFullError", "RejectedMessage"]

_MAX_QUEUED_ROWS: Final = 50_000
_BATCH_ROWS: Final = 5_000
_QUARANTINE_ROWS: Final = 10_000
# Source, receive time, message.
_WebhookRow = tuple[str, datetime, InboundEvent]
_POSTGRES: Final = postgresql.dialect()  # type: ignore[no-untyped-call]
_COLUMNS: Final = [column for column in WEBHOOK_EVENTS.columns if column.name != "id"]
# Rows of the JSON array ``:rows``, and a value of one, by dialect.
_JSON_READERS: Final = {
    "sqlite": ("json_each(:rows)", "value ->> {index}"),
    "postgresql": (
        "json_array_elements(CAST(:rows AS json)) AS item(value)",
        "CAST(value ->> {index} AS {type})",
    ),
}


def _build_insert(rows: str, value: str) -> sa.TextClause:
    names = ", ".join(column.name for column in _COLUMNS)
    values = ", ".join(
        value.format(index=index, type=column.type.compile(_POSTGRES))
        for index, column in enumerate(_COLUMNS)
    )
    return sa.text(
        f"INSERT INTO {WEBHOOK_EVENTS.name} ({names}) SELECT {values} FROM {rows} WHERE true"  # noqa: S608 - constants only
        " ON CONFLICT DO NOTHING"
    )


_INSERT_STATEMENTS: Final = {
    dialect: _build_insert(*reader) for dialect, reader in _JSON_READERS.items()
}


class QueueFullError(Exception):
    """The write queue is full (backpressure); the sender must retry."""


@dataclass(frozen=True)
class RejectedMessage:
    """A message that cannot be parsed: the reason, and the start of its body."""

    reason: str
    body: str


@dataclass
class _WriteRequest:
    source: str
    received_at: datetime
    messages: Sequence[InboundEvent]
    rejected: Sequence[RejectedMessage]
    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[None] = field(repr=False)

    @property
    def row_count(self) -> int:
        return len(self.messages) + len(self.rejected)

    def complete(self, error: Exception | None) -> None:
        """Complete the waiting request from the writer thread, unless the server has stopped."""
        with suppress(RuntimeError):  # the event loop is closed
            self.loop.call_soon_threadsafe(self._complete, error)

    def _complete(self, error: Exception | None) -> None:
        if self.done.done():
            return
        if error is None:
            self.done.set_result(None)
        else:
            self.done.set_exception(error)


class EventWriter:
    """Writes webhook events with one thread of its own."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._queue: queue.SimpleQueue[_WriteRequest | None] = queue.SimpleQueue()
        self._queued_rows = 0
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="event-writer", daemon=True)
        self._thread.start()

    async def append(
        self,
        source: str,
        messages: Sequence[InboundEvent],
        rejected: Sequence[RejectedMessage],
        received_at: datetime,
    ) -> None:
        """Return once the messages are durable; an existing message id is skipped (idempotent).

        Raises ``QueueFullError`` if the queue is full. Raises ``DeliveryError`` if the database
        fails.
        """
        loop = asyncio.get_running_loop()
        request = _WriteRequest(source, received_at, messages, rejected, loop, loop.create_future())
        with self._lock:
            if self._queued_rows + request.row_count > _MAX_QUEUED_ROWS:
                raise QueueFullError(
                    f"{self._queued_rows:,} messages are waiting to be written; retry later"
                )
            self._queued_rows += request.row_count
        self._queue.put(request)
        await request.done

    def close(self) -> None:
        """Write what is queued, and stop."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (first := self._queue.get()) is not None:
            batch, is_last = self._collect_batch(first)
            error: Exception | None = None
            try:
                self._commit_batch(batch)
            except Exception as failure:  # passed to the waiting request
                error = (
                    failure if isinstance(failure, DeliveryError) else DeliveryError(str(failure))
                )
            with self._lock:
                self._queued_rows -= sum(request.row_count for request in batch)
            for request in batch:
                request.complete(error)
            if is_last:
                return

    def _collect_batch(self, first: _WriteRequest) -> tuple[list[_WriteRequest], bool]:
        """Return the queued requests that fit one transaction, and whether the queue closes."""
        batch, rows = [first], first.row_count
        while rows < _BATCH_ROWS:
            try:
                request = self._queue.get_nowait()
            except queue.Empty:
                return batch, False
            if request is None:
                return batch, True
            batch.append(request)
            rows += request.row_count
        return batch, False

    def _commit_batch(self, batch: Sequence[_WriteRequest]) -> None:
        events = [
            (request.source, request.received_at, message)
            for request in batch
            for message in request.messages
        ]
        rejections = [row for request in batch for row in _build_quarantine_rows(request)]
        with store.write_transaction(self._engine) as connection:
            # Row ids follow the commit order, so that the consumer skips none.
            store.acquire_advisory_lock(connection, "expansion webhook events")
            _insert_events(connection, events)
            if rejections:
                connection.execute(sa.insert(QUARANTINE), rejections)
                newest = sa.select(sa.func.max(QUARANTINE.c.id)).scalar_subquery()
                old = QUARANTINE.c.id <= newest - _QUARANTINE_ROWS
                connection.execute(sa.delete(QUARANTINE).where(old))


def _build_quarantine_rows(request: _WriteRequest) -> Iterable[Mapping[str, Any]]:
    for message in request.rejected:
        yield {"source": request.source, "received_at": request.received_at, **asdict(message)}


def _insert_events(connection: sa.Connection, rows: Sequence[_WebhookRow]) -> None:
    """Insert events in one statement; skip existing ones.

    The writer thread shares the interpreter lock with the server: one statement for all rows
    acquires it once, a statement per row would acquire it for every row.
    """
    if not rows:
        return
    dialect = connection.dialect.name
    zone = "" if dialect == "sqlite" else "+00"
    payload = json.dumps([_to_values(row, zone) for row in rows])
    connection.execute(_INSERT_STATEMENTS[dialect], {"rows": payload})


def _to_values(row: _WebhookRow, zone: str) -> tuple[str | float | None, ...]:
    """Return the values of a row in column order."""
    source, received_at, message = row
    return (
        source,
        message.message_id,
        message.workspace,
        message.user_id,
        message.event,
        message.feature,
        message.quantity,
        _format_time(message.happened_at, zone),
        _format_time(received_at, zone),
    )


def _format_time(moment: datetime, zone: str) -> str:
    """Format a UTC time as the database writes it."""
    return moment.isoformat(" ", "microseconds")[:26] + zone
