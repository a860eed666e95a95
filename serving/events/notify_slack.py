"""Post alerts to Slack: one message for each severity that an alert reaches."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import quote

import sqlalchemy as sa

from data.config.settings import Settings
from serving import store
from serving.events.monitor import repository
from serving.notify import slack
from serving.notify.slack import delivery
from serving.notify.slack.delivery import SlackMessage
from serving.notify.slack.messages import build_alert_message
from serving.store.event_schema import ALERTS

__all__ = ["post_alerts"]

_MAX_AGE: Final = timedelta(hours=24)  # older alerts are on the list
_MAX_MESSAGES: Final = 50
_KEY: Final = ("account_id", "limit", "number")


def post_alerts(engine: sa.Engine, settings: Settings, *, now: datetime) -> None:
    """Post new alerts if Slack is configured; each message once.

    Raises
    ------
    data.errors.DeliveryError
        If Slack denies access, or the database fails.
    """
    if settings.slack.bot_token is None and settings.slack.webhook_url is None:
        return
    with store.read_transaction(engine) as connection:
        rows = repository.load_alerts_to_post(
            connection, since=now - _MAX_AGE, max_rows=_MAX_MESSAGES
        )
    if not rows:
        return
    messages = [_build_message(row, settings) for row in rows]
    transport = slack.open_transport(settings.slack)
    summary = delivery.deliver_messages(engine, transport, messages, now=now)
    with store.write_transaction(engine) as connection:
        for row, message in zip(rows, messages, strict=True):
            if message.key not in summary.remaining:
                condition = sa.and_(*(ALERTS.c[name] == row[name] for name in _KEY))
                posted = sa.update(ALERTS).where(condition).values(posted_severity=row["severity"])
                connection.execute(posted)


def _build_message(row: Mapping[str, Any], settings: Settings) -> SlackMessage:
    list_row = row["list_row"] or {}
    reasons = list_row.get("signals") or []
    account, link = row["account_id"], settings.digest.link
    return build_alert_message(
        ":".join(str(row[name]) for name in (*_KEY, "severity")),
        list_row.get("name") or account,
        "; ".join([row["message"], *reasons[:1]]),
        csm=list_row.get("csm"),
        link=link and link.replace("{account_id}", quote(account, safe="")),
    )
