"""Dispatcher: sends committed alerts to the CRM and to Slack.

One thread sends while the consumer keeps counting, since a CRM may be slow. What cannot be sent now
stays in the database and is sent with the next alert or list.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import datetime
from typing import Final

import sqlalchemy as sa

from data.config.settings import Settings
from data.errors import ExpansionError
from serving.delivery import service
from serving.events import notify_slack

__all__ = ["Dispatcher"]

_LOG: Final = logging.getLogger("expansion.events")
_RETRY_SECONDS: Final = 60.0


class Dispatcher:
    """Background thread that sends when notified; ``close`` finishes pending work."""

    def __init__(
        self,
        engine: sa.Engine,
        settings: Settings,
        *,
        name: str,
        clock: Callable[[], datetime],
    ) -> None:
        self._engine, self._settings, self._name, self._clock = engine, settings, name, clock
        self._pending, self._lock, self._wake_up = 0, threading.Lock(), threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="dispatcher", daemon=True)
        self._thread.start()

    def notify(self, objects: int) -> None:
        """Add a number of objects to send, and wake the thread."""
        with self._lock:
            self._pending += objects
        self._wake_up.set()

    def close(self) -> None:
        """Send pending objects, and stop."""
        self._closing = True
        self._wake_up.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            self._wake_up.wait(_RETRY_SECONDS)
            self._wake_up.clear()
            with self._lock:
                objects = self._pending
            try:
                self._send_pending(objects)
            except ExpansionError as error:
                _LOG.warning("sending failed, will retry: %s", error)
            try:
                notify_slack.post_alerts(self._engine, self._settings, now=self._clock())
            except ExpansionError as error:
                _LOG.warning("posting to Slack failed, will retry: %s", error)
            if self._closing:
                return

    def _send_pending(self, objects: int) -> None:
        if not objects:
            return
        summary = service.send_limited(
            self._engine, self._settings, name=self._name, max_objects=objects, now=self._clock()
        )
        remaining = 0
        if summary is not None:
            _LOG.info("sent to %s: %r", self._name, summary)
            processed = (
                summary.written + summary.unchanged + summary.rejected + summary.deleted_in_crm
            )
            remaining = (
                max(min(objects - processed, summary.remaining), 0) if summary.stop_reason else 0
            )
        with self._lock:
            self._pending += remaining - objects
