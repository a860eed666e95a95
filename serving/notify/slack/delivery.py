"""Exactly-once delivery of Slack messages: record before posting, search before reposting.

Slack has no idempotency key. A bot stores ours in the message metadata; after a lost response or a
crash, it searches the channel for it. A webhook cannot search, so a message that may have been
posted is not posted again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

import sqlalchemy as sa

from data.errors import DeliveryError
from serving import store
from serving.delivery.crm.base import AccessDeniedError, RateLimit, RetryableError
from serving.delivery.reconcile.retry import (
    DeadlineExceededError,
    RetriesExhaustedError,
    RetryingCaller,
)
from serving.store import lease
from serving.store.schema import SLACK_MESSAGES
from serving.store.upsert import upsert

__all__ = [
    "DeliveryUnknown",
    "MessageRejected",
    "PostSummary",
    "SlackMessage",
    "SlackTransport",
    "deliver_messages",
]

_LEASE_NAME: Final = "slack"
# Slack allows one message per second and channel.
_RATE_LIMIT: Final = RateLimit(rows_per_call=1, max_calls=1, window_seconds=1.0)
# Time that an unanswered message may still be in flight; searching starts after it.
_IN_FLIGHT_SECONDS: Final = 5.0
_CLOCK_SKEW: Final = timedelta(minutes=10)  # largest difference to Slack's clock


class DeliveryUnknown(Exception):  # noqa: N818 - named as what happened
    """The response was lost; the message may have been posted."""


class MessageRejected(Exception):  # noqa: N818
    """Slack rejects this message or this channel, with a reason."""


@dataclass(frozen=True)
class SlackMessage:
    """A message to post once.

    A message with a known ``key`` is not posted again. ``csm`` is the recipient; ``payload`` has
    ``text`` and ``blocks`` for ``chat.postMessage``.
    """

    key: str
    csm: str | None
    payload: Mapping[str, Any] = field(repr=False)


class SlackTransport(Protocol):
    """Transport that posts and finds Slack messages."""

    def post_message(self, channel: str, message: Mapping[str, Any], key: str) -> str:
        """Post once, and return the message timestamp (``ts``).

        Raises
        ------
        serving.delivery.crm.base.RetryableError
            If it was certainly not posted, and a retry may succeed.
        DeliveryUnknown
            If it is unknown whether it was posted.
        MessageRejected
            If Slack rejects the message.
        serving.delivery.crm.base.AccessDeniedError
            If Slack rejects the credentials.
        """

    def find_by_key(self, channel: str, key: str, since: datetime) -> str | None:
        """Search for the message with this key, and return its timestamp (``ts``).

        Raises ``DeliveryUnknown`` if the transport cannot search.
        """

    def resolve_channel(self, csm: str | None) -> str | None:
        """Return the channel for a CSM, or None if none is known."""


@dataclass
class PostSummary:
    """Result per message key, and why the run stopped early."""

    posted: list[str] = field(default_factory=list)
    already_posted: list[str] = field(default_factory=list)  # in an earlier run
    unknown: list[str] = field(default_factory=list)  # possibly posted; not posted again
    unroutable: list[str] = field(default_factory=list)  # no channel or user is known
    rejected: dict[str, str] = field(default_factory=dict)  # by Slack, with its reason
    remaining: list[str] = field(default_factory=list)  # left for the next run
    stop_reason: str | None = None


@dataclass
class _Poster:
    """Posts one message; ``repost_unknown`` also reposts messages with an unknown outcome."""

    engine: sa.Engine
    transport: SlackTransport
    sender_lease: lease.Lease
    repost_unknown: bool
    summary: PostSummary

    def __call__(self, message: SlackMessage) -> None:
        """Post a message; a retry first checks whether it was already posted.

        Raises ``RetryableError`` if the call should be retried later.
        """
        with store.read_transaction(self.engine) as connection:
            query = sa.select(SLACK_MESSAGES).where(SLACK_MESSAGES.c.key == message.key)
            previous = connection.execute(query).one_or_none()
        if previous and previous.posted_at:
            self.summary.already_posted.append(message.key)
            return
        try:
            if previous and self._is_already_posted(message, previous):
                return
            channel = self.transport.resolve_channel(message.csm)
        except MessageRejected as error:
            self.summary.rejected[message.key] = str(error)
            return
        if channel is None:
            self.summary.unroutable.append(message.key)
            return
        self._post_message(message, channel)

    def _is_already_posted(self, message: SlackMessage, previous: sa.Row[Any]) -> bool:
        """Return whether the message was posted, or may have been and cannot be checked."""
        try:
            message_ts = self.transport.find_by_key(
                previous.channel, message.key, store.as_utc(previous.attempted_at) - _CLOCK_SKEW
            )
        except DeliveryUnknown:
            if not self.repost_unknown:
                self.summary.unknown.append(message.key)
            return not self.repost_unknown
        if message_ts is None:
            return False
        self._record_posted(message, message_ts)
        return True

    def _post_message(self, message: SlackMessage, channel: str) -> None:
        self._record_attempt(message, channel)
        try:
            message_ts = self.transport.post_message(channel, message.payload, message.key)
        except (RetryableError, MessageRejected, AccessDeniedError) as error:
            self._clear_attempt(message)
            if not isinstance(error, MessageRejected):
                raise
            self.summary.rejected[message.key] = str(error)
        except DeliveryUnknown as error:
            self.repost_unknown = False  # after this attempt it may have been posted
            raise RetryableError(str(error), _IN_FLIGHT_SECONDS) from error
        else:
            self._record_posted(message, message_ts)

    def _record_attempt(self, message: SlackMessage, channel: str) -> None:
        attempt = {
            "key": message.key,
            "channel": channel,
            "attempted_at": self.sender_lease.clock(),
        }
        unset = {"posted_at": None, "message_ts": None, "reason": None}
        with store.write_transaction(self.engine) as connection:
            self.sender_lease.renew(connection)
            upsert(connection, SLACK_MESSAGES, [attempt | unset])

    def _clear_attempt(self, message: SlackMessage) -> None:
        """Delete the attempt of a message that was certainly not posted."""
        attempt = (SLACK_MESSAGES.c.key == message.key) & SLACK_MESSAGES.c.posted_at.is_(None)
        with store.write_transaction(self.engine) as connection:
            connection.execute(sa.delete(SLACK_MESSAGES).where(attempt))

    def _record_posted(self, message: SlackMessage, message_ts: str) -> None:
        posted = {"posted_at": self.sender_lease.clock(), "message_ts": message_ts}
        statement = sa.update(SLACK_MESSAGES).where(SLACK_MESSAGES.c.key == message.key)
        with store.write_transaction(self.engine) as connection:
            connection.execute(statement.values(posted))
        self.summary.posted.append(message.key)


def deliver_messages(
    engine: sa.Engine,
    transport: SlackTransport,
    messages: Sequence[SlackMessage],
    *,
    now: datetime,
    repost_unknown: bool = False,
    budget_seconds: float = 600.0,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> PostSummary:
    """Post messages that were not posted yet, in their order.

    Safe to interrupt at any point and to call again.

    Raises ``DeliveryError`` if Slack denies access, or the database fails.

    Parameters
    ----------
    now : datetime.datetime
        Wall-clock time at the start, UTC.
    repost_unknown : bool
        Also repost messages that may have been posted, where the transport cannot search.
    budget_seconds : float
        Time after which the remaining messages are left for the next run.
    clock, sleep : callable
        Monotonic clock in seconds, and how to wait.
    """
    start = clock()
    caller = RetryingCaller(_RATE_LIMIT, start + budget_seconds, clock, sleep)
    sender_lease = lease.acquire_lease(
        engine, _LEASE_NAME, lambda: now + timedelta(seconds=clock() - start)
    )
    keys = [message.key for message in messages]
    if isinstance(sender_lease, str):
        return PostSummary(
            remaining=keys, stop_reason=f"another process ({sender_lease}) is posting"
        )
    summary = PostSummary()
    try:
        for message in messages:
            poster = _Poster(engine, transport, sender_lease, repost_unknown, summary)
            try:
                caller(poster, message)
            except (RetriesExhaustedError, DeadlineExceededError) as error:
                summary.stop_reason = str(error)
    except AccessDeniedError as error:
        raise DeliveryError(str(error)) from error
    except lease.LeaseLostError as error:
        summary.stop_reason = str(error)
    finally:
        sender_lease.release(engine)
    handled = {
        *summary.posted,
        *summary.already_posted,
        *summary.unknown,
        *summary.unroutable,
        *summary.rejected,
    }
    summary.remaining = [key for key in keys if key not in handled]
    return summary
