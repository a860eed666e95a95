"""Event worker loop: poll, rescore alerts, dispatch and reload the snapshot until stopped."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa

from data.config.settings import Settings
from data.errors import ExpansionError
from serving import gc_freeze, store
from serving.delivery.crm import registry
from serving.events import rescore
from serving.events.dispatch import Dispatcher
from serving.events.monitor import consumer, repository, snapshot
from serving.events.monitor.consumer import EventConsumer
from serving.events.monitor.repository import ConsumerOffset
from serving.events.monitor.snapshot import MonitorSnapshot
from serving.store import lease
from serving.store.lease import LeaseLostError

__all__ = ["run_consumer"]

_LOG: Final = logging.getLogger("expansion.events")
_LEASE: Final = "events"
_IDLE_SECONDS: Final = 0.2
_RETRY_SECONDS: Final = 5.0
_ALERT_BATCH: Final = 200
_RELOAD_INTERVAL: Final = timedelta(hours=1)  # of tables, log and model


def run_consumer(
    engine: sa.Engine,
    settings: Settings,
    *,
    clock: Callable[[], datetime],
    stop: threading.Event,
) -> None:
    """Consume webhook events until stopped; wait while another process holds the lease.

    Errors are logged, and the consumer restarts from the database. Once ``stop`` is set, current
    work is finished and the function returns.
    """
    while not stop.is_set():
        try:
            acquired = lease.acquire_lease(engine, _LEASE, clock)
            if isinstance(acquired, str):
                stop.wait(_RETRY_SECONDS)
                continue
            try:
                _run_until_stopped(
                    consumer.resume_consumer(engine, settings, acquired, clock()), clock, stop
                )
            finally:
                acquired.release(engine)
        except LeaseLostError as lost:
            _LOG.warning("%s; waiting for the lease", lost)
        except ExpansionError as error:
            _LOG.warning("restarting: %s", error)
            stop.wait(_RETRY_SECONDS)


def _run_until_stopped(
    event_consumer: EventConsumer, clock: Callable[[], datetime], stop: threading.Event
) -> None:
    name = registry.resolve_target_name(event_consumer.settings)
    dispatcher = Dispatcher(event_consumer.engine, event_consumer.settings, name=name, clock=clock)
    dispatcher.notify(0)  # alerts committed but not posted before a restart
    gc_freeze.freeze_gc()
    with ThreadPoolExecutor(1) as pool:
        reloader = _SnapshotReloader(event_consumer, pool, clock)
        _LOG.info("consuming after event %d", event_consumer.offset.position)
        try:
            while not stop.is_set():
                consumed = event_consumer.poll(clock())
                rescored = _rescore_new_alerts(event_consumer, name, dispatcher, clock())
                reloader.reload_if_due()
                event_consumer.heartbeat()
                if not (consumed or rescored):
                    stop.wait(_IDLE_SECONDS)
        finally:
            dispatcher.close()


def _rescore_new_alerts(
    event_consumer: EventConsumer, name: str, dispatcher: Dispatcher, now: datetime
) -> int:
    """Rescore the alerts that are not committed yet, and return their number."""
    with store.read_transaction(event_consumer.engine) as connection:
        alerts = repository.load_alerts_to_rescore(connection, max_rows=_ALERT_BATCH)
    if alerts:
        objects = rescore.rescore_alerts(
            event_consumer.engine,
            event_consumer.settings,
            event_consumer.snapshot,
            alerts,
            target=name,
            position=event_consumer.offset.position,
            now=now,
        )
        dispatcher.notify(objects)
        _LOG.info("%d alerts rescored, %d objects committed", len(alerts), objects)
    return len(alerts)


class _SnapshotReloader:
    """Reloads tables and log periodically in a background thread."""

    def __init__(
        self, event_consumer: EventConsumer, pool: ThreadPoolExecutor, clock: Callable[[], datetime]
    ) -> None:
        self._consumer, self._pool, self._clock = event_consumer, pool, clock
        self._next_reload = clock() + _RELOAD_INTERVAL
        self._in_progress: tuple[Future[MonitorSnapshot], ConsumerOffset] | None = None

    def reload_if_due(self) -> None:
        """Start a reload when it is due; apply a finished one."""
        if self._in_progress is None and self._clock() >= self._next_reload:
            since = self._consumer.offset
            future = self._pool.submit(
                snapshot.load_snapshot,
                self._consumer.engine,
                self._consumer.settings,
                now=self._clock(),
                position=since.position,
                day=since.day,
            )
            self._in_progress = (future, since)
        if self._in_progress is not None and self._in_progress[0].done():
            (future, since), self._in_progress = self._in_progress, None
            self._next_reload = self._clock() + _RELOAD_INTERVAL
            try:
                self._consumer.rebase(future.result(), since)
                gc_freeze.freeze_gc()
            except LeaseLostError:
                raise
            except ExpansionError as error:
                _LOG.warning("reload failed, the previous snapshot is used: %s", error)
