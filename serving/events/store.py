"""Arrivals are kept before their sender hears so; many requests share one transaction.

One thread writes: while it waits for the disk, further requests queue up, and the next transaction
takes them all. So a durable commit costs a request little more than its wait.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from data.errors import DeliveryError
from serving import state
from serving.events import bulk
from serving.events.shapes import Message
from serving.events.tables import QUARANTINE

__all__ = ["Full", "Refused", "Store"]

_MOST_WAITING: Final = 50_000  # rows
_AT_ONCE: Final = 5_000
_KEPT_REFUSALS: Final = 10_000


class Full(Exception):  # noqa: N818 - what it is
    """More waits to be written than we hold; the sender is to come again."""


@dataclass(frozen=True)
class Refused:
    """A message that we cannot read: why, and how it began."""

    reason: str
    body: str


@dataclass
class _Work:
    source: str
    received_at: datetime
    messages: Sequence[Message]
    refused: Sequence[Refused]
    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[None] = field(repr=False)

    @property
    def rows(self) -> int:
        return len(self.messages) + len(self.refused)

    def settle(self, error: Exception | None) -> None:
        """Tell the request, unless its sender has left."""
        with suppress(RuntimeError):  # the server is gone
            self.loop.call_soon_threadsafe(self._settle, error)

    def _settle(self, error: Exception | None) -> None:
        if self.done.done():
            return
        if error is None:
            self.done.set_result(None)
        else:
            self.done.set_exception(error)


class Store:
    """Writes what arrives, with one thread of its own.

    Parameters
    ----------
    engine : sqlalchemy.Engine
        The one database, its schema up to date.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self.counts = {"arrived": 0, "stored": 0, "quarantined": 0, "commits": 0}
        self._engine = engine
        self._queue: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._waiting = 0
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._write, name="arrivals", daemon=True)
        self._thread.start()

    async def keep(
        self,
        source: str,
        messages: Sequence[Message],
        refused: Sequence[Refused],
        received_at: datetime,
    ) -> None:
        """Return once they are durable; a message that is there already stays as it is.

        Raises
        ------
        Full
            If too much waits.
        data.errors.DeliveryError
            If the database refuses.
        """
        loop = asyncio.get_running_loop()
        work = _Work(source, received_at, messages, refused, loop, loop.create_future())
        with self._lock:
            if self._waiting + work.rows > _MOST_WAITING:
                raise Full(f"{self._waiting:,} messages wait to be written")
            self._waiting += work.rows
        self._queue.put(work)
        await work.done

    def close(self) -> None:
        """Write what waits, and stop."""
        self._queue.put(None)
        self._thread.join()

    def _write(self) -> None:
        while (first := self._queue.get()) is not None:
            together, is_last = self._together(first)
            error: Exception | None = None
            try:
                self._commit(together)
            except Exception as failed:  # it is the request's to hear of
                error = failed if isinstance(failed, DeliveryError) else DeliveryError(str(failed))
            with self._lock:
                self._waiting -= sum(work.rows for work in together)
            for work in together:
                work.settle(error)
            if is_last:
                return

    def _together(self, first: _Work) -> tuple[list[_Work], bool]:
        """What waits by now, up to what one transaction takes; and whether it is the last."""
        together, rows = [first], first.rows
        while rows < _AT_ONCE:
            try:
                work = self._queue.get_nowait()
            except queue.Empty:
                return together, False
            if work is None:
                return together, True
            together.append(work)
            rows += work.rows
        return together, False

    def _commit(self, together: Sequence[_Work]) -> None:
        arrivals = [
            (work.source, work.received_at, message)
            for work in together
            for message in work.messages
        ]
        refusals = [row for work in together for row in _refusals(work)]
        with state.writing(self._engine) as connection:
            # Numbers are given in the order of commits, so that whoever counts misses none.
            state.alone(connection, "expansion arrivals")
            stored = bulk.insert(connection, arrivals)
            if refusals:
                connection.execute(sa.insert(QUARANTINE), refusals)
                newest = sa.select(sa.func.max(QUARANTINE.c.id)).scalar_subquery()
                old = QUARANTINE.c.id <= newest - _KEPT_REFUSALS
                connection.execute(sa.delete(QUARANTINE).where(old))
        self.counts["arrived"] += len(arrivals)
        self.counts["stored"] += stored
        self.counts["quarantined"] += len(refusals)
        self.counts["commits"] += 1


def _refusals(work: _Work) -> Iterable[Mapping[str, Any]]:
    for refused in work.refused:
        yield {"source": work.source, "received_at": work.received_at, **asdict(refused)}
