"""What was put down is sent: to the CRM at once, and as a message in Slack.

One thread sends while the watcher counts on: a CRM may be slow, and seats fill up meanwhile. What
it cannot send now is in the database, and goes with the next signal or list.
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
    """A thread that sends when there is something to send; closed, it ends what it has begun."""

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
        self._thread = threading.Thread(target=self._run, name="sending", daemon=True)
        self._thread.start()

    def notify(self, objects: int) -> None:
        """Say that so many objects more are to be sent."""
        with self._lock:
            self._pending += objects
        self._wake_up.set()

    def close(self) -> None:
        """Send what waits, and stop."""
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
                _LOG.warning("not sent, to be tried again: %s", error)
            try:
                notify_slack.post_alerts(self._engine, self._settings, now=self._clock())
            except ExpansionError as error:
                _LOG.warning("not posted, to be tried again: %s", error)
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
            processed = summary.written + summary.unchanged + summary.rejected + summary.gone
            remaining = max(min(objects - processed, summary.left), 0) if summary.words else 0
        with self._lock:
            self._pending += remaining - objects
