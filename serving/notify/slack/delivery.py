"""Post messages, each once: written down before it goes out, and looked for before it goes again.

Slack has no key by which it would take the same message only once. A bot puts ours into the
message's metadata, and where an answer was lost, or a process died, it looks whether the message
stands there. A webhook cannot look, so that what may have been posted is not posted again.
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
# A message a second and channel is what Slack takes.
_RATE_LIMIT: Final = RateLimit(rows_per_call=1, max_calls=1, window_seconds=1.0)
# So long a message may be on its way that was not answered: only then it is looked for.
_IN_FLIGHT_SECONDS: Final = 5.0
_CLOCK_SKEW: Final = timedelta(minutes=10)  # by so much ours may differ from Slack's


@dataclass
class PostSummary:
    """What became of the messages, by key.

    Attributes
    ----------
    posted, already_posted : list of str
        Posted now, and before.
    unknown : list of str
        May have been posted: nobody can know, so they are not posted again.
    unroutable : list of str
        No channel or person is known for them.
    rejected : dict of str to str
        With Slack's words.
    remaining : list of str
        For the next time.
    stop_reason : str or None
        Why it stopped early.
    """

    posted: list[str] = field(default_factory=list)
    already_posted: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    unroutable: list[str] = field(default_factory=list)
    rejected: dict[str, str] = field(default_factory=dict)
    remaining: list[str] = field(default_factory=list)
    stop_reason: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Say it in JSON values."""
        return asdict(self)


@dataclass
class _Poster:
    """Posts one message at a time; ``repost_unknown`` posts also what may have been posted before."""

    engine: sa.Engine
    transport: SlackTransport
    sender_lease: lease.Lease
    repost_unknown: bool
    summary: PostSummary

    def __call__(self, post: SlackMessage) -> None:
        """Go one step; asked again after :class:`Transient`, it first looks what stands there.

        Raises
        ------
        serving.delivery.crm.base.RetryableError
            If it is to be asked again later.
        """
        previous = self._load_state(post.key)
        if previous and previous.posted_at:
            self.summary.already_posted.append(post.key)
            return
        try:
            if previous and self._is_already_posted(post, previous):
                return
            channel = self.transport.resolve_channel(post.csm)
        except MessageRejected as error:
            self.summary.rejected[post.key] = str(error)
            return
        if channel is None:
            self.summary.unroutable.append(post.key)
            return
        self._post_message(post, channel)

    def _load_state(self, key: str) -> repository.MessageState | None:
        with store.read_transaction(self.engine) as connection:
            return repository.load_state(connection, key)

    def _is_already_posted(self, post: SlackMessage, previous: repository.MessageState) -> bool:
        """Whether it was posted after all, or may have been and we cannot know."""
        try:
            message_id = self.transport.find_by_key(
                previous.channel, post.key, previous.attempted_at - _CLOCK_SKEW
            )
        except DeliveryUnknown:
            if not self.repost_unknown:
                self.summary.unknown.append(post.key)
            return not self.repost_unknown
        if message_id is None:
            return False
        self._record_posted(post, message_id)
        return True

    def _post_message(self, post: SlackMessage, channel: str) -> None:
        with store.write_transaction(self.engine) as connection:
            self.sender_lease.renew(connection)
            repository.record_attempt(connection, post.key, channel, self.sender_lease.clock())
        try:
            message_id = self.transport.post_message(channel, post.payload, post.key)
        except (RetryableError, MessageRejected, AccessDeniedError) as error:
            with store.write_transaction(self.engine) as connection:
                repository.clear_attempt(connection, post.key)
            if not isinstance(error, MessageRejected):
                raise
            self.summary.rejected[post.key] = str(error)
        except DeliveryUnknown as error:
            self.repost_unknown = False  # it was tried now: from here on it may stand there
            raise RetryableError(str(error), _IN_FLIGHT_SECONDS) from error
        else:
            self._record_posted(post, message_id)

    def _record_posted(self, post: SlackMessage, message_id: str) -> None:
        with store.write_transaction(self.engine) as connection:
            repository.record_posted(connection, post.key, message_id, self.sender_lease.clock())
        self.summary.posted.append(post.key)


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

    Can be killed at any point, and called again.

    Parameters
    ----------
    engine : sqlalchemy.Engine
        The one database, its schema up to date.
    transport : serving.notify.slack.protocol.SlackTransport
        A bot, or a webhook.
    messages : sequence of Post
        In the order they are to be posted.
    now : datetime.datetime
        The wall clock at the start, UTC.
    repost_unknown : bool
        Post also what may have been posted, where that cannot be looked up.
    budget_seconds : float
        After so long the rest is left.
    clock, sleep : callable
        Seconds that only run forward, and how to wait.

    Returns
    -------
    PostSummary
        What became of each.

    Raises
    ------
    data.errors.DeliveryError
        If Slack denies us, or the database refuses.
    """
    start = clock()
    caller = RetryingCaller(_RATE_LIMIT, start + budget_seconds, clock, sleep)
    sender_lease = lease.acquire_lease(
        engine, _LEASE_NAME, lambda: now + timedelta(seconds=clock() - start)
    )
    summary = PostSummary()
    if isinstance(sender_lease, str):
        keys = [post.key for post in messages]
        return PostSummary(
            remaining=keys,
            stop_reason=f"another process ({sender_lease}) is posting; it goes first",
        )
    try:
        for post in messages:
            _post_with_retry(
                caller, _Poster(engine, transport, sender_lease, repost_unknown, summary), post
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
    summary.remaining = [post.key for post in messages if post.key not in handled]
    return summary


def _post_with_retry(caller: RetryingCaller, poster: _Poster, post: SlackMessage) -> None:
    try:
        caller(poster, post)
    except (RetriesExhaustedError, DeadlineExceededError) as error:
        poster.summary.stop_reason = str(error)
