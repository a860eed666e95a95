"""Delivery state of Slack messages, recorded before and after posting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from serving.store.schema import SLACK_MESSAGES
from serving.store.upsert import upsert

__all__ = [
    "MessageState",
    "SlackMessage",
    "clear_attempt",
    "load_state",
    "record_attempt",
    "record_posted",
]


@dataclass(frozen=True)
class SlackMessage:
    """A message to post once.

    Attributes
    ----------
    key : str
        Deduplication key; a message with a known key is not posted again.
    csm : str or None
        Recipient.
    payload : mapping
        ``text`` and ``blocks`` for ``chat.postMessage``.
    """

    key: str
    csm: str | None
    payload: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True)
class MessageState:
    """Channel of a message, and when it was attempted and posted, UTC."""

    channel: str
    attempted_at: datetime
    posted_at: datetime | None


def load_state(connection: sa.Connection, key: str) -> MessageState | None:
    """Load the state of a message, or None."""
    row = connection.execute(
        sa.select(SLACK_MESSAGES).where(SLACK_MESSAGES.c.key == key)
    ).one_or_none()
    if row is None:
        return None
    return MessageState(
        row.channel, _to_utc(row.attempted_at), row.posted_at and _to_utc(row.posted_at)
    )


def record_attempt(connection: sa.Connection, key: str, channel: str, now: datetime) -> None:
    """Record a message before it is posted."""
    unset = {"posted_at": None, "message_ts": None, "reason": None}
    upsert(
        connection, SLACK_MESSAGES, [{"key": key, "channel": channel, "attempted_at": now, **unset}]
    )


def record_posted(connection: sa.Connection, key: str, message_ts: str, now: datetime) -> None:
    """Record that a message was posted, with its Slack timestamp."""
    statement = sa.update(SLACK_MESSAGES).where(SLACK_MESSAGES.c.key == key)
    connection.execute(statement.values(posted_at=now, message_ts=message_ts))


def clear_attempt(connection: sa.Connection, key: str) -> None:
    """Delete the attempt of a message that was certainly not posted."""
    connection.execute(
        sa.delete(SLACK_MESSAGES).where(
            SLACK_MESSAGES.c.key == key, SLACK_MESSAGES.c.posted_at.is_(None)
        )
    )


def _to_utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
