"""Signals that were put down, as messages in Slack: one for each level that a signal reaches."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import quote

import sqlalchemy as sa

from data.settings import Settings
from serving import state
from serving.events import kept
from serving.events.tables import SIGNALS
from serving.slack.posts import Post

__all__ = ["post"]

_NEWS: Final = timedelta(hours=24)  # older ones are in the list
_MESSAGES: Final = 50
_KEY: Final = ("account_id", "limit", "number")


def post(engine: sa.Engine, settings: Settings, *, now: datetime) -> None:
    """Post what is new, where Slack is set up; each message once.

    Raises
    ------
    data.errors.DeliveryError
        If Slack denies us, or the database refuses.
    """
    if settings.slack.bot_token is None and settings.slack.webhook_url is None:
        return
    with state.reading(engine) as connection:
        rows = kept.to_post(connection, since=now - _NEWS, most=_MESSAGES)
    if not rows:
        return
    from serving import slack  # noqa: PLC0415 - an extra
    from serving.slack import posting  # noqa: PLC0415

    messages = [_message(row, settings) for row in rows]
    said = posting.deliver(engine, slack.open_wire(settings), messages, now=now)
    done = {*said.posted, *said.earlier, *said.uncertain, *said.nowhere, *said.refused}
    with state.writing(engine) as connection:
        for row, message in zip(rows, messages, strict=True):
            if message.key in done:
                here = sa.and_(*(SIGNALS.c[name] == row[name] for name in _KEY))
                posted = sa.update(SIGNALS).where(here).values(posted_level=row["level"])
                connection.execute(posted)


def _message(row: Mapping[str, Any], settings: Settings) -> Post:
    from serving.slack import signals  # noqa: PLC0415 - opens templates

    line = row["line"] or {}
    reasons = line.get("signals") or []
    account, link = row["account_id"], settings.digest.link
    return signals.post(
        signals.Signal(
            key=":".join(str(row[name]) for name in (*_KEY, "level")),
            account=line.get("name") or account,
            limit=row["limit"],
            utilisation=row["used"] / row["of"],
            csm=line.get("csm"),
            link=link and link.replace("{account_id}", quote(account, safe="")),
            words="; ".join([row["words"], *reasons[:1]]),
        )
    )
