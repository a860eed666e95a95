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

from data.errors import ExpansionError
from data.settings import Settings
from serving.events import posting
from serving.outbox import delivery

__all__ = ["Sending"]

_LOG: Final = logging.getLogger("expansion.events")
_AGAIN_SECONDS: Final = 60.0


class Sending:
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
        self._waiting, self._lock, self._woken = 0, threading.Lock(), threading.Event()
        self._over = False
        self._thread = threading.Thread(target=self._run, name="sending", daemon=True)
        self._thread.start()

    def wake(self, objects: int) -> None:
        """Say that so many objects more are to be sent."""
        with self._lock:
            self._waiting += objects
        self._woken.set()

    def close(self) -> None:
        """Send what waits, and stop."""
        self._over = True
        self._woken.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            self._woken.wait(_AGAIN_SECONDS)
            self._woken.clear()
            with self._lock:
                objects = self._waiting
            try:
                self._send(objects)
            except ExpansionError as error:
                _LOG.warning("not sent, to be tried again: %s", error)
            try:
                posting.post(self._engine, self._settings, now=self._clock())
            except ExpansionError as error:
                _LOG.warning("not posted, to be tried again: %s", error)
            if self._over:
                return

    def _send(self, objects: int) -> None:
        if not objects:
            return
        sent = delivery.send_some(
            self._engine, self._settings, name=self._name, objects=objects, now=self._clock()
        )
        left = 0
        if sent is not None:
            _LOG.info("sent to %s: %r", self._name, sent)
            settled = sent.written + sent.unchanged + sent.rejected + sent.gone
            left = max(min(objects - settled, sent.left), 0) if sent.words else 0
        with self._lock:
            self._waiting += left - objects
