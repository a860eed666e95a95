"""What was posted: written down before a message goes out, and after."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from serving.outbox.upsert import upsert
from serving.state.schema import POSTS

__all__ = ["Kept", "Post", "attempt", "forget", "kept", "settle"]


@dataclass(frozen=True)
class Post:
    """A message that is to be posted once.

    Attributes
    ----------
    key : str
        Our own name of it: posted under this name before, it is not posted again.
    csm : str or None
        For whom.
    message : mapping
        ``text`` and ``blocks``, as Slack takes them.
    """

    key: str
    csm: str | None
    message: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True)
class Kept:
    """What is known of a message: when it was tried, and when that was acknowledged, UTC."""

    channel: str
    attempted_at: datetime
    posted_at: datetime | None


def kept(connection: sa.Connection, key: str) -> Kept | None:
    """Say what is known of a message."""
    row = connection.execute(sa.select(POSTS).where(POSTS.c.key == key)).one_or_none()
    if row is None:
        return None
    return Kept(row.channel, _utc(row.attempted_at), row.posted_at and _utc(row.posted_at))


def attempt(connection: sa.Connection, key: str, channel: str, now: datetime) -> None:
    """Remember what is about to be posted."""
    told = {"posted_at": None, "message": None, "words": None}
    upsert(connection, POSTS, [{"key": key, "channel": channel, "attempted_at": now, **told}])


def settle(connection: sa.Connection, key: str, message: str, now: datetime) -> None:
    """Remember that it stands in Slack, under which name."""
    told = sa.update(POSTS).where(POSTS.c.key == key)
    connection.execute(told.values(posted_at=now, message=message))


def forget(connection: sa.Connection, key: str) -> None:
    """It was surely not posted."""
    connection.execute(sa.delete(POSTS).where(POSTS.c.key == key, POSTS.c.posted_at.is_(None)))


def _utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
