"""The watcher at work: follow, tell, send, and read the ground anew, until it is stopped."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa

from data.errors import ExpansionError
from data.settings import Settings
from serving import pauses, state
from serving.crm import targets
from serving.events import ground, kept, telling, watcher
from serving.events.ground import Ground
from serving.events.kept import Progress
from serving.events.sending import Sending
from serving.events.watcher import Watcher
from serving.outbox import lease
from serving.outbox.lease import Lost

__all__ = ["watch"]

_LOG: Final = logging.getLogger("expansion.events")
_LEASE: Final = "events"
_IDLE_SECONDS: Final = 0.2
_AGAIN_SECONDS: Final = 5.0
_SIGNALS_AT_ONCE: Final = 200


def watch(
    engine: sa.Engine,
    settings: Settings,
    *,
    clock: Callable[[], datetime],
    stop: threading.Event,
) -> None:
    """Watch what arrives until it is told to stop; where another process does, wait beside it.

    What fails is told in the log, and begun anew from what the database holds.

    Parameters
    ----------
    engine : sqlalchemy.Engine
        The one database, its schema up to date.
    settings : data.settings.Settings
        All of them.
    clock : callable
        The wall clock, UTC.
    stop : threading.Event
        Set, it ends what was begun and returns.
    """
    while not stop.is_set():
        try:
            held = lease.take(engine, _LEASE, clock)
            if isinstance(held, str):
                stop.wait(_AGAIN_SECONDS)
                continue
            try:
                _work(watcher.started(engine, settings, held, clock()), clock, stop)
            finally:
                held.release(engine)
        except Lost as lost:
            _LOG.warning("%s; it goes on", lost)
        except ExpansionError as error:
            _LOG.warning("begun anew in a moment: %s", error)
            stop.wait(_AGAIN_SECONDS)


def _work(at_work: Watcher, clock: Callable[[], datetime], stop: threading.Event) -> None:
    name = targets.named(at_work.settings)
    sending = Sending(at_work.engine, at_work.settings, name=name, clock=clock)
    sending.wake(0)  # what was put down before and not posted
    pauses.shorten()
    with ThreadPoolExecutor(1) as pool:
        reading = _Reading(at_work, pool, clock)
        _LOG.info("watching from arrival %d on", at_work.progress.position)
        try:
            while not stop.is_set():
                seen = at_work.follow(clock())
                told = _tell(at_work, name, sending, clock())
                reading.look()
                at_work.beat()
                if not (seen or told):
                    stop.wait(_IDLE_SECONDS)
        finally:
            sending.close()


def _tell(at_work: Watcher, name: str, sending: Sending, now: datetime) -> int:
    """Tell of the signals that were not told yet, and say how many."""
    with state.reading(at_work.engine) as connection:
        signals = kept.to_tell(connection, most=_SIGNALS_AT_ONCE)
    if signals:
        objects = telling.tell(
            at_work.engine,
            at_work.settings,
            at_work.ground,
            signals,
            target=name,
            position=at_work.progress.position,
            now=now,
        )
        sending.wake(objects)
        _LOG.info("%d signals told, %d objects put down", len(signals), objects)
    return len(signals)


class _Reading:
    """Reads tables and log anew from time to time, beside the watcher's work."""

    def __init__(
        self, at_work: Watcher, pool: ThreadPoolExecutor, clock: Callable[[], datetime]
    ) -> None:
        self._at_work, self._pool, self._clock = at_work, pool, clock
        self._every = timedelta(minutes=at_work.settings.webhooks.reload_minutes)
        self._next = clock() + self._every
        self._under_way: tuple[Future[Ground], Progress] | None = None

    def look(self) -> None:
        """Begin when it is time; take what was read when it is there."""
        if self._under_way is None and self._clock() >= self._next:
            since = self._at_work.progress
            read = self._pool.submit(
                ground.laid,
                self._at_work.engine,
                self._at_work.settings,
                now=self._clock(),
                position=since.position,
                day=since.day,
            )
            self._under_way = (read, since)
        if self._under_way is not None and self._under_way[0].done():
            (read, since), self._under_way = self._under_way, None
            self._next = self._clock() + self._every
            try:
                self._at_work.stand_on(read.result(), since)
                pauses.shorten()
            except Lost:
                raise
            except ExpansionError as error:
                _LOG.warning("tables not read anew, the old ones are used: %s", error)
