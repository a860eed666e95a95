"""What was posted: written down before a message goes out, and after."""

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
    """A message that is to be posted once.

    Attributes
    ----------
    key : str
        Our own name of it: posted under this name before, it is not posted again.
    csm : str or None
        For whom.
    payload : mapping
        ``text`` and ``blocks``, as Slack takes them.
    """

    key: str
    csm: str | None
    payload: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True)
class MessageState:
    """What is known of a message: when it was tried, and when that was acknowledged, UTC."""

    channel: str
    attempted_at: datetime
    posted_at: datetime | None


def load_state(connection: sa.Connection, key: str) -> MessageState | None:
    """Say what is known of a message."""
    row = connection.execute(
        sa.select(SLACK_MESSAGES).where(SLACK_MESSAGES.c.key == key)
    ).one_or_none()
    if row is None:
        return None
    return MessageState(
        row.channel, _to_utc(row.attempted_at), row.posted_at and _to_utc(row.posted_at)
    )


def record_attempt(connection: sa.Connection, key: str, channel: str, now: datetime) -> None:
    """Remember what is about to be posted."""
    unset = {"posted_at": None, "message": None, "words": None}
    upsert(
        connection, SLACK_MESSAGES, [{"key": key, "channel": channel, "attempted_at": now, **unset}]
    )


def record_posted(connection: sa.Connection, key: str, message_id: str, now: datetime) -> None:
    """Remember that it stands in Slack, under which name."""
    statement = sa.update(SLACK_MESSAGES).where(SLACK_MESSAGES.c.key == key)
    connection.execute(statement.values(posted_at=now, message=message_id))


def clear_attempt(connection: sa.Connection, key: str) -> None:
    """It was surely not posted."""
    connection.execute(
        sa.delete(SLACK_MESSAGES).where(
            SLACK_MESSAGES.c.key == key, SLACK_MESSAGES.c.posted_at.is_(None)
        )
    )


def _to_utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
