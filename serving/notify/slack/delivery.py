"""Exactly-once delivery of Slack messages: record before posting, search before reposting.

Slack has no idempotency key. A bot stores ours in the message metadata; after a lost response or a
crash, it searches the channel for it. A webhook cannot search, so a message that may have been
posted is not posted again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa

from data.errors import DeliveryError
from serving import store
from serving.delivery.crm.base import AccessDeniedError, RateLimit, RetryableError
from serving.delivery.reconcile.retry import (
    DeadlineExceededError,
    RetriesExhaustedError,
    RetryingCaller,
)
from serving.notify.slack import repository
from serving.notify.slack.protocol import DeliveryUnknown, MessageRejected, SlackTransport
from serving.notify.slack.repository import SlackMessage
from serving.store import lease

__all__ = ["PostSummary", "deliver_messages"]

_LEASE_NAME: Final = "slack"
# Slack allows one message per second and channel.
_RATE_LIMIT: Final = RateLimit(rows_per_call=1, max_calls=1, window_seconds=1.0)
# Time that an unanswered message may still be in flight; searching starts after it.
_IN_FLIGHT_SECONDS: Final = 5.0
_CLOCK_SKEW: Final = timedelta(minutes=10)  # largest difference to Slack's clock


@dataclass
class PostSummary:
    """Result per message key.

    Attributes
    ----------
    posted, already_posted : list of str
        Posted in this run, and in an earlier one.
    unknown : list of str
        Possibly posted; not posted again.
    unroutable : list of str
        No channel or user is known.
    rejected : dict of str to str
        Rejected by Slack, with its reason.
    remaining : list of str
        Left for the next run.
    stop_reason : str or None
        Why the run stopped early.
    """

    posted: list[str] = field(default_factory=list)
    already_posted: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    unroutable: list[str] = field(default_factory=list)
    rejected: dict[str, str] = field(default_factory=dict)
    remaining: list[str] = field(default_factory=list)
    stop_reason: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the summary as JSON values."""
        return asdict(self)


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

        Raises
        ------
        serving.delivery.crm.base.RetryableError
            If the call should be retried later.
        """
        previous = self._load_state(message.key)
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

    def _load_state(self, key: str) -> repository.MessageState | None:
        with store.read_transaction(self.engine) as connection:
            return repository.load_state(connection, key)

    def _is_already_posted(self, message: SlackMessage, previous: repository.MessageState) -> bool:
        """Return whether the message was posted, or may have been and cannot be checked."""
        try:
            message_ts = self.transport.find_by_key(
                previous.channel, message.key, previous.attempted_at - _CLOCK_SKEW
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
        with store.write_transaction(self.engine) as connection:
            self.sender_lease.renew(connection)
            repository.record_attempt(connection, message.key, channel, self.sender_lease.clock())
        try:
            message_ts = self.transport.post_message(channel, message.payload, message.key)
        except (RetryableError, MessageRejected, AccessDeniedError) as error:
            with store.write_transaction(self.engine) as connection:
                repository.clear_attempt(connection, message.key)
            if not isinstance(error, MessageRejected):
                raise
            self.summary.rejected[message.key] = str(error)
        except DeliveryUnknown as error:
            self.repost_unknown = False  # after this attempt it may have been posted
            raise RetryableError(str(error), _IN_FLIGHT_SECONDS) from error
        else:
            self._record_posted(message, message_ts)

    def _record_posted(self, message: SlackMessage, message_ts: str) -> None:
        with store.write_transaction(self.engine) as connection:
            repository.record_posted(connection, message.key, message_ts, self.sender_lease.clock())
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
    """Post messages that were not posted yet.

    Safe to interrupt at any point and to call again.

    Parameters
    ----------
    engine : sqlalchemy.Engine
        The application database, with a current schema.
    transport : serving.notify.slack.protocol.SlackTransport
        A bot or a webhook.
    messages : sequence of SlackMessage
        In the order of posting.
    now : datetime.datetime
        Wall-clock time at the start, UTC.
    repost_unknown : bool
        Also repost messages that may have been posted, where the transport cannot search.
    budget_seconds : float
        Time after which the remaining messages are left for the next run.
    clock, sleep : callable
        Monotonic clock in seconds, and how to wait.

    Returns
    -------
    PostSummary
        Result per message.

    Raises
    ------
    data.errors.DeliveryError
        If Slack denies access, or the database fails.
    """
    start = clock()
    caller = RetryingCaller(_RATE_LIMIT, start + budget_seconds, clock, sleep)
    sender_lease = lease.acquire_lease(
        engine, _LEASE_NAME, lambda: now + timedelta(seconds=clock() - start)
    )
    summary = PostSummary()
    if isinstance(sender_lease, str):
        keys = [message.key for message in messages]
        return PostSummary(
            remaining=keys,
            stop_reason=f"another process ({sender_lease}) is posting",
        )
    try:
        for message in messages:
            _post_with_retry(
                caller, _Poster(engine, transport, sender_lease, repost_unknown, summary), message
            )
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
    summary.remaining = [message.key for message in messages if message.key not in handled]
    return summary


def _post_with_retry(caller: RetryingCaller, poster: _Poster, message: SlackMessage) -> None:
    try:
        caller(poster, message)
    except (RetriesExhaustedError, DeadlineExceededError) as error:
        poster.summary.stop_reason = str(error)
