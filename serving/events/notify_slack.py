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
from serving.notify.slack.repository import SlackMessage
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
    from serving.notify import slack  # noqa: PLC0415 - an extra
    from serving.notify.slack import delivery  # noqa: PLC0415

    messages = [_build_message(row, settings) for row in rows]
    summary = delivery.deliver_messages(engine, slack.open_transport(settings), messages, now=now)
    finished = {
        *summary.posted,
        *summary.already_posted,
        *summary.unknown,
        *summary.unroutable,
        *summary.rejected,
    }
    with store.write_transaction(engine) as connection:
        for row, message in zip(rows, messages, strict=True):
            if message.key in finished:
                condition = sa.and_(*(ALERTS.c[name] == row[name] for name in _KEY))
                posted = sa.update(ALERTS).where(condition).values(posted_severity=row["severity"])
                connection.execute(posted)


def _build_message(row: Mapping[str, Any], settings: Settings) -> SlackMessage:
    from serving.notify.slack import alert_message  # noqa: PLC0415 - opens templates

    list_row = row["list_row"] or {}
    reasons = list_row.get("signals") or []
    account, link = row["account_id"], settings.digest.link
    return alert_message.build_alert_message(
        alert_message.AlertMessage(
            key=":".join(str(row[name]) for name in (*_KEY, "severity")),
            account=list_row.get("name") or account,
            limit=row["limit"],
            utilization=row["used"] / row["limit_value"],
            csm=list_row.get("csm"),
            link=link and link.replace("{account_id}", quote(account, safe="")),
            text="; ".join([row["message"], *reasons[:1]]),
        )
    )
