"""Who is at work on a target: one sender at a time.

A lease is a row, renewed with every batch in the very transaction that says what is being sent, so
a sender whose lease was taken can send nothing more. Clocks only tell how long to wait for one
that may have died: a wrong one makes us wait, or take over early, and does no harm.
"""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import sqlalchemy as sa

from serving import state
from serving.outbox.upsert import insert_or_skip
from serving.state.schema import SENDERS

__all__ = ["Lease", "Lost", "take"]

_LENGTH: Final = timedelta(minutes=3)
_UNKNOWN: Final = "one that came and went this moment"


class Lost(Exception):  # noqa: N818 - named as what has happened
    """Another sender has taken over."""


@dataclass(frozen=True)
class Lease:
    """The right to send to one target; ``time`` gives the wall clock, UTC."""

    target: str
    owner: str
    time: Callable[[], datetime]

    def renew(self, connection: sa.Connection) -> None:
        """Keep it for another while, within the caller's transaction.

        Raises
        ------
        Lost
            If another sender has it now.
        """
        if not self.is_kept(connection):
            raise Lost("another sender has taken over")

    def is_kept(self, connection: sa.Connection) -> bool:
        """Keep it for another while, and say whether it is still ours."""
        ours = (SENDERS.c.target == self.target) & (SENDERS.c.owner == self.owner)
        until = self.time() + _LENGTH
        return connection.execute(sa.update(SENDERS).where(ours).values(until=until)).rowcount == 1

    def release(self, engine: sa.Engine) -> None:
        """Let the next one in."""
        ours = (SENDERS.c.target == self.target) & (SENDERS.c.owner == self.owner)
        with state.writing(engine) as connection:
            connection.execute(sa.delete(SENDERS).where(ours))


def take(engine: sa.Engine, target: str, time: Callable[[], datetime]) -> Lease | str:
    """Take the lease, or say who has it.

    Raises
    ------
    data.errors.DeliveryError
        If the database refuses.
    """
    lease = Lease(target, f"{socket.gethostname()}/{os.getpid()}/{uuid.uuid4().hex[:8]}", time)
    row = {"target": target, "owner": lease.owner, "until": time() + _LENGTH}
    there = SENDERS.c.target == target
    with state.writing(engine) as connection:
        # Writing first takes the write lock before anything is compared.
        if insert_or_skip(connection, SENDERS, row):
            return lease
        holder = connection.execute(sa.select(SENDERS).where(there)).one_or_none()
        if holder is None or _may_work(holder.owner, holder.until, time()):
            return str(holder.owner) if holder else _UNKNOWN
        as_read = there & (SENDERS.c.owner == holder.owner)
        taken = connection.execute(sa.update(SENDERS).where(as_read).values(**row)).rowcount
    return lease if taken else _UNKNOWN


def _may_work(owner: str, until: datetime, now: datetime) -> bool:
    """Whether a holder may be at work still; promised itself too long, its clock is wrong."""
    until = until if until.tzinfo else until.replace(tzinfo=UTC)
    return now <= until <= now + 2 * _LENGTH and not _is_dead(owner)


def _is_dead(owner: str) -> bool:
    """Whether it was a process of this machine that is no more."""
    host, pid, _ = owner.rsplit("/", 2)
    if host != socket.gethostname():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
