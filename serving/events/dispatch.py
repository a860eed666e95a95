"""Dispatcher: sends committed alerts to the CRM and to Slack.

One thread sends while the consumer keeps counting, since a CRM may be slow. What cannot be sent now
stays in the database and is sent with the next alert or list.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import quote

import sqlalchemy as sa

from data.config.settings import DigestConfig, Settings, SlackConfig
from data.errors import ExpansionError
from serving import store
from serving.delivery import service
from serving.events.monitor import repository
from serving.notify import slack
from serving.notify.slack import delivery
from serving.notify.slack.delivery import SlackMessage
from serving.notify.slack.messages import build_alert_message

__all__ = ["Dispatcher", "post_alerts"]

_LOG: Final = logging.getLogger("expansion.events")
_RETRY_SECONDS: Final = 60.0
_MAX_POST_AGE: Final = timedelta(hours=24)  # older alerts are on the list
_MAX_POSTS: Final = 50


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
                post_alerts(
                    self._engine, self._settings.slack, self._settings.digest, now=self._clock()
                )
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
            if summary.stop_reason:
                remaining = max(min(objects - summary.processed, summary.remaining), 0)
        with self._lock:
            self._pending += remaining - objects


def post_alerts(
    engine: sa.Engine, slack_config: SlackConfig, digest: DigestConfig, *, now: datetime
) -> None:
    """Post new alerts if Slack is configured; each message once.

    Raises ``DeliveryError`` if Slack denies access, or the database fails.
    """
    if slack_config.bot_token is None and slack_config.webhook_url is None:
        return
    with store.read_transaction(engine) as connection:
        rows = repository.load_alerts_to_post(
            connection, since=now - _MAX_POST_AGE, max_rows=_MAX_POSTS
        )
    if not rows:
        return
    messages = [_build_message(row, digest.link) for row in rows]
    transport = slack.open_transport(slack_config)
    summary = delivery.deliver_messages(engine, transport, messages, now=now)
    with store.write_transaction(engine) as connection:
        for row, message in zip(rows, messages, strict=True):
            if message.key not in summary.remaining:
                repository.update_alert(connection, row, posted_severity=row["severity"])


def _build_message(row: Mapping[str, Any], link: str | None) -> SlackMessage:
    list_row = row["list_row"] or {}
    reasons = list_row.get("signals") or []
    account = row["account_id"]
    return build_alert_message(
        ":".join(str(row[name]) for name in ("account_id", "limit", "number", "severity")),
        list_row.get("name") or account,
        "; ".join([row["message"], *reasons[:1]]),
        csm=list_row.get("csm"),
        link=link and link.replace("{account_id}", quote(account, safe="")),
    )
