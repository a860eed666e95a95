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
from serving import state
from serving.crm.target import Denied, Pace, Transient
from serving.outbox import lease
from serving.outbox.calls import Calls, Exhausted, OutOfTime
from serving.slack import posts
from serving.slack.answers import Lost, Rejected, Wire
from serving.slack.posts import Post

__all__ = ["Posted", "deliver"]

_NAME: Final = "slack"
# A message a second and channel is what Slack takes.
_PACE: Final = Pace(rows_per_call=1, calls=1, per_seconds=1.0)
# So long a message may be on its way that was not answered: only then it is looked for.
_ON_ITS_WAY_SECONDS: Final = 5.0
_CLOCKS: Final = timedelta(minutes=10)  # by so much ours may differ from Slack's


@dataclass
class Posted:
    """What became of the messages, by key.

    Attributes
    ----------
    posted, earlier : list of str
        Posted now, and before.
    uncertain : list of str
        May have been posted: nobody can know, so they are not posted again.
    nowhere : list of str
        No channel or person is known for them.
    refused : dict of str to str
        With Slack's words.
    left : list of str
        For the next time.
    words : str or None
        Why it stopped early.
    """

    posted: list[str] = field(default_factory=list)
    earlier: list[str] = field(default_factory=list)
    uncertain: list[str] = field(default_factory=list)
    nowhere: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)
    words: str | None = None

    def told(self) -> dict[str, Any]:
        """Say it in JSON values."""
        return asdict(self)


@dataclass
class _Poster:
    """Posts one message at a time; ``again`` posts also what may have been posted before."""

    engine: sa.Engine
    wire: Wire
    held: lease.Lease
    again: bool
    said: Posted

    def __call__(self, post: Post) -> None:
        """Go one step; asked again after :class:`Transient`, it first looks what stands there.

        Raises
        ------
        serving.crm.target.Transient
            If it is to be asked again later.
        """
        known = self._known(post.key)
        if known and known.posted_at:
            self.said.earlier.append(post.key)
            return
        try:
            if known and self._stands(post, known):
                return
            place = self.wire.place(post.csm)
        except Rejected as error:
            self.said.refused[post.key] = str(error)
            return
        if place is None:
            self.said.nowhere.append(post.key)
            return
        self._post(post, place)

    def _known(self, key: str) -> posts.Kept | None:
        with state.reading(self.engine) as connection:
            return posts.kept(connection, key)

    def _stands(self, post: Post, known: posts.Kept) -> bool:
        """Whether it was posted after all, or may have been and we cannot know."""
        try:
            found = self.wire.find(known.channel, post.key, known.attempted_at - _CLOCKS)
        except Lost:
            if not self.again:
                self.said.uncertain.append(post.key)
            return not self.again
        if found is None:
            return False
        self._settle(post, found)
        return True

    def _post(self, post: Post, place: str) -> None:
        with state.writing(self.engine) as connection:
            self.held.renew(connection)
            posts.attempt(connection, post.key, place, self.held.time())
        try:
            message = self.wire.post(place, post.message, post.key)
        except (Transient, Rejected, Denied) as error:
            with state.writing(self.engine) as connection:
                posts.forget(connection, post.key)
            if not isinstance(error, Rejected):
                raise
            self.said.refused[post.key] = str(error)
        except Lost as error:
            self.again = False  # it was tried now: from here on it may stand there
            raise Transient(str(error), _ON_ITS_WAY_SECONDS) from error
        else:
            self._settle(post, message)

    def _settle(self, post: Post, message: str) -> None:
        with state.writing(self.engine) as connection:
            posts.settle(connection, post.key, message, self.held.time())
        self.said.posted.append(post.key)


def deliver(
    engine: sa.Engine,
    wire: Wire,
    messages: Sequence[Post],
    *,
    now: datetime,
    again: bool = False,
    budget_seconds: float = 600.0,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Posted:
    """Post messages that were not posted yet.

    Can be killed at any point, and called again.

    Parameters
    ----------
    engine : sqlalchemy.Engine
        The one database, its schema up to date.
    wire : serving.slack.answers.Wire
        A bot, or a webhook.
    messages : sequence of Post
        In the order they are to be posted.
    now : datetime.datetime
        The wall clock at the start, UTC.
    again : bool
        Post also what may have been posted, where that cannot be looked up.
    budget_seconds : float
        After so long the rest is left.
    clock, sleep : callable
        Seconds that only run forward, and how to wait.

    Returns
    -------
    Posted
        What became of each.

    Raises
    ------
    data.errors.DeliveryError
        If Slack denies us, or the database refuses.
    """
    start = clock()
    call = Calls(_PACE, start + budget_seconds, clock, sleep)
    held = lease.take(engine, _NAME, lambda: now + timedelta(seconds=clock() - start))
    said = Posted()
    if isinstance(held, str):
        keys = [post.key for post in messages]
        return Posted(left=keys, words=f"another process ({held}) is posting; it goes first")
    try:
        for post in messages:
            _one(call, _Poster(engine, wire, held, again, said), post)
    except Denied as error:
        raise DeliveryError(str(error)) from error
    except lease.Lost as error:
        said.words = str(error)
    finally:
        held.release(engine)
    reached = {*said.posted, *said.earlier, *said.uncertain, *said.nowhere, *said.refused}
    said.left = [post.key for post in messages if post.key not in reached]
    return said


def _one(call: Calls, poster: _Poster, post: Post) -> None:
    try:
        call(poster, post)
    except (Exhausted, OutOfTime) as error:
        poster.said.words = str(error)
